/* SPDX-License-Identifier: Apache-2.0 */
/* files_store.c - the door to the files of a store that is not mounted: opens it
 * and calls its tree.
 *
 * The tree leaves permissions to the kernel.  There is no kernel in between
 * here, so the checks that it would make for this process are made in this file:
 * search on every directory of a path, read and write at its end, the sticky
 * bit. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/files.h"
#include "src/log.h"
#include "src/path.h"

#define READ_BYTES ((size_t)1 << 20)

struct files_store {
	struct files files;
	struct kv *kv;     /* owned */
	struct tree *tree; /* owned */
	struct tree_caller caller;
};

static struct files_store *
store_of(struct files *files)
{
	return (struct files_store *)files;
}

/* ---- Permissions, as generic_permission() in the kernel has them ---- */

static bool
in_group(const struct tree_caller *caller, uint32_t gid)
{
	gid_t *groups;
	bool found = caller->gid == gid;
	int i, n = getgroups(0, NULL);

	groups = n > 0 ? calloc((size_t)n, sizeof(*groups)) : NULL;
	if (groups == NULL)
		return found;
	n = getgroups(n, groups);
	for (i = 0; i < n; i++)
		found |= groups[i] == gid;
	free(groups);
	return found;
}

/* `want` is R_OK, W_OK, X_OK of access(2), together. */
static int
may(const struct tree_caller *caller, const struct tree_attr *attr,
    uint32_t want)
{
	uint32_t bits = attr->mode;

	if (caller->uid == 0)
		return 0;
	if (caller->uid == attr->uid)
		bits >>= 6;
	else if (in_group(caller, attr->gid))
		bits >>= 3;
	return (bits & want) == want ? 0 : -EACCES;
}

/* Removing or replacing `attr` in `parent`. */
static int
may_remove(const struct tree_caller *caller, const struct tree_attr *parent,
	   const struct tree_attr *attr)
{
	int r = may(caller, parent, W_OK | X_OK);

	if (r < 0)
		return r;
	if ((parent->mode & S_ISVTX) && caller->uid != 0 &&
	    caller->uid != attr->uid && caller->uid != parent->uid)
		return -EPERM;
	return 0;
}

/* ---- Paths ---- */

static int
walk(struct files_store *s, const char *path, size_t len, struct tree_attr *out)
{
	struct tree_attr attr;
	size_t n;
	int r;

	r = tree_getattr(s->tree, &s->caller, TREE_ROOT, &attr);
	while (r == 0 && len > 0) {
		const char *slash = memchr(path, '/', len);

		n = slash == NULL ? len : (size_t)(slash - path);
		if (!S_ISDIR(attr.mode))
			return -ENOTDIR;
		r = may(&s->caller, &attr, X_OK);
		if (r == 0)
			r = tree_lookup(s->tree, &s->caller, attr.ino,
					keyfs_bytes(path, n), &attr);
		path += n;
		len -= n;
		if (len > 0) {
			path++;
			len--;
		}
	}
	if (r == 0)
		*out = attr;
	return r;
}

/* The directory that holds the last component, checked for search, and that
 * component's name. */
static int
walk_parent(struct files_store *s, const char *path, struct tree_attr *out,
	    struct keyfs_slice *out_name)
{
	struct tree_attr parent;
	size_t parent_len;
	const char *base = path_base(path, &parent_len);
	int r;

	if (base[0] == '\0')
		return -EBUSY; /* the root: as rmdir(2) of a mountpoint */
	r = walk(s, path, parent_len, &parent);
	if (r < 0)
		return r;
	if (!S_ISDIR(parent.mode))
		return -ENOTDIR;
	r = may(&s->caller, &parent, X_OK);
	if (r < 0)
		return r;
	*out = parent;
	*out_name = keyfs_str(base);
	return 0;
}

static int
files_store_stat(struct files *files, const char *path, struct tree_attr *out)
{
	return walk(store_of(files), path, strlen(path), out);
}

/* ---- Reading ---- */

static int
files_store_read(struct files *files, const char *path, files_sink_fn sink,
		 void *arg)
{
	struct files_store *s = store_of(files);
	struct tree_attr attr;
	uint64_t offset = 0;
	size_t n;
	void *buf;
	int r;

	r = walk(s, path, strlen(path), &attr);
	if (r == 0)
		r = files_check_regular(attr.mode);
	if (r == 0)
		r = may(&s->caller, &attr, R_OK);
	if (r < 0)
		return r;
	buf = malloc(READ_BYTES);
	if (buf == NULL)
		return -ENOMEM;
	do {
		r = tree_read(s->tree, &s->caller, attr.ino, offset, READ_BYTES,
			      buf, &n);
		if (r == 0 && n > 0)
			r = sink(arg, buf, n);
		if (r == 0)
			offset += n;
	} while (r == 0 && n == READ_BYTES);
	free(buf);
	return r;
}

static int
files_store_readlink(struct files *files, const char *path, char **out)
{
	struct files_store *s = store_of(files);
	struct tree_attr attr;
	char *target, *string;
	size_t len;
	int r;

	r = walk(s, path, strlen(path), &attr);
	if (r < 0)
		return r;
	if (!S_ISLNK(attr.mode))
		return -EINVAL;
	r = tree_readlink(s->tree, &s->caller, attr.ino, &target, &len);
	if (r < 0)
		return r;
	string = strndup(target, len);
	free(target);
	if (string == NULL)
		return -ENOMEM;
	*out = string;
	return 0;
}

static int
files_store_list(struct files *files, const char *path, bool with_attr,
		 tree_each_fn each, void *arg)
{
	struct files_store *s = store_of(files);
	struct tree_attr attr;
	int r;

	r = walk(s, path, strlen(path), &attr);
	if (r == 0 && !S_ISDIR(attr.mode))
		r = -ENOTDIR;
	if (r == 0)
		r = may(&s->caller, &attr, with_attr ? R_OK | X_OK : R_OK);
	if (r < 0)
		return r;
	return tree_readdir(s->tree, &s->caller, attr.ino, keyfs_bytes(NULL, 0),
			    with_attr, each, arg);
}

/* ---- Writing ---- */

static mode_t
umask_now(void)
{
	mode_t mask = umask(077);

	umask(mask);
	return mask;
}

static int
files_store_mkdir(struct files *files, const char *path)
{
	struct files_store *s = store_of(files);
	struct tree_attr parent, attr;
	struct keyfs_slice name;
	int r;

	r = walk_parent(s, path, &parent, &name);
	if (r < 0)
		return r;
	/* mkdir(2) tells that a name is taken before it asks for permission. */
	if (tree_lookup(s->tree, &s->caller, parent.ino, name, &attr) == 0)
		return -EEXIST;
	r = may(&s->caller, &parent, W_OK | X_OK);
	if (r < 0)
		return r;
	return tree_mkdir(s->tree, &s->caller, parent.ino, name,
			  0777 & ~umask_now(), &attr);
}

/* Gives the new file `attr` the mode and, for root, the owner of `like`. */
static int
copy_attributes(struct files_store *s, const struct tree_attr *like,
		struct tree_attr *attr)
{
	unsigned set = TREE_SET_MODE;

	if (s->caller.uid == 0)
		set |= TREE_SET_UID | TREE_SET_GID;
	return tree_setattr(s->tree, &s->caller, attr->ino, set, like, attr);
}

static int
files_store_create(struct files *files, const char *path,
		   const struct tree_attr *like, struct files_handle *out)
{
	struct files_store *s = store_of(files);
	struct tree_attr parent, attr;
	struct keyfs_slice name;
	uint64_t ino;
	bool gone;
	int r;

	r = walk_parent(s, path, &parent, &name);
	if (r == 0)
		r = may(&s->caller, &parent, W_OK | X_OK);
	if (r == 0)
		r = tree_mknod(s->tree, &s->caller, parent.ino, name,
			       S_IFREG | (like ? 0600 : 0666 & ~umask_now()), 0,
			       &attr);
	if (r < 0)
		return r;
	if (like != NULL)
		r = copy_attributes(s, like, &attr);
	if (r < 0) {
		(void)tree_unlink(s->tree, &s->caller, parent.ino, name, &ino,
				  &gone);
		return r;
	}
	*out = (struct files_handle){ .ino = attr.ino, .fd = -1 };
	return 0;
}

static int
files_store_write(struct files *files, struct files_handle *handle,
		  uint64_t offset, const void *data, size_t len)
{
	struct files_store *s = store_of(files);

	return tree_write(s->tree, &s->caller, handle->ino, offset,
			  keyfs_bytes(data, len));
}

static void
files_store_close_file(struct files *files, struct files_handle *handle)
{
	(void)files; /* an inode number needs no closing */
	handle->ino = 0;
}

static int
files_store_rename(struct files *files, const char *from, const char *to)
{
	struct files_store *s = store_of(files);
	struct tree_attr parent, new_parent, attr;
	struct keyfs_slice name, new_name;
	uint64_t ino;
	bool gone;
	int r;

	r = walk_parent(s, from, &parent, &name);
	if (r == 0)
		r = walk_parent(s, to, &new_parent, &new_name);
	if (r == 0)
		r = tree_lookup(s->tree, &s->caller, parent.ino, name, &attr);
	if (r == 0)
		r = may_remove(&s->caller, &parent, &attr);
	if (r < 0)
		return r;
	r = tree_lookup(s->tree, &s->caller, new_parent.ino, new_name, &attr);
	if (r == 0)
		r = may_remove(&s->caller, &new_parent, &attr);
	else if (r == -ENOENT)
		r = may(&s->caller, &new_parent, W_OK | X_OK);
	if (r < 0)
		return r;
	return tree_rename(s->tree, &s->caller, parent.ino, name,
			   new_parent.ino, new_name, 0, &ino, &gone);
}

static int
remove_name(struct files *files, const char *path, bool directory)
{
	struct files_store *s = store_of(files);
	struct tree_attr parent, attr;
	struct keyfs_slice name;
	uint64_t ino;
	bool gone;
	int r;

	r = walk_parent(s, path, &parent, &name);
	if (r == 0)
		r = tree_lookup(s->tree, &s->caller, parent.ino, name, &attr);
	if (r == 0)
		r = may_remove(&s->caller, &parent, &attr);
	if (r < 0)
		return r;
	if (directory)
		return tree_rmdir(s->tree, &s->caller, parent.ino, name, &ino,
				  &gone);
	return tree_unlink(s->tree, &s->caller, parent.ino, name, &ino, &gone);
}

static int
files_store_unlink(struct files *files, const char *path)
{
	return remove_name(files, path, false);
}

static int
files_store_rmdir(struct files *files, const char *path)
{
	return remove_name(files, path, true);
}

/* ---- The whole ---- */

static int
files_store_sync(struct files *files)
{
	return tree_sync(store_of(files)->tree);
}

static int
files_store_stats(struct files *files, bool json, char **out)
{
	return kv_stats(store_of(files)->kv, json, out);
}

static int
files_store_close(struct files *files)
{
	struct files_store *s = store_of(files);
	int r = tree_close(s->tree);
	int r_kv = kv_close(s->kv);

	free(s);
	return r < 0 ? r : r_kv;
}

static const struct files_ops files_store_ops = {
	.stat = files_store_stat,
	.read = files_store_read,
	.readlink = files_store_readlink,
	.list = files_store_list,
	.mkdir = files_store_mkdir,
	.create = files_store_create,
	.write = files_store_write,
	.close_file = files_store_close_file,
	.rename = files_store_rename,
	.unlink = files_store_unlink,
	.rmdir = files_store_rmdir,
	.sync = files_store_sync,
	.stats = files_store_stats,
	.close = files_store_close,
};

int
files_store_open(const char *store, bool read_only, uint32_t lock_wait_ms,
		 struct files **out)
{
	static enum keyfs_log_level least = KEYFS_LOG_WARNING;
	struct keyfs_options options = { .size = sizeof(options),
					 .read_only = read_only,
					 .lock_wait_ms = lock_wait_ms,
					 .label = "the command line",
					 .log = log_line,
					 .log_arg = &least };
	struct tree_options tree_options = { .read_only = read_only };
	struct files_store *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return -ENOMEM;
	s->files.ops = &files_store_ops;
	s->caller = (struct tree_caller){ .uid = geteuid(), .gid = getegid() };
	tree_options.root_uid = s->caller.uid;
	tree_options.root_gid = s->caller.gid;
	r = kv_open(store, &options, &s->kv);
	if (r == 0)
		r = tree_open(s->kv, &tree_options, &s->tree);
	if (r < 0) {
		(void)kv_close(s->kv);
		free(s);
		return r;
	}
	*out = &s->files;
	return 0;
}
