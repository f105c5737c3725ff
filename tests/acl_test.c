/* SPDX-License-Identifier: Apache-2.0 */
/* acl_test.c - access control lists: their bytes, and what the tree does with them.
 *
 * A list is written here as its entries, "u:rw-,u1001:r--,g:r--,m:rw-,o:---". */
#include <config.h>

#include "fs/acl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define LIST_MAX 256u

static struct kv *kv;
static struct tree *tree;
static uint8_t bytes[LIST_MAX];
static char text[LIST_MAX];

/* ---- Lists as text ---- */

static uint8_t *
put_le(uint8_t *at, uint32_t number, unsigned count)
{
	for (; count > 0; count--, number >>= 8)
		*at++ = (uint8_t)number;
	return at;
}

static unsigned
tag_of(char letter, bool has_id)
{
	switch (letter) {
	case 'u':
		return has_id ? 2 : 1;
	case 'g':
		return has_id ? 8 : 4;
	case 'm':
		return 16;
	default:
		return 32;
	}
}

static unsigned
rights_of(const char *rwx)
{
	return (rwx[0] == 'r' ? 4 : 0) | (rwx[1] == 'w' ? 2 : 0) |
	       (rwx[2] == 'x' ? 1 : 0);
}

/* Valid until the next call. */
static struct keyfs_slice
list(const char *entries)
{
	uint8_t *at = put_le(bytes, 2, 4);

	while (*entries) {
		bool has_id = entries[1] != ':';
		char letter = *entries++, *end;
		unsigned long id = strtoul(entries, &end, 10);

		at = put_le(at, tag_of(letter, has_id), 2);
		at = put_le(at, rights_of(end + 1), 2);
		at = put_le(at, has_id ? (uint32_t)id : UINT32_MAX, 4);
		entries = end + 4 + (end[4] == ',');
	}
	return keyfs_bytes(bytes, (size_t)(at - bytes));
}

/* Valid until the next call. */
static const char *
shown(const uint8_t *at, size_t len)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 4; i < len; i += 8) {
		unsigned tag = at[i], rights = at[i + 2];
		bool has_id = tag == 2 || tag == 8;
		unsigned id = has_id ? at[i + 4] | (unsigned)at[i + 5] << 8 : 0;

		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s%c", used ? "," : "",
					 tag < 4    ? 'u'
					 : tag < 16 ? 'g'
					 : tag < 32 ? 'm'
						    : 'o');
		if (has_id)
			used += (size_t)snprintf(text + used,
						 sizeof(text) - used, "%u", id);
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 ":%c%c%c", rights & 4 ? 'r' : '-',
					 rights & 2 ? 'w' : '-',
					 rights & 1 ? 'x' : '-');
	}
	return text;
}

/* ---- Their bytes ---- */

static const struct {
	const char *entries;
	int result;
} checks[] = {
	{ "u:rwx,g:r-x,o:---", 0 },
	{ "u:rwx,u7:r--,u8:rwx,g:r-x,g9:---,m:rwx,o:---", 0 },
	{ "u:rwx,g:r-x,m:rwx,o:---", 0 },
	{ "u:rwx,u7:r--,g:r-x,o:---", -EINVAL },
	{ "u:rwx,g:r-x,g7:r--,o:---", -EINVAL },
	{ "u:rwx,g:r-x,m:rwx", -EINVAL },
	{ "u:rwx,o:---,g:r-x", -EINVAL },
	{ "u:rwx,u:rwx,g:r-x,o:---", -EINVAL },
	{ "u:rwx,g:r-x,g:r-x,o:---", -EINVAL },
	{ "u:rwx,g:r-x,m:rwx,m:rwx,o:---", -EINVAL },
	{ "u:rwx,g:r-x,o:---,o:---", -EINVAL },
	{ "u7:rwx,g:r-x,m:rwx,o:---", -EINVAL },
	{ "g:r-x,m:rwx,o:---", -EINVAL },
	{ "u:rwx", -EINVAL },
	{ "", -EINVAL },
};

START_TEST(only_whole_lists_in_order_are_lists)
{
	ck_assert_int_eq(acl_check(list(checks[_i].entries)),
			 checks[_i].result);
}
END_TEST

START_TEST(no_byte_may_be_another_or_missing)
{
	struct keyfs_slice good = list("u:rwx,u7:r--,g:r-x,m:rwx,o:---");

	for (size_t len = 0; len < good.len; len++)
		ck_assert_int_eq(acl_check(keyfs_bytes(bytes, len)), -EINVAL);
	/* All but ids, which may be any. */
	for (size_t i = 0; i < good.len; i++) {
		if (i >= 4 && (i - 4) % 8 >= 4)
			continue;
		bytes[i] ^= 0x40;
		ck_assert_int_eq(acl_check(good), -EINVAL);
		bytes[i] ^= 0x40;
	}
	ck_assert_int_eq(acl_check(good), 0);
}
END_TEST

static const struct {
	const char *before;
	uint32_t bits, mode;
	const char *chmodded, *inherited;
	uint32_t made;
} changes[] = {
	{ "u:rwx,g:r-x,o:--x", 0751, 0640, "u:rw-,g:r--,o:---",
	  "u:rw-,g:r--,o:---", 0640 },
	{ "u:rw-,u7:rwx,g:r--,m:rwx,o:r--", 0674, 0755,
	  "u:rwx,u7:rwx,g:r--,m:r-x,o:r-x", "u:rw-,u7:rwx,g:r--,m:r-x,o:r--",
	  0654 },
	{ "u:---,g:rwx,m:---,o:---", 0, 0777, "u:rwx,g:rwx,m:rwx,o:rwx",
	  "u:---,g:rwx,m:---,o:---", 0 },
};

START_TEST(the_classes_are_the_bits_of_a_mode)
{
	struct keyfs_slice l = list(changes[_i].before);

	ck_assert_int_eq(acl_check(l), 0);
	ck_assert_uint_eq(acl_mode(l), changes[_i].bits);
	acl_chmod(bytes, l.len, changes[_i].mode);
	ck_assert_str_eq(shown(bytes, l.len), changes[_i].chmodded);
	ck_assert_uint_eq(acl_mode(l), changes[_i].mode);

	l = list(changes[_i].before);
	ck_assert_uint_eq(acl_inherit(bytes, l.len, changes[_i].mode),
			  changes[_i].made);
	ck_assert_str_eq(shown(bytes, l.len), changes[_i].inherited);
}
END_TEST

/* ---- In the tree ---- */

static void
open_tree(bool acls)
{
	struct tree_options options = { .acls = acls };

	ck_assert_int_eq(tree_open(kv, &options, &tree), 0);
}

static void
setup(void)
{
	kv = kv_mem_new();
	open_tree(true);
}

static void
teardown(void)
{
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
reopen(bool acls)
{
	kit_close(tree);
	open_tree(acls);
}

static int
try_set(uint64_t ino, const char *name, const char *entries)
{
	return tree_setxattr(tree, &kit_user, ino, keyfs_str(name),
			     list(entries), 0);
}

static void
set(uint64_t ino, const char *name, const char *entries)
{
	ck_assert_int_eq(try_set(ino, name, entries), 0);
}

/* "-": there is none. */
static void
expect(uint64_t ino, const char *name, const char *entries)
{
	uint8_t found[LIST_MAX];
	size_t len;
	int r = tree_getxattr(tree, &kit_user, ino, keyfs_str(name), found,
			      sizeof(found), &len);

	ck_assert(r == 0 || r == -ENODATA);
	ck_assert_str_eq(r == 0 ? shown(found, len) : "-", entries);
}

static uint32_t
mode_of(uint64_t ino)
{
	return kit_attr(tree, ino).mode & 07777;
}

static void
set_mode(uint64_t ino, uint32_t mode)
{
	struct tree_attr attr = { .mode = mode };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_MODE,
				      &attr, &attr),
			 0);
}

START_TEST(a_list_and_the_mode_change_together)
{
	uint64_t file = kit_create(tree, TREE_ROOT, "f");

	set(file, ACL_ACCESS, "u:rwx,u7:rwx,g:r--,m:rw-,o:--x");
	ck_assert_uint_eq(mode_of(file), 0761);
	set_mode(file, 0644);
	expect(file, ACL_ACCESS, "u:rw-,u7:rwx,g:r--,m:r--,o:r--");
	set(file, ACL_ACCESS, "u:r--,g:---,o:---");
	expect(file, ACL_ACCESS, "-");
	ck_assert_uint_eq(mode_of(file), 0400);
	ck_assert_int_eq(tree_removexattr(tree, &kit_user, file,
					  keyfs_str(ACL_ACCESS)),
			 0);
	kit_check(tree);
}
END_TEST

START_TEST(chmod_changes_a_list_that_is_not_shown)
{
	uint64_t file = kit_create(tree, TREE_ROOT, "f");
	char names[64];
	size_t len;

	set(file, ACL_ACCESS, "u:rwx,u7:rwx,g:r--,m:rw-,o:--x");
	reopen(false);
	ck_assert_int_eq(try_set(file, ACL_ACCESS, "u:r--,g:---,o:---"),
			 -EOPNOTSUPP);
	ck_assert_int_eq(tree_listxattr(tree, &kit_user, file, names,
					sizeof(names), &len),
			 0);
	ck_assert_uint_eq(len, 0);
	set_mode(file, 0600);
	reopen(true);
	expect(file, ACL_ACCESS, "u:rw-,u7:rwx,g:r--,m:---,o:---");
}
END_TEST

START_TEST(the_group_bit_goes_from_who_is_not_in_the_group)
{
	uint64_t file = kit_create(tree, TREE_ROOT, "f");
	struct tree_attr attr = { .mode = 02770, .gid = 4711 };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, file,
				      TREE_SET_MODE | TREE_SET_GID, &attr,
				      &attr),
			 0);
	set_mode(file, 02770);
	set(file, ACL_ACCESS, "u:rwx,u7:rwx,g:r--,m:rw-,o:--x");
	ck_assert_uint_eq(mode_of(file), 0761);
}
END_TEST

static uint64_t
make(uint64_t parent, const char *name, uint32_t mode)
{
	struct tree_caller caller = kit_user;
	struct tree_attr attr;

	caller.umask = 027;
	if (S_ISDIR(mode))
		ck_assert_int_eq(tree_mkdir(tree, &caller, parent,
					    keyfs_str(name), mode & 07777,
					    &attr),
				 0);
	else
		ck_assert_int_eq(tree_mknod(tree, &caller, parent,
					    keyfs_str(name), mode, 0, &attr),
				 0);
	ck_assert_uint_eq(attr.mode, kit_attr(tree, attr.ino).mode);
	return attr.ino;
}

START_TEST(new_objects_inherit_instead_of_losing_the_umask)
{
	static const char list_of_all[] = "u:rwx,u7:rwx,g:r-x,m:rwx,o:r--";
	uint64_t dir = make(TREE_ROOT, "d", S_IFDIR | 0777), sub, file;

	ck_assert_uint_eq(mode_of(dir), 0750);
	ck_assert_uint_eq(mode_of(make(dir, "plain", S_IFREG | 0666)), 0640);
	set(dir, ACL_DEFAULT, list_of_all);
	file = make(dir, "f", S_IFREG | 0666);
	ck_assert_uint_eq(mode_of(file), 0664);
	expect(file, ACL_ACCESS, "u:rw-,u7:rwx,g:r-x,m:rw-,o:r--");
	expect(file, ACL_DEFAULT, "-");
	sub = make(dir, "s", S_IFDIR | 0700);
	ck_assert_uint_eq(mode_of(sub), 0700);
	expect(sub, ACL_ACCESS, "u:rwx,u7:rwx,g:r-x,m:---,o:---");
	expect(sub, ACL_DEFAULT, list_of_all);
	/* One that says no more than a mode leaves only a mode. */
	set(dir, ACL_DEFAULT, "u:rwx,g:r-x,o:r-x");
	file = make(dir, "g", S_IFREG | 0666);
	ck_assert_uint_eq(mode_of(file), 0644);
	expect(file, ACL_ACCESS, "-");
	kit_check(tree);
}
END_TEST

START_TEST(only_what_can_have_a_list_gets_one)
{
	uint64_t file = kit_create(tree, TREE_ROOT, "f");
	struct tree_attr link;

	ck_assert_int_eq(tree_symlink(tree, &kit_user, TREE_ROOT,
				      keyfs_str("l"), keyfs_str("f"), &link),
			 0);
	ck_assert_int_eq(try_set(link.ino, ACL_ACCESS, "u:rwx,g:---,o:---"),
			 -EOPNOTSUPP);
	ck_assert_int_eq(try_set(file, ACL_DEFAULT, "u:rwx,g:---,o:---"),
			 -EACCES);
	ck_assert_int_eq(try_set(file, ACL_ACCESS, "u:rwx,o:---,g:---"),
			 -EINVAL);
	set(TREE_ROOT, ACL_DEFAULT, "u:rwx,u7:rwx,g:---,m:rwx,o:---");
	ck_assert_int_eq(tree_symlink(tree, &kit_user, TREE_ROOT,
				      keyfs_str("m"), keyfs_str("f"), &link),
			 0);
	ck_assert_uint_eq(mode_of(link.ino), 0777);
}
END_TEST

static int
count_problem(void *arg, const char *where, const char *what)
{
	int *count = arg;

	(void)where;
	(void)what;
	++*count;
	return 0;
}

START_TEST(a_damaged_list_is_an_error_and_is_found)
{
	struct tree_attr attr = { .mode = 0600 };
	struct layout_key key;
	uint64_t dir = kit_mkdir(tree, TREE_ROOT, "d");
	int problems = 0;

	set(dir, ACL_DEFAULT, "u:rwx,u7:rwx,g:---,m:rwx,o:---");
	set(dir, ACL_ACCESS, "u:rwx,u7:rwx,g:---,m:rwx,o:---");
	kit_close(tree);
	kit_put(kv, layout_key_xattr(&key, dir, keyfs_str(ACL_DEFAULT)),
		keyfs_str("?"));
	kit_put(kv, layout_key_xattr(&key, dir, keyfs_str(ACL_ACCESS)),
		keyfs_str("?"));
	open_tree(true);
	ck_assert_int_eq(tree_mkdir(tree, &kit_user, dir, keyfs_str("s"), 0700,
				    &attr),
			 -EUCLEAN);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, dir, TREE_SET_MODE,
				      &attr, &attr),
			 -EUCLEAN);
	ck_assert_int_eq(tree_check(tree, count_problem, &problems), -EUCLEAN);
	ck_assert_int_ge(problems, 2);
}
END_TEST

static Suite *
acl_suite(void)
{
	Suite *suite = suite_create("acl");
	TCase *tcase = tcase_create("bytes");

	tcase_add_loop_test(tcase, only_whole_lists_in_order_are_lists, 0,
			    sizeof(checks) / sizeof(*checks));
	tcase_add_test(tcase, no_byte_may_be_another_or_missing);
	tcase_add_loop_test(tcase, the_classes_are_the_bits_of_a_mode, 0,
			    sizeof(changes) / sizeof(*changes));
	suite_add_tcase(suite, tcase);

	tcase = tcase_create("tree");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_list_and_the_mode_change_together);
	tcase_add_test(tcase, chmod_changes_a_list_that_is_not_shown);
	tcase_add_test(tcase, the_group_bit_goes_from_who_is_not_in_the_group);
	tcase_add_test(tcase, new_objects_inherit_instead_of_losing_the_umask);
	tcase_add_test(tcase, only_what_can_have_a_list_gets_one);
	tcase_add_test(tcase, a_damaged_list_is_an_error_and_is_found);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(acl_suite());
}
