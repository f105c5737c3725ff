/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_exercise.h - everything that a caller can ask of a tree, asked of one that
 * may be spoilt.
 *
 * Each call of tree.h is made for each inode that the keys speak of and for some that
 * they do not, with names of the tree and with impossible ones.  Whatever the tree
 * holds, a call answers with a result or with an error that a caller understands, a
 * listing gives out names that a path can hold, and a check that fails has said what
 * it found: all else fails the test.  One thread, one tree at a time. */
#ifndef TESTS_HOSTILE_EXERCISE_H
#define TESTS_HOSTILE_EXERCISE_H

#include "fs/tree.h"

/* Opens the tree in `kv`, without its worker.  0 or what tree_open() says. */
int exercise_open(struct kv *kv, bool read_only, struct tree **out);
/* Checks, and returns whether anything was found. */
bool exercise_check(struct tree *tree);
/* Reads all there is. */
void exercise_reads(struct kv *kv, struct tree *tree);
/* Reads all there is, then changes all that can be changed, then lets the worker at
 * it, and closes the tree.  Returns what the check found before the changes. */
bool exercise_tree(struct kv *kv, struct tree *tree);
/* Opens and exercises the tree in `kv`.  Returns whether somebody tells that it is
 * spoilt: opening, or the check. */
bool exercise_tells(struct kv *kv);

#endif
