/* SPDX-License-Identifier: Apache-2.0 */
/* env_posix.c - the real environment: Linux system calls.
 *
 * A directory is opened once, checked through its descriptor, and from then on
 * everything is relative to that descriptor, so that nobody can swap the path
 * underneath.  No state beside the descriptors; any thread may call. */
#include <config.h>

#include "store/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342 /* absent from older <linux/magic.h> */
#endif

#define DIR_MODE 0700
#define FILE_MODE 0600

struct posix_dir {
	struct env_dir base;
	int fd;
};

struct posix_file {
	struct env_file base;
	int fd;
};

static const struct env_ops posix_ops;

static int
dir_fd(struct env_dir *dir)
{
	return ((struct posix_dir *)dir)->fd;
}

static int
file_fd(struct env_file *file)
{
	return ((struct posix_file *)file)->fd;
}

/* ---- Directories ---- */

/* With a slash at its end a path would be followed through a symbolic link in
 * spite of O_NOFOLLOW. */
static char *
without_last_slashes(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return strndup(path, len);
}

/* `fd` is an O_PATH descriptor: it may be of anything. */
static int
check_dir(int fd, struct stat *out)
{
	if (fstat(fd, out) < 0)
		return -errno;
	if (S_ISLNK(out->st_mode))
		return -EPERM;
	if (!S_ISDIR(out->st_mode))
		return -ENOTDIR;
	if (out->st_uid != geteuid() || (out->st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return 0;
}

/* A umask that denies the owner leaves a new directory useless.  An O_PATH
 * descriptor knows no fchmod(); its entry in /proc leads to the same inode. */
static int
restore_owner_bits(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, DIR_MODE) < 0 ? -errno : 0;
}

static int
sync_fd(int fd, int (*sync)(int fd))
{
	while (sync(fd) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* Makes the directory's own name durable.  Who may not read the parent cannot
 * sync it, and syncs the whole filesystem in its stead. */
static int
sync_parent(int fd)
{
	int parent, r;

	parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return errno == EACCES ? sync_fd(fd, syncfs) : -errno;
	r = sync_fd(parent, fsync);
	close(parent);
	return r;
}

/* Opens for reading what `path_fd` names, after checking it. */
static int
open_checked(int path_fd, bool created, int *out)
{
	struct stat st;
	int fd, r;

	r = check_dir(path_fd, &st);
	if (r == 0 && created && (st.st_mode & DIR_MODE) != DIR_MODE)
		r = restore_owner_bits(path_fd);
	if (r < 0)
		return r;
	fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

/* The parent is synced even if the directory was there: an earlier opener may
 * have died between making and syncing it. */
static int
open_dir_fd(const char *path, unsigned flags, int *out)
{
	bool created = false;
	int path_fd, fd = -1, r;

	if (flags & ENV_DIR_CREATE) {
		created = mkdir(path, DIR_MODE) == 0;
		if (!created && errno != EEXIST)
			return -errno;
	}
	path_fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	r = open_checked(path_fd, created, &fd);
	close(path_fd);
	if (r < 0)
		return r;
	if (flags & ENV_DIR_CREATE)
		r = sync_parent(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

static int
posix_dir_open(struct env *env, const char *path, unsigned flags,
	       struct env_dir **out)
{
	struct posix_dir *dir = malloc(sizeof(*dir));
	char *plain = without_last_slashes(path);
	int r = -ENOMEM;

	(void)env;
	if (dir && plain)
		r = open_dir_fd(plain, flags, &dir->fd);
	free(plain);
	if (r < 0) {
		free(dir);
		return r;
	}
	dir->base.ops = &posix_ops;
	*out = &dir->base;
	return 0;
}

static void
posix_dir_close(struct env_dir *dir)
{
	close(dir_fd(dir));
	free(dir);
}

static int
list_stream(DIR *stream, int (*each)(void *arg, const char *name), void *arg)
{
	struct dirent *entry;
	int r;

	for (;;) {
		errno = 0;
		entry = readdir(stream);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		r = each(arg, entry->d_name);
		if (r != 0)
			return r;
	}
}

/* A descriptor of its own, so that two listings do not share a position. */
static int
posix_dir_list(struct env_dir *dir, int (*each)(void *arg, const char *name),
	       void *arg)
{
	DIR *stream;
	int fd, r;

	fd = openat(dir_fd(dir), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	stream = fdopendir(fd);
	if (!stream) {
		r = -errno;
		close(fd);
		return r;
	}
	r = list_stream(stream, each, arg);
	closedir(stream);
	return r;
}

static int
posix_dir_sync(struct env_dir *dir)
{
	return sync_fd(dir_fd(dir), fsync);
}

static int
posix_dir_space(struct env_dir *dir, struct env_space *out)
{
	struct statvfs st;

	while (fstatvfs(dir_fd(dir), &st) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	out->total = (uint64_t)st.f_blocks * st.f_frsize;
	out->available = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

/* Renames a path over or with another, and makes the new name durable. */
static int
rename_dir(const char *from, const char *to, unsigned flags)
{
	char *plain_from = without_last_slashes(from);
	char *plain_to = without_last_slashes(to);
	int fd, r = -ENOMEM;

	if (plain_from && plain_to) {
		r = renameat2(AT_FDCWD, plain_from, AT_FDCWD, plain_to, flags);
		r = r < 0 ? -errno : 0;
	}
	if (r == -EINVAL || r == -ENOSYS)
		r = -EOPNOTSUPP;
	if (r == 0) {
		fd = open(plain_to,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : sync_parent(fd);
		if (fd >= 0)
			close(fd);
	}
	free(plain_from);
	free(plain_to);
	return r;
}

static int
posix_dir_exchange(struct env *env, const char *path, const char *other)
{
	(void)env;
	return rename_dir(other, path, RENAME_EXCHANGE);
}

static int
posix_dir_rename(struct env *env, const char *from, const char *to)
{
	(void)env;
	return rename_dir(from, to, RENAME_NOREPLACE);
}

static int
posix_dir_remove(struct env *env, const char *path)
{
	(void)env;
	return rmdir(path) < 0 ? -errno : 0;
}

/* What a call that needs room failed with.  A quota that is used up is a full disk to
 * whoever has it: nothing is lost, and room may come (R11). */
static int
room_error(void)
{
	return errno == EDQUOT ? -ENOSPC : -errno;
}

static int
posix_rename(struct env_dir *dir, const char *from, const char *to)
{
	int fd = dir_fd(dir);

	return renameat(fd, from, fd, to) < 0 ? room_error() : 0;
}

static int
posix_unlink(struct env_dir *dir, const char *name)
{
	return unlinkat(dir_fd(dir), name, 0) < 0 ? -errno : 0;
}

/* ---- Files ---- */

/* O_NONBLOCK keeps a FIFO that somebody put there from blocking the open;
 * regular files ignore it. */
static int
open_flags(unsigned flags)
{
	int posix = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

	posix |= flags & ENV_WRITE ? O_RDWR : O_RDONLY;
	if (flags & ENV_CREATE)
		posix |= O_CREAT | O_EXCL;
	return posix;
}

static int
check_file(int fd, unsigned flags)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	/* The umask has its say in open(), not in fchmod(). */
	if ((flags & ENV_CREATE) && (st.st_mode & 07777) != FILE_MODE &&
	    fchmod(fd, FILE_MODE) < 0)
		return -errno;
	return 0;
}

static int
open_file_fd(int dir, const char *name, unsigned flags, int *out)
{
	int fd, r;

	do {
		fd = openat(dir, name, open_flags(flags), FILE_MODE);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0) {
		/* What is neither readable nor writable as a file, such as a
		 * directory, a socket or a FIFO without a reader. */
		return errno == EISDIR || errno == ENXIO ? -EPERM
							 : room_error();
	}
	r = check_file(fd, flags);
	if (r < 0) {
		if (flags & ENV_CREATE)
			unlinkat(dir, name, 0);
		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

static int
posix_file_open(struct env_dir *dir, const char *name, unsigned flags,
		struct env_file **out)
{
	struct posix_file *file = malloc(sizeof(*file));
	int r;

	if (!file)
		return -ENOMEM;
	r = open_file_fd(dir_fd(dir), name, flags, &file->fd);
	if (r < 0) {
		free(file);
		return r;
	}
	file->base.ops = &posix_ops;
	*out = &file->base;
	return 0;
}

static void
posix_file_close(struct env_file *file)
{
	close(file_fd(file));
	free(file);
}

/* One read.  Where the system cannot tell what is cached, waiting is allowed. */
static ssize_t
read_some(int fd, void *buf, size_t len, off_t offset, bool *nowait)
{
	struct iovec iov = { buf, len };
	ssize_t n;

	if (*nowait) {
		n = preadv2(fd, &iov, 1, offset, RWF_NOWAIT);
		if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
			return n;
		*nowait = false;
	}
	return pread(fd, buf, len, offset);
}

static int
posix_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len,
		bool nowait, size_t *out_len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = read_some(file_fd(file), (char *)buf + done, len - done,
			      (off_t)(offset + done), &nowait);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*out_len = done;
	return 0;
}

static int
posix_file_write(struct env_file *file, uint64_t offset, const void *data,
		 size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pwrite(file_fd(file), (const char *)data + done, len - done,
			   (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return room_error();
		/* POSIX leaves open what a write of nothing means; it must
		 * not become a loop without end. */
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	return 0;
}

static int
posix_file_sync(struct env_file *file)
{
	return sync_fd(file_fd(file), fdatasync);
}

static int
posix_file_size(struct env_file *file, uint64_t *out)
{
	struct stat st;

	if (fstat(file_fd(file), &st) < 0)
		return -errno;
	*out = (uint64_t)st.st_size;
	return 0;
}

static int
posix_file_truncate(struct env_file *file, uint64_t size)
{
	while (ftruncate(file_fd(file), (off_t)size) < 0) {
		if (errno != EINTR)
			return room_error();
	}
	return 0;
}

/* Not posix_fallocate(): where the filesystem cannot allocate, that one writes
 * zeros, which promises nothing on a copy-on-write filesystem and destroys what
 * another thread writes meanwhile. */
static int
posix_file_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
	while (fallocate(file_fd(file), 0, (off_t)offset, (off_t)len) < 0) {
		if (errno == ENOSYS)
			return -EOPNOTSUPP;
		if (errno != EINTR)
			return room_error();
	}
	return 0;
}

/* Where allocated space is a promise, a store through a mapping finds room.
 * Elsewhere (btrfs copies on write, network filesystems) it may not, and the
 * process dies of SIGBUS. */
static bool
maps_are_safe(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static int
posix_file_map(struct env_file *file, size_t len, void **out)
{
	int fd = file_fd(file);
	void *map;

	if (!maps_are_safe(fd))
		return -EOPNOTSUPP;
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*out = map;
	return 0;
}

static void
posix_file_unmap(struct env_file *file, void *map, size_t len)
{
	(void)file;
	munmap(map, len);
}

static int
posix_file_lock(struct env_file *file, bool exclusive)
{
	int how = (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;

	while (flock(file_fd(file), how) < 0) {
		if (errno == EWOULDBLOCK)
			return -EBUSY;
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* ---- Clocks and randomness ---- */

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts = { 0 };

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t
posix_now_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t
posix_wall_ns(struct env *env)
{
	(void)env;
	return clock_ns(CLOCK_REALTIME);
}

static void
posix_sleep_ns(struct env *env, uint64_t ns)
{
	struct timespec time = { (time_t)(ns / 1000000000),
				 (long)(ns % 1000000000) };

	(void)env;
	(void)nanosleep(&time, NULL);
}

static int
posix_random(struct env *env, void *buf, size_t len)
{
	size_t done = 0;
	ssize_t n;

	(void)env;
	while (done < len) {
		n = getrandom((char *)buf + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

static const struct env_ops posix_ops = {
	.dir_open = posix_dir_open,
	.dir_close = posix_dir_close,
	.dir_list = posix_dir_list,
	.dir_sync = posix_dir_sync,
	.dir_space = posix_dir_space,
	.dir_exchange = posix_dir_exchange,
	.dir_rename = posix_dir_rename,
	.dir_remove = posix_dir_remove,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.file_open = posix_file_open,
	.file_close = posix_file_close,
	.file_read = posix_file_read,
	.file_write = posix_file_write,
	.file_sync = posix_file_sync,
	.file_size = posix_file_size,
	.file_truncate = posix_file_truncate,
	.file_allocate = posix_file_allocate,
	.file_map = posix_file_map,
	.file_unmap = posix_file_unmap,
	.file_lock = posix_file_lock,
	.now_ns = posix_now_ns,
	.wall_ns = posix_wall_ns,
	.sleep_ns = posix_sleep_ns,
	.random = posix_random,
};

struct env *
env_posix(void)
{
	static struct env env = { &posix_ops };

	return &env;
}
