/* SPDX-License-Identifier: Apache-2.0 */
/* tree_attr.c - reading and changing attributes; targets of symbolic links. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree_impl.h"

struct getattr {
	uint64_t ino;
	struct tree_attr attr;
};

static int
getattr_step(struct op *op, void *arg)
{
	struct getattr *g = arg;
	struct inode inode;
	int rc = inode_peek(op, g->ino, &inode);

	if (!rc)
		inode_tell(&inode, &g->attr);
	return rc;
}

int
tree_getattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	     struct tree_attr *out)
{
	struct getattr g = { .ino = ino };
	int rc = op_run(tree, caller, OP_READ, getattr_step, &g);

	if (!rc)
		*out = g.attr;
	return rc;
}

/* ---- Changing ---- */

struct setattr {
	uint64_t ino;
	unsigned set;
	const struct tree_attr *want;
	struct tree_attr attr;
};

/* Whoever changes the owner may not leave a program that runs as the new one. */
static bool
changes_owner(const struct setattr *s)
{
	return s->set == 0 || (s->set & (TREE_SET_UID | TREE_SET_GID));
}

/* Only a truncation to nothing, by name and by itself: `echo x > f`. */
static bool
may_hold(const struct op *op, const struct setattr *s)
{
	return op->tree->may_hold && s->set == TREE_SET_SIZE &&
	       s->want->size == 0;
}

static int
hold_new(struct op *op, const struct inode *inode)
{
	op->hold = calloc(1, sizeof(*op->hold));
	if (!op->hold)
		return -ENOMEM;
	op->hold->ino = inode->ino;
	op->hold->base = inode->version;
	op->hold->time = op->now;
	return 0;
}

/* Holds a truncation instead of logging it.  *out_held: done, else it must be
 * logged. */
static int
hold_step(struct op *op, struct setattr *s, bool *out_held)
{
	struct inode inode;
	int rc = txn_latch(op->txn, &s->ino, 1);

	*out_held = false;
	if (!rc)
		rc = inode_get(op, s->ino, &inode);
	if (rc || !S_ISREG(inode.a.mode) || (!inode.held && !inode.a.size) ||
	    inode_has_privs(op, &inode, op_clears_setid(op)))
		return rc;
	if (!inode.held)
		rc = hold_new(op, &inode);
	if (rc)
		return rc;
	op->hold_ino = s->ino;
	op->hold_again = inode.held;
	inode.a.size = inode.a.stored = 0;
	inode_touch(op, &inode);
	inode_tell(&inode, &s->attr);
	*out_held = true;
	return 0;
}

static int
set_size(struct op *op, struct inode *inode, uint64_t size)
{
	int rc;

	if (S_ISDIR(inode->a.mode))
		return -EISDIR;
	if (!S_ISREG(inode->a.mode))
		return -EINVAL;
	if (size < inode->a.size)
		txn_use_reserve(op->txn);
	rc = inode_resize(op, inode, size);
	if (!rc)
		rc = inode_drop_privs(op, inode, op_clears_setid(op));
	if (!rc)
		inode_touch(op, inode);
	return rc;
}

static int
set_mode(struct op *op, struct inode *inode, uint32_t mode)
{
	inode->a.mode = (inode->a.mode & S_IFMT) | (mode & 07777);
	return inode_chmod_acl(op, inode);
}

static void
set_times(const struct op *op, struct layout_attr *a, const struct setattr *s)
{
	if (s->set & TREE_SET_ATIME)
		a->atime = s->want->atime;
	if (s->set & TREE_SET_ATIME_NOW)
		a->atime = op->now;
	if (s->set & TREE_SET_MTIME)
		a->mtime = s->want->mtime;
	if (s->set & TREE_SET_MTIME_NOW)
		a->mtime = op->now;
	a->ctime = s->set & TREE_SET_CTIME ? s->want->ctime : op->now;
}

static int
setattr_step(struct op *op, void *arg)
{
	struct setattr *s = arg;
	struct inode inode;
	bool held = false;
	int rc = may_hold(op, s) ? hold_step(op, s, &held) : 0;

	if (rc || held)
		return rc;
	rc = inode_edit(op, s->ino, &inode);
	if (!rc && (s->set & TREE_SET_SIZE))
		rc = set_size(op, &inode, s->want->size);
	if (!rc && changes_owner(s))
		rc = inode_drop_privs(op, &inode, true);
	if (rc)
		return rc;
	if (s->set & TREE_SET_MODE)
		rc = set_mode(op, &inode, s->want->mode);
	if (rc)
		return rc;
	if (s->set & TREE_SET_UID)
		inode.a.uid = s->want->uid;
	if (s->set & TREE_SET_GID)
		inode.a.gid = s->want->gid;
	set_times(op, &inode.a, s);
	inode_put(op, &inode);
	inode_tell(&inode, &s->attr);
	return 0;
}

/* Times come from outside: what cannot be stored is refused. */
static bool
time_valid(const struct timespec *t)
{
	return t->tv_nsec >= 0 && t->tv_nsec < 1000000000;
}

static int
setattr_check(unsigned set, const struct tree_attr *want)
{
	if ((set & TREE_SET_SIZE) && want->size > LAYOUT_SIZE_MAX)
		return -EFBIG;
	if (((set & TREE_SET_ATIME) && !time_valid(&want->atime)) ||
	    ((set & TREE_SET_MTIME) && !time_valid(&want->mtime)) ||
	    ((set & TREE_SET_CTIME) && !time_valid(&want->ctime)))
		return -EINVAL;
	return 0;
}

int
tree_setattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	     unsigned set, const struct tree_attr *attr, struct tree_attr *out)
{
	struct setattr s = { .ino = ino, .set = set, .want = attr };
	int rc = setattr_check(set, attr);

	if (rc)
		return rc;
	rc = op_run(tree, caller, 0, setattr_step, &s);
	if (!rc)
		*out = s.attr;
	return rc;
}

/* ---- Symbolic links ---- */

struct readlink {
	uint64_t ino;
	char *target; /* owned */
	size_t len;
};

static int
readlink_step(struct op *op, void *arg)
{
	struct readlink *r = arg;
	struct keyfs_slice value;
	struct layout_key key;
	struct inode inode;
	int rc = inode_peek(op, r->ino, &inode);

	if (rc)
		return rc;
	if (!S_ISLNK(inode.a.mode))
		return -EINVAL;
	rc = txn_peek(op->txn, layout_key_link(&key, r->ino), &value, NULL);
	if (rc == -ENOENT || (!rc && value.len != inode.a.size))
		return -EUCLEAN;
	if (!rc && memchr(value.data, 0, value.len))
		return -EUCLEAN;
	if (rc)
		return rc;
	r->target = malloc(value.len);
	if (!r->target)
		return -ENOMEM;
	memcpy(r->target, value.data, value.len);
	r->len = value.len;
	return 0;
}

int
tree_readlink(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      char **out, size_t *out_len)
{
	struct readlink r = { .ino = ino };
	int rc = op_run(tree, caller, OP_READ, readlink_step, &r);

	if (rc)
		return rc;
	*out = r.target;
	*out_len = r.len;
	return 0;
}
