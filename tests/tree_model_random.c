/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model_random.c - random operations on a model and on a tree at once; see
 * tree_model.h. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/suite.h"
#include "tests/tree_kit.h"
#include "tests/tree_model_impl.h"

#define CHUNK 16384u

static uint64_t
below(struct tree_model *m, uint64_t limit)
{
	return suite_random(&m->seed) % limit;
}

static struct node *
pick(struct tree_model *m, bool dir)
{
	for (;;) {
		struct node *node = &m->nodes[below(m, NODES)];

		if (node->used && is_dir(node) == dir)
			return node;
		if (!dir && below(m, 100) == 0)
			return NULL;
	}
}

static struct model_place
pick_place(struct tree_model *m)
{
	struct model_place at = { .dir = pick(m, true) };

	at.name = below(m, NAMES);
	return at;
}

static struct keyfs_slice
name_of(struct model_place at)
{
	return keyfs_str(model_names[at.name]);
}

static void
step_make(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	uint32_t type = below(m, 3) ? S_IFREG : S_IFDIR;
	uint32_t mode = type | (uint32_t)below(m, 01000);
	struct tree_attr attr;
	int rc, want = tree_model_make(m, at, mode, NULL);

	if (want == -ENFILE)
		return; /* the model is full */
	if (type == S_IFDIR)
		rc = tree_mkdir(tree, &kit_user, at.dir->ino, name_of(at), mode,
				&attr);
	else
		rc = tree_mknod(tree, &kit_user, at.dir->ino, name_of(at), mode,
				0, &attr);
	ck_assert_int_eq(rc, want);
	if (!want)
		(*entry_at(at))->ino = attr.ino;
}

static void
step_symlink(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	struct tree_attr attr;
	char target[16];
	int want;

	snprintf(target, sizeof(target), "to-%u", (unsigned)below(m, 1000));
	want = tree_model_make(m, at, S_IFLNK | 0777, target);
	if (want == -ENFILE)
		return;
	ck_assert_int_eq(tree_symlink(tree, &kit_user, at.dir->ino, name_of(at),
				      keyfs_str(target), &attr),
			 want);
	if (!want)
		(*entry_at(at))->ino = attr.ino;
}

static void
step_link(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	struct node *node = pick(m, below(m, 20) == 0);
	struct tree_attr attr;

	if (!node)
		return;
	ck_assert_int_eq(tree_link(tree, &kit_user, node->ino, at.dir->ino,
				   name_of(at), &attr),
			 model_node_link(node, at));
}

static void
step_remove(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	const struct node *node = *entry_at(at);
	bool rmdir = below(m, 3) == 0, gone;
	bool last = node && (rmdir || node->nlink == 1);
	int rc, want = tree_model_remove(at, rmdir);
	uint64_t ino;

	rc = rmdir ? tree_rmdir(tree, &kit_user, at.dir->ino, name_of(at), &ino,
				&gone)
		   : tree_unlink(tree, &kit_user, at.dir->ino, name_of(at),
				 &ino, &gone);
	ck_assert_int_eq(rc, want);
	if (want)
		return;
	ck_assert_uint_eq(ino, node->ino);
	ck_assert_int_eq(gone, last);
}

static void
step_rename(struct tree_model *m, struct tree *tree)
{
	static const unsigned flag_choice[] = { 0, 0, 0, RENAME_NOREPLACE,
						RENAME_EXCHANGE };
	struct model_place from = pick_place(m), to = pick_place(m);
	unsigned flags = flag_choice[below(m, 5)];
	uint64_t ino;
	bool gone;

	ck_assert_int_eq(tree_rename(tree, &kit_user, from.dir->ino,
				     name_of(from), to.dir->ino, name_of(to),
				     flags, &ino, &gone),
			 tree_model_rename(from, to, flags));
}

static size_t
some_size(struct tree_model *m, bool big)
{
	if (big && below(m, 12) == 0)
		return below(m, 90 * CHUNK);
	return below(m, below(m, 3) ? 2000 : 5 * CHUNK);
}

static void
step_write(struct tree_model *m, struct tree *tree, bool big)
{
	static uint8_t data[64 * CHUNK];
	struct node *node = pick(m, false);
	size_t offset, len;

	if (!node || !S_ISREG(node->mode))
		return;
	offset = below(m, 2) ? 0 : some_size(m, big);
	len = 1 + some_size(m, big) % sizeof(data);
	memset(data, (int)below(m, 256), len);
	ck_assert_int_eq(tree_write(tree, &kit_user, node->ino, offset,
				    keyfs_bytes(data, len)),
			 0);
	model_node_write(node, offset, data, len);
}

static void
step_truncate(struct tree_model *m, struct tree *tree, bool big)
{
	struct node *node = pick(m, false);
	struct tree_attr attr = { .size = some_size(m, big) };

	if (!node || !S_ISREG(node->mode))
		return;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino,
				      TREE_SET_SIZE | TREE_SET_BY_HANDLE, &attr,
				      &attr),
			 0);
	model_node_truncate(node, attr.size);
}

/* O_TRUNC: held, unless the file is empty. */
static void
step_empty(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, false);
	struct tree_attr attr = { .size = 0 };

	if (!node || !S_ISREG(node->mode))
		return;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino, TREE_SET_SIZE,
				      &attr, &attr),
			 0);
	model_node_empty(m, node);
}

static void
step_chmod(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 2));
	struct tree_attr attr = { .mode = (uint32_t)below(m, 010000) };

	if (!node)
		return;
	model_node_chmod(node, attr.mode);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino, TREE_SET_MODE,
				      &attr, &attr),
			 0);
	ck_assert_uint_eq(attr.mode, node->mode);
}

static void
step_setxattr(struct tree_model *m, struct tree *tree)
{
	static const int flag_choice[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS), len = below(m, XATTR_MAX);
	int flags = flag_choice[below(m, 4)], want = 0;
	char fill = (char)below(m, 256), bytes[XATTR_MAX];

	if (!node)
		return;
	memset(bytes, fill, len);
	if (flags == XATTR_CREATE && node->xattrs[name].set)
		want = -EEXIST;
	if (flags == XATTR_REPLACE && !node->xattrs[name].set)
		want = -ENODATA;
	ck_assert_int_eq(tree_setxattr(tree, &kit_user, node->ino,
				       keyfs_str(tree_model_xattrs[name]),
				       keyfs_bytes(bytes, len), flags),
			 want);
	if (!want)
		model_node_setxattr(node, name, len, fill);
}

static void
step_removexattr(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS);

	if (!node)
		return;
	ck_assert_int_eq(tree_removexattr(tree, &kit_user, node->ino,
					  keyfs_str(tree_model_xattrs[name])),
			 node->xattrs[name].set ? 0 : -ENODATA);
	if (!node->xattrs[name].set)
		return;
	model_node_logged(node);
	node->xattrs[name].set = false;
}

static void
step_getxattr(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS), len;
	char bytes[XATTR_MAX];
	int rc;

	if (!node)
		return;
	rc = tree_getxattr(tree, &kit_user, node->ino,
			   keyfs_str(tree_model_xattrs[name]), bytes,
			   sizeof(bytes), &len);
	ck_assert_int_eq(rc, node->xattrs[name].set ? 0 : -ENODATA);
	if (rc)
		return;
	ck_assert_uint_eq(len, node->xattrs[name].len);
	ck_assert_mem_eq(bytes, node->xattrs[name].bytes, len);
}

static void
step_read(struct tree_model *m, struct tree *tree)
{
	static uint8_t got[200 * CHUNK];
	struct node *node = pick(m, false);
	size_t offset, len, want;

	if (!node || !S_ISREG(node->mode))
		return;
	offset = below(m, node->now.size + 2);
	want = node->now.size > offset ? node->now.size - offset : 0;
	ck_assert_int_eq(tree_read(tree, &kit_user, node->ino, offset,
				   sizeof(got), got, &len),
			 0);
	ck_assert_uint_eq(len, want);
	if (want && memcmp(got, node->now.data + offset, want))
		ck_abort_msg("contents differ");
}

bool
tree_model_step(struct tree_model *m, struct tree *tree, bool big)
{
	uint64_t what = below(m, 100);

	if (what < 20)
		step_make(m, tree);
	else if (what < 23)
		step_symlink(m, tree);
	else if (what < 30)
		step_link(m, tree);
	else if (what < 42)
		step_remove(m, tree);
	else if (what < 54)
		step_rename(m, tree);
	else if (what < 60)
		step_setxattr(m, tree);
	else if (what < 62)
		step_removexattr(m, tree);
	else if (what < 63)
		step_getxattr(m, tree);
	else if (what < 74)
		step_write(m, tree, big);
	else if (what < 80)
		step_truncate(m, tree, big);
	else if (what < 88)
		step_empty(m, tree);
	else if (what < 91)
		step_chmod(m, tree);
	else if (what < 99)
		step_read(m, tree);
	else {
		ck_assert_int_eq(tree_sync(tree), 0);
		tree_model_synced(m);
		return true;
	}
	return false;
}
