/* SPDX-License-Identifier: Apache-2.0 */
/* repair_test.c - what keyfs_repair() saves and what it leaves alone, one claim a test;
 * rot_test repairs after every kind of damage. */
#include <config.h>

#include "store/repair.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/salvage.h"
#include "store/table_format.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

#define STORE "store"
#define KEYS 200u

static unsigned losses, doubtful;

/* Keys in tables and in the log, some of them removed; closed. */
static void
setup(void)
{
	struct keyfs_slice all = { 0 };

	db_kit_setup();
	db_kit_fill(KEYS, "old");
	ck_assert_int_eq(keyfs_compact_range(store, NULL, all, all), 0);
	db_kit_fill(KEYS / 2, "new");
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("key000003"), 0),
			 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
}

static void
count_loss(void *arg, const struct keyfs_loss *loss)
{
	(void)arg;
	(void)loss;
	losses++;
}

static void
count_doubt(void *arg, struct keyfs_slice key)
{
	(void)arg;
	(void)key;
	doubtful++;
}

static int
repair_with(int (*finish)(void *arg, const char *path))
{
	struct keyfs_repair_options options = { .size = sizeof(options),
						.lost = count_loss,
						.doubtful = count_doubt,
						.finish = finish };
	struct keyfs_options shape = db_kit_small();
	char *kept;
	int r = repair_store(fault_env(disk), STORE, &shape, &options, &kept);

	if (r == 0)
		free(kept);
	return r;
}

/* A file of the store whose name ends so; static. */
static int
match_each(void *arg, const char *name)
{
	char *out = arg;

	if (!strncmp(name, STORE "/", 6) && strstr(name, out + 64)) {
		snprintf(out, 64, "%s", name);
		return 1;
	}
	return 0;
}

static const char *
file_like(const char *part)
{
	static char name[128];

	name[0] = '\0';
	snprintf(name + 64, 64, "%s", part);
	(void)fault_env_each(disk, match_each, name);
	ck_assert_msg(name[0], "no file like %s", part);
	return name;
}

static void
open_and_expect(unsigned count)
{
	struct keyfs_options options = db_kit_small();
	unsigned found = 0;
	char key[32];

	options.create = false;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	for (unsigned i = 0; i < KEYS; i++) {
		const char *value;

		snprintf(key, sizeof(key), "key%06u", i);
		value = db_kit_get(key);
		found += strcmp(value, i == 3         ? "-"
				       : i < KEYS / 2 ? "new"
						      : "old") == 0;
	}
	ck_assert_uint_ge(found, count);
	ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
}

START_TEST(a_store_without_its_manifest_is_saved_whole)
{
	ck_assert_int_eq(fault_env_remove(disk, file_like("MANIFEST")), 0);
	ck_assert_int_eq(fault_env_remove(disk, STORE "/CURRENT"), 0);
	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_uint_gt(losses, 0);
	open_and_expect(KEYS);
}
END_TEST

START_TEST(a_table_without_its_index_keeps_its_blocks)
{
	struct table_footer footer;
	uint8_t bytes[TABLE_FOOTER_BYTES];
	const char *name = file_like(".sst");
	uint64_t size, number = strtoull(name + sizeof(STORE), NULL, 10);

	ck_assert_int_eq(fault_env_size(disk, name, &size), 0);
	size -= TABLE_FOOTER_BYTES;
	ck_assert_int_eq(fault_env_peek(disk, name, size, bytes, sizeof(bytes)),
			 0);
	ck_assert_ptr_null(table_footer_decode(bytes, number, size, &footer));
	/* The index, or the footer that leads to it. */
	ck_assert_int_eq(fault_env_flip(disk, name,
					8 * (_i ? size : footer.index_offset)),
			 0);
	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_uint_gt(losses, 0);
	open_and_expect(KEYS);
}
END_TEST

START_TEST(a_damaged_block_loses_only_its_keys)
{
	const char *name = file_like(".sst");

	ck_assert_int_eq(fault_env_flip(disk, name,
					8 * (TABLE_HEADER_BYTES + 20)),
			 0);
	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_uint_eq(losses, 1);
	open_and_expect(KEYS - 60);
}
END_TEST

static int
count_range(void *arg, const struct keyfs_damage_range *range)
{
	(void)range;
	++*(unsigned *)arg;
	return 0;
}

static unsigned
count_ranges(void)
{
	unsigned count = 0;

	ck_assert_int_eq(keyfs_damages(store, count_range, &count), 0);
	return count;
}

static int
spoil_table(void *arg, const char *name)
{
	(void)arg;
	if (strstr(name, ".sst"))
		ck_assert_int_eq(fault_env_flip(disk, name,
						8 * (TABLE_HEADER_BYTES + 20)),
				 0);
	return 0;
}

START_TEST(what_a_compaction_lost_is_listed_and_over)
{
	struct keyfs_options options = db_kit_small();
	struct keyfs_slice all = { 0 };

	ck_assert_int_eq(fault_env_each(disk, spoil_table, NULL), 0);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	db_kit_fill(KEYS / 2, "new");
	(void)keyfs_compact_range(store, NULL, all, all);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_gt(count_ranges(), 0);
	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_uint_gt(losses, 0);
	open_and_expect(KEYS / 2 - 1);
	ck_assert_uint_eq(count_ranges(), 0);
}
END_TEST

static int
fail_finish(void *arg, const char *path)
{
	(void)arg;
	ck_assert_str_eq(path, STORE ".repair-1");
	return -EINTR;
}

static int
any_repair(void *arg, const char *name)
{
	(void)arg;
	return strstr(name, ".repair-") || strstr(name, ".damaged-");
}

START_TEST(a_repair_that_fails_leaves_all_as_it_was)
{
	ck_assert_int_eq(repair_with(fail_finish), -EINTR);
	ck_assert_int_eq(fault_env_each(disk, any_repair, NULL), 0);
	open_and_expect(KEYS);
}
END_TEST

START_TEST(a_store_in_use_is_not_repaired)
{
	open_and_expect(KEYS);
	ck_assert_int_eq(repair_with(NULL), -EBUSY);
}
END_TEST

START_TEST(what_was_kept_is_never_replaced)
{
	uint64_t size;

	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_int_eq(repair_with(NULL), 0);
	ck_assert_int_eq(fault_env_size(disk, STORE ".damaged-1/CURRENT",
					&size),
			 0);
	ck_assert_int_eq(fault_env_size(disk, STORE ".damaged-2/CURRENT",
					&size),
			 0);
	ck_assert_uint_eq(losses, 0);
	ck_assert_uint_eq(doubtful, 0);
	open_and_expect(KEYS);
}
END_TEST

/* R13: a full disk or a failing one ends the repair, and the store is as it was. */
START_TEST(a_repair_that_the_disk_fails_changes_nothing)
{
	uint64_t calls = 1;
	unsigned tried = 0;
	int r = -EIO;

	for (uint64_t skip = 0; r < 0; skip += calls) {
		struct fault_rule rule = { .calls = FAULT_CHANGES,
					   .skip = skip,
					   .error = -EIO,
					   .forever = true };
		uint64_t failures = fault_env_failures(disk);

		fault_env_fail(disk, &rule);
		r = repair_with(NULL);
		fault_env_heal(disk);
		ck_assert_int_eq(r, fault_env_failures(disk) > failures ? -EIO
									: 0);
		calls = 1 + skip / 4;
		tried++;
	}
	ck_assert_uint_gt(tried, 10);
	open_and_expect(KEYS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("repair");
	TCase *tcase = tcase_create("repair");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, db_kit_teardown);
	tcase_add_test(tcase, a_store_without_its_manifest_is_saved_whole);
	tcase_add_loop_test(tcase, a_table_without_its_index_keeps_its_blocks,
			    0, 2);
	tcase_add_test(tcase, a_damaged_block_loses_only_its_keys);
	tcase_add_test(tcase, what_a_compaction_lost_is_listed_and_over);
	tcase_add_test(tcase, a_repair_that_fails_leaves_all_as_it_was);
	tcase_add_test(tcase, a_store_in_use_is_not_repaired);
	tcase_add_test(tcase, what_was_kept_is_never_replaced);
	tcase_add_test(tcase, a_repair_that_the_disk_fails_changes_nothing);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
