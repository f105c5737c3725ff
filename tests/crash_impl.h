/* SPDX-License-Identifier: Apache-2.0 */
/* crash_impl.h - between crash_run.c (drivers) and crash_steps.c (what scripts
 * call). */
#ifndef TESTS_CRASH_IMPL_H
#define TESTS_CRASH_IMPL_H

#include "tests/crash_run.h"

/* Opens the store, and with it the turns that its threads take. */
int crash_run_open(struct crash_run *run);
/* Closes it and notes what it did; 0 if none is open. */
int crash_run_close(struct crash_run *run);

/* Fails the test with all that is needed to run the case again. */
void crash_run_give_up(struct crash_run *run, const char *what, long n);
/* An error is in order when the power is gone or errors are being made. */
void crash_run_expect(struct crash_run *run, const char *what, int r);

/* Everything that the store holds at that moment (NULL: now), read in order; NULL
 * when power or disk fail. */
struct model *
crash_run_read(struct crash_run *run, struct keyfs_snapshot *snapshot);
/* What the store holds must be the state after `low` batches or more, and becomes
 * the model. */
void crash_run_compare(struct crash_run *run, size_t low);

#endif
