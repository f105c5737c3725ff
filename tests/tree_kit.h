/* SPDX-License-Identifier: Apache-2.0 */
/* tree_kit.h - short words for tests of the tree.
 *
 * Each asserts that the call succeeds; what is expected to fail is called in full. */
#ifndef TESTS_TREE_KIT_H
#define TESTS_TREE_KIT_H

#include "fs/tree.h"

extern const struct tree_caller kit_user; /* 1000:1000, may wait */

/* The embedded engine in a new directory, with so little memory that it flushes and
 * compacts; and its end.  One at a time. */
struct kv *kit_lsm(void);
void kit_lsm_close(struct kv *kv);
/* Number of live keys. */
size_t kit_count(struct kv *kv);
/* Keys as they lie in the engine; no tree is open on it. */
void kit_put(struct kv *kv, struct keyfs_slice key, struct keyfs_slice value);
void kit_drop(struct kv *kv, struct keyfs_slice key);
/* `type`: S_IFREG, S_IFDIR and so on, true or not. */
void kit_put_entry(struct kv *kv, uint64_t parent, const char *name,
		   uint64_t ino, uint32_t type);

/* A tree in `kv`, without its worker. */
struct tree *kit_open(struct kv *kv);
void kit_close(struct tree *tree);

uint64_t kit_create(struct tree *tree, uint64_t parent, const char *name);
uint64_t kit_mkdir(struct tree *tree, uint64_t parent, const char *name);
uint64_t kit_find(struct tree *tree, uint64_t parent, const char *name);
struct tree_attr kit_attr(struct tree *tree, uint64_t ino);
void
kit_write(struct tree *tree, uint64_t ino, uint64_t offset, const char *text);
/* `len` bytes of `c`. */
void
kit_fill(struct tree *tree, uint64_t ino, uint64_t offset, size_t len, char c);
void kit_truncate(struct tree *tree, uint64_t ino, uint64_t size);
/* By name, to nothing: as O_TRUNC does it. */
void kit_empty(struct tree *tree, uint64_t ino);
void kit_unlink(struct tree *tree, uint64_t parent, const char *name);
void kit_rename(struct tree *tree, uint64_t parent, const char *name,
		uint64_t new_parent, const char *new_name);
void kit_setxattr(struct tree *tree, uint64_t ino, const char *name,
		  const char *value);
/* The contents, with a 0 behind; valid until the next call. */
const char *kit_read(struct tree *tree, uint64_t ino);
/* Asserts that bytes [offset, offset + len) are all `c`. */
void kit_expect(struct tree *tree, uint64_t ino, uint64_t offset, size_t len,
		char c);
/* Asserts that tree_check() finds nothing. */
void kit_check(struct tree *tree);

#endif
