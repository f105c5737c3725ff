/* SPDX-License-Identifier: Apache-2.0 */
/* ops_xattr.c - SETXATTR, GETXATTR, LISTXATTR and REMOVEXATTR; see ops.h.
 *
 * With `noxattr` each is answered ENOSYS, once: the kernel then says EOPNOTSUPP by
 * itself. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fs/ops.h"

/* Answers up to this are made on the stack: most. */
#define ON_STACK 1024u

static bool
is_refused(fuse_req_t req)
{
	if (ops_of(req)->xattrs)
		return false;
	fuse_reply_err(req, ENOSYS);
	return true;
}

void
ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
	     const char *value, size_t size, int flags)
{
	struct tree_caller caller;

	if (is_refused(req))
		return;
	caller = ops_changer(req);
	ops_reply_result(req, tree_setxattr(ops_of(req)->tree, &caller, ino,
					    keyfs_str(name),
					    keyfs_bytes(value, size), flags));
}

void
ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct tree_caller caller;

	if (is_refused(req))
		return;
	caller = ops_changer(req);
	ops_reply_result(req, tree_removexattr(ops_of(req)->tree, &caller, ino,
					       keyfs_str(name)));
}

/* GETXATTR of a name, or LISTXATTR for NULL. */
static void
read_into(fuse_req_t req, fuse_ino_t ino, const char *name, char *buf,
	  size_t size)
{
	struct tree *tree = ops_of(req)->tree;
	struct tree_caller caller = ops_reader(req);
	size_t len = 0;
	int r;

	r = name ? tree_getxattr(tree, &caller, ino, keyfs_str(name), buf, size,
				 &len)
		 : tree_listxattr(tree, &caller, ino, buf, size, &len);
	if (r != 0)
		ops_reply_result(req, r);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, buf, len);
}

static void
answer(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char small[ON_STACK], *large;

	if (is_refused(req))
		return;
	if (size <= sizeof(small)) {
		read_into(req, ino, name, small, size);
		return;
	}
	/* Nothing is longer, whatever is asked for. */
	if (size > TREE_XATTR_SIZE_MAX)
		size = TREE_XATTR_SIZE_MAX;
	large = malloc(size);
	if (!large) {
		ops_reply_result(req, -ENOMEM);
		return;
	}
	read_into(req, ino, name, large, size);
	free(large);
}

void
ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	answer(req, ino, name, size);
}

void
ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	answer(req, ino, NULL, size);
}
