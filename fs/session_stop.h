/* SPDX-License-Identifier: Apache-2.0 */
/* session_stop.h - the end of a mount: the signals that ask for it, and
 * unmounting while requests are still served.
 *
 * Signals may come on any thread; the rest is called by the thread that runs
 * the session. */
#ifndef FS_SESSION_STOP_H
#define FS_SESSION_STOP_H

#include <stdatomic.h>
#include <stdint.h>

/* From now on HUP, INT and TERM, where they are not ignored, add to the counter
 * of an eventfd (non-blocking), and PIPE is ignored. One session a process:
 * -EBUSY. */
int stop_signals_open(int *out_fd);

/* Restores what was before.  Requires: open. */
void stop_signals_close(void);

struct stop_unmount;

struct stop_options {
	const char *mountpoint; /* borrowed */
	uint64_t device;        /* st_dev of the mount */
	/* Counts the WRITEs of mapped pages that were answered. */
	const _Atomic uint64_t *writebacks;
	uint32_t timeout_ms; /* for waiting until mapped pages are written */
};

/* Unmounts on a thread of its own, because the system calls for it need
 * requests to be served: writes mapped pages back if the mount is busy, and
 * then detaches it, so that it ends with its last user. */
int stop_unmount_start(const struct stop_options *options,
		       struct stop_unmount **out);

/* Detaches the mount if it is still there.  Requests need not be served. */
void stop_detach(const char *mountpoint, uint64_t device);

/* Waits for that thread; it ends for certain once the device is closed. NULL is
 * allowed. */
void stop_unmount_join(struct stop_unmount *stop);

#endif
