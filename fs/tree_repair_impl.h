/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair_impl.h - what the parts of tree_repair.h share: what was found of a tree,
 * as inodes and names that point at each other by number.
 *
 *	tree_repair_scan.c   reads every key into it; queues what can never be right
 *	tree_repair.c        decides what the tree is to look like
 *	tree_repair_write.c  writes the difference, and batches */
#ifndef FS_TREE_REPAIR_IMPL_H
#define FS_TREE_REPAIR_IMPL_H

#include "fs/layout.h"
#include "fs/tree_repair.h"

#define NO_NAME SIZE_MAX
/* Changes in one commit. */
#define QUEUE_MAX 256u

struct repair_node {
	uint64_t ino;
	struct layout_attr a; /* without contents */
	uint64_t chunk_end;   /* past the last byte in chunks */
	uint64_t stored;      /* of those that count */
	uint64_t names, subdirs, entries;
	size_t name; /* by which a path leads here, or NO_NAME */
	uint32_t target_len, xattrs; /* of the list of their names */
	enum layout_orphan owed;     /* 0: nothing */
	bool has_attr, has_target, has_entries, has_chunks;
	bool made; /* its attributes are new */
	bool gone; /* nothing of it can be kept */
	enum { WALK_UNKNOWN, WALK_NOW, WALK_ROOTED } walk;
};

struct repair_name {
	uint64_t parent, ino;
	uint32_t type;
	char *name; /* owned, with a zero behind */
	bool dropped, added;
};

struct tree_repair {
	struct kv *kv; /* borrowed */
	struct kv_view *view;
	const struct tree_repair_options *options;

	struct repair_node *nodes; /* owned; by number */
	size_t node_count, node_capacity, sorted;
	struct repair_name *names; /* owned */
	size_t name_count, name_capacity;

	uint32_t inline_max;
	bool has_super, has_bound, bad_moves;
	uint64_t bound;        /* of 'S' 'N' */
	size_t known, unknown; /* keys of a tree, and others */

	/* Changes to be committed; their bytes are owned. */
	struct kv_change queue[QUEUE_MAX];
	size_t queued, queued_bytes;
};

/* ---- tree_repair_scan.c ---- */

int repair_scan(struct tree_repair *r);
/* Adds a node; NULL: no memory.  repair_node_find() finds it once `sorted` counts it. */
struct repair_node *repair_node_add(struct tree_repair *r, uint64_t ino);
struct repair_node *repair_node_find(struct tree_repair *r, uint64_t ino);
int repair_name_add(struct tree_repair *r, uint64_t parent,
		    struct keyfs_slice name, uint64_t ino, uint32_t type);

/* ---- tree_repair.c ---- */

/* A removed object that only waits for its contents to go. */
bool repair_node_is_removed(const struct repair_node *node);

void repair_tell(struct tree_repair *r, const char *where, const char *what);
void repair_tell_ino(struct tree_repair *r, uint64_t ino, const char *what);
/* By path, or by number if none leads to it. */
void repair_tell_node(struct tree_repair *r, const struct repair_node *node,
		      const char *what);
void repair_tell_name(struct tree_repair *r, const struct repair_name *name,
		      const char *what);

/* ---- tree_repair_write.c ---- */

int repair_put(struct tree_repair *r, struct keyfs_slice key,
	       struct keyfs_slice value);
int repair_delete(struct tree_repair *r, struct keyfs_slice key);
int repair_flush(struct tree_repair *r);
void repair_queue_free(struct tree_repair *r);
/* Everything that was decided. */
int repair_write(struct tree_repair *r);

#endif
