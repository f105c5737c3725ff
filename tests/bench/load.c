/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - the operations and the loop around them; see load.h. */
#include <config.h>

#include "tests/bench/load.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/usage.h"

#define SEEK_STEPS 10

static int
wrong(struct load *load, const char *what, uint64_t entry)
{
	fprintf(stderr, "%s: %s at entry %llu\n", load->ops->name, what,
		(unsigned long long)entry);
	return -EUCLEAN;
}

static uint64_t
random_entry(struct load *load)
{
	return dataset_random(&load->seed) % load->data->count;
}

static int
put_entry(struct load *load, uint64_t entry)
{
	char key[DATASET_KEY_LEN];

	return load->ops->put(load->engine, dataset_key(key, entry),
			      dataset_value(load->data, entry));
}

int
load_put_ordered(struct load *load, uint64_t i)
{
	return put_entry(load, i);
}

int
load_put_shuffled(struct load *load, uint64_t i)
{
	return put_entry(load, dataset_shuffled(load->data, i));
}

int
load_put_random(struct load *load, uint64_t i)
{
	(void)i;
	return put_entry(load, random_entry(load));
}

int
load_remove_random(struct load *load, uint64_t i)
{
	char key[DATASET_KEY_LEN];

	(void)i;
	return load->ops->remove(load->engine,
				 dataset_key(key, random_entry(load)));
}

static bool
same(struct keyfs_slice a, struct keyfs_slice b)
{
	return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

struct expected {
	struct keyfs_slice value;
	bool seen;
};

static void
compare_found(void *arg, struct keyfs_slice value)
{
	struct expected *expected = arg;

	expected->seen = same(expected->value, value);
}

int
load_get_random(struct load *load, uint64_t i)
{
	char key[DATASET_KEY_LEN];
	uint64_t entry = random_entry(load);
	struct expected expected = { dataset_value(load->data, entry), false };
	int r = load->ops->get(load->engine, dataset_key(key, entry),
			       compare_found, &expected);

	(void)i;
	if (r == 0 && !expected.seen)
		return wrong(load, "wrong value", entry);
	if (r == -ENOENT)
		return wrong(load, "no value", entry);
	return r;
}

int
load_get_absent(struct load *load, uint64_t i)
{
	char key[DATASET_KEY_LEN];
	uint64_t entry = random_entry(load);
	struct expected expected = { { NULL, 0 }, false };
	int r = load->ops->get(load->engine, dataset_absent_key(key, entry),
			       compare_found, &expected);

	(void)i;
	if (r == 0)
		return wrong(load, "a value for an absent key", entry);
	return r == -ENOENT ? 0 : r;
}

static bool
cursor_on(struct load *load, struct engine_cursor *cursor, uint64_t entry)
{
	char key[DATASET_KEY_LEN];

	return same(load->ops->cursor_key(cursor), dataset_key(key, entry)) &&
	       same(load->ops->cursor_value(cursor),
		    dataset_value(load->data, entry));
}

/* Walks from `entry` while entries exist, at most to the one before `last`. */
static int
walk(struct load *load, struct engine_cursor *cursor, bool valid,
     uint64_t entry, uint64_t last)
{
	for (; entry < last; entry++) {
		if (!valid || !cursor_on(load, cursor, entry))
			return wrong(load, "cursor is wrong", entry);
		valid = load->ops->cursor_next(cursor);
	}
	if (valid && last == load->data->count)
		return wrong(load, "cursor goes on", entry);
	return 0;
}

int
load_seek_random(struct load *load, uint64_t i)
{
	char key[DATASET_KEY_LEN];
	uint64_t entry = random_entry(load), last = entry + SEEK_STEPS;
	struct engine_cursor *cursor;
	int r = load->ops->cursor_new(load->engine, &cursor), end;
	bool valid;

	(void)i;
	if (r)
		return r;
	if (last > load->data->count)
		last = load->data->count;
	valid = load->ops->cursor_seek(cursor, dataset_key(key, entry));
	r = walk(load, cursor, valid, entry, last);
	end = load->ops->cursor_end(cursor);
	return r ? r : end;
}

int
load_scan(struct load *load, uint64_t i)
{
	struct engine_cursor *cursor;
	int r = load->ops->cursor_new(load->engine, &cursor), end;
	bool valid;

	(void)i;
	if (r)
		return r;
	valid = load->ops->cursor_first(cursor);
	r = walk(load, cursor, valid, 0, load->data->count);
	end = load->ops->cursor_end(cursor);
	return r ? r : end;
}

static bool
stopped(const struct load *load)
{
	return load->stop &&
	       atomic_load_explicit(load->stop, memory_order_relaxed);
}

static int
call(struct load *load, uint64_t i)
{
	uint64_t start;
	int r;

	if (!load->latency)
		return load->operation(load, i);
	start = usage_now_ns();
	r = load->operation(load, i);
	histogram_add(load->latency, usage_now_ns() - start);
	return r;
}

static void *
load_main(void *arg)
{
	struct load *load = arg;
	uint64_t start = usage_now_ns();
	int r = 0, left = 0;

	for (uint64_t i = load->begin; i < load->end && !stopped(load); i++) {
		r = call(load, i);
		if (r)
			break;
		load->done++;
	}
	if (load->ops->leave)
		left = load->ops->leave(load->engine);
	load->seconds = usage_since(start);
	load->result = r ? r : left;
	if (load->ends)
		atomic_store_explicit(load->ends, true, memory_order_relaxed);
	return NULL;
}

/* Thread i runs loads[i]; a thread that cannot be made has -EAGAIN as result. */
static void
run_threads(struct load *loads, size_t count)
{
	pthread_t threads[LOAD_THREADS_MAX];
	bool made[LOAD_THREADS_MAX];

	for (size_t i = 0; i < count; i++) {
		made[i] = pthread_create(&threads[i], NULL, load_main,
					 &loads[i]) == 0;
		if (!made[i])
			loads[i].result = engine_error_code(loads[i].ops->name,
							    "thread", EAGAIN);
	}
	for (size_t i = 0; i < count; i++)
		if (made[i])
			(void)pthread_join(threads[i], NULL);
}

int
load_run(struct load *loads, size_t count)
{
	if (count == 1)
		load_main(&loads[0]);
	else
		run_threads(loads, count);
	for (size_t i = 0; i < count; i++)
		if (loads[i].result)
			return loads[i].result;
	return 0;
}
