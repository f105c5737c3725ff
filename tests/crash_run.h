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
#include "tests/fault_env.h"
#include "tests/model.h"

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
	bool dropped; /* a failed sync forgot what it had to write */
	bool no_maps; /* a filesystem that neither maps nor allocates */
	bool errors;  /* errors of the disk are part of the test */
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
/* The power goes here and comes back: goes on with what is found. */
void run_power_cut(struct crash_run *run, enum fault_crash kind);
/* Whether the script has come to its end: the power is gone, or no store. */
bool run_is_over(struct crash_run *run);

/* ---- For the drivers ---- */

/* Checks what a crash of that kind left, on a disk of its own: opens, compares,
 * verifies, writes on, crashes and compares again.  Prints how to find the case
 * again and fails the test if anything is wrong. */
void
crash_run_check(struct crash_run *run, enum fault_crash kind, uint64_t seed);

#endif
