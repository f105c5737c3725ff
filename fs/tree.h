/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the filesystem itself: inodes, names and contents over a key-value
 * engine, without FUSE.
 *
 * Every operation is one optimistic transaction: it takes one read point, reads only
 * there, decides, and commits its changes under the condition that what it read is
 * unchanged.  So it is all or nothing (P3), and what readers and crashes see is a
 * prefix of the operations (P2).  No conflict ever reaches a caller.
 *
 * Objects are named by inode number; the root is 1.  Numbers stay below 2^48 and are
 * never reused.  Permissions are the kernel's work (default_permissions); what the
 * kernel leaves to a filesystem - owners of new files, set-group-id directories,
 * times, link counts - is done here.
 *
 * Results are 0 or -errno.  Any thread may call.  With caller->nowait a call that
 * would wait for the disk, for a latch or for back-pressure returns -EAGAIN and has
 * done nothing.
 *
 * Held truncations (P3).  `echo x > f` arrives as "set the size to 0", then as a
 * write.  A truncation to zero by name of a file that was not empty is therefore held
 * here: reads and stats see it at once, but it is logged together with the first write
 * after it, or before any other change of that file or of a name of it, before any
 * sync, or after TREE_HOLD_MS by the worker. */
#ifndef FS_TREE_H
#define FS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "fs/kv.h"

#define TREE_ROOT 1u
#define TREE_NAME_MAX 255u
#define TREE_SYMLINK_MAX 4095u
#define TREE_XATTR_SIZE_MAX 65536u
#define TREE_HOLD_MS 100u

struct tree;

/* Who asks, and whether the call may wait. */
struct tree_caller {
	uint32_t uid, gid;
	bool nowait;
	/* May not keep set-id bits on what it writes to or truncates (it has no
	 * CAP_FSETID): they are cleared in the same operation. */
	bool clears_setid;
	/* Rights that new objects do not get, but where a default access control list
	 * says what they get; 0 without tree_options.acls: the kernel has taken them
	 * away. */
	uint32_t umask;
	/* Whether it is in a group other than `gid`; NULL: in none.  Takes no lock that
	 * is held around a tree call. */
	bool (*in_group)(void *arg, uint32_t gid);
	void *arg;
};

struct tree_attr {
	uint64_t ino;
	uint32_t mode; /* type and permissions */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t rdev;
	uint64_t size;   /* bytes; of a directory the number of its entries */
	uint64_t blocks; /* 512-byte units stored */
	struct timespec atime, mtime, ctime, btime;
};

struct tree_options {
	/* Owner of the root of a new tree. */
	uint32_t root_uid, root_gid;
	uint32_t root_mode; /* permissions only; 0: 0755 */
	bool read_only;
	/* Access control lists can be seen and set, and are inherited. */
	bool acls;
	/* Called from the worker and from calls when a last name has gone and nobody
	 * knows whether the object is still in use; returns true if it is (the kernel
	 * holds it), and it is then kept until tree_forget_orphan().  NULL: never in use.
	 * Takes no lock that is held around a tree call. */
	bool (*in_use)(void *arg, uint64_t ino);
	void *arg;
};

/* Opens the tree in `kv` (borrowed), or makes one in an empty engine.  -EUCLEAN: not
 * a tree, or damaged.  -EPROTONOSUPPORT: a newer format. */
int
tree_open(struct kv *kv, const struct tree_options *options, struct tree **out);

/* Starts the worker: removes orphans, those found at open too, and logs held
 * truncations in time.  Without it orphans are removed by the call that makes them,
 * those of an earlier run stay, and truncations are held until a sync or close. */
int tree_start(struct tree *tree);

/* Stops the worker, logs what is held.  Frees in any case.  NULL is allowed. */
int tree_close(struct tree *tree);

/* ---- Names ---- */

/* The object called `name` in `parent`; "." and ".." too.  -ENOENT, -ENOTDIR,
 * -ENAMETOOLONG. */
int
tree_lookup(struct tree *tree, const struct tree_caller *caller,
	    uint64_t parent, struct keyfs_slice name, struct tree_attr *out);

/* Makes a regular file, FIFO, socket or device.  `mode` has the type.  -EEXIST,
 * -ENOENT (the parent is gone), -ENOTDIR, -EINVAL (an impossible name). */
int tree_mknod(struct tree *tree, const struct tree_caller *caller,
	       uint64_t parent, struct keyfs_slice name, uint32_t mode,
	       uint64_t rdev, struct tree_attr *out);
int
tree_mkdir(struct tree *tree, const struct tree_caller *caller, uint64_t parent,
	   struct keyfs_slice name, uint32_t mode, struct tree_attr *out);
int tree_symlink(struct tree *tree, const struct tree_caller *caller,
		 uint64_t parent, struct keyfs_slice name,
		 struct keyfs_slice target, struct tree_attr *out);
/* -EPERM: a directory.  -EMLINK.  -ENOENT: `ino` has no name any more. */
int tree_link(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      uint64_t parent, struct keyfs_slice name, struct tree_attr *out);

/* Remove a name.  *out_ino is the object, *out_gone whether that was its last name:
 * it is then an orphan, readable by number until tree_forget_orphan().
 * -EISDIR, -ENOTDIR, -ENOTEMPTY, -ENOENT. */
int tree_unlink(struct tree *tree, const struct tree_caller *caller,
		uint64_t parent, struct keyfs_slice name, uint64_t *out_ino,
		bool *out_gone);
int
tree_rmdir(struct tree *tree, const struct tree_caller *caller, uint64_t parent,
	   struct keyfs_slice name, uint64_t *out_ino, bool *out_gone);

/* `flags`: RENAME_NOREPLACE or RENAME_EXCHANGE of renameat2(2); others -EINVAL.
 * *out_ino and *out_gone tell of a replaced object (0: none). */
int tree_rename(struct tree *tree, const struct tree_caller *caller,
		uint64_t parent, struct keyfs_slice name, uint64_t new_parent,
		struct keyfs_slice new_name, unsigned flags, uint64_t *out_ino,
		bool *out_gone);

/* Nobody uses the orphan `ino` any more: its contents may go.  Only queues when the
 * worker runs. */
void tree_forget_orphan(struct tree *tree, uint64_t ino);

/* ---- Attributes ---- */

int tree_getattr(struct tree *tree, const struct tree_caller *caller,
		 uint64_t ino, struct tree_attr *out);

/* What tree_setattr() is to change. */
#define TREE_SET_MODE 1u
#define TREE_SET_UID 2u
#define TREE_SET_GID 4u
#define TREE_SET_SIZE 8u
#define TREE_SET_ATIME 16u
#define TREE_SET_MTIME 32u
#define TREE_SET_ATIME_NOW 64u
#define TREE_SET_MTIME_NOW 128u
#define TREE_SET_CTIME 256u
#define TREE_SET_BY_HANDLE                                                     \
	512u /* a size set through an open file: never held */

/* Changes what `set` names to the values in `attr`.  -EFBIG: size over 2^63-1.
 *
 * A change of the owner or the group of anything but a directory clears the set-user-id
 * bit, the set-group-id bit of what its group may execute or the caller is not in the
 * group of, and the attribute security.capability; so does a `set` of 0, which is what
 * chown(2) makes of "no change".  A change of the size clears security.capability, and
 * the bits if caller->clears_setid. */
int
tree_setattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	     unsigned set, const struct tree_attr *attr, struct tree_attr *out);

/* The target, without a 0 byte; the caller frees *out with free(). */
int tree_readlink(struct tree *tree, const struct tree_caller *caller,
		  uint64_t ino, char **out, size_t *out_len);

/* ---- Extended attributes ---- */

/* Names are "user.", "trusted." or "security." and more, in all at most 255 bytes; values
 * 0 to TREE_XATTR_SIZE_MAX bytes.  With tree_options.acls there are the two access
 * control lists of fs/acl.h too; an access list changes the mode, and what the mode can
 * say is kept there.  Who may read and set which is the kernel's work.
 * Any of the calls: -EOPNOTSUPP: another namespace.  -EINVAL: nothing after the dot.
 * -ERANGE: a longer name. */

/* `flags`: 0, XATTR_CREATE (-EEXIST) or XATTR_REPLACE (-ENODATA) of setxattr(2).
 * -E2BIG: the value is too long.  -ENOSPC: more names than a list can hold.  -EINVAL: no
 * access control list.  -EACCES: a default one, and no directory. */
int
tree_setxattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      struct keyfs_slice name, struct keyfs_slice value, int flags);

/* Copies the value to `buf`, which has room for `size` bytes; with a size of 0 only
 * tells its length.  -ENODATA: there is none.  -ERANGE: no room. */
int
tree_getxattr(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      struct keyfs_slice name, void *buf, size_t size, size_t *out_len);

/* The names, each with a zero behind, in the order of their bytes; otherwise as
 * tree_getxattr().  Those of "trusted." are for the user 0 only. */
int tree_listxattr(struct tree *tree, const struct tree_caller *caller,
		   uint64_t ino, char *buf, size_t size, size_t *out_len);

int tree_removexattr(struct tree *tree, const struct tree_caller *caller,
		     uint64_t ino,
		     struct keyfs_slice name); /* -ENODATA, but for lists */

/* ---- Contents ---- */

/* Reads up to `len` bytes; *out_len is less only at the end of the file. */
int tree_read(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      uint64_t offset, size_t len, void *buf, size_t *out_len);

/* Writes all of it or nothing.  -EFBIG.  Clears what a change of the size clears. */
int tree_write(struct tree *tree, const struct tree_caller *caller,
	       uint64_t ino, uint64_t offset, struct keyfs_slice data);

/* Changes what is stored of the bytes [offset, offset + len), as fallocate(2) with that
 * mode: 0 or FALLOC_FL_KEEP_SIZE (room is checked for, not reserved),
 * FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE with or without
 * FALLOC_FL_KEEP_SIZE.  Clears what a write clears.  -EOPNOTSUPP: another mode.  -EINVAL:
 * no bytes.  -EFBIG.  -ENOSPC.  -EISDIR, -ENODEV: no regular file. */
int tree_fallocate(struct tree *tree, const struct tree_caller *caller,
		   uint64_t ino, int mode, uint64_t offset, uint64_t len);

/* The next data or hole at or behind `offset`, for SEEK_DATA or SEEK_HOLE of lseek(2);
 * there is a hole at the end.  -ENXIO: none, or `offset` is at the end or behind it. */
int tree_seek(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	      uint64_t offset, int whence, uint64_t *out);

/* Copies bytes of one file into another or the same, in one operation.  *out_len is what
 * was copied: at most 1 MiB, and 0 only at the end of `from`.  Clears what a write
 * clears.  -EFBIG. */
int tree_copy(struct tree *tree, const struct tree_caller *caller,
	      uint64_t from, uint64_t from_offset, uint64_t to,
	      uint64_t to_offset, uint64_t len, size_t *out_len);

/* Called for each entry; a value other than 0 ends the listing and is returned.
 * `attr` is filled when attributes were asked for, else only ino and the type bits of
 * mode. */
typedef int (*tree_each_fn)(void *arg, struct keyfs_slice name,
			    const struct tree_attr *attr);

/* Lists the entries of `ino` that sort after `after` (.data NULL: all), in order of
 * their bytes, without "." and "..".  It reads in pages: an error, -EAGAIN too, may
 * come after some calls of `each`, and what they were given is true. */
int tree_readdir(struct tree *tree, const struct tree_caller *caller,
		 uint64_t ino, struct keyfs_slice after, bool with_attr,
		 tree_each_fn each, void *arg);

/* ---- The whole ---- */

/* Logs what is held, then makes every operation so far durable (P1). */
int tree_sync(struct tree *tree);

struct tree_space {
	uint64_t total_bytes, available_bytes;
	uint64_t inodes_used, inodes_total;
};

/* From counters; never waits. */
int tree_space(struct tree *tree, struct tree_space *out);

/* Called for each thing that is wrong; another value than 0 ends the check. */
typedef int (*tree_problem_fn)(void *arg, const char *path_or_key,
			       const char *what);

/* Reads every key and checks that names, inodes, link counts, entry counts and
 * contents agree; `problem` may be NULL.  -EUCLEAN: something is wrong, each
 * reported.  If nothing is, the totals are put right. */
int tree_check(struct tree *tree, tree_problem_fn problem, void *arg);

/* Walks a path below the root, symbolic links not followed, an empty path the root
 * itself. */
int tree_resolve(struct tree *tree, const struct tree_caller *caller,
		 const char *path, struct tree_attr *out);

#endif
