/* SPDX-License-Identifier: Apache-2.0 */
/* merge_iter.c - a k-way merge; see merge_iter.h.
 *
 * A binary heap of the children that stand on an entry, the next one to show on
 * top.  Which of the others follows it is remembered, so that a long run from
 * one child costs one comparison a step and does not touch the heap.
 *
 * All children stand on the same side of the entry shown: behind it while going
 * forwards, before it while going backwards.  A change of direction moves them
 * over. */
#include <config.h>

#include "store/merge_iter.h"

#include <errno.h>
#include <stdlib.h>

struct merge_iter {
	struct iter iter;
	bool backward;
	struct iter **children; /* owned, and what they point to */
	size_t count;
	struct iter **heap; /* owned; heap[0] is shown */
	size_t heap_count;
	struct iter *second; /* first after heap[0]; NULL: none */
};

static struct merge_iter *
merge_of(struct iter *iter)
{
	return (struct merge_iter *)iter;
}

/* Whether `a` is shown before `b`. */
static bool
precedes(const struct merge_iter *m, const struct iter *a, const struct iter *b)
{
	int r = version_compare(a->entry.key, a->entry.seq, b->entry.key,
				b->entry.seq);

	return m->backward ? r > 0 : r < 0;
}

static void
sift_down(struct merge_iter *m, size_t at)
{
	struct iter *moved = m->heap[at];
	size_t child;

	while ((child = 2 * at + 1) < m->heap_count) {
		if (child + 1 < m->heap_count &&
		    precedes(m, m->heap[child + 1], m->heap[child]))
			child++;
		if (!precedes(m, m->heap[child], moved))
			break;
		m->heap[at] = m->heap[child];
		at = child;
	}
	m->heap[at] = moved;
}

static void
find_second(struct merge_iter *m)
{
	if (m->heap_count < 2)
		m->second = NULL;
	else if (m->heap_count == 2 || precedes(m, m->heap[1], m->heap[2]))
		m->second = m->heap[1];
	else
		m->second = m->heap[2];
}

static void
show_top(struct merge_iter *m)
{
	m->iter.valid = m->heap_count > 0;
	if (m->iter.valid)
		m->iter.entry = m->heap[0]->entry;
}

/* A source that cannot be read must not look like an empty one. */
static void
show_error(struct merge_iter *m, const struct iter *child)
{
	m->iter.valid = false;
	m->iter.status = child->status;
	m->iter.lost_last = child->lost_last;
	m->heap_count = 0;
}

/* Builds the heap from where the children stand. */
static void
gather(struct merge_iter *m)
{
	size_t i;

	m->heap_count = 0;
	m->iter.status = 0;
	for (i = 0; i < m->count; i++) {
		struct iter *child = m->children[i];

		if (child->valid)
			m->heap[m->heap_count++] = child;
		else if (child->status) {
			show_error(m, child);
			return;
		}
	}
	for (i = m->heap_count / 2; i-- > 0;)
		sift_down(m, i);
	find_second(m);
	show_top(m);
}

/* Puts the heap right after its top has moved. */
static void
settle(struct merge_iter *m)
{
	struct iter *top = m->heap[0];

	if (!top->valid) {
		if (top->status) {
			show_error(m, top);
			return;
		}
		m->heap[0] = m->heap[--m->heap_count];
	} else if (!m->second || precedes(m, top, m->second)) {
		m->iter.entry = top->entry;
		return;
	}
	if (m->heap_count)
		sift_down(m, 0);
	find_second(m);
	show_top(m);
}

/* Moves every child but the one shown to the other side of the entry shown. */
static void
turn(struct merge_iter *m)
{
	struct iter *top = m->heap[0];
	size_t i;

	m->backward = !m->backward;
	for (i = 0; i < m->count; i++) {
		struct iter *child = m->children[i];

		if (child == top)
			continue;
		iter_seek(child, top->entry.key, top->entry.seq);
		if (!m->backward)
			continue;
		if (child->valid)
			iter_prev(child);
		else if (!child->status)
			iter_last(child);
	}
}

static void
merge_first(struct iter *iter)
{
	struct merge_iter *m = merge_of(iter);
	size_t i;

	m->backward = false;
	for (i = 0; i < m->count; i++)
		iter_first(m->children[i]);
	gather(m);
}

static void
merge_last(struct iter *iter)
{
	struct merge_iter *m = merge_of(iter);
	size_t i;

	m->backward = true;
	for (i = 0; i < m->count; i++)
		iter_last(m->children[i]);
	gather(m);
}

static void
merge_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	struct merge_iter *m = merge_of(iter);
	size_t i;

	m->backward = false;
	for (i = 0; i < m->count; i++)
		iter_seek(m->children[i], key, seq);
	gather(m);
}

static void
merge_next(struct iter *iter)
{
	struct merge_iter *m = merge_of(iter);

	if (m->backward) {
		turn(m);
		iter_next(m->heap[0]);
		gather(m);
		return;
	}
	iter_next(m->heap[0]);
	settle(m);
}

static void
merge_prev(struct iter *iter)
{
	struct merge_iter *m = merge_of(iter);

	if (!m->backward) {
		turn(m);
		iter_prev(m->heap[0]);
		gather(m);
		return;
	}
	iter_prev(m->heap[0]);
	settle(m);
}

static void
merge_free(struct iter *iter)
{
	struct merge_iter *m = merge_of(iter);
	size_t i;

	for (i = 0; i < m->count; i++)
		iter_free(m->children[i]);
	free(m->children);
	free(m->heap);
	free(m);
}

static const struct iter_ops merge_ops = {
	.first = merge_first,
	.last = merge_last,
	.seek = merge_seek,
	.next = merge_next,
	.prev = merge_prev,
	.free = merge_free,
};

int
merge_iter_new(struct iter **children, size_t count, struct iter **out)
{
	struct merge_iter *m;

	if (count == 1) {
		*out = children[0];
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->children = calloc(count + 1, sizeof(struct iter *));
	m->heap = calloc(count + 1, sizeof(struct iter *));
	if (!m->children || !m->heap) {
		free(m->children);
		free(m->heap);
		free(m);
		return -ENOMEM;
	}
	if (count)
		memcpy(m->children, children, count * sizeof(struct iter *));
	m->count = count;
	m->iter.ops = &merge_ops;
	*out = &m->iter;
	return 0;
}
