/* SPDX-License-Identifier: Apache-2.0 */
/* files_mount.c - the door to the files of a mounted store: system calls below
 * its mountpoint.
 *
 * Paths are walked one component at a time from a descriptor of the root, so
 * that no symbolic link is followed and no other mount entered, whatever others
 * change meanwhile. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl.h"
#include "src/files.h"
#include "src/path.h"

#define READ_BYTES ((size_t)1 << 20)

struct files_mount {
	struct files files;
	char *store; /* owned */
	int root;    /* descriptor of the mountpoint */
	dev_t device;
};

static struct files_mount *
mount_of(struct files *files)
{
	return (struct files_mount *)files;
}

/* The directory one component below `dir`, which is closed. */
static int
step(struct files_mount *m, int dir, const char *name, size_t len)
{
	char component[TREE_NAME_MAX + 1];
	struct stat st;
	int fd, r = 0;

	memcpy(component, name, len);
	component[len] = '\0';
	fd = openat(dir, component,
		    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		r = -errno;
	else if (fstat(fd, &st) < 0)
		r = -errno;
	else if (st.st_dev != m->device)
		r = -EXDEV;
	close(dir);
	if (r == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return r;
}

/* A descriptor of the directory that holds the last component of `path`; for
 * the root, of the root with "." as the component. */
static int
open_parent(struct files_mount *m, const char *path, const char **out_base)
{
	size_t len;
	const char *base = path_base(path, &len);
	int fd = openat(m->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (fd >= 0 && len > 0) {
		const char *slash = memchr(path, '/', len);
		size_t n = slash == NULL ? len : (size_t)(slash - path);

		fd = step(m, fd, path, n);
		path += n;
		len -= n;
		if (len > 0) {
			path++;
			len--;
		}
	}
	*out_base = base[0] == '\0' ? "." : base;
	return fd;
}

static void
attr_from_stat(const struct stat *st, struct tree_attr *out)
{
	*out = (struct tree_attr){
		.ino = st->st_ino,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = st->st_rdev,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

static int
stat_at(struct files_mount *m, int dir, const char *base, struct tree_attr *out)
{
	struct stat st;

	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_dev != m->device)
		return -EXDEV;
	attr_from_stat(&st, out);
	return 0;
}

static int
files_mount_stat(struct files *files, const char *path, struct tree_attr *out)
{
	struct files_mount *m = mount_of(files);
	const char *base;
	int r, dir = open_parent(m, path, &base);

	if (dir < 0)
		return dir;
	r = stat_at(m, dir, base, out);
	close(dir);
	return r;
}

/* ---- Reading ---- */

/* Opens what is at `path`, after a look at what it is: opening a FIFO or a
 * device would do more than open. */
static int
open_checked(struct files_mount *m, const char *path, int flags,
	     int (*check)(uint32_t mode))
{
	struct tree_attr attr;
	const char *base;
	int fd, r, dir = open_parent(m, path, &base);

	if (dir < 0)
		return dir;
	r = stat_at(m, dir, base, &attr);
	if (r == 0)
		r = check(attr.mode);
	if (r == 0) {
		fd = openat(dir, base,
			    flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		r = fd < 0 ? -errno : fd;
	}
	close(dir);
	return r;
}

static int
check_directory(uint32_t mode)
{
	return S_ISDIR(mode) ? 0 : -ENOTDIR;
}

static int
files_mount_read(struct files *files, const char *path, files_sink_fn sink,
		 void *arg)
{
	ssize_t n;
	void *buf;
	int r, fd = open_checked(mount_of(files), path, O_RDONLY,
				 files_check_regular);

	if (fd < 0)
		return fd;
	buf = malloc(READ_BYTES);
	r = buf == NULL ? -ENOMEM : 0;
	while (r == 0) {
		n = read(fd, buf, READ_BYTES);
		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n == 0)
			break;
		if (n > 0)
			r = sink(arg, buf, (size_t)n);
	}
	free(buf);
	close(fd);
	return r;
}

static int
files_mount_readlink(struct files *files, const char *path, char **out)
{
	struct files_mount *m = mount_of(files);
	char target[TREE_SYMLINK_MAX + 1];
	const char *base;
	ssize_t n;
	int r = 0, dir = open_parent(m, path, &base);

	if (dir < 0)
		return dir;
	n = readlinkat(dir, base, target, sizeof(target));
	if (n < 0)
		r = -errno;
	close(dir);
	if (r < 0)
		return r;
	*out = strndup(target, (size_t)n);
	return *out == NULL ? -ENOMEM : 0;
}

struct name_list {
	char **names; /* owned, and each of them */
	size_t count, room;
};

static void
name_list_fini(struct name_list *list)
{
	while (list->count > 0)
		free(list->names[--list->count]);
	free(list->names);
}

static int
name_list_add(struct name_list *list, const char *name)
{
	if (list->count == list->room) {
		size_t room = list->room == 0 ? 64 : 2 * list->room;
		char **names = reallocarray(list->names, room, sizeof(*names));

		if (names == NULL)
			return -ENOMEM;
		list->names = names;
		list->room = room;
	}
	list->names[list->count] = strdup(name);
	if (list->names[list->count] == NULL)
		return -ENOMEM;
	list->count++;
	return 0;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted: a kernel promises no order. */
static int
name_list_read(struct name_list *list, DIR *stream)
{
	struct dirent *entry;
	int r = 0;

	while (r == 0) {
		errno = 0;
		entry = readdir(stream);
		if (entry == NULL)
			break;
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			r = name_list_add(list, entry->d_name);
	}
	if (r == 0 && errno != 0)
		r = -errno;
	if (r == 0 && list->count > 0)
		qsort(list->names, list->count, sizeof(*list->names), by_bytes);
	return r;
}

static int
name_list_each(struct files_mount *m, int dir, const struct name_list *list,
	       bool with_attr, tree_each_fn each, void *arg)
{
	struct tree_attr attr = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; i < list->count && r == 0; i++) {
		if (with_attr)
			r = stat_at(m, dir, list->names[i], &attr);
		/* Removed since it was listed, or hidden by another mount. */
		if (r == -ENOENT || r == -EXDEV) {
			r = 0;
			continue;
		}
		if (r == 0)
			r = each(arg, keyfs_str(list->names[i]), &attr);
	}
	return r;
}

static int
files_mount_list(struct files *files, const char *path, bool with_attr,
		 tree_each_fn each, void *arg)
{
	struct files_mount *m = mount_of(files);
	struct name_list list = { 0 };
	DIR *stream;
	int r, fd = open_checked(m, path, O_RDONLY | O_DIRECTORY,
				 check_directory);

	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (stream == NULL) {
		r = -errno;
		close(fd);
		return r;
	}
	r = name_list_read(&list, stream);
	if (r == 0)
		r = name_list_each(m, fd, &list, with_attr, each, arg);
	name_list_fini(&list);
	closedir(stream);
	return r;
}

/* ---- Writing ---- */

static int
files_mount_mkdir(struct files *files, const char *path)
{
	const char *base;
	int r, dir = open_parent(mount_of(files), path, &base);

	if (dir < 0)
		return dir;
	r = mkdirat(dir, base, 0777) < 0 ? -errno : 0;
	close(dir);
	return r;
}

/* The owner first: a change of owner clears the set-id bits. */
static int
copy_attributes(int fd, const struct tree_attr *like)
{
	if (geteuid() == 0 && fchown(fd, like->uid, like->gid) < 0)
		return -errno;
	return fchmod(fd, like->mode & 07777) < 0 ? -errno : 0;
}

static int
files_mount_create(struct files *files, const char *path,
		   const struct tree_attr *like, struct files_handle *out)
{
	const char *base;
	int fd, r = 0, dir = open_parent(mount_of(files), path, &base);

	if (dir < 0)
		return dir;
	fd = openat(dir, base,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    like ? 0600 : 0666);
	if (fd < 0)
		r = -errno;
	else if (like != NULL)
		r = copy_attributes(fd, like);
	if (fd >= 0 && r < 0) {
		(void)unlinkat(dir, base, 0);
		close(fd);
	}
	close(dir);
	if (r == 0)
		*out = (struct files_handle){ .fd = fd };
	return r;
}

static int
files_mount_write(struct files *files, struct files_handle *handle,
		  uint64_t offset, const void *data, size_t len)
{
	const char *bytes = data;
	ssize_t n;

	(void)files; /* the descriptor says it all */
	while (len > 0) {
		n = pwrite(handle->fd, bytes, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static void
files_mount_close_file(struct files *files, struct files_handle *handle)
{
	(void)files;
	close(handle->fd);
	handle->fd = -1;
}

static int
files_mount_rename(struct files *files, const char *from, const char *to)
{
	struct files_mount *m = mount_of(files);
	const char *base, *new_base;
	int r, new_dir, dir = open_parent(m, from, &base);

	if (dir < 0)
		return dir;
	new_dir = open_parent(m, to, &new_base);
	if (new_dir < 0)
		r = new_dir;
	else
		r = renameat(dir, base, new_dir, new_base) < 0 ? -errno : 0;
	close(dir);
	if (new_dir >= 0)
		close(new_dir);
	return r;
}

static int
remove_name(struct files *files, const char *path, int flags)
{
	const char *base;
	int r, dir;

	if (path[0] == '\0')
		return -EBUSY;
	dir = open_parent(mount_of(files), path, &base);
	if (dir < 0)
		return dir;
	r = unlinkat(dir, base, flags) < 0 ? -errno : 0;
	close(dir);
	return r;
}

static int
files_mount_unlink(struct files *files, const char *path)
{
	return remove_name(files, path, 0);
}

static int
files_mount_rmdir(struct files *files, const char *path)
{
	return remove_name(files, path, AT_REMOVEDIR);
}

/* ---- The whole ---- */

static int
files_mount_sync(struct files *files)
{
	char *body;
	size_t len;
	int r = ctl_request(mount_of(files)->store, "sync", &body, &len);

	if (r == 0)
		free(body);
	return r;
}

static int
files_mount_stats(struct files *files, bool json, char **out)
{
	size_t len;

	return ctl_request(mount_of(files)->store,
			   json ? "stats json" : "stats", out, &len);
}

static int
files_mount_close(struct files *files)
{
	struct files_mount *m = mount_of(files);

	close(m->root);
	free(m->store);
	free(m);
	return 0;
}

static const struct files_ops files_mount_ops = {
	.stat = files_mount_stat,
	.read = files_mount_read,
	.readlink = files_mount_readlink,
	.list = files_mount_list,
	.mkdir = files_mount_mkdir,
	.create = files_mount_create,
	.write = files_mount_write,
	.close_file = files_mount_close_file,
	.rename = files_mount_rename,
	.unlink = files_mount_unlink,
	.rmdir = files_mount_rmdir,
	.sync = files_mount_sync,
	.stats = files_mount_stats,
	.close = files_mount_close,
};

int
files_mount_open(const char *store, const char *mountpoint, struct files **out)
{
	struct files_mount *m = calloc(1, sizeof(*m));
	struct stat st;
	int r = 0;

	if (m == NULL)
		return -ENOMEM;
	m->files.ops = &files_mount_ops;
	m->root = open(mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	m->store = strdup(store);
	if (m->root < 0 || fstat(m->root, &st) < 0)
		r = -errno;
	else if (m->store == NULL)
		r = -ENOMEM;
	if (r < 0) {
		if (m->root >= 0)
			close(m->root);
		free(m->store);
		free(m);
		return r;
	}
	m->device = st.st_dev;
	*out = &m->files;
	return 0;
}
