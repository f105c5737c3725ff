/* SPDX-License-Identifier: Apache-2.0 */
/* damage_test.c - which keys a damage range leaves in the dark, and which gaps. */
#include <config.h>

#include "store/damage.h"

#include "tests/suite.h"

static struct damage_list list;

static void
add(uint64_t number, const char *first, uint64_t first_seq, const char *last,
    uint64_t min_seq, uint64_t max_seq)
{
	struct damage *damage, like = { .number = number,
					.bytes = 1,
					.min_seq = min_seq,
					.max_seq = max_seq,
					.first_seq = first_seq,
					.first = keyfs_str(first),
					.last = keyfs_str(last) };

	ck_assert_int_eq(damage_new(&like, &damage), 0);
	ck_assert_int_eq(damage_list_add(&list, damage), 0);
	damage_unref(damage);
	ck_assert_int_eq(damage_list_sort(&list), 0);
}

static void
setup(void)
{
	add(5, "m", 0, "p", 10, 20);
	add(6, "b", SEQ_MAX, "d", 1, 50);
	add(5, "k", 12, "n", 1, 15);
	add(7, "a", 0, "z", 90, 95);
}

static void
teardown(void)
{
	damage_list_fini(&list);
}

static uint64_t
bound_at(const char *key, uint64_t seq)
{
	uint64_t bound = 0;

	(void)damage_list_find(&list, keyfs_str(key), seq, &bound);
	return bound;
}

START_TEST(the_bound_is_the_highest_of_all_ranges)
{
	static const struct {
		const char *key;
		uint64_t seq, bound;
	} cases[] = {
		{ "a", 100, 0 },  { "b", 100, 95 }, { "b", 80, 50 },
		{ "c", 80, 50 },  { "d", 80, 50 },  { "da", 80, 0 },
		{ "k", 80, 11 },  { "ka", 80, 15 }, { "m", 80, 15 },
		{ "ma", 80, 20 }, { "n", 80, 20 },  { "p", 80, 20 },
		{ "pa", 80, 0 },  { "pa", 90, 95 }, { "ma", 9, 15 },
		{ "o", 9, 0 },    { "z", 90, 95 },  { "zz", 90, 0 },
	};

	ck_assert_uint_eq(bound_at(cases[_i].key, cases[_i].seq),
			  cases[_i].bound);
}
END_TEST

/* "" is no end, "+" in front includes. */
static struct damage_edge
edge(const char *text)
{
	struct damage_edge e = { { NULL, 0 }, *text == '+' };

	if (*text)
		e.key = keyfs_str(text + e.included);
	return e;
}

START_TEST(a_gap_finds_the_range_that_begins_first)
{
	static const struct {
		const char *lower, *upper, *first;
	} cases[] = {
		{ "", "", "b" },    { "", "b", NULL },   { "", "+b", "b" },
		{ "d", "k", NULL }, { "+d", "k", "b" },  { "d", "+k", "k" },
		{ "d", "l", "k" },  { "n", "", "m" },    { "p", "", NULL },
		{ "+p", "", "m" },  { "q", "y", NULL },  { "e", "+m", "k" },
		{ "+n", "", "k" },  { "+c", "c", NULL },
	};
	const struct damage *found =
		damage_list_between(&list, edge(cases[_i].lower),
				    edge(cases[_i].upper), 80);

	if (!cases[_i].first)
		ck_assert_ptr_null(found);
	else
		ck_assert(found &&
			  key_equal(found->first, keyfs_str(cases[_i].first)));
}
END_TEST

START_TEST(a_gap_up_to_a_first_key_that_is_whole_is_whole)
{
	damage_list_fini(&list);
	add(5, "m", 0, "p", 10, 20);
	ck_assert_ptr_null(
		damage_list_between(&list, edge("a"), edge("+m"), 80));
	ck_assert_ptr_nonnull(
		damage_list_between(&list, edge("a"), edge("+n"), 80));
	ck_assert_ptr_null(damage_list_between(&list, edge(""), edge(""), 9));
}
END_TEST

START_TEST(files_are_counted_once)
{
	ck_assert_uint_eq(damage_list_files(&list), 3);
	ck_assert(damage_list_names(&list, 7));
	ck_assert(!damage_list_names(&list, 8));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("damage");
	TCase *tcase = tcase_create("damage");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, the_bound_is_the_highest_of_all_ranges, 0,
			    18);
	tcase_add_loop_test(tcase, a_gap_finds_the_range_that_begins_first, 0,
			    14);
	tcase_add_test(tcase, a_gap_up_to_a_first_key_that_is_whole_is_whole);
	tcase_add_test(tcase, files_are_counted_once);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
