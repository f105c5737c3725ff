/* SPDX-License-Identifier: Apache-2.0 */
/* session_classic.h - the transport over read and write on /dev/fuse.
 *
 * A fixed number of threads take requests and answer them without ever waiting
 * for anything but the next request; what must wait goes to fs/slow. Waking a
 * thread that sleeps on another processor costs several times as much as
 * serving a small request, so while requests come at short intervals one thread
 * polls for a few microseconds before it sleeps. An idle mount uses no
 * processor time. */
#ifndef FS_SESSION_CLASSIC_H
#define FS_SESSION_CLASSIC_H

#include <fuse_lowlevel.h>

#include "fs/slow.h"

struct classic;

struct classic_options {
	struct fuse_session *fuse; /* borrowed; its INIT was answered */
	struct slow *slow;         /* borrowed */
	unsigned threads;
	int ended_fd; /* an eventfd, written when the mount is gone */
};

/* Starts the threads. */
int classic_start(const struct classic_options *options, struct classic **out);

/* Ends them; a request that was taken is finished.  NULL is allowed. */
void classic_stop(struct classic *classic);

/* Processes a message on a thread that may wait; `fuse` is the session. */
void classic_process_slow(void *fuse, void *message, size_t len);

#endif
