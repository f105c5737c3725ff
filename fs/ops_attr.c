/* SPDX-License-Identifier: Apache-2.0 */
/* ops_attr.c - GETATTR, SETATTR, READLINK and STATFS; see ops.h. */
#include <config.h>

#include <stdlib.h>
#include <sys/statvfs.h>

#include "fs/ops.h"

#define STATFS_BLOCK 4096u

static void
reply_attr(fuse_req_t req, const struct tree_attr *attr)
{
	struct stat st;

	ops_fill_stat(attr, &st);
	fuse_reply_attr(req, &st, ops_of(req)->timeout_s);
}

void
ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct tree_caller caller = ops_reader(req);
	struct tree_attr attr;
	int r = tree_getattr(ops_of(req)->tree, &caller, ino, &attr);

	(void)fi;
	if (r != 0)
		ops_reply_result(req, r);
	else
		reply_attr(req, &attr);
}

static unsigned
set_from_fuse(int to_set, const struct fuse_file_info *fi)
{
	static const struct {
		int fuse;
		unsigned tree;
	} bits[] = {
		{ FUSE_SET_ATTR_MODE, TREE_SET_MODE },
		{ FUSE_SET_ATTR_UID, TREE_SET_UID },
		{ FUSE_SET_ATTR_GID, TREE_SET_GID },
		{ FUSE_SET_ATTR_SIZE, TREE_SET_SIZE },
		{ FUSE_SET_ATTR_ATIME, TREE_SET_ATIME },
		{ FUSE_SET_ATTR_MTIME, TREE_SET_MTIME },
		{ FUSE_SET_ATTR_ATIME_NOW, TREE_SET_ATIME_NOW },
		{ FUSE_SET_ATTR_MTIME_NOW, TREE_SET_MTIME_NOW },
		{ FUSE_SET_ATTR_CTIME, TREE_SET_CTIME },
	};
	unsigned set = 0;
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (to_set & bits[i].fuse)
			set |= bits[i].tree;
	if (fi && (set & TREE_SET_SIZE))
		set |= TREE_SET_BY_HANDLE;
	return set;
}

void
ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
	    struct fuse_file_info *fi)
{
	struct tree_caller caller = ops_changer(req);
	struct tree_attr attr = {
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
	struct tree_attr now;
	int r;

	r = tree_setattr(ops_of(req)->tree, &caller, ino,
			 set_from_fuse(to_set, fi), &attr, &now);
	if (r != 0)
		ops_reply_result(req, r);
	else
		reply_attr(req, &now);
}

void
ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct tree_caller caller = ops_reader(req);
	char *target;
	size_t len;
	int r = tree_readlink(ops_of(req)->tree, &caller, ino, &target, &len);

	if (r != 0) {
		ops_reply_result(req, r);
		return;
	}
	fuse_reply_buf(req, target, len);
	free(target);
}

void
ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct tree_space space;
	struct statvfs st = { 0 };
	int r = tree_space(ops_of(req)->tree, &space);

	(void)ino;
	if (r != 0) {
		ops_reply_result(req, r);
		return;
	}
	st.f_bsize = st.f_frsize = STATFS_BLOCK;
	st.f_blocks = space.total_bytes / STATFS_BLOCK;
	st.f_bfree = st.f_bavail = space.available_bytes / STATFS_BLOCK;
	st.f_files = space.inodes_total;
	st.f_ffree = st.f_favail = space.inodes_total - space.inodes_used;
	st.f_namemax = TREE_NAME_MAX;
	fuse_reply_statfs(req, &st);
}
