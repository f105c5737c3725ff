/* SPDX-License-Identifier: Apache-2.0 */
/* ops_name.c - requests that make, move and remove names; see ops.h. */
#include <config.h>

#include <sys/stat.h>

#include "fs/ops.h"

static void
reply_made(fuse_req_t req, int r, const struct tree_attr *attr)
{
	if (r != 0)
		ops_reply_result(req, r);
	else
		ops_reply_object(req, attr, NULL);
}

void
ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	  dev_t rdev)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr;
	int r = tree_mknod(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			   mode, rdev, &attr);

	reply_made(req, r, &attr);
}

void
ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr;
	int r = tree_mkdir(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			   mode, &attr);

	reply_made(req, r, &attr);
}

void
ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
	    const char *name)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr;
	int r = tree_symlink(ops_of(req)->tree, &caller, parent,
			     keyfs_str(name), keyfs_str(target), &attr);

	reply_made(req, r, &attr);
}

void
ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr;
	int r = tree_link(ops_of(req)->tree, &caller, ino, parent,
			  keyfs_str(name), &attr);

	reply_made(req, r, &attr);
}

/* The kernel opens what it has just created without an OPEN. */
void
ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	   struct fuse_file_info *fi)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr;
	int r = tree_mknod(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			   S_IFREG | (mode & ~(mode_t)S_IFMT), 0, &attr);

	if (r != 0) {
		ops_reply_result(req, r);
		return;
	}
	fi->keep_cache = 1;
	ops_reply_object(req, &attr, fi);
}

/* Answers the removal of a name. The orphan is marked first: once the kernel
 * has the answer it may forget the inode. */
static void
reply_removed(fuse_req_t req, int r, uint64_t ino, bool gone)
{
	if (r == 0 && gone)
		ops_orphan(ops_of(req), ino);
	ops_reply_result(req, r);
}

void
ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree_caller caller = ops_changer(req);
	uint64_t ino = 0;
	bool gone = false;
	int r = tree_unlink(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			    &ino, &gone);

	reply_removed(req, r, ino, gone);
}

void
ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct tree_caller caller = ops_changer(req);
	uint64_t ino = 0;
	bool gone = false;
	int r = tree_rmdir(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			   &ino, &gone);

	reply_removed(req, r, ino, gone);
}

void
ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	   fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	struct tree_caller caller = ops_changer(req);
	uint64_t ino = 0;
	bool gone = false;
	int r = tree_rename(ops_of(req)->tree, &caller, parent, keyfs_str(name),
			    new_parent, keyfs_str(new_name), flags, &ino,
			    &gone);

	reply_removed(req, r, ino, gone);
}
