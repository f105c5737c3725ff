/* SPDX-License-Identifier: Apache-2.0 */
/* db_test.c - the store through its public interface: what each call promises, one
 * claim a test.  Random sequences are db_model_test.c's work, crashes crash_test.c's. */
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
#include "tests/fault_env.h"
#include "tests/suite.h"

static struct fault_env *disk;
static struct keyfs_store *store;

static struct keyfs_options
small(void)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 4096,
				       .block_bytes = 256,
				       .table_bytes = 4096,
				       .level_bytes = 16384,
				       .reserve_bytes = 1 << 20 };
}

static int
open_with(const struct keyfs_options *options)
{
	return db_open(fault_env(disk), "store", options, &store);
}

static void
reopen(void)
{
	struct keyfs_options options = small();

	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	ck_assert_int_eq(open_with(&options), 0);
}

static void
setup(void)
{
	struct keyfs_options options = small();

	disk = fault_env_new(1);
	ck_assert_int_eq(open_with(&options), 0);
}

static void
teardown(void)
{
	(void)keyfs_close(store);
	fault_env_free(disk);
}

static int
put(const char *key, const char *value)
{
	return keyfs_put(store, NULL, keyfs_str(key), keyfs_str(value), 0);
}

/* What a key holds, in static memory; "-" if it is absent, "!" on an error. */
static const char *
get_at(const struct keyfs_snapshot *snapshot, const char *key)
{
	static char text[4096];
	struct keyfs_value value;
	int r = keyfs_get(store, NULL, snapshot, keyfs_str(key), 0, &value);

	if (r < 0)
		return r == -ENOENT ? "-" : "!";
	memcpy(text, value.data.data, value.data.len);
	text[value.data.len] = '\0';
	keyfs_value_release(&value);
	return text;
}

static const char *
get(const char *key)
{
	return get_at(NULL, key);
}

static void
fill(unsigned count, const char *value)
{
	char key[32];
	unsigned i;

	for (i = 0; i < count; i++) {
		(void)snprintf(key, sizeof(key), "key%06u", i);
		ck_assert_int_eq(put(key, value), 0);
	}
}

static struct keyfs_stats
stats(void)
{
	struct keyfs_stats s = { .size = sizeof(s) };

	ck_assert_int_eq(keyfs_stats_get(store, &s), 0);
	return s;
}

/* ---- Keys and values ---- */

START_TEST(what_is_put_is_got)
{
	ck_assert_int_eq(put("a", "1"), 0);
	ck_assert_int_eq(put("b", ""), 0);
	ck_assert_int_eq(put("a", "2"), 0);
	ck_assert_str_eq(get("a"), "2");
	ck_assert_str_eq(get("b"), "");
	ck_assert_str_eq(get("c"), "-");
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("a"), 0), 0);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("c"), 0), 0);
	ck_assert_str_eq(get("a"), "-");
}
END_TEST

START_TEST(it_is_there_after_reopening)
{
	ck_assert_int_eq(put("a", "1"), 0);
	reopen();
	ck_assert_str_eq(get("a"), "1");
	ck_assert_int_eq(put("b", "2"), 0);
	reopen();
	reopen();
	ck_assert_str_eq(get("a"), "1");
	ck_assert_str_eq(get("b"), "2");
}
END_TEST

START_TEST(many_keys_pass_through_flush_and_compaction)
{
	unsigned round;

	for (round = 0; round < 5; round++)
		fill(1000, round % 2 ? "odd" : "even");
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_gt(stats().flushes, 10);
	ck_assert_uint_gt(stats().compactions, 0);
	ck_assert_str_eq(get("key000000"), "even");
	ck_assert_str_eq(get("key000999"), "even");
	ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
	reopen();
	ck_assert_str_eq(get("key000500"), "even");
}
END_TEST

START_TEST(limits_of_keys_and_values_are_kept)
{
	struct keyfs_options options = small();
	static uint8_t big[KEYFS_VALUE_MAX + 1];
	struct keyfs_slice key = keyfs_bytes(big, KEYFS_KEY_MAX);
	struct keyfs_value value;

	ck_assert_int_eq(put("", "x"), -EINVAL);
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
	ck_assert_int_eq(open_with(&options), 0);
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

	ck_assert_int_eq(put("a", "old"), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(put("b", "old"), 0);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, keyfs_str("a"), 0,
				   &in_table),
			 0);
	ck_assert_int_eq(keyfs_get(store, NULL, NULL, keyfs_str("b"), 0,
				   &in_memory),
			 0);
	ck_assert_int_eq(put("a", "new"), 0);
	ck_assert_int_eq(put("b", "new"), 0);
	fill(2000, "x");
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

	ck_assert_int_eq(put("a", "1"), 0);
	ck_assert_int_eq(put("b", "2"), 0);
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

	ck_assert_int_eq(put("a", "1"), 0);
	seq = keyfs_last_seq(store);
	ck_assert_int_eq(put("a", "2"), 0);
	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	keyfs_batch_put(batch, NULL, keyfs_str("b"), keyfs_str("x"));
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"), seq);
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	ck_assert_str_eq(get("b"), "-");
	keyfs_batch_clear(batch);
	keyfs_batch_put(batch, NULL, keyfs_str("b"), keyfs_str("x"));
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("a"),
				      keyfs_last_seq(store));
	keyfs_batch_require_absent(batch, NULL, keyfs_str("b"));
	ck_assert_int_eq(keyfs_commit(store, batch, 0, &seq), 0);
	ck_assert_uint_eq(seq, keyfs_last_seq(store));
	ck_assert_str_eq(get("b"), "x");
	/* It is there now. */
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -ECANCELED);
	keyfs_batch_free(batch);
}
END_TEST

START_TEST(conditions_see_what_was_flushed_since)
{
	struct keyfs_batch *batch;
	uint64_t before;

	ck_assert_int_eq(put("a", "1"), 0);
	ck_assert_int_eq(put("gone", "1"), 0);
	before = keyfs_last_seq(store);
	ck_assert_int_eq(put("a", "2"), 0);
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

	ck_assert_int_eq(put("a", "old"), 0);
	ck_assert_int_eq(put("b", "old"), 0);
	ck_assert_int_eq(keyfs_snapshot_new(store, &snapshot), 0);
	ck_assert_int_eq(put("a", "new"), 0);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("b"), 0), 0);
	fill(3000, "x");
	ck_assert_int_eq(keyfs_compact_range(store, NULL,
					     (struct keyfs_slice){ 0 },
					     (struct keyfs_slice){ 0 }),
			 0);
	ck_assert_str_eq(get_at(snapshot, "a"), "old");
	ck_assert_str_eq(get_at(snapshot, "b"), "old");
	ck_assert_str_eq(get_at(snapshot, "key000000"), "-");
	ck_assert_str_eq(get("a"), "new");
	ck_assert_str_eq(get("b"), "-");
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

	fill(500, "x");
	ck_assert_int_eq(keyfs_iter_new(store, NULL, &options, &iter), 0);
	fill(500, "y");
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

/* ---- Durability ---- */

static void
crash_and_reopen(enum fault_crash kind)
{
	struct keyfs_options options = small();

	fault_env_crash(disk);
	(void)keyfs_close(store);
	store = NULL;
	fault_env_reboot(disk, kind, 1);
	ck_assert_int_eq(open_with(&options), 0);
}

START_TEST(sync_makes_everything_before_it_durable)
{
	fill(1000, "x");
	ck_assert_int_eq(keyfs_sync(store), 0);
	ck_assert_uint_eq(keyfs_durable_seq(store), keyfs_last_seq(store));
	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert_str_eq(get("key000999"), "x");
	ck_assert_str_eq(get("key000000"), "x");
}
END_TEST

START_TEST(a_commit_with_sync_is_durable)
{
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("a"), keyfs_str("1"),
				   KEYFS_SYNC),
			 0);
	ck_assert_int_eq(put("b", "2"), 0);
	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert_str_eq(get("a"), "1");
	ck_assert_str_eq(get("b"), "-");
}
END_TEST

START_TEST(the_death_of_the_process_alone_loses_nothing)
{
	fill(300, "x");
	crash_and_reopen(FAULT_KEEP_ALL);
	ck_assert_str_eq(get("key000299"), "x");
}
END_TEST

START_TEST(the_interval_syncs_by_itself)
{
	struct keyfs_options options = small();
	unsigned i;

	ck_assert_int_eq(keyfs_close(store), 0);
	options.commit_interval_ms = 10;
	ck_assert_int_eq(open_with(&options), 0);
	fault_env_set_clock(disk, 1000000000, 10000000);
	ck_assert_int_eq(put("a", "1"), 0);
	for (i = 0; i < 500 && keyfs_durable_seq(store) < 1; i++)
		(void)usleep(10000);
	ck_assert_uint_ge(keyfs_durable_seq(store), 1);
}
END_TEST

START_TEST(damage_to_synced_records_is_no_torn_tail)
{
	struct keyfs_options options = small();
	char name[32];
	uint64_t number;

	ck_assert_int_eq(put("a", "1"), 0);
	ck_assert_int_eq(put("b", "2"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	number = wal_writer_number(store->log);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	(void)snprintf(name, sizeof(name), "%06u.log", (unsigned)number);
	ck_assert_int_eq(fault_env_flip(disk, name, (64 + 40 + 2) * 8), 0);
	ck_assert_int_eq(open_with(&options), -EUCLEAN);
	/* Nothing was changed: put right, it opens. */
	ck_assert_int_eq(fault_env_flip(disk, name, (64 + 40 + 2) * 8), 0);
	ck_assert_int_eq(open_with(&options), 0);
	ck_assert_str_eq(get("b"), "2");
}
END_TEST

START_TEST(a_missing_table_is_named)
{
	struct keyfs_options options = small();
	char name[ENV_NAME_MAX + 1];
	struct view *view;
	uint64_t seq;

	fill(100, "x");
	ck_assert_int_eq(keyfs_flush(store), 0);
	view = db_view_pin(store, &seq);
	table_file_name(view->version->levels[0].count
				? view->version->levels[0].tables[0]->number
				: 0,
			name);
	view_unref(view);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	ck_assert_int_eq(fault_env_remove(disk, name), 0);
	ck_assert_int_eq(open_with(&options), -EUCLEAN);
}
END_TEST

/* ---- Failing disks ---- */

START_TEST(a_failed_sync_ends_writing_for_good)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
				   .file = ".log",
				   .error = -EIO,
				   .drop = true };

	ck_assert_int_eq(put("a", "1"), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	ck_assert_int_eq(put("b", "2"), -EIO);
	ck_assert_str_eq(get("a"), "1");
	ck_assert_int_eq(stats().state, KEYFS_STATE_FAILED);
	ck_assert_int_eq(keyfs_close(store), -EIO);
	store = NULL;
}
END_TEST

/* Puts until one is refused; returns how many went through. */
static unsigned
put_until_full(unsigned first)
{
	static const char value[1000];
	char key[32];
	unsigned i;
	int r = 0;

	for (i = first; r == 0 && i < first + 100000; i++) {
		(void)snprintf(key, sizeof(key), "big%06u", i);
		r = keyfs_put(store, NULL, keyfs_str(key),
			      keyfs_bytes(value, sizeof(value)), 0);
	}
	ck_assert_int_eq(r, -ENOSPC);
	return i - 1;
}

START_TEST(a_full_disk_refuses_takes_deletes_and_resumes)
{
	char key[32];
	unsigned i, n;

	fill(100, "x");
	fault_env_set_capacity(disk, fault_env_used(disk) + (6 << 20));
	n = put_until_full(0);
	ck_assert_uint_gt(n, 0);
	/* Others take what the compactions have left. */
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	fault_env_set_capacity(disk, fault_env_used(disk));
	n = put_until_full(n);
	for (i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "key%06u", i);
		ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str(key), 0),
				 0);
	}
	ck_assert_str_eq(get("key000050"), "-");
	ck_assert_str_ne(get("big000000"), "-");
	(void)snprintf(key, sizeof(key), "big%06u", n - 1);
	ck_assert_str_ne(get(key), "-");
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	ck_assert_int_eq(put("more", "x"), 0);
	reopen();
	ck_assert_str_eq(get("more"), "x");
	ck_assert_str_eq(get("key000099"), "-");
}
END_TEST

/* ---- Opening ---- */

START_TEST(opening_tells_its_reasons_apart)
{
	struct keyfs_options options = small();
	struct keyfs_store *other;

	ck_assert_int_eq(db_open(fault_env(disk), "store", &options, &other),
			 -EBUSY);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	options.must_create = true;
	ck_assert_int_eq(open_with(&options), -EEXIST);
	options = small();
	options.create = false;
	ck_assert_int_eq(db_open(fault_env(disk), "none", &options, &other),
			 -ENOENT);
	options.block_bytes = 1;
	ck_assert_int_eq(open_with(&options), -EINVAL);
	ck_assert_int_eq(db_open(fault_env(disk), "store", NULL, &store), 0);
}
END_TEST

START_TEST(read_only_reads_and_changes_nothing)
{
	struct keyfs_options options = small();
	struct keyfs_store *second;
	uint64_t changes;

	fill(500, "x");
	ck_assert_int_eq(put("last", "1"), 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	changes = fault_env_count(disk, FAULT_WRITE) +
		  fault_env_count(disk, FAULT_CREATE) +
		  fault_env_count(disk, FAULT_UNLINK) +
		  fault_env_count(disk, FAULT_RENAME);
	options.create = false;
	options.read_only = true;
	ck_assert_int_eq(open_with(&options), 0);
	ck_assert_int_eq(db_open(fault_env(disk), "store", &options, &second),
			 0);
	ck_assert_str_eq(get("last"), "1");
	ck_assert_str_eq(get("key000123"), "x");
	ck_assert_int_eq(put("a", "1"), -EROFS);
	ck_assert_int_eq(keyfs_close(second), 0);
	ck_assert_uint_eq(changes, fault_env_count(disk, FAULT_WRITE) +
					   fault_env_count(disk, FAULT_CREATE) +
					   fault_env_count(disk, FAULT_UNLINK) +
					   fault_env_count(disk, FAULT_RENAME));
}
END_TEST

START_TEST(a_forked_child_is_refused)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(put("a", "1") == -EPERM && keyfs_close(store) == -EPERM
			      ? 0
			      : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(short_sessions_leave_no_pile_of_files)
{
	unsigned i;

	for (i = 0; i < 40; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "s%u", i);
		ck_assert_int_eq(put(key, "x"), 0);
		reopen();
	}
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_le(stats().level_tables[0], 18);
	ck_assert_str_eq(get("s0"), "x");
	ck_assert_str_eq(get("s39"), "x");
}
END_TEST

START_TEST(the_first_memtable_ends_early_and_the_next_do_not)
{
	struct keyfs_options options = small();
	unsigned i;

	options.memory_bytes = 8 << 20;
	options.memtable_bytes = 2 << 20;
	ck_assert_int_eq(keyfs_close(store), 0);
	ck_assert_int_eq(open_with(&options), 0);
	for (i = 0; i < 4; i++)
		fill(1500, "0123456789012345678901234567890123456789");
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_eq(stats().flushes, 1);
	ck_assert_uint_lt(stats().entries, 2000);
	ck_assert_uint_gt(stats().memtable_bytes, 256 << 10);
}
END_TEST

static int
count_table(void *arg, const char *name)
{
	size_t len = strlen(name);

	if (len > 4 && strcmp(name + len - 4, ".sst") == 0)
		++*(uint64_t *)arg;
	return 0;
}

START_TEST(merged_tables_are_removed_at_once)
{
	uint64_t files = 0, live = 0;
	struct keyfs_slice none = { NULL, 0 };
	unsigned i;

	/* Two tables and nothing else to do, so that nothing else wakes a thread. */
	fill(20, "x");
	ck_assert_int_eq(keyfs_flush(store), 0);
	fill(20, "y");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	(void)usleep(100000);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	for (i = 0; i < KEYFS_LEVELS; i++)
		live += stats().level_tables[i];
	ck_assert_int_eq(env_dir_list(store->dir, count_table, &files), 0);
	ck_assert_uint_eq(files, live);
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
	struct keyfs_options options = small();
	struct keyfs_stats s;
	unsigned i;

	ck_assert_int_eq(keyfs_close(store), 0);
	options.memory_bytes = 4 << 20;
	options.memtable_bytes = 1 << 20;
	ck_assert_int_eq(open_with(&options), 0);
	for (i = 0; i < 40000; i++) {
		static const char value[400] = "v";
		char key[32];

		(void)snprintf(key, sizeof(key), "key%06u", i * 7919 % 40000);
		ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str(key),
					   keyfs_bytes(value, sizeof(value)),
					   0),
				 0);
		(void)get(key + i % 2);
		if (i % 500)
			continue;
		s = stats();
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

	fill(500, "x");
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
	tcase_add_checked_fixture(tcase, setup, teardown);
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
	tcase_add_test(tcase, sync_makes_everything_before_it_durable);
	tcase_add_test(tcase, a_commit_with_sync_is_durable);
	tcase_add_test(tcase, the_death_of_the_process_alone_loses_nothing);
	tcase_add_test(tcase, the_interval_syncs_by_itself);
	tcase_add_test(tcase, damage_to_synced_records_is_no_torn_tail);
	tcase_add_test(tcase, a_missing_table_is_named);
	tcase_add_test(tcase, a_failed_sync_ends_writing_for_good);
	tcase_add_test(tcase, a_full_disk_refuses_takes_deletes_and_resumes);
	tcase_add_test(tcase, opening_tells_its_reasons_apart);
	tcase_add_test(tcase, read_only_reads_and_changes_nothing);
	tcase_add_test(tcase, a_forked_child_is_refused);
	tcase_add_test(tcase, short_sessions_leave_no_pile_of_files);
	tcase_add_test(tcase,
		       the_first_memtable_ends_early_and_the_next_do_not);
	tcase_add_test(tcase, merged_tables_are_removed_at_once);
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
