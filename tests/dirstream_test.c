/* SPDX-License-Identifier: Apache-2.0 */
/* dirstream_test.c - offsets of directory entries: stable, remembered, found
 * again. */
#include <config.h>

#include "fs/dirstream.h"

#include <stdio.h>

#include "tests/suite.h"

/* Two names with one 64-bit FNV-1a hash; names that collide after some bytes
 * collide with any ending, too. */
#define TWIN_1 "8yn0iYCKYHlIj4-BwPqk"
#define TWIN_2 "GReLUrM4wMqfg9yzV3KQ"

static struct dirstream *stream;

static void
setup(void)
{
	ck_assert_int_eq(dirstream_new(&stream), 0);
	dirstream_begin(stream);
}

static void
teardown(void)
{
	dirstream_free(stream);
}

static uint64_t
add(const char *name)
{
	uint64_t offset = 0;

	ck_assert_int_eq(dirstream_add(stream, keyfs_str(name), &offset), 0);
	ck_assert_uint_gt(offset, DIRSTREAM_AFTER_DOTS);
	ck_assert_uint_lt(offset, UINT64_C(1) << 63);
	return offset;
}

static void
next_reply(void)
{
	dirstream_end(stream);
	dirstream_begin(stream);
}

static const char *
found(uint64_t offset)
{
	static char name[256];
	struct keyfs_slice slice;

	if (!dirstream_find(stream, offset, &slice))
		return NULL;
	memcpy(name, slice.data, slice.len);
	name[slice.len] = '\0';
	return name;
}

START_TEST(an_offset_leads_back_to_its_name_for_two_replies)
{
	uint64_t a = add("a"), b = add("b"), c;

	next_reply();
	ck_assert_str_eq(found(a), "a");
	ck_assert_str_eq(found(b), "b");
	c = add("c");
	next_reply();
	ck_assert_str_eq(found(a), "a");
	ck_assert_str_eq(found(c), "c");
	next_reply();
	ck_assert_ptr_null(found(a));
	ck_assert_str_eq(found(c), "c");
}
END_TEST

START_TEST(a_reply_that_was_not_sent_is_forgotten)
{
	uint64_t a = add("a"), b;

	dirstream_begin(stream);
	b = add("b");
	next_reply();
	ck_assert_ptr_null(found(a));
	ck_assert_str_eq(found(b), "b");
}
END_TEST

START_TEST(an_entry_that_did_not_fit_is_taken_back)
{
	uint64_t a = add("a"), b = add("b");

	dirstream_drop_last(stream);
	next_reply();
	ck_assert_str_eq(found(a), "a");
	ck_assert_ptr_null(found(b));
}
END_TEST

START_TEST(a_name_has_the_same_offset_in_every_stream_and_reply)
{
	uint64_t a = add("a");

	next_reply();
	ck_assert_uint_eq(add("a"), a);
	ck_assert_uint_eq(dirstream_offset(keyfs_str("a")), a);
	/* What NFS clients may hold from an earlier version. */
	ck_assert_uint_eq(a, UINT64_C(198367012849983739));
}
END_TEST

START_TEST(many_entries_are_all_remembered)
{
	static uint64_t offsets[3000];
	char name[32];
	int i;

	for (i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry-%d", i);
		offsets[i] = add(name);
	}
	next_reply();
	for (i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "entry-%d", i);
		ck_assert_str_eq(found(offsets[i]), name);
	}
}
END_TEST

START_TEST(an_older_offset_is_found_by_going_through_the_names)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct dirstream_search search = { .offset = dirstream_offset(
						   keyfs_str("c")) };
	int i;

	for (i = 0; i < 4; i++)
		ck_assert_int_eq(dirstream_match(&search, keyfs_str(names[i])),
				 i == 2);
}
END_TEST

START_TEST(names_that_share_a_hash_get_numbers_of_their_own)
{
	uint64_t first = add(TWIN_1), second = add(TWIN_2);

	ck_assert_uint_eq(dirstream_offset(keyfs_str(TWIN_1)),
			  dirstream_offset(keyfs_str(TWIN_2)));
	ck_assert_uint_eq(second, first + 1);
	next_reply();
	ck_assert_str_eq(found(first), TWIN_1);
	ck_assert_str_eq(found(second), TWIN_2);
	/* Listed again, alone: it keeps its number while that is remembered. */
	ck_assert_uint_eq(add(TWIN_1), first);
}
END_TEST

START_TEST(a_search_finds_names_that_share_a_hash_in_their_order)
{
	uint64_t first = dirstream_offset(keyfs_str(TWIN_1));
	struct dirstream_search search = { .offset = first };

	ck_assert(dirstream_match(&search, keyfs_str(TWIN_1)));
	search = (struct dirstream_search){ .offset = first + 1 };
	ck_assert(!dirstream_match(&search, keyfs_str(TWIN_1)));
	ck_assert(dirstream_match(&search, keyfs_str(TWIN_2)));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dirstream");
	TCase *tcase = tcase_create("offsets");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_offset_leads_back_to_its_name_for_two_replies);
	tcase_add_test(tcase, a_reply_that_was_not_sent_is_forgotten);
	tcase_add_test(tcase, an_entry_that_did_not_fit_is_taken_back);
	tcase_add_test(tcase,
		       a_name_has_the_same_offset_in_every_stream_and_reply);
	tcase_add_test(tcase, many_entries_are_all_remembered);
	tcase_add_test(tcase,
		       an_older_offset_is_found_by_going_through_the_names);
	tcase_add_test(tcase, names_that_share_a_hash_get_numbers_of_their_own);
	tcase_add_test(tcase,
		       a_search_finds_names_that_share_a_hash_in_their_order);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
