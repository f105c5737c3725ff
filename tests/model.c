/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - see model.h.  As plain as can be: it must be right by looking. */
#include <config.h>

#include "tests/model.h"

#include <string.h>

#include "tests/must.h"

struct pair {
	struct keyfs_slice key, value; /* owned */
};

struct change {
	bool is_delete;
	struct keyfs_slice key, value; /* owned */
};

struct model {
	struct pair *pairs; /* owned; sorted by key */
	size_t count, cap;
	struct change *changes; /* owned; of every batch, the open one last */
	size_t change_count, change_cap;
	size_t *ends; /* owned; of each committed batch, the changes up to it */
	size_t batch_count, batch_cap;
};

static struct keyfs_slice
copy(struct keyfs_slice slice)
{
	return keyfs_bytes(must_copy(slice.data, slice.len), slice.len);
}

static void
drop(struct keyfs_slice slice)
{
	free((void *)slice.data);
}

static int
compare(struct keyfs_slice a, struct keyfs_slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int r = len ? memcmp(a.data, b.data, len) : 0;

	if (r != 0)
		return r;
	return a.len < b.len ? -1 : a.len > b.len;
}

static bool
same(struct keyfs_slice a, struct keyfs_slice b)
{
	return compare(a, b) == 0;
}

struct model *
model_new(void)
{
	return must_alloc(sizeof(struct model));
}

void
model_clear(struct model *model)
{
	for (size_t i = 0; i < model->count; i++) {
		drop(model->pairs[i].key);
		drop(model->pairs[i].value);
	}
	for (size_t i = 0; i < model->change_count; i++) {
		drop(model->changes[i].key);
		drop(model->changes[i].value);
	}
	model->count = model->change_count = model->batch_count = 0;
}

void
model_free(struct model *model)
{
	if (!model)
		return;
	model_clear(model);
	free(model->pairs);
	free(model->changes);
	free(model->ends);
	free(model);
}

/* ---- Reading ---- */

/* The number of keys below `key`. */
static size_t
lower_bound(const struct model *model, struct keyfs_slice key)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(model->pairs[mid].key, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
is_at(const struct model *model, size_t i, struct keyfs_slice key)
{
	return i < model->count && same(model->pairs[i].key, key);
}

size_t
model_count(const struct model *model)
{
	return model->count;
}

struct keyfs_slice
model_key(const struct model *model, size_t i)
{
	return model->pairs[i].key;
}

struct keyfs_slice
model_value(const struct model *model, size_t i)
{
	return model->pairs[i].value;
}

size_t
model_seek(const struct model *model, struct keyfs_slice key)
{
	size_t i = lower_bound(model, key);

	return i < model->count ? i : MODEL_NONE;
}

size_t
model_seek_prev(const struct model *model, struct keyfs_slice key)
{
	size_t i = lower_bound(model, key);

	return is_at(model, i, key) ? i : model_prev(model, i);
}

size_t
model_next(const struct model *model, size_t i)
{
	return i + 1 < model->count ? i + 1 : MODEL_NONE;
}

size_t
model_prev(const struct model *model, size_t i)
{
	(void)model;
	return i > 0 ? i - 1 : MODEL_NONE;
}

bool
model_get(const struct model *model, struct keyfs_slice key,
	  struct keyfs_slice *out)
{
	size_t i = lower_bound(model, key);

	if (!is_at(model, i, key))
		return false;
	*out = model->pairs[i].value;
	return true;
}

bool
model_equal(const struct model *a, const struct model *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (!same(a->pairs[i].key, b->pairs[i].key) ||
		    !same(a->pairs[i].value, b->pairs[i].value))
			return false;
	}
	return true;
}

/* ---- Changes ---- */

static void
set_pair(struct model *model, struct keyfs_slice key, struct keyfs_slice value)
{
	size_t i = lower_bound(model, key);

	if (is_at(model, i, key)) {
		drop(model->pairs[i].value);
		model->pairs[i].value = copy(value);
		return;
	}
	model->pairs = must_grow(model->pairs, model->count, &model->cap,
				 sizeof(*model->pairs));
	memmove(&model->pairs[i + 1], &model->pairs[i],
		(model->count - i) * sizeof(*model->pairs));
	model->pairs[i] = (struct pair){ copy(key), copy(value) };
	model->count++;
}

static void
remove_pair(struct model *model, struct keyfs_slice key)
{
	size_t i = lower_bound(model, key);

	if (!is_at(model, i, key))
		return;
	drop(model->pairs[i].key);
	drop(model->pairs[i].value);
	model->count--;
	memmove(&model->pairs[i], &model->pairs[i + 1],
		(model->count - i) * sizeof(*model->pairs));
}

static void
log_change(struct model *model, bool is_delete, struct keyfs_slice key,
	   struct keyfs_slice value)
{
	model->changes = must_grow(model->changes, model->change_count,
				   &model->change_cap, sizeof(*model->changes));
	model->changes[model->change_count++] =
		(struct change){ is_delete, copy(key), copy(value) };
}

void
model_put(struct model *model, struct keyfs_slice key, struct keyfs_slice value)
{
	log_change(model, false, key, value);
	set_pair(model, key, value);
}

void
model_delete(struct model *model, struct keyfs_slice key)
{
	log_change(model, true, key, keyfs_bytes(NULL, 0));
	remove_pair(model, key);
}

void
model_commit(struct model *model)
{
	model->ends = must_grow(model->ends, model->batch_count,
				&model->batch_cap, sizeof(*model->ends));
	model->ends[model->batch_count++] = model->change_count;
}

/* ---- History ---- */

size_t
model_batches(const struct model *model)
{
	return model->batch_count;
}

static void
replay(struct model *state, const struct model *history, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct change *change = &history->changes[i];

		if (change->is_delete)
			model_delete(state, change->key);
		else
			model_put(state, change->key, change->value);
	}
}

void
model_replay(struct model *state, const struct model *history, size_t batch)
{
	replay(state, history, batch ? history->ends[batch - 1] : 0,
	       history->ends[batch]);
	model_commit(state);
}

bool
model_advance(struct model *state, const struct model *history)
{
	if (state->batch_count >= history->batch_count)
		return false;
	model_replay(state, history, state->batch_count);
	return true;
}

struct model *
model_at(const struct model *model, size_t batches)
{
	struct model *state = model_new();

	while (state->batch_count < batches && model_advance(state, model))
		;
	return state;
}

struct model *
model_copy(const struct model *model)
{
	struct model *twin = model_at(model, model->batch_count);
	size_t done =
		model->batch_count ? model->ends[model->batch_count - 1] : 0;

	replay(twin, model, done, model->change_count);
	return twin;
}
