/* SPDX-License-Identifier: Apache-2.0 */
/* workload.h - what is done to an engine, and what is measured meanwhile.
 *
 * Workloads come in groups.  A group starts with an empty engine and ends with its
 * directory removed; its workloads run in order and build on each other.  Reads
 * compare every value that they get with what was written, so a figure of wrong
 * data does not exist. */
#ifndef TESTS_BENCH_WORKLOAD_H
#define TESTS_BENCH_WORKLOAD_H

#include "tests/bench/dataset.h"
#include "tests/bench/engine.h"
#include "tests/bench/report.h"

/* Its row has the floor under it as a column of its own: see bare_sync.h. */
#define WORKLOAD_SYNC_1_NAME "fillsync-1"

enum workload_group {
	WORKLOAD_SEQUENTIAL, /* filled in key order */
	WORKLOAD_RANDOM,     /* filled in random order, then all the rest */
	WORKLOAD_SYNC_1,     /* each put durable, one thread */
	WORKLOAD_SYNC_8,     /* the same, eight */
	WORKLOAD_GROUPS,
};

/* Is given each measurement. */
typedef void (*workload_sample_fn)(void *arg, const char *row,
				   enum report_unit unit, double value);

struct workload {
	const struct engine_ops *ops;
	const struct dataset *data;
	struct engine_options options;
	const char *dir;  /* exists and is empty */
	const char *only; /* names of workloads, divided by commas; NULL: all */
	uint64_t reads;   /* calls of each reading workload */
	uint64_t syncs;   /* durable puts of one thread; 8 threads do 4 times as
			     many */
	workload_sample_fn sample;
	void *sample_arg;
};

/* Whether `only` names a workload of the group. */
bool workload_wanted(enum workload_group group, const char *only);

/* Whether each name in `only` is that of a workload; prints the first that is
 * not. */
bool workload_names_valid(const char *only);

/* Runs one group.  Returns 0 or a negative errno value; what failed is printed. */
int workload_run(const struct workload *workload, enum workload_group group);

#endif
