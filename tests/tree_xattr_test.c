/* SPDX-License-Identifier: Apache-2.0 */
/* tree_xattr_test.c - extended attributes and privileges, one claim a test. */
#include <config.h>

#include "fs/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/layout.h"
#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define CHUNK 16384u
#define CAPABILITY "security.capability"

static struct kv *kv;
static struct tree *tree;
static uint64_t file;
static char value[TREE_XATTR_SIZE_MAX + 1], list[TREE_XATTR_SIZE_MAX];
static size_t len;

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
try_set(uint64_t ino, const char *name, const char *text, int flags)
{
	return tree_setxattr(tree, &kit_user, ino, keyfs_str(name),
			     keyfs_str(text), flags);
}

static void
set(uint64_t ino, const char *name, const char *text)
{
	ck_assert_int_eq(try_set(ino, name, text, 0), 0);
}

static int
get(uint64_t ino, const char *name, size_t size)
{
	return tree_getxattr(tree, &kit_user, ino, keyfs_str(name), value, size,
			     &len);
}

static int
drop(uint64_t ino, const char *name)
{
	return tree_removexattr(tree, &kit_user, ino, keyfs_str(name));
}

static void
expect_value(uint64_t ino, const char *name, const char *text)
{
	ck_assert_int_eq(get(ino, name, sizeof(value)), 0);
	ck_assert_uint_eq(len, strlen(text));
	ck_assert_mem_eq(value, text, len);
}

/* `names` with a blank behind each. */
static void
expect_list(uint64_t ino, const struct tree_caller *caller, const char *names)
{
	ck_assert_int_eq(tree_listxattr(tree, caller, ino, list, sizeof(list),
					&len),
			 0);
	for (size_t i = 0; i < len; i++)
		if (!list[i])
			list[i] = ' ';
	ck_assert_uint_eq(len, strlen(names));
	ck_assert_mem_eq(list, names, len);
}

START_TEST(what_is_set_is_got_listed_and_removed)
{
	set(file, "user.b", "beta");
	set(file, "user.a", "");
	set(TREE_ROOT, "user.root", "r");
	expect_value(file, "user.b", "beta");
	expect_value(file, "user.a", "");
	expect_list(file, &kit_user, "user.a user.b ");
	set(file, "user.b", "again");
	expect_value(file, "user.b", "again");
	ck_assert_int_eq(drop(file, "user.a"), 0);
	ck_assert_int_eq(drop(file, "user.a"), -ENODATA);
	ck_assert_int_eq(get(file, "user.a", 1), -ENODATA);
	expect_list(file, &kit_user, "user.b ");
	expect_list(TREE_ROOT, &kit_user, "user.root ");
	kit_close(tree);
	tree = kit_open(kv);
	expect_value(file, "user.b", "again");
}
END_TEST

START_TEST(a_size_of_none_asks_for_the_length)
{
	const struct tree_caller *caller = &kit_user;

	set(file, "user.abc", "12345");
	ck_assert_int_eq(get(file, "user.abc", 0), 0);
	ck_assert_uint_eq(len, 5);
	ck_assert_int_eq(get(file, "user.abc", 4), -ERANGE);
	ck_assert_int_eq(get(file, "user.abc", 5), 0);
	ck_assert_int_eq(tree_listxattr(tree, caller, file, NULL, 0, &len), 0);
	ck_assert_uint_eq(len, 9);
	ck_assert_int_eq(tree_listxattr(tree, caller, file, list, 8, &len),
			 -ERANGE);
	ck_assert_int_eq(tree_listxattr(tree, caller, file, list, 9, &len), 0);
}
END_TEST

START_TEST(create_and_replace_are_obeyed)
{
	ck_assert_int_eq(try_set(file, "user.a", "1", XATTR_REPLACE), -ENODATA);
	ck_assert_int_eq(try_set(file, "user.a", "1", XATTR_CREATE), 0);
	ck_assert_int_eq(try_set(file, "user.a", "2", XATTR_CREATE), -EEXIST);
	expect_value(file, "user.a", "1");
	ck_assert_int_eq(try_set(file, "user.a", "3", XATTR_REPLACE), 0);
	expect_value(file, "user.a", "3");
	ck_assert_int_eq(try_set(file, "user.a", "4", 4), -EINVAL);
}
END_TEST

START_TEST(other_namespaces_and_impossible_names_are_refused)
{
	char name[300] = "user.";

	ck_assert_int_eq(try_set(file, "system.posix_acl_access", "", 0),
			 -EOPNOTSUPP);
	ck_assert_int_eq(try_set(file, "user", "", 0), -EOPNOTSUPP);
	ck_assert_int_eq(try_set(file, "user.", "", 0), -EINVAL);
	ck_assert_int_eq(get(file, "os2.x", 1), -EOPNOTSUPP);
	ck_assert_int_eq(drop(file, "x"), -EOPNOTSUPP);
	memset(name + 5, 'n', 251);
	ck_assert_int_eq(try_set(file, name, "", 0), -ERANGE);
	name[255] = '\0';
	set(file, name, "longest");
	expect_value(file, name, "longest");
}
END_TEST

START_TEST(values_have_an_end)
{
	memset(value, 'v', sizeof(value));
	ck_assert_int_eq(tree_setxattr(tree, &kit_user, file,
				       keyfs_str("user.v"),
				       keyfs_bytes(value, sizeof(value)), 0),
			 -E2BIG);
	ck_assert_int_eq(tree_setxattr(tree, &kit_user, file,
				       keyfs_str("user.v"),
				       keyfs_bytes(value, TREE_XATTR_SIZE_MAX),
				       0),
			 0);
	ck_assert_int_eq(get(file, "user.v", sizeof(value)), 0);
	ck_assert_uint_eq(len, TREE_XATTR_SIZE_MAX);
}
END_TEST

/* More names than a list can hold would be names that nobody can find. */
START_TEST(a_list_has_an_end)
{
	char name[256];
	unsigned n = 0;
	int rc;

	do {
		snprintf(name, sizeof(name), "user.%0250u", n);
		rc = try_set(file, name, "", 0);
		n += rc == 0;
	} while (rc == 0);
	ck_assert_int_eq(rc, -ENOSPC);
	ck_assert_uint_eq(n, TREE_XATTR_SIZE_MAX / 256);
	ck_assert_int_eq(tree_listxattr(tree, &kit_user, file, list,
					sizeof(list), &len),
			 0);
	ck_assert_uint_eq(len, TREE_XATTR_SIZE_MAX);
	ck_assert_int_eq(drop(file, "user.none"), -ENODATA);
	snprintf(name, sizeof(name), "user.%0250u", 7u);
	ck_assert_int_eq(drop(file, name), 0);
	set(file, "user.one", "more");
}
END_TEST

START_TEST(trusted_names_are_listed_for_root_only)
{
	struct tree_caller root = { 0 };

	set(file, "trusted.t", "x");
	set(file, "user.u", "x");
	expect_list(file, &root, "trusted.t user.u ");
	expect_list(file, &kit_user, "user.u ");
	ck_assert_int_eq(tree_listxattr(tree, &kit_user, file, NULL, 0, &len),
			 0);
	ck_assert_uint_eq(len, 7);
}
END_TEST

START_TEST(a_change_is_a_change_of_the_inode_and_of_no_contents)
{
	struct tree_attr old = { .mtime = { 1000000000, 1 },
				 .ctime = { 1000000000, 1 } };
	const unsigned both = TREE_SET_MTIME | TREE_SET_CTIME;

	kit_write(tree, file, 0, "contents");
	ck_assert_int_eq(tree_setattr(tree, &kit_user, file, both, &old, &old),
			 0);
	set(file, "user.a", "1");
	ck_assert_int_eq(kit_attr(tree, file).mtime.tv_sec, 1000000000);
	ck_assert_int_ne(kit_attr(tree, file).ctime.tv_sec, 1000000000);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, file, both, &old, &old),
			 0);
	ck_assert_int_eq(drop(file, "user.a"), 0);
	ck_assert_int_ne(kit_attr(tree, file).ctime.tv_sec, 1000000000);
	ck_assert_str_eq(kit_read(tree, file), "contents");
}
END_TEST

START_TEST(a_removed_file_leaves_no_attribute)
{
	size_t before = kit_count(kv);

	set(file, "user.a", "1");
	set(file, "user.b", "2");
	ck_assert_uint_eq(kit_count(kv), before + 2);
	kit_unlink(tree, TREE_ROOT, "f");
	/* Its attributes and its entry are gone too. */
	ck_assert_uint_eq(kit_count(kv), before - 2);
	ck_assert_int_eq(get(file, "user.a", 1), -ENOENT);
}
END_TEST

START_TEST(a_rename_takes_them_along)
{
	set(file, "user.a", "1");
	kit_rename(tree, TREE_ROOT, "f", TREE_ROOT, "g");
	expect_value(kit_find(tree, TREE_ROOT, "g"), "user.a", "1");
}
END_TEST

/* A program that does not know them must not write to such a tree. */
START_TEST(the_superblock_says_that_there_are_some)
{
	struct layout_super super;
	struct kv_value found;
	struct layout_key key;
	struct kv_view *view;

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(kv_view_open(kv, &view), 0);
		ck_assert_int_eq(kv_get(kv, view, layout_key_super(&key), 0,
					&found),
				 0);
		ck_assert_int_eq(layout_super_decode(found.data, &super), 0);
		ck_assert_uint_eq(super.features, i * LAYOUT_FEATURE_XATTR);
		kv_value_release(&found);
		kv_view_close(kv, view);
		set(file, "user.a", "1");
	}
}
END_TEST

/* ---- Damage ---- */

START_TEST(a_name_that_is_lost_is_an_error)
{
	struct layout_key key;

	set(file, "user.a", "1");
	set(file, "user.b", "2");
	kit_close(tree);
	kit_drop(kv, layout_key_xattr(&key, file, keyfs_str("user.a")));
	tree = kit_open(kv);
	ck_assert_int_eq(tree_listxattr(tree, &kit_user, file, list,
					sizeof(list), &len),
			 -EUCLEAN);
	ck_assert_int_eq(tree_check(tree, NULL, NULL), -EUCLEAN);
	/* For the check at the end. */
	kit_close(tree);
	kit_put(kv, layout_key_xattr(&key, file, keyfs_str("user.a")),
		keyfs_str("1"));
	tree = kit_open(kv);
}
END_TEST

/* ---- Privileges ---- */

static void
chmod_to(uint32_t mode)
{
	struct tree_attr attr = { .mode = mode };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, file, TREE_SET_MODE,
				      &attr, &attr),
			 0);
}

/* What is cut off, written or given away, by whom, and what is left of the mode. */
static const struct {
	enum { WRITE, TRUNCATE, EMPTY, CHOWN, CHGRP, NOTHING } how;
	bool clears_setid;
	uint32_t before, after;
} privileges[] = {
	{ WRITE, true, 06777, 0777 },      { WRITE, false, 06777, 06777 },
	{ WRITE, true, 02767, 02767 },     { TRUNCATE, true, 06777, 0777 },
	{ TRUNCATE, false, 06777, 06777 }, { EMPTY, true, 06777, 0777 },
	{ EMPTY, false, 06777, 06777 },    { CHOWN, false, 06777, 0777 },
	{ CHGRP, false, 04711, 0711 },     { CHGRP, false, 02767, 02767 },
	{ NOTHING, false, 06777, 0777 },
};

static int
change(unsigned which, const struct tree_caller *caller)
{
	struct tree_attr attr = { .uid = 5, .gid = 1000, .size = 3 };
	unsigned what = 0;

	switch (privileges[which].how) {
	case WRITE:
		return tree_write(tree, caller, file, 1, keyfs_str("x"));
	case TRUNCATE:
		what = TREE_SET_SIZE | TREE_SET_BY_HANDLE;
		break;
	case EMPTY:
		attr.size = 0;
		what = TREE_SET_SIZE;
		break;
	case CHOWN:
		what = TREE_SET_UID;
		break;
	case CHGRP:
		what = TREE_SET_GID;
		break;
	case NOTHING:
		break;
	}
	return tree_setattr(tree, caller, file, what, &attr, &attr);
}

START_TEST(privileges_end_in_the_operation_that_ends_them)
{
	struct tree_caller caller = kit_user;
	uint64_t version;

	caller.clears_setid = privileges[_i].clears_setid;
	kit_write(tree, file, 0, "a program");
	chmod_to(privileges[_i].before);
	set(file, CAPABILITY, "all");
	set(file, "user.kept", "1");
	version = kv_mem_version(kv);
	ck_assert_int_eq(change((unsigned)_i, &caller), 0);
	ck_assert_uint_eq(kv_mem_version(kv), version + 1);
	ck_assert_uint_eq(kit_attr(tree, file).mode & 07777,
			  privileges[_i].after);
	ck_assert_int_eq(get(file, CAPABILITY, 1), -ENODATA);
	expect_list(file, &kit_user, "user.kept ");
}
END_TEST

static bool
is_in_group_7(void *arg, uint32_t gid)
{
	(void)arg;
	return gid == 7;
}

/* Without the right to execute, only who is not in the group loses its bit. */
START_TEST(a_group_keeps_its_bit_from_its_members)
{
	struct tree_caller caller = { .uid = 1000,
				      .gid = 1000,
				      .clears_setid = true,
				      .in_group = is_in_group_7 };
	struct tree_attr attr;

	for (uint32_t gid = 6; gid <= 7; gid++) {
		attr.gid = gid;
		ck_assert_int_eq(tree_setattr(tree, &kit_user, file,
					      TREE_SET_GID, &attr, &attr),
				 0);
		chmod_to(06666);
		ck_assert_int_eq(tree_write(tree, &caller, file, 0,
					    keyfs_str("x")),
				 0);
		ck_assert_uint_eq(kit_attr(tree, file).mode & 07777,
				  gid == 7 ? 02666 : 0666);
	}
}
END_TEST

START_TEST(a_directory_keeps_its_bits)
{
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	struct tree_attr attr = { .mode = 06775, .uid = 5 };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, dir,
				      TREE_SET_MODE | TREE_SET_UID, &attr,
				      &attr),
			 0);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, dir, TREE_SET_UID, &attr,
				      &attr),
			 0);
	ck_assert_uint_eq(attr.mode & 07777, 06775);
}
END_TEST

/* A truncation that is held (P3) comes first. */
START_TEST(a_held_truncation_is_logged_with_an_attribute)
{
	kit_write(tree, file, 0, "before");
	kit_empty(tree, file);
	set(file, "user.a", "1");
	ck_assert_str_eq(kit_read(tree, file), "");
	kit_write(tree, file, 0, "after");
	expect_value(file, "user.a", "1");
}
END_TEST

static TCase *
xattr_case(const char *name, SFun setup, SFun teardown)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_set_is_got_listed_and_removed);
	tcase_add_test(tcase, a_size_of_none_asks_for_the_length);
	tcase_add_test(tcase, create_and_replace_are_obeyed);
	tcase_add_test(tcase,
		       other_namespaces_and_impossible_names_are_refused);
	tcase_add_test(tcase, values_have_an_end);
	tcase_add_test(tcase, a_list_has_an_end);
	tcase_add_test(tcase, trusted_names_are_listed_for_root_only);
	tcase_add_test(tcase,
		       a_change_is_a_change_of_the_inode_and_of_no_contents);
	tcase_add_test(tcase, a_removed_file_leaves_no_attribute);
	tcase_add_test(tcase, a_rename_takes_them_along);
	tcase_add_test(tcase, the_superblock_says_that_there_are_some);
	tcase_add_test(tcase, a_name_that_is_lost_is_an_error);
	tcase_add_test(tcase, a_group_keeps_its_bit_from_its_members);
	tcase_add_test(tcase, a_directory_keeps_its_bits);
	tcase_add_test(tcase, a_held_truncation_is_logged_with_an_attribute);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("tree_xattr");
	TCase *mem = xattr_case("xattrs", setup_mem, teardown_mem);

	tcase_add_loop_test(mem, privileges_end_in_the_operation_that_ends_them,
			    0, sizeof(privileges) / sizeof(privileges[0]));
	suite_add_tcase(suite, mem);
	suite_add_tcase(suite,
			xattr_case("xattrs, lsm", setup_lsm, teardown_lsm));
	return suite_main(suite);
}
