/* SPDX-License-Identifier: Apache-2.0 */
/* db_model_test.c - random operations on the store and on a sorted map, with limits so
 * small that flush, compaction and reopening happen all the time; every answer must be
 * the map's.  KEYFS_TEST_SEED runs one seed again. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "tests/fault_env.h"
#include "tests/model.h"
#include "tests/suite.h"

enum { SEEDS = 8, STEPS = 3000, KEYS = 400, SNAPSHOTS = 4 };

struct world {
	struct fault_env *disk;
	struct keyfs_store *store;
	struct model *model;
	uint64_t random;
	struct keyfs_snapshot *snapshots[SNAPSHOTS];
	struct model *frozen[SNAPSHOTS]; /* what each snapshot sees */
	uint64_t flushes, compactions, moves, reopens; /* of all sessions */
};

static uint64_t
pick(struct world *w, uint64_t below)
{
	return suite_random(&w->random) % below;
}

static void
world_open(struct world *w)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 1 << 20,
					 .memtable_bytes = 4096,
					 .block_bytes = 256,
					 .table_bytes = 2048,
					 .level_bytes = 8192,
					 .level_ratio = 4,
					 .reserve_bytes = 4096 };

	ck_assert_int_eq(db_open(fault_env(w->disk), "store", &options,
				 &w->store),
			 0);
}

static void
drop_snapshot(struct world *w, unsigned i)
{
	keyfs_snapshot_free(w->snapshots[i]);
	model_free(w->frozen[i]);
	w->snapshots[i] = NULL;
	w->frozen[i] = NULL;
}

static void
world_close(struct world *w)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };
	unsigned i;

	for (i = 0; i < SNAPSHOTS; i++)
		drop_snapshot(w, i);
	ck_assert_int_eq(keyfs_stats_get(w->store, &stats), 0);
	w->flushes += stats.flushes;
	w->compactions += stats.compactions;
	w->moves += stats.trivial_moves;
	ck_assert_int_eq(keyfs_close(w->store), 0);
}

/* Keys share prefixes and differ in length, so that order is put to the test. */
static struct keyfs_slice
random_key(struct world *w)
{
	static char key[64];
	unsigned n = (unsigned)pick(w, KEYS);
	int len = snprintf(key, sizeof(key), "%s%u",
			   n % 3 ? "directory/with/a/prefix/" : "", n);

	return keyfs_bytes(key, (size_t)len - (n % 7 == 0 && len > 1));
}

static struct keyfs_slice
random_value(struct world *w)
{
	static uint8_t value[600];
	size_t len = pick(w, 4) ? pick(w, 60) : pick(w, sizeof(value)), i;

	for (i = 0; i < len; i++)
		value[i] = (uint8_t)(pick(w, 2) ? pick(w, 256) : 'a');
	return keyfs_bytes(value, len);
}

/* ---- Steps ---- */

static void
write_batch(struct world *w)
{
	unsigned i, n = 1 + (unsigned)pick(w, pick(w, 8) ? 3 : 30);
	struct keyfs_batch *batch;

	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	for (i = 0; i < n; i++) {
		struct keyfs_slice key = random_key(w), value;

		if (pick(w, 3)) {
			value = random_value(w);
			keyfs_batch_put(batch, NULL, key, value);
			model_put(w->model, key, value);
		} else {
			keyfs_batch_delete(batch, NULL, key);
			model_delete(w->model, key);
		}
	}
	model_commit(w->model);
	ck_assert_int_eq(keyfs_commit(w->store, batch, 0, NULL), 0);
	keyfs_batch_free(batch);
}

static void
check_get(struct world *w, const struct keyfs_snapshot *snapshot,
	  const struct model *model)
{
	struct keyfs_slice key = random_key(w), expected;
	struct keyfs_value value;
	bool there = model_get(model, key, &expected);
	int r = keyfs_get(w->store, NULL, snapshot, key, 0, &value);

	ck_assert_int_eq(r, there ? 0 : -ENOENT);
	if (!there)
		return;
	ck_assert_uint_eq(value.data.len, expected.len);
	ck_assert_int_eq(memcmp(value.data.data, expected.data, expected.len),
			 0);
	keyfs_value_release(&value);
}

static void
check_position(const struct keyfs_iter *iter, const struct model *model,
	       size_t at)
{
	struct keyfs_slice key, value;

	ck_assert_int_eq(keyfs_iter_status(iter), 0);
	ck_assert_int_eq(keyfs_iter_valid(iter), at != MODEL_NONE);
	if (at == MODEL_NONE)
		return;
	key = keyfs_iter_key(iter);
	value = keyfs_iter_value(iter);
	ck_assert(key_equal(key, model_key(model, at)));
	ck_assert(key_equal(value, model_value(model, at)));
}

/* A walk with turns from a random place. */
static void
check_walk(struct world *w, const struct keyfs_snapshot *snapshot,
	   const struct model *model)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .snapshot = snapshot };
	struct keyfs_slice key = random_key(w);
	struct keyfs_iter *iter;
	size_t at;
	unsigned i, steps = (unsigned)pick(w, 40);

	ck_assert_int_eq(keyfs_iter_new(w->store, NULL, &options, &iter), 0);
	if (pick(w, 2)) {
		at = model_seek(model, key);
		(void)keyfs_iter_seek(iter, key);
	} else {
		at = model_seek_prev(model, key);
		(void)keyfs_iter_seek_prev(iter, key);
	}
	check_position(iter, model, at);
	for (i = 0; i < steps && at != MODEL_NONE; i++) {
		if (pick(w, 3)) {
			at = model_next(model, at);
			(void)keyfs_iter_next(iter);
		} else {
			at = model_prev(model, at);
			(void)keyfs_iter_prev(iter);
		}
		check_position(iter, model, at);
	}
	keyfs_iter_free(iter);
}

static void
check_all(struct world *w)
{
	struct keyfs_iter *iter;
	size_t i;

	ck_assert_int_eq(keyfs_iter_new(w->store, NULL, NULL, &iter), 0);
	(void)keyfs_iter_first(iter);
	for (i = 0; i < model_count(w->model); i++) {
		check_position(iter, w->model, i);
		(void)keyfs_iter_next(iter);
	}
	check_position(iter, w->model, MODEL_NONE);
	keyfs_iter_free(iter);
}

static void
change_snapshot(struct world *w)
{
	unsigned i = (unsigned)pick(w, SNAPSHOTS);

	if (w->snapshots[i]) {
		drop_snapshot(w, i);
		return;
	}
	ck_assert_int_eq(keyfs_snapshot_new(w->store, &w->snapshots[i]), 0);
	w->frozen[i] = model_copy(w->model);
}

static void
check_snapshot(struct world *w)
{
	unsigned i = (unsigned)pick(w, SNAPSHOTS);

	if (!w->snapshots[i])
		return;
	check_get(w, w->snapshots[i], w->frozen[i]);
	check_walk(w, w->snapshots[i], w->frozen[i]);
}

static void
maintain(struct world *w)
{
	struct keyfs_slice a = { 0 }, b = { 0 };

	switch (pick(w, 6)) {
	case 0:
		ck_assert_int_eq(keyfs_flush(w->store), 0);
		break;
	case 1:
		ck_assert_int_eq(keyfs_compact_range(w->store, NULL, a, b), 0);
		break;
	case 2:
		ck_assert_int_eq(keyfs_sync(w->store), 0);
		break;
	case 3:
		ck_assert_int_eq(keyfs_verify(w->store, NULL, NULL), 0);
		break;
	default:
		world_close(w);
		world_open(w);
		w->reopens++;
		check_all(w);
	}
}

static void
step(struct world *w)
{
	uint64_t what = pick(w, 1000);

	if (what < 600)
		write_batch(w);
	else if (what < 800)
		check_get(w, NULL, w->model);
	else if (what < 900)
		check_walk(w, NULL, w->model);
	else if (what < 930)
		change_snapshot(w);
	else if (what < 980)
		check_snapshot(w);
	else if (what < 990)
		maintain(w);
}

START_TEST(the_store_answers_as_the_sorted_map_does)
{
	struct world w = { .random = suite_seed() + (uint64_t)_i };
	unsigned i;

	w.disk = fault_env_new(w.random);
	w.model = model_new();
	world_open(&w);
	for (i = 0; i < STEPS; i++)
		step(&w);
	check_all(&w);
	world_close(&w);
	/* The rare paths were not rare. */
	ck_assert_uint_gt(w.flushes, 40);
	ck_assert_uint_gt(w.compactions, 10);
	ck_assert_uint_gt(w.reopens, 1);
	model_free(w.model);
	fault_env_free(w.disk);
}
END_TEST

static Suite *
db_model_suite(void)
{
	Suite *suite = suite_create("db_model");
	TCase *tcase = tcase_create("random");

	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, the_store_answers_as_the_sorted_map_does, 0,
			    SEEDS);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(db_model_suite());
}
