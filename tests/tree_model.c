/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model.c - see tree_model.h. */
#include <config.h>

#include "tests/tree_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/suite.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"

#define NAMES 6u
#define NODES 48u
#define CHUNK 16384u
#define XATTR_MAX 40u
#define CAPABILITY 0u

/* Contents of a file, owned. */
struct bytes {
	uint8_t *data;
	size_t size;
};

struct node {
	bool used;
	uint64_t ino;
	uint32_t mode;
	unsigned nlink;
	struct bytes now, old; /* `old`: what is logged, if held */
	bool held;
	uint64_t held_since;         /* in model->holds */
	struct node *parent;         /* of a directory */
	struct node *entries[NAMES]; /* of a directory, by name */
	char target[16];
	struct {
		bool set;
		size_t len;
		char bytes[XATTR_MAX];
	} xattrs[TREE_MODEL_XATTRS];
};

struct tree_model {
	uint64_t seed, holds;
	struct node nodes[NODES]; /* the first is the root */
};

/* In the order of a listing. */
static const char *const names[NAMES] = { "A", "B", "bar", "e", "f", "foo" };

const char *const tree_model_xattrs[TREE_MODEL_XATTRS] = {
	[CAPABILITY] = "security.capability",
	"user.a",
	"user.b",
};

static uint64_t
below(struct tree_model *m, uint64_t limit)
{
	return suite_random(&m->seed) % limit;
}

/* ---- Nodes ---- */

static struct node *
node_new(struct tree_model *m, uint32_t mode)
{
	for (size_t i = 0; i < NODES; i++) {
		struct node *node = &m->nodes[i];

		if (node->used)
			continue;
		memset(node, 0, sizeof(*node));
		node->used = true;
		node->mode = mode;
		node->nlink = S_ISDIR(mode) ? 2 : 1;
		return node;
	}
	return NULL;
}

static void
node_logged(struct node *node)
{
	free(node->old.data);
	node->old = (struct bytes){ 0 };
	node->held = false;
}

static void
node_drop(struct node *node)
{
	node_logged(node);
	if (S_ISDIR(node->mode) || --node->nlink == 0) {
		free(node->now.data);
		node->used = false;
	}
}

static void
node_resize(struct node *node, size_t size)
{
	if (size > node->now.size) {
		node->now.data = realloc(node->now.data, size);
		memset(node->now.data + node->now.size, 0,
		       size - node->now.size);
	}
	node->now.size = size;
}

static bool
is_dir(const struct node *node)
{
	return S_ISDIR(node->mode);
}

static struct node *
pick(struct tree_model *m, bool dir)
{
	for (;;) {
		struct node *node = &m->nodes[below(m, NODES)];

		if (node->used && is_dir(node) == dir)
			return node;
		if (!dir && below(m, 100) == 0)
			return NULL;
	}
}

static bool
dir_empty(const struct node *dir)
{
	for (size_t i = 0; i < NAMES; i++)
		if (dir->entries[i])
			return false;
	return true;
}

static bool
is_below(const struct node *dir, const struct node *top)
{
	for (; dir; dir = dir->parent)
		if (dir == top)
			return true;
	return false;
}

struct tree_model *
tree_model_new(uint64_t seed)
{
	struct tree_model *m = calloc(1, sizeof(*m));

	m->seed = seed;
	node_new(m, S_IFDIR | 0755)->ino = TREE_ROOT;
	return m;
}

void
tree_model_synced(struct tree_model *m)
{
	for (size_t i = 0; i < NODES; i++)
		if (m->nodes[i].used)
			node_logged(&m->nodes[i]);
}

void
tree_model_free(struct tree_model *m)
{
	tree_model_synced(m);
	for (size_t i = 0; i < NODES; i++)
		if (m->nodes[i].used)
			free(m->nodes[i].now.data);
	free(m);
}

/* ---- Operations ---- */

struct model_place
tree_model_place(struct tree_model *m, const char *path)
{
	struct model_place at = { &m->nodes[0], 0 };
	const char *name = strchr(path, '/');
	size_t len = name ? (size_t)(name - path) : strlen(path);

	for (; at.name < NAMES; at.name++)
		if (strlen(names[at.name]) == len &&
		    !memcmp(names[at.name], path, len))
			break;
	if (!name)
		return at;
	at.dir = at.dir->entries[at.name];
	for (at.name = 0; at.name < NAMES; at.name++)
		if (!strcmp(names[at.name], name + 1))
			break;
	return at;
}

static struct node **
entry_at(struct model_place at)
{
	return &at.dir->entries[at.name];
}

int
tree_model_make(struct tree_model *m, struct model_place at, uint32_t mode,
		const char *target)
{
	struct node *node;

	if (*entry_at(at))
		return -EEXIST;
	node = node_new(m, mode);
	if (!node)
		return -ENFILE;
	*entry_at(at) = node;
	if (target)
		snprintf(node->target, sizeof(node->target), "%s", target);
	if (is_dir(node)) {
		node->mode |= at.dir->mode & S_ISGID;
		node->parent = at.dir;
		at.dir->nlink++;
	}
	return 0;
}

static int
node_link(struct node *node, struct model_place at)
{
	if (is_dir(node))
		return -EPERM;
	if (*entry_at(at))
		return -EEXIST;
	node_logged(node);
	node->nlink++;
	*entry_at(at) = node;
	return 0;
}

int
tree_model_link(struct model_place from, struct model_place to)
{
	return *entry_at(from) ? node_link(*entry_at(from), to) : -ENOENT;
}

int
tree_model_remove(struct model_place at, bool dir)
{
	struct node *node = *entry_at(at);

	if (!node)
		return -ENOENT;
	if (dir != is_dir(node))
		return dir ? -ENOTDIR : -EISDIR;
	if (dir && !dir_empty(node))
		return -ENOTEMPTY;
	*entry_at(at) = NULL;
	at.dir->nlink -= dir;
	node_drop(node);
	return 0;
}

static int
rename_wants(struct model_place from, struct model_place to, unsigned flags)
{
	const struct node *node = *entry_at(from), *other = *entry_at(to);

	if (!node)
		return -ENOENT;
	if (other && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (!other && (flags & RENAME_EXCHANGE))
		return -ENOENT;
	if (node == other)
		return 0;
	if (is_dir(node) && is_below(to.dir, node))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE)
		return is_dir(other) && is_below(from.dir, other) ? -EINVAL : 0;
	if (!other)
		return 0;
	if (is_dir(node) != is_dir(other))
		return is_dir(node) ? -ENOTDIR : -EISDIR;
	return is_dir(other) && !dir_empty(other) ? -ENOTEMPTY : 0;
}

static void
place(struct model_place at, struct node *node)
{
	*entry_at(at) = node;
	if (!node)
		return;
	node_logged(node);
	if (is_dir(node)) {
		node->parent = at.dir;
		at.dir->nlink++;
	}
}

int
tree_model_rename(struct model_place from, struct model_place to,
		  unsigned flags)
{
	struct node *node = *entry_at(from), *other = *entry_at(to);
	int rc = rename_wants(from, to, flags);

	if (rc || node == other)
		return rc;
	from.dir->nlink -= is_dir(node);
	to.dir->nlink -= other && is_dir(other);
	place(from, flags & RENAME_EXCHANGE ? other : NULL);
	place(to, node);
	if (other && !(flags & RENAME_EXCHANGE))
		node_drop(other);
	return 0;
}

/* What is written to may not keep it. */
static void
node_lose_capability(struct node *node)
{
	node->xattrs[CAPABILITY].set = false;
}

static void
node_write(struct node *node, size_t offset, const void *data, size_t len)
{
	node_logged(node);
	node_lose_capability(node);
	if (offset + len > node->now.size)
		node_resize(node, offset + len);
	memcpy(node->now.data + offset, data, len);
}

static void
node_truncate(struct node *node, size_t size)
{
	node_logged(node);
	node_lose_capability(node);
	node_resize(node, size);
}

static void
node_empty(struct tree_model *m, struct node *node)
{
	if (node->xattrs[CAPABILITY].set) {
		node_truncate(node, 0);
		return;
	}
	if (node->held || !node->now.size)
		return;
	node->old = node->now;
	node->now = (struct bytes){ 0 };
	node->held = true;
	node->held_since = m->holds++;
}

static void
node_chmod(struct node *node, uint32_t mode)
{
	node->mode = (node->mode & S_IFMT) | mode;
	node_logged(node);
}

void
tree_model_write(struct model_place at, size_t offset, const void *data,
		 size_t len)
{
	node_write(*entry_at(at), offset, data, len);
}

void
tree_model_truncate(struct model_place at, size_t size)
{
	node_truncate(*entry_at(at), size);
}

void
tree_model_punch(struct model_place at, size_t offset, size_t len)
{
	struct node *node = *entry_at(at);

	node_logged(node);
	node_lose_capability(node);
	if (offset >= node->now.size)
		return;
	if (len > node->now.size - offset)
		len = node->now.size - offset;
	memset(node->now.data + offset, 0, len);
}

void
tree_model_empty(struct tree_model *m, struct model_place at)
{
	node_empty(m, *entry_at(at));
}

static void
node_setxattr(struct node *node, size_t name, size_t len, char fill)
{
	node_logged(node);
	node->xattrs[name].set = true;
	node->xattrs[name].len = len;
	memset(node->xattrs[name].bytes, fill, len);
}

void
tree_model_setxattr(struct model_place at, size_t name, size_t len, char fill)
{
	ck_assert_uint_le(len, XATTR_MAX);
	node_setxattr(*entry_at(at), name, len, fill);
}

void
tree_model_touch(struct model_place at)
{
	node_logged(*entry_at(at));
}

void
tree_model_chmod(struct model_place at, uint32_t mode)
{
	node_chmod(*entry_at(at), mode);
}

size_t
tree_model_size(struct model_place at)
{
	return (*entry_at(at))->now.size;
}

bool
tree_model_log_oldest(struct tree_model *m)
{
	struct node *oldest = NULL;

	for (size_t i = 0; i < NODES; i++) {
		struct node *node = &m->nodes[i];

		if (node->used && node->held &&
		    (!oldest || node->held_since < oldest->held_since))
			oldest = node;
	}
	if (oldest)
		node_logged(oldest);
	return oldest;
}

/* ---- Random ones ---- */

static struct model_place
pick_place(struct tree_model *m)
{
	struct model_place at = { .dir = pick(m, true) };

	at.name = below(m, NAMES);
	return at;
}

static struct keyfs_slice
name_of(struct model_place at)
{
	return keyfs_str(names[at.name]);
}

static void
step_make(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	uint32_t type = below(m, 3) ? S_IFREG : S_IFDIR;
	uint32_t mode = type | (uint32_t)below(m, 01000);
	struct tree_attr attr;
	int rc, want = tree_model_make(m, at, mode, NULL);

	if (want == -ENFILE)
		return; /* the model is full */
	if (type == S_IFDIR)
		rc = tree_mkdir(tree, &kit_user, at.dir->ino, name_of(at), mode,
				&attr);
	else
		rc = tree_mknod(tree, &kit_user, at.dir->ino, name_of(at), mode,
				0, &attr);
	ck_assert_int_eq(rc, want);
	if (!want)
		(*entry_at(at))->ino = attr.ino;
}

static void
step_symlink(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	struct tree_attr attr;
	char target[16];
	int want;

	snprintf(target, sizeof(target), "to-%u", (unsigned)below(m, 1000));
	want = tree_model_make(m, at, S_IFLNK | 0777, target);
	if (want == -ENFILE)
		return;
	ck_assert_int_eq(tree_symlink(tree, &kit_user, at.dir->ino, name_of(at),
				      keyfs_str(target), &attr),
			 want);
	if (!want)
		(*entry_at(at))->ino = attr.ino;
}

static void
step_link(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	struct node *node = pick(m, below(m, 20) == 0);
	struct tree_attr attr;

	if (!node)
		return;
	ck_assert_int_eq(tree_link(tree, &kit_user, node->ino, at.dir->ino,
				   name_of(at), &attr),
			 node_link(node, at));
}

static void
step_remove(struct tree_model *m, struct tree *tree)
{
	struct model_place at = pick_place(m);
	const struct node *node = *entry_at(at);
	bool rmdir = below(m, 3) == 0, gone;
	bool last = node && (rmdir || node->nlink == 1);
	int rc, want = tree_model_remove(at, rmdir);
	uint64_t ino;

	rc = rmdir ? tree_rmdir(tree, &kit_user, at.dir->ino, name_of(at), &ino,
				&gone)
		   : tree_unlink(tree, &kit_user, at.dir->ino, name_of(at),
				 &ino, &gone);
	ck_assert_int_eq(rc, want);
	if (want)
		return;
	ck_assert_uint_eq(ino, node->ino);
	ck_assert_int_eq(gone, last);
}

static void
step_rename(struct tree_model *m, struct tree *tree)
{
	static const unsigned flag_choice[] = { 0, 0, 0, RENAME_NOREPLACE,
						RENAME_EXCHANGE };
	struct model_place from = pick_place(m), to = pick_place(m);
	unsigned flags = flag_choice[below(m, 5)];
	uint64_t ino;
	bool gone;

	ck_assert_int_eq(tree_rename(tree, &kit_user, from.dir->ino,
				     name_of(from), to.dir->ino, name_of(to),
				     flags, &ino, &gone),
			 tree_model_rename(from, to, flags));
}

static size_t
some_size(struct tree_model *m, bool big)
{
	if (big && below(m, 12) == 0)
		return below(m, 90 * CHUNK);
	return below(m, below(m, 3) ? 2000 : 5 * CHUNK);
}

static void
step_write(struct tree_model *m, struct tree *tree, bool big)
{
	static uint8_t data[64 * CHUNK];
	struct node *node = pick(m, false);
	size_t offset, len;

	if (!node || !S_ISREG(node->mode))
		return;
	offset = below(m, 2) ? 0 : some_size(m, big);
	len = 1 + some_size(m, big) % sizeof(data);
	memset(data, (int)below(m, 256), len);
	ck_assert_int_eq(tree_write(tree, &kit_user, node->ino, offset,
				    keyfs_bytes(data, len)),
			 0);
	node_write(node, offset, data, len);
}

static void
step_truncate(struct tree_model *m, struct tree *tree, bool big)
{
	struct node *node = pick(m, false);
	struct tree_attr attr = { .size = some_size(m, big) };

	if (!node || !S_ISREG(node->mode))
		return;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino,
				      TREE_SET_SIZE | TREE_SET_BY_HANDLE, &attr,
				      &attr),
			 0);
	node_truncate(node, attr.size);
}

/* O_TRUNC: held, unless the file is empty. */
static void
step_empty(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, false);
	struct tree_attr attr = { .size = 0 };

	if (!node || !S_ISREG(node->mode))
		return;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino, TREE_SET_SIZE,
				      &attr, &attr),
			 0);
	node_empty(m, node);
}

static void
step_chmod(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 2));
	struct tree_attr attr = { .mode = (uint32_t)below(m, 010000) };

	if (!node)
		return;
	node_chmod(node, attr.mode);
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino, TREE_SET_MODE,
				      &attr, &attr),
			 0);
	ck_assert_uint_eq(attr.mode, node->mode);
}

static void
step_setxattr(struct tree_model *m, struct tree *tree)
{
	static const int flag_choice[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS), len = below(m, XATTR_MAX);
	int flags = flag_choice[below(m, 4)], want = 0;
	char fill = (char)below(m, 256), bytes[XATTR_MAX];

	if (!node)
		return;
	memset(bytes, fill, len);
	if (flags == XATTR_CREATE && node->xattrs[name].set)
		want = -EEXIST;
	if (flags == XATTR_REPLACE && !node->xattrs[name].set)
		want = -ENODATA;
	ck_assert_int_eq(tree_setxattr(tree, &kit_user, node->ino,
				       keyfs_str(tree_model_xattrs[name]),
				       keyfs_bytes(bytes, len), flags),
			 want);
	if (!want)
		node_setxattr(node, name, len, fill);
}

static void
step_removexattr(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS);

	if (!node)
		return;
	ck_assert_int_eq(tree_removexattr(tree, &kit_user, node->ino,
					  keyfs_str(tree_model_xattrs[name])),
			 node->xattrs[name].set ? 0 : -ENODATA);
	if (!node->xattrs[name].set)
		return;
	node_logged(node);
	node->xattrs[name].set = false;
}

static void
step_getxattr(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 3) == 0);
	size_t name = below(m, TREE_MODEL_XATTRS), len;
	char bytes[XATTR_MAX];
	int rc;

	if (!node)
		return;
	rc = tree_getxattr(tree, &kit_user, node->ino,
			   keyfs_str(tree_model_xattrs[name]), bytes,
			   sizeof(bytes), &len);
	ck_assert_int_eq(rc, node->xattrs[name].set ? 0 : -ENODATA);
	if (rc)
		return;
	ck_assert_uint_eq(len, node->xattrs[name].len);
	ck_assert_mem_eq(bytes, node->xattrs[name].bytes, len);
}

static void
step_read(struct tree_model *m, struct tree *tree)
{
	static uint8_t got[200 * CHUNK];
	struct node *node = pick(m, false);
	size_t offset, len, want;

	if (!node || !S_ISREG(node->mode))
		return;
	offset = below(m, node->now.size + 2);
	want = node->now.size > offset ? node->now.size - offset : 0;
	ck_assert_int_eq(tree_read(tree, &kit_user, node->ino, offset,
				   sizeof(got), got, &len),
			 0);
	ck_assert_uint_eq(len, want);
	if (want && memcmp(got, node->now.data + offset, want))
		ck_abort_msg("contents differ");
}

bool
tree_model_step(struct tree_model *m, struct tree *tree, bool big)
{
	uint64_t what = below(m, 100);

	if (what < 20)
		step_make(m, tree);
	else if (what < 23)
		step_symlink(m, tree);
	else if (what < 30)
		step_link(m, tree);
	else if (what < 42)
		step_remove(m, tree);
	else if (what < 54)
		step_rename(m, tree);
	else if (what < 60)
		step_setxattr(m, tree);
	else if (what < 62)
		step_removexattr(m, tree);
	else if (what < 63)
		step_getxattr(m, tree);
	else if (what < 74)
		step_write(m, tree, big);
	else if (what < 80)
		step_truncate(m, tree, big);
	else if (what < 88)
		step_empty(m, tree);
	else if (what < 91)
		step_chmod(m, tree);
	else if (what < 99)
		step_read(m, tree);
	else {
		ck_assert_int_eq(tree_sync(tree), 0);
		tree_model_synced(m);
		return true;
	}
	return false;
}

/* ---- Dumps ---- */

static void
tree_model_dump_node(FILE *to, const struct node *node, const char *path,
		     bool logged)
{
	const struct bytes *b = logged && node->held ? &node->old : &node->now;
	char below_path[256];

	if (S_ISLNK(node->mode))
		dump_line(to, path, node->mode, node->nlink, node->target,
			  strlen(node->target));
	else
		dump_line(to, path, node->mode, node->nlink, b->data, b->size);
	for (size_t i = 0; i < TREE_MODEL_XATTRS; i++)
		if (node->xattrs[i].set)
			dump_xattr(to, path, tree_model_xattrs[i],
				   node->xattrs[i].bytes, node->xattrs[i].len);
	for (size_t i = 0; i < NAMES && is_dir(node); i++) {
		if (!node->entries[i])
			continue;
		snprintf(below_path, sizeof(below_path), "%s/%s", path,
			 names[i]);
		tree_model_dump_node(to, node->entries[i], below_path, logged);
	}
}

char *
tree_model_dump(struct tree_model *m, bool logged)
{
	char *out;
	size_t len;
	FILE *to = open_memstream(&out, &len);

	tree_model_dump_node(to, &m->nodes[0], "", logged);
	fclose(to);
	return out;
}
