/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - threads that call one operation on an engine again and again.
 *
 * Used by workload.c; the operations are here so that every engine runs the same
 * loop. */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include <stdatomic.h>

#include "tests/bench/dataset.h"
#include "tests/bench/engine.h"
#include "tests/bench/histogram.h"

#define LOAD_THREADS_MAX 64

struct load;

/* The i-th operation of a thread; 0 or a negative errno value, printed. */
typedef int (*load_fn)(struct load *load, uint64_t i);

/* The work of one thread. */
struct load {
	/* Set by the caller. */
	const struct engine_ops *ops;
	struct engine *engine;
	const struct dataset *data;
	load_fn operation;
	uint64_t begin, end;       /* the values of i */
	uint64_t seed;             /* of random entries */
	struct histogram *latency; /* NULL: not measured */
	atomic_bool *stop;         /* NULL, or set to end this load */
	atomic_bool *ends;         /* NULL, or set when this load ends */

	/* Results. */
	uint64_t done;
	double seconds;
	int result;
};

/* Each puts, removes or gets one entry: the i-th in order, the i-th in shuffled
 * order, or one drawn at random. */
int load_put_ordered(struct load *load, uint64_t i);
int load_put_shuffled(struct load *load, uint64_t i);
int load_put_random(struct load *load, uint64_t i);
int load_remove_random(struct load *load, uint64_t i);
int load_get_random(struct load *load, uint64_t i);
int load_get_absent(struct load *load, uint64_t i);

/* A new cursor, a seek to a random entry, ten steps. */
int load_seek_random(struct load *load, uint64_t i);

/* A new cursor, every entry from the first; the first i given is the only one. */
int load_scan(struct load *load, uint64_t i);

/* Runs each load on a thread of its own, a single one on the caller's.  Returns 0
 * when all have done their work, or the first error. */
int load_run(struct load *loads, size_t count);

#endif
