/* SPDX-License-Identifier: Apache-2.0 */
/* tree_acl.c - access control lists: set with the mode, changed by chmod, inherited.
 *
 * Whose mode changes has its access list change in the same operation, whether the
 * mount shows lists or not: mode and list never disagree.  A list that says no more than
 * the mode is not stored.  The kernel decides by them (POSIX_ACL). */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/tree_impl.h"

/* The rights of a mode, for everybody. */
#define RIGHTS 0777u

static void
set_rights(struct inode *inode, uint32_t rights)
{
	inode->a.mode = (inode->a.mode & ~RIGHTS) | rights;
}

static int
set_access(struct op *op, struct inode *inode, struct keyfs_slice list,
	   bool *out_all)
{
	struct keyfs_slice name = keyfs_str(ACL_ACCESS), old;
	int rc;

	if (S_ISLNK(inode->a.mode))
		return -EOPNOTSUPP;
	set_rights(inode, acl_mode(list));
	if (!op_in_group(op, inode->a.gid))
		inode->a.mode &= ~(uint32_t)S_ISGID;
	*out_all = !acl_says_more(list);
	if (!*out_all)
		return 0;
	rc = xattr_peek(op, inode, name, &old);
	if (rc)
		return rc == -ENODATA ? 0 : rc;
	return xattr_remove(op, inode, name);
}

int
inode_set_acl(struct op *op, struct inode *inode, struct keyfs_slice name,
	      struct keyfs_slice list, bool *out_all)
{
	int rc = acl_check(list);

	*out_all = false;
	if (rc)
		return rc;
	if (acl_is_access(name))
		return set_access(op, inode, list, out_all);
	return S_ISDIR(inode->a.mode) ? 0 : -EACCES;
}

/* A list, and a copy of it to be changed.  -ENODATA: there is none. */
static int
acl_copy(struct op *op, const struct inode *inode, const char *name,
	 uint8_t **out, size_t *out_len)
{
	struct keyfs_slice list;
	int rc = xattr_peek(op, inode, keyfs_str(name), &list);

	if (rc)
		return rc;
	if (acl_check(list))
		return -EUCLEAN;
	*out = txn_alloc(op->txn, list.len);
	if (!*out)
		return -ENOMEM;
	memcpy(*out, list.data, list.len);
	*out_len = list.len;
	return 0;
}

int
inode_chmod_acl(struct op *op, const struct inode *inode)
{
	uint8_t *list;
	size_t len;
	int rc = acl_copy(op, inode, ACL_ACCESS, &list, &len);

	if (rc)
		return rc == -ENODATA ? 0 : rc;
	acl_chmod(list, len, inode->a.mode);
	xattr_replace(op, inode, keyfs_str(ACL_ACCESS), keyfs_bytes(list, len));
	return 0;
}

static int
inherit_access(struct op *op, struct inode *inode, uint8_t *list, size_t len)
{
	set_rights(inode, acl_inherit(list, len, inode->a.mode & RIGHTS));
	if (!acl_says_more(keyfs_bytes(list, len)))
		return 0;
	return xattr_add(op, inode, keyfs_str(ACL_ACCESS),
			 keyfs_bytes(list, len));
}

int
inode_inherit(struct op *op, const struct inode *parent, struct inode *inode)
{
	uint8_t *list, *own;
	size_t len;
	int rc;

	if (!op->tree->options.acls || S_ISLNK(inode->a.mode))
		return 0;
	rc = acl_copy(op, parent, ACL_DEFAULT, &list, &len);
	if (rc == -ENODATA) {
		inode->a.mode &= ~(op->caller->umask & RIGHTS);
		return 0;
	}
	if (!rc && S_ISDIR(inode->a.mode)) {
		own = txn_alloc(op->txn, len);
		if (!own)
			return -ENOMEM;
		memcpy(own, list, len);
		rc = xattr_add(op, inode, keyfs_str(ACL_DEFAULT),
			       keyfs_bytes(own, len));
	}
	return rc ? rc : inherit_access(op, inode, list, len);
}
