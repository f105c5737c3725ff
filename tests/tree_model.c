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
#include "tests/tree_model_impl.h"

/* In the order of a listing. */
const char *const model_names[NAMES] = { "A", "B", "bar", "e", "f", "foo" };

const char *const tree_model_xattrs[TREE_MODEL_XATTRS] = {
	[CAPABILITY] = "security.capability",
	"user.a",
	"user.b",
};

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

void
model_node_logged(struct node *node)
{
	free(node->old.data);
	node->old = (struct bytes){ 0 };
	node->held = false;
}

static void
node_drop(struct node *node)
{
	model_node_logged(node);
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
			model_node_logged(&m->nodes[i]);
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
		if (strlen(model_names[at.name]) == len &&
		    !memcmp(model_names[at.name], path, len))
			break;
	if (!name)
		return at;
	at.dir = at.dir->entries[at.name];
	for (at.name = 0; at.name < NAMES; at.name++)
		if (!strcmp(model_names[at.name], name + 1))
			break;
	return at;
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

int
model_node_link(struct node *node, struct model_place at)
{
	if (is_dir(node))
		return -EPERM;
	if (*entry_at(at))
		return -EEXIST;
	model_node_logged(node);
	node->nlink++;
	*entry_at(at) = node;
	return 0;
}

int
tree_model_link(struct model_place from, struct model_place to)
{
	return *entry_at(from) ? model_node_link(*entry_at(from), to) : -ENOENT;
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
	model_node_logged(node);
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

void
model_node_write(struct node *node, size_t offset, const void *data, size_t len)
{
	model_node_logged(node);
	node_lose_capability(node);
	if (offset + len > node->now.size)
		node_resize(node, offset + len);
	memcpy(node->now.data + offset, data, len);
}

void
model_node_truncate(struct node *node, size_t size)
{
	model_node_logged(node);
	node_lose_capability(node);
	node_resize(node, size);
}

void
model_node_empty(struct tree_model *m, struct node *node)
{
	if (node->xattrs[CAPABILITY].set) {
		model_node_truncate(node, 0);
		return;
	}
	if (node->held || !node->now.size)
		return;
	node->old = node->now;
	node->now = (struct bytes){ 0 };
	node->held = true;
	node->held_since = m->holds++;
}

void
model_node_chmod(struct node *node, uint32_t mode)
{
	node->mode = (node->mode & S_IFMT) | mode;
	model_node_logged(node);
}

void
tree_model_write(struct model_place at, size_t offset, const void *data,
		 size_t len)
{
	model_node_write(*entry_at(at), offset, data, len);
}

void
tree_model_truncate(struct model_place at, size_t size)
{
	model_node_truncate(*entry_at(at), size);
}

void
tree_model_punch(struct model_place at, size_t offset, size_t len)
{
	struct node *node = *entry_at(at);

	model_node_logged(node);
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
	model_node_empty(m, *entry_at(at));
}

void
model_node_setxattr(struct node *node, size_t name, size_t len, char fill)
{
	model_node_logged(node);
	node->xattrs[name].set = true;
	node->xattrs[name].len = len;
	memset(node->xattrs[name].bytes, fill, len);
}

void
tree_model_setxattr(struct model_place at, size_t name, size_t len, char fill)
{
	ck_assert_uint_le(len, XATTR_MAX);
	model_node_setxattr(*entry_at(at), name, len, fill);
}

void
tree_model_touch(struct model_place at)
{
	model_node_logged(*entry_at(at));
}

void
tree_model_chmod(struct model_place at, uint32_t mode)
{
	model_node_chmod(*entry_at(at), mode);
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
		model_node_logged(oldest);
	return oldest;
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
			 model_names[i]);
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
