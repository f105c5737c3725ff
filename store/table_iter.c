/* SPDX-License-Identifier: Apache-2.0 */
/* table_iter.c - a cursor over a whole table; see table.h.
 *
 * The cursor in the block is the front of this one, so a step inside a block
 * writes the entry where the caller reads it.  Only at either end of a block
 * there is more to do: go on in the next.
 *
 * A block comes from the cache, or, with TABLE_ITER_NOFILL, from a *window* of
 * the file of the iterator's own, read in large steps while it moves
 * forward.
 *
 * A salvaging one passes over blocks that are bad.  Those side by side are one
 * loss, told when the next good block is entered or the end is reached. */
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

	/* Salvage. */
	table_loss_fn lost; /* NULL: damage ends it */
	void *lost_arg;
	uint32_t lost_from, lost_count; /* blocks of the loss not told yet */
	uint64_t split_seq; /* the last entry before block `at`, if its key may
			     * go on there; else 0 */
	uint64_t lost_split_seq; /* the same before the loss */
	struct buf properties_bytes;
	struct table_properties properties; /* filled at the first loss */
	bool has_properties;
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
	it->block.iter.lost_last = keyfs_bytes(NULL, 0);
}

/* Block i is damaged: says how far that goes. */
static void
table_iter_place(struct table_iter *it, uint32_t i)
{
	if (it->block.iter.status == -EUCLEAN)
		it->block.iter.lost_last =
			table_index_key(&it->guide->index, i);
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
	unsigned tries = 0;
	int r;

	/* A second look: a bit may flip on its way from the disk, too. */
	do {
		r = window_move(it, offset, len, ahead, &why);
		if (r == 0)
			r = window_open(it, offset, len, out, &why);
		if (r == -EUCLEAN)
			it->window.len = 0;
	} while (r == -EUCLEAN && tries++ == 0);
	if (r == -EUCLEAN)
		return table_file_corrupt(&it->table->file, offset, why);
	return r;
}

/* ---- Losses ---- */

/* The highest sequence number in the blocks of the loss; 0: not known. */
static uint64_t
loss_max_seq(const struct table_iter *it)
{
	const struct table_properties *p = &it->properties;
	const uint8_t *at = p->block_ages.data, *end;
	uint64_t age, least = UINT64_MAX;
	uint32_t i;

	if (!p->block_ages.len)
		return 0;
	end = at + p->block_ages.len;
	for (i = 0; i < it->lost_from + it->lost_count; i++) {
		at = get_varint64(at, end, &age);
		if (!at)
			return 0;
		if (i >= it->lost_from && age < least)
			least = age;
	}
	return least < p->max_seq ? p->max_seq - least : 0;
}

/* Without the properties the loss may be as new as the table. */
static int
loss_properties(struct table_iter *it)
{
	const char *why;
	int r;

	if (it->has_properties)
		return 0;
	r = table_properties_load(&it->table->file, &it->properties_bytes,
				  &it->properties, &why);
	if (r == -EUCLEAN) {
		(void)table_file_corrupt(
			&it->table->file,
			it->table->file.footer.properties_offset, why);
		it->properties = (struct table_properties){ 0 };
		r = 0;
	}
	it->has_properties = r == 0;
	return r;
}

/* Tells of the loss before block `next`. */
static int
loss_tell(struct table_iter *it)
{
	const struct table_index *index = &it->guide->index;
	uint32_t next = it->lost_from + it->lost_count;
	struct table_loss loss = {
		.offset = table_index_offset(index, it->lost_from),
		.first_seq = it->lost_split_seq,
	};
	int r;

	if (!it->lost_count)
		return 0;
	loss.bytes = table_index_offset(index, next) - loss.offset;
	if (it->lost_from)
		loss.first = table_index_key(index, it->lost_from - 1);
	if (next < index->count)
		loss.last = table_index_key(index, next - 1);
	r = loss_properties(it);
	if (r < 0)
		return r;
	loss.max_seq = loss_max_seq(it);
	it->lost_count = 0;
	return it->lost(it->lost_arg, &loss);
}

/* Block i is bad: counts it with the one before, if that is too. */
static void
loss_add(struct table_iter *it, uint32_t i)
{
	if (it->lost_count++)
		return;
	it->lost_from = i;
	it->lost_split_seq = it->split_seq;
}

/* Before the cursor leaves a block for the next: the versions of one key may
 * begin here and go on there.  The separator is that key then. */
static void
loss_note_split(struct table_iter *it)
{
	const struct entry *last = &it->block.iter.entry;

	it->split_seq = 0;
	if (key_equal(last->key, table_index_key(&it->guide->index, it->at)))
		it->split_seq = last->seq;
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
		table_iter_place(it, i);
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
	if (it->block.iter.status != -EUCLEAN)
		return;
	(void)table_file_corrupt(&it->table->file,
				 table_index_offset(&it->guide->index, it->at),
				 "entry cannot be decoded");
	table_iter_place(it, it->at);
}

/* Puts the cursor at the front of block i, as it is: it->at is i, good or bad. */
static void
salvage_enter(struct table_iter *it, uint32_t i)
{
	if (block_enter(it, i, true)) {
		block_iter_first(&it->block);
		block_raise(it);
	}
	it->at = i;
}

/* Goes on at the front of the next blocks, past the bad ones. */
static void
salvage_forward(struct table_iter *it)
{
	const struct iter *iter = &it->block.iter;
	int r;

	while (!iter->valid) {
		if (iter->status == -EUCLEAN)
			loss_add(it, it->at);
		else if (iter->status < 0)
			return;
		else
			loss_note_split(it);
		if (it->at + 1 >= it->guide->index.count)
			break;
		salvage_enter(it, it->at + 1);
	}
	r = loss_tell(it);
	if (r < 0 || !iter->valid)
		table_iter_stop(it, r);
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
			(void)table_file_corrupt(&it->table->file, at, why);
		if (r == -EUCLEAN && it->lost)
			r = table_guide_load_index(&it->table->file, &own, &why,
						   &at);
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

	if (!table_iter_begin(it))
		return;
	if (it->lost) {
		salvage_enter(it, 0);
		salvage_forward(it);
		return;
	}
	if (!block_enter(it, 0, true))
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
	if (iter->valid)
		return;
	if (!it->lost) {
		go_forward(it);
		return;
	}
	block_raise(it);
	salvage_forward(it);
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
	buf_fini(&it->properties_bytes);
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

int
table_iter_salvage(struct table *table, table_loss_fn lost, void *arg,
		   struct iter **out)
{
	int r = table_iter(table, TABLE_ITER_NOFILL, out);

	if (r < 0)
		return r;
	of(*out)->lost = lost;
	of(*out)->lost_arg = arg;
	return 0;
}
