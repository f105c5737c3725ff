/* SPDX-License-Identifier: Apache-2.0 */
/* lying_disk_test.c - disks that answer 0 and have done something else: reads of
 * another place or an older time, writes that went elsewhere or nowhere.  What is
 * read is right, or there is an error (P4). */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <stdio.h>

#include "store/db.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

enum { KEYS = 300 };

static const enum fault_lie lies[] = { FAULT_LOST, FAULT_ELSEWHERE,
				       FAULT_STALE };

static void
lie_at(enum fault_call call, const char *file, enum fault_lie lie,
       uint64_t skip, bool forever)
{
	const struct fault_rule rule = { .calls = FAULT_ON(call),
					 .file = file,
					 .skip = skip,
					 .lie = lie,
					 .forever = forever };

	fault_env_fail(disk, &rule);
}

static void
open_store(void)
{
	struct keyfs_options options = db_kit_small();

	disk = fault_env_new(1);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

static void
key_and_value(unsigned i, unsigned round, char *key, char *value)
{
	(void)snprintf(key, 32, "key%06u", i);
	(void)snprintf(value, 128, "%u of round %u, and some more text", i,
		       round);
}

/* Everything `rounds` times over. */
static int
fill(unsigned rounds)
{
	char key[32], value[128];
	int r = 0;

	for (unsigned round = 0; round < rounds && r == 0; round++) {
		for (unsigned i = 0; i < KEYS && r == 0; i++) {
			key_and_value(i, round, key, value);
			r = db_kit_put(key, value);
		}
		if (r == 0)
			r = keyfs_flush(store);
	}
	return r;
}

/* Counts the errors; a wrong or a missing value fails the test. */
static unsigned
read_everything(unsigned rounds)
{
	char key[32], expected[128];
	unsigned errors = 0;

	for (unsigned i = 0; i < KEYS; i++) {
		const char *found;

		key_and_value(i, rounds - 1, key, expected);
		found = db_kit_get(key);
		if (found[0] == '!')
			errors++;
		else
			ck_assert_str_eq(found, expected);
	}
	return errors;
}

static int
reopen(void)
{
	struct keyfs_options options = db_kit_small();

	(void)keyfs_close(store);
	store = NULL;
	return db_kit_open_with(&options);
}

START_TEST(a_lying_read_of_a_table_gives_an_error)
{
	unsigned errors = 0;

	open_store();
	/* So that there are older versions to be found. */
	ck_assert_int_eq(fill(4), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	for (uint64_t skip = 0; skip < 40; skip++) {
		ck_assert_int_eq(reopen(), 0);
		lie_at(FAULT_READ, ".sst", lies[_i], skip, skip % 2);
		errors += read_everything(4);
		fault_env_heal(disk);
	}
	ck_assert_uint_gt(errors, 0);
	ck_assert_int_eq(reopen(), 0);
	ck_assert_uint_eq(read_everything(4), 0);
	db_kit_teardown();
}
END_TEST

START_TEST(a_lying_read_of_the_manifest_gives_an_error)
{
	open_store();
	ck_assert_int_eq(fill(4), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	lie_at(FAULT_READ, "MANIFEST", lies[_i], 0, false);
	ck_assert_int_lt(reopen(), 0);
	fault_env_heal(disk);
	ck_assert_int_eq(reopen(), 0);
	ck_assert_uint_eq(read_everything(4), 0);
	db_kit_teardown();
}
END_TEST

/* No second version that would hide what is lost. */
START_TEST(a_lying_write_of_a_table_is_noticed)
{
	unsigned errors = 0;

	for (uint64_t skip = 0; skip < 8; skip++) {
		bool filled;

		open_store();
		lie_at(FAULT_WRITE, ".sst", lies[_i], skip, false);
		/* A compaction may meet it and say so. */
		filled = fill(1) == 0 && keyfs_wait_idle(store) == 0;
		fault_env_heal(disk);
		if (filled && reopen() == 0)
			errors += read_everything(1);
		else
			errors++;
		db_kit_teardown();
		store = NULL;
	}
	ck_assert_uint_gt(errors, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lying_disk");
	TCase *tcase = tcase_create("lying_disk");

	tcase_set_timeout(tcase, 300);
	tcase_add_loop_test(tcase, a_lying_read_of_a_table_gives_an_error, 1,
			    3);
	tcase_add_loop_test(tcase, a_lying_read_of_the_manifest_gives_an_error,
			    1, 3);
	tcase_add_loop_test(tcase, a_lying_write_of_a_table_is_noticed, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
