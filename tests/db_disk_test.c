/* SPDX-License-Identifier: Apache-2.0 */
/* db_disk_test.c - the store and its disk: what is durable and when, damage, failing and
 * full disks, opening. */
#include <config.h>

#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

/* ---- Durability ---- */

static void
crash_and_reopen(enum fault_crash kind)
{
	struct keyfs_options options = db_kit_small();

	db_kit_crash(kind);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

START_TEST(sync_makes_everything_before_it_durable)
{
	db_kit_fill(1000, "x");
	ck_assert_int_eq(keyfs_sync(store), 0);
	ck_assert_uint_eq(keyfs_durable_seq(store), keyfs_last_seq(store));
	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert_str_eq(db_kit_get("key000999"), "x");
	ck_assert_str_eq(db_kit_get("key000000"), "x");
}
END_TEST

START_TEST(a_commit_with_sync_is_durable)
{
	ck_assert_int_eq(keyfs_put(store, NULL, keyfs_str("a"), keyfs_str("1"),
				   KEYFS_SYNC),
			 0);
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert_str_eq(db_kit_get("a"), "1");
	ck_assert_str_eq(db_kit_get("b"), "-");
}
END_TEST

START_TEST(the_death_of_the_process_alone_loses_nothing)
{
	db_kit_fill(300, "x");
	crash_and_reopen(FAULT_KEEP_ALL);
	ck_assert_str_eq(db_kit_get("key000299"), "x");
}
END_TEST

START_TEST(the_interval_syncs_by_itself)
{
	struct keyfs_options options = db_kit_small();
	unsigned i;

	ck_assert_int_eq(keyfs_close(store), 0);
	options.commit_interval_ms = 10;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	fault_env_set_clock(disk, 1000000000, 10000000);
	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	for (i = 0; i < 500 && keyfs_durable_seq(store) < 1; i++)
		(void)usleep(10000);
	ck_assert_uint_ge(keyfs_durable_seq(store), 1);
}
END_TEST

START_TEST(damage_to_synced_records_is_no_torn_tail)
{
	struct keyfs_options options = db_kit_small();
	char name[32];
	uint64_t number;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	number = wal_writer_number(store->log);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	(void)snprintf(name, sizeof(name), "%06u.log", (unsigned)number);
	ck_assert_int_eq(fault_env_flip(disk, name, (64 + 40 + 2) * 8), 0);
	ck_assert_int_eq(db_kit_open_with(&options), -EUCLEAN);
	/* Nothing was changed: put right, it opens. */
	ck_assert_int_eq(fault_env_flip(disk, name, (64 + 40 + 2) * 8), 0);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	ck_assert_str_eq(db_kit_get("b"), "2");
}
END_TEST

START_TEST(a_missing_table_is_named)
{
	struct keyfs_options options = db_kit_small();
	char name[ENV_NAME_MAX + 1];
	struct view *view;
	uint64_t seq;

	db_kit_fill(100, "x");
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
	ck_assert_int_eq(db_kit_open_with(&options), -EUCLEAN);
}
END_TEST

/* ---- Failing disks ---- */

START_TEST(a_failed_sync_ends_writing_for_good)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
				   .file = ".log",
				   .error = -EIO,
				   .drop = true };

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	ck_assert_int_eq(keyfs_sync(store), -EIO);
	ck_assert_int_eq(db_kit_put("b", "2"), -EIO);
	ck_assert_str_eq(db_kit_get("a"), "1");
	ck_assert_int_eq(db_kit_stats().state, KEYFS_STATE_FAILED);
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

	db_kit_fill(100, "x");
	fault_env_set_capacity(disk, fault_env_used(disk) + (6 << 20));
	n = put_until_full(0);
	ck_assert_uint_gt(n, 0);
	/* The disk had shrunk since the store had looked. */
	ck_assert_uint_lt(n * 1000, (2 << 20) + db_kit_small().reserve_bytes);
	/* Others take what the compactions have left, when the store has its reserve
	 * again. */
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	for (i = 0; i < 500 && !atomic_load(&store->reserve_held); i++)
		(void)usleep(10000);
	ck_assert(atomic_load(&store->reserve_held));
	fault_env_set_capacity(disk, fault_env_used(disk));
	n = put_until_full(n);
	for (i = 0; i < 100; i++) {
		(void)snprintf(key, sizeof(key), "key%06u", i);
		ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str(key), 0),
				 0);
	}
	ck_assert_str_eq(db_kit_get("key000050"), "-");
	ck_assert_str_ne(db_kit_get("big000000"), "-");
	(void)snprintf(key, sizeof(key), "big%06u", n - 1);
	ck_assert_str_ne(db_kit_get(key), "-");
	fault_env_set_capacity(disk, UINT64_C(1) << 32);
	ck_assert_int_eq(db_kit_put("more", "x"), 0);
	db_kit_reopen();
	ck_assert_str_eq(db_kit_get("more"), "x");
	ck_assert_str_eq(db_kit_get("key000099"), "-");
}
END_TEST

/* ---- Opening ---- */

START_TEST(opening_tells_its_reasons_apart)
{
	struct keyfs_options options = db_kit_small();
	struct keyfs_store *other;

	ck_assert_int_eq(db_open(fault_env(disk), "store", &options, &other),
			 -EBUSY);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	options.must_create = true;
	ck_assert_int_eq(db_kit_open_with(&options), -EEXIST);
	options = db_kit_small();
	options.create = false;
	ck_assert_int_eq(db_open(fault_env(disk), "none", &options, &other),
			 -ENOENT);
	options.block_bytes = 1;
	ck_assert_int_eq(db_kit_open_with(&options), -EINVAL);
	ck_assert_int_eq(db_open(fault_env(disk), "store", NULL, &store), 0);
}
END_TEST

START_TEST(read_only_reads_and_changes_nothing)
{
	struct keyfs_options options = db_kit_small();
	struct keyfs_store *second;
	uint64_t changes;

	db_kit_fill(500, "x");
	ck_assert_int_eq(db_kit_put("last", "1"), 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	changes = fault_env_count(disk, FAULT_WRITE) +
		  fault_env_count(disk, FAULT_CREATE) +
		  fault_env_count(disk, FAULT_UNLINK) +
		  fault_env_count(disk, FAULT_RENAME);
	options.create = false;
	options.read_only = true;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	ck_assert_int_eq(db_open(fault_env(disk), "store", &options, &second),
			 0);
	ck_assert_str_eq(db_kit_get("last"), "1");
	ck_assert_str_eq(db_kit_get("key000123"), "x");
	ck_assert_int_eq(db_kit_put("a", "1"), -EROFS);
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
		_exit(db_kit_put("a", "1") == -EPERM &&
				      keyfs_close(store) == -EPERM
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
		ck_assert_int_eq(db_kit_put(key, "x"), 0);
		db_kit_reopen();
	}
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_le(db_kit_stats().level_tables[0], 18);
	ck_assert_str_eq(db_kit_get("s0"), "x");
	ck_assert_str_eq(db_kit_get("s39"), "x");
}
END_TEST

START_TEST(the_first_memtable_ends_early_and_the_next_do_not)
{
	struct keyfs_options options = db_kit_small();
	unsigned i;

	options.memory_bytes = 8 << 20;
	options.memtable_bytes = 2 << 20;
	ck_assert_int_eq(keyfs_close(store), 0);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	for (i = 0; i < 4; i++)
		db_kit_fill(1500, "0123456789012345678901234567890123456789");
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_eq(db_kit_stats().flushes, 1);
	ck_assert_uint_lt(db_kit_stats().entries, 2000);
	ck_assert_uint_gt(db_kit_stats().memtable_bytes, 256 << 10);
}
END_TEST

/* Whether a thread of this process blocks that signal. */
static bool
is_blocked(const char *thread, int signal)
{
	char path[64], line[128];
	unsigned long long mask = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%.20s/status",
		       thread);
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SigBlk: %llx", &mask) == 1)
			break;
	(void)fclose(file);
	return mask >> (signal - 1) & 1;
}

/* Threads that get the signals that they cause, and no others.  One that has not begun
 * yet blocks everything, as do threads of the thread sanitizer. */
static unsigned
count_workers(void)
{
	DIR *threads = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(threads);
	while ((entry = readdir(threads)))
		if (entry->d_name[0] != '.')
			count += is_blocked(entry->d_name, SIGTERM) &&
				 !is_blocked(entry->d_name, SIGBUS);
	(void)closedir(threads);
	return count;
}

/* Blocked, a bus error ends the process whatever its handler would do. */
START_TEST(a_worker_gets_bus_errors_and_nobody_elses_signals)
{
	for (unsigned i = 0; i < 5000 && count_workers() < 3; i++)
		(void)usleep(1000);
	ck_assert_uint_ge(count_workers(), 3);
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
	db_kit_fill(20, "x");
	ck_assert_int_eq(keyfs_flush(store), 0);
	db_kit_fill(20, "y");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	(void)usleep(100000);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	for (i = 0; i < KEYFS_LEVELS; i++)
		live += db_kit_stats().level_tables[i];
	ck_assert_int_eq(env_dir_list(store->dir, count_table, &files), 0);
	ck_assert_uint_eq(files, live);
}
END_TEST

static Suite *
db_disk_suite(void)
{
	Suite *suite = suite_create("db_disk");
	TCase *tcase = tcase_create("db_disk");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, db_kit_setup, db_kit_teardown);
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
	tcase_add_test(tcase,
		       a_worker_gets_bus_errors_and_nobody_elses_signals);
	tcase_add_test(tcase, merged_tables_are_removed_at_once);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(db_disk_suite());
}
