/* SPDX-License-Identifier: Apache-2.0 */
/* ops_dir.c - OPENDIR, READDIR, READDIRPLUS, RELEASEDIR; see ops.h.
 *
 * A listing goes on after a name (dirstream.h). OPENDIR is answered, unlike
 * OPEN, because the names of the last replies must be kept somewhere until
 * RELEASEDIR. */
#include <config.h>

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/dirstream.h"
#include "fs/ops.h"

/* A reply is not longer than this, however much the kernel has room for:
 * streams remember the names of two. */
#define REPLY_MAX 65536u

/* An open directory.  The kernel does not release what is open when the mount
 * ends, so they are kept in a list. */
struct ops_dir {
	struct ops_dir *next, **link; /* guarded by ops->dirs_lock */
	struct dirstream *stream;     /* owned */
};

static void
dir_unlink(struct ops *ops, struct ops_dir *dir)
{
	pthread_mutex_lock(&ops->dirs_lock);
	*dir->link = dir->next;
	if (dir->next)
		dir->next->link = dir->link;
	pthread_mutex_unlock(&ops->dirs_lock);
}

static void
dir_free(struct ops *ops, struct ops_dir *dir)
{
	dir_unlink(ops, dir);
	dirstream_free(dir->stream);
	free(dir);
}

static int
dir_new(struct ops *ops, struct ops_dir **out)
{
	struct ops_dir *dir = malloc(sizeof(*dir));

	if (!dir)
		return -ENOMEM;
	if (dirstream_new(&dir->stream) != 0) {
		free(dir);
		return -ENOMEM;
	}
	pthread_mutex_lock(&ops->dirs_lock);
	dir->next = ops->dirs;
	dir->link = &ops->dirs;
	if (dir->next)
		dir->next->link = &dir->next;
	ops->dirs = dir;
	pthread_mutex_unlock(&ops->dirs_lock);
	*out = dir;
	return 0;
}

void
ops_dirs_free(struct ops *ops)
{
	while (ops->dirs)
		dir_free(ops, ops->dirs);
}

static struct ops_dir *
dir_of(const struct fuse_file_info *fi)
{
	return (struct ops_dir *)(uintptr_t)fi->fh;
}

void
ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *ops = ops_of(req);
	struct ops_dir *dir;
	int r = dir_new(ops, &dir);

	(void)ino;
	if (r != 0) {
		ops_reply_result(req, r);
		return;
	}
	fi->fh = (uintptr_t)dir;
	/* Without keep_cache each OPENDIR would drop the cached listing. */
	fi->cache_readdir = 1;
	fi->keep_cache = 1;
	if (fuse_reply_open(req, fi) != 0)
		dir_free(ops, dir);
}

void
ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	dir_free(ops_of(req), dir_of(fi));
	fuse_reply_err(req, 0);
}

/* One reply in the making. */
struct listing {
	fuse_req_t req;
	const struct ops *ops;
	struct dirstream *stream;
	bool plus;
	char *buf;
	size_t size, len;
	/* The inodes that the buffer names with attributes: counted. */
	uint64_t inos[REPLY_MAX / 128];
	size_t ino_count;
};

_Static_assert(FUSE_NAME_OFFSET_DIRENTPLUS > 128,
	       "listing.inos holds a full reply");

static size_t
listing_put(struct listing *l, const char *name,
	    const struct fuse_entry_param *e, uint64_t offset)
{
	char *to = l->buf + l->len;
	size_t room = l->size - l->len;

	if (l->plus)
		return fuse_add_direntry_plus(l->req, to, room, name, e,
					      (off_t)offset);
	return fuse_add_direntry(l->req, to, room, name, &e->attr,
				 (off_t)offset);
}

/* "." and ".." carry no attributes: they are never counted. */
static void
listing_put_dot(struct listing *l, const char *name, uint64_t ino,
		uint64_t offset)
{
	struct fuse_entry_param e = { 0 };
	size_t need;

	e.attr.st_ino = ino;
	e.attr.st_mode = S_IFDIR;
	need = listing_put(l, name, &e, offset);
	if (need <= l->size - l->len)
		l->len += need;
}

#define LISTING_FULL 1

static int
listing_add(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct listing *l = arg;
	struct fuse_entry_param e;
	char text[TREE_NAME_MAX + 1];
	uint64_t offset;
	size_t need;
	int r;

	if (name.len > TREE_NAME_MAX)
		return -EIO;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	r = dirstream_add(l->stream, name, &offset);
	if (r != 0)
		return r;
	ops_fill_entry(l->ops, attr, &e);
	need = listing_put(l, text, &e, offset);
	if (need > l->size - l->len) {
		dirstream_drop_last(l->stream);
		return LISTING_FULL;
	}
	if (l->plus) {
		r = handle_ref(l->ops->handles, attr->ino);
		if (r != 0) {
			dirstream_drop_last(l->stream);
			return r;
		}
		l->inos[l->ino_count++] = attr->ino;
	}
	l->len += need;
	return 0;
}

static int
listing_add_dots(struct listing *l, const struct tree_caller *caller,
		 uint64_t ino, uint64_t offset)
{
	struct tree_attr parent = { .ino = ino };
	int r;

	if (offset > DIRSTREAM_AFTER_DOT)
		return 0;
	r = tree_lookup(l->ops->tree, caller, ino, keyfs_str(".."), &parent);
	if (r != 0 && r != -ENOENT)
		return r;
	if (offset == DIRSTREAM_START)
		listing_put_dot(l, ".", ino, DIRSTREAM_AFTER_DOT);
	listing_put_dot(l, "..", parent.ino, DIRSTREAM_AFTER_DOTS);
	return 0;
}

/* The search for an offset that the stream does not remember. */
struct search {
	struct dirstream_search hash;
	char name[TREE_NAME_MAX];
	size_t name_len;
};

#define SEARCH_FOUND 1

static int
search_step(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct search *s = arg;

	(void)attr;
	if (name.len > sizeof(s->name) || !dirstream_match(&s->hash, name))
		return 0;
	memcpy(s->name, name.data, name.len);
	s->name_len = name.len;
	return SEARCH_FOUND;
}

/* Finds the name after which the listing goes on; it may lie in *s. If the name
 * of an old offset is gone, the listing begins again: an entry that is told
 * twice does less harm than one that is never told. */
static int
find_place(const struct listing *l, const struct tree_caller *caller,
	   uint64_t ino, uint64_t offset, struct search *s,
	   struct keyfs_slice *out)
{
	int r;

	*out = keyfs_bytes(NULL, 0);
	if (offset <= DIRSTREAM_AFTER_DOTS ||
	    dirstream_find(l->stream, offset, out))
		return 0;
	*s = (struct search){ .hash.offset = offset };
	r = tree_readdir(l->ops->tree, caller, ino, *out, false, search_step,
			 s);
	if (r < 0)
		return r;
	if (r == SEARCH_FOUND)
		*out = keyfs_bytes(s->name, s->name_len);
	return 0;
}

static int
listing_fill(struct listing *l, uint64_t ino, uint64_t offset)
{
	struct tree_caller caller = ops_reader(l->req);
	struct keyfs_slice after;
	struct search search;
	int r = find_place(l, &caller, ino, offset, &search, &after);

	if (r == 0)
		r = listing_add_dots(l, &caller, ino, offset);
	if (r == 0)
		r = tree_readdir(l->ops->tree, &caller, ino, after, l->plus,
				 listing_add, l);
	return r;
}

/* Once an entry is in the buffer it is counted, and the buffer must go out,
 * whatever happened after that: what went wrong comes again with the next
 * request. */
static void
listing_reply(struct listing *l, int r)
{
	size_t i;

	if (l->len == 0 && r != 0) {
		ops_reply_result(l->req, r == LISTING_FULL ? -EINVAL : r);
		return;
	}
	/* At the end of the directory the stream still knows what came last. */
	if (l->len > 0)
		dirstream_end(l->stream);
	if (fuse_reply_buf(l->req, l->buf, l->len) != 0)
		for (i = 0; i < l->ino_count; i++)
			ops_forget(l->ops, l->inos[i], 1);
}

static void
list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
     const struct fuse_file_info *fi, bool plus)
{
	struct listing *l;

	if (size > REPLY_MAX)
		size = REPLY_MAX;
	l = malloc(sizeof(*l) + size);
	if (!l) {
		ops_reply_result(req, -ENOMEM);
		return;
	}
	l->req = req;
	l->ops = ops_of(req);
	l->stream = dir_of(fi)->stream;
	l->plus = plus;
	l->buf = (char *)(l + 1);
	l->size = size;
	l->len = 0;
	l->ino_count = 0;
	dirstream_begin(l->stream);
	listing_reply(l, listing_fill(l, ino, (uint64_t)offset));
	free(l);
}

void
ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
	    struct fuse_file_info *fi)
{
	list(req, ino, size, offset, fi, false);
}

void
ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	list(req, ino, size, offset, fi, true);
}
