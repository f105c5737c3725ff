/* SPDX-License-Identifier: Apache-2.0 */
/* session_mount.h - makes the mount and explains what went wrong.
 *
 * One thread, before any other is started. */
#ifndef FS_SESSION_MOUNT_H
#define FS_SESSION_MOUNT_H

#include <stddef.h>

#include "fs/ops.h"
#include "fs/session.h"

/* Mounts, with `ops` (borrowed) as the session's userdata.  The device is
 * non-blocking.  An error: `why` has one sentence. */
int session_mount(const struct session_options *options, struct ops *ops,
		  char *why, size_t why_size, struct fuse_session **out);

/* Closes the device, so that nobody waits for an answer any more. A pipe
 * without a reader takes its place: polling it gives an error, by which
 * fuse_session_unmount() knows that the mount is not its business any more. It
 * would otherwise unmount whatever is mounted there by now. */
void session_drop_device(struct fuse_session *fuse);

#endif
