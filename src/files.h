/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - the files of a store by path, whether or not it is mounted.
 *
 * Two doors lead to them.  A store that nobody has open is opened here and its
 * tree is called directly (files_store.c).  A mounted store is locked by its
 * daemon, so the calls go through the mountpoint (files_mount.c).  Results,
 * errors and permissions are the same through both; only this header knows that
 * there are two.
 *
 * Paths are clean (path.h), relative to the root of the store, and never follow
 * a symbolic link: one inside a path is -ENOTDIR, one at its end is named
 * itself.  Nothing outside the store can be reached.  Results are 0 or -errno.
 * One thread. */
#ifndef SRC_FILES_H
#define SRC_FILES_H

#include <stdbool.h>

#include "fs/tree.h"

struct files;

/* A file being written; a door uses one of the two. */
struct files_handle {
	uint64_t ino;
	int fd;
};

/* Takes a piece of a file; a value other than 0 ends the reading. */
typedef int (*files_sink_fn)(void *arg, const void *data, size_t len);

/* The contract of each operation stands at its wrapper below. */
struct files_ops {
	int (*stat)(struct files *files, const char *path,
		    struct tree_attr *out);
	int (*read)(struct files *files, const char *path, files_sink_fn sink,
		    void *arg);
	int (*readlink)(struct files *files, const char *path, char **out);
	int (*list)(struct files *files, const char *path, bool with_attr,
		    tree_each_fn each, void *arg);
	int (*mkdir)(struct files *files, const char *path);
	int (*create)(struct files *files, const char *path,
		      const struct tree_attr *like, struct files_handle *out);
	int (*write)(struct files *files, struct files_handle *handle,
		     uint64_t offset, const void *data, size_t len);
	void (*close_file)(struct files *files, struct files_handle *handle);
	int (*rename)(struct files *files, const char *from, const char *to);
	int (*unlink)(struct files *files, const char *path);
	int (*rmdir)(struct files *files, const char *path);
	int (*sync)(struct files *files);
	int (*stats)(struct files *files, bool json, char **out);
	int (*close)(struct files *files);
};

/* A door puts its own members behind. */
struct files {
	const struct files_ops *ops;
};

/* Opens the files of the store in directory `store`.  Waits a few seconds while
 * another process has it.  The caller closes *out.  -ENOENT: no store there.
 * -EBUSY: another process keeps it open and does not answer.  -EXDEV: mounted
 * where this process cannot see it. */
int files_open(const char *store, bool read_only, struct files **out);

/* The two doors, for files_open(). */
int files_store_open(const char *store, bool read_only, uint32_t lock_wait_ms,
		     struct files **out);
int
files_mount_open(const char *store, const char *mountpoint, struct files **out);

/* 0 for a regular file; otherwise what reading or replacing it would give:
 * -EISDIR, -ELOOP for a symbolic link, -EINVAL for the rest. */
int files_check_regular(uint32_t mode);

static inline int
files_stat(struct files *files, const char *path, struct tree_attr *out)
{
	return files->ops->stat(files, path, out);
}

/* Gives a regular file's contents to `sink`, in order. */
static inline int
files_read(struct files *files, const char *path, files_sink_fn sink, void *arg)
{
	return files->ops->read(files, path, sink, arg);
}

/* The target of a symbolic link as a string, the caller's to free(). */
static inline int
files_readlink(struct files *files, const char *path, char **out)
{
	return files->ops->readlink(files, path, out);
}

/* Calls `each` for the entries of a directory, sorted by their bytes; `each`
 * does not call back. */
static inline int
files_list(struct files *files, const char *path, bool with_attr,
	   tree_each_fn each, void *arg)
{
	return files->ops->list(files, path, with_attr, each, arg);
}

/* Makes a directory, mode 0777 less the umask. */
static inline int
files_mkdir(struct files *files, const char *path)
{
	return files->ops->mkdir(files, path);
}

/* Makes an empty file and opens it for writing; -EEXIST.  Its mode, and its
 * owner where the caller may set it, are those of `like`; NULL: mode 0666 less
 * the umask. */
static inline int
files_create(struct files *files, const char *path,
	     const struct tree_attr *like, struct files_handle *out)
{
	return files->ops->create(files, path, like, out);
}

static inline int
files_write(struct files *files, struct files_handle *handle, uint64_t offset,
	    const void *data, size_t len)
{
	return files->ops->write(files, handle, offset, data, len);
}

static inline void
files_close_file(struct files *files, struct files_handle *handle)
{
	files->ops->close_file(files, handle);
}

/* Over `to` if it is there. */
static inline int
files_rename(struct files *files, const char *from, const char *to)
{
	return files->ops->rename(files, from, to);
}

static inline int
files_unlink(struct files *files, const char *path)
{
	return files->ops->unlink(files, path);
}

static inline int
files_rmdir(struct files *files, const char *path)
{
	return files->ops->rmdir(files, path);
}

/* Makes everything so far durable. */
static inline int
files_sync(struct files *files)
{
	return files->ops->sync(files);
}

/* Statistics of the store as text or JSON; the caller frees *out. */
static inline int
files_stats(struct files *files, bool json, char **out)
{
	return files->ops->stats(files, json, out);
}

/* NULL is allowed.  An error is what could not be made durable. */
static inline int
files_close(struct files *files)
{
	return files ? files->ops->close(files) : 0;
}

#endif
