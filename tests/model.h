/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - what a store must look like: a sorted array of keys and values, and
 * the history of the batches that made it.
 *
 * Changes go into the open batch and are seen at once; model_commit() ends it.
 * A model can be had as it was after any number of batches, so that a store
 * found after a crash can be looked for among the states that it may be in:
 *
 *	state = model_at(model, synced);
 *	while (!equal(store, state) && model_advance(state, model))
 *		;
 *
 * Keys and values are copied.  One thread.  Out of memory aborts. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "store/store.h"

struct model;

#define MODEL_NONE ((size_t)-1)

struct model *model_new(void);
void model_free(struct model *model);                /* NULL is allowed */
struct model *model_copy(const struct model *model); /* history too */
void model_clear(struct model *model);               /* history too */

/* ---- Changes ---- */

void model_put(struct model *model, struct keyfs_slice key,
	       struct keyfs_slice value);
void model_delete(struct model *model, struct keyfs_slice key);
void model_commit(struct model *model);

/* ---- Reading; indexes run from 0 in key order ---- */

size_t model_count(const struct model *model);
struct keyfs_slice model_key(const struct model *model, size_t i);
struct keyfs_slice model_value(const struct model *model, size_t i);
/* The first key >= `key`, the last key <= `key`; MODEL_NONE: there is none. */
size_t model_seek(const struct model *model, struct keyfs_slice key);
size_t model_seek_prev(const struct model *model, struct keyfs_slice key);
/* The neighbour of i, or MODEL_NONE. */
size_t model_next(const struct model *model, size_t i);
size_t model_prev(const struct model *model, size_t i);
bool model_get(const struct model *model, struct keyfs_slice key,
	       struct keyfs_slice *out);
/* Same keys and values; history does not count. */
bool model_equal(const struct model *a, const struct model *b);

/* ---- History ---- */

size_t model_batches(const struct model *model); /* committed ones */
/* The state after the first `batches`, with their history. */
struct model *model_at(const struct model *model, size_t batches);
/* Commits to `state` batch number `batch` (from 0) of `history`. */
void
model_replay(struct model *state, const struct model *history, size_t batch);
/* Commits to `state` the batch of `history` that comes after as many as it has;
 * false: there is none. */
bool model_advance(struct model *state, const struct model *history);

#endif
