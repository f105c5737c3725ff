/* SPDX-License-Identifier: Apache-2.0 */
/* tree_range_test.c - zeroing, allocating, seeking and copying ranges: one claim a test,
 * and random ones against plain bytes. */
#include <config.h>

#include "fs/tree.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define CHUNK UINT64_C(16384)
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO FALLOC_FL_ZERO_RANGE
#define KEEP FALLOC_FL_KEEP_SIZE

static struct kv *kv;
static struct tree *tree;
static uint64_t file;

static void
setup_mem(void)
{
	kv = kv_mem_new();
	tree = kit_open(kv);
	file = kit_create(tree, TREE_ROOT, "f");
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
	file = kit_create(tree, TREE_ROOT, "f");
}

static void
teardown_lsm(void)
{
	kit_check(tree);
	kit_close(tree);
	kit_lsm_close(kv);
}

static int
try_allocate(int mode, uint64_t offset, uint64_t len)
{
	return tree_fallocate(tree, &kit_user, file, mode, offset, len);
}

static void
allocate(int mode, uint64_t offset, uint64_t len)
{
	ck_assert_int_eq(try_allocate(mode, offset, len), 0);
}

static uint64_t
size(void)
{
	return kit_attr(tree, file).size;
}

static uint64_t
blocks(void)
{
	return kit_attr(tree, file).blocks;
}

/* The place, or -errno. */
static int64_t
seek(uint64_t offset, int whence)
{
	uint64_t out;
	int rc = tree_seek(tree, &kit_user, file, offset, whence, &out);

	return rc ? rc : (int64_t)out;
}

/* ---- Zeroing ---- */

START_TEST(a_hole_takes_no_space_and_keeps_the_size)
{
	kit_fill(tree, file, 0, 8 * CHUNK, 'x');
	allocate(PUNCH, CHUNK + 100, 3 * CHUNK);
	ck_assert_uint_eq(size(), 8 * CHUNK);
	/* The end of the hole lies in chunk 4, which is stored. */
	ck_assert_uint_eq(blocks(), (6 * CHUNK - (CHUNK - 100) + 511) / 512);
	kit_expect(tree, file, 0, CHUNK + 100, 'x');
	kit_expect(tree, file, CHUNK + 100, 3 * CHUNK, 0);
	kit_expect(tree, file, 4 * CHUNK + 100, 4 * CHUNK - 100, 'x');
	allocate(PUNCH, 0, 100 * CHUNK);
	ck_assert_uint_eq(size(), 8 * CHUNK);
	ck_assert_uint_eq(blocks(), 0);
}
END_TEST

START_TEST(a_small_file_has_holes_too)
{
	kit_write(tree, file, 0, "0123456789");
	allocate(PUNCH, 3, 4);
	ck_assert_uint_eq(size(), 10);
	kit_expect(tree, file, 3, 4, 0);
	kit_expect(tree, file, 7, 1, '7');
	allocate(PUNCH, 8, 50);
	ck_assert_uint_eq(size(), 10);
	kit_expect(tree, file, 8, 2, 0);
	kit_expect(tree, file, 2, 1, '2');
}
END_TEST

START_TEST(zeroing_grows_the_file_unless_told_not_to)
{
	kit_fill(tree, file, 0, 2 * CHUNK, 'x');
	allocate(ZERO | KEEP, CHUNK, 3 * CHUNK);
	ck_assert_uint_eq(size(), 2 * CHUNK);
	allocate(ZERO, CHUNK + 5, 3 * CHUNK);
	ck_assert_uint_eq(size(), 4 * CHUNK + 5);
	kit_expect(tree, file, 0, CHUNK, 'x');
	kit_expect(tree, file, CHUNK, 3 * CHUNK + 5, 0);
}
END_TEST

START_TEST(allocating_grows_the_file_unless_told_not_to)
{
	kit_write(tree, file, 0, "text");
	allocate(KEEP, 0, 100);
	ck_assert_uint_eq(size(), 4);
	allocate(0, 2, 3 * CHUNK);
	ck_assert_uint_eq(size(), 3 * CHUNK + 2);
	kit_expect(tree, file, 3, 1, 't');
	kit_expect(tree, file, 4, 3 * CHUNK - 2, 0);
	allocate(0, 0, 10);
	ck_assert_uint_eq(size(), 3 * CHUNK + 2);
}
END_TEST

/* More chunks than one commit deletes: they are stale first. */
START_TEST(every_allocation_is_a_modification)
{
	struct tree_attr attr = { .mtime = { 7, 0 } }, old;

	kit_fill(tree, file, 0, CHUNK, 'x');
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(tree_setattr(tree, &kit_user, file,
					      TREE_SET_MTIME, &attr, &old),
				 0);
		ck_assert_int_eq(old.mtime.tv_sec, 7);
		allocate(i ? KEEP : 0, 0, 100);
		ck_assert_int_gt(kit_attr(tree, file).mtime.tv_sec, 7);
	}
}
END_TEST

START_TEST(large_holes_are_made_at_once_and_next_to_each_other)
{
	const uint64_t total = 700 * CHUNK;

	for (uint64_t at = 0; at < total; at += 64 * CHUNK)
		kit_fill(tree, file, at, 64 * CHUNK, 'x');
	allocate(PUNCH, 100 * CHUNK, 100 * CHUNK);
	/* Behind it, before it, apart from it, and over the end of all. */
	allocate(PUNCH, 150 * CHUNK, 100 * CHUNK);
	allocate(PUNCH, 20 * CHUNK, 90 * CHUNK);
	allocate(PUNCH, 400 * CHUNK, 70 * CHUNK);
	kit_expect(tree, file, 0, 20 * CHUNK, 'x');
	kit_expect(tree, file, 20 * CHUNK, 230 * CHUNK, 0);
	kit_expect(tree, file, 250 * CHUNK, 150 * CHUNK, 'x');
	kit_expect(tree, file, 400 * CHUNK, 70 * CHUNK, 0);
	kit_expect(tree, file, 470 * CHUNK, 30 * CHUNK, 'x');
	kit_check(tree);
	/* Written into the middle, cut off and grown: nothing old is seen. */
	kit_fill(tree, file, 430 * CHUNK + 7, CHUNK, 'y');
	kit_truncate(tree, file, 300 * CHUNK);
	kit_truncate(tree, file, 700 * CHUNK);
	kit_expect(tree, file, 250 * CHUNK, 50 * CHUNK, 'x');
	kit_expect(tree, file, 300 * CHUNK, 400 * CHUNK, 0);
	ck_assert_uint_eq(blocks(), 70 * CHUNK / 512);
}
END_TEST

START_TEST(what_cannot_be_done_is_refused)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	struct tree_attr attr;

	ck_assert_int_eq(try_allocate(FALLOC_FL_COLLAPSE_RANGE, 0, CHUNK),
			 -EOPNOTSUPP);
	ck_assert_int_eq(try_allocate(FALLOC_FL_INSERT_RANGE, 0, CHUNK),
			 -EOPNOTSUPP);
	ck_assert_int_eq(try_allocate(FALLOC_FL_PUNCH_HOLE, 0, CHUNK),
			 -EOPNOTSUPP);
	ck_assert_int_eq(try_allocate(0, 0, 0), -EINVAL);
	ck_assert_int_eq(try_allocate(0, INT64_MAX, 1), -EFBIG);
	ck_assert_int_eq(try_allocate(0, 0, INT64_MAX), -ENOSPC);
	ck_assert_int_eq(try_allocate(PUNCH, 0, INT64_MAX), 0);
	ck_assert_int_eq(tree_fallocate(tree, &kit_user, dir, 0, 0, 1),
			 -EISDIR);
	ck_assert_int_eq(tree_mknod(tree, &kit_user, TREE_ROOT, keyfs_str("p"),
				    S_IFIFO | 0600, 0, &attr),
			 0);
	ck_assert_int_eq(tree_fallocate(tree, &kit_user, attr.ino, 0, 0, 1),
			 -ENODEV);
}
END_TEST

START_TEST(zeroing_takes_privileges_as_a_write_does)
{
	struct tree_caller caller = { .uid = 1000,
				      .gid = 1000,
				      .clears_setid = true };
	struct tree_attr attr = { .mode = 04711 };

	kit_write(tree, file, 0, "program");
	ck_assert_int_eq(tree_setattr(tree, &kit_user, file, TREE_SET_MODE,
				      &attr, &attr),
			 0);
	ck_assert_int_eq(tree_fallocate(tree, &caller, file, PUNCH, 0, 1), 0);
	ck_assert_uint_eq(kit_attr(tree, file).mode & 07777, 0711);
}
END_TEST

/* ---- Seeking ---- */

START_TEST(data_and_holes_are_found)
{
	kit_fill(tree, file, 2 * CHUNK, CHUNK + 10, 'x');
	kit_truncate(tree, file, 6 * CHUNK);
	kit_fill(tree, file, 5 * CHUNK, CHUNK, 'x');
	ck_assert_int_eq(seek(0, SEEK_HOLE), 0);
	ck_assert_int_eq(seek(0, SEEK_DATA), 2 * CHUNK);
	ck_assert_int_eq(seek(2 * CHUNK + 5, SEEK_DATA), 2 * CHUNK + 5);
	ck_assert_int_eq(seek(2 * CHUNK, SEEK_HOLE), 3 * CHUNK + 10);
	ck_assert_int_eq(seek(3 * CHUNK + 10, SEEK_DATA), 5 * CHUNK);
	ck_assert_int_eq(seek(5 * CHUNK, SEEK_HOLE), 6 * CHUNK);
	ck_assert_int_eq(seek(6 * CHUNK, SEEK_HOLE), -ENXIO);
	ck_assert_int_eq(seek(6 * CHUNK, SEEK_DATA), -ENXIO);
	kit_truncate(tree, file, 7 * CHUNK);
	ck_assert_int_eq(seek(6 * CHUNK, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(seek(6 * CHUNK + 1, SEEK_HOLE), 6 * CHUNK + 1);
	ck_assert_int_eq(seek(0, SEEK_SET), -EINVAL);
}
END_TEST

START_TEST(a_full_file_has_its_hole_at_the_end)
{
	kit_fill(tree, file, 0, 3 * CHUNK + 9, 'x');
	ck_assert_int_eq(seek(CHUNK, SEEK_HOLE), 3 * CHUNK + 9);
	ck_assert_int_eq(seek(CHUNK, SEEK_DATA), CHUNK);
	kit_truncate(tree, file, 5);
	ck_assert_int_eq(seek(2, SEEK_HOLE), 5);
	kit_truncate(tree, file, 9);
	ck_assert_int_eq(seek(2, SEEK_HOLE), 5);
	ck_assert_int_eq(seek(5, SEEK_DATA), -ENXIO);
	kit_empty(tree, file);
	ck_assert_int_eq(seek(0, SEEK_HOLE), -ENXIO);
}
END_TEST

/* ---- Copying ---- */

START_TEST(bytes_are_copied_to_another_file_and_the_same)
{
	uint64_t other = kit_create(tree, TREE_ROOT, "g");
	size_t len;

	kit_fill(tree, file, 0, 3 * CHUNK, 'a');
	kit_write(tree, file, CHUNK, "text");
	ck_assert_int_eq(tree_copy(tree, &kit_user, file, CHUNK, other, 5, 100,
				   &len),
			 0);
	ck_assert_uint_eq(len, 100);
	ck_assert_uint_eq(kit_attr(tree, other).size, 105);
	kit_expect(tree, other, 0, 5, 0);
	kit_expect(tree, other, 5, 1, 't');
	kit_expect(tree, other, 9, 96, 'a');
	/* To the end and no further; nothing behind it. */
	ck_assert_int_eq(tree_copy(tree, &kit_user, file, 3 * CHUNK - 7, file,
				   0, 100, &len),
			 0);
	ck_assert_uint_eq(len, 7);
	ck_assert_int_eq(tree_copy(tree, &kit_user, file, 3 * CHUNK, other, 0,
				   100, &len),
			 0);
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(tree_copy(tree, &kit_user, file, 0, other, INT64_MAX,
				   1, &len),
			 -EFBIG);
	ck_assert_int_eq(tree_copy(tree, &kit_user, TREE_ROOT, 0, other, 0, 1,
				   &len),
			 -EISDIR);
}
END_TEST

/* ---- Against plain bytes ---- */

#define FILES 2u
#define MODEL_BYTES (300 * CHUNK)

static uint8_t model[FILES][MODEL_BYTES], got[MODEL_BYTES + 1];
static uint64_t sizes[FILES], inos[FILES], seed;

static uint64_t
below(uint64_t limit)
{
	return suite_random(&seed) % limit;
}

/* Often at or near the bounds of chunks. */
static uint64_t
some_offset(uint64_t limit)
{
	uint64_t at = below(limit);

	if (below(2))
		at = at / CHUNK * CHUNK + below(3);
	return at < limit ? at : limit - 1;
}

static uint64_t
some_len(uint64_t offset)
{
	uint64_t most = MODEL_BYTES - offset;
	uint64_t len = 1 + some_offset(below(3) ? 5 * CHUNK : MODEL_BYTES);

	return len < most ? len : most;
}

static void
grow(unsigned f, uint64_t to)
{
	if (sizes[f] < to)
		sizes[f] = to;
}

static void
random_allocate(unsigned f)
{
	static const int modes[] = { 0,     KEEP, PUNCH,      PUNCH,
				     PUNCH, ZERO, ZERO | KEEP };
	int mode = modes[below(7)];
	uint64_t at = some_offset(MODEL_BYTES), len = some_len(at);

	ck_assert_int_eq(tree_fallocate(tree, &kit_user, inos[f], mode, at,
					len),
			 0);
	if ((mode & ~KEEP) && at < sizes[f])
		memset(model[f] + at, 0,
		       len < sizes[f] - at ? len : sizes[f] - at);
	if (!(mode & KEEP))
		grow(f, at + len);
}

static void
random_write(unsigned f)
{
	uint64_t at = some_offset(MODEL_BYTES), len = some_len(at);

	len = len < 40 * CHUNK ? len : 40 * CHUNK;
	memset(model[f] + at, (int)(1 + below(255)), len);
	ck_assert_int_eq(tree_write(tree, &kit_user, inos[f], at,
				    keyfs_bytes(model[f] + at, len)),
			 0);
	grow(f, at + len);
}

static void
random_truncate(unsigned f)
{
	struct tree_attr attr = { .size = some_offset(MODEL_BYTES) };
	unsigned set = TREE_SET_SIZE | (below(2) ? TREE_SET_BY_HANDLE : 0);

	if (below(4) == 0)
		attr.size = 0;
	if (attr.size < sizes[f])
		memset(model[f] + attr.size, 0, sizes[f] - attr.size);
	sizes[f] = attr.size;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, inos[f], set, &attr,
				      &attr),
			 0);
}

static void
random_copy(unsigned f)
{
	unsigned g = (unsigned)below(FILES);
	uint64_t from = some_offset(MODEL_BYTES), to = some_offset(MODEL_BYTES);
	uint64_t len = some_len(from > to ? from : to), want = 0;
	size_t done;

	if (from < sizes[f])
		want = len < sizes[f] - from ? len : sizes[f] - from;
	if (want > 1u << 20)
		want = 1u << 20;
	ck_assert_int_eq(tree_copy(tree, &kit_user, inos[f], from, inos[g], to,
				   len, &done),
			 0);
	ck_assert_uint_eq(done, want);
	memmove(model[g] + to, model[f] + from, want);
	if (want)
		grow(g, to + want);
}

static void
expect_zeros(unsigned f, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at++)
		if (model[f][at])
			ck_abort_msg("a hole with data at %llu",
				     (unsigned long long)at);
}

/* What is said to be a hole is zeros, and each call gets on. */
static void
walk_holes(unsigned f)
{
	uint64_t at = 0, data, hole;

	while (at < sizes[f] &&
	       tree_seek(tree, &kit_user, inos[f], at, SEEK_DATA, &data) == 0) {
		ck_assert_uint_ge(data, at);
		expect_zeros(f, at, data);
		ck_assert_int_eq(tree_seek(tree, &kit_user, inos[f], data,
					   SEEK_HOLE, &hole),
				 0);
		ck_assert_uint_gt(hole, data);
		ck_assert_uint_le(hole, sizes[f]);
		at = hole;
	}
	expect_zeros(f, at, sizes[f]);
}

static void
compare(unsigned f)
{
	size_t len;

	ck_assert_int_eq(tree_read(tree, &kit_user, inos[f], 0, sizeof(got),
				   got, &len),
			 0);
	ck_assert_uint_eq(len, sizes[f]);
	if (len && memcmp(got, model[f], len) != 0)
		ck_abort_msg("contents differ");
	walk_holes(f);
}

START_TEST(random_ranges_are_those_of_plain_bytes)
{
	seed = suite_seed();
	memset(model, 0, sizeof(model));
	memset(sizes, 0, sizeof(sizes));
	inos[0] = file;
	inos[1] = kit_create(tree, TREE_ROOT, "g");
	for (unsigned i = 0; i < 400; i++) {
		unsigned f = (unsigned)below(FILES);
		uint64_t what = below(10);

		if (what < 4)
			random_allocate(f);
		else if (what < 7)
			random_write(f);
		else if (what < 8)
			random_truncate(f);
		else
			random_copy(f);
		if (i % 8 == 0)
			compare(f);
		if (i % 100 == 0)
			kit_check(tree);
	}
	for (unsigned f = 0; f < FILES; f++)
		compare(f);
}
END_TEST

static TCase *
range_case(const char *name, SFun setup, SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, a_hole_takes_no_space_and_keeps_the_size);
	tcase_add_test(tcase, a_small_file_has_holes_too);
	tcase_add_test(tcase, zeroing_grows_the_file_unless_told_not_to);
	tcase_add_test(tcase, allocating_grows_the_file_unless_told_not_to);
	tcase_add_test(tcase, every_allocation_is_a_modification);
	tcase_add_test(tcase,
		       large_holes_are_made_at_once_and_next_to_each_other);
	tcase_add_test(tcase, what_cannot_be_done_is_refused);
	tcase_add_test(tcase, zeroing_takes_privileges_as_a_write_does);
	tcase_add_test(tcase, data_and_holes_are_found);
	tcase_add_test(tcase, a_full_file_has_its_hole_at_the_end);
	tcase_add_test(tcase, bytes_are_copied_to_another_file_and_the_same);
	tcase_add_test(tcase, random_ranges_are_those_of_plain_bytes);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("tree_range");

	suite_add_tcase(suite, range_case("ranges", setup_mem, teardown_mem));
	suite_add_tcase(suite,
			range_case("ranges, lsm", setup_lsm, teardown_lsm));
	return suite_main(suite);
}
