/* SPDX-License-Identifier: Apache-2.0 */
/* tree_path.c - walking a path, at one read point. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/tree_impl.h"

struct walk {
	const char *path;
	struct tree_attr attr;
};

static int
walk_step(struct op *op, void *arg)
{
	struct walk *w = arg;
	const char *at = w->path;
	struct inode inode;
	int rc = inode_peek(op, LAYOUT_ROOT, &inode);

	while (!rc) {
		size_t len;

		at += strspn(at, "/");
		len = strcspn(at, "/");
		if (!len)
			break;
		rc = name_find(op, inode.ino, keyfs_bytes(at, len), &inode);
		at += len;
	}
	if (rc)
		return rc;
	/* "f/" asks for a directory. */
	if (at > w->path && at[-1] == '/' && !S_ISDIR(inode.a.mode))
		return -ENOTDIR;
	inode_tell(&inode, &w->attr);
	return 0;
}

int
tree_resolve(struct tree *tree, const struct tree_caller *caller,
	     const char *path, struct tree_attr *out)
{
	struct walk w = { .path = path };
	int rc = op_run(tree, caller, OP_READ, walk_step, &w);

	if (!rc)
		*out = w.attr;
	return rc;
}
