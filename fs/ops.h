/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - answers the kernel's requests.
 *
 * One handler a request, in ops_*.c by family: it decodes, makes one call of
 * fs/tree, sends one reply, and holds no lock when it does, because the kernel
 * may forget the object at once. Requests carry no state but inode numbers and,
 * for directories, the stream that OPENDIR made.
 *
 * Handlers run on the threads of a transport. The thread says before each
 * request whether it may wait (ops_turn_begin); on a thread that may not, a
 * handler whose call would wait answers nothing, and the transport processes
 * the same message again on a thread that may. */
#ifndef FS_OPS_H
#define FS_OPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <fuse_lowlevel.h>
#include <pthread.h>

#include "fs/handle.h"
#include "fs/tree.h"

/* The userdata of the FUSE session. */
struct ops {
	/* Constant while requests are served. */
	struct tree *tree;            /* borrowed */
	struct handle_table *handles; /* borrowed */
	double timeout_s;             /* of entries and attributes */
	bool xattrs;                  /* there are extended attributes */
	bool acls;                    /* and access control lists */
	/* Answers `req` after tree_sync(), later and on another thread. */
	void (*sync)(void *arg, fuse_req_t req);
	void *sync_arg;
	/* The name of the file that is opened once to teach the kernel that
	 * OPEN need not be sent; it exists while `probing` only. */
	char probe_name[40];
	/* Written by INIT, before there are threads. */
	bool connected;
	uint32_t init_flags; /* for the answer: libfuse leaves them out */

	pthread_mutex_t dirs_lock;
	/* Guarded by dirs_lock. */
	struct ops_dir *dirs; /* open directories */

	/* Atomic. */
	atomic_bool probing;         /* written by the mounting thread */
	_Atomic uint64_t writebacks; /* WRITEs of mapped pages; handlers */
};

extern const struct fuse_lowlevel_ops ops_table;

/* ---- For transports ---- */

/* What the request that was just processed needs. */
enum ops_outcome {
	OPS_DONE,
	OPS_WAIT_TO_READ,   /* process it again where it may wait */
	OPS_WAIT_TO_CHANGE, /* the same; it may be held back for long */
};

/* Begins the request in `message`, as it came from the kernel, on this thread. */
void ops_turn_begin(bool may_wait, const void *message, size_t len);
enum ops_outcome ops_turn_end(void);

/* ---- For handlers ---- */

static inline struct ops *
ops_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Who asks, for a call that only reads, and for one that changes something. */
struct tree_caller ops_reader(fuse_req_t req);
struct tree_caller ops_changer(fuse_req_t req);

/* Answers a call that returned `r`, 0 or an error, where nothing else is to be
 * said. */
void ops_reply_result(fuse_req_t req, int r);

/* Answers with an object, and counts that: `fi` is NULL but for CREATE. */
void ops_reply_object(fuse_req_t req, const struct tree_attr *attr,
		      const struct fuse_file_info *fi);

void ops_fill_stat(const struct tree_attr *attr, struct stat *out);
void ops_fill_entry(const struct ops *ops, const struct tree_attr *attr,
		    struct fuse_entry_param *out);

/* The kernel gave back `count` answers with `ino`, or never took them. */
void ops_forget(const struct ops *ops, uint64_t ino, uint64_t count);

/* `ino` has lost its last name. */
void ops_orphan(const struct ops *ops, uint64_t ino);

/* INIT: what the kernel is told. */
void ops_init(void *userdata, struct fuse_conn_info *conn);

/* ops_lookup.c */
void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_forget_one(fuse_req_t req, fuse_ino_t ino, uint64_t count);
void
ops_forget_many(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);

/* ops_attr.c */
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		 struct fuse_file_info *fi);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_name.c */
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       dev_t rdev);
void
ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		 const char *name);
void
ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		mode_t mode, struct fuse_file_info *fi);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		fuse_ino_t new_parent, const char *new_name, unsigned flags);

/* ops_dir.c */
struct ops_dir;
/* Frees what was still open when the mount ended. */
void ops_dirs_free(struct ops *ops);
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		 struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		     struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* ops_range.c */
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		   off_t len, struct fuse_file_info *fi);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	       struct fuse_file_info *fi);
void ops_copy(fuse_req_t req, fuse_ino_t from, off_t from_offset,
	      struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_offset,
	      struct fuse_file_info *to_fi, size_t len, int flags);

/* ops_xattr.c */
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		  const char *value, size_t size, int flags);
void
ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

/* ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	      struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
	       off_t offset, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
	       struct fuse_file_info *fi);

#endif
