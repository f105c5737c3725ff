/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model.h - a POSIX tree in plain memory, and random operations on it and on a
 * tree at once.
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

/* All of the tree as text, a line an object: path, type, permissions, links, size,
 * hash of the contents.  The caller frees it.  `logged`: what a crash would leave. */
char *tree_model_dump(struct tree_model *model, bool logged);
char *tree_dump(struct tree *tree);

/* Aborts the test at the first line that differs. */
void dump_expect(const char *got, const char *want);

/* Everything held has been logged: a sync, or the tree was closed. */
void tree_model_synced(struct tree_model *model);

#endif
