/* SPDX-License-Identifier: Apache-2.0 */
/* memtable.c - the recent writes in memory; see memtable.h.
 *
 * The filter keeps all bits of a key in one word of 64 (Putze, Sanders,
 * Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", JEA 14, 2009:
 * "register-blocked"), so adding and asking are one atomic access each:
 *
 *	hash   63 ....... 32   29 .. 24  23 .. 18  17 .. 12  11 .. 6  5 .. 0
 *	       which word      five bits in it */
#include <config.h>

#include "store/memtable.h"

#include <errno.h>
#include <stdlib.h>

#include "store/skiplist.h"

/* A 32nd of the memory: sixteen bits for each entry of 64 bytes, about one
 * wrong "perhaps" in 200. */
enum { FILTER_SHARE = 32, FILTER_BITS = 5 };

/* 2^32 words are more than a memtable of 1 TiB wants. */
#define FILTER_WORDS_MAX (UINT64_C(1) << 32)

struct memtable {
	/* Constant once others have it. */
	_Atomic uint64_t *filter; /* owned */
	uint64_t filter_words;
	bool has_learnt;

	/* Atomic. */
	_Atomic uint32_t refs;
	_Atomic size_t entries; /* the writer's */

	/* Their own threading rules hold. */
	struct arena arena;
	struct skiplist list;
};

int
memtable_new(size_t bytes, const struct memtable *like, struct memtable **out)
{
	struct memtable *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	arena_init(&m->arena);
	m->filter_words = bytes / FILTER_SHARE / sizeof(*m->filter) + 1;
	if (m->filter_words > FILTER_WORDS_MAX)
		m->filter_words = FILTER_WORDS_MAX;
	m->filter = calloc(m->filter_words, sizeof(*m->filter));
	if (!m->filter || skiplist_init(&m->list, &m->arena)) {
		arena_fini(&m->arena);
		free(m->filter);
		free(m);
		return -ENOMEM;
	}
	atomic_init(&m->refs, 1);
	if (like)
		memtable_learn(m, like);
	*out = m;
	return 0;
}

void
memtable_learn(struct memtable *memtable, const struct memtable *like)
{
	if (memtable_entries(like) == 0)
		return;
	skiplist_learn(&memtable->list, &like->list);
	memtable->has_learnt = true;
}

bool
memtable_has_learnt(const struct memtable *memtable)
{
	return memtable->has_learnt;
}

struct memtable *
memtable_ref(struct memtable *memtable)
{
	/* Relaxed: the caller's own reference keeps it alive. */
	atomic_fetch_add_explicit(&memtable->refs, 1, memory_order_relaxed);
	return memtable;
}

void
memtable_unref(struct memtable *memtable)
{
	/* Release what this thread read of it, acquire what the others did: all
	 * are done before the last one frees. */
	if (!memtable || atomic_fetch_sub_explicit(&memtable->refs, 1,
						   memory_order_acq_rel) != 1)
		return;
	arena_fini(&memtable->arena);
	free(memtable->filter);
	free(memtable);
}

int
memtable_reserve(struct memtable *memtable, size_t count, size_t bytes)
{
	return arena_reserve(&memtable->arena, skiplist_room(count, bytes));
}

static uint64_t
filter_bits(uint64_t hash)
{
	uint64_t bits = 0;
	unsigned i;

	for (i = 0; i < FILTER_BITS; i++, hash >>= 6)
		bits |= UINT64_C(1) << (hash & 63);
	return bits;
}

static _Atomic uint64_t *
filter_word(const struct memtable *memtable, uint64_t hash)
{
	return &memtable->filter[((hash >> 32) * memtable->filter_words) >> 32];
}

void
memtable_add(struct memtable *memtable, const struct entry *entry,
	     uint64_t hash)
{
	_Atomic uint64_t *word = filter_word(memtable, hash);

	/* Relaxed: whoever may see this version got its sequence number by an
	 * acquire, after the writer's release. */
	atomic_store_explicit(word,
			      atomic_load_explicit(word, memory_order_relaxed) |
				      filter_bits(hash),
			      memory_order_relaxed);
	skiplist_insert(&memtable->list, entry);
	/* Relaxed: a counter, and only the writer writes it. */
	atomic_store_explicit(&memtable->entries,
			      memtable_entries(memtable) + 1,
			      memory_order_relaxed);
}

bool
memtable_get(const struct memtable *memtable, struct keyfs_slice key,
	     uint64_t hash, uint64_t seq, struct entry *out)
{
	uint64_t bits = filter_bits(hash);
	const struct skipnode *node;
	struct entry found;

	/* Relaxed: see memtable_add(). */
	if ((atomic_load_explicit(filter_word(memtable, hash),
				  memory_order_relaxed) &
	     bits) != bits)
		return false;
	node = skiplist_seek(&memtable->list, key, seq);
	if (!node)
		return false;
	skipnode_entry(node, &found);
	if (!key_equal(found.key, key))
		return false;
	*out = found;
	return true;
}

size_t
memtable_bytes(const struct memtable *memtable)
{
	return arena_used(&memtable->arena) +
	       memtable->filter_words * sizeof(*memtable->filter);
}

size_t
memtable_entries(const struct memtable *memtable)
{
	return atomic_load_explicit(&memtable->entries, memory_order_relaxed);
}

/* ---- The iterator ---- */

struct memtable_iter {
	struct iter iter;
	struct memtable *memtable; /* a reference */
	const struct skipnode *node;
};

static void
stand_on(struct iter *iter, const struct skipnode *node)
{
	((struct memtable_iter *)iter)->node = node;
	iter->valid = node != NULL;
	if (!node)
		return;
	skipnode_entry(node, &iter->entry);
	/* Neighbours in order lie anywhere in memory. */
	skipnode_prefetch_next(node);
}

static const struct skiplist *
list_of(struct iter *iter)
{
	return &((struct memtable_iter *)iter)->memtable->list;
}

static void
iter_op_first(struct iter *iter)
{
	stand_on(iter, skiplist_first(list_of(iter)));
}

static void
iter_op_last(struct iter *iter)
{
	stand_on(iter, skiplist_last(list_of(iter)));
}

static void
iter_op_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	stand_on(iter, skiplist_seek(list_of(iter), key, seq));
}

static void
iter_op_next(struct iter *iter)
{
	stand_on(iter, skipnode_next(((struct memtable_iter *)iter)->node));
}

/* There are no links backwards: they could not be kept right without a lock. */
static void
iter_op_prev(struct iter *iter)
{
	stand_on(iter, skiplist_seek_before(list_of(iter), iter->entry.key,
					    iter->entry.seq));
}

static void
iter_op_free(struct iter *iter)
{
	memtable_unref(((struct memtable_iter *)iter)->memtable);
	free(iter);
}

static const struct iter_ops memtable_iter_ops = {
	.first = iter_op_first,
	.last = iter_op_last,
	.seek = iter_op_seek,
	.next = iter_op_next,
	.prev = iter_op_prev,
	.free = iter_op_free,
};

int
memtable_iter(struct memtable *memtable, struct iter **out)
{
	struct memtable_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->iter.ops = &memtable_iter_ops;
	it->memtable = memtable_ref(memtable);
	*out = &it->iter;
	return 0;
}
