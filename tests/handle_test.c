/* SPDX-License-Identifier: Apache-2.0 */
/* handle_test.c - lookup counts: exact, never forgotten early, small. */
#include <config.h>

#include "fs/handle.h"

#include <pthread.h>
#include <stdio.h>

#include "fs/session.h"
#include "tests/suite.h"

static struct handle_table *table;

static void
setup(void)
{
	ck_assert_int_eq(handle_table_new(&table), 0);
}

static void
teardown(void)
{
	handle_table_free(table);
}

static size_t
inodes(void)
{
	struct handle_usage usage;

	handle_table_usage(table, &usage);
	return usage.inodes;
}

static size_t
bytes(void)
{
	struct handle_usage usage;

	handle_table_usage(table, &usage);
	return usage.bytes;
}

START_TEST(an_inode_is_held_until_every_answer_is_given_back)
{
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert(handle_table_in_use(table, 7));
	ck_assert(!handle_unref(table, 7, 2));
	ck_assert(handle_table_in_use(table, 7));
	ck_assert(!handle_unref(table, 7, 1));
	ck_assert(!handle_table_in_use(table, 7));
	ck_assert_uint_eq(inodes(), 0);
}
END_TEST

START_TEST(an_orphan_is_reported_once_at_its_last_forget)
{
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert(handle_mark_orphan(table, 7));
	ck_assert(!handle_unref(table, 7, 1));
	ck_assert(handle_unref(table, 7, 1));
	ck_assert(!handle_unref(table, 7, 1));
}
END_TEST

START_TEST(an_orphan_that_nobody_holds_is_reported_at_once)
{
	ck_assert(!handle_mark_orphan(table, 7));
	ck_assert(!handle_table_in_use(table, 7));
}
END_TEST

START_TEST(a_mark_does_not_outlive_its_inode)
{
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert(handle_mark_orphan(table, 7));
	ck_assert(handle_unref(table, 7, 1));
	ck_assert_int_eq(handle_ref(table, 7), 0);
	ck_assert(!handle_unref(table, 7, 1));
}
END_TEST

START_TEST(a_stray_forget_is_ignored)
{
	ck_assert(!handle_unref(table, 7, 1));
	ck_assert(!handle_unref(table, 0, 5));
	ck_assert_int_eq(handle_ref(table, 8), 0);
	ck_assert(!handle_unref(table, 8, 100));
	ck_assert(!handle_table_in_use(table, 8));
}
END_TEST

START_TEST(the_table_grows_and_shrinks_with_the_cache)
{
	const uint64_t count = 200000;
	size_t empty = bytes(), wrong = 0;
	uint64_t ino;

	for (ino = 1; ino <= count; ino++)
		wrong += handle_ref(table, ino) != 0;
	ck_assert_uint_eq(inodes(), count);
	/* At most 8/3 of the 16 bytes just after growing. */
	ck_assert_uint_le(bytes(), empty + count * 16 * 8 / 3);
	for (ino = 1; ino <= count; ino++)
		wrong += handle_unref(table, ino, 1);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(inodes(), 0);
	ck_assert_uint_le(bytes(), empty);
}
END_TEST

#define MODEL_INODES 4096

START_TEST(it_agrees_with_a_plain_array)
{
	static unsigned count[MODEL_INODES];
	static bool orphan[MODEL_INODES];
	uint64_t state = suite_seed();
	unsigned wrong = 0;
	int step;

	for (step = 0; step < 300000; step++) {
		uint64_t r = suite_random(&state);
		/* Phases of growth and of shrinking, in runs and far apart. */
		bool grow = (r & 7) < ((step >> 16) & 1 ? 3 : 5);
		unsigned i = (unsigned)(r >> 8) % MODEL_INODES;
		uint64_t ino = i & 1 ? i : ((uint64_t)i << 40) + i;

		if (i == 0)
			continue;
		wrong += handle_table_in_use(table, ino) != (count[i] > 0);
		if ((r >> 60) == 0) {
			wrong += handle_mark_orphan(table, ino) !=
				 (count[i] > 0);
			orphan[i] = count[i] > 0;
		} else if (grow) {
			wrong += handle_ref(table, ino) != 0;
			count[i]++;
		} else {
			unsigned n = 1 + (unsigned)(r >> 40) % 3;
			bool last = count[i] <= n;

			wrong += handle_unref(table, ino, n) !=
				 (last && orphan[i]);
			count[i] = last ? 0 : count[i] - n;
			orphan[i] = orphan[i] && !last;
		}
		if (wrong != 0)
			ck_abort_msg("step %d", step);
	}
}
END_TEST

static void *
ref_and_unref(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	int i;

	for (i = 0; i < 20000; i++) {
		uint64_t ino = 1 + suite_random(&state) % 500;

		if (handle_ref(table, ino) != 0)
			return arg;
		if (!handle_table_in_use(table, ino))
			return arg;
		handle_unref(table, ino, 1);
	}
	return NULL;
}

START_TEST(threads_do_not_lose_counts)
{
	pthread_t threads[4];
	uintptr_t i;

	for (i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						ref_and_unref, (void *)(i + 1)),
				 0);
	for (i = 0; i < 4; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	ck_assert_uint_eq(inodes(), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("handle");
	TCase *tcase = tcase_create("counts");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase,
		       an_inode_is_held_until_every_answer_is_given_back);
	tcase_add_test(tcase, an_orphan_is_reported_once_at_its_last_forget);
	tcase_add_test(tcase, an_orphan_that_nobody_holds_is_reported_at_once);
	tcase_add_test(tcase, a_mark_does_not_outlive_its_inode);
	tcase_add_test(tcase, a_stray_forget_is_ignored);
	tcase_add_test(tcase, the_table_grows_and_shrinks_with_the_cache);
	tcase_add_test(tcase, it_agrees_with_a_plain_array);
	tcase_add_test(tcase, threads_do_not_lose_counts);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
