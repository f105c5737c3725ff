/* SPDX-License-Identifier: Apache-2.0 */
/* table_iter.c - a cursor over a whole table; see table.h.
 *
 * The cursor in the block is the front of this one, so a step inside a block
 * writes the entry where the caller reads it.  Only at either end of a block
 * there is more to do: go on in the next.
 *
 * A block comes from the cache, or, with TABLE_ITER_NOFILL, from a *window* of
 * the file of the iterator's own, read in large steps while it moves
 * forward. */
#include <config.h>

#include "store/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/table_impl.h"

enum { WINDOW_BYTES = 256 << 10 };

struct window {
	uint8_t *bytes; /* owned */
	size_t capacity, len;
	uint64_t offset; /* of the first byte in the file */
};

struct table_iter {
	struct block_iter block; /* first: it begins with the struct iter */
	struct table *table;     /* holds a reference */
	unsigned flags;

	const struct table_guide *guide; /* NULL: not needed yet */
	struct cache_ref guide_pin;      /* or pins nothing, and the guide is */
	struct table_guide *own_guide;   /* owned */

	uint32_t at; /* which block it is in, while valid */
	struct cache_ref block_pin;

	/* With TABLE_ITER_NOFILL. */
	struct window window;
	uint8_t *unpacked; /* owned */
	size_t unpacked_capacity;
};

static struct table_iter *
of(struct iter *iter)
{
	return (struct table_iter *)iter;
}

static bool
nowait(const struct table_iter *it)
{
	return it->flags & TABLE_ITER_NOWAIT;
}

static void
table_iter_stop(struct table_iter *it, int status)
{
	it->block.iter.valid = false;
	it->block.iter.status = status;
}

/* ---- Blocks past the cache ---- */

static int
bytes_reserve(uint8_t **bytes, size_t *capacity, size_t need)
{
	uint8_t *more;

	if (need <= *capacity)
		return 0;
	more = realloc(*bytes, need);
	if (!more)
		return -ENOMEM;
	*bytes = more;
	*capacity = need;
	return 0;
}

/* Has the window begin with the block, unless it holds it already. */
static int
window_move(struct table_iter *it, uint64_t offset, size_t len, bool ahead,
	    const char **why)
{
	uint64_t left = it->guide->index.data_end - offset;
	struct window *w = &it->window;
	size_t want = len;
	int r;

	if (offset >= w->offset && offset + len <= w->offset + w->len)
		return 0;
	if (ahead && want < WINDOW_BYTES)
		want = left < WINDOW_BYTES ? left : WINDOW_BYTES;
	w->len = 0;
	r = bytes_reserve(&w->bytes, &w->capacity, want);
	if (r < 0)
		return r;
	r = table_file_read(&it->table->file, offset, want, nowait(it),
			    w->bytes, why);
	if (r < 0)
		return r;
	w->offset = offset;
	w->len = want;
	return 0;
}

/* Checks the block in the window, unpacks it if it must be. */
static int
window_open(struct table_iter *it, uint64_t offset, size_t len,
	    struct block *out, const char **why)
{
	const struct window *w = &it->window;
	struct table_stored stored;
	int r;

	*why = table_stored_decode(w->bytes + (offset - w->offset), len,
				   it->table->file.number, offset,
				   TABLE_BLOCK_MAX, &stored);
	if (*why)
		return -EUCLEAN;
	if (stored.compressed) {
		r = bytes_reserve(&it->unpacked, &it->unpacked_capacity,
				  stored.raw_len);
		if (r < 0)
			return r;
		*why = table_stored_unpack(&stored, it->unpacked);
		if (*why)
			return -EUCLEAN;
		stored.data = it->unpacked;
	}
	if (block_open(stored.data, stored.raw_len, out) < 0) {
		*why = "block with an impossible tail";
		return -EUCLEAN;
	}
	return 0;
}

static int
block_from_window(struct table_iter *it, uint64_t offset, size_t len,
		  bool ahead, struct block *out)
{
	const char *why;
	int r;

	r = window_move(it, offset, len, ahead, &why);
	if (r == 0)
		r = window_open(it, offset, len, out, &why);
	if (r == -EUCLEAN)
		return table_file_corrupt(&it->table->file, offset, why);
	return r;
}

/* ---- Moving from block to block ---- */

static void
block_leave(struct table_iter *it)
{
	cache_unpin(it->table->cache, it->block_pin);
	it->block_pin = (struct cache_ref){ NULL, NULL };
	it->block.iter.valid = false;
}

/* Puts the cursor into block i, at no entry yet.  False: its status says
 * why. */
static bool
block_enter(struct table_iter *it, uint32_t i, bool ahead)
{
	const struct table_index *index = &it->guide->index;
	uint64_t offset = table_index_offset(index, i);
	size_t len = table_index_offset(index, i + 1) - offset;
	struct block block;
	int r;

	block_leave(it);
	if (it->flags & TABLE_ITER_NOFILL) {
		r = block_from_window(it, offset, len, ahead, &block);
	} else {
		r = table_block_pin(it->table, offset, len, nowait(it),
				    &it->block_pin);
		if (r == 0) {
			const struct table_block *b = it->block_pin.object;

			block = b->block;
		}
	}
	if (r < 0) {
		table_iter_stop(it, r);
		return false;
	}
	it->at = i;
	block_iter_set(&it->block, &block);
	return true;
}

/* What the cursor in the block cannot know: which file is damaged, and
 * where. */
static void
block_raise(struct table_iter *it)
{
	if (it->block.iter.status == -EUCLEAN)
		(void)table_file_corrupt(&it->table->file,
					 table_index_offset(&it->guide->index,
							    it->at),
					 "entry cannot be decoded");
}

/* Goes on at the front of the next blocks while there is no entry. */
static void
go_forward(struct table_iter *it)
{
	while (!it->block.iter.valid && it->block.iter.status == 0) {
		if (it->at + 1 >= it->guide->index.count)
			return;
		if (!block_enter(it, it->at + 1, true))
			return;
		block_iter_first(&it->block);
	}
	block_raise(it);
}

static void
go_back(struct table_iter *it)
{
	while (!it->block.iter.valid && it->block.iter.status == 0) {
		if (it->at == 0)
			return;
		if (!block_enter(it, it->at - 1, false))
			return;
		block_iter_last(&it->block);
	}
	block_raise(it);
}

/* ---- The iterator ---- */

/* A compaction leaves no guide in the cache that was not there. */
static int
guide_take(struct table_iter *it)
{
	struct table_guide *own;
	const char *why;
	uint64_t at;
	int r;

	if (!(it->flags & TABLE_ITER_NOFILL)) {
		r = table_guide_pin(it->table, nowait(it), &it->guide_pin);
		if (r < 0)
			return r;
	} else if (!table_guide_repin(it->table, &it->guide_pin)) {
		r = table_guide_load(&it->table->file, nowait(it), &own, &why,
				     &at);
		if (r == -EUCLEAN)
			return table_file_corrupt(&it->table->file, at, why);
		if (r < 0)
			return r;
		it->own_guide = own;
		it->guide = own;
		return 0;
	}
	it->guide = it->guide_pin.object;
	return 0;
}

/* Begins a move from nowhere. */
static bool
table_iter_begin(struct table_iter *it)
{
	int r = it->guide ? 0 : guide_take(it);

	if (r < 0)
		table_iter_stop(it, r);
	return r == 0;
}

static void
table_iter_first(struct iter *iter)
{
	struct table_iter *it = of(iter);

	if (!table_iter_begin(it) || !block_enter(it, 0, true))
		return;
	block_iter_first(&it->block);
	go_forward(it);
}

static void
table_iter_last(struct iter *iter)
{
	struct table_iter *it = of(iter);

	if (!table_iter_begin(it) ||
	    !block_enter(it, it->guide->index.count - 1, false))
		return;
	block_iter_last(&it->block);
	go_back(it);
}

static void
table_iter_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	struct table_iter *it = of(iter);
	uint32_t i;

	if (!table_iter_begin(it))
		return;
	block_leave(it);
	table_iter_stop(it, 0);
	/* A block may end within newer versions of the key: then the search
	 * goes on in the next. */
	for (i = table_index_find(&it->guide->index, key);
	     i < it->guide->index.count; i++) {
		if (!block_enter(it, i, true))
			return;
		block_iter_seek(&it->block, key, seq);
		if (it->block.iter.valid || it->block.iter.status < 0)
			break;
	}
	block_raise(it);
}

static void
table_iter_next(struct iter *iter)
{
	struct table_iter *it = of(iter);

	block_iter_next(&it->block);
	if (!iter->valid)
		go_forward(it);
}

static void
table_iter_prev(struct iter *iter)
{
	struct table_iter *it = of(iter);

	block_iter_prev(&it->block);
	if (!iter->valid)
		go_back(it);
}

static void
table_iter_free(struct iter *iter)
{
	struct table_iter *it = of(iter);

	block_leave(it);
	cache_unpin(it->table->cache, it->guide_pin);
	table_guide_free(it->own_guide);
	block_iter_fini(&it->block);
	free(it->window.bytes);
	free(it->unpacked);
	table_unref(it->table);
	free(it);
}

static const struct iter_ops table_iter_ops = {
	.first = table_iter_first,
	.last = table_iter_last,
	.seek = table_iter_seek,
	.next = table_iter_next,
	.prev = table_iter_prev,
	.free = table_iter_free,
};

int
table_iter(struct table *table, unsigned flags, struct iter **out)
{
	struct table_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->block.iter.ops = &table_iter_ops;
	it->table = table_ref(table);
	it->flags = flags;
	*out = &it->block.iter;
	return 0;
}
