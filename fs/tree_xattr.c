/* SPDX-License-Identifier: Apache-2.0 */
/* tree_xattr.c - extended attributes, and what a change of a file takes from its
 * privileges.  Those that are access control lists: tree_acl.c.
 *
 * Each attribute is a key of its own, 'X' and its name.  The inode's own attributes say
 * how long the list of their names is, and every change of one changes them (ctime): so
 * an inode without any costs no second read, and 'A' in the read set stands for them
 * all (rule F3). */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/tree_impl.h"

_Static_assert(TREE_XATTR_SIZE_MAX == LAYOUT_XATTR_SIZE_MAX,
	       "what callers see is what is stored");

#define CAPABILITY "security.capability"

static bool
has_prefix(struct keyfs_slice name, const char *prefix)
{
	size_t len = strlen(prefix);

	return name.len >= len && memcmp(name.data, prefix, len) == 0;
}

/* Others are not files' to have: "system." is made by filesystems themselves. */
static int
name_check(const struct tree *tree, struct keyfs_slice name)
{
	static const char *const spaces[] = { "user.", "trusted.",
					      "security." };
	int rc = layout_xattr_check(name);

	if (!rc && acl_is_name(name))
		return tree->options.acls ? 0 : -EOPNOTSUPP;
	for (size_t i = 0; rc == 0 && i < sizeof(spaces) / sizeof(*spaces); i++)
		if (has_prefix(name, spaces[i]))
			return name.len > strlen(spaces[i]) ? 0 : -EINVAL;
	return rc ? rc : -EOPNOTSUPP;
}

/* What a name takes in a list. */
static uint32_t
list_bytes(struct keyfs_slice name)
{
	return (uint32_t)name.len + 1;
}

int
xattr_peek(struct op *op, const struct inode *inode, struct keyfs_slice name,
	   struct keyfs_slice *out)
{
	struct layout_key key;
	int rc = -ENOENT;

	if (inode->a.xattrs)
		rc = txn_peek(op->txn, layout_key_xattr(&key, inode->ino, name),
			      out, NULL);
	if (rc == -ENOENT)
		return -ENODATA;
	return !rc && out->len > LAYOUT_XATTR_SIZE_MAX ? -EUCLEAN : rc;
}

/* ---- Changing ---- */

struct setxattr {
	uint64_t ino;
	struct keyfs_slice name, value;
	int flags;
};

/* The superblock says that there are such keys before there are. */
static int
need_feature(struct op *op)
{
	struct layout_super super;
	struct keyfs_slice value;
	struct layout_key key;
	uint8_t *copy;
	int rc;

	if (atomic_load_explicit(&op->tree->features, memory_order_relaxed) &
	    LAYOUT_FEATURE_XATTR)
		return 0;
	rc = txn_get(op->txn, layout_key_super(&key), &value, NULL);
	if (!rc)
		rc = layout_super_decode(value, &super);
	if (rc)
		return rc == -ENOENT ? -EUCLEAN : rc;
	copy = txn_alloc(op->txn, LAYOUT_SUPER_SIZE);
	if (!copy)
		return -ENOMEM;
	super.features |= LAYOUT_FEATURE_XATTR;
	txn_put(op->txn, layout_key_super(&key),
		keyfs_bytes(copy, layout_super_encode(&super, copy)));
	op->features = LAYOUT_FEATURE_XATTR;
	return 0;
}

int
xattr_add(struct op *op, struct inode *inode, struct keyfs_slice name,
	  struct keyfs_slice value)
{
	struct layout_key key;

	if (list_bytes(name) > LAYOUT_XATTR_LIST_MAX - inode->a.xattrs)
		return -ENOSPC;
	inode->a.xattrs += list_bytes(name);
	txn_put(op->txn, layout_key_xattr(&key, inode->ino, name), value);
	return need_feature(op);
}

void
xattr_replace(struct op *op, const struct inode *inode, struct keyfs_slice name,
	      struct keyfs_slice value)
{
	struct layout_key key;

	txn_put(op->txn, layout_key_xattr(&key, inode->ino, name), value);
}

int
xattr_remove(struct op *op, struct inode *inode, struct keyfs_slice name)
{
	struct layout_key key;

	if (inode->a.xattrs < list_bytes(name))
		return -EUCLEAN;
	inode->a.xattrs -= list_bytes(name);
	txn_delete(op->txn, layout_key_xattr(&key, inode->ino, name));
	return 0;
}

static int
set_value(struct op *op, struct inode *inode, const struct setxattr *s)
{
	struct keyfs_slice old;
	int rc = xattr_peek(op, inode, s->name, &old);
	bool is_new = rc == -ENODATA;

	if (rc && !is_new)
		return rc;
	if (is_new && (s->flags & XATTR_REPLACE))
		return -ENODATA;
	if (!is_new && (s->flags & XATTR_CREATE))
		return -EEXIST;
	if (is_new)
		return xattr_add(op, inode, s->name, s->value);
	xattr_replace(op, inode, s->name, s->value);
	return 0;
}

static int
setxattr_step(struct op *op, void *arg)
{
	const struct setxattr *s = arg;
	bool is_all = false;
	struct inode inode;
	int rc = inode_edit(op, s->ino, &inode);

	if (!rc && acl_is_name(s->name))
		rc = inode_set_acl(op, &inode, s->name, s->value, &is_all);
	if (!rc && !is_all)
		rc = set_value(op, &inode, s);
	if (rc)
		return rc;
	inode.a.ctime = op->now;
	inode_put(op, &inode);
	return 0;
}

int
tree_setxattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      struct keyfs_slice name, struct keyfs_slice value, int flags)
{
	struct setxattr s = { ino, name, value, flags };
	int rc = name_check(tree, name);

	if (rc)
		return rc;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (value.len > LAYOUT_XATTR_SIZE_MAX)
		return -E2BIG;
	return op_run(tree, caller, 0, setxattr_step, &s);
}

static int
removexattr_step(struct op *op, void *arg)
{
	const struct setxattr *s = arg;
	struct keyfs_slice old;
	struct inode inode;
	int rc = inode_edit(op, s->ino, &inode);

	if (!rc)
		rc = xattr_peek(op, &inode, s->name, &old);
	/* The mode is always a list, so none can be missing. */
	if (rc == -ENODATA && acl_is_name(s->name))
		return 0;
	if (!rc)
		rc = xattr_remove(op, &inode, s->name);
	if (rc)
		return rc;
	inode.a.ctime = op->now;
	inode_put(op, &inode);
	return 0;
}

int
tree_removexattr(struct tree *tree, const struct tree_caller *caller,
		 uint64_t ino, struct keyfs_slice name)
{
	struct setxattr s = { .ino = ino, .name = name };
	int rc = name_check(tree, name);

	return rc ? rc : op_run(tree, caller, OP_RESERVE, removexattr_step, &s);
}

/* ---- Reading ---- */

struct getxattr {
	uint64_t ino;
	struct keyfs_slice name; /* getxattr */
	bool trusted, acls;      /* listxattr: those too */
	char *buf;
	size_t size, len;
	uint32_t listed; /* of all names, shown or not */
};

static int
getxattr_step(struct op *op, void *arg)
{
	struct getxattr *g = arg;
	struct keyfs_slice value;
	struct inode inode;
	int rc = inode_peek(op, g->ino, &inode);

	if (!rc)
		rc = xattr_peek(op, &inode, g->name, &value);
	if (rc)
		return rc;
	g->len = value.len;
	if (g->size == 0)
		return 0;
	if (value.len > g->size)
		return -ERANGE;
	if (value.len)
		memcpy(g->buf, value.data, value.len);
	return 0;
}

int
tree_getxattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      struct keyfs_slice name, void *buf, size_t size, size_t *out_len)
{
	struct getxattr g = {
		.ino = ino, .name = name, .buf = buf, .size = size
	};
	int rc = name_check(tree, name);

	if (!rc)
		rc = op_run(tree, caller, OP_READ, getxattr_step, &g);
	if (!rc)
		*out_len = g.len;
	return rc;
}

static int
list_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct getxattr *g = arg;
	struct layout_place place;
	uint32_t bytes;
	int rc = layout_key_parse(key, &place);

	(void)value;
	(void)version;
	if (rc)
		return rc;
	bytes = list_bytes(place.name);
	if (bytes > LAYOUT_XATTR_LIST_MAX - g->listed)
		return -EUCLEAN;
	g->listed += bytes;
	if ((!g->trusted && has_prefix(place.name, "trusted.")) ||
	    (!g->acls && acl_is_name(place.name)))
		return 0;
	if (g->size != 0 && bytes > g->size - g->len)
		return -ERANGE;
	if (g->size != 0) {
		memcpy(g->buf + g->len, place.name.data, place.name.len);
		g->buf[g->len + place.name.len] = '\0';
	}
	g->len += bytes;
	return 0;
}

static int
listxattr_step(struct op *op, void *arg)
{
	struct getxattr *g = arg;
	struct layout_key begin, end;
	struct inode inode;
	int rc = inode_peek(op, g->ino, &inode);

	g->len = g->listed = 0;
	if (rc || !inode.a.xattrs)
		return rc;
	rc = txn_scan(op->txn, layout_key_xattr(&begin, g->ino, keyfs_str("")),
		      layout_key_xattr_end(&end, g->ino), KV_KEYS_ONLY,
		      list_each, g);
	/* A name less than there were would be a silent loss (P4). */
	return !rc && g->listed != inode.a.xattrs ? -EUCLEAN : rc;
}

int
tree_listxattr(struct tree *tree, const struct tree_caller *caller,
	       uint64_t ino, char *buf, size_t size, size_t *out_len)
{
	struct getxattr g = { .ino = ino,
			      .trusted = !caller || caller->uid == 0,
			      .acls = tree->options.acls,
			      .buf = buf,
			      .size = size };
	int rc = op_run(tree, caller, OP_READ, listxattr_step, &g);

	if (!rc)
		*out_len = g.len;
	return rc;
}

/* ---- Privileges ---- */

bool
op_in_group(const struct op *op, uint32_t gid)
{
	const struct tree_caller *caller = op->caller;

	return !caller || caller->uid == 0 || caller->gid == gid ||
	       (caller->in_group && caller->in_group(caller->arg, gid));
}

/* The bits that are cleared.  Without the group's right to execute, the set-group-id bit
 * gives nothing away and stays with those who could have set it (Linux 6.0,
 * setattr_should_drop_sgid()). */
static uint32_t
setid_bits(const struct op *op, const struct layout_attr *a)
{
	uint32_t bits = a->mode & S_ISUID;

	if ((a->mode & S_ISGID) &&
	    ((a->mode & S_IXGRP) || !op_in_group(op, a->gid)))
		bits |= S_ISGID;
	return bits;
}

bool
inode_has_privs(struct op *op, const struct inode *inode, bool setid)
{
	struct keyfs_slice value;

	return (setid && setid_bits(op, &inode->a)) ||
	       xattr_peek(op, inode, keyfs_str(CAPABILITY), &value) != -ENODATA;
}

int
inode_drop_privs(struct op *op, struct inode *inode, bool setid)
{
	struct keyfs_slice name = keyfs_str(CAPABILITY), value;
	int rc;

	if (S_ISDIR(inode->a.mode))
		return 0;
	if (setid)
		inode->a.mode &= ~setid_bits(op, &inode->a);
	rc = xattr_peek(op, inode, name, &value);
	if (rc)
		return rc == -ENODATA ? 0 : rc;
	return xattr_remove(op, inode, name);
}
