/* SPDX-License-Identifier: Apache-2.0 */
/* db_test.c - the store through its public interface: what each call promises, one
 * claim a test.  The disk is db_disk_test.c's subject, random sequences are
 * db_model_test.c's, crashes crash_test.c's. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

/* ---- Keys and values ---- */

START_TEST(what_is_put_is_got)
{
	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	ck_assert_int_eq(db_kit_put("b", ""), 0);
	ck_assert_int_eq(db_kit_put("a", "2"), 0);
	ck_assert_str_eq(db_kit_get("a"), "2");
	ck_assert_str_eq(db_kit_get("b"), "");
	ck_assert_str_eq(db_kit_get("c"), "-");
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("a"), 0), 0);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("c"), 0), 0);
	ck_assert_str_eq(db_kit_get("a"), "-");
}
END_TEST

START_TEST(it_is_there_after_reopening)
{
	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	db_kit_reopen();
	ck_assert_str_eq(db_kit_get("a"), "1");
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	db_kit_reopen();
	db_kit_reopen();
	ck_assert_str_eq(db_kit_get("a"), "1");
	ck_assert_str_eq(db_kit_get("b"), "2");
}
END_TEST

START_TEST(many_keys_pass_through_flush_and_compaction)
{
	unsigned round;

	for (round = 0; round < 5; round++)
		db_kit_fill(1000, round % 2 ? "odd" : "even");
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_gt(db_kit_stats().flushes, 10);
	ck_assert_uint_gt(db_kit_stats().compactions, 0);
	ck_assert_str_eq(db_kit_get("key000000"), "even");
	ck_assert_str_eq(db_kit_get("key000999"), "even");
	ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
	db_kit_reopen();
	ck_assert_str_eq(db_kit_get("key000500"), "even");
}
END_TEST

START_TEST(limits_of_keys_and_values_are_kept)
{
	struct keyfs_options options = db_kit_small();
	static uint8_t big[KEYFS_VALUE_MAX + 1];
	struct keyfs_slice key = keyfs_bytes(big, KEYFS_KEY_MAX);
	struct keyfs_value value;

	ck_assert_int_eq(db_kit_put("", "x"), -EINVAL);
	ck_assert_int_eq(keyfs_put(store, NULL,
				   keyfs_bytes(big, KEYFS_KEY_MAX + 1),
				   keyfs_str(""), 0),
			 -EINVAL);
	ck_assert_int_eq(keyfs_put(store, NULL, key, keyfs_str("x"), 0), 0);
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("k"),
				   keyfs_bytes(big, 1 << 20), 0),
			 -E2BIG);
	ck_assert_int_eq(keyfs_close(store), 0);
	options.memory_bytes = 256 << 20;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("k"),
				   keyfs_bytes(big, KEYFS_VALUE_MAX + 1), 0),
			 -EINVAL);
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("k"),
				   keyfs_bytes(big, KEYFS_VALUE_MAX), 0),
			 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, keyfs_str("k"), 0,
				   &value),
			 0);
	ck_assert_uint_eq(value.data.len, KEYFS_VALUE_MAX);
	keyfs_value_release(&value);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, key, 0, &value), 0);
	keyfs_value_release(&value);
}
END_TEST

START_TEST(a_pinned_value_outlives_its_overwriting)
{
	struct keyfs_value in_memory, in_table;

	ck_assert_int_eq(db_kit_put("a", "old"), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(db_kit_put("b", "old"), 0);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, keyfs_str("a"), 0,
				   &in_table),
			 0);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, keyfs_str("b"), 0,
				   &in_memory),
			 0);
	ck_assert_int_eq(db_kit_put("a", "new"), 0);
	ck_assert_int_eq(db_kit_put("b", "new"), 0);
	db_kit_fill(2000, "x");
	ck_assert_int_eq(keyfs_compact_range(store, NULL,
					     (struct keyfs_slice){ 0 },
					     (struct keyfs_slice){ 0 }),
			 0);
	ck_assert_int_eq(memcmp(in_table.data.data, "old", 3), 0);
	ck_assert_int_eq(memcmp(in_memory.data.data, "old", 3), 0);
	ck_assert_int_eq(keyfs_close(store), -EBUSY);
	keyfs_value_release(&in_table);
	keyfs_value_release(&in_memory);
}
END_TEST

START_TEST(mget_reads_one_state)
{
	struct keyfs_slice keys[] = { keyfs_str("a"), keyfs_str("none"),
				      keyfs_str("b") };
	struct keyfs_value values[3];
	int results[3];

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	ck_assert_int_eq(keyfs_mget(store, NULL, NULL, 3, keys, 0, values,
				    results),
			 0);
	ck_assert_int_eq(results[0], 0);
	ck_assert_int_eq(results[1], -ENOENT);
	ck_assert_int_eq(results[2], 0);
	ck_assert_int_eq(memcmp(values[2].data.data, "2", 1), 0);
	keyfs_value_release(&values[0]);
	keyfs_value_release(&values[1]);
	keyfs_value_release(&values[2]);
}
END_TEST

/* ---- Batches ---- */

START_TEST(a_failed_condition_leaves_nothing)
{
	struct keyfs_batch *batch;
	uint64_t seq;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	seq = keyfs_last_seq(store);
	ck_assert_int_eq(db_kit_put("a", "2"), 0);
	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	keyfs_batch_put(batch, NULL, keyfs_str("b"), keyfs_str("x"));
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"), seq);
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	ck_assert_str_eq(db_kit_get("b"), "-");
	keyfs_batch_clear(batch);
	keyfs_batch_put(batch, NULL, keyfs_str("b"), keyfs_str("x"));
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"),
				      keyfs_last_seq(store));
	keyfs_batch_require_absent(batch, NULL, keyfs_str("b"));
	ck_assert_int_eq(keyfs_commit(store, batch, 0, &seq), 0);
	ck_assert_uint_eq(seq, keyfs_last_seq(store));
	ck_assert_str_eq(db_kit_get("b"), "x");
	/* It is there now. */
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	keyfs_batch_free(batch);
}
END_TEST

START_TEST(conditions_see_what_was_flushed_since)
{
	struct keyfs_batch *batch;
	uint64_t before;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	ck_assert_int_eq(db_kit_put("gone", "1"), 0);
	before = keyfs_last_seq(store);
	ck_assert_int_eq(db_kit_put("a", "2"), 0);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("gone"), 0), 0);
	ck_assert_int_eq(keyfs_compact_range(store, NULL,
					     (struct keyfs_slice){ 0 },
					     (struct keyfs_slice){ 0 }),
			 0);
	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"), before);
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	/* Deleted since, and the tombstone is compacted away. */
	keyfs_batch_clear(batch);
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("gone"), before);
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	keyfs_batch_clear(batch);
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"),
				      keyfs_last_seq(store));
	keyfs_batch_require_absent(batch, NULL, keyfs_str("gone"));
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), 0);
	keyfs_batch_free(batch);
}
END_TEST

START_TEST(an_absent_key_in_an_empty_store_is_absent)
{
	struct keyfs_batch *batch;

	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	keyfs_batch_put(batch, NULL, keyfs_str("a"), keyfs_str("1"));
	keyfs_batch_require_absent(batch, NULL, keyfs_str("a"));
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), 0);
	keyfs_batch_free(batch);
}
END_TEST

START_TEST(a_batch_larger_than_a_memtable_goes_through)
{
	static uint8_t big[100000];
	struct keyfs_batch *batch;
	char key[16];
	unsigned i;

	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	for (i = 0; i < 2; i++) {
		(void)snprintf(key, sizeof(key), "k%u", i);
		keyfs_batch_put(batch, NULL, keyfs_str(key),
				keyfs_bytes(big, sizeof(big)));
	}
	for (i = 0; i < 20; i++)
		ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), 0);
	keyfs_batch_free(batch);
	ck_assert_int_eq(keyfs_flush(store), 0);
}
END_TEST

/* ---- Snapshots and iterators ---- */

START_TEST(a_snapshot_sees_the_old_state_through_compactions)
{
	struct keyfs_snapshot *snapshot;

	ck_assert_int_eq(db_kit_put("a", "old"), 0);
	ck_assert_int_eq(db_kit_put("b", "old"), 0);
	ck_assert_int_eq(keyfs_snapshot_new(store, &snapshot), 0);
	ck_assert_int_eq(db_kit_put("a", "new"), 0);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("b"), 0), 0);
	db_kit_fill(3000, "x");
	ck_assert_int_eq(keyfs_compact_range(store, NULL,
					     (struct keyfs_slice){ 0 },
					     (struct keyfs_slice){ 0 }),
			 0);
	ck_assert_str_eq(db_kit_get_at(snapshot, "a"), "old");
	ck_assert_str_eq(db_kit_get_at(snapshot, "b"), "old");
	ck_assert_str_eq(db_kit_get_at(snapshot, "key000000"), "-");
	ck_assert_str_eq(db_kit_get("a"), "new");
	ck_assert_str_eq(db_kit_get("b"), "-");
	ck_assert_int_eq(keyfs_close(store), -EBUSY);
	keyfs_snapshot_free(snapshot);
}
END_TEST

START_TEST(an_iterator_keeps_to_its_bounds_and_its_state)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .lower = keyfs_str("key000010"),
					      .upper = keyfs_str("key000020") };
	struct keyfs_iter *iter;
	unsigned n = 0;

	db_kit_fill(500, "x");
	ck_assert_int_eq(keyfs_iter_new(store, NULL, &options, &iter), 0);
	db_kit_fill(500, "y");
	ck_assert_int_eq(keyfs_flush(store), 0);
	for (keyfs_iter_first(iter); keyfs_iter_valid(iter);
	     keyfs_iter_next(iter), n++)
		ck_assert_int_eq(memcmp(keyfs_iter_value(iter).data, "x", 1),
				 0);
	ck_assert_int_eq(keyfs_iter_status(iter), 0);
	ck_assert_uint_eq(n, 10);
	ck_assert(keyfs_iter_last(iter));
	ck_assert_int_eq(memcmp(keyfs_iter_key(iter).data, "key000019", 9), 0);
	ck_assert(keyfs_iter_prev(iter));
	ck_assert_int_eq(memcmp(keyfs_iter_key(iter).data, "key000018", 9), 0);
	ck_assert(!keyfs_iter_seek_prev(iter, keyfs_str("key000009")));
	ck_assert(keyfs_iter_seek_prev(iter, keyfs_str("key000015x")));
	ck_assert_int_eq(memcmp(keyfs_iter_key(iter).data, "key000015", 9), 0);
	ck_assert_int_eq(keyfs_close(store), -EBUSY);
	keyfs_iter_free(iter);
}
END_TEST

/* ---- Threads ---- */

struct writer {
	pthread_t thread;
	unsigned id;
};

enum { WRITERS = 4, WRITES = 400 };

static void *
write_and_sync(void *arg)
{
	struct writer *writer = arg;
	char key[32];
	unsigned i;

	for (i = 0; i < WRITES; i++) {
		(void)snprintf(key, sizeof(key), "w%u-%05u", writer->id, i);
		if (keyfs_put(store, NULL, keyfs_str(key), keyfs_str("value"),
			      i % 16 ? 0 : KEYFS_SYNC))
			return arg;
		if (strcmp("-", key) && i % 64 == 0) {
			struct keyfs_value value;

			if (keyfs_get(store, NULL, NULL, keyfs_str(key), 0,
				      &value))
				return arg;
			keyfs_value_release(&value);
		}
	}
	return NULL;
}

START_TEST(writers_on_threads_lose_nothing)
{
	struct writer writers[WRITERS];
	struct keyfs_iter *iter;
	unsigned i, n = 0;
	void *failed;

	for (i = 0; i < WRITERS; i++) {
		writers[i].id = i;
		ck_assert_int_eq(pthread_create(&writers[i].thread, NULL,
						write_and_sync, &writers[i]),
				 0);
	}
	for (i = 0; i < WRITERS; i++) {
		ck_assert_int_eq(pthread_join(writers[i].thread, &failed), 0);
		ck_assert_ptr_null(failed);
	}
	ck_assert_int_eq(keyfs_iter_new(store, NULL, NULL, &iter), 0);
	for (keyfs_iter_first(iter); keyfs_iter_valid(iter);
	     keyfs_iter_next(iter))
		n++;
	keyfs_iter_free(iter);
	ck_assert_uint_eq(n, WRITERS * WRITES);
	ck_assert_uint_eq(keyfs_last_seq(store), WRITERS * WRITES);
}
END_TEST

/* ---- Bounds ---- */

START_TEST(memtables_and_cache_share_one_budget)
{
	struct keyfs_options options = db_kit_small();
	struct keyfs_stats s;
	unsigned i;

	ck_assert_int_eq(keyfs_close(store), 0);
	options.memory_bytes = 4 << 20;
	options.memtable_bytes = 1 << 20;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	for (i = 0; i < 40000; i++) {
		static const char value[400] = "v";
		char key[32];

		(void)snprintf(key, sizeof(key), "key%06u", i * 7919 % 40000);
		ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str(key),
					   keyfs_bytes(value, sizeof(value)),
					   0),
				 0);
		(void)db_kit_get(key + i % 2);
		if (i % 500)
			continue;
		s = db_kit_stats();
		/* The keeper makes way a moment after the switch. */
		ck_assert_uint_le(s.memtable_bytes + s.cache_bytes,
				  s.memory_budget + options.memtable_bytes / 2);
	}
}
END_TEST

/* ---- Looking inside ---- */

START_TEST(properties_are_text)
{
	static const char *const names[] = { "stats", "levels", "tables",
					     "memory", "options" };
	char *text;
	size_t i;

	db_kit_fill(500, "x");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ck_assert_int_eq(keyfs_property(store, names[i], &text), 0);
		ck_assert_uint_gt(strlen(text), 10);
		ck_assert_int_eq(text[strlen(text) - 1], '\n');
		free(text);
	}
	ck_assert_int_eq(keyfs_property(store, "nonsense", &text), -ENOENT);
}
END_TEST

static Suite *
db_suite(void)
{
	Suite *suite = suite_create("db");
	TCase *tcase = tcase_create("db");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, db_kit_setup, db_kit_teardown);
	tcase_add_test(tcase, what_is_put_is_got);
	tcase_add_test(tcase, it_is_there_after_reopening);
	tcase_add_test(tcase, many_keys_pass_through_flush_and_compaction);
	tcase_add_test(tcase, limits_of_keys_and_values_are_kept);
	tcase_add_test(tcase, a_pinned_value_outlives_its_overwriting);
	tcase_add_test(tcase, mget_reads_one_state);
	tcase_add_test(tcase, a_failed_condition_leaves_nothing);
	tcase_add_test(tcase, conditions_see_what_was_flushed_since);
	tcase_add_test(tcase, an_absent_key_in_an_empty_store_is_absent);
	tcase_add_test(tcase, a_batch_larger_than_a_memtable_goes_through);
	tcase_add_test(tcase,
		       a_snapshot_sees_the_old_state_through_compactions);
	tcase_add_test(tcase, an_iterator_keeps_to_its_bounds_and_its_state);
	tcase_add_test(tcase, writers_on_threads_lose_nothing);
	tcase_add_test(tcase, memtables_and_cache_share_one_budget);
	tcase_add_test(tcase, properties_are_text);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(db_suite());
}
