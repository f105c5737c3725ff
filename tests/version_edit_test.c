/* SPDX-License-Identifier: Apache-2.0 */
/* version_edit_test.c - edits keep their bytes, and only those that fit are
 * applied. */
#include <config.h>

#include "store/version_edit.h"

#include <errno.h>
#include <stdlib.h>

#include "store/table_builder.h"
#include "tests/suite.h"
#include "tests/tables.h"

static struct table_set set;
static struct version_edit edit;

static void
setup(void)
{
	table_set_init(&set, NULL, NULL, NULL);
	version_edit_init(&edit);
}

static void
teardown(void)
{
	version_edit_fini(&edit);
}

static int
decode(const void *bytes, size_t len, struct version_edit *out)
{
	uint8_t *copy = malloc(len + !len);
	const char *why = "";
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	version_edit_init(out);
	r = version_edit_decode(keyfs_bytes(copy, len), &set, out, &why);
	ck_assert(r != -EUCLEAN || *why);
	free(copy);
	return r;
}

/* The example in version_edit.h. */
START_TEST(the_bytes_are_those_drawn)
{
	static const uint8_t want[] = { 1,    4, 2, 6,    3,   9, 7,
					0,    0, 5, 0xac, 2,   9, 0,
					0x1b, 1, 9, 1,    'a', 1, 'c' };
	struct table_info info = { .file_bytes = 300,
				   .entries = 9,
				   .raw_bytes = 27,
				   .min_seq = 1,
				   .max_seq = 9,
				   .smallest = keyfs_str("a"),
				   .largest = keyfs_str("c") };
	struct table_meta *meta;
	uint8_t *bytes;
	size_t len;

	edit.log_floor = 4;
	edit.next_number = 6;
	edit.last_seq = 9;
	ck_assert_int_eq(table_meta_new(&set, 5, &info, &meta), 0);
	version_edit_add_table(&edit, 0, meta);
	table_meta_unref(meta);
	ck_assert_int_eq(version_edit_encode(&edit, &bytes, &len), 0);
	ck_assert_uint_eq(len, sizeof(want));
	ck_assert_mem_eq(bytes, want, len);
	free(bytes);
}
END_TEST

static void
add_damage(const char *first, const char *last, uint64_t max_seq)
{
	struct damage *damage, like = { .number = 5,
					.offset = 40,
					.bytes = 130,
					.min_seq = 2,
					.max_seq = max_seq,
					.first = keyfs_str(first),
					.last = keyfs_str(last) };

	ck_assert_int_eq(damage_new(&like, &damage), 0);
	version_edit_add_damage(&edit, damage);
	damage_unref(damage);
}

START_TEST(the_bytes_of_a_damage_range_are_those_drawn)
{
	static const uint8_t want[] = { 8, 5, 0x28, 0x82, 1, 2,
					8, 0, 1,    'a',  1, 'b' };
	uint8_t *bytes;
	size_t len;

	add_damage("a", "b", 8);
	ck_assert_int_eq(version_edit_encode(&edit, &bytes, &len), 0);
	ck_assert_uint_eq(len, sizeof(want));
	ck_assert_mem_eq(bytes, want, len);
	free(bytes);
}
END_TEST

/* An edit with something of everything. */
static void
fill(void)
{
	add_damage("b", "c", 9);
	add_damage("a", "d", 8);
	version_edit_add_log(&edit, 3);
	version_edit_add_log(&edit, 300);
	version_edit_end_log(&edit, 3, 123456789);
	version_edit_delete_table(&edit, 0, 17);
	version_edit_delete_table(&edit, 6, UINT64_C(1) << 40);
	tables_add(&edit, &set, 1, 18, "a", "b", 5);
	tables_add(&edit, &set, 6, 19, "c", "zebra", 1);
	edit.log_floor = 2;
	edit.next_number = 301;
	edit.last_seq = 1000000;
}

START_TEST(what_is_encoded_is_decoded)
{
	struct version_edit got;
	uint8_t *bytes, *again;
	size_t len, again_len;

	fill();
	ck_assert_int_eq(version_edit_encode(&edit, &bytes, &len), 0);
	ck_assert_int_eq(decode(bytes, len, &got), 0);
	ck_assert_uint_eq(got.added_count, 2);
	ck_assert_uint_eq(got.deleted_count, 2);
	ck_assert_uint_eq(got.log_count, 3);
	ck_assert_uint_eq(got.logs[2].end, 123456789);
	ck_assert(key_equal(got.added[1].meta->largest, keyfs_str("zebra")));
	ck_assert_int_eq(version_edit_encode(&got, &again, &again_len), 0);
	ck_assert_uint_eq(len, again_len);
	ck_assert_mem_eq(bytes, again, len);
	version_edit_fini(&got);
	free(bytes);
	free(again);
}
END_TEST

START_TEST(cut_or_changed_bytes_are_never_read_past)
{
	struct version_edit got;
	uint64_t random = suite_seed();
	uint8_t *bytes;
	size_t len, i;

	fill();
	ck_assert_int_eq(version_edit_encode(&edit, &bytes, &len), 0);
	for (i = 0; i < len; i++) {
		(void)decode(bytes, i, &got);
		version_edit_fini(&got);
	}
	for (i = 0; i < 2000; i++) {
		size_t at = suite_random(&random) % len;
		uint8_t was = bytes[at];

		bytes[at] = (uint8_t)suite_random(&random);
		(void)decode(bytes, len, &got);
		version_edit_fini(&got);
		bytes[at] = was;
	}
	free(bytes);
}
END_TEST

START_TEST(malformed_edits_are_refused)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\x08\x01", 2 },         /* unknown tag */
		{ "\x00", 1 },             /* tag 0 */
		{ "\x01\x04\x01\x05", 4 }, /* twice */
		{ "\x02\x00", 2 },         /* number 0 */
		{ "\x06\x01\x00\x05", 4 }, /* family 1 */
		{ "\x06\x00\x07\x05", 4 }, /* level 7 */
		{ "\x06\x00\x06", 3 },     /* cut off */
		{ "\x05\x03", 2 },         /* cut off */
		{ "\x07\x00\x00\x05\x64\x01\x00\x01\x01\x01\x00\x01"
		  "a",
		  13 }, /* empty key */
	};
	struct version_edit got;

	ck_assert_int_eq(decode(bad[_i].bytes, bad[_i].len, &got), -EUCLEAN);
	version_edit_fini(&got);
}
END_TEST

/* ---- Applying ---- */

/* Level 0: 5 [a..m] 4 [c..z]; level 1: 1 [a..d] 2 [f..k]; logs 6 and 7. */
static struct version *
base(void)
{
	struct version_edit e;
	struct version *v;

	ck_assert_int_eq(version_new(&set, &v), 0);
	version_edit_init(&e);
	e.next_number = 10;
	e.last_seq = 50;
	e.log_floor = 6;
	version_edit_add_log(&e, 6);
	version_edit_add_log(&e, 7);
	tables_add(&e, &set, 0, 4, "c", "z", 20);
	tables_add(&e, &set, 0, 5, "a", "m", 30);
	tables_add(&e, &set, 1, 2, "f", "k", 12);
	tables_add(&e, &set, 1, 1, "a", "d", 10);
	v = tables_apply(v, &e);
	version_edit_fini(&e);
	return v;
}

START_TEST(levels_are_put_in_order)
{
	struct version *v = base();

	ck_assert_uint_eq(v->levels[0].tables[0]->number, 5);
	ck_assert_uint_eq(v->levels[0].tables[1]->number, 4);
	ck_assert_uint_eq(v->level0_depth, 2);
	ck_assert_uint_eq(v->levels[1].tables[0]->number, 1);
	ck_assert_uint_eq(v->levels[1].tables[1]->number, 2);
	ck_assert_uint_eq(v->levels[1].bytes, 2000);
	ck_assert_uint_eq(v->log_count, 2);
	version_unref(v);
}
END_TEST

START_TEST(depth_counts_what_lies_above_each_other)
{
	struct version *v = base();

	tables_add(&edit, &set, 0, 6, "n", "p", 40);
	v = tables_apply(v, &edit);
	ck_assert_uint_eq(v->levels[0].count, 3);
	ck_assert_uint_eq(v->level0_depth, 2);
	version_unref(v);
}
END_TEST

START_TEST(a_move_keeps_the_table)
{
	struct version *v = base();
	struct table_meta *meta = v->levels[0].tables[0];
	unsigned level;

	version_edit_delete_table(&edit, 0, 5);
	version_edit_add_table(&edit, 2, meta);
	v = tables_apply(v, &edit);
	ck_assert_ptr_eq(version_find(v, 5, &level), meta);
	ck_assert_uint_eq(level, 2);
	ck_assert_ptr_null(version_find(v, 55, &level));
	version_unref(v);
}
END_TEST

START_TEST(logs_below_the_floor_are_forgotten)
{
	struct version *v = base();

	version_edit_end_log(&edit, 7, 4096);
	version_edit_add_log(&edit, 9);
	edit.log_floor = 7;
	v = tables_apply(v, &edit);
	ck_assert_uint_eq(v->log_count, 2);
	ck_assert_uint_eq(v->logs[0].number, 7);
	ck_assert(v->logs[0].ended);
	ck_assert_uint_eq(v->logs[0].end, 4096);
	ck_assert_uint_eq(v->logs[1].number, 9);
	ck_assert(!v->logs[1].ended);
	version_unref(v);
}
END_TEST

static void
misfit(int which)
{
	struct table_meta *meta;

	switch (which) {
	case 0:
		version_edit_delete_table(&edit, 1, 9);
		break;
	case 1: /* another level */
		version_edit_delete_table(&edit, 1, 5);
		break;
	case 2:
		version_edit_delete_table(&edit, 1, 1);
		version_edit_delete_table(&edit, 1, 1);
		break;
	case 3:
		tables_add(&edit, &set, 1, 8, "d", "e", 40);
		break;
	case 4:
		tables_add(&edit, &set, 1, 8, "b", "c", 40);
		break;
	case 5:
		tables_add(&edit, &set, 3, 5, "a", "b", 40);
		break;
	case 6:
		tables_add(&edit, &set, 3, 8, "a", "b", 40);
		tables_add(&edit, &set, 4, 8, "a", "b", 40);
		break;
	case 7:
		tables_add(&edit, &set, 3, 8, "b", "a", 40);
		break;
	case 8:
		tables_add(&edit, &set, 3, 10, "a", "b", 40);
		break;
	case 9:
		tables_add(&edit, &set, 3, 8, "a", "b", 51);
		break;
	case 10: /* it shares keys and sequence numbers with table 5 */
		meta = tables_meta(&set, 8, "a", "b", 25, 35);
		version_edit_add_table(&edit, 0, meta);
		table_meta_unref(meta);
		break;
	case 11:
		edit.next_number = 9;
		break;
	case 12:
		edit.last_seq = 49;
		break;
	case 13:
		edit.log_floor = 5;
		break;
	case 14:
		version_edit_add_log(&edit, 7);
		break;
	case 15:
		version_edit_add_log(&edit, 10);
		break;
	case 16:
		version_edit_end_log(&edit, 8, 64);
		break;
	case 17:
		version_edit_end_log(&edit, 7, 64);
		version_edit_end_log(&edit, 7, 64);
		break;
	case 20:
		add_damage("b", "a", 9);
		break;
	case 21:
		add_damage("a", "b", 51); /* above the last number */
		break;
	case 22:
		add_damage("a", "b", 1); /* below the least */
		break;
	case 18:
		meta = tables_meta(&set, 8, "a", "b", 41, 40);
		version_edit_add_table(&edit, 4, meta);
		table_meta_unref(meta);
		break;
	default:
		edit.last_seq = SEQ_MAX;
	}
}

START_TEST(an_edit_that_does_not_fit_is_refused)
{
	struct version *v = base(), *next = NULL;
	const char *why = "";

	misfit(_i);
	ck_assert_int_eq(version_apply(v, &edit, &why, &next), -EUCLEAN);
	ck_assert_ptr_null(next);
	ck_assert_int_ne(*why, 0);
	version_unref(v);
}
END_TEST

START_TEST(retired_tables_come_up_when_nobody_reads_them)
{
	struct version *v = base(), *reader = version_ref(v);
	struct table_meta *meta = v->levels[1].tables[0];
	bool aside;

	version_edit_delete_table(&edit, 1, 1);
	v = tables_apply(v, &edit);
	table_meta_retire(meta);
	ck_assert(!table_set_has_gone(&set));
	version_unref(reader);
	ck_assert(table_set_has_gone(&set));
	ck_assert_uint_eq(table_set_take_gone(&set, &aside), 1);
	ck_assert_uint_eq(table_set_take_gone(&set, &aside), 0);
	version_unref(v);
	ck_assert(!table_set_has_gone(&set));
}
END_TEST

START_TEST(overlaps_are_found)
{
	static const struct {
		const char *from, *to;
		unsigned level;
		uint64_t want[3];
	} cases[] = {
		{ "a", "b", 1, { 1 } },      { "d", "e", 1, { 1 } },
		{ "e", "e", 1, { 0 } },      { "d", "f", 1, { 1, 2 } },
		{ "l", "z", 1, { 0 } },      { NULL, NULL, 1, { 1, 2 } },
		{ NULL, "e", 1, { 1 } },     { "e", NULL, 1, { 2 } },
		{ "n", "z", 0, { 4 } },      { "a", "b", 0, { 5 } },
		{ NULL, NULL, 0, { 5, 4 } },
	};
	struct table_meta *got[4];
	struct version *v = base();
	size_t count, i;

	count = version_overlaps(v, cases[_i].level,
				 cases[_i].from ? keyfs_str(cases[_i].from)
						: keyfs_bytes(NULL, 0),
				 cases[_i].to ? keyfs_str(cases[_i].to)
					      : keyfs_bytes(NULL, 0),
				 got);
	for (i = 0; i < count; i++)
		ck_assert_uint_eq(got[i]->number, cases[_i].want[i]);
	ck_assert_uint_eq(cases[_i].want[count], 0);
	version_unref(v);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("version_edit");
	TCase *tcase = tcase_create("version_edit");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_bytes_are_those_drawn);
	tcase_add_test(tcase, the_bytes_of_a_damage_range_are_those_drawn);
	tcase_add_test(tcase, what_is_encoded_is_decoded);
	tcase_add_test(tcase, cut_or_changed_bytes_are_never_read_past);
	tcase_add_loop_test(tcase, malformed_edits_are_refused, 0, 9);
	tcase_add_test(tcase, levels_are_put_in_order);
	tcase_add_test(tcase, depth_counts_what_lies_above_each_other);
	tcase_add_test(tcase, a_move_keeps_the_table);
	tcase_add_test(tcase, logs_below_the_floor_are_forgotten);
	tcase_add_loop_test(tcase, an_edit_that_does_not_fit_is_refused, 0, 23);
	tcase_add_test(tcase, retired_tables_come_up_when_nobody_reads_them);
	tcase_add_loop_test(tcase, overlaps_are_found, 0, 11);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
