/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h - the socket of a mounted store: how the command line finds the mount,
 * asks for statistics, and syncs.
 *
 * The daemon listens on the socket CTL in the store directory (mode 0600; the
 * peer's uid must be its own or root). A request is one line, the answer a
 * status line and a body, and the connection ends:
 *
 *	> stats json\n			< ok LENGTH\n BODY
 *	> sync\n			< ok 0\n
 *	> mount\n			< ok LENGTH\n DEVICE MOUNTPOINT
 *					< error ERRNO REASON\n */
#ifndef FS_CTL_H
#define FS_CTL_H

#include <stddef.h>
#include <stdint.h>

#include "fs/tree.h"

struct ctl;
struct handle_table;

#define CTL_SOCKET "CTL"

struct ctl_options {
	const char *store;      /* directory */
	const char *mountpoint; /* absolute */
	uint64_t device;        /* st_dev of the mount */
	struct kv *kv;
	struct tree *tree;
	struct handle_table
		*handles; /* counted in the statistics; may be NULL */
};

/* Starts the listening thread.  A socket left by a dead daemon is replaced: the
 * caller holds the store's lock. */
int ctl_open(const struct ctl_options *options, struct ctl **out);

/* Ends the thread, removes the socket.  NULL is allowed. */
void ctl_close(struct ctl *ctl);

/* Client: sends `request` (without newline) to the daemon of `store`. *out is
 * the body, ended by a 0 byte, the caller's to free(). -ENOENT or
 * -ECONNREFUSED: no daemon. -EPERM: not ours to ask. */
int ctl_request(const char *store, const char *request, char **out,
		size_t *out_len);

/* Client: where `store` is mounted, as seen from here; the caller frees *out.
 * -ENOENT: not mounted.  -EXDEV: mounted, but not to be seen here (another
 * mount namespace, or detached). */
int ctl_find_mount(const char *store, char **out);

#endif
