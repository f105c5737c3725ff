/* SPDX-License-Identifier: Apache-2.0 */
/* tree_test.c - listings, paths, trouble with the engine, and check; one claim a
 * test. */
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

static struct kv *kv;
static struct tree *tree;
static struct tree_attr attr;
static uint64_t out_ino;
static bool out_gone;

static void
setup(void)
{
	kv = kv_mem_new();
	tree = kit_open(kv);
}

static void
teardown(void)
{
	kit_check(tree);
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
reopen(void)
{
	kit_close(tree);
	tree = kit_open(kv);
}

static int
mknod_as(uint64_t parent, const char *name, uint32_t mode)
{
	return tree_mknod(tree, &kit_user, parent, keyfs_str(name), mode, 0,
			  &attr);
}

static int
lookup(uint64_t parent, const char *name)
{
	return tree_lookup(tree, &kit_user, parent, keyfs_str(name), &attr);
}

static int
unlink_as(uint64_t parent, const char *name)
{
	return tree_unlink(tree, &kit_user, parent, keyfs_str(name), &out_ino,
			   &out_gone);
}

static int
rmdir_as(uint64_t parent, const char *name)
{
	return tree_rmdir(tree, &kit_user, parent, keyfs_str(name), &out_ino,
			  &out_gone);
}

/* ---- Listing ---- */

struct listing {
	char names[4000][8];
	size_t count, stop_at;
	struct tree_attr last;
};

static int
list_each(void *arg, struct keyfs_slice name, const struct tree_attr *a)
{
	struct listing *l = arg;

	if (l->count == l->stop_at)
		return 1;
	ck_assert_uint_lt(name.len, 8);
	memset(l->names[l->count], 0, 8);
	memcpy(l->names[l->count++], name.data, name.len);
	l->last = *a;
	return 0;
}

static void
make_many(uint64_t dir, int count)
{
	for (int i = 0; i < count; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%04d", i);
		kit_write(tree, kit_create(tree, dir, name), 0, name);
	}
}

START_TEST(a_listing_is_complete_and_in_order)
{
	static struct listing l = { .stop_at = 4000 };
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");

	make_many(dir, 600);
	kit_create(tree, TREE_ROOT, "after");
	ck_assert_int_eq(tree_readdir(tree, &kit_user, dir,
				      (struct keyfs_slice){ 0 }, _i, list_each,
				      &l),
			 0);
	ck_assert_uint_eq(l.count, 600);
	for (size_t i = 1; i < l.count; i++)
		ck_assert(strcmp(l.names[i - 1], l.names[i]) < 0);
	ck_assert_uint_eq(l.last.mode, _i ? S_IFREG | 0644 : S_IFREG);
	ck_assert_uint_eq(l.last.size, _i ? 4 : 0);
}
END_TEST

START_TEST(a_listing_goes_on_after_a_name_that_is_gone)
{
	static struct listing l = { .stop_at = 300 };
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");

	make_many(dir, 600);
	ck_assert_int_eq(tree_readdir(tree, &kit_user, dir,
				      (struct keyfs_slice){ 0 }, true,
				      list_each, &l),
			 1);
	for (size_t i = 0; i < l.count; i++)
		kit_unlink(tree, dir, l.names[i]);
	l.stop_at = 4000;
	ck_assert_int_eq(tree_readdir(tree, &kit_user, dir,
				      keyfs_str(l.names[299]), true, list_each,
				      &l),
			 0);
	ck_assert_uint_eq(l.count, 600);
	ck_assert_str_eq(l.names[300], "0300");
}
END_TEST

START_TEST(only_directories_are_listed)
{
	struct listing *l = calloc(1, sizeof(*l));
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	ck_assert_int_eq(tree_readdir(tree, &kit_user, ino,
				      (struct keyfs_slice){ 0 }, true,
				      list_each, l),
			 -ENOTDIR);
	free(l);
}
END_TEST

START_TEST(a_path_is_walked_name_by_name)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	uint64_t ino = kit_create(tree, dir, "f");

	ck_assert_int_eq(tree_resolve(tree, &kit_user, "", &attr), 0);
	ck_assert_uint_eq(attr.ino, TREE_ROOT);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, "/d//f", &attr), 0);
	ck_assert_uint_eq(attr.ino, ino);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, "d/../d/", &attr), 0);
	ck_assert_uint_eq(attr.ino, dir);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, "d/f/", &attr),
			 -ENOTDIR);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, "d/f/g", &attr),
			 -ENOTDIR);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, "d/g", &attr), -ENOENT);
}
END_TEST

/* ---- Trouble ---- */

START_TEST(a_full_disk_refuses_writes_and_allows_deleting)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");

	kit_fill(tree, ino, 0, 10 * CHUNK, 'x');
	atomic_store(&kv_mem_faults(kv)->full, true);
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, 0, keyfs_str("y")),
			 -ENOSPC);
	ck_assert_int_eq(mknod_as(TREE_ROOT, "g", S_IFREG), -ENOSPC);
	kit_expect(tree, ino, 0, 10 * CHUNK, 'x');
	kit_truncate(tree, ino, 5 * CHUNK);
	kit_unlink(tree, TREE_ROOT, "f");
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "d"), 0);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), -ENOENT);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, dir, &attr), -ENOENT);
	ck_assert_int_eq(tree_sync(tree), 0);
	atomic_store(&kv_mem_faults(kv)->full, false);
}
END_TEST

START_TEST(without_waiting_a_call_does_nothing_or_all)
{
	struct tree_caller hasty = { .uid = 1000, .gid = 1000, .nowait = true };
	uint64_t version;
	int rc = -EAGAIN;

	atomic_store(&kv_mem_faults(kv)->again_every, _i);
	for (int i = 0; rc == -EAGAIN && i < 100; i++) {
		version = kv_mem_version(kv);
		rc = tree_mknod(tree, &hasty, TREE_ROOT, keyfs_str("f"),
				S_IFREG, 0, &attr);
		if (rc == -EAGAIN)
			ck_assert_int_eq(lookup(TREE_ROOT, "f"), -ENOENT);
		else
			ck_assert_uint_gt(kv_mem_version(kv), version);
	}
	atomic_store(&kv_mem_faults(kv)->again_every, 0);
	/* It takes some calls: those of one attempt are fewer than 8. */
	if (_i == 1)
		ck_assert_int_eq(rc, -EAGAIN);
	if (_i >= 8)
		ck_assert_int_eq(rc, 0);
}
END_TEST

START_TEST(errors_of_the_engine_reach_the_caller_and_change_nothing)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), version;
	int rc;

	kit_write(tree, ino, 0, "old");
	for (int n = 0;; n++) {
		atomic_store(&kv_mem_faults(kv)->error_after, n);
		atomic_store(&kv_mem_faults(kv)->error, -EIO);
		version = kv_mem_version(kv);
		rc = tree_write(tree, &kit_user, ino, 0, keyfs_str("new"));
		atomic_store(&kv_mem_faults(kv)->error, 0);
		if (!rc)
			break;
		ck_assert_int_eq(rc, -EIO);
		ck_assert_uint_eq(kv_mem_version(kv), version);
		ck_assert_str_eq(kit_read(tree, ino), "old");
	}
	ck_assert_str_eq(kit_read(tree, ino), "new");
}
END_TEST

START_TEST(a_read_only_tree_changes_nothing)
{
	struct tree_options options = { .read_only = true };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");
	uint64_t version;

	kit_write(tree, ino, 0, "text");
	kit_close(tree);
	version = kv_mem_version(kv);
	ck_assert_int_eq(tree_open(kv, &options, &tree), 0);
	ck_assert_int_eq(tree_start(tree), 0);
	ck_assert_str_eq(kit_read(tree, ino), "text");
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, 0, keyfs_str("x")),
			 -EROFS);
	ck_assert_int_eq(unlink_as(TREE_ROOT, "f"), -EROFS);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE,
				      &(struct tree_attr){ 0 }, &attr),
			 -EROFS);
	ck_assert_int_eq(tree_sync(tree), 0);
	ck_assert_uint_eq(kv_mem_version(kv), version);
}
END_TEST

START_TEST(the_totals_count_inodes)
{
	struct tree_space space;

	kit_mkdir(tree, TREE_ROOT, "d");
	kit_create(tree, TREE_ROOT, "f");
	kit_create(tree, TREE_ROOT, "g");
	kit_unlink(tree, TREE_ROOT, "g");
	reopen();
	ck_assert_int_eq(tree_space(tree, &space), 0);
	ck_assert_uint_eq(space.inodes_used, 3);
	ck_assert_uint_gt(space.inodes_total, space.inodes_used);
}
END_TEST

/* ---- Check ---- */

static void
put_raw(const void *key, size_t key_len, const char *value)
{
	struct keyfs_slice raw = keyfs_bytes(key, key_len);

	if (value)
		kit_put(kv, raw, keyfs_str(value));
	else
		kit_drop(kv, raw);
}

static int
count_problem(void *arg, const char *where, const char *what)
{
	(void)where;
	(void)what;
	++*(int *)arg;
	return 0;
}

START_TEST(check_finds_every_kind_of_damage)
{
	static const struct {
		const char *key;
		size_t len;
		const char *value;
	} damage[] = {
		{ "junk", 4, "x" },
		{ "I\0\0\0\0\0\0\0\1A", 10, "damaged" },
		{ "I\0\0\0\0\0\0\0\1A", 10, NULL },
		{ "I\0\0\0\0\0\0\0\1Ef", 11, NULL },
		{ "I\0\0\0\0\0\0\0\1Eg", 11, "\x08\x77" },
		{ "I\0\0\0\0\0\0\0\1Ef", 11, "\x04\x02" },
		{ "I\0\0\0\0\0\0\0\2A", 10, NULL },
		{ "I\0\0\0\0\0\0\0\2A", 10, "\1\xa4\x83\2\x04\5" },
		{ "I\0\0\0\0\0\0\0\2L", 10, "target" },
		{ "C\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1", 17, NULL },
		{ "C\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2", 17, "x" },
		{ "C\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\0", 17, "x" },
		{ "O\0\0\0\0\0\0\0\2", 9, "\1" },
		{ "SN", 2, NULL },
	};
	int problems = 0;
	struct kv *good;

	ck_assert_uint_eq(kit_create(tree, TREE_ROOT, "f"), 2);
	kit_fill(tree, 2, 0, 2 * CHUNK, 'x');
	kit_check(tree);
	good = kv_mem_crash(kv, kv_mem_version(kv));
	put_raw(damage[_i].key, damage[_i].len, damage[_i].value);
	ck_assert_int_eq(tree_check(tree, count_problem, &problems), -EUCLEAN);
	ck_assert_int_gt(problems, 0);
	(void)tree_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
	kv = good;
	tree = kit_open(kv);
}
END_TEST

static TCase *
whole_case(void)
{
	TCase *tcase = tcase_create("whole");

	tcase_add_loop_test(tcase, a_listing_is_complete_and_in_order, 0, 2);
	tcase_add_test(tcase, a_listing_goes_on_after_a_name_that_is_gone);
	tcase_add_test(tcase, only_directories_are_listed);
	tcase_add_test(tcase, a_path_is_walked_name_by_name);
	tcase_add_test(tcase, a_full_disk_refuses_writes_and_allows_deleting);
	tcase_add_loop_test(tcase, without_waiting_a_call_does_nothing_or_all,
			    1, 16);
	tcase_add_test(
		tcase,
		errors_of_the_engine_reach_the_caller_and_change_nothing);
	tcase_add_test(tcase, a_read_only_tree_changes_nothing);
	tcase_add_test(tcase, the_totals_count_inodes);
	tcase_add_loop_test(tcase, check_finds_every_kind_of_damage, 0, 14);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("tree");
	TCase *tcase = whole_case();

	tcase_add_checked_fixture(tcase, setup, teardown);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
