/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_test.c - the store without memory: the n-th allocation of every public call
 * fails, for n = 0, 1, 2 ... until the call passes untouched; once, and from then on.
 * The call must answer -ENOMEM or succeed, nothing may be lost or half done, and the
 * leak checker of the address sanitizer must be content.
 *
 * KEYFS_TEST_POINTS is how many n of each call are tried (default 12, spread evenly,
 * 0: all); KEYFS_TEST_CASE=CALL,N,FOREVER runs one again. */
#include <config.h>

#include <check.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/alloc_fault.h"
#include "tests/fault_env.h"
#include "tests/model.h"
#include "tests/suite.h"
#include "tests/tmpdir.h"

#define POINTS 12u
#define TIMEOUT_S 600
#define STORE_PATH "store"
#define NEVER_MS (24u * 60 * 60 * 1000)

enum { KEYS = 240, KEY_BYTES = 8, LARGE_BYTES = 20000 };

static const struct keyfs_slice no_bound;

/* One store, and what it must hold. */
struct scene {
	struct keyfs_options options;
	struct fault_env *disk;    /* owned */
	struct keyfs_store *store; /* owned; NULL: not open */
	struct model *model;       /* owned */
};

/* What every scene begins as: made once. */
static struct scene image;

static struct keyfs_slice
key_of(unsigned number, char *buf)
{
	(void)snprintf(buf, KEY_BYTES + 1, "k%07u", number % 10000000);
	return keyfs_str(buf);
}

static struct keyfs_slice
value_of(unsigned number, const char *what, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s of %u, and so on and so on", what,
		       number);
	return keyfs_str(buf);
}

/* ---- Changes: of the store, and of the model if the store took them ---- */

static int
put_slice(struct scene *s, unsigned number, struct keyfs_slice value,
	  unsigned flags)
{
	char key[KEY_BYTES + 1];
	int r = keyfs_put(s->store, NULL, key_of(number, key), value, flags);

	if (r == 0) {
		model_put(s->model, key_of(number, key), value);
		model_commit(s->model);
	}
	return r;
}

static int
put(struct scene *s, unsigned number, const char *what)
{
	char value[64];

	return put_slice(s, number,
			 value_of(number, what, value, sizeof(value)), 0);
}

static int
erase(struct scene *s, unsigned number)
{
	char key[KEY_BYTES + 1];
	int r = keyfs_delete(s->store, NULL, key_of(number, key), 0);

	if (r == 0) {
		model_delete(s->model, key_of(number, key));
		model_commit(s->model);
	}
	return r;
}

/* ---- Scenes ---- */

static struct keyfs_options
small(void)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .commit_interval_ms = NEVER_MS,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 4096,
				       .compaction_threads = 1,
				       .block_bytes = 256,
				       .table_bytes = 4096,
				       .level_bytes = 16384,
				       .reserve_bytes = 64 << 10 };
}

static int
scene_open(struct scene *s)
{
	return db_open(fault_env(s->disk), STORE_PATH, &s->options, &s->store);
}

/* Tables on two levels, tombstones, and a log to replay. */
static void
image_fill(struct scene *s)
{
	unsigned i;

	for (i = 0; i < KEYS; i++)
		ck_assert_int_eq(put(s, i, "first"), 0);
	ck_assert_int_eq(keyfs_compact_range(s->store, NULL, no_bound,
					     no_bound),
			 0);
	for (i = 0; i < KEYS; i += 5)
		ck_assert_int_eq(put(s, i, "second"), 0);
	ck_assert_int_eq(keyfs_flush(s->store), 0);
	for (i = 0; i < KEYS; i += 9)
		ck_assert_int_eq(erase(s, i), 0);
	ck_assert_int_eq(keyfs_flush(s->store), 0);
	for (i = 3; i < KEYS; i += 16)
		ck_assert_int_eq(put(s, i, "third"), 0);
	ck_assert_int_eq(keyfs_wait_idle(s->store), 0);
}

static void
image_make(void)
{
	image = (struct scene){ .options = small(),
				.disk = fault_env_new(1),
				.model = model_new() };
	ck_assert_int_eq(scene_open(&image), 0);
	image_fill(&image);
	ck_assert_int_eq(keyfs_close(image.store), 0);
}

static void
image_free(void)
{
	fault_env_free(image.disk);
	model_free(image.model);
}

static void
scene_init(struct scene *s)
{
	*s = image;
	s->store = NULL;
	s->disk = fault_env_after(image.disk, FAULT_KEEP_ALL, 1);
	s->model = model_copy(image.model);
}

static void
scene_fini(struct scene *s)
{
	ck_assert_int_eq(keyfs_close(s->store), 0);
	fault_env_free(s->disk);
	model_free(s->model);
}

/* ---- What must hold after each case ---- */

static void
expect_contents(struct scene *s)
{
	struct keyfs_iter *iter;
	struct keyfs_slice key, value, want;
	size_t i = 0;
	bool ok;

	ck_assert_int_eq(keyfs_iter_new(s->store, NULL, NULL, &iter), 0);
	for (ok = keyfs_iter_first(iter); ok; ok = keyfs_iter_next(iter)) {
		ck_assert_uint_lt(i, model_count(s->model));
		key = keyfs_iter_key(iter);
		value = keyfs_iter_value(iter);
		want = model_key(s->model, i);
		ck_assert_mem_eq(key.data, want.data, KEY_BYTES);
		want = model_value(s->model, i++);
		ck_assert_uint_eq(value.len, want.len);
		ck_assert_mem_eq(value.data, want.data, want.len);
	}
	ck_assert_int_eq(keyfs_iter_status(iter), 0);
	ck_assert_uint_eq(i, model_count(s->model));
	keyfs_iter_free(iter);
}

/* It holds what it must, is as good as ever, and so it is after the next opening. */
static void
expect_whole(struct scene *s)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };

	if (!s->store)
		ck_assert_int_eq(scene_open(s), 0);
	ck_assert_int_eq(keyfs_stats_get(s->store, &stats), 0);
	ck_assert_int_eq(stats.state, KEYFS_STATE_OK);
	expect_contents(s);
	ck_assert_int_eq(put(s, KEYS + 1, "last"), 0);
	ck_assert_int_eq(keyfs_sync(s->store), 0);
	ck_assert_int_eq(keyfs_close(s->store), 0);
	s->store = NULL;
	ck_assert_int_eq(scene_open(s), 0);
	expect_contents(s);
	ck_assert_int_eq(keyfs_verify(s->store, NULL, NULL), 0);
}

/* ---- The calls ---- */

static int
call_open(struct scene *s)
{
	return scene_open(s);
}

static int
call_open_new(struct scene *s)
{
	return scene_open(s);
}

static int
call_open_read_only(struct scene *s)
{
	struct keyfs_options options = s->options;
	struct keyfs_store *reader;
	int r;

	options.read_only = true;
	options.create = false;
	r = db_open(fault_env(s->disk), STORE_PATH, &options, &reader);
	return r < 0 ? r : keyfs_close(reader);
}

static int
call_close(struct scene *s)
{
	int r = keyfs_close(s->store);

	s->store = NULL;
	return r;
}

static int
call_put(struct scene *s)
{
	return put(s, 7, "new");
}

static int
call_put_large(struct scene *s)
{
	char bytes[LARGE_BYTES];

	memset(bytes, 'x', sizeof(bytes));
	return put_slice(s, 7, keyfs_bytes(bytes, sizeof(bytes)), 0);
}

static int
call_put_synced(struct scene *s)
{
	return put_slice(s, 7, keyfs_str("synced"), KEYFS_SYNC);
}

/* More than a memtable holds: switches, and waits for the workers. */
static int
call_put_many(struct scene *s)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < 150 && r == 0; i++)
		r = put(s, i, "many");
	return r;
}

static int
call_delete(struct scene *s)
{
	return erase(s, 11);
}

static void
batch_fill(struct keyfs_batch *batch)
{
	char key[KEY_BYTES + 1];
	unsigned i;

	for (i = 0; i < 20; i++)
		keyfs_batch_require_unchanged(batch, NULL, key_of(i, key),
					      SEQ_MAX);
	keyfs_batch_require_absent(batch, NULL, key_of(KEYS + 5, key));
	keyfs_batch_require_unchanged(batch, NULL, key_of(101, key), KEYS);
	for (i = 0; i < 20; i++)
		keyfs_batch_put(batch, NULL, key_of(i, key),
				keyfs_str("of a batch, with its conditions"));
	keyfs_batch_delete(batch, NULL, key_of(30, key));
}

static int
call_batch(struct scene *s)
{
	struct keyfs_batch *batch = NULL;
	char key[KEY_BYTES + 1];
	unsigned i;
	int r = keyfs_batch_new(&batch);

	if (r == 0) {
		batch_fill(batch);
		r = keyfs_commit(s->store, batch, 0, NULL);
	}
	keyfs_batch_free(batch);
	for (i = 0; i < 20 && r == 0; i++)
		model_put(s->model, key_of(i, key),
			  keyfs_str("of a batch, with its conditions"));
	if (r == 0) {
		model_delete(s->model, key_of(30, key));
		model_commit(s->model);
	}
	return r;
}

/* What the model says of a key, or -ENOENT; -ENOMEM is always allowed. */
static int
expect_value(struct scene *s, unsigned number, int r, struct keyfs_value *value)
{
	char key[KEY_BYTES + 1];
	struct keyfs_slice want;
	bool is_there = model_get(s->model, key_of(number, key), &want);

	if (r == 0) {
		alloc_fault_expect(is_there && value->data.len == want.len &&
					   !memcmp(value->data.data, want.data,
						   want.len),
				   "the value is the model's");
		keyfs_value_release(value);
	}
	if (r == -ENOENT)
		alloc_fault_expect(!is_there, "the key is there");
	return r == -ENOENT ? 0 : r;
}

static int
call_get(struct scene *s)
{
	/* In a table, in the log, deleted, never there. */
	static const unsigned numbers[] = { 1, 5, 19, 9, KEYS + 7 };
	struct keyfs_value value;
	char key[KEY_BYTES + 1];
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == 0; i++) {
		r = keyfs_get(s->store, NULL, NULL, key_of(numbers[i], key), 0,
			      &value);
		r = expect_value(s, numbers[i], r, &value);
	}
	return r;
}

static int
call_mget(struct scene *s)
{
	enum { COUNT = 16 };
	struct keyfs_slice keys[COUNT];
	struct keyfs_value values[COUNT];
	char text[COUNT][KEY_BYTES + 1];
	int results[COUNT], r;
	unsigned i;

	for (i = 0; i < COUNT; i++)
		keys[i] = key_of(i * 16, text[i]);
	r = keyfs_mget(s->store, NULL, NULL, COUNT, keys, 0, values, results);
	for (i = 0; i < COUNT && (r == 0 || r == -ENOMEM); i++) {
		int one = expect_value(s, i * 16, results[i], &values[i]);

		r = one < 0 ? one : r;
	}
	return r;
}

/* Goes through all keys, whichever way; what it shows before an error is true. */
static int
read_all(struct scene *s, const struct keyfs_iter_options *options,
	 bool backward)
{
	size_t count = model_count(s->model), i = 0;
	struct keyfs_iter *iter;
	struct keyfs_slice want;
	int r = keyfs_iter_new(s->store, NULL, options, &iter);
	bool ok;

	if (r < 0)
		return r;
	ok = backward ? keyfs_iter_last(iter) : keyfs_iter_first(iter);
	while (ok) {
		want = model_key(s->model, backward ? count - 1 - i : i);
		alloc_fault_expect(!memcmp(keyfs_iter_key(iter).data, want.data,
					   KEY_BYTES),
				   "the iterator shows the model's keys");
		i++;
		ok = backward ? keyfs_iter_prev(iter) : keyfs_iter_next(iter);
	}
	r = keyfs_iter_status(iter);
	if (r == 0)
		alloc_fault_expect(i == count, "the iterator shows every key");
	keyfs_iter_free(iter);
	return r;
}

static int
call_iter_forward(struct scene *s)
{
	return read_all(s, NULL, false);
}

static int
call_iter_backward(struct scene *s)
{
	return read_all(s, NULL, true);
}

static int
iter_expect(struct keyfs_iter *iter, bool valid, const char *want)
{
	alloc_fault_expect(valid == keyfs_iter_valid(iter),
			   "validity is one thing");
	if (valid)
		alloc_fault_expect(!memcmp(keyfs_iter_key(iter).data, want,
					   KEY_BYTES),
				   "the iterator stands on the key asked for");
	return valid ? 0 : keyfs_iter_status(iter);
}

static int
call_iter_bounded(struct scene *s)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .lower = keyfs_str("k0000050"),
					      .upper = keyfs_str("k0000150") };
	struct keyfs_slice key = keyfs_str("k0000091");
	struct keyfs_iter *iter;
	int r = keyfs_iter_new(s->store, NULL, &options, &iter);

	if (r < 0)
		return r;
	r = iter_expect(iter, keyfs_iter_seek(iter, key), "k0000091");
	if (r == 0)
		r = iter_expect(iter, keyfs_iter_prev(iter), "k0000089");
	if (r == 0)
		r = iter_expect(iter, keyfs_iter_next(iter), "k0000091");
	if (r == 0)
		r = iter_expect(iter, keyfs_iter_seek_prev(iter, key),
				"k0000091");
	if (r == 0)
		r = iter_expect(iter, keyfs_iter_last(iter), "k0000149");
	keyfs_iter_free(iter);
	return r;
}

static int
call_snapshot(struct scene *s)
{
	struct keyfs_iter_options options = { .size = sizeof(options) };
	struct keyfs_snapshot *snapshot;
	struct model *now = s->model, *then = model_copy(now);
	int r = keyfs_snapshot_new(s->store, &snapshot);

	if (r == 0) {
		r = put(s, 1, "after the snapshot");
		options.snapshot = snapshot;
		s->model = then;
		if (r == 0)
			r = read_all(s, &options, false);
		s->model = now;
		keyfs_snapshot_free(snapshot);
	}
	model_free(then);
	return r;
}

static int
call_sync(struct scene *s)
{
	return keyfs_sync(s->store);
}

static int
call_flush(struct scene *s)
{
	return keyfs_flush(s->store);
}

static int
call_compact_range(struct scene *s)
{
	return keyfs_compact_range(s->store, NULL, no_bound, no_bound);
}

static int
call_wait_idle(struct scene *s)
{
	return keyfs_wait_idle(s->store);
}

static int
call_verify(struct scene *s)
{
	return keyfs_verify(s->store, NULL, NULL);
}

static int
call_stats(struct scene *s)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };

	return keyfs_stats_get(s->store, &stats);
}

static int
call_property(struct scene *s)
{
	static const char *const names[] = { "stats", "levels", "tables",
					     "memory", "options" };
	char *text = NULL;
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(names) / sizeof(names[0]) && r == 0; i++) {
		r = keyfs_property(s->store, names[i], &text);
		if (r == 0)
			free(text);
	}
	return r;
}

static int
call_approximate_size(struct scene *s)
{
	uint64_t bytes;

	return keyfs_approximate_size(s->store, NULL, keyfs_str("k0000020"),
				      keyfs_str("k0000200"), &bytes);
}

static const struct call {
	const char *name;
	int (*run)(struct scene *s);
	enum { OPEN, SHUT, EMPTY } begins; /* with the store open, or without */
} calls[] = {
	{ "open", call_open, SHUT },
	{ "open_new", call_open_new, EMPTY },
	{ "open_read_only", call_open_read_only, SHUT },
	{ "close", call_close, OPEN },
	{ "put", call_put, OPEN },
	{ "put_large", call_put_large, OPEN },
	{ "put_synced", call_put_synced, OPEN },
	{ "put_many", call_put_many, OPEN },
	{ "delete", call_delete, OPEN },
	{ "batch", call_batch, OPEN },
	{ "get", call_get, OPEN },
	{ "mget", call_mget, OPEN },
	{ "iter_forward", call_iter_forward, OPEN },
	{ "iter_backward", call_iter_backward, OPEN },
	{ "iter_bounded", call_iter_bounded, OPEN },
	{ "snapshot", call_snapshot, OPEN },
	{ "sync", call_sync, OPEN },
	{ "flush", call_flush, OPEN },
	{ "compact_range", call_compact_range, OPEN },
	{ "wait_idle", call_wait_idle, OPEN },
	{ "verify", call_verify, OPEN },
	{ "stats", call_stats, OPEN },
	{ "property", call_property, OPEN },
	{ "approximate_size", call_approximate_size, OPEN },
};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* ---- The sweep ---- */

static void
scene_begin(struct scene *s, const struct call *call)
{
	scene_init(s);
	if (call->begins == OPEN) {
		ck_assert_int_eq(scene_open(s), 0);
		ck_assert_int_eq(put(s, 4, "in memory"), 0);
	} else if (call->begins == EMPTY) {
		fault_env_free(s->disk);
		s->disk = fault_env_new(1);
		model_clear(s->model);
	}
}

/* One case; *out_count is how many allocations the call made.  True: it failed
 * none. */
static bool
try_case(unsigned number, uint64_t nth, bool forever, uint64_t *out_count)
{
	const struct call *call = &calls[number];
	struct scene s;
	uint64_t failed;
	int r;

	scene_begin(&s, call);
	alloc_fault_start(ALLOC_FAULT_MINE, nth, forever);
	r = call->run(&s);
	failed = alloc_fault_stop();
	if (r != 0 && (r != -ENOMEM || failed == 0))
		ck_abort_msg("%s answers %d; KEYFS_TEST_CASE=%u,%" PRIu64 ",%d",
			     call->name, r, number, nth, forever);
	expect_whole(&s);
	scene_fini(&s);
	*out_count = alloc_fault_count();
	return failed == 0;
}

static uint64_t
wanted_points(void)
{
	const char *given = getenv("KEYFS_TEST_POINTS");

	return given ? strtoull(given, NULL, 0) : POINTS;
}

/* How far apart the points are that are tried. */
static uint64_t
step_of(uint64_t count)
{
	uint64_t wanted = wanted_points();

	return wanted && count > wanted ? count / wanted : 1;
}

START_TEST(no_memory_is_an_error_of_the_call_and_nothing_else)
{
	uint64_t count, nth, step;
	int forever;

	image_make();
	ck_assert(try_case((unsigned)_i, UINT64_MAX, false, &count));
	step = step_of(count);
	for (forever = 0; forever < 2; forever++) {
		nth = suite_seed() % step;
		while (!try_case((unsigned)_i, nth, forever, &count))
			nth += step;
	}
	image_free();
}
END_TEST

START_TEST(one_case_again)
{
	unsigned long long nth;
	unsigned number;
	uint64_t count;
	int forever;

	ck_assert_int_eq(sscanf(getenv("KEYFS_TEST_CASE"), "%u,%llu,%d",
				&number, &nth, &forever),
			 3);
	ck_assert_uint_lt(number, CALLS);
	image_make();
	(void)try_case(number, nth, forever, &count);
	image_free();
}
END_TEST

/* ---- The workers ---- */

static void
expect_done(int r)
{
	if (r != -ENOMEM)
		ck_assert_int_eq(r, 0);
}

/* Seals, flushes and compacts many times over. */
static void
make_workers_work(struct scene *s)
{
	unsigned i;

	for (i = 0; i < 120; i++)
		expect_done(put(s, i * 7 % KEYS, "worked on"));
	expect_done(keyfs_flush(s->store));
	expect_done(keyfs_compact_range(s->store, NULL, no_bound, no_bound));
	expect_done(keyfs_wait_idle(s->store));
}

static uint64_t
starve_workers(uint64_t nth, bool forever)
{
	struct scene s;
	unsigned tries;

	scene_begin(&s, &calls[CALLS - 1]);
	alloc_fault_start(ALLOC_FAULT_OTHERS, nth, forever);
	make_workers_work(&s);
	(void)alloc_fault_stop();
	/* With memory again, whatever they left is done.  What was tried before
	 * may still end, without. */
	for (tries = 0; keyfs_flush(s.store) == -ENOMEM && tries < 500; tries++)
		(void)usleep(10000);
	ck_assert_int_eq(keyfs_flush(s.store), 0);
	ck_assert_int_eq(keyfs_compact_range(s.store, NULL, no_bound, no_bound),
			 0);
	ck_assert_int_eq(keyfs_wait_idle(s.store), 0);
	expect_whole(&s);
	scene_fini(&s);
	return alloc_fault_count();
}

START_TEST(workers_without_memory_try_again)
{
	uint64_t count, nth, step;

	image_make();
	count = starve_workers(UINT64_MAX, false);
	step = step_of(count);
	for (nth = suite_seed() % step; nth < count; nth += step)
		(void)starve_workers(nth, _i);
	image_free();
}
END_TEST

START_TEST(the_interval_syncs_without_memory)
{
	struct scene s;
	unsigned i;

	image_make();
	scene_init(&s);
	s.options.commit_interval_ms = 1;
	ck_assert_int_eq(scene_open(&s), 0);
	/* A look at the clock takes an interval. */
	fault_env_set_clock(s.disk, 1000000000, 10000000);
	alloc_fault_start(ALLOC_FAULT_OTHERS, 0, true);
	ck_assert_int_eq(put(&s, 1, "synced by the keeper"), 0);
	for (i = 0;
	     i < 3000 && keyfs_durable_seq(s.store) < keyfs_last_seq(s.store);
	     i++)
		(void)usleep(10000);
	(void)alloc_fault_stop();
	ck_assert_uint_eq(keyfs_durable_seq(s.store), keyfs_last_seq(s.store));
	expect_whole(&s);
	scene_fini(&s);
	image_free();
}
END_TEST

/* ---- On a real disk ---- */

/* The simulated disk allocates for itself: this is for the calls of the real one. */
START_TEST(the_real_disk_without_memory)
{
	struct keyfs_options options = small();
	uint64_t nth, failed = 1;
	struct keyfs_store *store;
	char *path;
	int r;

	/* Each in a directory of its own: what a failed opening could not remove
	 * is more to look at for the next one. */
	for (nth = 0; failed; nth++) {
		path = tmpdir_new();
		alloc_fault_start(ALLOC_FAULT_MINE, nth, _i);
		store = NULL;
		r = keyfs_open(path, &options, &store);
		if (r == 0)
			r = keyfs_put(store, NULL, keyfs_str("k"),
				      keyfs_str("v"), 0);
		if (store) {
			int closed = keyfs_close(store);

			r = r ? r : closed;
		}
		failed = alloc_fault_stop();
		if (r != -ENOMEM || !failed)
			ck_assert_int_eq(r, 0);
		tmpdir_free(path);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("alloc");
	TCase *tcase = tcase_create("alloc");

	tcase_set_timeout(tcase, TIMEOUT_S);
	if (getenv("KEYFS_TEST_CASE")) {
		tcase_add_test(tcase, one_case_again);
	} else {
		tcase_add_loop_test(
			tcase,
			no_memory_is_an_error_of_the_call_and_nothing_else, 0,
			CALLS);
		tcase_add_loop_test(tcase, workers_without_memory_try_again, 0,
				    2);
		tcase_add_test(tcase, the_interval_syncs_without_memory);
		tcase_add_loop_test(tcase, the_real_disk_without_memory, 0, 2);
	}
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
