/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair.c - decides what a damaged tree is to look like; see tree_repair.h. */
#include <config.h>

#include "fs/tree_repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree_repair_impl.h"

#define LOST_FOUND "lost+found"
#define PATH_BYTES 4096
#define DEPTH_MAX 4096

/* ---- Saying what is wrong ---- */

void
repair_tell(struct tree_repair *r, const char *where, const char *what)
{
	if (r->options->problem)
		(void)r->options->problem(r->options->arg, where, what);
}

void
repair_tell_ino(struct tree_repair *r, uint64_t ino, const char *what)
{
	char where[64];

	snprintf(where, sizeof(where), "inode %" PRIu64, ino);
	repair_tell(r, where, what);
}

/* Writes the path from its end; NULL: none leads there, or it is too long. */
static const char *
path_before(struct tree_repair *r, uint64_t ino, char *path, size_t at)
{
	unsigned depth = 0;

	while (ino != LAYOUT_ROOT) {
		const struct repair_node *node = repair_node_find(r, ino);
		const char *name;
		size_t len;

		if (!node || node->name == NO_NAME || depth++ > DEPTH_MAX)
			return NULL;
		name = r->names[node->name].name;
		len = strlen(name);
		if (len + 1 > at)
			return NULL;
		path[--at] = '/';
		memcpy(path + (at -= len), name, len);
		ino = r->names[node->name].parent;
	}
	return path + at;
}

static void
tell_path(struct tree_repair *r, uint64_t parent, const char *name,
	  uint64_t ino, const char *what)
{
	char path[PATH_BYTES];
	size_t len = strlen(name), at = sizeof(path) - 1;
	const char *found;

	path[at] = '\0';
	memcpy(path + (at -= len), name, len);
	found = path_before(r, parent, path, at);
	if (found)
		repair_tell(r, found, what);
	else
		repair_tell_ino(r, ino, what);
}

void
repair_tell_name(struct tree_repair *r, const struct repair_name *name,
		 const char *what)
{
	tell_path(r, name->parent, name->name, name->ino, what);
}

void
repair_tell_node(struct tree_repair *r, const struct repair_node *node,
		 const char *what)
{
	if (node->ino == LAYOUT_ROOT)
		repair_tell(r, "/", what);
	else if (node->name != NO_NAME)
		repair_tell_name(r, &r->names[node->name], what);
	else
		repair_tell_ino(r, node->ino, what);
}

/* ---- What each inode is ---- */

/* Attributes for what has lost its own, from the parts that are left. */
static void
make_attr(struct tree_repair *r, struct repair_node *node)
{
	uint64_t size_min = (uint64_t)r->inline_max + 1;

	node->made = true;
	node->a = (struct layout_attr){ .nlink = 1 };
	if (node->has_entries || node->ino == LAYOUT_ROOT) {
		node->a.mode = S_IFDIR | 0700;
		node->a.parent = LAYOUT_ROOT;
	} else if (node->has_chunks) {
		node->a.mode = S_IFREG | 0600;
		node->a.size =
			node->chunk_end > size_min ? node->chunk_end : size_min;
	} else if (node->has_target) {
		node->a.mode = S_IFLNK | 0777;
		node->a.size = node->target_len;
	} else {
		node->gone = true;
	}
}

bool
repair_node_is_removed(const struct repair_node *node)
{
	return node->has_attr && node->a.nlink == 0 &&
	       node->owed == LAYOUT_ORPHAN_REMOVE && node->names == 0 &&
	       node->entries == 0;
}

static void
settle_types(struct tree_repair *r)
{
	for (size_t i = 0; i < r->node_count; i++) {
		struct repair_node *node = &r->nodes[i];

		if (node->ino == LAYOUT_ROOT && node->has_attr &&
		    !S_ISDIR(node->a.mode))
			node->has_attr = false;
		if (!node->has_attr)
			make_attr(r, node);
		if (S_ISLNK(node->a.mode) && !node->has_target)
			node->gone = true;
		if (node->made && node->has_chunks &&
		    (node->gone || !S_ISREG(node->a.mode)))
			repair_tell_node(r, node,
					 "contents of what is no file: "
					 "removed");
		if (node->gone && node->xattrs)
			repair_tell_node(r, node,
					 "extended attributes of what is lost: "
					 "removed");
	}
}

static int
need_root(struct tree_repair *r)
{
	struct repair_node *root;

	if (repair_node_find(r, LAYOUT_ROOT))
		return 0;
	root = repair_node_add(r, LAYOUT_ROOT);
	if (!root)
		return -ENOMEM;
	/* No other number is below it. */
	memmove(r->nodes + 1, r->nodes,
		(r->node_count - 1) * sizeof(*r->nodes));
	r->nodes[0] =
		(struct repair_node){ .ino = LAYOUT_ROOT, .name = NO_NAME };
	r->sorted = r->node_count;
	return 0;
}

/* ---- Names ---- */

static void
name_take(size_t i, struct repair_node *dir, struct repair_node *node)
{
	bool is_dir = S_ISDIR(node->a.mode);

	dir->entries++;
	dir->subdirs += is_dir;
	node->names++;
	if (node->name == NO_NAME)
		node->name = i;
}

/* Takes a name away again; a directory has only that one. */
static void
name_drop(struct tree_repair *r, struct repair_node *node)
{
	struct repair_name *name = &r->names[node->name];
	struct repair_node *dir = repair_node_find(r, name->parent);

	name->dropped = true;
	dir->entries--;
	dir->subdirs--;
	node->names--;
	node->name = NO_NAME;
}

/* Why a name cannot stay, or NULL. */
static const char *
name_misfit(struct tree_repair *r, const struct repair_name *name,
	    struct repair_node *dir, struct repair_node *node)
{
	if (!dir || dir->gone || !S_ISDIR(dir->a.mode))
		return "is in no directory: removed";
	if (!node || node->gone)
		return "is lost";
	if ((node->a.mode & S_IFMT) != name->type)
		return "is of another type than its inode: removed";
	if (!S_ISDIR(node->a.mode) || node->names == 0)
		return NULL;
	/* A second name of a directory; the parent that it knows decides. */
	if (name->parent != node->a.parent ||
	    r->names[node->name].parent == node->a.parent)
		return "is a second name of a directory: removed";
	repair_tell_name(r, &r->names[node->name],
			 "is a second name of a directory: removed");
	name_drop(r, node);
	return NULL;
}

static void
settle_names(struct tree_repair *r)
{
	for (size_t i = 0; i < r->name_count; i++) {
		struct repair_name *name = &r->names[i];
		struct repair_node *dir = repair_node_find(r, name->parent);
		struct repair_node *node = repair_node_find(r, name->ino);

		name->dropped = name_misfit(r, name, dir, node) != NULL;
		if (!name->dropped)
			name_take(i, dir, node);
	}
}

/* Once all paths are known: why the names that were dropped were. */
static void
tell_dropped(struct tree_repair *r)
{
	for (size_t i = 0; i < r->name_count; i++) {
		struct repair_name *name = &r->names[i];
		struct repair_node *node = repair_node_find(r, name->ino);

		if (!name->dropped)
			continue;
		repair_tell_name(r, name,
				 !node || node->gone ? "is lost"
						     : "its entry does not fit "
						       "its inode: removed");
	}
}

/* ---- Paths ---- */

static struct repair_node *
parent_of(struct tree_repair *r, const struct repair_node *node)
{
	if (node->name == NO_NAME)
		return NULL;
	return repair_node_find(r, r->names[node->name].parent);
}

/* Cuts circles of directories open, each at one of them, which then has no name. */
static void
cut_circles(struct tree_repair *r)
{
	for (size_t i = 0; i < r->node_count; i++) {
		struct repair_node *at = &r->nodes[i], *next;

		if (!S_ISDIR(at->a.mode))
			continue;
		while (at && at->walk == WALK_UNKNOWN) {
			at->walk = WALK_NOW;
			at = parent_of(r, at);
		}
		if (at && at->walk == WALK_NOW) {
			repair_tell_name(r, &r->names[at->name],
					 "is in a circle of directories: its "
					 "name is removed");
			name_drop(r, at);
		}
		for (at = &r->nodes[i]; at && at->walk == WALK_NOW; at = next) {
			at->walk = WALK_ROOTED;
			next = parent_of(r, at);
		}
	}
}

/* ---- lost+found ---- */

static bool
is_homeless(const struct repair_node *node)
{
	return node->ino != LAYOUT_ROOT && !node->gone && node->names == 0 &&
	       !repair_node_is_removed(node);
}

static size_t
name_find(struct tree_repair *r, uint64_t parent, const char *text)
{
	for (size_t i = 0; i < r->name_count; i++)
		if (r->names[i].parent == parent && !r->names[i].dropped &&
		    !strcmp(r->names[i].name, text))
			return i;
	return NO_NAME;
}

/* Gives a node a name; `look`: the name may be taken. */
static int
name_node(struct tree_repair *r, uint64_t dir_ino,
	  const struct repair_node *node, const char *text, bool look)
{
	char name[64];
	int rc;

	snprintf(name, sizeof(name), "%s", text);
	for (unsigned n = 2; look && name_find(r, dir_ino, name) != NO_NAME;
	     n++)
		snprintf(name, sizeof(name), "%s-%u", text, n);
	rc = repair_name_add(r, dir_ino, keyfs_str(name), node->ino,
			     node->a.mode & S_IFMT);
	if (rc)
		return rc;
	r->names[r->name_count - 1].added = true;
	return 0;
}

/* The directory for what has no name; made if it is not there. */
static int
need_lost_found(struct tree_repair *r, uint64_t *out, bool *out_made)
{
	size_t i = name_find(r, LAYOUT_ROOT, LOST_FOUND);
	struct repair_node *node;
	int rc;

	*out_made = i == NO_NAME || r->names[i].type != S_IFDIR;
	if (!*out_made) {
		*out = r->names[i].ino;
		return 0;
	}
	if (r->bound > LAYOUT_INO_MAX)
		return -ENOSPC;
	*out = r->bound++;
	node = repair_node_add(r, *out);
	if (!node)
		return -ENOMEM;
	r->sorted = r->node_count;
	node->made = node->has_attr = true;
	node->a = (struct layout_attr){ .mode = S_IFDIR | 0700,
					.parent = LAYOUT_ROOT };
	rc = name_node(r, LAYOUT_ROOT, node, LOST_FOUND, true);
	if (rc)
		return rc;
	name_take(r->name_count - 1, repair_node_find(r, LAYOUT_ROOT), node);
	return 0;
}

static int
house(struct tree_repair *r, uint64_t lost_found, bool look, size_t i)
{
	struct repair_node *node = &r->nodes[i];
	char text[32];
	int rc;

	snprintf(text, sizeof(text), "%" PRIu64, node->ino);
	rc = name_node(r, lost_found, node, text, look);
	if (rc)
		return rc;
	name_take(r->name_count - 1, repair_node_find(r, lost_found), node);
	repair_tell_node(r, node, "had no name, and has got this");
	return 0;
}

static int
house_all(struct tree_repair *r)
{
	uint64_t lost_found = 0;
	size_t count = r->node_count;
	bool made = false;
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++) {
		if (!is_homeless(&r->nodes[i]))
			continue;
		if (!lost_found)
			rc = need_lost_found(r, &lost_found, &made);
		/* Made just now, it has a name. */
		if (rc == 0 && is_homeless(&r->nodes[i]))
			rc = house(r, lost_found, !made, i);
	}
	return rc;
}

/* ---- What the losses mean ---- */

/* The bytes of a file that lay between two keys; false: none. */
static bool
bytes_between(const struct keyfs_loss *loss, const struct repair_node *node,
	      uint64_t *out_from, uint64_t *out_to)
{
	struct layout_place lower, upper;
	uint64_t from = 0, to = node->a.size;

	if (!loss->has_keys || !loss->lower.len || !loss->upper.len ||
	    layout_key_parse(loss->lower, &lower))
		return false;
	/* A separator may be cut short: then it only bounds. */
	if (layout_key_parse(loss->upper, &upper))
		upper = (struct layout_place){ .kind = LAYOUT_ATTR,
					       .ino = UINT64_MAX };
	if (lower.kind != LAYOUT_DATA || node->ino < lower.ino ||
	    (upper.kind == LAYOUT_DATA && node->ino > upper.ino))
		return false;
	if (node->ino == lower.ino)
		from = lower.chunk << LAYOUT_CHUNK_BITS;
	if (upper.kind == LAYOUT_DATA && node->ino == upper.ino)
		to = (upper.chunk + 1) << LAYOUT_CHUNK_BITS;
	*out_from = from;
	*out_to = to < node->a.size ? to : node->a.size;
	return *out_from < *out_to;
}

static void
tell_lost_bytes(struct tree_repair *r, const struct repair_node *node)
{
	char what[160];
	uint64_t from, to;

	snprintf(what, sizeof(what),
		 "%" PRIu64 " bytes of its contents are lost and read as zeros",
		 node->a.stored - node->stored);
	repair_tell_node(r, node, what);
	for (size_t i = 0; i < r->options->loss_count; i++) {
		if (!bytes_between(&r->options->losses[i], node, &from, &to))
			continue;
		snprintf(what, sizeof(what),
			 "they lay between bytes %" PRIu64 " and %" PRIu64,
			 from, to);
		repair_tell_node(r, node, what);
	}
}

static void
tell_contents(struct tree_repair *r)
{
	for (size_t i = 0; i < r->node_count; i++) {
		const struct repair_node *node = &r->nodes[i];

		if (node->gone || repair_node_is_removed(node))
			continue;
		if (node->made && node->has_chunks)
			repair_tell_node(
				r, node,
				"its attributes are lost: owner, mode, "
				"times and size are guesses");
		else if (node->made && node->has_entries)
			repair_tell_node(r, node,
					 "its attributes are lost: owner, mode "
					 "and times are guesses");
		else if (node->has_attr && !node->made &&
			 S_ISREG(node->a.mode) && node->a.nlink &&
			 node->a.size > r->inline_max &&
			 node->stored < node->a.stored)
			tell_lost_bytes(r, node);
		if (node->has_attr && !node->made && node->a.nlink &&
		    node->xattrs < node->a.xattrs)
			repair_tell_node(r, node,
					 "some of its extended attributes are "
					 "lost");
	}
}

static void
tell_doubtful(struct tree_repair *r)
{
	uint64_t last = 0;

	for (size_t i = 0; i < r->options->doubtful_count; i++) {
		struct keyfs_slice key = r->options->doubtful[i];
		struct repair_node *node;
		struct layout_place at;

		if (layout_key_parse(key, &at) || !at.ino || at.ino == last)
			continue;
		last = at.ino;
		node = repair_node_find(r, at.ino);
		if (node && !node->gone)
			repair_tell_node(r, node,
					 S_ISDIR(node->a.mode)
						 ? "it or names in it may be "
						   "older than they were"
						 : "may be older than it was");
	}
}

/* ---- The whole ---- */

/* New inodes get numbers above all in use; lost+found is the first. */
static void
settle_bound(struct tree_repair *r)
{
	uint64_t least = LAYOUT_ROOT + 1;

	if (r->node_count)
		least = r->nodes[r->node_count - 1].ino + 1;
	for (size_t i = 0; i < r->name_count; i++)
		if (r->names[i].ino >= least)
			least = r->names[i].ino + 1;
	if (!r->has_bound || r->bound < least || r->bound > LAYOUT_INO_MAX)
		r->bound = least;
}

static int
decide(struct tree_repair *r)
{
	int rc = need_root(r);

	if (rc)
		return rc;
	if (!r->has_super)
		repair_tell(r, "superblock", "is lost: made anew");
	if (!repair_node_find(r, LAYOUT_ROOT)->has_attr)
		repair_tell(r, "/",
			    "its attributes are lost: owner, mode and "
			    "times are guesses");
	settle_bound(r);
	settle_types(r);
	settle_names(r);
	cut_circles(r);
	rc = house_all(r);
	if (rc)
		return rc;
	tell_dropped(r);
	tell_contents(r);
	tell_doubtful(r);
	return 0;
}

static void
repair_free(struct tree_repair *r)
{
	kv_view_close(r->kv, r->view);
	for (size_t i = 0; i < r->name_count; i++)
		free(r->names[i].name);
	free(r->names);
	free(r->nodes);
	repair_queue_free(r);
	free(r);
}

int
tree_repair(struct kv *kv, const struct tree_repair_options *options)
{
	struct tree_repair *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->kv = kv;
	r->options = options;
	r->inline_max = LAYOUT_INLINE;
	rc = kv_view_open(kv, &r->view);
	if (rc == 0)
		rc = repair_scan(r);
	if (rc == 0)
		rc = decide(r);
	if (rc == 0 && !options->dry_run)
		rc = repair_write(r);
	repair_free(r);
	return rc;
}
