/* SPDX-License-Identifier: Apache-2.0 */
/* tree_names.c - finding names, making objects, linking them. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/tree_impl.h"

struct lookup {
	uint64_t parent;
	struct keyfs_slice name;
	struct tree_attr attr;
};

static int
lookup_step(struct op *op, void *arg)
{
	struct lookup *l = arg;
	struct inode inode;
	int rc = name_find(op, l->parent, l->name, &inode);

	if (!rc)
		inode_tell(&inode, &l->attr);
	return rc;
}

int
tree_lookup(struct tree *tree, const struct tree_caller *caller,
	    uint64_t parent, struct keyfs_slice name, struct tree_attr *out)
{
	struct lookup l = { .parent = parent, .name = name };
	int rc = op_run(tree, caller, OP_READ, lookup_step, &l);

	if (!rc)
		*out = l.attr;
	return rc;
}

/* ---- New objects ---- */

struct make {
	uint64_t parent;
	struct keyfs_slice name;
	uint32_t mode, uid, gid;
	uint64_t rdev;
	struct keyfs_slice target; /* of a symbolic link */
	uint64_t ino;              /* once taken; 0: not yet */
	struct tree_attr attr;
};

/* The directory takes one more name. */
static int
parent_add(struct op *op, struct inode *parent, uint32_t mode)
{
	if (parent->a.nlink == 0)
		return -ENOENT; /* removed, though still in use */
	if (parent->a.entries >= LAYOUT_INO_MAX)
		return -EUCLEAN; /* more than there can be objects */
	if (S_ISDIR(mode)) {
		if (parent->a.nlink >= LAYOUT_LINK_MAX)
			return -EMLINK;
		parent->a.nlink++;
	}
	parent->a.entries++;
	inode_touch(op, parent);
	inode_put(op, parent);
	return 0;
}

/* In a set-group-id directory the group is the directory's, and new directories are
 * such directories too. */
static void
inode_make(struct op *op, const struct make *m, const struct inode *parent,
	   struct inode *out)
{
	bool dir = S_ISDIR(m->mode), sgid = parent->a.mode & S_ISGID;

	*out = (struct inode){ .ino = m->ino };
	out->a.mode = m->mode | (dir && sgid ? S_ISGID : 0);
	out->a.nlink = dir ? 2 : 1;
	out->a.uid = m->uid;
	out->a.gid = sgid ? parent->a.gid : m->gid;
	out->a.rdev = m->rdev;
	out->a.size = m->target.len;
	out->a.parent = dir ? m->parent : 0;
	out->a.atime = out->a.btime = op->now;
	inode_touch(op, out);
	if (S_ISREG(m->mode))
		out->a.contents = keyfs_str("");
}

static int
make_step(struct op *op, void *arg)
{
	struct make *m = arg;
	struct inode parent, inode;
	struct layout_key key;
	int rc = inode_edit_dir(op, m->parent, &parent);

	if (!rc)
		rc = entry_absent(op, m->parent, m->name);
	if (!rc)
		rc = parent_add(op, &parent, m->mode);
	/* Taken once: a step that runs again uses the same. */
	if (!rc && !m->ino)
		rc = ino_take(op, m->parent, &m->ino);
	if (rc)
		return rc;
	inode_make(op, m, &parent, &inode);
	rc = inode_inherit(op, &parent, &inode);
	if (rc)
		return rc;
	inode_put(op, &inode);
	if (m->target.len)
		txn_put(op->txn, layout_key_link(&key, m->ino), m->target);
	entry_put(op, m->parent, m->name, m->ino, m->mode);
	op->inodes++;
	inode_tell(&inode, &m->attr);
	return 0;
}

static int
make(struct tree *tree, const struct tree_caller *caller, struct make *m,
     struct tree_attr *out)
{
	int rc = layout_name_check(m->name);

	if (rc)
		return rc;
	m->uid = caller->uid;
	m->gid = caller->gid;
	rc = op_run(tree, caller, 0, make_step, m);
	if (!rc)
		*out = m->attr;
	return rc;
}

int
tree_mknod(struct tree *tree, const struct tree_caller *caller, uint64_t parent,
	   struct keyfs_slice name, uint32_t mode, uint64_t rdev,
	   struct tree_attr *out)
{
	struct make m = { .parent = parent, .name = name };

	m.mode = mode & (S_IFMT | 07777);
	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		m.rdev = rdev;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return -EINVAL;
	}
	return make(tree, caller, &m, out);
}

int
tree_mkdir(struct tree *tree, const struct tree_caller *caller, uint64_t parent,
	   struct keyfs_slice name, uint32_t mode, struct tree_attr *out)
{
	struct make m = { .parent = parent,
			  .name = name,
			  .mode = S_IFDIR | (mode & 07777) };

	return make(tree, caller, &m, out);
}

int
tree_symlink(struct tree *tree, const struct tree_caller *caller,
	     uint64_t parent, struct keyfs_slice name,
	     struct keyfs_slice target, struct tree_attr *out)
{
	struct make m = { .parent = parent,
			  .name = name,
			  .mode = S_IFLNK | 0777,
			  .target = target };

	if (!target.len)
		return -ENOENT;
	if (memchr(target.data, 0, target.len))
		return -EINVAL;
	if (target.len > LAYOUT_SYMLINK_MAX)
		return -ENAMETOOLONG;
	return make(tree, caller, &m, out);
}

/* ---- Links ---- */

struct link {
	uint64_t ino, parent;
	struct keyfs_slice name;
	struct tree_attr attr;
};

static int
link_step(struct op *op, void *arg)
{
	struct link *l = arg;
	uint64_t latches[2] = { l->ino, l->parent };
	struct inode inode, parent;
	int rc = txn_latch(op->txn, latches, 2);

	if (!rc)
		rc = inode_edit(op, l->ino, &inode);
	if (rc)
		return rc;
	if (S_ISDIR(inode.a.mode))
		return -EPERM;
	if (inode.a.nlink == 0)
		return -ENOENT;
	if (inode.a.nlink >= LAYOUT_LINK_MAX)
		return -EMLINK;
	rc = inode_edit_dir(op, l->parent, &parent);
	if (!rc)
		rc = entry_absent(op, l->parent, l->name);
	if (!rc)
		rc = parent_add(op, &parent, inode.a.mode);
	if (rc)
		return rc;
	inode.a.nlink++;
	inode.a.ctime = op->now;
	inode_put(op, &inode);
	entry_put(op, l->parent, l->name, l->ino, inode.a.mode);
	inode_tell(&inode, &l->attr);
	return 0;
}

int
tree_link(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	  uint64_t parent, struct keyfs_slice name, struct tree_attr *out)
{
	struct link l = { .ino = ino, .parent = parent, .name = name };
	int rc = layout_name_check(name);

	if (!rc)
		rc = op_run(tree, caller, 0, link_step, &l);
	if (!rc)
		*out = l.attr;
	return rc;
}
