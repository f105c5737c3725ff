/* SPDX-License-Identifier: Apache-2.0 */
/* tree_data_test.c - attributes and contents, one claim a test. */
#include <config.h>

#include "fs/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define CHUNK 16384u
#define MIB (1u << 20)

static struct kv *kv;
static struct tree *tree;
static struct tree_attr attr;

/* The same claims over both engines. */
static void
setup_mem(void)
{
	kv = kv_mem_new();
	tree = kit_open(kv);
}

static void
teardown_mem(void)
{
	kit_check(tree);
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
setup_lsm(void)
{
	kv = kit_lsm();
	tree = kit_open(kv);
}

static void
teardown_lsm(void)
{
	kit_check(tree);
	kit_close(tree);
	kit_lsm_close(kv);
}

static void
reopen(void)
{
	kit_close(tree);
	tree = kit_open(kv);
}

static bool
later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec ||
	       (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static bool
same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Sets both times of an inode to the year 2001, its ctime too. */
static void
make_old(uint64_t ino)
{
	struct tree_attr old = { .mtime = { 1000000000, 1 },
				 .atime = { 1000000000, 1 },
				 .ctime = { 1000000000, 1 } };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino,
				      TREE_SET_MTIME | TREE_SET_ATIME |
					      TREE_SET_CTIME,
				      &old, &old),
			 0);
}

static bool
is_old(struct timespec t)
{
	return t.tv_sec == 1000000000;
}

/* ---- Attributes ---- */

START_TEST(setattr_changes_what_it_names)
{
	struct tree_attr want = { .mode = S_IFDIR | 04711,
				  .uid = 5,
				  .gid = 6,
				  .atime = { 11, 12 },
				  .mtime = { -13, 14 } };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	make_old(ino);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_UID, &want,
				      &attr),
			 0);
	ck_assert(attr.uid == 5 && attr.gid == 1000 && is_old(attr.mtime));
	ck_assert(!is_old(attr.ctime));
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino,
				      TREE_SET_MODE | TREE_SET_GID |
					      TREE_SET_ATIME | TREE_SET_MTIME,
				      &want, &attr),
			 0);
	reopen();
	attr = kit_attr(tree, ino);
	ck_assert_uint_eq(attr.mode, S_IFREG | 04711);
	ck_assert_uint_eq(attr.gid, 6);
	ck_assert(attr.atime.tv_sec == 11 && attr.atime.tv_nsec == 12);
	ck_assert(attr.mtime.tv_sec == -13 && attr.mtime.tv_nsec == 14);
	ck_assert(attr.btime.tv_sec > 1000000000);
}
END_TEST

START_TEST(now_is_the_time_of_the_call)
{
	struct tree_attr want = { 0 };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	make_old(ino);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_ATIME_NOW,
				      &want, &attr),
			 0);
	ck_assert(!is_old(attr.atime) && is_old(attr.mtime));
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_MTIME_NOW,
				      &want, &attr),
			 0);
	ck_assert(!is_old(attr.mtime));
	ck_assert(same_time(attr.mtime, attr.ctime));
	ck_assert(!later(attr.atime, attr.mtime));
}
END_TEST

START_TEST(impossible_sizes_and_times_are_refused)
{
	struct tree_attr want = { .size = UINT64_C(1) << 63,
				  .mtime = { 0, 1000000000 } };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE,
				      &want, &attr),
			 -EFBIG);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_MTIME,
				      &want, &attr),
			 -EINVAL);
	want.size = 0;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, TREE_ROOT, TREE_SET_SIZE,
				      &want, &attr),
			 -EISDIR);
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, INT64_MAX - 3,
				    keyfs_str("1234")),
			 -EFBIG);
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, UINT64_MAX,
				    keyfs_str("1234")),
			 -EFBIG);
}
END_TEST

START_TEST(the_largest_file_has_its_last_byte)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	char byte;
	size_t len;

	ck_assert_int_eq(tree_write(tree, &kit_user, ino, INT64_MAX - 1,
				    keyfs_str("z")),
			 0);
	ck_assert_uint_eq(kit_attr(tree, ino).size, INT64_MAX);
	ck_assert_int_eq(tree_read(tree, &kit_user, ino, INT64_MAX - 1, 10,
				   &byte, &len),
			 0);
	ck_assert(len == 1 && byte == 'z');
	kit_expect(tree, ino, 12345678, 100, 0);
	kit_truncate(tree, ino, 5000);
	kit_expect(tree, ino, 0, 5000, 0);
	kit_truncate(tree, ino, INT64_MAX);
	ck_assert_int_eq(tree_read(tree, &kit_user, ino, INT64_MAX - 1, 10,
				   &byte, &len),
			 0);
	ck_assert(len == 1 && byte == 0);
}
END_TEST

/* ---- Contents ---- */

START_TEST(a_small_file_is_one_key)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	size_t keys = kit_count(kv);

	kit_fill(tree, ino, 0, 1024, 'a');
	ck_assert_uint_eq(kit_count(kv), keys);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 2);
	kit_fill(tree, ino, 1024, 1, 'b');
	ck_assert_uint_eq(kit_count(kv), keys + 1);
	kit_expect(tree, ino, 0, 1024, 'a');
	kit_expect(tree, ino, 1024, 1, 'b');
	kit_truncate(tree, ino, 1024);
	ck_assert_uint_eq(kit_count(kv), keys);
	kit_expect(tree, ino, 0, 1024, 'a');
}
END_TEST

START_TEST(writes_fall_anywhere)
{
	static const struct {
		uint64_t offset;
		size_t len;
	} writes[] = {
		{ 0, 1 },
		{ 100, 200 },
		{ 1000, 30 },
		{ 5000, 3 },
		{ CHUNK - 1, 2 },
		{ CHUNK, CHUNK },
		{ 3 * CHUNK - 5, 10 },
		{ 2, MIB },
		{ 7 * MIB + 1, MIB },
		{ 10, 3 * CHUNK },
	};
	char *model = calloc(1, 9 * MIB), *got = malloc(9 * MIB);
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), size = 0;
	size_t len;

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		uint64_t end = writes[i].offset + writes[i].len;
		char c = (char)('a' + i);

		memset(model + writes[i].offset, c, writes[i].len);
		kit_fill(tree, ino, writes[i].offset, writes[i].len, c);
		size = end > size ? end : size;
		ck_assert_int_eq(tree_read(tree, &kit_user, ino, 0, 9 * MIB,
					   got, &len),
				 0);
		ck_assert_uint_eq(len, size);
		ck_assert(memcmp(model, got, size) == 0);
		kit_check(tree);
	}
	free(model);
	free(got);
}
END_TEST

START_TEST(holes_are_zeros_and_take_no_space)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	kit_truncate(tree, ino, 100 * CHUNK);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 0);
	kit_fill(tree, ino, 50 * CHUNK, CHUNK, 'x');
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, CHUNK / 512);
	kit_expect(tree, ino, 0, 50 * CHUNK, 0);
	kit_expect(tree, ino, 51 * CHUNK, 49 * CHUNK, 0);
	kit_fill(tree, ino, 50 * CHUNK, CHUNK, 'y');
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, CHUNK / 512);
}
END_TEST

/* What was cut off must not come back when the file grows again. */
START_TEST(a_truncated_file_grows_with_zeros)
{
	static const uint64_t sizes[] = {
		0,           10,          1024,           1025,
		CHUNK - 1,   CHUNK,       CHUNK + 1,      70 * CHUNK,
		199 * CHUNK, 200 * CHUNK, 100 * CHUNK + 7
	};
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	uint64_t size = sizes[_i];

	kit_fill(tree, ino, 0, 200 * CHUNK, 'x');
	kit_truncate(tree, ino, size);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, (size + 511) / 512);
	kit_truncate(tree, ino, 200 * CHUNK);
	if (size)
		kit_expect(tree, ino, 0, size, 'x');
	if (size < 200 * CHUNK)
		kit_expect(tree, ino, size, 200 * CHUNK - size, 0);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, (size + 511) / 512);
}
END_TEST

START_TEST(stat_tells_the_size_and_what_is_stored)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	kit_fill(tree, ino, 0, 5000, 'x');
	ck_assert_uint_eq(kit_attr(tree, ino).size, 5000);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 10);
	kit_fill(tree, ino, 100 * CHUNK, 1, 'x');
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 10);
}
END_TEST

/* A dense file goes by numbers, a sparse one by what a scan finds; both in batches. */
START_TEST(a_removed_file_leaves_no_key)
{
	size_t keys = kit_count(kv), i;
	uint64_t dense = kit_create(tree, TREE_ROOT, "dense");
	uint64_t sparse = kit_create(tree, TREE_ROOT, "sparse");

	for (i = 0; i < 10; i++)
		kit_fill(tree, dense, i * MIB, MIB, 'd');
	for (i = 0; i < 600; i++)
		kit_fill(tree, sparse, i * 64 * MIB, 1, 's');
	ck_assert_uint_gt(kit_count(kv), keys + 640 + 600);
	kit_unlink(tree, TREE_ROOT, "dense");
	kit_unlink(tree, TREE_ROOT, "sparse");
	ck_assert_uint_eq(kit_count(kv), keys);
}
END_TEST

START_TEST(reading_beyond_the_end_is_nothing)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	char bytes[8];
	size_t len;

	kit_write(tree, ino, 0, "abc");
	ck_assert_int_eq(tree_read(tree, &kit_user, ino, 3, 8, bytes, &len), 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(tree_read(tree, &kit_user, ino, UINT64_MAX, 8, bytes,
				   &len),
			 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(tree_read(tree, &kit_user, ino, 1, 8, bytes, &len), 0);
	ck_assert(len == 2 && !memcmp(bytes, "bc", 2));
	ck_assert_int_eq(tree_read(tree, &kit_user, TREE_ROOT, 0, 8, bytes,
				   &len),
			 -EISDIR);
}
END_TEST

START_TEST(a_write_moves_mtime_and_ctime_only)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	make_old(ino);
	kit_read(tree, ino);
	attr = kit_attr(tree, ino);
	ck_assert(is_old(attr.atime) && is_old(attr.mtime));
	kit_write(tree, ino, 0, "x");
	attr = kit_attr(tree, ino);
	ck_assert(!is_old(attr.mtime) && !is_old(attr.ctime));
	ck_assert(is_old(attr.atime));
}
END_TEST

static TCase *
contents_case(const char *name, SFun setup, SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, setattr_changes_what_it_names);
	tcase_add_test(tcase, now_is_the_time_of_the_call);
	tcase_add_test(tcase, impossible_sizes_and_times_are_refused);
	tcase_add_test(tcase, the_largest_file_has_its_last_byte);
	tcase_add_test(tcase, a_small_file_is_one_key);
	tcase_add_test(tcase, writes_fall_anywhere);
	tcase_add_test(tcase, holes_are_zeros_and_take_no_space);
	tcase_add_loop_test(tcase, a_truncated_file_grows_with_zeros, 0, 11);
	tcase_add_test(tcase, stat_tells_the_size_and_what_is_stored);
	tcase_add_test(tcase, a_removed_file_leaves_no_key);
	tcase_add_test(tcase, reading_beyond_the_end_is_nothing);
	tcase_add_test(tcase, a_write_moves_mtime_and_ctime_only);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("tree_data");

	suite_add_tcase(suite,
			contents_case("contents", setup_mem, teardown_mem));
	suite_add_tcase(suite, contents_case("contents, lsm", setup_lsm,
					     teardown_lsm));
	return suite_main(suite);
}
