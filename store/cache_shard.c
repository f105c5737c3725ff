/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/cache_shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLAB_HANDLES = 64,
	FIRST_BUCKETS = 64, /* a power of two, as is each size after it */
	HOPS_MAX = 64,
};

#define REFS UINT64_C(0xffffffff)
#define LISTED (UINT64_C(1) << 32)
#define USED (UINT64_C(1) << 33)

struct handle {
	/* Atomic.  Written under the shard's lock, except for refs and USED. */
	_Atomic(struct handle *) next; /* in its chain or the free list */
	_Atomic uint64_t state;
	_Atomic uint64_t file, offset;

	struct piece piece; /* constant while listed or pinned */

	struct shard *shard; /* constant */
};

struct buckets {
	struct buckets *older; /* owned: a reader may still be in it */
	size_t mask;
	_Atomic(struct handle *) heads[];
};

static bool
handle_is(struct handle *h, uint64_t file, uint64_t offset)
{
	return atomic_load_explicit(&h->offset, memory_order_relaxed) ==
		       offset &&
	       atomic_load_explicit(&h->file, memory_order_relaxed) == file;
}

/* ---- Pins ---- */

void
handle_retire(struct handle *h)
{
	struct shard *shard = h->shard;

	h->piece.destroy(h->piece.object);
	atomic_fetch_sub_explicit(&shard->use->bytes, h->piece.charge,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&shard->use->entries, 1,
				  memory_order_relaxed);
	mutex_lock(&shard->lock);
	atomic_store_explicit(&h->state, 0, memory_order_relaxed);
	atomic_store_explicit(&h->next, shard->unused, memory_order_relaxed);
	shard->unused = h;
	mutex_unlock(&shard->lock);
}

/* Acquire: the object's bytes were written before the handle was listed. */
static bool
handle_pin(struct handle *h)
{
	uint64_t was = atomic_load_explicit(&h->state, memory_order_relaxed);

	do {
		if (!(was & LISTED))
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&h->state, &was,
							(was + 1) | USED,
							memory_order_acquire,
							memory_order_relaxed));
	return true;
}

void *
handle_object(const struct handle *h)
{
	return h->piece.object;
}

void
handle_repin(struct handle *h)
{
	atomic_fetch_add_explicit(&h->state, 1, memory_order_relaxed);
}

/* Release: what this thread read of the object comes before its destruction.
 * Acquire: the destruction comes after what every other thread read. */
void
handle_unpin(struct handle *h)
{
	uint64_t was =
		atomic_fetch_sub_explicit(&h->state, 1, memory_order_acq_rel);

	if ((was & (REFS | LISTED)) == 1)
		handle_retire(h);
}

bool
handle_take(struct handle *h, uint64_t file, uint64_t offset)
{
	if (!handle_is(h, file, offset) || !handle_pin(h))
		return false;
	if (handle_is(h, file, offset))
		return true;
	/* It changed hands in between; its new key may be dropped by now. */
	handle_unpin(h);
	return false;
}

/* ---- Lookups, without a lock ---- */

struct handle *
shard_lookup(struct shard *shard, uint64_t hash, uint64_t file, uint64_t offset)
{
	struct buckets *buckets =
		atomic_load_explicit(&shard->buckets, memory_order_acquire);
	struct handle *h =
		atomic_load_explicit(&buckets->heads[hash & buckets->mask],
				     memory_order_acquire);
	int hops;

	for (hops = 0; h && hops < HOPS_MAX; hops++) {
		if (handle_take(h, file, offset)) {
			atomic_fetch_add_explicit(&shard->hits, 1,
						  memory_order_relaxed);
			return h;
		}
		h = atomic_load_explicit(&h->next, memory_order_acquire);
	}
	atomic_fetch_add_explicit(&shard->misses, 1, memory_order_relaxed);
	return NULL;
}

/* ---- Chains ---- */

static _Atomic(struct handle *) *
shard_head_locked(struct shard *shard, struct handle *h) REQUIRES(&shard->lock)
{
	struct buckets *buckets =
		atomic_load_explicit(&shard->buckets, memory_order_relaxed);
	uint64_t hash =
		place_hash(atomic_load_explicit(&h->file, memory_order_relaxed),
			   atomic_load_explicit(&h->offset,
						memory_order_relaxed));

	return &buckets->heads[hash & buckets->mask];
}

/* Release: who reaches the handle by its chain sees its key. */
static void
shard_link_locked(struct shard *shard, struct handle *h) REQUIRES(&shard->lock)
{
	_Atomic(struct handle *) *head = shard_head_locked(shard, h);

	atomic_store_explicit(&h->next,
			      atomic_load_explicit(head, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(head, h, memory_order_release);
}

/* The handle keeps its own `next`, for readers that stand on it. */
static void
shard_unlink_locked(struct shard *shard, struct handle *h)
	REQUIRES(&shard->lock)
{
	_Atomic(struct handle *) *link = shard_head_locked(shard, h);
	struct handle *at;

	while ((at = atomic_load_explicit(link, memory_order_relaxed)) != h)
		link = &at->next;
	atomic_store_explicit(link,
			      atomic_load_explicit(&h->next,
						   memory_order_relaxed),
			      memory_order_release);
	shard->listed--;
}

static struct handle *
shard_handle_locked(struct shard *shard, size_t i) REQUIRES(&shard->lock)
{
	return &shard->slabs[i / SLAB_HANDLES][i % SLAB_HANDLES];
}

static bool
handle_listed(struct handle *h)
{
	return atomic_load_explicit(&h->state, memory_order_relaxed) & LISTED;
}

/* Doubles the buckets when there are more entries than chains.  Without memory
 * the chains grow longer instead. */
static void
shard_grow_locked(struct shard *shard) REQUIRES(&shard->lock)
{
	struct buckets *old =
		atomic_load_explicit(&shard->buckets, memory_order_relaxed);
	size_t count = (old->mask + 1) * 2, i;
	struct buckets *new;

	if (shard->listed <= old->mask)
		return;
	new = calloc(1, sizeof(*new) + count * sizeof(new->heads[0]));
	if (!new)
		return;
	new->mask = count - 1;
	new->older = old;
	atomic_store_explicit(&shard->buckets, new, memory_order_release);
	for (i = 0; i < shard->slab_count * SLAB_HANDLES; i++) {
		struct handle *h = shard_handle_locked(shard, i);

		if (handle_listed(h))
			shard_link_locked(shard, h);
	}
}

/* Adds a slab of unused handles. */
static int
shard_extend_locked(struct shard *shard) REQUIRES(&shard->lock)
{
	struct handle **slabs =
		realloc(shard->slabs, (shard->slab_count + 1) * sizeof(*slabs));
	struct handle *slab;
	size_t i;

	if (!slabs)
		return -ENOMEM;
	shard->slabs = slabs;
	slab = aligned_alloc(CACHE_LINE_BYTES, SLAB_HANDLES * sizeof(*slab));
	if (!slab)
		return -ENOMEM;
	memset(slab, 0, SLAB_HANDLES * sizeof(*slab));
	for (i = 0; i < SLAB_HANDLES; i++) {
		slab[i].shard = shard;
		atomic_store_explicit(&slab[i].next, shard->unused,
				      memory_order_relaxed);
		shard->unused = &slab[i];
	}
	slabs[shard->slab_count++] = slab;
	return 0;
}

/* ---- Inserting ---- */

/* Unlike the lookup this one is sure: nobody changes the chain meanwhile. */
static struct handle *
shard_find_locked(struct shard *shard, uint64_t hash, uint64_t file,
		  uint64_t offset) REQUIRES(&shard->lock)
{
	struct buckets *buckets =
		atomic_load_explicit(&shard->buckets, memory_order_relaxed);
	struct handle *h =
		atomic_load_explicit(&buckets->heads[hash & buckets->mask],
				     memory_order_relaxed);

	while (h && !handle_is(h, file, offset))
		h = atomic_load_explicit(&h->next, memory_order_relaxed);
	return h;
}

/* Gives an unused handle its key and object, pinned once. */
static struct handle *
shard_fill_locked(struct shard *shard, uint64_t file, uint64_t offset,
		  const struct piece *piece, bool list) REQUIRES(&shard->lock)
{
	struct handle *h;

	if (!shard->unused && shard_extend_locked(shard) < 0)
		return NULL;
	h = shard->unused;
	shard->unused = atomic_load_explicit(&h->next, memory_order_relaxed);
	atomic_store_explicit(&h->file, file, memory_order_relaxed);
	atomic_store_explicit(&h->offset, offset, memory_order_relaxed);
	h->piece = *piece;
	if (list) {
		shard->listed++;
		shard_grow_locked(shard);
	}
	/* Release: pairs with the acquire of handle_pin(). */
	atomic_store_explicit(&h->state, list ? LISTED | 1 : 1,
			      memory_order_release);
	if (list)
		shard_link_locked(shard, h);
	return h;
}

struct handle *
shard_insert(struct shard *shard, uint64_t file, uint64_t offset,
	     const struct piece *piece, bool list)
{
	struct handle *h;

	mutex_lock(&shard->lock);
	h = shard_find_locked(shard, place_hash(file, offset), file, offset);
	if (h)
		(void)handle_pin(h); /* listed, and stays so under the lock */
	else
		h = shard_fill_locked(shard, file, offset, piece, list);
	mutex_unlock(&shard->lock);
	return h;
}

/* ---- Eviction ---- */

/* Whether the hand takes this entry; if it was used since the hand's last
 * round, it loses its bit instead. */
static bool
handle_evict(struct handle *h)
{
	uint64_t was = atomic_load_explicit(&h->state, memory_order_relaxed);

	if (!(was & LISTED) || (was & REFS))
		return false;
	if (was & USED) {
		atomic_fetch_and_explicit(&h->state, ~USED,
					  memory_order_relaxed);
		return false;
	}
	/* Fails if it was pinned just now.  Acquire: as in handle_unpin(). */
	return atomic_compare_exchange_strong_explicit(&h->state, &was, 0,
						       memory_order_acquire,
						       memory_order_relaxed);
}

struct handle *
shard_evict(struct shard *shard)
{
	struct handle *victim = NULL;
	size_t count, turns;

	mutex_lock(&shard->lock);
	count = shard->slab_count * SLAB_HANDLES;
	for (turns = 0; turns < count && !victim; turns++) {
		struct handle *h;

		if (shard->hand >= count)
			shard->hand = 0;
		h = shard_handle_locked(shard, shard->hand++);
		if (handle_evict(h)) {
			shard_unlink_locked(shard, h);
			victim = h;
		}
	}
	mutex_unlock(&shard->lock);
	return victim;
}

/* ---- Dropping ---- */

/* Takes every entry of the file off its chain; returns those that nobody pins,
 * strung by `next`. */
static struct handle *
shard_unlist(struct shard *shard, const uint64_t *file)
{
	struct handle *doomed = NULL;
	size_t i;

	mutex_lock(&shard->lock);
	for (i = 0; i < shard->slab_count * SLAB_HANDLES; i++) {
		struct handle *h = shard_handle_locked(shard, i);
		uint64_t was;

		if (!handle_listed(h) ||
		    (file &&
		     atomic_load_explicit(&h->file, memory_order_relaxed) !=
			     *file))
			continue;
		shard_unlink_locked(shard, h);
		/* Acquire: as in handle_unpin(). */
		was = atomic_fetch_and_explicit(&h->state, ~(LISTED | USED),
						memory_order_acquire);
		if (was & REFS)
			continue;
		atomic_store_explicit(&h->next, doomed, memory_order_relaxed);
		doomed = h;
	}
	mutex_unlock(&shard->lock);
	return doomed;
}

void
shard_drop(struct shard *shard, const uint64_t *file)
{
	struct handle *h = shard_unlist(shard, file);

	while (h) {
		struct handle *next =
			atomic_load_explicit(&h->next, memory_order_relaxed);

		handle_retire(h);
		h = next;
	}
}

/* ---- Life ---- */

uint64_t
shard_pinned_bytes(struct shard *shard)
{
	uint64_t bytes = 0;
	size_t i;

	mutex_lock(&shard->lock);
	for (i = 0; i < shard->slab_count * SLAB_HANDLES; i++) {
		struct handle *h = shard_handle_locked(shard, i);

		if (atomic_load_explicit(&h->state, memory_order_relaxed) &
		    REFS)
			bytes += h->piece.charge;
	}
	mutex_unlock(&shard->lock);
	return bytes;
}

int
shard_init(struct shard *shard, struct cache_use *use)
{
	struct buckets *buckets;

	shard->use = use;
	mutex_init(&shard->lock);
	buckets = calloc(1, sizeof(*buckets) +
				    FIRST_BUCKETS * sizeof(buckets->heads[0]));
	if (!buckets)
		return -ENOMEM;
	buckets->mask = FIRST_BUCKETS - 1;
	atomic_store_explicit(&shard->buckets, buckets, memory_order_relaxed);
	return 0;
}

void
shard_fini(struct shard *shard)
{
	struct buckets *buckets =
		atomic_load_explicit(&shard->buckets, memory_order_relaxed);
	size_t i;

	while (buckets) {
		struct buckets *older = buckets->older;

		free(buckets);
		buckets = older;
	}
	for (i = 0; i < shard->slab_count; i++)
		free(shard->slabs[i]);
	free(shard->slabs);
	mutex_fini(&shard->lock);
}
