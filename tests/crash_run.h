/* SPDX-License-Identifier: Apache-2.0 */
/* crash_run.h - a store on the simulated disk, next to the model of what it must
 * hold after whatever happens to the disk.
 *
 * A workload is a script of the calls below.  They note what the store answered;
 * after the power went they do nothing, so that a script needs no checks.  What
 * is found afterwards must be the state after some number of batches:
 *
 *	batches   1    2    3    4    5    6?
 *	               ^ synced       ^ answered
 *
 * at least the synced ones (P1), a prefix (P2), nothing answered lost if only the
 * process died; and the one batch that failed last (6) may be there or not. */
#ifndef TESTS_CRASH_RUN_H
#define TESTS_CRASH_RUN_H

#include "store/store.h"
#include "tests/crash_order.h"
#include "tests/fault_env.h"
#include "tests/model.h"

/* Kinds of work that a run has passed through. */
enum crash_work {
	WORK_OPENS,
	WORK_READ_ONLY_OPENS,
	WORK_COMMITS,
	WORK_CONDITIONS_KEPT,
	WORK_CONDITIONS_FAILED,
	WORK_SNAPSHOTS,
	WORK_FLUSHES,
	WORK_COMPACTIONS,
	WORK_MOVES,
	WORK_TABLES_DELETED,
	WORK_STOPS,
	WORK_OLDER_LOGS_SYNCED,
	WORK_INTERVALS,
	WORK_MANIFESTS_RENEWED,
	WORK_RECORDS_REPLAYED,
	WORK_TAILS_DROPPED,
	WORK_LEFTOVERS_REMOVED,
	WORK_DISK_FULL,
	WORK_DISK_FREED,
	WORK_RESERVES_GIVEN,
	WORK_RESERVES_TAKEN,
	WORK_SYNCS_FAILED,
	WORK_RECOVERIES_CUT,
	WORK_KINDS
};

struct crash_run {
	const char *workload; /* its name, for reports */
	char replay[64];      /* how to run this case again, for reports */
	const char *found;    /* what the crash left, for reports */
	uint64_t seed;
	struct keyfs_options options;
	struct fault_env *disk;    /* owned */
	struct keyfs_store *store; /* owned; NULL: not open */
	struct model *model;       /* owned; the batches answered with 0 */
	struct model *maybe;       /* owned; the failed last one, or NULL */
	size_t synced;             /* batches known to be durable */
	bool no_maps; /* a filesystem that neither maps nor allocates */
	bool errors;  /* errors of the disk are part of the test */
	bool drops;   /* so are failed syncs that forget what they had to
			 * write */
	bool failing; /* the same, by the script itself */
	bool dropped;
	bool was_full;
	uint64_t failures; /* before the script's own */
	bool threads; /* of the system, instead of turns.h; set before an open */
	struct crash_order order;
	uint64_t renames; /* on the disk when the store was opened */
	uint64_t work[WORK_KINDS];
};

/* With the smallest limits, so that little work does all that a store does. */
void crash_run_init(struct crash_run *run, const char *workload, uint64_t seed);
/* Closes the store, whatever it says. */
void crash_run_fini(struct crash_run *run);

/* Removes the faults made so far; with KEYFS_TEST_LOG set, shows the calls. */
void crash_run_heal(struct crash_run *run);

/* ---- For workloads ---- */

void run_open(struct crash_run *run);
/* An answer of 0 promises that all is durable. */
void run_close(struct crash_run *run);

/* A batch of puts with one value size; keys are numbers from `first` in steps of
 * one, values differ each time. */
void run_puts(struct crash_run *run, unsigned first, unsigned count,
	      size_t value_bytes);
void run_put(struct crash_run *run, unsigned key, size_t value_bytes);
void run_deletes(struct crash_run *run, unsigned first, unsigned count);
/* Puts if the key has no value; the store must agree with the model. */
void run_put_if_absent(struct crash_run *run, unsigned key);
/* Puts if the key was not changed since it was read: it was not. */
void run_put_if_unchanged(struct crash_run *run, unsigned key);
void run_sync(struct crash_run *run);
void run_flush(struct crash_run *run);
void run_compact(struct crash_run *run);
void run_wait_idle(struct crash_run *run);
/* Puts one key after the other until the disk is full; returns how many it
 * tried. */
unsigned run_fill(struct crash_run *run, unsigned first);
/* With KEYFS_SYNC; with a key of that length. */
void run_put_synced(struct crash_run *run, unsigned key, size_t value_bytes);
void run_put_long_key(struct crash_run *run, unsigned number, size_t key_bytes);
/* Puts while another thread syncs; only where threads take turns. */
void
run_puts_while_syncing(struct crash_run *run, unsigned first, unsigned count);
/* Nothing happens for so long; longer than the commit interval, all is synced. */
void run_rest(struct crash_run *run, unsigned ms);

/* What a snapshot shows when it is dropped must be what it was taken of. */
struct run_snapshot {
	struct keyfs_snapshot *snapshot;
	struct model *then;
};
void run_snapshot_take(struct crash_run *run, struct run_snapshot *out);
void run_snapshot_drop(struct crash_run *run, struct run_snapshot *snapshot);

/* Opens for reading, compares, closes. */
void run_open_read_only(struct crash_run *run);

/* The next such sync fails and forgets what it should have written; until
 * run_next_process() the store may answer errors. */
void
run_fail_sync(struct crash_run *run, enum fault_call call, const char *file);
/* The process dies if it still lives, the next one opens the store. */
void run_next_process(struct crash_run *run);

/* Files with names like the store's own that no manifest knows; the next opening
 * must have removed them.  Requires: the store is closed. */
void run_plant_leftovers(struct crash_run *run);
void run_expect_no_leftovers(struct crash_run *run);

/* The power goes here and comes back: goes on with what is found. */
void run_power_cut(struct crash_run *run, enum fault_crash kind);
/* Whether the script has come to its end: the power is gone, or no store. */
bool run_is_over(struct crash_run *run);

/* ---- For the drivers ---- */

/* Begins to count the states that are checked, over all processes of this one;
 * how many there were. */
void crash_run_count_states(void);
uint64_t crash_run_states(void);

/* The end of a script: the power goes, if it has not. */
void crash_run_end(struct crash_run *run);

/* Checks what a crash of that kind left, on a disk of its own: opens, compares,
 * verifies, writes on, crashes and compares again.  Prints how to find the case
 * again and fails the test if anything is wrong. */
void
crash_run_check(struct crash_run *run, enum fault_crash kind, uint64_t seed);

#endif
