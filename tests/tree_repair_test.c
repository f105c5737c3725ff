/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair_test.c - whatever is missing or spoilt of a tree, what is left becomes a
 * whole one, and what is not left is told. */
#include <config.h>

#include "fs/tree_repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"

#define CHUNK 16384u
#define SPOILT_TRIES 400u

static struct kv *kv;
static unsigned told;
static char telling[8192];

/* ---- A tree with one of everything ---- */

static void
make_tree(void)
{
	struct tree *tree = kit_open(kv);
	struct tree_attr attr;
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "dir");
	uint64_t sub = kit_mkdir(tree, dir, "sub"), ino;

	kit_write(tree, kit_create(tree, sub, "small"), 0, "contents");
	ino = kit_create(tree, dir, "large");
	kit_fill(tree, ino, 0, 3 * CHUNK, 'x');
	ino = kit_create(tree, TREE_ROOT, "holes");
	kit_write(tree, ino, 5 * CHUNK, "behind");
	ck_assert_int_eq(tree_link(tree, &kit_user, ino, sub,
				   keyfs_str("again"), &attr),
			 0);
	ck_assert_int_eq(tree_symlink(tree, &kit_user, dir, keyfs_str("link"),
				      keyfs_str("sub/small"), &attr),
			 0);
	ck_assert_int_eq(tree_mknod(tree, &kit_user, dir, keyfs_str("fifo"),
				    S_IFIFO | 0600, 0, &attr),
			 0);
	kit_setxattr(tree, dir, "user.dir", "d");
	kit_setxattr(tree, ino, "user.holes", "h");
	kit_setxattr(tree, kit_find(tree, sub, "small"), "user.small", "s");
	kit_setxattr(tree, attr.ino, "trusted.fifo", "f");
	kit_close(tree);
}

static void
setup(void)
{
	kv = kv_mem_new();
	make_tree();
}

static void
teardown(void)
{
	ck_assert_int_eq(kv_close(kv), 0);
}

/* ---- Keys ---- */

struct nth {
	size_t left;
	struct keyfs_slice key, value; /* owned */
};

static int
nth_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	 uint64_t version)
{
	struct nth *nth = arg;

	(void)version;
	if (nth->left-- > 0)
		return 0;
	nth->key = keyfs_bytes(memcpy(malloc(key.len), key.data, key.len),
			       key.len);
	nth->value = keyfs_bytes(memcpy(malloc(value.len + 1), value.data,
					value.len),
				 value.len);
	return 1;
}

/* Key number n of all; false: there are not so many. */
static bool
nth_key(size_t n, struct nth *out)
{
	struct kv_view *view;
	int r;

	*out = (struct nth){ .left = n };
	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	r = kv_scan(kv, view, keyfs_bytes("\0", 1), (struct keyfs_slice){ 0 },
		    0, nth_each, out);
	kv_view_close(kv, view);
	return r == 1;
}

static void
nth_free(struct nth *nth)
{
	free((void *)(uintptr_t)nth->key.data);
	free((void *)(uintptr_t)nth->value.data);
}

/* ---- Repairing ---- */

static int
tell(void *arg, const char *where, const char *what)
{
	size_t len = strlen(telling);

	(void)arg;
	told++;
	snprintf(telling + len, sizeof(telling) - len, "%s: %s\n", where, what);
	return 0;
}

static void
repair_with(bool dry_run)
{
	struct tree_repair_options options = { .dry_run = dry_run,
					       .problem = tell };

	told = 0;
	telling[0] = '\0';
	ck_assert_int_eq(tree_repair(kv, &options), 0);
}

static void
expect_told(const char *line)
{
	if (!strstr(telling, line))
		ck_abort_msg("not told: %s\nbut: %s", line, telling);
}

/* After a repair the tree is whole, and another one finds nothing. */
static struct tree *
repair(void)
{
	struct tree *tree;
	unsigned first;
	char all[sizeof(telling)];

	repair_with(false);
	first = told;
	memcpy(all, telling, sizeof(all));
	tree = kit_open(kv);
	kit_check(tree);
	kit_close(tree);
	repair_with(true);
	if (told)
		ck_abort_msg("after a repair: %sfirst: %s", telling, all);
	told = first;
	memcpy(telling, all, sizeof(all));
	return kit_open(kv);
}

START_TEST(a_whole_tree_stays_as_it_is)
{
	struct tree *tree = kit_open(kv);
	char *before = tree_dump(tree), *after;

	kit_close(tree);
	tree = repair();
	ck_assert_uint_eq(told, 0);
	after = tree_dump(tree);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	kit_close(tree);
}
END_TEST

START_TEST(any_key_may_be_missing)
{
	struct kv *whole = kv;
	struct nth nth;

	for (size_t n = 0;; n++) {
		struct tree *tree;

		kv = kv_mem_crash(whole, kv_mem_version(whole));
		if (!nth_key(n, &nth))
			break;
		kit_drop(kv, nth.key);
		tree = repair();
		kit_close(tree);
		nth_free(&nth);
		ck_assert_int_eq(kv_close(kv), 0);
	}
	ck_assert_int_eq(kv_close(kv), 0);
	kv = whole;
}
END_TEST

/* Many at once: lost, under another's value, or with a byte changed. */
static void
spoil(uint64_t *state)
{
	size_t count = kv_mem_count(kv);
	struct nth a, b;

	ck_assert(nth_key(suite_random(state) % count, &a));
	ck_assert(nth_key(suite_random(state) % count, &b));
	switch (suite_random(state) % 4) {
	case 0:
		kit_drop(kv, a.key);
		break;
	case 1:
		kit_put(kv, a.key, b.value);
		break;
	case 2:
		if (a.value.len)
			((uint8_t *)(uintptr_t)a.value
				 .data)[suite_random(state) % a.value.len] ^=
				(uint8_t)(1u << suite_random(state) % 8);
		kit_put(kv, a.key, a.value);
		break;
	default:
		if (a.key.len > 1)
			((uint8_t *)(uintptr_t)
				 a.key.data)[suite_random(state) % a.key.len] ^=
				(uint8_t)(1u << suite_random(state) % 3);
		kit_put(kv, a.key, a.value);
	}
	nth_free(&a);
	nth_free(&b);
}

START_TEST(anything_spoilt_becomes_a_whole_tree)
{
	uint64_t state = suite_seed();
	struct kv *whole = kv;
	struct layout_key key;

	for (unsigned i = 0; i < SPOILT_TRIES; i++) {
		unsigned n = 1 + (unsigned)suite_random(&state) % 12;
		struct keyfs_slice super;
		struct kv_value value;
		struct kv_view *view;

		kv = kv_mem_crash(whole, kv_mem_version(whole));
		while (n-- > 0)
			spoil(&state);
		/* A superblock that says it is of a newer version is believed, and
		 * with one that has another limit other contents are inline. */
		super = layout_key_super(&key);
		ck_assert_int_eq(kv_view_open(whole, &view), 0);
		ck_assert_int_eq(kv_get(whole, view, super, 0, &value), 0);
		kit_put(kv, super, value.data);
		kv_value_release(&value);
		kv_view_close(whole, view);
		kit_close(repair());
		ck_assert_int_eq(kv_close(kv), 0);
	}
	kv = whole;
}
END_TEST

START_TEST(a_file_without_attributes_is_told_by_its_path)
{
	struct tree *tree = kit_open(kv);
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");
	uint64_t sub = kit_find(tree, dir, "sub");
	uint64_t small = kit_find(tree, sub, "small");
	struct layout_key key;
	struct tree_attr attr;

	kit_close(tree);
	kit_drop(kv, layout_key_attr(&key, small));
	tree = repair();
	expect_told("dir/sub/small: is lost");
	ck_assert_int_eq(tree_lookup(tree, &kit_user, sub, keyfs_str("small"),
				     &attr),
			 -ENOENT);
	kit_close(tree);
}
END_TEST

START_TEST(what_has_parts_gets_new_attributes)
{
	struct tree *tree = kit_open(kv);
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");
	uint64_t large = kit_find(tree, dir, "large");
	struct layout_key key;

	kit_close(tree);
	kit_drop(kv, layout_key_attr(&key, dir));
	kit_drop(kv, layout_key_attr(&key, large));
	tree = repair();
	expect_told("dir: its attributes are lost");
	expect_told("dir/large: its attributes are lost");
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "dir"), dir);
	kit_expect(tree, kit_find(tree, dir, "large"), 0, 3 * CHUNK, 'x');
	kit_close(tree);
}
END_TEST

START_TEST(a_lost_chunk_reads_as_zeros)
{
	struct tree *tree = kit_open(kv);
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");
	uint64_t large = kit_find(tree, dir, "large");
	struct layout_key key;

	kit_close(tree);
	kit_drop(kv, layout_key_chunk(&key, large, 1));
	tree = repair();
	expect_told("dir/large: 16384 bytes of its contents are lost");
	ck_assert_uint_eq(kit_attr(tree, large).size, 3 * CHUNK);
	kit_expect(tree, large, 0, CHUNK, 'x');
	kit_expect(tree, large, CHUNK, CHUNK, 0);
	kit_expect(tree, large, 2 * CHUNK, CHUNK, 'x');
	kit_close(tree);
}
END_TEST

START_TEST(a_lost_extended_attribute_is_told)
{
	struct tree *tree = kit_open(kv);
	uint64_t ino = kit_find(tree, TREE_ROOT, "holes");
	struct layout_key key;
	char list[64];
	size_t len;

	kit_setxattr(tree, ino, "user.kept", "k");
	kit_close(tree);
	kit_drop(kv, layout_key_xattr(&key, ino, keyfs_str("user.holes")));
	tree = repair();
	expect_told("some of its extended attributes are lost");
	ck_assert_int_eq(tree_listxattr(tree, &kit_user, ino, list,
					sizeof(list), &len),
			 0);
	ck_assert_uint_eq(len, sizeof("user.kept"));
	ck_assert_str_eq(list, "user.kept");
	kit_close(tree);
}
END_TEST

START_TEST(extended_attributes_without_an_inode_are_removed_and_told)
{
	struct tree *tree = kit_open(kv);
	uint64_t ino = kit_find(tree, kit_find(tree, TREE_ROOT, "dir"), "fifo");
	struct layout_key key;
	size_t count = kit_count(kv);

	kit_close(tree);
	kit_drop(kv, layout_key_attr(&key, ino));
	tree = repair();
	expect_told("extended attributes of what is lost");
	/* Attributes, entry and the extended one. */
	ck_assert_uint_eq(kit_count(kv), count - 3);
	kit_close(tree);
}
END_TEST

START_TEST(what_has_no_name_is_in_lost_found)
{
	struct tree *tree = kit_open(kv);
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir"), found;
	struct layout_key key;
	char name[32];

	kit_close(tree);
	kit_drop(kv, layout_key_entry(&key, TREE_ROOT, keyfs_str("dir")));
	tree = repair();
	snprintf(name, sizeof(name), "%" PRIu64, dir);
	found = kit_find(tree, TREE_ROOT, "lost+found");
	ck_assert_uint_eq(kit_find(tree, found, name), dir);
	(void)kit_find(tree, dir, "sub");
	expect_told("lost+found/");
	kit_close(tree);
	/* Once more: the directory is there already. */
	kit_drop(kv, layout_key_entry(&key, dir, keyfs_str("fifo")));
	tree = repair();
	ck_assert_uint_eq(kit_attr(tree, found).size, 2);
	kit_close(tree);
}
END_TEST

START_TEST(a_circle_of_directories_is_cut)
{
	struct tree *tree = kit_open(kv);
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");
	uint64_t sub = kit_find(tree, dir, "sub"), found;
	struct layout_key key;

	kit_close(tree);
	kit_drop(kv, layout_key_entry(&key, TREE_ROOT, keyfs_str("dir")));
	kit_put_entry(kv, sub, "up", dir, S_IFDIR);
	tree = repair();
	expect_told("circle");
	found = kit_find(tree, TREE_ROOT, "lost+found");
	ck_assert_uint_ne(found, 0);
	(void)kit_find(tree, sub, "small");
	kit_close(tree);
}
END_TEST

START_TEST(keys_of_another_program_are_left_alone)
{
	struct tree_repair_options options = { .problem = tell };
	struct kv *tree = kv;

	kv = kv_mem_new();
	kit_put(kv, keyfs_str("user:1"), keyfs_str("x"));
	kit_put(kv, keyfs_str("user:2"), keyfs_str("y"));
	ck_assert_int_eq(tree_repair(kv, &options), -EUCLEAN);
	ck_assert_uint_eq(kv_mem_count(kv), 2);
	ck_assert_int_eq(kv_close(kv), 0);
	kv = tree;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tree_repair");
	TCase *tcase = tcase_create("repair");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_whole_tree_stays_as_it_is);
	tcase_add_test(tcase, any_key_may_be_missing);
	tcase_add_test(tcase, anything_spoilt_becomes_a_whole_tree);
	tcase_add_test(tcase, a_file_without_attributes_is_told_by_its_path);
	tcase_add_test(tcase, what_has_parts_gets_new_attributes);
	tcase_add_test(tcase, a_lost_chunk_reads_as_zeros);
	tcase_add_test(tcase, a_lost_extended_attribute_is_told);
	tcase_add_test(
		tcase,
		extended_attributes_without_an_inode_are_removed_and_told);
	tcase_add_test(tcase, what_has_no_name_is_in_lost_found);
	tcase_add_test(tcase, a_circle_of_directories_is_cut);
	tcase_add_test(tcase, keys_of_another_program_are_left_alone);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
