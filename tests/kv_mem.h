/* SPDX-License-Identifier: Apache-2.0 */
/* kv_mem.h - an engine in memory that misbehaves when told to.
 *
 * It keeps every version of every key, so a view is a number, and the state after
 * any prefix of the commits can be taken out as an engine of its own: that is what
 * a crash leaves.  The switches may be set at any time by any thread. */
#ifndef TESTS_KV_MEM_H
#define TESTS_KV_MEM_H

#include <stdatomic.h>

#include "fs/kv.h"

struct kv_mem;

struct kv_mem_faults {
	/* Each thread's commits fail this often with -ECANCELED before one is
	 * let through. */
	_Atomic unsigned conflicts;
	/* Calls with KV_NOWAIT answer -EAGAIN: 1 = all, n = every n-th. */
	_Atomic unsigned again_every;
	/* The disk is full: commits without KV_USE_RESERVE answer -ENOSPC. */
	_Atomic bool full;
	/* Calls that read or commit answer `error` once `error_after` more of
	 * them have passed; `error` 0: never. */
	_Atomic int error;
	_Atomic int error_after;
	/* About one call in `dither` sleeps for a moment, so that threads get in
	 * each other's way; 0: none. */
	_Atomic unsigned dither;
};

/* An empty engine.  Aborts without memory.  Close it with kv_close(). */
struct kv *kv_mem_new(void);

struct kv_mem_faults *kv_mem_faults(struct kv *kv);

/* The version of the newest commit, and of the newest that sync made durable. */
uint64_t kv_mem_version(struct kv *kv);
uint64_t kv_mem_durable(struct kv *kv);

/* A new engine that holds what the commits up to `version` left. */
struct kv *kv_mem_crash(struct kv *kv, uint64_t version);

/* Number of keys that are live now. */
size_t kv_mem_count(struct kv *kv);

/* Views and values that are out. */
size_t kv_mem_open_views(struct kv *kv);

#endif
