/* SPDX-License-Identifier: Apache-2.0 */
/* mounted.h - a mount over an engine in memory, served by a child process.
 *
 * One mount at a time. The child ends with status 0 only if the session ended
 * well, the tree closed without an error, and a check of it found nothing
 * wrong. */
#ifndef TESTS_MOUNTED_H
#define TESTS_MOUNTED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/session.h"
#include "tests/kv_mem.h"

struct mounted_options {
	/* Members for the session; mountpoint, fsname and log are set here. */
	struct session_options session;
	/* As in struct kv_mem_faults, from when the mount is ready. */
	unsigned again_every;
	int error;
	/* How long a sync takes at least. */
	unsigned sync_ms;
	/* At the end the kernel must have given back every inode: nothing has a
	 * name or is open, and mounted_settle() was called. */
	bool none_held;
	/* Not 0: after the session, with the worker still running, the engine
	 * must come down to this many keys. */
	size_t keys_max;
	/* Called in the child before mounting. */
	int (*prepare)(struct tree *tree);
	/* Called in the child when the tree is closed and open again; a result
	 * other than 0 becomes the child's status. */
	int (*verify)(struct kv *kv, struct tree *tree);
};

/* Makes the mountpoint, once; for an unchecked fixture. */
void mounted_setup(void);
/* Removes it, and what a test that failed left mounted there. */
void mounted_teardown(void);

/* Where the mount is: an absolute path. */
const char *mounted_dir(void);

/* Mounts and returns when the mount answers. Aborts the test if it cannot.
 * `options` may be NULL. */
pid_t mounted_start(const struct mounted_options *options);

/* Whether there is a mount of ours now. */
bool mounted_is(void);

/* Waits until there is none. */
void mounted_wait_gone(void);

/* Makes sure that the daemon has read whatever the kernel has told it so far of inodes
 * that it gives back; what waits when a mount ends is never told. */
void mounted_settle(void);

/* Asks the child to end, and waits. Returns its status, -1 if it was killed. */
int mounted_stop(pid_t pid);

/* Waits for the child only. */
int mounted_wait(pid_t pid);

/* The path of `name` below the mountpoint; two results are valid at a time. */
const char *mounted_path(const char *name);

#endif
