/* SPDX-License-Identifier: Apache-2.0 */
/* merge_iter_test.c - the merge of parts equals the whole, both ways, and
 * errors of one part are errors of the whole. */
#include <config.h>

#include "store/merge_iter.h"

#include <errno.h>

#include "tests/suite.h"
#include "tests/versions.h"

enum { PARTS_MAX = 9, KEYS = 300 };

struct parts {
	struct versions whole, parts[PARTS_MAX];
	size_t count;
};

/* Deals a random history out; runs of keys go to one part, as levels have them.
 */
static void
deal(struct parts *p, size_t count, size_t versions, uint64_t *random)
{
	size_t i, part = 0;

	versions_init(&p->whole);
	versions_random(&p->whole, random, versions, 1, KEYS);
	p->count = count;
	for (i = 0; i < count; i++)
		versions_init(&p->parts[i]);
	for (i = 0; i < p->whole.count; i++) {
		if (suite_random(random) % 5 == 0)
			part = suite_random(random) % count;
		versions_add(&p->parts[part], &p->whole.entries[i]);
	}
}

static void
undeal(struct parts *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		versions_fini(&p->parts[i]);
	versions_fini(&p->whole);
}

/* `fail_after`: of part 0. */
static struct iter *
merge(struct parts *p, long fail_after)
{
	struct iter *children[PARTS_MAX], *merged;
	size_t i;

	for (i = 0; i < p->count; i++)
		children[i] = versions_iter(&p->parts[i], i ? -1 : fail_after);
	ck_assert_int_eq(merge_iter_new(children, p->count, &merged), 0);
	return merged;
}

START_TEST(the_merge_equals_the_whole)
{
	uint64_t random = suite_seed();
	struct iter *merged;
	struct parts p;

	deal(&p, (size_t)_i, 1500, &random);
	merged = merge(&p, -1);
	versions_check_iter(&p.whole, merged, &random, KEYS);
	iter_free(merged);
	undeal(&p);
}
END_TEST

START_TEST(some_parts_may_be_empty)
{
	uint64_t random = suite_seed();
	struct iter *merged;
	struct parts p;

	deal(&p, PARTS_MAX, 4, &random);
	merged = merge(&p, -1);
	versions_check_iter(&p.whole, merged, &random, KEYS);
	iter_free(merged);
	undeal(&p);
}
END_TEST

START_TEST(nothing_merges_to_nothing)
{
	struct iter *merged;

	ck_assert_int_eq(merge_iter_new(NULL, 0, &merged), 0);
	iter_first(merged);
	ck_assert(!merged->valid && merged->status == 0);
	iter_last(merged);
	ck_assert(!merged->valid && merged->status == 0);
	iter_seek(merged, keyfs_str("a"), SEQ_MAX);
	ck_assert(!merged->valid && merged->status == 0);
	iter_free(merged);
}
END_TEST

/* Moves about at random until the error comes up; what is shown until then must
 * be right. */
static void
walk_to_error(struct parts *p, struct iter *merged, uint64_t *random)
{
	size_t at = 0;
	unsigned moves;

	iter_first(merged);
	for (moves = 0; moves < 100000 && merged->status == 0; moves++) {
		if (merged->valid != (at < p->whole.count))
			ck_abort_msg("an end or none");
		if (!merged->valid) {
			iter_first(merged);
			at = 0;
			continue;
		}
		versions_check_same(&merged->entry, &p->whole.entries[at]);
		if (suite_random(random) % 3) {
			iter_next(merged);
			at++;
		} else {
			iter_prev(merged);
			at--;
		}
	}
	ck_assert(!merged->valid);
	ck_assert_int_eq(merged->status, -EIO);
}

START_TEST(an_error_of_a_part_is_never_an_end)
{
	uint64_t random = suite_seed();
	struct parts p;
	long after;

	deal(&p, 4, 100, &random);
	for (after = 0; after < 100; after++) {
		struct iter *merged = merge(&p, after);

		walk_to_error(&p, merged, &random);
		iter_free(merged);
	}
	undeal(&p);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("merge_iter");
	TCase *tcase = tcase_create("merge_iter");

	tcase_add_loop_test(tcase, the_merge_equals_the_whole, 1,
			    PARTS_MAX + 1);
	tcase_add_test(tcase, some_parts_may_be_empty);
	tcase_add_test(tcase, nothing_merges_to_nothing);
	tcase_add_test(tcase, an_error_of_a_part_is_never_an_end);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
