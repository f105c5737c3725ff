/* SPDX-License-Identifier: Apache-2.0 */
/* env.h - the only door to the disk, the clocks and randomness.
 *
 * Everything that the store does outside memory goes through one `struct env`,
 * so that tests can put a simulated disk in its place that loses, tears,
 * reorders and fails.  The real one is env_posix().
 *
 * Files are reached only through a directory that was opened once, by plain
 * names checked to hold no '/' and not to be "." or "..": no name read from the
 * store can lead outside it (P6).  Directories are made 0700 and files 0600, and
 * no symbolic link is followed.
 *
 * Every call returns 0 or -errno, restarts after EINTR, and finishes short reads
 * and writes itself.  What is written is volatile until env_file_sync(); a file
 * made, renamed or removed is so until env_dir_sync().  Any thread may call; two
 * calls on one file at once are allowed where they touch different bytes. */
#ifndef STORE_ENV_H
#define STORE_ENV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENV_NAME_MAX 63 /* longest file name in a store directory */

struct env_ops;

/* An environment: operations and, for a simulated one, its state behind it. */
struct env {
	const struct env_ops *ops;
};

/* An open directory or file; an implementation puts its own members behind. */
struct env_dir {
	const struct env_ops *ops;
	_Atomic int
		sync_error; /* what the first failed sync said; the door's own */
};

struct env_file {
	const struct env_ops *ops;
};

/* Flags of env_file_open(). */
#define ENV_READ 1u   /* for reading */
#define ENV_WRITE 2u  /* for writing too */
#define ENV_CREATE 4u /* make it; -EEXIST if it is there */

/* Flags of env_dir_open(). */
#define ENV_DIR_CREATE                                                         \
	1u /* make it, mode 0700, if it is absent; its parent is synced */

/* What a directory's filesystem has, in bytes. */
struct env_space {
	uint64_t total;
	uint64_t available; /* to this process */
};

/* The contract of each operation stands at its wrapper below. */
struct env_ops {
	int (*dir_open)(struct env *env, const char *path, unsigned flags,
			struct env_dir **out);
	void (*dir_close)(struct env_dir *dir);
	int (*dir_list)(struct env_dir *dir,
			int (*each)(void *arg, const char *name), void *arg);
	int (*dir_sync)(struct env_dir *dir);
	int (*dir_space)(struct env_dir *dir, struct env_space *out);
	int (*dir_exchange)(struct env *env, const char *path,
			    const char *other);
	int (*dir_rename)(struct env *env, const char *from, const char *to);
	int (*dir_remove)(struct env *env, const char *path);
	int (*rename)(struct env_dir *dir, const char *from, const char *to);
	int (*unlink)(struct env_dir *dir, const char *name);

	int (*file_open)(struct env_dir *dir, const char *name, unsigned flags,
			 struct env_file **out);
	void (*file_close)(struct env_file *file);
	int (*file_read)(struct env_file *file, uint64_t offset, void *buf,
			 size_t len, bool nowait, size_t *out_len);
	int (*file_write)(struct env_file *file, uint64_t offset,
			  const void *data, size_t len);
	int (*file_sync)(struct env_file *file);
	int (*file_size)(struct env_file *file, uint64_t *out);
	int (*file_truncate)(struct env_file *file, uint64_t size);
	int (*file_allocate)(struct env_file *file, uint64_t offset,
			     uint64_t len);
	int (*file_map)(struct env_file *file, size_t len, void **out);
	void (*file_unmap)(struct env_file *file, void *map, size_t len);
	int (*file_lock)(struct env_file *file, bool exclusive);

	uint64_t (*now_ns)(struct env *env);
	uint64_t (*wall_ns)(struct env *env);
	void (*sleep_ns)(struct env *env, uint64_t ns);
	int (*random)(struct env *env, void *buf, size_t len);
};

/* The real environment: one static object, never freed. */
struct env *env_posix(void);

/* Opens a directory; the caller owns *out.  -EPERM: it is a symbolic link,
 * belongs to another user than the caller's effective one, or its group or
 * others may write to it.  -ENOENT, -ENOTDIR. */
int env_dir_open(struct env *env, const char *path, unsigned flags,
		 struct env_dir **out);
void env_dir_close(struct env_dir *dir); /* NULL is allowed */

/* Calls `each` for every name in the directory but "." and "..", in any order;
 * a value other than 0 ends the listing and is returned.  `each` may open,
 * rename and unlink. */
int env_dir_list(struct env_dir *dir, int (*each)(void *arg, const char *name),
		 void *arg);

/* Makes every creation, renaming and removal in the directory so far durable.  After
 * an error every later call returns that error: the system reports a name that it lost
 * only once, to whoever comes first. */
int env_dir_sync(struct env_dir *dir);

int env_dir_space(struct env_dir *dir, struct env_space *out);

/* Let two directories of one filesystem change places, in one step, durable when it
 * returns.  -EOPNOTSUPP: the filesystem cannot. */
int
env_dir_exchange(struct env *env, const char *path, const char *other);

/* Renames a directory, durable when it returns.  -EEXIST: `to` is there. */
int env_dir_rename(struct env *env, const char *from, const char *to);

/* Removes an empty directory. */
int env_dir_remove(struct env *env, const char *path);

/* Renames within the directory, over `to` if it is there; atomic.  -ENOENT. */
int env_rename(struct env_dir *dir, const char *from, const char *to);

/* -ENOENT: no such file. */
int env_unlink(struct env_dir *dir, const char *name);

/* Opens a file; the caller owns *out and closes it before the directory.
 * -EINVAL: not a plain name.  -ELOOP: a symbolic link.  -EPERM: not a regular
 * file. */
int env_file_open(struct env_dir *dir, const char *name, unsigned flags,
		  struct env_file **out);
void env_file_close(struct env_file *file); /* NULL is allowed; does not sync */

/* Reads `len` bytes at `offset`; *out_len is less only at the end of the file.
 * With `nowait`, -EAGAIN if a byte is not in the page cache (never an error
 * where the system cannot tell). */
int env_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len,
		  bool nowait, size_t *out_len);

/* Writes all of it, or fails; after a failure any part of those bytes may have
 * changed. */
int env_file_write(struct env_file *file, uint64_t offset, const void *data,
		   size_t len);

/* Makes data, size and allocation durable, stores through a mapping included
 * (fdatasync).  After an error the state of every byte written since the last
 * sync is unknown: do not sync again. */
int env_file_sync(struct env_file *file);

int env_file_size(struct env_file *file, uint64_t *out);
int env_file_truncate(struct env_file *file, uint64_t size);

/* Makes room on disk for the range and extends the size over it; the new bytes
 * read as zeros. -EOPNOTSUPP: the filesystem cannot promise room.  -ENOSPC. */
int env_file_allocate(struct env_file *file, uint64_t offset, uint64_t len);

/* Maps `len` bytes from the start of the file, shared and writable; `len` may
 * go past the end, and those bytes must not be touched before the file has
 * grown over them.  -EOPNOTSUPP: where a store through a mapping could find no
 * room (not ext4, XFS or tmpfs): use env_file_write(). */
int env_file_map(struct env_file *file, size_t len, void **out);
void env_file_unmap(struct env_file *file, void *map, size_t len);

/* What goes through a mapping, one part behind the other. */
struct env_part {
	const void *data; /* NULL: zeros */
	size_t len;
};

/* Copies the parts into a mapping.  -EIO: the filesystem could not give a page to
 * write to; any part of those bytes may have changed.  A store without this call
 * ends the process then.  Takes SIGBUS over at the first call, and hands on what
 * is not its own to whoever had it before. */
int env_map_store(void *to, const struct env_part *parts, size_t count);

/* Locks the whole file for this open file (flock), shared or exclusive, without
 * waiting; closing it unlocks.  -EBUSY: somebody else has it. */
int env_file_lock(struct env_file *file, bool exclusive);

uint64_t env_now_ns(struct env *env);  /* monotonic */
uint64_t env_wall_ns(struct env *env); /* real time since 1970 */
/* Lets the monotonic clock go on for about `ns`; less if a signal comes. */
void env_sleep_ns(struct env *env, uint64_t ns);
int env_random(struct env *env, void *buf, size_t len);

#endif
