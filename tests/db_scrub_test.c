/* SPDX-License-Identifier: Apache-2.0 */
/* db_scrub_test.c - the scrubber reads everything, says what is wrong, and is in
 * nobody's way. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

static const struct keyfs_slice none = { NULL, 0 };

static void
lay(unsigned keys, const char *value)
{
	db_kit_fill(keys, value);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
}

static uint64_t
live_bytes(void)
{
	struct keyfs_stats s = db_kit_stats();
	uint64_t bytes = 0;
	unsigned level;

	for (level = 0; level < KEYFS_LEVELS; level++)
		bytes += s.level_bytes[level];
	return bytes;
}

/* The first table of the last level. */
static uint64_t
some_table(char *out)
{
	struct view *view;
	uint64_t seq, number;

	view = db_view_pin(store, &seq);
	ck_assert_uint_ge(view->version->levels[6].count, 2);
	number = view->version->levels[6].tables[0]->number;
	view_unref(view);
	table_file_name(number, out);
	return number;
}

START_TEST(a_pass_reads_every_table_and_counts_what_is_wrong)
{
	char name[ENV_NAME_MAX + 1];
	struct keyfs_stats s;
	char *text;

	lay(1000, "value");
	ck_assert_uint_eq(db_kit_stats().scrub_last_s, 0);
	ck_assert_int_eq(db_scrub_pass(store), 0);
	s = db_kit_stats();
	ck_assert_uint_eq(s.scrub_passes, 1);
	ck_assert_uint_gt(s.scrub_last_s, 0);
	ck_assert_uint_eq(s.scrub_last_damages, 0);
	ck_assert_uint_ge(s.scrub_last_bytes, live_bytes() * 8 / 10);
	ck_assert_uint_le(s.scrub_last_bytes, live_bytes());
	/* The cache holds the good block: it is not asked. */
	ck_assert_str_eq(db_kit_get("key000000"), "value");
	(void)some_table(name);
	ck_assert_int_eq(fault_env_flip(disk, name, 100 * 8), 0);
	ck_assert_int_eq(db_scrub_pass(store), 0);
	s = db_kit_stats();
	ck_assert_uint_eq(s.scrub_passes, 2);
	ck_assert_uint_eq(s.scrub_last_damages, 1);
	ck_assert_uint_eq(s.state, KEYFS_STATE_OK);
	ck_assert_int_eq(keyfs_property(store, "stats", &text), 0);
	ck_assert_ptr_nonnull(strstr(text, " 1 damages found\n"));
	free(text);
}
END_TEST

START_TEST(an_error_of_the_disk_ends_a_table_and_not_the_pass)
{
	char name[ENV_NAME_MAX + 1];
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_READ),
				   .file = name,
				   .error = -EIO,
				   .forever = true };

	lay(1000, "value");
	(void)some_table(name);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(db_scrub_pass(store), 0);
	ck_assert_uint_eq(db_kit_stats().scrub_last_damages, 0);
	ck_assert_uint_ge(db_kit_stats().scrub_last_bytes, live_bytes() / 2);
	fault_env_heal(disk);
}
END_TEST

/* Opens it again with a scrubber that is due after a second, by a clock that the
 * test turns. */
static void
reopen(size_t bytes_per_second)
{
	struct keyfs_options options = db_kit_small();

	options.scrub_bytes_per_second = bytes_per_second;
	options.scrub_interval_s = 1;
	ck_assert_int_eq(keyfs_close(store), 0);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

/* Turns the clock, two seconds at a time, until the counter has come so far: the
 * scrubber looks at it only when it has slept. */
static void
turn_until(const _Atomic uint64_t *counter, uint64_t least)
{
	while (atomic_load(counter) < least) {
		fault_env_set_clock(disk,
				    env_now_ns(fault_env(disk)) +
					    UINT64_C(2000000000),
				    0);
		(void)usleep(200000);
	}
}

START_TEST(passes_come_by_themselves)
{
	lay(1000, "value");
	reopen(1 << 30);
	turn_until(&store->counters.scrub_passes, 2);
}
END_TEST

/* A pass would take minutes, by a clock that stands still: for ever. */
START_TEST(a_close_does_not_wait_for_a_pass)
{
	uint64_t random = 1;
	char value[2000];
	size_t i;

	/* Nothing to compress: the store is larger than a slice. */
	for (i = 0; i < sizeof(value) - 1; i++)
		value[i] = (char)(suite_random(&random) % 90 + 33);
	value[i] = '\0';
	lay(400, value);
	reopen(1024);
	turn_until(&store->counters.scrub_bytes, 1);
	/* Nor does anything else. */
	ck_assert_int_eq(db_kit_put("a", "b"), 0);
	ck_assert_str_eq(db_kit_get("a"), "b");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_uint_eq(store->counters.scrub_passes, 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
}
END_TEST

START_TEST(it_can_be_turned_off)
{
	unsigned workers = store->worker_count;

	reopen(KEYFS_SCRUB_OFF);
	ck_assert_uint_eq(store->worker_count, workers - 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("db_scrub");
	TCase *tcase = tcase_create("db_scrub");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, db_kit_setup, db_kit_teardown);
	tcase_add_test(tcase,
		       a_pass_reads_every_table_and_counts_what_is_wrong);
	tcase_add_test(tcase,
		       an_error_of_the_disk_ends_a_table_and_not_the_pass);
	tcase_add_test(tcase, passes_come_by_themselves);
	tcase_add_test(tcase, a_close_does_not_wait_for_a_pass);
	tcase_add_test(tcase, it_can_be_turned_off);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
