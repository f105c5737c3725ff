/* SPDX-License-Identifier: Apache-2.0 */
/* db_race_test.c - everything at once: writers with conditions, readers, iterators,
 * snapshots, flushes, range compactions, syncs and statistics on one store.  What must
 * hold is counted; what must not race is the thread sanitizer's to find. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "tests/fault_env.h"
#include "tests/suite.h"

enum {
	COUNTERS = 4,   /* keys that hold a number, incremented by condition */
	COUNTING = 3,   /* threads that do it */
	COUNTS = 150,   /* increments of each */
	TOGGLING = 2,   /* threads that create and delete one name */
	TOGGLES = 150,  /* successes of each */
	PAIRS = 40,     /* keys written in twos, always equal */
	PAIRINGS = 300, /* batches of the writer of pairs */
};

static struct fault_env *disk;
static struct keyfs_store *store;
static _Atomic bool done;
static _Atomic unsigned there; /* creations minus deletions */

static void
open_store(void)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 1 << 20,
					 .memtable_bytes = 4096,
					 .commit_interval_ms = 1,
					 .block_bytes = 256,
					 .table_bytes = 2048,
					 .level_bytes = 8192,
					 .level_ratio = 4,
					 .reserve_bytes = 4096 };

	ck_assert_int_eq(db_open(fault_env(disk), "store", &options, &store),
			 0);
}

static void
setup(void)
{
	disk = fault_env_new(1);
	open_store();
}

static void
teardown(void)
{
	(void)keyfs_close(store);
	fault_env_free(disk);
}

/* A failed check in a thread must end the program: check's own longjmp would not. */
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition)) {                                            \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__,         \
				      __LINE__, #condition);                   \
			abort();                                               \
		}                                                              \
	} while (0)

/* The number under a key as of a snapshot and the write that made it. */
static uint64_t
read_number(const struct keyfs_snapshot *snapshot, const char *key,
	    uint64_t *out_seq)
{
	struct keyfs_value value = { 0 };
	uint64_t number = 0;
	int r = keyfs_get(store, NULL, snapshot, keyfs_str(key), 0, &value);

	MUST(r == 0 || r == -ENOENT);
	if (r == 0) {
		MUST(value.data.len == sizeof(number));
		memcpy(&number, value.data.data, sizeof(number));
	}
	*out_seq = value.seq;
	keyfs_value_release(&value);
	return number;
}

/* One try to add 1: reads at a snapshot, writes if nothing changed since. */
static int
increment(struct keyfs_batch *batch, const char *key, unsigned flags)
{
	struct keyfs_snapshot *snapshot;
	uint64_t number, seq;
	int r;

	MUST(keyfs_snapshot_new(store, &snapshot) == 0);
	number = read_number(snapshot, key, &seq) + 1;
	keyfs_batch_clear(batch);
	keyfs_batch_put(batch, NULL, keyfs_str(key),
			keyfs_bytes(&number, sizeof(number)));
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str(key),
				      keyfs_snapshot_seq(snapshot));
	keyfs_snapshot_free(snapshot);
	do
		r = keyfs_commit(store, batch, flags, &seq);
	while (r == -EAGAIN && (flags &= ~KEYFS_NOWAIT, true));
	if (r == 0 && flags & KEYFS_SYNC)
		MUST(keyfs_durable_seq(store) >= seq);
	return r;
}

static void *
count_main(void *arg)
{
	unsigned id = *(unsigned *)arg, i;
	struct keyfs_batch *batch;
	char key[16];
	int r;

	MUST(keyfs_batch_new(&batch) == 0);
	for (i = 0; i < COUNTS; i += r == 0) {
		unsigned flags = i % 32 == 0 ? KEYFS_SYNC
				 : i % 3     ? KEYFS_NOWAIT
					     : 0;

		(void)snprintf(key, sizeof(key), "count%u", i % COUNTERS);
		r = increment(batch, key, flags);
		MUST(r == 0 || r == -ECANCELED);
	}
	(void)id;
	keyfs_batch_free(batch);
	return NULL;
}

/* Creates the name if it is absent, deletes it if it is as it was made. */
static void *
toggle_main(void *arg)
{
	struct keyfs_batch *batch;
	unsigned i;
	int r;

	(void)arg;
	MUST(keyfs_batch_new(&batch) == 0);
	for (i = 0; i < TOGGLES; i += r == 0) {
		uint64_t number, seq;

		keyfs_batch_clear(batch);
		number = read_number(NULL, "toggle", &seq);
		if (number == 0) {
			number = 1;
			keyfs_batch_put(batch, NULL, keyfs_str("toggle"),
					keyfs_bytes(&number, sizeof(number)));
			keyfs_batch_require_absent(batch, NULL,
						   keyfs_str("toggle"));
		} else {
			number = 0;
			keyfs_batch_delete(batch, NULL, keyfs_str("toggle"));
			keyfs_batch_require_unchanged(batch, NULL,
						      keyfs_str("toggle"), seq);
		}
		r = keyfs_commit(store, batch, 0, NULL);
		MUST(r == 0 || r == -ECANCELED);
		/* Two creations without a deletion between them, or the reverse,
		 * would leave the range for good. */
		if (r == 0)
			atomic_fetch_add(&there, number ? 1u : -1u);
	}
	keyfs_batch_free(batch);
	return NULL;
}

static void *
pair_main(void *arg)
{
	struct keyfs_batch *batch;
	char a[16], b[16];
	uint64_t i;

	(void)arg;
	MUST(keyfs_batch_new(&batch) == 0);
	for (i = 1; i <= PAIRINGS; i++) {
		(void)snprintf(a, sizeof(a), "a%02u", (unsigned)(i % PAIRS));
		(void)snprintf(b, sizeof(b), "z%02u", (unsigned)(i % PAIRS));
		keyfs_batch_clear(batch);
		keyfs_batch_put(batch, NULL, keyfs_str(a),
				keyfs_bytes(&i, sizeof(i)));
		keyfs_batch_put(batch, NULL, keyfs_str(b),
				keyfs_bytes(&i, sizeof(i)));
		MUST(keyfs_commit(store, batch, 0, NULL) == 0);
	}
	keyfs_batch_free(batch);
	return NULL;
}

/* ---- Beside the writers ---- */

static void *
read_main(void *arg)
{
	struct keyfs_slice keys[2] = { keyfs_str("a07"), keyfs_str("z07") };
	struct keyfs_value values[2];
	int results[2];
	unsigned n = 0;

	(void)arg;
	while (!atomic_load(&done)) {
		int r = keyfs_mget(store, NULL, NULL, 2, keys,
				   n++ % 2 ? KEYFS_NOWAIT : 0, values, results);

		if (r == -EAGAIN)
			continue;
		MUST(r == 0 && results[0] == results[1]);
		if (results[0])
			continue;
		MUST(!memcmp(values[0].data.data, values[1].data.data, 8));
		keyfs_value_release(&values[0]);
		keyfs_value_release(&values[1]);
	}
	return NULL;
}

/* Every a?? must have its equal z?? in the same state. */
static void *
scan_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&done)) {
		uint64_t sum[2] = { 0 }, number;
		struct keyfs_iter *iter;

		MUST(keyfs_iter_new(store, NULL, NULL, &iter) == 0);
		for (keyfs_iter_first(iter); keyfs_iter_valid(iter);
		     keyfs_iter_next(iter)) {
			char first = *(const char *)keyfs_iter_key(iter).data;

			memcpy(&number, keyfs_iter_value(iter).data, 8);
			if (first == 'a' || first == 'z')
				sum[first == 'z'] += number;
		}
		MUST(keyfs_iter_status(iter) == 0);
		MUST(sum[0] == sum[1]);
		keyfs_iter_free(iter);
	}
	return NULL;
}

static void *
maintain_main(void *arg)
{
	struct keyfs_slice none = { 0 };
	unsigned n;

	(void)arg;
	for (n = 0; !atomic_load(&done); n++) {
		if (n % 3 == 0)
			MUST(keyfs_flush(store) == 0);
		else if (n % 3 == 1)
			MUST(keyfs_compact_range(store, NULL, none, none) == 0);
		else
			MUST(keyfs_wait_idle(store) == 0);
	}
	return NULL;
}

static void *
look_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&done)) {
		struct keyfs_stats stats = { .size = sizeof(stats) };
		uint64_t last = keyfs_last_seq(store), size;
		struct keyfs_slice none = { 0 };
		char *text;

		MUST(keyfs_sync(store) == 0);
		MUST(keyfs_durable_seq(store) >= last);
		MUST(keyfs_stats_get(store, &stats) == 0);
		MUST(stats.state == KEYFS_STATE_OK);
		MUST(keyfs_property(store, "tables", &text) == 0);
		free(text);
		MUST(keyfs_approximate_size(store, NULL, none, none, &size) ==
		     0);
		MUST(keyfs_verify(store, NULL, NULL) == 0);
	}
	return NULL;
}

static void
check_counts(void)
{
	uint64_t sum = 0, seq;
	char key[16];
	unsigned i;

	for (i = 0; i < COUNTERS; i++) {
		(void)snprintf(key, sizeof(key), "count%u", i);
		sum += read_number(NULL, key, &seq);
	}
	ck_assert_uint_eq(sum, COUNTING * COUNTS);
	ck_assert_uint_eq(atomic_load(&there),
			  read_number(NULL, "toggle", &seq));
}

START_TEST(nothing_is_lost_or_torn_when_everything_runs_at_once)
{
	void *(*const writers[])(void *) = { count_main,  count_main,
					     count_main,  toggle_main,
					     toggle_main, pair_main };
	void *(*const others[])(void *) = { read_main, scan_main, maintain_main,
					    look_main };
	enum { W = sizeof(writers) / sizeof(writers[0]) };
	enum { O = sizeof(others) / sizeof(others[0]) };
	pthread_t threads[W + O];
	unsigned i, ids[W];

	for (i = 0; i < W; i++) {
		ids[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, writers[i],
						&ids[i]),
				 0);
	}
	for (i = 0; i < O; i++)
		ck_assert_int_eq(pthread_create(&threads[W + i], NULL,
						others[i], NULL),
				 0);
	for (i = 0; i < W; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	atomic_store(&done, true);
	for (i = 0; i < O; i++)
		ck_assert_int_eq(pthread_join(threads[W + i], NULL), 0);
	check_counts();
	ck_assert_int_eq(keyfs_close(store), 0);
	open_store();
	check_counts();
}
END_TEST

static Suite *
db_race_suite(void)
{
	Suite *suite = suite_create("db_race");
	TCase *tcase = tcase_create("race");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
		       nothing_is_lost_or_torn_when_everything_runs_at_once);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(db_race_suite());
}
