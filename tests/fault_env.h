/* SPDX-License-Identifier: Apache-2.0 */
/* fault_env.h - a simulated disk behind store/env.h, for tests.
 *
 *	struct fault_env *disk = fault_env_new(seed);
 *
 *	fault_env_crash_at(disk, 17);
 *	run(fault_env(disk));			call 17 and all later: -EIO
 *	fault_env_reboot(disk, FAULT_SUBSET, seed);
 *	check(fault_env(disk));			on what a power cut left
 *	fault_env_free(disk);
 *
 * Everything is in memory and follows from the seed and the order of the calls.
 * What is durable and what a crash leaves is taught in fault_disk.h.
 *
 * Counted calls have running numbers from 0; closing, unmapping, the clocks and
 * randomness are not counted, as they cannot fail.  A call at which the power
 * goes still takes effect as an unsynced change (a sync does not), and answers
 * -EIO like all after it.  Handles from before a reboot answer -EIO and may be
 * closed; so the dead store can be freed.
 *
 * Names in this interface are those of files in the directory that was opened
 * first, or "directory/name".
 *
 * Any thread may call anything but fault_env_free(): one lock is around it all.
 * Memory given by file_map() may be stored to at any time.  Out of memory
 * aborts. */
#ifndef TESTS_FAULT_ENV_H
#define TESTS_FAULT_ENV_H

#include <stdio.h>

#include "store/env.h"
#include "tests/fault_disk.h"

struct fault_env;

/* The counted calls. */
enum fault_call {
	FAULT_DIR_OPEN,
	FAULT_DIR_LIST,
	FAULT_DIR_SYNC,
	FAULT_DIR_SPACE,
	FAULT_RENAME,
	FAULT_UNLINK,
	FAULT_OPEN,
	FAULT_CREATE,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_SIZE,
	FAULT_TRUNCATE,
	FAULT_ALLOCATE,
	FAULT_MAP,
	FAULT_LOCK
};

#define FAULT_CALLS 16

#define FAULT_ON(call) (1u << (call))
#define FAULT_ANY (FAULT_ON(FAULT_CALLS) - 1)
/* Calls that bring something to the disk. */
#define FAULT_CHANGES                                                          \
	(FAULT_ON(FAULT_DIR_SYNC) | FAULT_ON(FAULT_RENAME) |                   \
	 FAULT_ON(FAULT_UNLINK) | FAULT_ON(FAULT_CREATE) |                     \
	 FAULT_ON(FAULT_WRITE) | FAULT_ON(FAULT_SYNC) |                        \
	 FAULT_ON(FAULT_TRUNCATE) | FAULT_ON(FAULT_ALLOCATE))

/* What a disk may do and answer 0. */
enum fault_lie {
	FAULT_HONEST,
	FAULT_LOST,      /* a write is not made */
	FAULT_ELSEWHERE, /* it is made a sector further on; a read gives the
			  * bytes of another sector */
	FAULT_STALE /* a read gives what was there before: of the file as of
			  * its last sync, or of the last one removed */
};

/* A fault to come.  The first `skip` calls that fit pass, the next one fails. */
struct fault_rule {
	unsigned calls;   /* which, FAULT_ON() of each */
	const char *file; /* only files whose name contains it; NULL: all;
			   * borrowed */
	uint64_t skip;
	int error;          /* negative errno; 0: the call goes on */
	enum fault_lie lie; /* then: what it does instead of what it says */
	bool forever;       /* all later ones that fit fail too */
	bool partial; /* a write fails after a part of it, chosen at random */
	bool drop;    /* a sync forgets what it should have written: later syncs
		       * succeed without it */
	bool drop_names; /* so does one of a directory */
};

#define FAULT_RULES 8

/* An empty disk of 4 GiB. */
struct fault_env *fault_env_new(uint64_t seed);
/* Requires: every handle is closed; aborts otherwise, after naming one. NULL is
 * allowed. */
void fault_env_free(struct fault_env *fault);
/* The environment to give to the code under test; borrowed. */
struct env *fault_env(struct fault_env *fault);

/* ---- Faults ---- */

/* Adds a rule; at most FAULT_RULES. */
void fault_env_fail(struct fault_env *fault, const struct fault_rule *rule);
void fault_env_heal(struct fault_env *fault);         /* removes all rules */
uint64_t fault_env_failures(struct fault_env *fault); /* made by rules so far */

/* The power goes at the counted call with that number, or now. */
void fault_env_crash_at(struct fault_env *fault, uint64_t call);
void fault_env_crash(struct fault_env *fault);
bool fault_env_crashed(struct fault_env *fault);

/* The disk as it is found after the crash, with the power on again; without a
 * crash it crashes now.  Rules, counters and a crash still to come stay. */
void
fault_env_reboot(struct fault_env *fault, enum fault_crash kind, uint64_t seed);
/* The same on a new disk, owned by the caller; this one stays as it is, so that
 * one crash can be looked at in many ways. */
struct fault_env *
fault_env_after(struct fault_env *fault, enum fault_crash kind, uint64_t seed);

/* Room on the disk; less than what is used is allowed. */
void fault_env_set_capacity(struct fault_env *fault, uint64_t bytes);
uint64_t fault_env_used(struct fault_env *fault);

/* Reads with `nowait` answer -EAGAIN. */
void fault_env_set_cold(struct fault_env *fault, bool cold);

/* Time passes. */
void fault_env_pass(struct fault_env *fault, uint64_t ns);
/* The monotonic clock, and how much each look at it adds; first 1 s and 1 us.  A sleep
 * only moves it on.
 * The real time is a fixed date plus it. */
void
fault_env_set_clock(struct fault_env *fault, uint64_t now_ns, uint64_t step_ns);

/* ---- Looking and touching ---- */

uint64_t fault_env_calls(struct fault_env *fault);
uint64_t fault_env_count(struct fault_env *fault, enum fault_call call);
unsigned fault_env_handles(struct fault_env *fault); /* open ones */

/* Whether the file's contents and its name are durable now. */
bool fault_env_synced(struct fault_env *fault, const char *name);
/* The same apart: the name; how many bytes were written since the last sync, a
 * mapped page counted whole.  Of no file: false, and UINT64_MAX. */
bool fault_env_name_synced(struct fault_env *fault, const char *name);
uint64_t fault_env_unsynced_bytes(struct fault_env *fault, const char *name);

/* Called before each counted call takes effect, without the lock, so that it can
 * ask the above: for checking the order of syncs and removals.  `to` is the new
 * name of a rename, NULL otherwise.  NULL ends it.  Set before threads run. */
void fault_env_watch(struct fault_env *fault,
		     void (*watch)(void *arg, enum fault_call call,
				   const char *name, const char *to),
		     void *arg);

/* Every file of every directory, as "directory/name". */
int fault_env_each(struct fault_env *fault,
		   int (*each)(void *arg, const char *name), void *arg);

/* Files at rest: no counting, no faults.  -ENOENT, -EINVAL: past the end. */
int fault_env_size(struct fault_env *fault, const char *name, uint64_t *out);
int fault_env_peek(struct fault_env *fault, const char *name, uint64_t offset,
		   void *buf, size_t len);
/* The whole file, as it is seen or as a power cut that loses everything unsynced
 * would leave it; the caller frees *out. */
int fault_env_load(struct fault_env *fault, const char *name, bool durable,
		   uint8_t **out, uint64_t *out_len);
int fault_env_poke(struct fault_env *fault, const char *name, uint64_t offset,
		   const void *data, size_t len);
int fault_env_flip(struct fault_env *fault, const char *name, uint64_t bit);
/* Replaces or makes a file, durable at once; -ENOENT: no such directory. */
int fault_env_plant(struct fault_env *fault, const char *name, const void *data,
		    size_t len);
int fault_env_remove(struct fault_env *fault, const char *name);

/* The last calls, oldest first, a line each: number, call, file, result. */
void fault_env_trace(struct fault_env *fault, FILE *out);

#endif
