/* SPDX-License-Identifier: Apache-2.0 */
/* ops_range.c - FALLOCATE, LSEEK and COPY_FILE_RANGE; see ops.h. */
#include <config.h>

#include <errno.h>

#include "fs/ops.h"

void
ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t len,
	      struct fuse_file_info *fi)
{
	struct tree_caller caller = ops_changer(req);

	(void)fi;
	ops_reply_result(req,
			 offset < 0 || len < 0
				 ? -EINVAL
				 : tree_fallocate(ops_of(req)->tree, &caller,
						  ino, mode, (uint64_t)offset,
						  (uint64_t)len));
}

/* Only for SEEK_DATA and SEEK_HOLE; the kernel does the others by itself. */
void
ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	  struct fuse_file_info *fi)
{
	struct tree_caller caller = ops_reader(req);
	uint64_t found;
	int r = -ENXIO;

	(void)fi;
	if (offset >= 0)
		r = tree_seek(ops_of(req)->tree, &caller, ino, (uint64_t)offset,
			      whence, &found);
	if (r != 0)
		ops_reply_result(req, r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

void
ops_copy(fuse_req_t req, fuse_ino_t from, off_t from_offset,
	 struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
	 struct fuse_file_info *to_fi, size_t len, int flags)
{
	struct tree_caller caller = ops_changer(req);
	size_t done;
	int r = -EINVAL;

	(void)from_fi;
	(void)to_fi;
	/* No flag has been given a meaning yet. */
	if (from_offset >= 0 && to_offset >= 0 && flags == 0)
		r = tree_copy(ops_of(req)->tree, &caller, from,
			      (uint64_t)from_offset, to, (uint64_t)to_offset,
			      len, &done);
	if (r != 0)
		ops_reply_result(req, r);
	else
		fuse_reply_write(req, done);
}
