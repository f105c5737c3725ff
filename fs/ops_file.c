/* SPDX-License-Identifier: Apache-2.0 */
/* ops_file.c - OPEN, READ, WRITE and FSYNC; see ops.h. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fs/ops.h"

/* Reads up to this are done on the stack: most values. */
#define READ_ON_STACK 16384u

/* ENOSYS means success without any state: the kernel stops sending OPEN and
 * RELEASE, and a file whose pages it holds is read without a request. */
void
ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void
read_into(fuse_req_t req, fuse_ino_t ino, uint64_t offset, size_t size,
	  char *buf)
{
	struct tree_caller caller = ops_reader(req);
	size_t len;
	int r = tree_read(ops_of(req)->tree, &caller, ino, offset, size, buf,
			  &len);

	if (r != 0)
		ops_reply_result(req, r);
	else
		fuse_reply_buf(req, buf, len);
}

void
ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	 struct fuse_file_info *fi)
{
	char small[READ_ON_STACK], *large;

	(void)fi;
	if (offset < 0) {
		ops_reply_result(req, -EINVAL);
		return;
	}
	if (size <= sizeof(small)) {
		read_into(req, ino, (uint64_t)offset, size, small);
		return;
	}
	large = malloc(size);
	if (!large) {
		ops_reply_result(req, -ENOMEM);
		return;
	}
	read_into(req, ino, (uint64_t)offset, size, large);
	free(large);
}

/* The data goes to the offset that the request has, with O_APPEND too: the
 * kernel chose it under the inode's lock. */
void
ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
	  off_t offset, struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	struct tree_caller caller = ops_changer(req);
	int r;

	if (fi->writepage)
		atomic_fetch_add_explicit(&ops->writebacks, 1,
					  memory_order_relaxed);
	if (offset < 0) {
		ops_reply_result(req, -EINVAL);
		return;
	}
	r = tree_write(ops->tree, &caller, ino, (uint64_t)offset,
		       keyfs_bytes(data, size));
	if (r != 0)
		ops_reply_result(req, r);
	else
		fuse_reply_write(req, size);
}

/* One sync covers the whole tree (P1), so files and directories, data and
 * metadata are all the same. */
void
ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	  struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);

	(void)ino;
	(void)datasync;
	(void)fi;
	ops->sync(ops->sync_arg, req);
}
