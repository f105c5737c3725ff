/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model.h - a POSIX tree in plain memory, and operations on it: given ones, or
 * random ones on it and on a tree at once.
 *
 * Every operation must end the same in both.  The model also knows what is logged of
 * it: a held truncation (P3) is seen at once but logged later, so a file may have
 * contents for readers and others for a crash. */
#ifndef TESTS_TREE_MODEL_H
#define TESTS_TREE_MODEL_H

#include "fs/tree.h"

struct tree_model;

struct tree_model *tree_model_new(uint64_t seed);
void tree_model_free(struct tree_model *model);

/* Does one random operation to both; aborts the test if they disagree.  `big`: some
 * files grow to more than a megabyte.  True if it was a sync. */
bool tree_model_step(struct tree_model *model, struct tree *tree, bool big);

/* ---- Given operations ---- */

/* A name in a directory: the root has "A" and "B", each of them "foo" and "bar". */
struct model_place {
	struct node *dir;
	size_t name;
};

/* Valid until a directory in `path` is renamed or removed.  Requires: path is one of
 * those names, or "A/foo" where A is a directory. */
struct model_place tree_model_place(struct tree_model *model, const char *path);

/* Each does what a tree would do and returns what that would answer. -ENFILE: the
 * model is full. */
int tree_model_make(struct tree_model *model, struct model_place at,
		    uint32_t mode, const char *target);
int tree_model_link(struct model_place from, struct model_place to);
int tree_model_remove(struct model_place at, bool dir);
int tree_model_rename(struct model_place from, struct model_place to,
		      unsigned flags);
/* Of regular files that are there. */
void tree_model_write(struct model_place at, size_t offset, const void *data,
		      size_t len);
void tree_model_truncate(struct model_place at, size_t size);
void tree_model_punch(struct model_place at, size_t offset, size_t len);
void tree_model_empty(struct tree_model *model, struct model_place at);
size_t tree_model_size(struct model_place at);
/* The names that the model has extended attributes under, in order; what is written to
 * or truncated loses the first. */
#define TREE_MODEL_XATTRS 3u
extern const char *const tree_model_xattrs[TREE_MODEL_XATTRS];

/* Of anything. */
void
tree_model_setxattr(struct model_place at, size_t name, size_t len, char fill);
void tree_model_touch(struct model_place at); /* its times */
void tree_model_chmod(struct model_place at, uint32_t mode);

/* Logs the oldest held truncation; false if there is none. */
bool tree_model_log_oldest(struct tree_model *model);

/* ---- Looking ---- */

/* All of it, as tree_dump() would have it; the caller frees it.  `logged`: what a crash
 * would leave. */
char *tree_model_dump(struct tree_model *model, bool logged);

/* Everything held has been logged: a sync, or the tree was closed. */
void tree_model_synced(struct tree_model *model);

#endif
