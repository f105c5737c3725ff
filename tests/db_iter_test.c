/* SPDX-License-Identifier: Apache-2.0 */
/* db_iter_test.c - what a reader sees of a random history, against the history
 * read naively. */
#include <config.h>

#include "store/db_iter.h"

#include <errno.h>

#include "tests/suite.h"
#include "tests/versions.h"

struct view {
	struct versions seen; /* one version a key, in order */
	struct db_iter *iter;
};

static const struct keyfs_slice none = { NULL, 0 };

static bool
inside_bounds(struct keyfs_slice key, struct keyfs_slice lower,
	      struct keyfs_slice upper)
{
	return (!lower.data || key_compare(key, lower) >= 0) &&
	       (!upper.data || key_compare(key, upper) < 0);
}

static void
open_view(struct view *view, const struct versions *all, uint64_t seq,
	  struct keyfs_slice lower, struct keyfs_slice upper, long fail_after)
{
	const struct entry *last = NULL;
	size_t i;

	versions_init(&view->seen);
	for (i = 0; i < all->count; i++) {
		const struct entry *e = &all->entries[i];

		if (e->seq > seq || (last && key_equal(last->key, e->key)))
			continue;
		last = e;
		if (e->kind == ENTRY_PUT && inside_bounds(e->key, lower, upper))
			versions_add(&view->seen, e);
	}
	ck_assert_int_eq(db_iter_new(versions_iter(all, fail_after), seq, lower,
				     upper, &view->iter),
			 0);
}

static void
close_view(struct view *view)
{
	db_iter_free(view->iter);
	versions_fini(&view->seen);
}

static void
check_at(const struct view *view, size_t at)
{
	if (db_iter_status(view->iter) != 0 ||
	    db_iter_valid(view->iter) != (at < view->seen.count))
		ck_abort_msg("an error, an end or none");
	if (at < view->seen.count)
		versions_check_same(db_iter_entry(view->iter),
				    &view->seen.entries[at]);
}

/* Goes somewhere by a random call; returns the index that it ought to reach. */
static size_t
jump(struct view *view, uint64_t *random, uint64_t keys)
{
	uint8_t buf[VERSIONS_KEY_MAX];
	struct keyfs_slice key = versions_random_key(random, keys, buf);

	switch (suite_random(random) % 6) {
	case 0:
		db_iter_first(view->iter);
		return 0;
	case 1:
		db_iter_last(view->iter);
		return view->seen.count - 1;
	case 2:
	case 3:
		db_iter_seek(view->iter, key);
		return versions_seek(&view->seen, key, SEQ_MAX);
	default:
		db_iter_seek_prev(view->iter, key);
		return versions_seek(&view->seen, key, 0) - 1;
	}
}

static void
check_view(struct view *view, uint64_t *random, uint64_t keys)
{
	unsigned round, steps;

	for (round = 0; round < 60; round++) {
		size_t at = jump(view, random, keys);

		check_at(view, at);
		for (steps = 0; steps < 25 && at < view->seen.count; steps++) {
			if (suite_random(random) % 5 < 2 + round % 2) {
				db_iter_next(view->iter);
				at++;
			} else {
				db_iter_prev(view->iter);
				at--;
			}
			check_at(view, at);
		}
	}
}

START_TEST(a_reader_sees_the_newest_version_of_its_time)
{
	static const struct {
		size_t versions;
		uint64_t keys;
	} shapes[] = { { 0, 10 },
		       { 500, 8 },
		       { 2000, 40 },
		       { 2000, 300 },
		       { 2000, 100000 } };
	uint64_t random = suite_seed(), keys = shapes[_i].keys;
	uint8_t low[VERSIONS_KEY_MAX], high[VERSIONS_KEY_MAX];
	struct versions all;
	struct view view;
	unsigned round;

	versions_init(&all);
	versions_random(&all, &random, shapes[_i].versions, 1, keys);
	for (round = 0; round < 24; round++) {
		struct keyfs_slice lower =
			versions_random_key(&random, keys, low);
		struct keyfs_slice upper =
			versions_random_key(&random, keys, high);

		open_view(&view, &all,
			  round ? suite_random(&random) % 2100 : SEQ_MAX,
			  round % 3 == 1 ? lower : none,
			  round % 4 > 1 ? upper : none, -1);
		check_view(&view, &random, keys);
		close_view(&view);
	}
	versions_fini(&all);
}
END_TEST

START_TEST(an_empty_upper_bound_shows_nothing)
{
	uint64_t random = 1;
	struct versions all;
	struct view view;

	versions_init(&all);
	versions_random(&all, &random, 100, 1, 50);
	open_view(&view, &all, SEQ_MAX, none, keyfs_str(""), -1);
	ck_assert_uint_eq(view.seen.count, 0);
	check_view(&view, &random, 50);
	close_view(&view);
	versions_fini(&all);
}
END_TEST

START_TEST(an_error_inside_is_never_an_end)
{
	uint64_t random = suite_seed();
	struct versions all;
	struct view view;
	long after;

	versions_init(&all);
	versions_random(&all, &random, 300, 1, 40);
	for (after = 0; after < 200; after++) {
		unsigned moves = 0;

		open_view(&view, &all, 200, none, none, after);
		while (db_iter_status(view.iter) == 0) {
			ck_assert_uint_lt(moves++, 10000);
			if (db_iter_valid(view.iter) && moves % 7 < 4)
				db_iter_next(view.iter);
			else if (db_iter_valid(view.iter))
				db_iter_prev(view.iter);
			else if (moves % 2)
				db_iter_first(view.iter);
			else
				db_iter_last(view.iter);
		}
		ck_assert(!db_iter_valid(view.iter));
		ck_assert_int_eq(db_iter_status(view.iter), -EIO);
		close_view(&view);
	}
	versions_fini(&all);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("db_iter");
	TCase *tcase = tcase_create("db_iter");

	tcase_add_loop_test(tcase, a_reader_sees_the_newest_version_of_its_time,
			    0, 5);
	tcase_add_test(tcase, an_empty_upper_bound_shows_nothing);
	tcase_add_test(tcase, an_error_inside_is_never_an_end);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
