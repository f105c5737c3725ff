/* SPDX-License-Identifier: Apache-2.0 */
/* tree_remove.c - taking names away.
 *
 * An object without a name becomes an orphan in the same transaction; its contents
 * are no business of this call (tree_orphan.c).  Removing frees space, so it may use
 * what a full disk keeps back. */
#include <config.h>

#include <errno.h>

#include "fs/tree_impl.h"

struct removal {
	uint64_t parent;
	struct keyfs_slice name;
	bool dir;
	uint64_t ino;
	bool gone;
};

static int
type_check(const struct removal *r, const struct layout_entry *entry)
{
	if (r->dir)
		return entry->type == S_IFDIR ? 0 : -ENOTDIR;
	return entry->type == S_IFDIR ? -EISDIR : 0;
}

static int
remove_step(struct op *op, void *arg)
{
	struct removal *r = arg;
	struct inode parent, inode;
	struct layout_entry entry;
	int rc = inode_edit_dir(op, r->parent, &parent);

	if (!rc)
		rc = entry_get(op, r->parent, r->name, &entry);
	if (!rc)
		rc = type_check(r, &entry);
	/* A directory that holds itself: one inode, which cannot be both. */
	if (!rc && entry.ino == r->parent)
		rc = -EUCLEAN;
	if (!rc)
		rc = entry_edit(op, &entry, &inode);
	if (rc)
		return rc;
	if (r->dir && inode.a.entries)
		return -ENOTEMPTY;
	r->ino = entry.ino;
	r->gone = inode_drop(op, &inode);
	entry_delete(op, r->parent, r->name);
	if (!parent.a.entries || (r->dir && parent.a.nlink <= 2))
		return -EUCLEAN;
	parent.a.entries--;
	parent.a.nlink -= r->dir;
	inode_touch(op, &parent);
	inode_put(op, &parent);
	return 0;
}

static int
remove_name(struct tree *tree, const struct tree_caller *caller,
	    struct removal *r, uint64_t *out_ino, bool *out_gone)
{
	int rc = layout_name_check(r->name);

	if (!rc)
		rc = op_run(tree, caller, OP_RESERVE, remove_step, r);
	if (rc)
		return rc;
	*out_ino = r->ino;
	*out_gone = r->gone;
	if (r->gone)
		orphan_unused(tree, r->ino);
	return 0;
}

int
tree_unlink(struct tree *tree, const struct tree_caller *caller,
	    uint64_t parent, struct keyfs_slice name, uint64_t *out_ino,
	    bool *out_gone)
{
	struct removal r = { .parent = parent, .name = name };

	return remove_name(tree, caller, &r, out_ino, out_gone);
}

int
tree_rmdir(struct tree *tree, const struct tree_caller *caller, uint64_t parent,
	   struct keyfs_slice name, uint64_t *out_ino, bool *out_gone)
{
	struct removal r = { .parent = parent, .name = name, .dir = true };

	return remove_name(tree, caller, &r, out_ino, out_gone);
}
