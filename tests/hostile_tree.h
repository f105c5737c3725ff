/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_tree.h - a small tree in memory whose keys can be changed under it.
 *
 *	/ A/ foo   300 bytes        / B/ link -> foo
 *	     bar   40000 bytes           pipe
 *	     sub/ deep
 *
 * No tree is open on it while its keys are changed.  What is put is well formed, as
 * somebody would put it who knows the layout: only what it says may be wrong.  Each
 * call asserts that it succeeds.  One thread. */
#ifndef TESTS_HOSTILE_TREE_H
#define TESTS_HOSTILE_TREE_H

#include "fs/kv.h"
#include "fs/layout.h"

#define HOSTILE_BAR_BYTES 40000u

struct hostile_tree {
	struct kv *kv; /* owned */
	uint64_t dir_a, dir_b, foo, bar, sub, deep, link_ino, pipe_ino;

	/* Attributes taken out, to be changed and put back; what they refer to. */
	struct layout_attr spoilt;
	uint8_t attr_bytes[LAYOUT_ATTR_MAX + LAYOUT_INLINE];
};

void hostile_tree_init(struct hostile_tree *t);
void hostile_tree_fini(struct hostile_tree *t);

/* The value of a key in memory of its own, which the caller frees. */
struct keyfs_slice
hostile_value(struct hostile_tree *t, struct keyfs_slice key);
/* The value of a key, longer or shorter, with zeros behind. */
void hostile_resize(struct hostile_tree *t, struct keyfs_slice key, size_t len);
/* Byte number `at` of a value. */
void hostile_set_byte(struct hostile_tree *t, struct keyfs_slice key, size_t at,
		      uint8_t byte);
void hostile_put_number(struct hostile_tree *t, struct keyfs_slice key,
			uint64_t number);

void
hostile_drop_entry(struct hostile_tree *t, uint64_t parent, const char *name);
/* An entry in A for foo under any bytes, even such as layout_key_entry() has no room
 * for. */
void hostile_put_name(struct hostile_tree *t, const void *name, size_t len);
/* Work that is owed: a value of enum layout_orphan, or none such. */
void hostile_put_orphan(struct hostile_tree *t, uint64_t ino, unsigned what);
/* `len` zeros as chunk number `chunk`. */
void hostile_put_chunk(struct hostile_tree *t, uint64_t ino, uint64_t chunk,
		       size_t len);

/* The attributes of an inode to t->spoilt, and from there. */
void hostile_take_attr(struct hostile_tree *t, uint64_t ino);
void hostile_put_attr(struct hostile_tree *t, uint64_t ino);
/* One or two of them. */
void hostile_set_nlink(struct hostile_tree *t, uint64_t ino, uint32_t nlink);
void
hostile_set_entries(struct hostile_tree *t, uint64_t ino, uint64_t entries);
void hostile_set_parent(struct hostile_tree *t, uint64_t ino, uint64_t parent);
/* A large file that says how long it is and how much of it is stored. */
void hostile_set_size(struct hostile_tree *t, uint64_t ino, uint64_t size,
		      uint64_t stored);
void hostile_set_stale(struct hostile_tree *t, uint64_t ino, uint64_t from,
		       uint64_t to);

#endif
