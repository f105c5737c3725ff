/* SPDX-License-Identifier: Apache-2.0 */
/* db_fail_test.c - the store on disks that fail and disks that are full: what has
 * failed stays failed, what was accepted is kept, and nobody waits for ever. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/fault_env.h"
#include "tests/suite.h"

static struct fault_env *disk;
static struct keyfs_store *store;

static const struct keyfs_slice no_bound;

static struct keyfs_options
small(void)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 16384,
				       .table_bytes = 32768,
				       .level_bytes = 131072,
				       .compression = KEYFS_COMPRESSION_NONE,
				       .reserve_bytes = 1 << 20 };
}

static int
open_with(const struct keyfs_options *options)
{
	return db_open(fault_env(disk), "store", options, &store);
}

static int
open_small(void)
{
	struct keyfs_options options = small();

	return open_with(&options);
}

static void
setup(void)
{
	disk = fault_env_new(1);
	ck_assert_int_eq(open_small(), 0);
}

static void
teardown(void)
{
	(void)keyfs_close(store);
	fault_env_free(disk);
}

static void
shut(int expected)
{
	ck_assert_int_eq(keyfs_close(store), expected);
	store = NULL;
}

static void
crash_and_reopen(enum fault_crash kind)
{
	fault_env_crash(disk);
	(void)keyfs_close(store);
	store = NULL;
	fault_env_reboot(disk, kind, 1);
	fault_env_heal(disk);
	ck_assert_int_eq(open_small(), 0);
}

static int
put(const char *key, const char *value)
{
	return keyfs_put(store, NULL, keyfs_str(key), keyfs_str(value), 0);
}

static bool
has(const char *key)
{
	struct keyfs_value value = { 0 };
	int r = keyfs_get(store, NULL, NULL, keyfs_str(key), 0, &value);

	ck_assert(r == 0 || r == -ENOENT);
	keyfs_value_release(&value);
	return r == 0;
}

static const char *
numbered(unsigned i)
{
	static char key[32];

	(void)snprintf(key, sizeof(key), "key%06u", i);
	return key;
}

/* Puts numbered keys until one is refused; returns that error. */
static int
put_some(unsigned first, unsigned end)
{
	static const char value[400];
	unsigned i;
	int r = 0;

	for (i = first; r == 0 && i < end; i++)
		r = keyfs_put(store, NULL, keyfs_str(numbered(i)),
			      keyfs_bytes(value, sizeof(value)), 0);
	return r;
}

static enum keyfs_state
state(void)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(keyfs_stats_get(store, &stats), 0);
	return stats.state;
}

/* ---- Failed for good ---- */

/* "No space" would say that nothing was done and tables may go; but the record that
 * names them may be on disk. */
START_TEST(a_failed_sync_of_the_manifest_is_never_a_full_disk)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
				   .file = "MANIFEST",
				   .error = -ENOSPC };

	ck_assert_int_eq(put_some(0, 10), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_lt(keyfs_flush(store), 0);
	ck_assert_int_eq(state(), KEYFS_STATE_FAILED);
	ck_assert_int_ne(put("more", "x"), 0);
	ck_assert_int_ne(put("more", "x"), -ENOSPC);
	crash_and_reopen(FAULT_KEEP_ALL);
	ck_assert(has(numbered(9)));
	ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
}
END_TEST

/* The names that a failed sync has lost are not made durable by the next one. */
/* The kernel reports a failed write-back once and takes the pages for clean: they can
 * be read until the power goes, and a sync by the next process answers 0. */
START_TEST(what_a_failed_sync_dropped_is_durable_after_the_next_opening)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
				   .file = ".log",
				   .error = -EIO,
				   .drop = true };

	ck_assert_int_eq(put("before", "1"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	ck_assert_int_eq(put("dropped", "1"), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	(void)keyfs_close(store);
	fault_env_heal(disk);
	ck_assert_int_eq(open_small(), 0);
	ck_assert(has("dropped"));
	shut(0);

	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert(has("before"));
	ck_assert(has("dropped"));
}
END_TEST

START_TEST(a_failed_sync_of_the_directory_is_final)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_DIR_SYNC),
				   .error = -EIO,
				   .drop = true };

	ck_assert_int_eq(put_some(0, 10), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_dir_sync(store->dir), -EIO);
	ck_assert_int_eq(keyfs_flush(store), -EIO);
	ck_assert_int_eq(state(), KEYFS_STATE_FAILED);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	crash_and_reopen(FAULT_DROP_ALL);
}
END_TEST

START_TEST(a_compaction_that_cannot_write_blames_no_table)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_WRITE),
				   .file = ".sst",
				   .error = -EIO };

	ck_assert_int_eq(put_some(0, 100), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_int_eq(put_some(0, 10), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, no_bound, no_bound),
			 -EIO);
	ck_assert_int_eq(state(), KEYFS_STATE_FAILED);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, no_bound, no_bound),
			 -EIO);
	ck_assert(has(numbered(99)));
}
END_TEST

/* ---- Full disks ---- */

/* Fills the disk to the last byte and leaves nothing of the reserve. */
static void
fill_disk(void)
{
	fault_env_set_capacity(disk, fault_env_used(disk) + (5 << 20));
	ck_assert_int_eq(put_some(1000, 100000), -ENOSPC);
	(void)keyfs_wait_idle(store);
	fault_env_set_capacity(disk, fault_env_used(disk));
}

START_TEST(the_interval_still_syncs_while_the_disk_is_full)
{
	struct keyfs_options options = small();
	unsigned i;

	shut(0);
	options.commit_interval_ms = 1;
	ck_assert_int_eq(open_with(&options), 0);
	ck_assert_int_eq(put_some(0, 100), 0);
	fill_disk();
	fault_env_set_clock(disk, 1000000000, 10000000);
	/* Now the keeper looks again and again for room for the reserve. */
	db_reserve_release(store);
	fault_env_set_capacity(disk, fault_env_used(disk) + (512 << 10));
	for (i = 0; i < 3000; i++)
		ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("x"), 0),
				 0);
	for (i = 0; i < 300 && keyfs_durable_seq(store) < keyfs_last_seq(store);
	     i++)
		(void)usleep(10000);
	ck_assert_uint_eq(keyfs_durable_seq(store), keyfs_last_seq(store));
}
END_TEST

START_TEST(a_store_on_a_full_disk_opens_and_takes_deletes)
{
	unsigned i;

	ck_assert_int_eq(put_some(0, 100), 0);
	ck_assert_int_eq(put_some(1000, 1010), 0);
	ck_assert(atomic_load(&store->reserve_held));
	shut(0);
	fault_env_set_capacity(disk, fault_env_used(disk));
	ck_assert_int_eq(open_small(), 0);
	ck_assert_int_eq(put_some(200, 300), -ENOSPC);
	for (i = 0; i < 100; i++)
		ck_assert_int_eq(keyfs_delete(store, NULL,
					      keyfs_str(numbered(i)), 0),
				 0);
	shut(0);
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	ck_assert_int_eq(open_small(), 0);
	ck_assert(!has(numbered(50)));
	ck_assert(has(numbered(1000)));
}
END_TEST

/* Others take what the reserve gave back, and the next opening still finds room. */
START_TEST(a_store_without_its_reserve_opens_on_a_full_disk)
{
	unsigned i;

	ck_assert_int_eq(put_some(0, 100), 0);
	fill_disk();
	fault_env_set_capacity(disk, fault_env_used(disk) / 2);
	db_reserve_release(store);
	ck_assert(!atomic_load(&store->reserve_held));
	fault_env_set_capacity(disk, fault_env_used(disk));
	shut(0);
	ck_assert_int_eq(open_small(), 0);
	ck_assert(has(numbered(99)));
	ck_assert_int_eq(put_some(200, 300), -ENOSPC);
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	for (i = 0; i < 500 && !atomic_load(&store->reserve_held); i++)
		(void)usleep(10000);
	ck_assert(atomic_load(&store->reserve_held));
	ck_assert_int_eq(put_some(200, 300), 0);
}
END_TEST

START_TEST(openings_that_find_no_room_leave_nothing_behind)
{
	uint64_t used;
	unsigned i;

	ck_assert_int_eq(put_some(0, 100), 0);
	shut(0);
	ck_assert_int_eq(fault_env_remove(disk, "RESERVE"), 0);
	used = fault_env_used(disk);
	fault_env_set_capacity(disk, used);
	for (i = 0; i < 3; i++)
		ck_assert_int_eq(open_small(), -ENOSPC);
	ck_assert_uint_le(fault_env_used(disk), used + 8192);
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	ck_assert_int_eq(open_small(), 0);
	ck_assert(has(numbered(99)));
}
END_TEST

/* The manifest of the first try may be the live one when the second, with the reserve
 * given back, fails before it is: both name the same log. */
START_TEST(an_opening_that_fails_twice_leaves_the_log_that_may_be_named)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_DIR_SYNC),
				   .error = -ENOSPC,
				   .forever = true };
	bool failed = true;

	ck_assert_int_eq(put_some(0, 100), 0);
	for (; failed; rule.skip++) {
		shut(0);
		fault_env_fail(disk, &rule);
		failed = open_small() != 0;
		fault_env_heal(disk);
		if (failed)
			ck_assert_int_eq(open_small(), 0);
		ck_assert(has(numbered(99)));
	}
	ck_assert_uint_gt(rule.skip, 3);
}
END_TEST

START_TEST(a_reserve_that_found_no_room_at_opening_is_taken_later)
{
	unsigned i;

	shut(0);
	ck_assert_int_eq(fault_env_remove(disk, "RESERVE"), 0);
	fault_env_set_capacity(disk, fault_env_used(disk) + (768 << 10));
	ck_assert_int_eq(open_small(), 0);
	ck_assert(!atomic_load(&store->reserve_held));
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	for (i = 0; i < 1000 && !atomic_load(&store->reserve_held); i++)
		(void)usleep(10000);
	ck_assert(atomic_load(&store->reserve_held));
}
END_TEST

START_TEST(deletes_go_on_while_a_flush_waits_for_the_reserve)
{
	unsigned i;

	ck_assert_int_eq(put_some(0, 2000), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	fault_env_set_capacity(disk, fault_env_used(disk));
	for (i = 0; i < 1500; i++)
		ck_assert_int_eq(keyfs_delete(store, NULL,
					      keyfs_str(numbered(i)), 0),
				 0);
	ck_assert(!has(numbered(0)));
	ck_assert(has(numbered(1999)));
}
END_TEST

/* Holds the keeper where it takes the reserve back. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool reached, open;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false };

static void
hold_the_reserve(void *arg, enum fault_call call, const char *name,
		 const char *to)
{
	(void)arg;
	(void)to;
	if (call != FAULT_ALLOCATE || strcmp(name, "RESERVE") != 0)
		return;
	pthread_mutex_lock(&gate.lock);
	gate.reached = true;
	pthread_cond_broadcast(&gate.moved);
	while (!gate.open)
		pthread_cond_wait(&gate.moved, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static void *
write_past_two_switches(void *arg)
{
	*(int *)arg = put_some(1000, 1200);
	return NULL;
}

/* The keeper must not go to sleep over a signal that came while it was busy. */
START_TEST(a_writer_is_not_forgotten_while_the_reserve_is_taken_back)
{
	pthread_t writer;
	int result;

	while (!store->reserve_held)
		(void)usleep(1000);
	fault_env_watch(disk, hold_the_reserve, NULL);
	db_reserve_release(store);
	pthread_mutex_lock(&gate.lock);
	while (!gate.reached)
		pthread_cond_wait(&gate.moved, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_past_two_switches,
					&result),
			 0);
	(void)usleep(100000); /* it waits for the second pair */
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.moved);
	pthread_mutex_unlock(&gate.lock);
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	ck_assert_int_eq(result, 0);
}
END_TEST

START_TEST(nobody_waits_for_a_full_disk)
{
	struct keyfs_options options = small();

	shut(0);
	/* Nothing to give back. */
	options.reserve_bytes = 1;
	ck_assert_int_eq(fault_env_remove(disk, "RESERVE"), 0);
	ck_assert_int_eq(open_with(&options), 0);
	ck_assert_int_eq(put_some(0, 20), 0);
	fault_env_set_capacity(disk, 0);
	ck_assert_int_eq(keyfs_flush(store), -ENOSPC);
	ck_assert_int_eq(keyfs_wait_idle(store), -ENOSPC);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, no_bound, no_bound),
			 -ENOSPC);
	ck_assert_int_eq(put_some(20, 2000), -ENOSPC);
	ck_assert_int_eq(keyfs_sync(store), 0);
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	/* Writing resumes by itself. */
	ck_assert_int_eq(put_some(20, 2000), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_int_eq(state(), KEYFS_STATE_OK);
}
END_TEST

/* Two that wake each other would try without a pause. */
START_TEST(compactions_that_find_no_room_wait_before_they_try_again)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_WRITE),
				   .file = ".sst",
				   .error = -ENOSPC,
				   .forever = true };
	struct keyfs_options options = small();
	uint64_t made;

	shut(0);
	options.compaction_threads = 2;
	options.level0_tables = 64;
	ck_assert_int_eq(open_with(&options), 0);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(put_some(0, 100), 0);
		ck_assert_int_eq(keyfs_flush(store), 0);
	}
	shut(0);
	options.level0_tables = 2;
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(open_with(&options), 0);
	made = fault_env_count(disk, FAULT_CREATE);
	(void)usleep(1000000);
	/* One try in 500 ms for each. */
	ck_assert_uint_gt(fault_env_count(disk, FAULT_CREATE), made);
	ck_assert_uint_lt(fault_env_count(disk, FAULT_CREATE), made + 20);
}
END_TEST

enum { ADMITTERS = 4, ADMISSIONS = 50000 };

static void *
admit(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < ADMISSIONS; i++)
		(void)db_admit(store, 40000, 0);
	return NULL;
}

/* A grant taken twice must not wrap around: admission would be off for good. */
START_TEST(admissions_at_once_never_overdraw_the_grant)
{
	pthread_t threads[ADMITTERS];
	unsigned i;

	fault_env_set_capacity(disk, fault_env_used(disk) + (8 << 20));
	for (i = 0; i < ADMITTERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, admit, NULL),
				 0);
	for (i = 0; i < ADMITTERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_le(atomic_load(&store->space_left), 8 << 20);
}
END_TEST

/* ---- Not waiting ---- */

START_TEST(a_commit_that_may_not_wait_does_not_sync)
{
	uint64_t calls;

	ck_assert_int_eq(put("a", "1"), 0);
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("b"), keyfs_str("1"),
				   KEYFS_NOWAIT | KEYFS_SYNC),
			 -EAGAIN);
	ck_assert(!has("b"));
	ck_assert_int_eq(put_some(0, 2000), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	fault_env_set_capacity(disk, fault_env_used(disk));
	atomic_store(&store->space_left, 0);
	calls = fault_env_count(disk, FAULT_DIR_SYNC) +
		fault_env_count(disk, FAULT_TRUNCATE);
	/* Every delete is applied or refused; the reserve is not given back here. */
	while (keyfs_delete(store, NULL, keyfs_str("a"), KEYFS_NOWAIT) == 0)
		if (state() == KEYFS_STATE_NO_SPACE)
			break;
	ck_assert_uint_le(fault_env_count(disk, FAULT_TRUNCATE), calls + 2);
}
END_TEST

/* ---- One failing call after another ---- */

enum { STEPS = 240 };

/* The numbers of the puts that were accepted, in order: each has one sequence
 * number. */
static unsigned accepted[STEPS], accepted_count;

/* What a program might do; any of it may fail. */
static void
work(void)
{
	unsigned i;

	for (i = 0; i < STEPS; i++) {
		if (put_some(i, i + 1) == 0)
			accepted[accepted_count++] = i;
		if (i % 40 == 13)
			(void)keyfs_sync(store);
		if (i % 80 == 47)
			(void)keyfs_flush(store);
	}
	(void)keyfs_compact_range(store, NULL, no_bound, no_bound);
	(void)keyfs_wait_idle(store);
}

/* There is a prefix of what was accepted, and nothing that was refused. */
static void
check_prefix(uint64_t durable)
{
	unsigned i, n = 0, there = 0;

	while (n < accepted_count && has(numbered(accepted[n])))
		n++;
	for (i = 0; i < STEPS; i++)
		there += has(numbered(i));
	ck_assert_uint_eq(there, n);
	ck_assert_uint_ge(n, durable);
	ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
}

/* Fails call `n` of one run, and takes the power away after it. */
static void
run_with_failure(uint64_t n, int error, bool forever)
{
	struct fault_rule rule = { .calls = FAULT_ANY,
				   .skip = n,
				   .error = error,
				   .forever = forever,
				   .partial = true,
				   .drop = true };
	uint64_t durable = 0;

	accepted_count = 0;
	fault_env_fail(disk, &rule);
	if (open_small() == 0) {
		work();
		durable = keyfs_durable_seq(store);
		(void)keyfs_close(store);
		store = NULL;
	}
	fault_env_reboot(disk, n % 2 ? FAULT_DROP_ALL : FAULT_KEEP_ALL, n);
	fault_env_heal(disk);
	ck_assert_int_eq(open_small(), 0);
	check_prefix(durable);
	ck_assert_int_eq(put("later", "x"), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert(has("later"));
	shut(0);
}

START_TEST(whichever_call_fails_the_store_opens_again)
{
	static const int errors[] = { -EIO, -ENOSPC, -EMFILE };
	uint64_t n, step = 7, failures = 1;

	shut(0);
	fault_env_free(disk);
	for (n = (uint64_t)_i; failures; n += step) {
		disk = fault_env_new(n + 1);
		run_with_failure(n, errors[n % 3], n / step % 2);
		failures = fault_env_failures(disk);
		fault_env_free(disk);
	}
	ck_assert_uint_ge(n, 100);
	disk = fault_env_new(1);
}
END_TEST

static Suite *
db_fail_suite(void)
{
	Suite *suite = suite_create("db_fail");
	TCase *tcase = tcase_create("db_fail");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase,
		       a_failed_sync_of_the_manifest_is_never_a_full_disk);
	tcase_add_test(
		tcase,
		what_a_failed_sync_dropped_is_durable_after_the_next_opening);
	tcase_add_test(tcase, a_failed_sync_of_the_directory_is_final);
	tcase_add_test(tcase, a_compaction_that_cannot_write_blames_no_table);
	tcase_add_test(tcase, the_interval_still_syncs_while_the_disk_is_full);
	tcase_add_test(tcase, a_store_on_a_full_disk_opens_and_takes_deletes);
	tcase_add_test(tcase, a_store_without_its_reserve_opens_on_a_full_disk);
	tcase_add_test(tcase, openings_that_find_no_room_leave_nothing_behind);
	tcase_add_test(
		tcase,
		an_opening_that_fails_twice_leaves_the_log_that_may_be_named);
	tcase_add_test(tcase,
		       a_reserve_that_found_no_room_at_opening_is_taken_later);
	tcase_add_test(tcase,
		       deletes_go_on_while_a_flush_waits_for_the_reserve);
	tcase_add_test(
		tcase,
		a_writer_is_not_forgotten_while_the_reserve_is_taken_back);
	tcase_add_test(tcase, nobody_waits_for_a_full_disk);
	tcase_add_test(
		tcase,
		compactions_that_find_no_room_wait_before_they_try_again);
	tcase_add_test(tcase, admissions_at_once_never_overdraw_the_grant);
	tcase_add_test(tcase, a_commit_that_may_not_wait_does_not_sync);
	tcase_add_loop_test(tcase, whichever_call_fails_the_store_opens_again,
			    0, 7);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(db_fail_suite());
}
