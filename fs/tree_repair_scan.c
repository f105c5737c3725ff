/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair_scan.c - reads every key of what was a tree; see tree_repair_impl.h.
 *
 * Four scans: the superblock, which says how long inline contents are; inodes, which come
 * in order of their numbers; chunks, which need them; the rest. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/tree_repair_impl.h"

/* ---- Nodes and names ---- */

struct repair_node *
repair_node_add(struct tree_repair *r, uint64_t ino)
{
	struct repair_node *node;

	if (r->node_count == r->node_capacity) {
		size_t capacity = r->node_capacity * 2 + 256;

		node = realloc(r->nodes, capacity * sizeof(*node));
		if (!node)
			return NULL;
		r->nodes = node;
		r->node_capacity = capacity;
	}
	node = &r->nodes[r->node_count++];
	*node = (struct repair_node){ .ino = ino, .name = NO_NAME };
	return node;
}

struct repair_node *
repair_node_find(struct tree_repair *r, uint64_t ino)
{
	size_t lo = 0, hi = r->sorted;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->nodes[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < r->sorted && r->nodes[lo].ino == ino ? &r->nodes[lo] : NULL;
}

/* The last one added, if it is that one: keys come in order. */
static struct repair_node *
node_at_end(struct tree_repair *r, uint64_t ino)
{
	if (r->node_count > 0 && r->nodes[r->node_count - 1].ino == ino)
		return &r->nodes[r->node_count - 1];
	return repair_node_add(r, ino);
}

int
repair_name_add(struct tree_repair *r, uint64_t parent, struct keyfs_slice name,
		uint64_t ino, uint32_t type)
{
	struct repair_name *names = r->names;

	if (r->name_count == r->name_capacity) {
		size_t capacity = r->name_capacity * 2 + 256;

		names = realloc(names, capacity * sizeof(*names));
		if (!names)
			return -ENOMEM;
		r->names = names;
		r->name_capacity = capacity;
	}
	names += r->name_count;
	*names = (struct repair_name){ .parent = parent,
				       .ino = ino,
				       .type = type,
				       .name = strndup(name.data, name.len) };
	if (!names->name)
		return -ENOMEM;
	r->name_count++;
	return 0;
}

static int
by_ino(const void *a, const void *b)
{
	const struct repair_node *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static void
sort_nodes(struct tree_repair *r)
{
	if (r->node_count)
		qsort(r->nodes, r->node_count, sizeof(*r->nodes), by_ino);
	r->sorted = r->node_count;
}

/* ---- Keys that can never be right ---- */

static int
drop(struct tree_repair *r, struct keyfs_slice key, const char *what)
{
	char where[LAYOUT_KEY_TEXT];
	struct layout_place at;

	if (layout_key_parse(key, &at) == 0) {
		repair_tell_ino(r, at.ino, what);
	} else {
		layout_key_text(key, where);
		repair_tell(r, where, what);
	}
	return repair_delete(r, key);
}

static int
drop_unknown(struct tree_repair *r, struct keyfs_slice key)
{
	return drop(r, key, "no key of a tree looks like this: removed");
}

/* ---- Inodes ---- */

static int
xattr_of(struct tree_repair *r, struct repair_node *node,
	 const struct layout_place *at, struct keyfs_slice key,
	 struct keyfs_slice value)
{
	uint32_t bytes = (uint32_t)at->name.len + 1;

	if (value.len > LAYOUT_XATTR_SIZE_MAX ||
	    (acl_is_name(at->name) && acl_check(value)) ||
	    bytes > LAYOUT_XATTR_LIST_MAX - node->xattrs)
		return drop(r, key, "a bad extended attribute: removed");
	node->xattrs += bytes;
	return 0;
}

static int
inode_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	struct tree_repair *r = arg;
	struct repair_node *node;
	struct layout_entry entry;
	struct layout_place at;

	(void)version;
	if (layout_key_parse(key, &at))
		return drop_unknown(r, key);
	node = node_at_end(r, at.ino);
	if (!node)
		return -ENOMEM;
	if (at.kind == LAYOUT_ATTR) {
		node->has_attr =
			layout_attr_decode(value, r->inline_max, &node->a) == 0;
		node->stored = node->has_attr ? node->a.contents.len : 0;
		node->a.contents.data = NULL;
		return 0;
	}
	if (at.kind == LAYOUT_LINK) {
		node->has_target = value.len > 0 &&
				   value.len <= LAYOUT_SYMLINK_MAX &&
				   !memchr(value.data, 0, value.len);
		node->target_len = (uint32_t)value.len;
		return node->has_target ? 0
					: drop(r, key,
					       "a bad target: "
					       "removed");
	}
	if (at.kind == LAYOUT_XATTR)
		return xattr_of(r, node, &at, key, value);
	if (layout_entry_decode(value, &entry))
		return drop(r, key, "a bad entry: removed");
	node->has_entries = true;
	return repair_name_add(r, at.ino, at.name, entry.ino, entry.type);
}

/* ---- Chunks ---- */

static bool
is_stale(const struct layout_attr *a, uint64_t chunk)
{
	return chunk >= a->stale_from && chunk < a->stale_to;
}

/* What may stay of a chunk; more is never shown again. */
static int
chunk_of_file(struct tree_repair *r, struct repair_node *node,
	      const struct layout_place *at, struct keyfs_slice key,
	      struct keyfs_slice value)
{
	uint64_t base = at->chunk << LAYOUT_CHUNK_BITS;
	uint64_t room = LAYOUT_CHUNK;

	if (!node->has_attr) {
		if (value.len > room)
			return drop(r, key,
				    "a chunk that is too long: removed");
		node->chunk_end = base + value.len;
		node->stored += value.len;
		return 0;
	}
	if (!S_ISREG(node->a.mode))
		return drop(r, key, "contents of what is no file: removed");
	if (is_stale(&node->a, at->chunk))
		return 0;
	if (node->a.size <= r->inline_max || base >= node->a.size)
		return drop(r, key, "contents behind its end: removed");
	if (node->a.size - base < room)
		room = node->a.size - base;
	if (value.len > room) {
		node->stored += room;
		return repair_put(r, key, keyfs_bytes(value.data, room));
	}
	node->stored += value.len;
	return 0;
}

static int
chunk_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	struct tree_repair *r = arg;
	struct repair_node *node;
	struct layout_place at;

	(void)version;
	if (layout_key_parse(key, &at))
		return drop_unknown(r, key);
	node = repair_node_find(r, at.ino);
	/* Not sorted in yet: it is among those that were added last. */
	if (!node && r->node_count > r->sorted &&
	    r->nodes[r->node_count - 1].ino == at.ino)
		node = &r->nodes[r->node_count - 1];
	if (!node)
		node = repair_node_add(r, at.ino);
	if (!node)
		return -ENOMEM;
	node->has_chunks = true;
	return chunk_of_file(r, node, &at, key, value);
}

/* ---- The rest ---- */

static int
orphan_key(struct tree_repair *r, const struct layout_place *at,
	   struct keyfs_slice key, struct keyfs_slice value)
{
	struct repair_node *node = repair_node_find(r, at->ino);
	enum layout_orphan owed;

	if (!node || layout_orphan_decode(value, &owed))
		return drop(r, key, "bad work owed: removed");
	node->owed = owed;
	return 0;
}

static int
rest_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct tree_repair *r = arg;
	struct layout_place at;

	(void)version;
	if (layout_key_parse(key, &at))
		return drop_unknown(r, key);
	return at.kind == LAYOUT_ORPHAN ? orphan_key(r, &at, key, value) : 0;
}

static int
super_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	struct tree_repair *r = arg;
	struct layout_super super;
	struct layout_place at;
	uint64_t moves;

	(void)version;
	if (layout_key_parse(key, &at))
		return 0; /* the last scan looks at it */
	if (at.kind == LAYOUT_SUPER) {
		int rc = layout_super_decode(value, &super);

		if (rc == -EPROTONOSUPPORT)
			return rc;
		r->has_super = rc == 0;
		if (r->has_super)
			r->inline_max = super.inline_max;
	}
	if (at.kind == LAYOUT_INOS)
		r->has_bound = layout_number_decode(value, &r->bound) == 0;
	if (at.kind == LAYOUT_MOVES)
		r->bad_moves = layout_number_decode(value, &moves) != 0;
	return 0;
}

static int
scan_part(struct tree_repair *r, const char *from, const char *to,
	  kv_each_fn each)
{
	struct keyfs_slice end = { 0 };

	if (*to)
		end = keyfs_bytes(to, 1);
	return kv_scan(r->kv, r->view, keyfs_bytes(from, 1), end, 0, each, r);
}

/* Whether these are files at all: a store of another program must not be tidied up. */
static int
count_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	struct tree_repair *r = arg;
	struct layout_place at;

	(void)value;
	(void)version;
	if (layout_key_parse(key, &at))
		r->unknown++;
	else
		r->known++;
	return 0;
}

static int
expect_tree(struct tree_repair *r)
{
	int rc;

	if (r->has_super)
		return 0;
	rc = scan_part(r, "\0", "", count_each);
	return rc == 0 && r->unknown > r->known ? -EUCLEAN : rc;
}

int
repair_scan(struct tree_repair *r)
{
	int rc = scan_part(r, "S", "T", super_each);

	if (rc == 0)
		rc = expect_tree(r);
	if (rc == 0)
		rc = scan_part(r, "I", "J", inode_each);
	if (rc == 0) {
		sort_nodes(r);
		rc = scan_part(r, "\0", "I", chunk_each);
	}
	if (rc == 0) {
		sort_nodes(r);
		rc = scan_part(r, "J", "", rest_each);
	}
	return rc;
}
