/* SPDX-License-Identifier: Apache-2.0 */
/* level_iter.c - an iterator over sorted, disjoint tables, one open at a time;
 * see version_level_iter() in version.h. */
#include <config.h>

#include "store/version.h"

#include <errno.h>
#include <stdlib.h>

struct level_iter {
	struct iter iter;
	struct table_meta *const *tables; /* borrowed */
	size_t count;
	unsigned flags;

	struct damage_list *lost; /* borrowed; NULL: damage ends it */

	size_t at;           /* the table of `inside` */
	struct iter *inside; /* owned; NULL: none */
};

static struct level_iter *
level_of(struct iter *iter)
{
	return (struct level_iter *)iter;
}

static void
stop(struct level_iter *it, int status)
{
	it->iter.valid = false;
	it->iter.status = status;
}

/* The table inside met an error. */
static void
blame(struct level_iter *it, int error)
{
	if (it->flags & TABLE_ITER_NOFILL)
		table_meta_blame(it->tables[it->at], error);
}

/* ---- Salvage ---- */

/* A part of the table inside is lost. */
static int
lose(void *arg, const struct table_loss *loss)
{
	struct level_iter *it = arg;
	const struct table_meta *meta = it->tables[it->at];
	struct damage *damage, like = {
		.number = meta->number,
		.offset = loss->offset,
		.bytes = loss->bytes,
		.min_seq = meta->min_seq,
		.max_seq = loss->max_seq,
		.first_seq = loss->first.data ? loss->first_seq : SEQ_MAX,
		.first = loss->first.data ? loss->first : meta->smallest,
		.last = loss->last.data ? loss->last : meta->largest,
	};
	int r;

	if (like.max_seq < meta->min_seq || like.max_seq > meta->max_seq)
		like.max_seq = meta->max_seq;
	r = damage_new(&like, &damage);
	if (r)
		return r;
	r = damage_list_add(it->lost, damage);
	damage_unref(damage);
	return r;
}

/* Nothing leads to the blocks of the table inside. */
static int
lose_table(struct level_iter *it)
{
	struct table_loss all = { .bytes = it->tables[it->at]->file_bytes };

	return lose(it, &all);
}

/* ---- Tables ---- */

static int
open_inside(struct level_iter *it)
{
	struct table *table;
	int r = table_meta_open(it->tables[it->at],
				it->flags & TABLE_ITER_NOWAIT, &table);

	if (!r && it->lost)
		return table_iter_salvage(table, lose, it, &it->inside);
	return r ? r : table_iter(table, it->flags, &it->inside);
}

/* Puts table `at` inside.  False: there is none, or it cannot be opened. */
static bool
enter(struct level_iter *it, size_t at)
{
	int r;

	if (it->inside && it->at == at && at < it->count)
		return true;
	do {
		if (at >= it->count) { /* of a step backwards from 0 too */
			stop(it, 0);
			return false;
		}
		iter_free(it->inside);
		it->inside = NULL;
		it->at = at++;
		r = open_inside(it);
		if (r != -EUCLEAN || !it->lost)
			break;
		r = lose_table(it);
	} while (!r);
	if (r) {
		blame(it, r);
		stop(it, r);
		it->iter.lost_last = it->tables[it->at]->largest;
	}
	return !r;
}

/* Shows what `inside` stands on.  False: it is at its end. */
static bool
show(struct level_iter *it)
{
	int r = it->inside->status;

	if (!it->inside->valid && r == -EUCLEAN && it->lost) {
		r = lose_table(it);
		if (r)
			stop(it, r);
		return r != 0;
	}
	if (!it->inside->valid && !r)
		return false;
	it->iter.valid = it->inside->valid;
	it->iter.status = it->inside->status;
	it->iter.lost_last = it->inside->lost_last;
	if (it->iter.valid)
		it->iter.entry = it->inside->entry;
	else
		blame(it, it->iter.status);
	return true;
}

static void
show_forward(struct level_iter *it)
{
	while (!show(it)) {
		if (!enter(it, it->at + 1))
			return;
		iter_first(it->inside);
	}
}

static void
show_backward(struct level_iter *it)
{
	while (!show(it)) {
		if (!enter(it, it->at - 1))
			return;
		iter_last(it->inside);
	}
}

static void
level_first(struct iter *iter)
{
	struct level_iter *it = level_of(iter);

	if (!enter(it, 0))
		return;
	iter_first(it->inside);
	show_forward(it);
}

static void
level_last(struct iter *iter)
{
	struct level_iter *it = level_of(iter);

	if (!enter(it, it->count - 1))
		return;
	iter_last(it->inside);
	show_backward(it);
}

static void
level_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	struct level_iter *it = level_of(iter);
	size_t low = 0, high = it->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (key_compare(it->tables[mid]->largest, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	if (!enter(it, low))
		return;
	iter_seek(it->inside, key, seq);
	show_forward(it);
}

static void
level_next(struct iter *iter)
{
	struct level_iter *it = level_of(iter);

	iter_next(it->inside);
	show_forward(it);
}

static void
level_prev(struct iter *iter)
{
	struct level_iter *it = level_of(iter);

	iter_prev(it->inside);
	show_backward(it);
}

static void
level_free(struct iter *iter)
{
	iter_free(level_of(iter)->inside);
	free(iter);
}

static const struct iter_ops level_ops = {
	.first = level_first,
	.last = level_last,
	.seek = level_seek,
	.next = level_next,
	.prev = level_prev,
	.free = level_free,
};

int
version_level_iter(struct table_meta *const *tables, size_t count,
		   unsigned flags, struct iter **out)
{
	struct level_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->iter.ops = &level_ops;
	it->tables = tables;
	it->count = count;
	it->flags = flags;
	*out = &it->iter;
	return 0;
}

int
version_level_salvage(struct table_meta *const *tables, size_t count,
		      struct damage_list *lost, struct iter **out)
{
	int r = version_level_iter(tables, count, TABLE_ITER_NOFILL, out);

	if (!r)
		level_of(*out)->lost = lost;
	return r;
}
