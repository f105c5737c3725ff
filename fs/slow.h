/* SPDX-License-Identifier: Apache-2.0 */
/* slow.h - the threads that may wait, for the request threads, which may not.
 *
 * Two kinds of work come here. A request that needs the disk or has to be held
 * back comes as a whole message and is processed again where it may wait;
 * threads for it are started on demand and end when they were idle for some
 * seconds, and requests that only read never wait for a thread behind writes
 * that are held back. FSYNC comes as a request to be answered: one thread takes
 * all that are parked, syncs once, and answers them together.
 *
 * Any thread may call. */
#ifndef FS_SLOW_H
#define FS_SLOW_H

#include <stdbool.h>
#include <stddef.h>

#include <fuse_lowlevel.h>

#include "fs/tree.h"

struct slow;

struct slow_options {
	struct tree *tree; /* borrowed */
	/* Processes a message on a thread that may wait. */
	void (*process)(void *arg, void *message, size_t len);
	void *arg;
};

/* Starts the sync thread. */
int slow_start(const struct slow_options *options, struct slow **out);

/* Takes a copy of a message and has it processed. Requests that change
 * something may be held back for long, and only so many bytes of them are taken
 * (-ENOBUFS). An error: not taken, and the caller must process it itself; that
 * slows down whoever sends more. */
int slow_take(struct slow *slow, const void *message, size_t len, bool changes);

/* Answers `req` when everything that was answered before is durable. */
void slow_sync(void *slow, fuse_req_t req);

/* Finishes what was taken and parked, ends the threads, frees. Requires: no
 * other thread calls any more. NULL is allowed. */
void slow_stop(struct slow *slow);

#endif
