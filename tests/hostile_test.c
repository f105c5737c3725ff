/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c - stores whose checksums are right and whose contents somebody made
 * up: every call of tree.h answers, with a result or an error, and tree_check() tells
 * what is wrong.  Nothing crashes, nothing goes round for ever, and no name comes out
 * that a path cannot hold.
 *
 * The tree is that of hostile_tree.h, spoilt as hostile_spoils.h says, or at random.
 * KEYFS_TEST_CASES is how many trees are spoilt at random; default 300. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/hostile_exercise.h"
#include "tests/hostile_spoils.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define RANDOM_CASES 300
#define RANDOM_GROUPS 10
/* So long may one case take, whatever else the machine does. */
#define TIMEOUT_S 60

static const struct hostile_spoils *const spoils[] = {
	&hostile_names,
	&hostile_files,
	&hostile_store,
};

#define SPOILS (sizeof(spoils) / sizeof(spoils[0]))

static struct hostile_tree t;

static void
setup(void)
{
	hostile_tree_init(&t);
}

static void
teardown(void)
{
	hostile_tree_fini(&t);
}

/* ---- In one way ---- */

static size_t
spoil_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < SPOILS; i++)
		count += spoils[i]->count;
	return count;
}

static const struct hostile_spoil *
spoil_at(size_t n)
{
	size_t i = 0;

	while (n >= spoils[i]->count)
		n -= spoils[i++]->count;
	return &spoils[i]->spoils[n];
}

START_TEST(a_spoilt_tree_answers_and_is_told_of)
{
	const struct hostile_spoil *s = spoil_at((size_t)_i);
	int want = s->finding == HOSTILE_REFUSED ? -EUCLEAN
		   : s->finding == HOSTILE_NEWER ? -EPROTONOSUPPORT
						 : 0;
	struct tree *tree;

	s->spoil(&t);
	ck_assert_msg(exercise_open(t.kv, true, &tree) == want,
		      "%s: not as it should be", s->name);
	if (want)
		return;
	exercise_reads(t.kv, tree);
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(exercise_open(t.kv, false, &tree), 0);
	ck_assert_msg(exercise_tree(t.kv, tree) ==
			      (s->finding == HOSTILE_FOUND),
		      "%s: the check is wrong", s->name);
}
END_TEST

/* ---- Large ones ---- */

#define CYCLE_LENGTH 20000u
#define CYCLE_FIRST UINT64_C(1000000)

/* A directory of the cycle: it holds the next one. */
static void
put_link_of_cycle(unsigned i)
{
	uint64_t before = (i + CYCLE_LENGTH - 1) % CYCLE_LENGTH;

	t.spoilt.parent = CYCLE_FIRST + before;
	hostile_put_attr(&t, CYCLE_FIRST + i);
	kit_put_entry(t.kv, CYCLE_FIRST + i, "sub",
		      CYCLE_FIRST + (i + 1) % CYCLE_LENGTH, S_IFDIR);
}

/* A walk for each directory over all of them would take hours where there are a
 * million. */
START_TEST(a_long_cycle_is_walked_once)
{
	struct layout_key key;
	struct tree *tree;
	uint64_t ino;
	bool gone;

	hostile_take_attr(&t, t.dir_a);
	t.spoilt.nlink = 3;
	t.spoilt.entries = 1;
	for (unsigned i = 0; i < CYCLE_LENGTH; i++)
		put_link_of_cycle(i);
	hostile_put_number(&t, layout_key_inos(&key),
			   CYCLE_FIRST + CYCLE_LENGTH);
	tree = kit_open(t.kv);
	ck_assert(exercise_check(tree));
	ck_assert_int_eq(tree_rename(tree, &kit_user, TREE_ROOT, keyfs_str("A"),
				     CYCLE_FIRST + 7, keyfs_str("A"), 0, &ino,
				     &gone),
			 -EUCLEAN);
	ck_assert_int_eq(tree_rename(tree, &kit_user, CYCLE_FIRST,
				     keyfs_str("sub"), CYCLE_FIRST + 7,
				     keyfs_str("A"), 0, &ino, &gone),
			 -EINVAL);
	kit_close(tree);
}
END_TEST

/* ---- Every value, and values at random ---- */

struct pair {
	struct keyfs_slice key, value; /* owned */
};

static struct pair *pairs;
static size_t pair_count, pair_cap;

static int
pair_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct pair *pair;

	(void)arg;
	(void)version;
	pairs = must_grow(pairs, pair_count, &pair_cap, sizeof(*pairs));
	pair = &pairs[pair_count++];
	pair->key = keyfs_bytes(must_copy(key.data, key.len), key.len);
	pair->value = keyfs_bytes(must_copy(value.data, value.len), value.len);
	return 0;
}

static void
pairs_take(void)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct kv_view *view;

	ck_assert_int_eq(kv_view_open(t.kv, &view), 0);
	ck_assert_int_eq(kv_scan(t.kv, view, begin, end, 0, pair_each, NULL),
			 0);
	kv_view_close(t.kv, view);
}

static void
pairs_free(void)
{
	for (size_t i = 0; i < pair_count; i++) {
		free((void *)(uintptr_t)pairs[i].key.data);
		free((void *)(uintptr_t)pairs[i].value.data);
	}
	free(pairs);
	pairs = NULL;
	pair_count = pair_cap = 0;
}

static void
again(void)
{
	teardown();
	setup();
}

/* The times in it are those of now, so that it is not always as long. */
static size_t
length_of(struct keyfs_slice key)
{
	struct keyfs_slice value = hostile_value(&t, key);

	free((void *)(uintptr_t)value.data);
	return value.len;
}

static bool
is_same(struct keyfs_slice a, struct keyfs_slice b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

START_TEST(a_value_that_is_cut_or_has_a_tail_is_told_of)
{
	struct layout_key small;

	pairs_take();
	for (size_t i = 0; i < pair_count; i++) {
		size_t len;

		again();
		/* What is missing of contents is zeros. */
		if (_i == 1 &&
		    is_same(pairs[i].key, layout_key_attr(&small, t.foo)))
			continue;
		len = length_of(pairs[i].key);
		hostile_resize(&t, pairs[i].key,
			       (const size_t[]){ 0, len - 1, len + 1 }[_i]);
		if (!exercise_tells(t.kv))
			ck_abort_msg("key %zu, of %zu bytes", i, len);
	}
	pairs_free();
}
END_TEST

/* A byte, a value that belongs elsewhere, a number at its limits, or nothing. */
static void
spoil_at_random(uint64_t *seed)
{
	const struct pair *pair = &pairs[suite_random(seed) % pair_count];
	const struct pair *other = &pairs[suite_random(seed) % pair_count];
	size_t at = suite_random(seed) % (pair->value.len % 64 + 1);
	uint8_t *bytes = must_alloc(pair->value.len + 16);

	memcpy(bytes, pair->value.data, pair->value.len);
	switch (suite_random(seed) % 6) {
	case 0:
		kit_drop(t.kv, pair->key);
		break;
	case 1:
		kit_put(t.kv, pair->key, other->value);
		break;
	case 2:
		memset(bytes + at, 0xff, 8);
		bytes[at + 8] = 0x7f;
		kit_put(t.kv, pair->key, keyfs_bytes(bytes, pair->value.len));
		break;
	default:
		bytes[at] = (uint8_t)suite_random(seed);
		kit_put(t.kv, pair->key, keyfs_bytes(bytes, pair->value.len));
	}
	free(bytes);
}

START_TEST(trees_spoilt_at_random_answer)
{
	const char *given = getenv("KEYFS_TEST_CASES");
	unsigned long cases = given ? strtoul(given, NULL, 0) : RANDOM_CASES;
	uint64_t seed = suite_seed();

	pairs_take();
	for (unsigned long i = 0; i < cases / RANDOM_GROUPS; i++) {
		uint64_t case_seed = seed + i;

		again();
		for (uint64_t n = suite_random(&case_seed) % 4 + 1; n > 0; n--)
			spoil_at_random(&case_seed);
		(void)exercise_tells(t.kv);
	}
	pairs_free();
	suite_cases(cases / RANDOM_GROUPS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hostile");
	TCase *tcase = tcase_create("hostile"), *many = tcase_create("many");

	tcase_set_timeout(tcase, TIMEOUT_S);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_spoilt_tree_answers_and_is_told_of, 0,
			    (int)spoil_count());
	tcase_add_test(tcase, a_long_cycle_is_walked_once);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(many, 30 * TIMEOUT_S);
	tcase_add_checked_fixture(many, setup, teardown);
	tcase_add_loop_test(many, a_value_that_is_cut_or_has_a_tail_is_told_of,
			    0, 3);
	tcase_add_loop_test(many, trees_spoilt_at_random_answer, 0,
			    RANDOM_GROUPS);
	suite_add_tcase(suite, many);
	return suite_main(suite);
}
