/* SPDX-License-Identifier: Apache-2.0 */
/* tree_names_test.c - names: made, found, linked, removed, renamed; one claim a
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
rename_as(uint64_t parent, const char *name, uint64_t new_parent,
	  const char *new_name, unsigned flags)
{
	return tree_rename(tree, &kit_user, parent, keyfs_str(name), new_parent,
			   keyfs_str(new_name), flags, &out_ino, &out_gone);
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

static int
link_as(uint64_t ino, uint64_t parent, const char *name)
{
	return tree_link(tree, &kit_user, ino, parent, keyfs_str(name), &attr);
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

/* ---- Names ---- */

START_TEST(a_new_tree_has_an_empty_root)
{
	attr = kit_attr(tree, TREE_ROOT);
	ck_assert_uint_eq(attr.mode, S_IFDIR | 0755);
	ck_assert_uint_eq(attr.nlink, 2);
	ck_assert_uint_eq(attr.uid, 1000);
	ck_assert_int_eq(lookup(TREE_ROOT, "a"), -ENOENT);
}
END_TEST

START_TEST(a_store_of_something_else_is_not_taken_for_a_tree)
{
	struct kv *other = kv_mem_new();
	struct tree_options options = { 0 };
	struct tree *none;

	kit_put(other, keyfs_str("k"), keyfs_str("v"));
	ck_assert_int_eq(tree_open(other, &options, &none), -EUCLEAN);
	ck_assert_int_eq(kv_close(other), 0);
}
END_TEST

START_TEST(what_was_made_is_found_after_reopening)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	uint64_t ino = kit_create(tree, dir, "f");

	kit_write(tree, ino, 0, "hello");
	reopen();
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "d"), dir);
	ck_assert_uint_eq(kit_find(tree, dir, "f"), ino);
	ck_assert_str_eq(kit_read(tree, ino), "hello");
}
END_TEST

START_TEST(a_name_is_made_once)
{
	kit_create(tree, TREE_ROOT, "f");
	ck_assert_int_eq(mknod_as(TREE_ROOT, "f", S_IFREG), -EEXIST);
	ck_assert_int_eq(tree_mkdir(tree, &kit_user, TREE_ROOT, keyfs_str("f"),
				    0, &attr),
			 -EEXIST);
	ck_assert_int_eq(link_as(kit_find(tree, TREE_ROOT, "f"), TREE_ROOT,
				 "f"),
			 -EEXIST);
}
END_TEST

START_TEST(impossible_names_are_refused)
{
	char long_name[257];

	memset(long_name, 'n', 256);
	long_name[256] = '\0';
	ck_assert_int_eq(mknod_as(TREE_ROOT, long_name, S_IFREG),
			 -ENAMETOOLONG);
	ck_assert_int_eq(lookup(TREE_ROOT, long_name), -ENAMETOOLONG);
	ck_assert_int_eq(mknod_as(TREE_ROOT, "a/b", S_IFREG), -EINVAL);
	ck_assert_int_eq(mknod_as(TREE_ROOT, "", S_IFREG), -EINVAL);
	ck_assert_int_eq(mknod_as(TREE_ROOT, "..", S_IFREG), -EINVAL);
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "."), -EINVAL);
	long_name[255] = '\0';
	ck_assert_int_eq(mknod_as(TREE_ROOT, long_name, S_IFREG), 0);
}
END_TEST

START_TEST(dots_lead_to_self_and_parent)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	uint64_t sub = kit_mkdir(tree, dir, "s");

	ck_assert_uint_eq(kit_find(tree, sub, "."), sub);
	ck_assert_uint_eq(kit_find(tree, sub, ".."), dir);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, ".."), TREE_ROOT);
}
END_TEST

START_TEST(a_file_has_no_names_in_it)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	ck_assert_int_eq(lookup(ino, "x"), -ENOTDIR);
	ck_assert_int_eq(mknod_as(ino, "x", S_IFREG), -ENOTDIR);
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "f"), -ENOTDIR);
	ck_assert_int_eq(mknod_as(4711, "x", S_IFREG), -ENOENT);
}
END_TEST

START_TEST(directories_count_their_subdirectories)
{
	kit_mkdir(tree, TREE_ROOT, "a");
	kit_mkdir(tree, TREE_ROOT, "b");
	kit_create(tree, TREE_ROOT, "f");
	ck_assert_uint_eq(kit_attr(tree, TREE_ROOT).nlink, 4);
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "a"), 0);
	ck_assert(out_gone);
	ck_assert_uint_eq(kit_attr(tree, TREE_ROOT).nlink, 3);
}
END_TEST

START_TEST(changing_a_directory_moves_its_times)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	uint64_t ino = kit_create(tree, dir, "f");

	make_old(dir);
	kit_write(tree, ino, 0, "x");
	ck_assert(is_old(kit_attr(tree, dir).mtime));
	kit_unlink(tree, dir, "f");
	ck_assert(!is_old(kit_attr(tree, dir).mtime));
	ck_assert(!is_old(kit_attr(tree, dir).ctime));
	ck_assert(is_old(kit_attr(tree, dir).atime));
}
END_TEST

START_TEST(a_set_group_id_directory_gives_its_group)
{
	struct tree_attr want = { .gid = 7, .mode = 02755 };
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d"), sub;

	ck_assert_int_eq(tree_setattr(tree, &kit_user, dir,
				      TREE_SET_GID | TREE_SET_MODE, &want,
				      &attr),
			 0);
	ck_assert_uint_eq(kit_attr(tree, kit_create(tree, dir, "f")).gid, 7);
	sub = kit_mkdir(tree, dir, "s");
	ck_assert_uint_eq(kit_attr(tree, sub).gid, 7);
	ck_assert_uint_eq(kit_attr(tree, sub).mode, S_IFDIR | 02755);
}
END_TEST

START_TEST(every_type_of_object_keeps_its_type)
{
	static const uint32_t types[] = { S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR,
					  S_IFBLK };

	ck_assert_int_eq(tree_mknod(tree, &kit_user, TREE_ROOT, keyfs_str("o"),
				    types[_i] | 0600, 0x1234, &attr),
			 0);
	attr = kit_attr(tree, attr.ino);
	ck_assert_uint_eq(attr.mode, types[_i] | 0600);
	ck_assert_uint_eq(attr.rdev, _i < 3 ? 0 : 0x1234);
	ck_assert_uint_eq(attr.nlink, 1);
	ck_assert_int_eq(mknod_as(TREE_ROOT, "x", S_IFDIR), -EINVAL);
}
END_TEST

START_TEST(a_symbolic_link_keeps_its_target)
{
	char *target;
	size_t len;

	ck_assert_int_eq(tree_symlink(tree, &kit_user, TREE_ROOT,
				      keyfs_str("l"), keyfs_str("a/../b"),
				      &attr),
			 0);
	ck_assert_uint_eq(attr.size, 6);
	ck_assert_uint_eq(attr.mode, S_IFLNK | 0777);
	ck_assert_int_eq(tree_readlink(tree, &kit_user, attr.ino, &target,
				       &len),
			 0);
	ck_assert_uint_eq(len, 6);
	ck_assert_mem_eq(target, "a/../b", 6);
	free(target);
	ck_assert_int_eq(tree_readlink(tree, &kit_user, TREE_ROOT, &target,
				       &len),
			 -EINVAL);
}
END_TEST

/* ---- Links and removal ---- */

START_TEST(a_file_lives_as_long_as_it_has_a_name)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "a");

	kit_write(tree, ino, 0, "text");
	make_old(ino);
	ck_assert_int_eq(link_as(ino, TREE_ROOT, "b"), 0);
	ck_assert_uint_eq(attr.nlink, 2);
	ck_assert(!is_old(attr.ctime) && is_old(attr.mtime));
	ck_assert_int_eq(unlink_as(TREE_ROOT, "a"), 0);
	ck_assert(!out_gone && out_ino == ino);
	ck_assert_str_eq(kit_read(tree, ino), "text");
	ck_assert_int_eq(unlink_as(TREE_ROOT, "b"), 0);
	ck_assert(out_gone);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), -ENOENT);
}
END_TEST

START_TEST(directories_have_one_name)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");

	ck_assert_int_eq(link_as(dir, TREE_ROOT, "e"), -EPERM);
	ck_assert_int_eq(unlink_as(TREE_ROOT, "d"), -EISDIR);
}
END_TEST

START_TEST(only_empty_directories_are_removed)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");

	kit_create(tree, dir, "f");
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "d"), -ENOTEMPTY);
	kit_unlink(tree, dir, "f");
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "d"), 0);
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "d"), -ENOENT);
}
END_TEST

static bool
always_in_use(void *arg, uint64_t ino)
{
	(void)ino;
	return *(bool *)arg;
}

static void
reopen_with_users(bool *in_use)
{
	struct tree_options options = { .in_use = always_in_use,
					.arg = in_use };

	kit_close(tree);
	ck_assert_int_eq(tree_open(kv, &options, &tree), 0);
}

START_TEST(an_orphan_is_readable_until_it_is_forgotten)
{
	bool in_use = true;
	uint64_t ino;
	size_t keys;

	reopen_with_users(&in_use);
	ino = kit_create(tree, TREE_ROOT, "f");
	keys = kit_count(kv);
	kit_fill(tree, ino, 0, 10 * CHUNK, 'x');
	kit_unlink(tree, TREE_ROOT, "f");
	ck_assert_uint_eq(kit_attr(tree, ino).nlink, 0);
	kit_expect(tree, ino, 0, 10 * CHUNK, 'x');
	kit_fill(tree, ino, 0, 3, 'y');
	ck_assert_int_eq(link_as(ino, TREE_ROOT, "g"), -ENOENT);
	kit_check(tree);
	tree_forget_orphan(tree, ino);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), -ENOENT);
	ck_assert_uint_eq(kit_count(kv), keys - 2);
}
END_TEST

/* What it once was long, and is no more, is not counted through number by number. */
START_TEST(an_orphan_that_was_long_and_empty_goes_at_once)
{
	bool in_use = true;
	uint64_t f = kit_create(tree, TREE_ROOT, "f");
	size_t keys = kit_count(kv);

	reopen_with_users(&in_use);
	kit_unlink(tree, TREE_ROOT, "f");
	kit_write(tree, f, 0, "begin");
	kit_write(tree, f, UINT64_C(1) << 60, "end");
	kit_truncate(tree, f, 0);
	tree_forget_orphan(tree, f);
	ck_assert_uint_lt(kit_count(kv), keys);
}
END_TEST

START_TEST(orphans_of_an_earlier_run_are_removed_by_the_worker)
{
	bool in_use = true;
	uint64_t ino;

	reopen_with_users(&in_use);
	ino = kit_create(tree, TREE_ROOT, "f");
	kit_fill(tree, ino, 0, 700 * CHUNK, 'x');
	kit_unlink(tree, TREE_ROOT, "f");
	in_use = false;
	kit_close(tree);
	tree = kit_open(kv);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), 0);
	ck_assert_int_eq(tree_start(tree), 0);
	for (int i = 0; i < 500; i++) {
		if (tree_getattr(tree, &kit_user, ino, &attr) == -ENOENT)
			break;
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), -ENOENT);
}
END_TEST

START_TEST(forgetting_what_has_a_name_removes_nothing)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	kit_write(tree, ino, 0, "text");
	tree_forget_orphan(tree, ino);
	ck_assert_str_eq(kit_read(tree, ino), "text");
}
END_TEST

START_TEST(a_removed_directory_takes_no_more_names)
{
	bool in_use = true;
	uint64_t dir;

	reopen_with_users(&in_use);
	dir = kit_mkdir(tree, TREE_ROOT, "d");
	ck_assert_int_eq(rmdir_as(TREE_ROOT, "d"), 0);
	ck_assert_int_eq(mknod_as(dir, "f", S_IFREG), -ENOENT);
	ck_assert_int_eq(lookup(dir, "f"), -ENOENT);
	kit_create(tree, TREE_ROOT, "f");
	ck_assert_int_eq(rename_as(TREE_ROOT, "f", dir, "f", 0), -ENOENT);
	ck_assert_uint_eq(kit_attr(tree, dir).nlink, 0);
}
END_TEST

START_TEST(inode_numbers_are_never_used_twice)
{
	uint64_t last = 0;

	for (int i = 0; i < 200; i++) {
		uint64_t ino = kit_create(tree, TREE_ROOT, "f");

		ck_assert_uint_gt(ino, last);
		last = ino;
		kit_unlink(tree, TREE_ROOT, "f");
		if (i % 50 == 0)
			reopen();
	}
}
END_TEST

START_TEST(children_of_one_directory_have_numbers_side_by_side)
{
	uint64_t a = kit_mkdir(tree, TREE_ROOT, "a");
	uint64_t b = kit_mkdir(tree, TREE_ROOT, "b"), last = 0;

	for (int i = 0; i < 20; i++) {
		char name[16];
		uint64_t ino;

		snprintf(name, sizeof(name), "%d", i);
		ino = kit_create(tree, a, name);
		kit_create(tree, b, name);
		ck_assert(!last || ino == last + 1);
		last = ino;
	}
}
END_TEST

/* ---- Rename ---- */

START_TEST(rename_replaces_a_file)
{
	uint64_t a = kit_create(tree, TREE_ROOT, "a");
	uint64_t b = kit_create(tree, TREE_ROOT, "b");

	kit_write(tree, a, 0, "new");
	make_old(a);
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", TREE_ROOT, "b", 0), 0);
	ck_assert(out_gone && out_ino == b);
	ck_assert_int_eq(lookup(TREE_ROOT, "a"), -ENOENT);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "b"), a);
	ck_assert_str_eq(kit_read(tree, a), "new");
	ck_assert(!is_old(kit_attr(tree, a).ctime));
	ck_assert(is_old(kit_attr(tree, a).mtime));
}
END_TEST

START_TEST(rename_of_two_names_of_one_file_leaves_both)
{
	uint64_t a = kit_create(tree, TREE_ROOT, "a");

	ck_assert_int_eq(link_as(a, TREE_ROOT, "b"), 0);
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", TREE_ROOT, "b", 0), 0);
	ck_assert(!out_gone && out_ino == 0);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "a"), a);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "b"), a);
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", TREE_ROOT, "a", 0), 0);
}
END_TEST

START_TEST(rename_replaces_only_its_like)
{
	uint64_t full = kit_mkdir(tree, TREE_ROOT, "full"), empty, dir;

	kit_create(tree, full, "x");
	empty = kit_mkdir(tree, TREE_ROOT, "empty");
	dir = kit_mkdir(tree, TREE_ROOT, "dir");
	kit_create(tree, TREE_ROOT, "f");
	ck_assert_int_eq(rename_as(TREE_ROOT, "f", TREE_ROOT, "dir", 0),
			 -EISDIR);
	ck_assert_int_eq(rename_as(TREE_ROOT, "dir", TREE_ROOT, "f", 0),
			 -ENOTDIR);
	ck_assert_int_eq(rename_as(TREE_ROOT, "dir", TREE_ROOT, "full", 0),
			 -ENOTEMPTY);
	ck_assert_int_eq(rename_as(full, "x", TREE_ROOT, "full", 0), -EISDIR);
	ck_assert_int_eq(rename_as(TREE_ROOT, "dir", TREE_ROOT, "empty", 0), 0);
	ck_assert(out_gone && out_ino == empty);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "empty"), dir);
	ck_assert_uint_eq(kit_attr(tree, TREE_ROOT).nlink, 4);
	ck_assert_int_eq(rename_as(TREE_ROOT, "none", TREE_ROOT, "y", 0),
			 -ENOENT);
}
END_TEST

START_TEST(a_directory_moves_with_its_parent_and_counts)
{
	uint64_t a = kit_mkdir(tree, TREE_ROOT, "a");
	uint64_t b = kit_mkdir(tree, TREE_ROOT, "b");
	uint64_t c = kit_mkdir(tree, a, "c");

	kit_rename(tree, a, "c", b, "d");
	ck_assert_uint_eq(kit_find(tree, c, ".."), b);
	ck_assert_uint_eq(kit_attr(tree, a).nlink, 2);
	ck_assert_uint_eq(kit_attr(tree, b).nlink, 3);
	ck_assert_uint_eq(kit_attr(tree, a).size, 0);
	ck_assert_uint_eq(kit_attr(tree, b).size, 1);
}
END_TEST

START_TEST(a_directory_does_not_move_below_itself)
{
	uint64_t a = kit_mkdir(tree, TREE_ROOT, "a");
	uint64_t b = kit_mkdir(tree, a, "b");

	ck_assert_int_eq(rename_as(TREE_ROOT, "a", a, "x", 0), -EINVAL);
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", b, "x", 0), -EINVAL);
	kit_create(tree, b, "f");
	ck_assert_int_eq(rename_as(b, "f", TREE_ROOT, "a", RENAME_EXCHANGE),
			 -EINVAL);
	ck_assert_int_eq(rename_as(a, "b", TREE_ROOT, "a", 0), -ENOTEMPTY);
}
END_TEST

START_TEST(noreplace_keeps_what_is_there)
{
	uint64_t b = kit_create(tree, TREE_ROOT, "b");

	kit_create(tree, TREE_ROOT, "a");
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", TREE_ROOT, "b",
				   RENAME_NOREPLACE),
			 -EEXIST);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "b"), b);
	ck_assert_int_eq(rename_as(TREE_ROOT, "a", TREE_ROOT, "c",
				   RENAME_NOREPLACE),
			 0);
	ck_assert_int_eq(rename_as(TREE_ROOT, "c", TREE_ROOT, "d",
				   RENAME_NOREPLACE | RENAME_EXCHANGE),
			 -EINVAL);
	ck_assert_int_eq(rename_as(TREE_ROOT, "c", TREE_ROOT, "d", 4), -EINVAL);
}
END_TEST

START_TEST(exchange_swaps_a_file_and_a_directory)
{
	uint64_t a = kit_mkdir(tree, TREE_ROOT, "a");
	uint64_t d = kit_mkdir(tree, a, "d");
	uint64_t f = kit_create(tree, TREE_ROOT, "f");

	kit_create(tree, d, "x");
	ck_assert_int_eq(rename_as(a, "d", TREE_ROOT, "f", RENAME_EXCHANGE), 0);
	ck_assert(!out_gone);
	ck_assert_uint_eq(kit_find(tree, TREE_ROOT, "f"), d);
	ck_assert_uint_eq(kit_find(tree, a, "d"), f);
	ck_assert_uint_eq(kit_find(tree, d, ".."), TREE_ROOT);
	ck_assert_uint_eq(kit_attr(tree, a).nlink, 2);
	ck_assert_uint_eq(kit_attr(tree, TREE_ROOT).nlink, 4);
	ck_assert_int_eq(rename_as(a, "d", TREE_ROOT, "none", RENAME_EXCHANGE),
			 -ENOENT);
}
END_TEST

static TCase *
names_case(const char *name, SFun setup, SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_new_tree_has_an_empty_root);
	tcase_add_test(tcase,
		       a_store_of_something_else_is_not_taken_for_a_tree);
	tcase_add_test(tcase, what_was_made_is_found_after_reopening);
	tcase_add_test(tcase, a_name_is_made_once);
	tcase_add_test(tcase, impossible_names_are_refused);
	tcase_add_test(tcase, dots_lead_to_self_and_parent);
	tcase_add_test(tcase, a_file_has_no_names_in_it);
	tcase_add_test(tcase, directories_count_their_subdirectories);
	tcase_add_test(tcase, changing_a_directory_moves_its_times);
	tcase_add_test(tcase, a_set_group_id_directory_gives_its_group);
	tcase_add_loop_test(tcase, every_type_of_object_keeps_its_type, 0, 5);
	tcase_add_test(tcase, a_symbolic_link_keeps_its_target);
	tcase_add_test(tcase, a_file_lives_as_long_as_it_has_a_name);
	tcase_add_test(tcase, directories_have_one_name);
	tcase_add_test(tcase, only_empty_directories_are_removed);
	tcase_add_test(tcase, an_orphan_is_readable_until_it_is_forgotten);
	tcase_add_test(tcase, an_orphan_that_was_long_and_empty_goes_at_once);
	tcase_add_test(tcase,
		       orphans_of_an_earlier_run_are_removed_by_the_worker);
	tcase_add_test(tcase, forgetting_what_has_a_name_removes_nothing);
	tcase_add_test(tcase, a_removed_directory_takes_no_more_names);
	tcase_add_test(tcase, inode_numbers_are_never_used_twice);
	tcase_add_test(tcase,
		       children_of_one_directory_have_numbers_side_by_side);
	return tcase;
}

static TCase *
rename_case(const char *name, SFun setup, SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, rename_replaces_a_file);
	tcase_add_test(tcase, rename_of_two_names_of_one_file_leaves_both);
	tcase_add_test(tcase, rename_replaces_only_its_like);
	tcase_add_test(tcase, a_directory_moves_with_its_parent_and_counts);
	tcase_add_test(tcase, a_directory_does_not_move_below_itself);
	tcase_add_test(tcase, noreplace_keeps_what_is_there);
	tcase_add_test(tcase, exchange_swaps_a_file_and_a_directory);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("tree_names");

	suite_add_tcase(suite, names_case("names", setup_mem, teardown_mem));
	suite_add_tcase(suite,
			names_case("names, lsm", setup_lsm, teardown_lsm));
	suite_add_tcase(suite, rename_case("rename", setup_mem, teardown_mem));
	suite_add_tcase(suite,
			rename_case("rename, lsm", setup_lsm, teardown_lsm));
	return suite_main(suite);
}
