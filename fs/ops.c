/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c - what the handlers share: the table, INIT, turns, replies; see ops.h.
 */
#include <config.h>

#include "fs/ops.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>

/* One message carries at most this much of a file; the pages that hold it are
 * pinned while it is on its way. */
#define WRITE_BYTES_MAX (1u << 20)

/* Requests that nobody waits for (write-back, readahead, RELEASEDIR) which the
 * kernel has under way at once; with its default of 12 a mapped file that is
 * written back stalls readahead. */
#define BACKGROUND_MAX 64u

/* What st_blksize says: programs size their buffers by it, and four pages a
 * request cost little more than one. */
#define BLKSIZE 16384

/* What is not here is answered ENOSYS by libfuse, once, and the kernel or the
 * program falls back: FLUSH is not needed, each write had its own answer; locks
 * are the kernel's; ACCESS is decided by it (default_permissions). */
const struct fuse_lowlevel_ops ops_table = {
	.init = ops_init,
	.lookup = ops_lookup,
	.forget = ops_forget_one,
	.forget_multi = ops_forget_many,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.readlink = ops_readlink,
	.mknod = ops_mknod,
	.mkdir = ops_mkdir,
	.unlink = ops_unlink,
	.rmdir = ops_rmdir,
	.symlink = ops_symlink,
	.rename = ops_rename,
	.link = ops_link,
	.create = ops_create,
	.open = ops_open,
	.read = ops_read,
	.write = ops_write,
	.fsync = ops_fsync,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.releasedir = ops_releasedir,
	.fsyncdir = ops_fsync,
	.statfs = ops_statfs,
	.setxattr = ops_setxattr,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.removexattr = ops_removexattr,
	.fallocate = ops_fallocate,
	.lseek = ops_lseek,
	.copy_file_range = ops_copy,
};

/* libfuse before 3.17 knows PARALLEL_DIROPS but does not pass it on, and without
 * it the kernel sends the lookups of one directory one after the other.
 *
 * HANDLE_KILLPRIV_V2: the kernel leaves it to us to clear set-id bits and
 * capabilities, says when, and does not ask before every write whether the file
 * has any.  Kernels have it since 5.12. */
static void
want_missing_flags(struct ops *ops, struct fuse_conn_info *conn)
{
	if (conn->capable & FUSE_CAP_PARALLEL_DIROPS)
		ops->init_flags |= FUSE_PARALLEL_DIROPS;
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	conn->want |= conn->capable & FUSE_CAP_HANDLE_KILLPRIV_V2;
#else
	ops->init_flags |= FUSE_HANDLE_KILLPRIV_V2;
#endif
}

void
ops_init(void *userdata, struct fuse_conn_info *conn)
{
	struct ops *ops = userdata;

	/* Nothing changes behind the kernel's back, so it keeps its pages until
	 * told otherwise; AUTO_INVAL_DATA would drop them at each change of
	 * mtime, our own writes included. */
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	conn->want |= conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
	/* OPEN is answered ENOSYS: with ATOMIC_O_TRUNC the kernel would then
	 * truncate nothing and old bytes would stay behind new ones. */
	conn->want &= ~(unsigned)FUSE_CAP_ATOMIC_O_TRUNC;
	/* Its second version is wanted: below. */
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
	conn->want |= conn->capable &
		      (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
		       FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPORT_SUPPORT |
		       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
		       FUSE_CAP_READDIRPLUS_AUTO);
	conn->max_write = WRITE_BYTES_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->time_gran = 1;
	/* Where a default list is inherited, the umask does not count. */
	if (ops->acls)
		conn->want |= conn->capable &
			      (FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
	want_missing_flags(ops, conn);
	ops->connected = true;
}

/* ---- Turns ---- */

static _Thread_local struct {
	bool may_wait, changes, clears_setid;
	enum ops_outcome outcome;
} turn;

/* What the message says of its caller's right to keep set-id bits: libfuse 3.14
 * does not pass that on. */
static bool
clears_setid(const void *message, size_t len)
{
	const struct fuse_in_header *in = message;
	const struct fuse_write_in *write;
	const struct fuse_setattr_in *setattr;

	if (len < sizeof(*in))
		return false;
	write = (const void *)(in + 1);
	setattr = (const void *)(in + 1);
	if (in->opcode == FUSE_WRITE && len >= sizeof(*in) + sizeof(*write))
		return write->write_flags & FUSE_WRITE_KILL_SUIDGID;
	if (in->opcode == FUSE_SETATTR && len >= sizeof(*in) + sizeof(*setattr))
		return setattr->valid & FATTR_KILL_SUIDGID;
	return false;
}

void
ops_turn_begin(bool may_wait, const void *message, size_t len)
{
	turn.may_wait = may_wait;
	turn.clears_setid = clears_setid(message, len);
	turn.outcome = OPS_DONE;
}

enum ops_outcome
ops_turn_end(void)
{
	return turn.outcome;
}

/* The message names one group of the caller; the others are looked up in /proc, for
 * the few operations that depend on them.  Who is in more than these is not believed
 * to be in the rest: a bit too many is cleared then, never one too few. */
static bool
in_group(void *arg, uint32_t gid)
{
	gid_t groups[64];
	int count = fuse_req_getgroups(arg, 64, groups);

	for (int i = 0; i < count && i < 64; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static struct tree_caller
caller(fuse_req_t req, bool changes)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	turn.changes = changes;
	return (struct tree_caller){ .uid = ctx->uid,
				     .gid = ctx->gid,
				     .nowait = !turn.may_wait,
				     .clears_setid = turn.clears_setid,
				     .umask =
					     ops_of(req)->acls ? ctx->umask : 0,
				     .in_group = in_group,
				     .arg = req };
}

struct tree_caller
ops_reader(fuse_req_t req)
{
	return caller(req, false);
}

struct tree_caller
ops_changer(fuse_req_t req)
{
	return caller(req, true);
}

/* ---- Replies ---- */

void
ops_reply_result(fuse_req_t req, int r)
{
	if (r == -EAGAIN && !turn.may_wait) {
		turn.outcome =
			turn.changes ? OPS_WAIT_TO_CHANGE : OPS_WAIT_TO_READ;
		fuse_reply_none(req);
		return;
	}
	/* ENOSYS would turn the operation off for good; EUCLEAN is what the
	 * store says of damage, and programs know it as EIO. */
	if (r == -ENOSYS || r == -EUCLEAN)
		r = -EIO;
	fuse_reply_err(req, -r);
}

void
ops_fill_stat(const struct tree_attr *attr, struct stat *out)
{
	*out = (struct stat){
		.st_ino = attr->ino,
		.st_mode = attr->mode,
		.st_nlink = attr->nlink,
		.st_uid = attr->uid,
		.st_gid = attr->gid,
		.st_rdev = attr->rdev,
		.st_size = (off_t)attr->size,
		.st_blksize = BLKSIZE,
		.st_blocks = (blkcnt_t)attr->blocks,
		.st_atim = attr->atime,
		.st_mtim = attr->mtime,
		.st_ctim = attr->ctime,
	};
}

void
ops_fill_entry(const struct ops *ops, const struct tree_attr *attr,
	       struct fuse_entry_param *out)
{
	/* Inode numbers are never used again, so one generation is enough. */
	*out = (struct fuse_entry_param){
		.ino = attr->ino,
		.attr_timeout = ops->timeout_s,
		.entry_timeout = ops->timeout_s,
	};
	ops_fill_stat(attr, &out->attr);
}

void
ops_reply_object(fuse_req_t req, const struct tree_attr *attr,
		 const struct fuse_file_info *fi)
{
	const struct ops *ops = ops_of(req);
	struct fuse_entry_param e;
	uint64_t ino = attr->ino;
	int r = handle_ref(ops->handles, ino);

	if (r != 0) {
		ops_reply_result(req, r);
		return;
	}
	ops_fill_entry(ops, attr, &e);
	r = fi ? fuse_reply_create(req, &e, fi) : fuse_reply_entry(req, &e);
	/* The kernel did not take it: the caller was killed. */
	if (r != 0)
		ops_forget(ops, ino, 1);
}

/* ---- The life of inodes ---- */

void
ops_forget(const struct ops *ops, uint64_t ino, uint64_t count)
{
	if (handle_unref(ops->handles, ino, count))
		tree_forget_orphan(ops->tree, ino);
}

void
ops_orphan(const struct ops *ops, uint64_t ino)
{
	if (!handle_mark_orphan(ops->handles, ino))
		tree_forget_orphan(ops->tree, ino);
}
