/* SPDX-License-Identifier: Apache-2.0 */
/* db_log_test.c - logs on a filesystem that neither maps nor makes room ahead: a
 * record is a write there, and a write may fail in part. */
#include <config.h>

#include "store/store.h"

#include <errno.h>

#include "store/db.h"
#include "store/wal_format.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

static void
fail_next(unsigned calls, const char *file, int error, bool forever)
{
	const struct fault_rule rule = { .calls = calls,
					 .file = file,
					 .error = error,
					 .forever = forever,
					 .partial = true };

	fault_env_fail(disk, &rule);
}

static void
heal(void)
{
	fault_env_heal(disk);
	fail_next(FAULT_ON(FAULT_MAP) | FAULT_ON(FAULT_ALLOCATE), NULL,
		  -EOPNOTSUPP, true);
}

static void
setup(void)
{
	struct keyfs_options options = db_kit_small();

	disk = fault_env_new((uint64_t)1);
	heal();
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

static void
crash_and_reopen(enum fault_crash kind)
{
	struct keyfs_options options = db_kit_small();

	db_kit_crash(kind);
	heal();
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

/* The same, with something else in a log. */
static void
crash_and_reopen_with(const char *log, const void *data, size_t len)
{
	struct keyfs_options options = db_kit_small();

	db_kit_crash(FAULT_DROP_ALL);
	heal();
	ck_assert_int_eq(fault_env_plant(disk, log, data, len), 0);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

/* Switches the log, and keeps the old one needed: its memtable finds no file. */
static void
switch_log(void)
{
	fail_next(FAULT_ON(FAULT_CREATE), ".sst", -EMFILE, true);
	ck_assert_int_eq(keyfs_flush(store), -EMFILE);
}

/* What such a record leaves in the file looks like a torn tail, and is none: the
 * next log goes on where the last good record ends. */
START_TEST(what_was_refused_is_no_tear_before_a_switch)
{
	static const enum fault_crash kinds[] = { FAULT_KEEP_ALL,
						  FAULT_DROP_ALL,
						  FAULT_PROCESS_DIED };

	ck_assert_int_eq(db_kit_put("before", "1"), 0);
	fail_next(FAULT_ON(FAULT_WRITE), ".log", -ENOSPC, false);
	ck_assert_int_eq(db_kit_put("refused", "a longer value than others"),
			 -ENOSPC);
	heal();
	switch_log();
	ck_assert_int_eq(db_kit_put("after", "2"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	crash_and_reopen(kinds[_i]);
	ck_assert_str_eq(db_kit_get("before"), "1");
	ck_assert_str_eq(db_kit_get("refused"), "-");
	ck_assert_str_eq(db_kit_get("after"), "2");
}
END_TEST

START_TEST(a_record_is_written_over_what_was_refused)
{
	ck_assert_int_eq(db_kit_put("before", "1"), 0);
	fail_next(FAULT_ON(FAULT_WRITE), ".log", -ENOSPC, false);
	ck_assert_int_eq(db_kit_put("refused", "a longer value than others"),
			 -ENOSPC);
	heal();
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	crash_and_reopen(FAULT_DROP_ALL);
	ck_assert_str_eq(db_kit_get("before"), "1");
	ck_assert_str_eq(db_kit_get("refused"), "-");
	ck_assert_str_eq(db_kit_get("b"), "2");
}
END_TEST

/* The refused record may be in the file, whole.  The next log gives its number again,
 * and must not be taken for damage. */
START_TEST(a_failed_record_is_gone_after_a_switch)
{
	enum fault_crash kind = _i % 2 ? FAULT_KEEP_ALL : FAULT_DROP_ALL;

	ck_assert_int_eq(db_kit_put("before", "1"), 0);
	/* A part of it, chosen at random, until it was all of it. */
	fail_next(FAULT_ON(FAULT_WRITE), ".log", -EIO, true);
	for (unsigned i = 0; i < 600; i++)
		ck_assert_int_eq(db_kit_put("failed", "x"), -EIO);
	heal();
	switch_log();
	ck_assert_int_eq(db_kit_put("after", "2"), 0);
	if (kind == FAULT_DROP_ALL)
		ck_assert_int_eq(keyfs_sync(store), 0);
	crash_and_reopen(kind);
	ck_assert_str_eq(db_kit_get("before"), "1");
	ck_assert_str_eq(db_kit_get("failed"), "-");
	ck_assert_str_eq(db_kit_get("after"), "2");
}
END_TEST

/* Nothing else tells a bad record that was synced from the torn tail of a crash. */
START_TEST(a_mark_behind_a_bad_record_says_that_it_was_synced)
{
	struct keyfs_options options = db_kit_small();

	ck_assert_int_eq(db_kit_put("synced", "1"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	db_kit_crash(FAULT_KEEP_ALL);
	heal();
	ck_assert_int_eq(fault_env_flip(disk, "000002.log", 70 * 8), 0);
	ck_assert_int_eq(db_kit_open_with(&options), -EUCLEAN);
}
END_TEST

/* The header of the failed switch may be found after a crash, though a later one was
 * written over it. */
START_TEST(an_older_header_is_a_tear)
{
	static const char log[] = "000004.log";
	uint8_t header[64];

	ck_assert_int_eq(db_kit_put("before", "1"), 0);
	wal_header_encode(&(struct wal_header){ 4, 2, 2 }, header);
	ck_assert_int_eq(db_kit_put("more", "2"), 0);
	ck_assert_int_eq(keyfs_sync(store), 0);
	crash_and_reopen_with(log, header, sizeof(header));
	ck_assert_str_eq(db_kit_get("before"), "1");
	ck_assert_str_eq(db_kit_get("more"), "2");
	ck_assert_int_eq(db_kit_put("after", "3"), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("db_log");
	TCase *tcase = tcase_create("db_log");

	tcase_add_checked_fixture(tcase, setup, db_kit_teardown);
	tcase_add_loop_test(tcase, what_was_refused_is_no_tear_before_a_switch,
			    0, 3);
	tcase_add_test(tcase, a_record_is_written_over_what_was_refused);
	tcase_add_loop_test(tcase, a_failed_record_is_gone_after_a_switch, 0,
			    2);
	tcase_add_test(tcase,
		       a_mark_behind_a_bad_record_says_that_it_was_synced);
	tcase_add_test(tcase, an_older_header_is_a_tear);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
