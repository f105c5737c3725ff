/* SPDX-License-Identifier: Apache-2.0 */
/* tree_test.c - what each operation of the tree promises, one claim a test. */
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
	struct kv_change change = { KV_PUT, keyfs_str("k"), keyfs_str("v") };
	struct kv_batch batch = { .changes = &change, .change_count = 1 };
	struct tree_options options = { 0 };
	struct tree *none;

	ck_assert_int_eq(kv_commit(other, &batch, 0, NULL), 0);
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
	keys = kv_mem_count(kv);
	kit_fill(tree, ino, 0, 10 * CHUNK, 'x');
	kit_unlink(tree, TREE_ROOT, "f");
	ck_assert_uint_eq(kit_attr(tree, ino).nlink, 0);
	kit_expect(tree, ino, 0, 10 * CHUNK, 'x');
	kit_fill(tree, ino, 0, 3, 'y');
	ck_assert_int_eq(link_as(ino, TREE_ROOT, "g"), -ENOENT);
	kit_check(tree);
	tree_forget_orphan(tree, ino);
	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), -ENOENT);
	ck_assert_uint_eq(kv_mem_count(kv), keys - 2);
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
	size_t keys = kv_mem_count(kv);

	kit_fill(tree, ino, 0, 1024, 'a');
	ck_assert_uint_eq(kv_mem_count(kv), keys);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 2);
	kit_fill(tree, ino, 1024, 1, 'b');
	ck_assert_uint_eq(kv_mem_count(kv), keys + 1);
	kit_expect(tree, ino, 0, 1024, 'a');
	kit_expect(tree, ino, 1024, 1, 'b');
	kit_truncate(tree, ino, 1024);
	ck_assert_uint_eq(kv_mem_count(kv), keys);
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
	struct tree_caller hasty = { 1000, 1000, true };
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
	struct kv_change change = { value ? KV_PUT : KV_DELETE,
				    keyfs_bytes(key, key_len),
				    keyfs_str(value ? value : "") };
	struct kv_batch batch = { .changes = &change, .change_count = 1 };

	ck_assert_int_eq(kv_commit(kv, &batch, 0, NULL), 0);
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
names_case(void)
{
	TCase *tcase = tcase_create("names");

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
rename_case(void)
{
	TCase *tcase = tcase_create("rename");

	tcase_add_test(tcase, rename_replaces_a_file);
	tcase_add_test(tcase, rename_of_two_names_of_one_file_leaves_both);
	tcase_add_test(tcase, rename_replaces_only_its_like);
	tcase_add_test(tcase, a_directory_moves_with_its_parent_and_counts);
	tcase_add_test(tcase, a_directory_does_not_move_below_itself);
	tcase_add_test(tcase, noreplace_keeps_what_is_there);
	tcase_add_test(tcase, exchange_swaps_a_file_and_a_directory);
	return tcase;
}

static TCase *
contents_case(void)
{
	TCase *tcase = tcase_create("contents");

	tcase_add_test(tcase, setattr_changes_what_it_names);
	tcase_add_test(tcase, now_is_the_time_of_the_call);
	tcase_add_test(tcase, impossible_sizes_and_times_are_refused);
	tcase_add_test(tcase, the_largest_file_has_its_last_byte);
	tcase_add_test(tcase, a_small_file_is_one_key);
	tcase_add_test(tcase, writes_fall_anywhere);
	tcase_add_test(tcase, holes_are_zeros_and_take_no_space);
	tcase_add_loop_test(tcase, a_truncated_file_grows_with_zeros, 0, 11);
	tcase_add_test(tcase, stat_tells_the_size_and_what_is_stored);
	tcase_add_test(tcase, reading_beyond_the_end_is_nothing);
	tcase_add_test(tcase, a_write_moves_mtime_and_ctime_only);
	return tcase;
}

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
	TCase *cases[] = { names_case(), rename_case(), contents_case(),
			   whole_case() };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tcase_add_checked_fixture(cases[i], setup, teardown);
		suite_add_tcase(suite, cases[i]);
	}
	return suite_main(suite);
}
