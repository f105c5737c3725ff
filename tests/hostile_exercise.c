/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_exercise.c - see hostile_exercise.h. */
#include <config.h>

#include "tests/hostile_exercise.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define INOS_MAX 64

static const struct keyfs_slice names[] = {
	{ "A", 1 },     { "B", 1 },       { "foo", 3 },   { "bar", 3 },
	{ "sub", 3 },   { "deep", 4 },    { "link", 4 },  { "pipe", 4 },
	{ "self", 4 },  { "root", 4 },    { "zero", 4 },  { "beyond", 6 },
	{ "ones", 4 },  { "missing", 7 }, { "below", 5 }, { "new-dir", 7 },
	{ "", 0 },      { ".", 1 },       { "..", 2 },    { "/", 1 },
	{ "foo\0b", 5 }
};

#define NAMES (sizeof(names) / sizeof(names[0]))

static uint64_t inos[INOS_MAX];
static size_t ino_count;

/* Errors that a caller understands; all else is our own confusion come out. */
static void
answered(const char *what, int rc)
{
	static const int errors[] = { 0,          -EUCLEAN,      -ENOENT,
				      -ENOTDIR,   -EISDIR,       -EEXIST,
				      -EINVAL,    -ENAMETOOLONG, -EPERM,
				      -ENOTEMPTY, -EMLINK,       -EFBIG,
				      -ENOSPC,    -ENODATA,      -ERANGE };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (rc == errors[i])
			return;
	ck_abort_msg("%s: %d", what, rc);
}

static int
ino_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	 uint64_t version)
{
	const uint8_t *at = key.data;
	uint64_t ino = 0;

	(void)arg;
	(void)value;
	(void)version;
	for (int i = 1; i <= 8 && key.len > 8; i++)
		ino = ino << 8 | at[i];
	if (key.len > 8 && at[0] == 'I' && ino_count < INOS_MAX &&
	    (!ino_count || inos[ino_count - 1] != ino))
		inos[ino_count++] = ino;
	return 0;
}

/* Every number that the store has something of, and some that it should not. */
static void
inos_find(struct kv *kv)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct kv_view *view;

	ino_count = 0;
	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, begin, end, KV_KEYS_ONLY, ino_each,
				 NULL),
			 0);
	kv_view_close(kv, view);
	for (size_t i = 0; i < 3 && ino_count < INOS_MAX; i++)
		inos[ino_count++] =
			(const uint64_t[]){ 0, 4999999, UINT64_MAX }[i];
}

static int
name_each(void *arg, struct keyfs_slice name, const struct tree_attr *a)
{
	(void)arg;
	(void)a;
	if (layout_name_check(name))
		ck_abort_msg("a listing gives out an impossible name");
	return 0;
}

static void
read_one(struct tree *tree, uint64_t ino)
{
	static const uint64_t offsets[] = { 0,
					    299,
					    16383,
					    40000,
					    (UINT64_C(1) << 62) + 5,
					    LAYOUT_SIZE_MAX - 1,
					    UINT64_MAX };
	static uint8_t buf[200000];
	struct keyfs_slice all = { 0 };
	struct tree_attr a;
	char *target = NULL;
	size_t len;

	answered("getattr", tree_getattr(tree, &kit_user, ino, &a));
	answered("readdir", tree_readdir(tree, &kit_user, ino, all, false,
					 name_each, NULL));
	answered("readdirplus", tree_readdir(tree, &kit_user, ino, all, true,
					     name_each, NULL));
	answered("readlink",
		 tree_readlink(tree, &kit_user, ino, &target, &len));
	free(target);
	answered("listxattr", tree_listxattr(tree, &kit_user, ino, (char *)buf,
					     sizeof(buf), &len));
	answered("getxattr",
		 tree_getxattr(tree, &kit_user, ino, keyfs_str("user.a"), buf,
			       sizeof(buf), &len));
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		answered("read", tree_read(tree, &kit_user, ino, offsets[i],
					   sizeof(buf), buf, &len));
	for (size_t i = 0; i < NAMES; i++)
		answered("lookup",
			 tree_lookup(tree, &kit_user, ino, names[i], &a));
}

static void
read_all(struct tree *tree)
{
	struct tree_space space;
	struct tree_attr a;

	for (size_t i = 0; i < ino_count; i++)
		read_one(tree, inos[i]);
	answered("space", tree_space(tree, &space));
	answered("resolve", tree_resolve(tree, &kit_user,
					 "A/sub/A/sub/self/../../B/..", &a));
}

static void
change_contents(struct tree *tree, uint64_t ino)
{
	static const uint64_t sizes[] = {
		100, 30000, UINT64_C(1) << 40, LAYOUT_SIZE_MAX, 50000, 5
	};
	static const uint64_t offsets[] = { 0, 20000, UINT64_C(1) << 45 };
	struct tree_attr a;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		answered("write", tree_write(tree, &kit_user, ino, offsets[i],
					     keyfs_str("written")));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		a = (struct tree_attr){ .size = sizes[i], .mode = 0600 };
		answered("truncate",
			 tree_setattr(tree, &kit_user, ino,
				      TREE_SET_SIZE | TREE_SET_BY_HANDLE, &a,
				      &a));
	}
	a = (struct tree_attr){ .size = 0, .mode = 0600 };
	answered("empty",
		 tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE, &a, &a));
	a = (struct tree_attr){ .mode = 0600 };
	answered("chmod",
		 tree_setattr(tree, &kit_user, ino, TREE_SET_MODE, &a, &a));
}

static void
add_names(struct tree *tree, uint64_t dir)
{
	struct tree_attr a;
	char name[32];

	answered("mknod", tree_mknod(tree, &kit_user, dir, keyfs_str("new"),
				     S_IFREG | 0644, 0, &a));
	answered("mkdir", tree_mkdir(tree, &kit_user, dir, keyfs_str("new-dir"),
				     0755, &a));
	answered("symlink",
		 tree_symlink(tree, &kit_user, dir, keyfs_str("new-link"),
			      keyfs_str("to"), &a));
	for (size_t i = 0; i < ino_count; i++) {
		snprintf(name, sizeof(name), "link-%zu", i);
		answered("link", tree_link(tree, &kit_user, inos[i], dir,
					   keyfs_str(name), &a));
	}
}

static void
rename_names(struct tree *tree, uint64_t from, uint64_t to, unsigned flags)
{
	uint64_t ino;
	bool gone;

	for (size_t i = 0; i < NAMES; i++) {
		answered("rename", tree_rename(tree, &kit_user, from, names[i],
					       to, names[(i + 3) % NAMES],
					       flags, &ino, &gone));
		answered("rename",
			 tree_rename(tree, &kit_user, from, names[i], to,
				     names[i], flags, &ino, &gone));
	}
}

static void
remove_names(struct tree *tree, uint64_t dir)
{
	uint64_t ino;
	bool gone;

	for (size_t i = 0; i < NAMES; i++) {
		answered("unlink", tree_unlink(tree, &kit_user, dir, names[i],
					       &ino, &gone));
		answered("rmdir", tree_rmdir(tree, &kit_user, dir, names[i],
					     &ino, &gone));
	}
}

static void
change_all(struct tree *tree)
{
	for (size_t i = 0; i < ino_count; i++)
		change_contents(tree, inos[i]);
	for (size_t i = 0; i < ino_count; i++)
		add_names(tree, inos[i]);
	for (size_t i = 0; i < ino_count; i++)
		for (size_t j = 0; j < ino_count; j++) {
			rename_names(tree, inos[i], inos[j], 0);
			rename_names(tree, inos[i], inos[j], RENAME_EXCHANGE);
		}
	for (size_t i = ino_count; i > 0; i--)
		remove_names(tree, inos[i - 1]);
}

static int
count_problem(void *arg, const char *where, const char *what)
{
	ck_assert_uint_gt(strlen(where), 0);
	ck_assert_uint_gt(strlen(what), 0);
	++*(unsigned *)arg;
	return 0;
}

bool
exercise_check(struct tree *tree)
{
	unsigned problems = 0;
	int rc = tree_check(tree, count_problem, &problems);

	answered("check", rc);
	ck_assert_int_eq(rc != 0, problems > 0);
	return rc != 0;
}

void
exercise_reads(struct kv *kv, struct tree *tree)
{
	inos_find(kv);
	read_all(tree);
}

int
exercise_open(struct kv *kv, bool read_only, struct tree **out)
{
	struct tree_options options = { .read_only = read_only };

	return tree_open(kv, &options, out);
}

bool
exercise_tree(struct kv *kv, struct tree *tree)
{
	bool found = exercise_check(tree);

	exercise_reads(kv, tree);
	change_all(tree);
	answered("sync", tree_sync(tree));
	(void)exercise_check(tree);
	read_all(tree);
	answered("close", tree_close(tree));
	if (exercise_open(kv, false, &tree))
		return found;
	answered("start", tree_start(tree));
	(void)exercise_check(tree);
	answered("close", tree_close(tree));
	return found;
}

bool
exercise_tells(struct kv *kv)
{
	struct tree *tree;
	int rc = exercise_open(kv, false, &tree);

	answered("open", rc == -EPROTONOSUPPORT ? 0 : rc);
	return rc || exercise_tree(kv, tree);
}
