/* SPDX-License-Identifier: Apache-2.0 */
/* model_test.c - the model keeps order and history. */
#include <config.h>

#include "tests/model.h"

#include <stdio.h>

#include "tests/suite.h"

static struct model *model;

static void
setup(void)
{
	model = model_new();
}

static void
teardown(void)
{
	model_free(model);
}

static void
put(const char *key, const char *value)
{
	model_put(model, keyfs_str(key), keyfs_str(value));
}

static void
check_key(size_t i, const char *key)
{
	ck_assert_uint_lt(i, model_count(model));
	ck_assert_uint_eq(model_key(model, i).len, strlen(key));
	ck_assert_mem_eq(model_key(model, i).data, key, strlen(key));
}

START_TEST(keys_are_sorted_and_replaced)
{
	struct keyfs_slice value;

	put("b", "1");
	put("a", "2");
	put("ab", "3");
	put("b", "4");
	ck_assert_uint_eq(model_count(model), 3);
	check_key(0, "a");
	check_key(1, "ab");
	check_key(2, "b");
	ck_assert(model_get(model, keyfs_str("b"), &value));
	ck_assert_mem_eq(value.data, "4", 1);
	ck_assert(!model_get(model, keyfs_str("c"), &value));
	model_delete(model, keyfs_str("ab"));
	model_delete(model, keyfs_str("absent"));
	ck_assert_uint_eq(model_count(model), 2);
	check_key(1, "b");
}
END_TEST

START_TEST(bytes_above_127_sort_last)
{
	put("\x80", "");
	put("\x7f", "");
	check_key(0, "\x7f");
	check_key(1, "\x80");
}
END_TEST

START_TEST(cursors_find_neighbours)
{
	ck_assert(model_seek(model, keyfs_str("a")) == MODEL_NONE);
	ck_assert(model_seek_prev(model, keyfs_str("a")) == MODEL_NONE);
	put("b", "");
	put("d", "");
	check_key(model_seek(model, keyfs_str("a")), "b");
	check_key(model_seek(model, keyfs_str("b")), "b");
	check_key(model_seek(model, keyfs_str("c")), "d");
	ck_assert(model_seek(model, keyfs_str("e")) == MODEL_NONE);
	ck_assert(model_seek_prev(model, keyfs_str("a")) == MODEL_NONE);
	check_key(model_seek_prev(model, keyfs_str("b")), "b");
	check_key(model_seek_prev(model, keyfs_str("c")), "b");
	check_key(model_seek_prev(model, keyfs_str("e")), "d");
	ck_assert_uint_eq(model_next(model, 0), 1);
	ck_assert(model_next(model, 1) == MODEL_NONE);
	ck_assert_uint_eq(model_prev(model, 1), 0);
	ck_assert(model_prev(model, 0) == MODEL_NONE);
}
END_TEST

START_TEST(every_state_of_the_past_can_be_had)
{
	struct model *state;

	put("a", "1");
	put("b", "1");
	model_commit(model);
	model_delete(model, keyfs_str("a"));
	model_commit(model);
	model_commit(model);
	put("open", "");
	ck_assert_uint_eq(model_batches(model), 3);

	state = model_at(model, 0);
	ck_assert_uint_eq(model_count(state), 0);
	ck_assert(model_advance(state, model));
	ck_assert_uint_eq(model_count(state), 2);
	ck_assert(model_advance(state, model));
	ck_assert_uint_eq(model_count(state), 1);
	ck_assert(model_advance(state, model));
	ck_assert_uint_eq(model_count(state), 1);
	ck_assert(!model_advance(state, model));
	ck_assert(!model_equal(state, model));
	model_free(state);
}
END_TEST

START_TEST(a_copy_has_the_open_batch_and_lives_apart)
{
	struct model *twin;

	put("a", "1");
	model_commit(model);
	put("b", "2");
	twin = model_copy(model);
	ck_assert(model_equal(twin, model));
	ck_assert_uint_eq(model_batches(twin), 1);
	put("b", "3");
	ck_assert(!model_equal(twin, model));
	model_clear(model);
	ck_assert_uint_eq(model_count(model), 0);
	ck_assert_uint_eq(model_batches(model), 0);
	ck_assert_uint_eq(model_count(twin), 2);
	model_free(twin);
	model_free(NULL);
}
END_TEST

/* Against a plain table of what each of 64 keys holds. */
START_TEST(random_changes_agree_with_a_table)
{
	uint64_t state = suite_seed();
	int table[64];
	struct keyfs_slice value;
	char key[3], text[16];
	size_t count = 0;

	memset(table, -1, sizeof(table));
	for (int i = 0; i < 5000; i++) {
		unsigned k = suite_random(&state) % 64;

		snprintf(key, sizeof(key), "%02u", k);
		snprintf(text, sizeof(text), "%d", i);
		if (suite_random(&state) % 2) {
			put(key, text);
			table[k] = i;
		} else {
			model_delete(model, keyfs_str(key));
			table[k] = -1;
		}
		model_commit(model);
	}
	for (unsigned k = 0; k < 64; k++) {
		snprintf(key, sizeof(key), "%02u", k);
		snprintf(text, sizeof(text), "%d", table[k]);
		ck_assert_int_eq(model_get(model, keyfs_str(key), &value),
				 table[k] >= 0);
		if (table[k] < 0)
			continue;
		ck_assert_uint_eq(value.len, strlen(text));
		ck_assert_mem_eq(value.data, text, value.len);
		check_key(count++, key);
	}
	ck_assert_uint_eq(model_count(model), count);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("model");
	TCase *tcase = tcase_create("model");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, keys_are_sorted_and_replaced);
	tcase_add_test(tcase, bytes_above_127_sort_last);
	tcase_add_test(tcase, cursors_find_neighbours);
	tcase_add_test(tcase, every_state_of_the_past_can_be_had);
	tcase_add_test(tcase, a_copy_has_the_open_batch_and_lives_apart);
	tcase_add_test(tcase, random_changes_agree_with_a_table);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
