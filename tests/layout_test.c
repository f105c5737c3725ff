/* SPDX-License-Identifier: Apache-2.0 */
/* layout_test.c - keys sort as promised, values survive, hostile bytes do not get
 * in. */
#include <config.h>

#include "fs/layout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

static uint64_t seed;

static uint64_t
below(uint64_t limit)
{
	return suite_random(&seed) % limit;
}

static int
order(struct keyfs_slice a, struct keyfs_slice b)
{
	int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

START_TEST(a_directory_is_one_range_in_name_order)
{
	static const char *const names[] = { "a", "a.b", "a1", "b", "\xff" };
	struct layout_key before, after, end, next;
	struct keyfs_slice last = layout_key_attr(&before, 7);

	for (size_t i = 0; i < 5; i++) {
		struct layout_key key;
		struct keyfs_slice k =
			layout_key_entry(&key, 7, keyfs_str(names[i]));

		ck_assert_int_lt(order(last, k), 0);
		ck_assert_int_lt(order(k, layout_key_entry_end(&end, 7)), 0);
		before = key;
		last = keyfs_bytes(before.bytes, k.len);
	}
	ck_assert_int_lt(order(layout_key_entry_end(&end, 7),
			       layout_key_inode(&next, 8)),
			 0);
	ck_assert_int_gt(order(layout_key_entry_after(&after, 7,
						      keyfs_str("\xff")),
			       last),
			 0);
}
END_TEST

START_TEST(inodes_and_chunks_sort_by_number)
{
	static const uint64_t numbers[] = { 1,   2,     255,
					    256, 65536, LAYOUT_INO_MAX };

	for (size_t i = 1; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct layout_key a, b;

		ck_assert_int_lt(order(layout_key_attr(&a, numbers[i - 1]),
				       layout_key_attr(&b, numbers[i])),
				 0);
		ck_assert_int_lt(order(layout_key_chunk(&a, 5, numbers[i - 1]),
				       layout_key_chunk(&b, 5, numbers[i])),
				 0);
	}
}
END_TEST

START_TEST(keys_are_taken_apart_as_they_were_made)
{
	struct layout_key key;
	struct layout_place at;

	ck_assert_int_eq(layout_key_parse(layout_key_super(&key), &at), 0);
	ck_assert_int_eq(at.kind, LAYOUT_SUPER);
	ck_assert_int_eq(layout_key_parse(layout_key_inos(&key), &at), 0);
	ck_assert_int_eq(at.kind, LAYOUT_INOS);
	ck_assert_int_eq(layout_key_parse(layout_key_moves(&key), &at), 0);
	ck_assert_int_eq(at.kind, LAYOUT_MOVES);
	ck_assert_int_eq(layout_key_parse(layout_key_totals(&key), &at), 0);
	ck_assert_int_eq(at.kind, LAYOUT_TOTALS);
	ck_assert_int_eq(layout_key_parse(layout_key_attr(&key, 9), &at), 0);
	ck_assert(at.kind == LAYOUT_ATTR && at.ino == 9);
	ck_assert_int_eq(layout_key_parse(layout_key_link(&key, 9), &at), 0);
	ck_assert(at.kind == LAYOUT_LINK && at.ino == 9);
	ck_assert_int_eq(layout_key_parse(layout_key_orphan(&key, 9), &at), 0);
	ck_assert(at.kind == LAYOUT_ORPHAN && at.ino == 9);
	ck_assert_int_eq(layout_key_parse(layout_key_chunk(&key, 9, 1), &at),
			 0);
	ck_assert(at.kind == LAYOUT_DATA && at.ino == 9 && at.chunk == 1);
	ck_assert_int_eq(layout_key_parse(layout_key_entry(&key, 9,
							   keyfs_str("n")),
					  &at),
			 0);
	ck_assert(at.kind == LAYOUT_ENTRY && at.ino == 9 && at.name.len == 1);
	ck_assert_int_eq(layout_key_parse(layout_key_xattr(&key, 9,
							   keyfs_str("u.n")),
					  &at),
			 0);
	ck_assert(at.kind == LAYOUT_XATTR && at.ino == 9 && at.name.len == 3);
}
END_TEST

START_TEST(impossible_keys_are_damage)
{
	static const struct keyfs_slice bad[] = {
		{ "", 0 },
		{ "X", 1 },
		{ "SX", 2 },
		{ "I\0\0\0\0\0\0\0\1", 9 },
		{ "I\0\0\0\0\0\0\0\1B", 10 },
		{ "I\0\0\0\0\0\0\0\1E", 10 },
		{ "I\0\0\0\0\0\0\0\1E..", 12 },
		{ "I\0\0\0\0\0\0\0\1Ea/b", 13 },
		{ "I\0\0\0\0\0\0\0\1X", 10 },
		{ "I\0\0\0\0\0\0\0\1Xa\0", 12 },
		{ "I\0\0\0\0\0\0\0\0A", 10 },
		{ "I\1\0\0\0\0\0\0\1A", 10 },
		{ "C\0\0\0\0\0\0\0\1\0\0\0", 12 },
		{ "C\0\0\0\0\0\0\0\1\xff\0\0\0\0\0\0\0", 17 },
		{ "O\0\0\0\0\0\0\0\1\1", 10 },
	};
	struct layout_place at;

	ck_assert_int_eq(layout_key_parse(bad[_i], &at), -EUCLEAN);
}
END_TEST

START_TEST(the_text_of_a_key_is_cut_to_its_room)
{
	char text[LAYOUT_KEY_TEXT];
	uint8_t bytes[40];

	layout_key_text(keyfs_bytes("X\0\xff", 3), text);
	ck_assert_str_eq(text, "key 5800ff");
	memset(bytes, 0xab, sizeof(bytes));
	layout_key_text(keyfs_bytes(bytes, sizeof(bytes)), text);
	ck_assert_uint_eq(strlen(text), LAYOUT_KEY_TEXT - 1);
	ck_assert_str_eq(text + LAYOUT_KEY_TEXT - 5, "abab");
}
END_TEST

START_TEST(names_that_no_path_can_hold_are_refused)
{
	char name[256];

	memset(name, 'x', sizeof(name));
	ck_assert_int_eq(layout_name_check(keyfs_bytes(name, 255)), 0);
	ck_assert_int_eq(layout_name_check(keyfs_bytes(name, 256)),
			 -ENAMETOOLONG);
	ck_assert_int_eq(layout_name_check(keyfs_str("...")), 0);
	ck_assert_int_eq(layout_name_check(keyfs_str("\xff\n")), 0);
	ck_assert_int_eq(layout_name_check(keyfs_str("")), -EINVAL);
	ck_assert_int_eq(layout_name_check(keyfs_str(".")), -EINVAL);
	ck_assert_int_eq(layout_name_check(keyfs_str("..")), -EINVAL);
	ck_assert_int_eq(layout_name_check(keyfs_str("a/b")), -EINVAL);
	ck_assert_int_eq(layout_name_check(keyfs_bytes("a\0b", 3)), -EINVAL);
}
END_TEST

START_TEST(the_drawn_example_is_what_is_written)
{
	static const uint8_t drawn[] = { 0x01, 0xa4, 0x83, 0x02, 0x50,
					 0x03, 0x80, 0xc4, 0x9f, 0xd5,
					 0x0c, 0x80, 0xca, 0xb5, 0xee,
					 0x01, 0x68, 0x69, 0x0a };
	struct timespec t = { 1700000000, 500000000 };
	struct layout_attr a = { .mode = 0100644,
				 .nlink = 1,
				 .size = 3,
				 .stored = 3,
				 .atime = t,
				 .mtime = t,
				 .ctime = t,
				 .btime = t,
				 .contents = keyfs_str("hi\n") };
	uint8_t bytes[LAYOUT_ATTR_MAX + 3];

	ck_assert_uint_eq(layout_attr_encode(&a, bytes), sizeof(drawn));
	ck_assert_mem_eq(bytes, drawn, sizeof(drawn));
}
END_TEST

/* ---- Random attributes ---- */

static struct timespec
random_time(const struct timespec *near)
{
	if (near && below(2))
		return *near;
	switch (below(4)) {
	case 0:
		return (struct timespec){ 0, 0 };
	case 1:
		return (struct timespec){ (time_t)suite_random(&seed),
					  (long)below(1000000000) };
	default:
		return (struct timespec){ (time_t)below(4000000000u),
					  (long)below(1000000000) };
	}
}

static uint64_t
random_number(uint64_t max)
{
	uint64_t n = suite_random(&seed) >> below(64);

	return below(3) ? (n > max ? max : n) : 0;
}

static void
random_regular(struct layout_attr *a, const char *contents)
{
	a->size = random_number(below(2) ? LAYOUT_INLINE : LAYOUT_SIZE_MAX);
	if (a->size <= LAYOUT_INLINE)
		a->contents = keyfs_bytes(contents, random_number(a->size));
	a->stored = a->contents.data ? a->contents.len : random_number(a->size);
	if (below(4) == 0) {
		a->stale_from = random_number(LAYOUT_CHUNKS_MAX - 1);
		a->stale_to =
			a->stale_from + 1 +
			random_number(LAYOUT_CHUNKS_MAX - 1 - a->stale_from);
	}
}

static struct layout_attr
random_attr(const char *contents)
{
	static const uint32_t types[] = { S_IFREG, S_IFREG, S_IFDIR, S_IFLNK,
					  S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK };
	struct layout_attr a = { 0 };

	a.mode = types[below(8)] | (uint32_t)below(010000);
	a.nlink = (uint32_t)random_number(LAYOUT_LINK_MAX);
	a.uid = (uint32_t)random_number(UINT32_MAX);
	a.gid = (uint32_t)random_number(UINT32_MAX);
	a.mtime = random_time(NULL);
	a.atime = random_time(&a.mtime);
	a.ctime = random_time(&a.mtime);
	a.btime = random_time(&a.mtime);
	if (S_ISREG(a.mode))
		random_regular(&a, contents);
	if (S_ISLNK(a.mode))
		a.size = 1 + below(LAYOUT_SYMLINK_MAX);
	if (S_ISCHR(a.mode) || S_ISBLK(a.mode))
		a.rdev = random_number(UINT64_MAX);
	if (S_ISDIR(a.mode)) {
		a.parent = 1 + random_number(LAYOUT_INO_MAX - 1);
		a.entries = random_number(LAYOUT_INO_MAX);
	}
	if (below(3) == 0)
		a.xattrs = (uint32_t)random_number(LAYOUT_XATTR_LIST_MAX);
	return a;
}

static void
assert_same_time(struct timespec a, struct timespec b)
{
	ck_assert_int_eq(a.tv_sec, b.tv_sec);
	ck_assert_int_eq(a.tv_nsec, b.tv_nsec);
}

static void
assert_same(const struct layout_attr *a, const struct layout_attr *b)
{
	ck_assert_uint_eq(a->mode, b->mode);
	ck_assert_uint_eq(a->nlink, b->nlink);
	ck_assert_uint_eq(a->uid, b->uid);
	ck_assert_uint_eq(a->gid, b->gid);
	ck_assert_uint_eq(a->rdev, b->rdev);
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_uint_eq(a->stored, b->stored);
	assert_same_time(a->atime, b->atime);
	assert_same_time(a->mtime, b->mtime);
	assert_same_time(a->ctime, b->ctime);
	assert_same_time(a->btime, b->btime);
	ck_assert_uint_eq(a->parent, b->parent);
	ck_assert_uint_eq(a->entries, b->entries);
	ck_assert_uint_eq(a->stale_from, b->stale_from);
	ck_assert_uint_eq(a->stale_to, b->stale_to);
	ck_assert_uint_eq(a->xattrs, b->xattrs);
	ck_assert_uint_eq(a->contents.len, b->contents.len);
	if (a->contents.len)
		ck_assert_mem_eq(a->contents.data, b->contents.data,
				 a->contents.len);
}

static uint8_t bytes[LAYOUT_ATTR_MAX + LAYOUT_INLINE];
static char contents[LAYOUT_INLINE];

START_TEST(attributes_survive_being_stored)
{
	seed = suite_seed();
	memset(contents, 'c', sizeof(contents));
	for (int i = 0; i < 4000; i++) {
		struct layout_attr in = random_attr(contents), out;
		size_t len = layout_attr_encode(&in, bytes);

		ck_assert_uint_le(len, LAYOUT_ATTR_MAX + in.contents.len);
		ck_assert_int_eq(layout_attr_decode(keyfs_bytes(bytes, len),
						    LAYOUT_INLINE, &out),
				 0);
		assert_same(&in, &out);
	}
}
END_TEST

/* A copy at its exact size, so that the sanitizer sees a read past its end. */
static void
feed(const uint8_t *data, size_t len)
{
	static uint8_t again[LAYOUT_ATTR_MAX + 4096];
	uint8_t *copy = malloc(len ? len : 1);
	struct layout_attr out;

	memcpy(copy, data, len);
	if (!layout_attr_decode(keyfs_bytes(copy, len), LAYOUT_INLINE, &out)) {
		ck_assert_uint_eq(layout_attr_encode(&out, again), len);
		ck_assert_mem_eq(again, copy, len);
	}
	free(copy);
}

START_TEST(what_decodes_encodes_to_the_same_bytes)
{
	seed = suite_seed();
	for (int i = 0; i < 4000; i++) {
		struct layout_attr in = random_attr(contents);
		size_t len = layout_attr_encode(&in, bytes);

		for (uint64_t n = 1 + below(3); n > 0; n--)
			bytes[below(len < 40 ? len : 40)] =
				(uint8_t)suite_random(&seed);
		feed(bytes, below(4) ? len : below(len));
	}
}
END_TEST

START_TEST(random_bytes_never_get_in_unnoticed)
{
	seed = suite_seed();
	for (int i = 0; i < 20000; i++) {
		size_t len = below(64);

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)suite_random(&seed);
		if (len > 3 && below(2)) {
			bytes[0] = 1;
			bytes[1] = 0xa4;
			bytes[2] = 0x83;
			bytes[3] = 0x02;
		}
		feed(bytes, len);
	}
}
END_TEST

START_TEST(an_entry_survives_and_its_damage_is_seen)
{
	struct layout_entry in = { 300, S_IFREG }, out;
	uint8_t value[LAYOUT_ENTRY_MAX];
	size_t len = layout_entry_encode(&in, value);

	ck_assert_uint_eq(len, 3);
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes(value, len), &out), 0);
	ck_assert(out.ino == 300 && out.type == S_IFREG);
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes(value, 2), &out),
			 -EUCLEAN);
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes(value, 4), &out),
			 -EUCLEAN);
	value[0] = 3;
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes(value, len), &out),
			 -EUCLEAN);
	ck_assert_int_eq(layout_entry_decode(keyfs_str("\x08"), &out),
			 -EUCLEAN);
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes("\x08\0", 2), &out),
			 -EUCLEAN);
}
END_TEST

START_TEST(a_superblock_survives_and_a_newer_one_is_refused_as_such)
{
	struct layout_super in = { .inline_max = LAYOUT_INLINE,
				   .chunk_size = LAYOUT_CHUNK,
				   .uuid = "0123456789abcde",
				   .created = { 1700000000, 5 } };
	struct layout_super out;
	uint8_t value[LAYOUT_SUPER_SIZE];
	struct keyfs_slice s = { value, layout_super_encode(&in, value) };

	ck_assert_uint_eq(s.len, LAYOUT_SUPER_SIZE);
	ck_assert_int_eq(layout_super_decode(s, &out), 0);
	ck_assert_mem_eq(out.uuid, in.uuid, 16);
	ck_assert_uint_eq(out.inline_max, LAYOUT_INLINE);
	ck_assert_int_eq(out.created.tv_sec, 1700000000);
	value[8] = 2;
	ck_assert_int_eq(layout_super_decode(s, &out), -EPROTONOSUPPORT);
	value[8] = 1;
	value[12] = LAYOUT_FEATURES_KNOWN + 1;
	ck_assert_int_eq(layout_super_decode(s, &out), -EPROTONOSUPPORT);
	value[12] = LAYOUT_FEATURE_XATTR;
	ck_assert_int_eq(layout_super_decode(s, &out), 0);
	ck_assert_uint_eq(out.features, LAYOUT_FEATURE_XATTR);
	value[12] = 0;
	value[0] = 'K';
	ck_assert_int_eq(layout_super_decode(s, &out), -EUCLEAN);
	value[0] = 'k';
	s.len--;
	ck_assert_int_eq(layout_super_decode(s, &out), -EUCLEAN);
}
END_TEST

/* ---- What decodes is what some encoder makes ---- */

static struct keyfs_slice
key_of(const struct layout_place *at, struct layout_key *key)
{
	switch (at->kind) {
	case LAYOUT_SUPER:
		return layout_key_super(key);
	case LAYOUT_INOS:
		return layout_key_inos(key);
	case LAYOUT_MOVES:
		return layout_key_moves(key);
	case LAYOUT_TOTALS:
		return layout_key_totals(key);
	case LAYOUT_ATTR:
		return layout_key_attr(key, at->ino);
	case LAYOUT_ENTRY:
		return layout_key_entry(key, at->ino, at->name);
	case LAYOUT_LINK:
		return layout_key_link(key, at->ino);
	case LAYOUT_XATTR:
		return layout_key_xattr(key, at->ino, at->name);
	case LAYOUT_DATA:
		return layout_key_chunk(key, at->ino, at->chunk);
	case LAYOUT_ORPHAN:
		return layout_key_orphan(key, at->ino);
	}
	ck_abort_msg("a kind that no key has");
}

/* Random bytes that look like a key at first. */
static size_t
random_key(uint8_t *out)
{
	size_t len = below(20);

	for (size_t i = 0; i < len; i++)
		out[i] = below(3) ? 0 : (uint8_t)suite_random(&seed);
	if (len)
		out[0] = (uint8_t) "SICO"[below(4)];
	if (len > 1 && out[0] == 'S' && below(2))
		out[1] = (uint8_t) "NRT"[below(3)];
	if (len > 9 && out[0] == 'I')
		out[9] = (uint8_t) "AELX"[below(4)];
	return len;
}

START_TEST(a_key_that_parses_is_made_again_the_same)
{
	unsigned parsed = 0;

	seed = suite_seed();
	for (int i = 0; i < 50000; i++) {
		size_t len = random_key(bytes);
		struct layout_place at;
		struct layout_key key;
		struct keyfs_slice again;

		if (layout_key_parse(keyfs_bytes(bytes, len), &at))
			continue;
		parsed++;
		again = key_of(&at, &key);
		ck_assert_uint_eq(again.len, len);
		ck_assert_mem_eq(again.data, bytes, len);
	}
	ck_assert_uint_gt(parsed, 100);
}
END_TEST

START_TEST(an_entry_that_decodes_is_made_again_the_same)
{
	unsigned decoded = 0;

	seed = suite_seed();
	for (int i = 0; i < 50000; i++) {
		size_t len = below(LAYOUT_ENTRY_MAX);
		uint8_t again[LAYOUT_ENTRY_MAX];
		struct layout_entry entry;

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)(suite_random(&seed) >> below(60));
		bytes[0] &= 0xf;
		if (layout_entry_decode(keyfs_bytes(bytes, len), &entry))
			continue;
		decoded++;
		ck_assert_uint_gt(entry.ino, LAYOUT_ROOT);
		ck_assert_uint_le(entry.ino, LAYOUT_INO_MAX);
		ck_assert_uint_eq(layout_entry_encode(&entry, again), len);
		ck_assert_mem_eq(again, bytes, len);
	}
	ck_assert_uint_gt(decoded, 100);
}
END_TEST

/* Every bit of it turned: refused, or part of what it says. */
START_TEST(a_superblock_that_decodes_is_made_again_the_same)
{
	struct layout_super super = { .inline_max = LAYOUT_INLINE,
				      .chunk_size = LAYOUT_CHUNK,
				      .created = { 1700000000, 5 } };
	uint8_t again[LAYOUT_SUPER_SIZE];

	for (unsigned bit = 0; bit < 8 * LAYOUT_SUPER_SIZE; bit++) {
		struct keyfs_slice value = {
			bytes, layout_super_encode(&super, bytes)
		};
		struct layout_super out;

		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (layout_super_decode(value, &out))
			continue;
		ck_assert_uint_eq(layout_super_encode(&out, again), value.len);
		ck_assert_mem_eq(again, bytes, value.len);
	}
}
END_TEST

START_TEST(what_no_encoder_makes_is_refused)
{
	enum layout_orphan orphan;
	struct layout_entry entry;
	uint64_t number;

	/* An entry for the root. */
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes("\x04\1", 2), &entry),
			 -EUCLEAN);
	ck_assert_int_eq(layout_entry_decode(keyfs_bytes("\x04\2", 2), &entry),
			 0);
	ck_assert_int_eq(layout_orphan_decode(keyfs_bytes("\0", 1), &orphan),
			 -EUCLEAN);
	ck_assert_int_eq(layout_orphan_decode(keyfs_bytes("\3", 1), &orphan),
			 -EUCLEAN);
	ck_assert_int_eq(layout_orphan_decode(keyfs_bytes("\1\1", 2), &orphan),
			 -EUCLEAN);
	ck_assert_int_eq(layout_number_decode(keyfs_str("1234567"), &number),
			 -EUCLEAN);
	ck_assert_int_eq(layout_number_decode(keyfs_str("123456789"), &number),
			 -EUCLEAN);
}
END_TEST

static Suite *
layout_suite(void)
{
	Suite *suite = suite_create("layout");
	TCase *tcase = tcase_create("layout");

	tcase_add_test(tcase, a_directory_is_one_range_in_name_order);
	tcase_add_test(tcase, inodes_and_chunks_sort_by_number);
	tcase_add_test(tcase, keys_are_taken_apart_as_they_were_made);
	tcase_add_loop_test(tcase, impossible_keys_are_damage, 0, 15);
	tcase_add_test(tcase, the_text_of_a_key_is_cut_to_its_room);
	tcase_add_test(tcase, names_that_no_path_can_hold_are_refused);
	tcase_add_test(tcase, the_drawn_example_is_what_is_written);
	tcase_add_test(tcase, attributes_survive_being_stored);
	tcase_add_test(tcase, what_decodes_encodes_to_the_same_bytes);
	tcase_add_test(tcase, random_bytes_never_get_in_unnoticed);
	tcase_add_test(tcase, an_entry_survives_and_its_damage_is_seen);
	tcase_add_test(
		tcase,
		a_superblock_survives_and_a_newer_one_is_refused_as_such);
	tcase_add_test(tcase, a_key_that_parses_is_made_again_the_same);
	tcase_add_test(tcase, an_entry_that_decodes_is_made_again_the_same);
	tcase_add_test(tcase, a_superblock_that_decodes_is_made_again_the_same);
	tcase_add_test(tcase, what_no_encoder_makes_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(layout_suite());
}
