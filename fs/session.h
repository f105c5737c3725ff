/* SPDX-License-Identifier: Apache-2.0 */
/* session.h - one mounted store: the FUSE session, its threads, its end.
 *
 * The caller forks first if it wants a daemon, opens engine and tree, then
 * calls session_open() and session_run(). Threads are started in session_run()
 * only. */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/tree.h"

struct session;

struct session_options {
	const char *mountpoint; /* absolute */
	const char *fsname;     /* the store's path: shown in /proc/mounts */
	/* For the kernel, comma-separated; may be NULL. */
	const char *mount_options;
	bool allow_other;
	bool read_only;
	bool no_xattr;    /* no extended attributes */
	bool acls;        /* the tree was opened with them */
	bool debug;       /* libfuse prints every request */
	uint32_t threads; /* request threads; 0: processors, at most 8 */
	/* How long a busy mount is served at its end; 0: 30 s. */
	uint32_t stop_timeout_ms;
	double timeout_s; /* entry and attribute timeout; 0: a day and more */
	/* One line a message, never a key or a value; never from a request
	 * thread. */
	void (*log)(void *arg, enum keyfs_log_level level, const char *line);
	void *log_arg;
};

/* What the session needs from the kernel's lookup counts: give it to
 * tree_options.in_use with the session's handle table. */
struct handle_table;
int handle_table_new(struct handle_table **out);
void handle_table_free(struct handle_table *table); /* NULL is allowed */
bool handle_table_in_use(void *table, uint64_t ino);

/* Mounts. Borrows tree and table until session_close(). -EBUSY, -EPERM, -ENODEV
 * (no FUSE), -ENOENT ...: `why` has one sentence for people. */
int session_open(struct tree *tree, struct handle_table *table,
		 const struct session_options *options, char *why,
		 size_t why_size, struct session **out);

/* Serves until unmounted or told to stop by HUP, INT or TERM. `ready(arg)` is
 * called once, when the mount answers requests. Returns after every request
 * thread has ended and the mount is gone. */
int session_run(struct session *session, void (*ready)(void *arg), void *arg);

/* st_dev of the mount, once it is ready. */
uint64_t session_device(const struct session *session);

/* Unmounts if it is still mounted.  NULL is allowed. */
void session_close(struct session *session);

#endif
