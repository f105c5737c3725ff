/* SPDX-License-Identifier: Apache-2.0 */
/* workload.c - the workloads by name and group; see workload.h. */
#include <config.h>

#include "tests/bench/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/load.h"
#include "tests/bench/names.h"
#include "tests/bench/usage.h"
#include "tests/must.h"

#define ROW_SIZE 64
#define SYNC_THREADS 8

/* A group that runs. */
struct run {
	const struct workload *w;
	struct engine *engine;
	const char *name; /* of the workload, as the rows call it */
	bool muted;       /* it only prepares what others measure */
	uint64_t seed;    /* no two workloads draw the same entries */
};

struct step {
	enum workload_group group;
	const char *name;
	int (*run)(struct run *run);
	bool prepares; /* later ones need it */
};

/* ---- Measuring ---- */

static void
sample(struct run *run, const char *detail, enum report_unit unit, double value)
{
	char row[ROW_SIZE];

	if (run->muted)
		return;
	snprintf(row, sizeof(row), "%s%s%s", run->name, *detail ? ": " : "",
		 detail);
	run->w->sample(run->w->sample_arg, row, unit, value);
}

static struct load
load_of(struct run *run, load_fn operation, uint64_t count)
{
	struct load load = {
		.ops = run->w->ops,
		.engine = run->engine,
		.data = run->w->data,
		.operation = operation,
		.end = count,
		.seed = ++run->seed,
	};

	return load;
}

/* One thread, one piece of work that counts as `count` operations; rows are their
 * rate and the processor time of one, which other programs disturb less.  Background
 * work that goes on meanwhile is in the latter. */
static int
measure_load(struct run *run, struct load *load, uint64_t count)
{
	uint64_t cpu = usage_cpu_ns();
	int r = load_run(load, 1);

	if (r)
		return r;
	sample(run, "", REPORT_PER_SECOND, (double)count / load->seconds);
	sample(run, "processor time", REPORT_MICROSECONDS,
	       (double)(usage_cpu_ns() - cpu) / 1e3 / (double)count);
	return 0;
}

static int
measure(struct run *run, load_fn operation, uint64_t count)
{
	struct load load = load_of(run, operation, count);

	return measure_load(run, &load, count);
}

/* What writing costs besides time, counted when the background work that it caused
 * has ended. */
static int
sample_cost(struct run *run, uint64_t written_before, uint64_t user_bytes)
{
	double written;
	int r;

	sample(run, "peak memory", REPORT_BYTES, (double)usage_peak_bytes());
	r = run->w->ops->wait(run->engine);
	if (r)
		return r;
	written = (double)(usage_written_bytes() - written_before);
	if (written > 0)
		sample(run, "write amplification", REPORT_TIMES,
		       written / (double)user_bytes);
	sample(run, "disk", REPORT_BYTES,
	       (double)usage_disk_bytes(run->w->dir));
	return 0;
}

static uint64_t
entry_bytes(const struct run *run)
{
	return DATASET_KEY_LEN + run->w->data->value_len;
}

static int
fill(struct run *run, load_fn operation)
{
	uint64_t before = usage_written_bytes(), count = run->w->data->count;
	int r;

	usage_reset_peak();
	r = measure(run, operation, count);
	return r ? r : sample_cost(run, before, count * entry_bytes(run));
}

/* ---- The workloads ---- */

static int
fillseq(struct run *run)
{
	return fill(run, load_put_ordered);
}

static int
fillrandom(struct run *run)
{
	return fill(run, load_put_shuffled);
}

static void
sample_latency(struct run *run, const struct histogram *latency)
{
	sample(run, "p50", REPORT_MICROSECONDS,
	       (double)histogram_share(latency, 0.5) / 1e3);
	sample(run, "p99", REPORT_MICROSECONDS,
	       (double)histogram_share(latency, 0.99) / 1e3);
	sample(run, "p99.9", REPORT_MICROSECONDS,
	       (double)histogram_share(latency, 0.999) / 1e3);
	sample(run, "max", REPORT_MICROSECONDS, (double)latency->max / 1e3);
}

static int
overwrite(struct run *run)
{
	uint64_t before = usage_written_bytes();
	uint64_t count = run->w->data->count / 2;
	struct histogram *latency = must_alloc(sizeof(*latency));
	struct load load = load_of(run, load_put_random, count);
	int r;

	load.latency = latency;
	usage_reset_peak();
	r = measure_load(run, &load, count);
	if (r == 0) {
		sample_latency(run, latency);
		r = sample_cost(run, before, count * entry_bytes(run));
	}
	free(latency);
	return r;
}

static int
deleterandom(struct run *run)
{
	return measure(run, load_remove_random, run->w->data->count / 2);
}

static int
readrandom(struct run *run)
{
	int r;

	usage_reset_peak();
	r = measure(run, load_get_random, run->w->reads);
	if (r == 0)
		sample(run, "peak memory", REPORT_BYTES,
		       (double)usage_peak_bytes());
	return r;
}

static int
readmissing(struct run *run)
{
	return measure(run, load_get_absent, run->w->reads);
}

static int
readseq(struct run *run)
{
	struct load load = load_of(run, load_scan, 1);

	return measure_load(run, &load, run->w->data->count);
}

static int
seekrandom(struct run *run)
{
	return measure(run, load_seek_random, run->w->reads / 5 + 1);
}

/* The writer writes as fast as it can until the reader has done its reads. */
static int
readwhilewriting(struct run *run)
{
	atomic_bool stop = false;
	struct load loads[] = {
		load_of(run, load_get_random, run->w->reads),
		load_of(run, load_put_random, UINT64_MAX),
	};
	int r;

	loads[0].ends = &stop;
	loads[1].stop = &stop;
	r = load_run(loads, 2);
	if (r)
		return r;
	sample(run, "reader", REPORT_PER_SECOND,
	       (double)loads[0].done / loads[0].seconds);
	sample(run, "writer", REPORT_PER_SECOND,
	       (double)loads[1].done / loads[1].seconds);
	return run->w->ops->wait(run->engine);
}

/* An engine without compaction has nothing to report; what comes after is measured
 * all the same. */
static int
compact(struct run *run)
{
	uint64_t start = usage_now_ns();
	int r;

	if (run->w->ops->compact) {
		r = run->w->ops->compact(run->engine);
		if (r == 0)
			r = run->w->ops->wait(run->engine);
		if (r)
			return r;
		sample(run, "", REPORT_SECONDS, usage_since(start));
	}
	sample(run, "disk", REPORT_BYTES,
	       (double)usage_disk_bytes(run->w->dir));
	return 0;
}

/* The threads share the entries; each rate is that of all of them together. */
static int
fillsync(struct run *run, size_t threads, uint64_t count)
{
	struct load loads[SYNC_THREADS];
	uint64_t start = usage_now_ns(), share = count / threads;
	int r;

	for (size_t i = 0; i < threads; i++) {
		loads[i] = load_of(run, load_put_shuffled, 0);
		loads[i].begin = i * share;
		loads[i].end = (i + 1) * share;
	}
	r = load_run(loads, threads);
	if (r == 0)
		sample(run, "", REPORT_PER_SECOND,
		       (double)(share * threads) / usage_since(start));
	return r;
}

static int
fillsync_1(struct run *run)
{
	return fillsync(run, 1, run->w->syncs);
}

static int
fillsync_8(struct run *run)
{
	return fillsync(run, SYNC_THREADS, 4 * run->w->syncs);
}

static const struct step steps[] = {
	{ WORKLOAD_SEQUENTIAL, "fillseq", fillseq, true },
	{ WORKLOAD_RANDOM, "fillrandom", fillrandom, true },
	{ WORKLOAD_RANDOM, "readrandom", readrandom, false },
	{ WORKLOAD_RANDOM, "readmissing", readmissing, false },
	{ WORKLOAD_RANDOM, "readseq", readseq, false },
	{ WORKLOAD_RANDOM, "seekrandom", seekrandom, false },
	{ WORKLOAD_RANDOM, "overwrite", overwrite, true },
	{ WORKLOAD_RANDOM, "readwhilewriting", readwhilewriting, false },
	{ WORKLOAD_RANDOM, "compact", compact, true },
	{ WORKLOAD_RANDOM, "readrandom-compacted", readrandom, false },
	{ WORKLOAD_RANDOM, "readmissing-compacted", readmissing, false },
	{ WORKLOAD_RANDOM, "readseq-compacted", readseq, false },
	{ WORKLOAD_RANDOM, "seekrandom-compacted", seekrandom, false },
	{ WORKLOAD_RANDOM, "deleterandom", deleterandom, false },
	{ WORKLOAD_SYNC_1, WORKLOAD_SYNC_1_NAME, fillsync_1, false },
	{ WORKLOAD_SYNC_8, "fillsync-8", fillsync_8, false },
};

#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))

/* ---- Running them ---- */

/* The place after the last step of the group that is wanted; 0: none is. */
static size_t
steps_end(enum workload_group group, const char *only)
{
	size_t end = 0;

	for (size_t i = 0; i < STEP_COUNT; i++)
		if (steps[i].group == group &&
		    names_listed(only, steps[i].name))
			end = i + 1;
	return end;
}

bool
workload_wanted(enum workload_group group, const char *only)
{
	return steps_end(group, only) > 0;
}

bool
workload_names_valid(const char *only)
{
	const char *names[STEP_COUNT];

	for (size_t i = 0; i < STEP_COUNT; i++)
		names[i] = steps[i].name;
	return names_valid(only, names, STEP_COUNT);
}

static int
run_step(struct run *run, const struct step *step)
{
	run->name = step->name;
	run->muted = !names_listed(run->w->only, step->name);
	if (run->muted && !step->prepares)
		return 0;
	return step->run(run);
}

int
workload_run(const struct workload *w, enum workload_group group)
{
	struct engine_options options = w->options;
	struct run run = { .w = w };
	int r, closed;

	options.sync = group == WORKLOAD_SYNC_1 || group == WORKLOAD_SYNC_8;
	r = w->ops->open(w->dir, &options, &run.engine);
	for (size_t i = 0; r == 0 && i < steps_end(group, w->only); i++)
		if (steps[i].group == group)
			r = run_step(&run, &steps[i]);
	if (!run.engine)
		return r;
	closed = w->ops->close(run.engine);
	return r ? r : closed;
}
