/* SPDX-License-Identifier: Apache-2.0 */
/* compact_pick_test.c - targets, and which tables are chosen. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/suite.h"
#include "tests/tables.h"

enum { MIB = 1 << 20 };

static struct table_set set;
static struct version *version;
static struct version_edit edit;
static struct keyfs_options options;
static struct compact_pick pick;
static uint64_t number;

static void
setup(void)
{
	table_set_init(&set, NULL, NULL, NULL);
	ck_assert_int_eq(version_new(&set, &version), 0);
	version_edit_init(&edit);
	options = tables_options();
	options.level_bytes = 64 * MIB;
	options.level_ratio = 10;
	options.table_bytes = 32 * MIB;
	options.level0_tables = 4;
	number = 1;
}

static void
teardown(void)
{
	version_edit_fini(&edit);
	version_unref(version);
}

/* Newer tables of level 0 have higher numbers. */
static struct table_meta *
add(unsigned level, const char *smallest, const char *largest, uint64_t mib)
{
	struct table_meta *meta;

	tables_add(&edit, &set, level, number, smallest, largest, number);
	meta = edit.added[edit.added_count - 1].meta;
	meta->file_bytes = mib * MIB;
	number++;
	return meta;
}

static void
apply(void)
{
	edit.next_number = number;
	edit.last_seq = number;
	version = tables_apply(version, &edit);
	version_edit_fini(&edit);
	version_edit_init(&edit);
}

static int
choose(void)
{
	return compact_pick(version, &options, number, &pick);
}

/* The numbers of the inputs, as text. */
static const char *
inputs(void)
{
	static char text[256];
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; i < pick.count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u",
					i == pick.first_count ? "| "
					: i                   ? " "
							      : "",
					(unsigned)pick.inputs[i]->number);
	return text;
}

/* ---- Targets ---- */

START_TEST(targets_are_computed_from_the_last_level_up)
{
	static const struct {
		uint64_t mib[KEYFS_LEVELS];
		unsigned base_level;
		uint64_t target_mib[KEYFS_LEVELS];
	} cases[] = {
		{ { 0 }, 6, { [6] = 64 } },
		{ { [6] = 50 }, 6, { [6] = 64 } },
		{ { [6] = 65 }, 5, { [5] = 64, [6] = 65 } },
		/* The drawing in compact.h. */
		{ { [6] = 3072 }, 4, { [4] = 64, [5] = 307, [6] = 3072 } },
		{ { [5] = 300, [6] = 3072 },
		  4,
		  { [4] = 64, [5] = 307, [6] = 3072 } },
		/* Level 5 stays while half of what made it is left. */
		{ { [5] = 10, [6] = 40 }, 5, { [5] = 64, [6] = 64 } },
		{ { [5] = 10, [6] = 30 }, 5, { [5] = 0, [6] = 64 } },
		/* The largest level counts. */
		{ { [5] = 700, [6] = 1 },
		  4,
		  { [4] = 64, [5] = 70, [6] = 700 } },
		/* A level with tables is never passed by. */
		{ { [3] = 1, [6] = 65 }, 3, { [5] = 64, [6] = 65 } },
	};
	struct compact_targets targets;
	unsigned level;

	for (level = 1; level < KEYFS_LEVELS; level++)
		if (cases[_i].mib[level])
			add(level, "a", "b", cases[_i].mib[level]);
	apply();
	compact_targets(version, &options, &targets);
	ck_assert_uint_eq(targets.base_level, cases[_i].base_level);
	for (level = 0; level < KEYFS_LEVELS; level++)
		ck_assert_uint_eq(targets.bytes[level] / MIB,
				  cases[_i].target_mib[level]);
}
END_TEST

START_TEST(debt_is_what_must_be_rewritten)
{
	ck_assert_uint_eq(compact_debt_bytes(version, &options), 0);
	add(6, "a", "z", 640);
	add(5, "a", "z", 64 + 10);
	apply();
	/* 10 too many, and 640 / 74 of each below. */
	ck_assert_uint_eq(compact_debt_bytes(version, &options) / MIB,
			  10 + 10 * 640 / 74);
}
END_TEST

/* ---- Level 0 ---- */

START_TEST(nothing_is_due_in_a_small_store)
{
	ck_assert_int_eq(choose(), -ENOENT);
	add(0, "a", "z", 1);
	add(0, "a", "z", 1);
	add(0, "a", "z", 1);
	add(6, "a", "z", 10);
	apply();
	ck_assert_int_eq(choose(), -ENOENT);
}
END_TEST

START_TEST(tables_above_each_other_are_merged_into_the_base_level)
{
	unsigned i;

	add(6, "a", "c", 10); /* 1 */
	add(6, "d", "f", 10); /* 2 */
	add(6, "x", "z", 10); /* 3 */
	for (i = 0; i < 4; i++)
		add(0, "b", "e", 1); /* 4 to 7 */
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_uint_eq(pick.level, 0);
	ck_assert_uint_eq(pick.output_level, 6);
	ck_assert(!pick.trivial_move);
	ck_assert_uint_eq(pick.input_bytes, 24 * MIB);
	ck_assert_str_eq(inputs(), "7 6 5 4| 1 2");
	/* While it runs, nothing else leaves level 0. */
	ck_assert_int_eq(choose(), -ENOENT);
	compact_pick_fini(&pick);
	ck_assert_int_eq(choose(), 0);
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(tables_side_by_side_may_stay)
{
	static const char *const keys[] = { "a", "b", "c", "d", "e", "f", "g" };
	unsigned i;

	for (i = 0; i < 7; i++)
		add(0, keys[i], keys[i], 1);
	apply();
	ck_assert_int_eq(choose(), -ENOENT);
}
END_TEST

START_TEST(many_tables_side_by_side_move_down)
{
	char key[8];
	unsigned i;

	for (i = 0; i < 16; i++) {
		snprintf(key, sizeof(key), "k%02u", i);
		add(0, key, key, 1)->tombstones = 0;
	}
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert(pick.trivial_move);
	ck_assert_str_eq(inputs(), "1");
	compact_edit(&pick, NULL, &edit);
	version = tables_apply(version, &edit);
	ck_assert_uint_eq(version->levels[0].count, 15);
	ck_assert_uint_eq(version->levels[6].count, 1);
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(tombstones_are_not_moved_into_the_last_level)
{
	char key[8];
	unsigned i;

	for (i = 0; i < 16; i++) {
		snprintf(key, sizeof(key), "k%02u", i);
		add(0, key, key, 1);
	}
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert(!pick.trivial_move);
	compact_pick_fini(&pick);
}
END_TEST

/* An older table that overlaps only what was added to the hull must come too.
 */
START_TEST(what_overlaps_the_inputs_comes_with_them)
{
	add(0, "p", "t", 1); /* 1, the oldest */
	add(0, "a", "d", 1); /* 2 */
	add(0, "c", "q", 1); /* 3 overlaps both */
	add(0, "v", "z", 1); /* 4 overlaps none */
	options.level0_tables = 2;
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_uint_eq(pick.first_count, 3);
	ck_assert_str_eq(inputs(), "3 2 1");
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(a_backlog_is_worked_off_from_the_oldest)
{
	unsigned i;

	options.level0_tables = 1;
	for (i = 0; i < 7; i++)
		add(0, "a", "z", 1);
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_str_eq(inputs(), "4 3 2 1");
	compact_pick_fini(&pick);
}
END_TEST

/* ---- Sorted levels ---- */

/* Level 6 of 640 MiB, so that level 5 may have 64. */
static void
lay_levels(void)
{
	add(6, "a", "b", 160); /* 1 */
	add(6, "c", "d", 160); /* 2 */
	add(6, "e", "f", 160); /* 3 */
	add(6, "g", "h", 160); /* 4 */
	add(5, "a", "c", 30);  /* 5: over 1 and 2 */
	add(5, "d", "e", 30);  /* 6: over 2 and 3 */
	add(5, "f", "f", 30);  /* 7: over 3 */
	apply();
}

START_TEST(the_cheapest_table_goes_down)
{
	lay_levels();
	ck_assert_int_eq(choose(), 0);
	ck_assert_uint_eq(pick.level, 5);
	ck_assert_uint_eq(pick.output_level, 6);
	ck_assert_str_eq(inputs(), "7| 3");
	/* The rest of the level is within its target. */
	ck_assert_int_eq(choose(), -ENOENT);
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(what_is_being_compacted_is_left_alone)
{
	lay_levels();
	options.level_bytes = 1 * MIB;
	options.level_ratio = 64;
	version->levels[6].tables[2]->being_compacted = true; /* 3 */
	ck_assert_int_eq(choose(), 0);
	ck_assert_str_eq(inputs(), "5| 1 2");
	ck_assert_int_eq(choose(), -ENOENT);
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(what_cannot_be_read_is_left_out)
{
	const struct keyfs_slice none = { NULL, 0 };

	lay_levels();
	table_meta_blame(version->levels[6].tables[2], -EAGAIN); /* 3 */
	table_meta_blame(version->levels[6].tables[2], -ENOMEM);
	ck_assert(!version->levels[6].tables[2]->unreadable);
	table_meta_blame(version->levels[6].tables[2], -EIO);
	ck_assert_int_eq(choose(), 0);
	ck_assert_str_eq(inputs(), "5| 1 2");
	compact_pick_fini(&pick);
	ck_assert_int_eq(compact_pick_range(version, &options, 5,
					    keyfs_str("f"), none, &pick),
			 -EIO);
}
END_TEST

START_TEST(what_cannot_be_read_in_level_0_keeps_only_what_overlaps_it)
{
	struct table_meta *bad;

	options.level0_tables = 2;
	bad = add(0, "a", "c", 1); /* 1 */
	add(0, "p", "r", 1);       /* 2 */
	add(0, "b", "d", 1);       /* 3 over 1 */
	add(0, "q", "s", 1);       /* 4 over 2 */
	apply();
	table_meta_blame(bad, -EIO);
	ck_assert_int_eq(choose(), 0);
	ck_assert_str_eq(inputs(), "4 2");
	ck_assert_int_eq(choose(), -ENOENT);
	compact_pick_fini(&pick);
}
END_TEST

START_TEST(a_table_that_overlaps_nothing_moves)
{
	lay_levels();
	add(5, "i", "j", 30)->tombstones = 0;
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_str_eq(inputs(), "8");
	ck_assert(pick.trivial_move);
	compact_edit(&pick, NULL, &edit);
	compact_retire_inputs(&pick, NULL);
	version = tables_apply(version, &edit);
	compact_pick_fini(&pick);
	ck_assert_uint_eq(version->levels[6].tables[4]->number, 8);
	ck_assert(!version->levels[6].tables[4]->retired);
}
END_TEST

START_TEST(a_move_onto_much_below_is_a_merge)
{
	char small[8], large[8];
	unsigned i;

	for (i = 0; i < 60; i++) {
		snprintf(small, sizeof(small), "%02ua", i);
		snprintf(large, sizeof(large), "%02ub", i);
		add(6, small, large, 32);
	}
	add(4, "00", "30", 70)->tombstones = 0;
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_uint_eq(pick.level, 4);
	ck_assert_uint_eq(pick.count, 1);
	ck_assert(!pick.trivial_move);
	compact_pick_fini(&pick);
}
END_TEST

/* ---- Tombstones ---- */

START_TEST(a_table_of_tombstones_goes_down_early)
{
	struct table_meta *meta;

	add(6, "a", "z", 100);
	meta = add(_i ? 5 : 0, "b", "c", 1);
	meta->entries = 5000;
	meta->tombstones = 2600;
	apply();
	ck_assert_int_eq(choose(), 0);
	ck_assert_ptr_eq(pick.inputs[0], meta);
	ck_assert_uint_eq(pick.count, _i ? 2 : 1);
	compact_pick_fini(&pick);
	meta->tombstones = 2400;
	ck_assert_int_eq(choose(), -ENOENT);
	meta->entries = meta->tombstones = 100;
	ck_assert_int_eq(choose(), -ENOENT);
}
END_TEST

START_TEST(tombstones_in_the_last_level_wait_for_the_snapshot)
{
	struct table_meta *meta = add(6, "a", "z", 10);

	meta->entries = meta->tombstones = 5000;
	apply();
	ck_assert_int_eq(compact_pick(version, &options, meta->max_seq - 1,
				      &pick),
			 -ENOENT);
	ck_assert_int_eq(compact_pick(version, &options, meta->max_seq, &pick),
			 0);
	ck_assert_uint_eq(pick.level, 6);
	ck_assert_uint_eq(pick.output_level, 6);
	ck_assert(!pick.trivial_move);
	compact_edit(&pick, NULL, &edit);
	version = tables_apply(version, &edit);
	ck_assert_uint_eq(version->levels[6].count, 0);
	compact_pick_fini(&pick);
}
END_TEST

/* ---- Ranges ---- */

START_TEST(a_range_is_picked_until_none_is_left)
{
	const struct keyfs_slice none = { NULL, 0 };

	lay_levels();
	add(0, "a", "z", 1);
	apply();
	ck_assert_int_eq(compact_pick_range(version, &options, 1, none, none,
					    &pick),
			 -ENOENT);
	ck_assert_int_eq(compact_pick_range(version, &options, 5,
					    keyfs_str("e"), keyfs_str("f"),
					    &pick),
			 0);
	ck_assert_str_eq(inputs(), "6 7| 2 3");
	/* Level 0 would merge with tables 6 and 7. */
	ck_assert_int_eq(compact_pick_range(version, &options, 0, none, none,
					    &pick),
			 -EBUSY);
	ck_assert_int_eq(compact_pick_range(version, &options, 5, none, none,
					    &pick),
			 -EBUSY);
	compact_pick_fini(&pick);
	ck_assert_int_eq(compact_pick_range(version, &options, 0, none, none,
					    &pick),
			 0);
	ck_assert_str_eq(inputs(), "8| 5 6 7");
	compact_pick_fini(&pick);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("compact_pick");
	TCase *tcase = tcase_create("compact_pick");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, targets_are_computed_from_the_last_level_up,
			    0, 9);
	tcase_add_test(tcase, debt_is_what_must_be_rewritten);
	tcase_add_test(tcase, nothing_is_due_in_a_small_store);
	tcase_add_test(tcase,
		       tables_above_each_other_are_merged_into_the_base_level);
	tcase_add_test(tcase, tables_side_by_side_may_stay);
	tcase_add_test(tcase, many_tables_side_by_side_move_down);
	tcase_add_test(tcase, tombstones_are_not_moved_into_the_last_level);
	tcase_add_test(tcase, what_overlaps_the_inputs_comes_with_them);
	tcase_add_test(tcase, a_backlog_is_worked_off_from_the_oldest);
	tcase_add_test(tcase, the_cheapest_table_goes_down);
	tcase_add_test(tcase, what_is_being_compacted_is_left_alone);
	tcase_add_test(tcase, what_cannot_be_read_is_left_out);
	tcase_add_test(
		tcase,
		what_cannot_be_read_in_level_0_keeps_only_what_overlaps_it);
	tcase_add_test(tcase, a_table_that_overlaps_nothing_moves);
	tcase_add_test(tcase, a_move_onto_much_below_is_a_merge);
	tcase_add_loop_test(tcase, a_table_of_tombstones_goes_down_early, 0, 2);
	tcase_add_test(tcase,
		       tombstones_in_the_last_level_wait_for_the_snapshot);
	tcase_add_test(tcase, a_range_is_picked_until_none_is_left);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
