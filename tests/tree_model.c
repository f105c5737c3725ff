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
#include <xxhash.h>

#include "tests/suite.h"
#include "tests/tree_kit.h"

#define NAMES 6u
#define NODES 48u
#define CHUNK 16384u

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
	struct node *parent;         /* of a directory */
	struct node *entries[NAMES]; /* of a directory, by name */
	char target[16];
};

struct tree_model {
	uint64_t seed;
	struct node nodes[NODES]; /* the first is the root */
};

static const char *const names[NAMES] = { "a", "b", "c", "d", "e", "f" };

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

static void
step_make(struct tree_model *m, struct tree *tree)
{
	struct node *dir = pick(m, true), *node;
	size_t n = below(m, NAMES);
	uint32_t type = below(m, 3) ? S_IFREG : S_IFDIR;
	uint32_t mode = type | (uint32_t)below(m, 01000);
	struct tree_attr attr;
	int rc;

	node = dir->entries[n] ? NULL : node_new(m, mode);
	if (!node && !dir->entries[n])
		return; /* the model is full */
	if (type == S_IFDIR)
		rc = tree_mkdir(tree, &kit_user, dir->ino, keyfs_str(names[n]),
				mode, &attr);
	else
		rc = tree_mknod(tree, &kit_user, dir->ino, keyfs_str(names[n]),
				mode, 0, &attr);
	ck_assert_int_eq(rc, node ? 0 : -EEXIST);
	if (!node)
		return;
	node->ino = attr.ino;
	dir->entries[n] = node;
	if (type == S_IFDIR) {
		node->mode |= dir->mode & S_ISGID;
		node->parent = dir;
		dir->nlink++;
	}
}

static void
step_symlink(struct tree_model *m, struct tree *tree)
{
	struct node *dir = pick(m, true), *node;
	size_t n = below(m, NAMES);
	struct tree_attr attr;

	node = dir->entries[n] ? NULL : node_new(m, S_IFLNK | 0777);
	if (!node)
		return;
	snprintf(node->target, sizeof(node->target), "to-%u",
		 (unsigned)below(m, 1000));
	ck_assert_int_eq(tree_symlink(tree, &kit_user, dir->ino,
				      keyfs_str(names[n]),
				      keyfs_str(node->target), &attr),
			 0);
	node->ino = attr.ino;
	dir->entries[n] = node;
}

static void
step_link(struct tree_model *m, struct tree *tree)
{
	struct node *dir = pick(m, true), *node = pick(m, below(m, 20) == 0);
	size_t n = below(m, NAMES);
	struct tree_attr attr;
	int rc, want = 0;

	if (!node)
		return;
	if (is_dir(node))
		want = -EPERM;
	else if (dir->entries[n])
		want = -EEXIST;
	rc = tree_link(tree, &kit_user, node->ino, dir->ino,
		       keyfs_str(names[n]), &attr);
	ck_assert_int_eq(rc, want);
	if (want)
		return;
	node_logged(node);
	node->nlink++;
	dir->entries[n] = node;
}

static int
removal_wants(const struct node *node, bool dir)
{
	if (!node)
		return -ENOENT;
	if (dir != is_dir(node))
		return dir ? -ENOTDIR : -EISDIR;
	return dir && !dir_empty(node) ? -ENOTEMPTY : 0;
}

static void
step_remove(struct tree_model *m, struct tree *tree)
{
	struct node *dir = pick(m, true), *node;
	size_t n = below(m, NAMES);
	bool rmdir = below(m, 3) == 0, gone;
	uint64_t ino;
	int rc, want;

	node = dir->entries[n];
	want = removal_wants(node, rmdir);
	rc = rmdir ? tree_rmdir(tree, &kit_user, dir->ino, keyfs_str(names[n]),
				&ino, &gone)
		   : tree_unlink(tree, &kit_user, dir->ino, keyfs_str(names[n]),
				 &ino, &gone);
	ck_assert_int_eq(rc, want);
	if (want)
		return;
	ck_assert_uint_eq(ino, node->ino);
	ck_assert_int_eq(gone, rmdir || node->nlink == 1);
	dir->entries[n] = NULL;
	dir->nlink -= rmdir;
	node_drop(node);
}

static int
rename_wants(const struct node *from, const struct node *node,
	     const struct node *to, const struct node *other, unsigned flags)
{
	if (!node)
		return -ENOENT;
	if (other && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (!other && (flags & RENAME_EXCHANGE))
		return -ENOENT;
	if (node == other)
		return 0;
	if (is_dir(node) && is_below(to, node))
		return -EINVAL;
	if (flags & RENAME_EXCHANGE)
		return is_dir(other) && is_below(from, other) ? -EINVAL : 0;
	if (!other)
		return 0;
	if (is_dir(node) != is_dir(other))
		return is_dir(node) ? -ENOTDIR : -EISDIR;
	return is_dir(other) && !dir_empty(other) ? -ENOTEMPTY : 0;
}

static void
place(struct node *dir, size_t n, struct node *node)
{
	dir->entries[n] = node;
	if (!node)
		return;
	node_logged(node);
	if (is_dir(node)) {
		node->parent = dir;
		dir->nlink++;
	}
}

static void
rename_apply(struct node *from, size_t a, struct node *to, size_t b,
	     unsigned flags)
{
	struct node *node = from->entries[a], *other = to->entries[b];

	if (node == other)
		return;
	from->nlink -= is_dir(node);
	to->nlink -= other && is_dir(other);
	place(from, a, flags & RENAME_EXCHANGE ? other : NULL);
	place(to, b, node);
	if (other && !(flags & RENAME_EXCHANGE))
		node_drop(other);
}

static void
step_rename(struct tree_model *m, struct tree *tree)
{
	static const unsigned flag_choice[] = { 0, 0, 0, RENAME_NOREPLACE,
						RENAME_EXCHANGE };
	struct node *from = pick(m, true), *to = pick(m, true);
	size_t a = below(m, NAMES), b = below(m, NAMES);
	unsigned flags = flag_choice[below(m, 5)];
	uint64_t ino;
	bool gone;
	int want =
		rename_wants(from, from->entries[a], to, to->entries[b], flags);
	int rc = tree_rename(tree, &kit_user, from->ino, keyfs_str(names[a]),
			     to->ino, keyfs_str(names[b]), flags, &ino, &gone);

	ck_assert_int_eq(rc, want);
	if (!want)
		rename_apply(from, a, to, b, flags);
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
	node_logged(node);
	if (offset + len > node->now.size)
		node_resize(node, offset + len);
	memcpy(node->now.data + offset, data, len);
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
	node_logged(node);
	node_resize(node, attr.size);
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
	if (node->held || !node->now.size)
		return;
	node->old = node->now;
	node->now = (struct bytes){ 0 };
	node->held = true;
}

static void
step_chmod(struct tree_model *m, struct tree *tree)
{
	struct node *node = pick(m, below(m, 2));
	struct tree_attr attr = { .mode = (uint32_t)below(m, 010000) };

	if (!node)
		return;
	node->mode = (node->mode & S_IFMT) | attr.mode;
	ck_assert_int_eq(tree_setattr(tree, &kit_user, node->ino, TREE_SET_MODE,
				      &attr, &attr),
			 0);
	ck_assert_uint_eq(attr.mode, node->mode);
	node_logged(node);
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
	else if (what < 58)
		step_rename(m, tree);
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
dump_line(FILE *to, const char *path, uint32_t mode, unsigned nlink,
	  const void *data, size_t size)
{
	fprintf(to, "%s %o %u %zu %016" PRIx64 "\n", path, mode, nlink, size,
		(uint64_t)XXH3_64bits(data ? data : "", size));
}

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

struct dump {
	FILE *to;
	struct tree *tree;
	const char *path;
};

static void tree_dump_node(FILE *to, struct tree *tree, const char *path,
			   const struct tree_attr *attr);

static int
dump_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	const struct dump *d = arg;
	char path[256];

	snprintf(path, sizeof(path), "%s/%.*s", d->path, (int)name.len,
		 (const char *)name.data);
	tree_dump_node(d->to, d->tree, path, attr);
	return 0;
}

static void
tree_dump_node(FILE *to, struct tree *tree, const char *path,
	       const struct tree_attr *attr)
{
	struct dump d = { to, tree, path };
	char *data = NULL;
	size_t len = 0;

	if (S_ISLNK(attr->mode)) {
		ck_assert_int_eq(tree_readlink(tree, &kit_user, attr->ino,
					       &data, &len),
				 0);
	} else if (S_ISREG(attr->mode)) {
		data = malloc(attr->size + 1);
		ck_assert_int_eq(tree_read(tree, &kit_user, attr->ino, 0,
					   attr->size + 1, data, &len),
				 0);
	}
	dump_line(to, path, attr->mode, attr->nlink, data, len);
	free(data);
	if (S_ISDIR(attr->mode))
		ck_assert_int_eq(tree_readdir(tree, &kit_user, attr->ino,
					      (struct keyfs_slice){ 0 }, true,
					      dump_each, &d),
				 0);
}

char *
tree_dump(struct tree *tree)
{
	struct tree_attr root = kit_attr(tree, TREE_ROOT);
	char *out;
	size_t len;
	FILE *to = open_memstream(&out, &len);

	tree_dump_node(to, tree, "", &root);
	fclose(to);
	return out;
}

void
dump_expect(const char *got, const char *want)
{
	size_t line = 0, at = 0;

	for (; got[at] && got[at] == want[at]; at++)
		if (got[at] == '\n')
			line = at + 1;
	if (got[at] != want[at])
		ck_abort_msg("got \"%.*s\", want \"%.*s\"",
			     (int)strcspn(got + line, "\n"), got + line,
			     (int)strcspn(want + line, "\n"), want + line);
}
