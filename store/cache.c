/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - a sharded CLOCK cache whose lookups take no lock; see cache.h.
 *
 * Each shard is a hash table with chains of handles.  A handle is never freed
 * before the cache is: when its object goes it waits in the shard's free list
 * for the next one.  So a reader may walk chains while others change them; the
 * worst that it can meet is a handle that has meanwhile been given to another
 * key.  What it finds it first pins and only then believes:
 *
 *	state   63 .. 34 | 33 USED | 32 LISTED | 31 .. refs .. 0
 *
 *	pin     refs + 1, only while LISTED (compare-and-swap); then the key is
 *	        compared again, since it cannot change under a pin
 *	evict   LISTED and refs 0 -> 0, under the shard's lock
 *	drop    LISTED off, under the shard's lock
 *	unpin   refs - 1; who makes it 0 on an unlisted handle destroys it
 *
 * Exactly one of these brings refs and LISTED to zero together, and it owns the
 * object then.  A reader that strays into another chain misses its entry, which
 * costs a read of the disk and nothing else; HOPS_MAX ends its walk.
 *
 * Everything but the lookup takes the lock of one shard, and calls `destroy`
 * under none.  The capacity is one for all shards: an insert that exceeds it
 * evicts from the shards in turn, so a large entry needs no large shard. */
#include <config.h>

#include "store/cache.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/lock.h"

enum {
	SHARD_BITS = 4,
	SHARDS = 1 << SHARD_BITS,
	SLAB_HANDLES = 64,
	FIRST_BUCKETS = 64, /* a power of two, as is each size after it */
	HOPS_MAX = 64,
	LINE_BYTES = 64,
};

#define REFS UINT64_C(0xffffffff)
#define LISTED (UINT64_C(1) << 32)
#define USED (UINT64_C(1) << 33)

struct shard;

struct piece {
	void *object; /* owned */
	void (*destroy)(void *object);
	size_t charge;
};

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

struct shard {
	/* Atomic.  Apart from the lock, which readers do not touch. */
	_Alignas(LINE_BYTES) _Atomic(struct buckets *) buckets;
	_Atomic uint64_t hits, misses;

	_Alignas(LINE_BYTES) struct mutex lock;
	/* Guarded by lock. */
	struct handle **slabs; /* owned, SLAB_HANDLES each */
	size_t slab_count;
	size_t hand; /* of the clock: the next handle to look at */
	size_t listed;
	struct handle *unused; /* free list */

	struct cache *cache; /* constant */
};

struct cache {
	struct shard shards[SHARDS];
	/* Atomic; any thread. */
	_Atomic uint64_t used_bytes, entries, capacity;
	_Atomic unsigned next_victim; /* shard to evict from */
};

static uint64_t
place_hash(uint64_t file, uint64_t offset)
{
	uint64_t h = (file * UINT64_C(0x9e3779b97f4a7c15)) ^ offset;

	h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ (h >> 32);
}

static struct shard *
shard_of(struct cache *cache, uint64_t hash)
{
	return &cache->shards[hash >> (64 - SHARD_BITS)];
}

static bool
handle_is(struct handle *h, uint64_t file, uint64_t offset)
{
	return atomic_load_explicit(&h->offset, memory_order_relaxed) ==
		       offset &&
	       atomic_load_explicit(&h->file, memory_order_relaxed) == file;
}

/* ---- Pins ---- */

/* Destroys the object of a handle that is neither listed nor pinned. */
static void
handle_retire(struct handle *h)
{
	struct shard *shard = h->shard;
	struct cache *cache = shard->cache;

	h->piece.destroy(h->piece.object);
	atomic_fetch_sub_explicit(&cache->used_bytes, h->piece.charge,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&cache->entries, 1, memory_order_relaxed);
	mutex_lock(&shard->lock);
	atomic_store_explicit(&h->state, 0, memory_order_relaxed);
	atomic_store_explicit(&h->next, shard->unused, memory_order_relaxed);
	shard->unused = h;
	mutex_unlock(&shard->lock);
}

/* Release: what this thread read of the object comes before its destruction.
 * Acquire: the destruction comes after what every other thread read. */
static bool
handle_release(struct handle *h)
{
	uint64_t was =
		atomic_fetch_sub_explicit(&h->state, 1, memory_order_acq_rel);

	return (was & (REFS | LISTED)) == 1;
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

void
cache_pin(struct cache_ref ref)
{
	struct handle *h = ref.handle;

	if (h)
		atomic_fetch_add_explicit(&h->state, 1, memory_order_relaxed);
}

void
cache_unpin(struct cache *cache, struct cache_ref ref)
{
	struct handle *h = ref.handle;

	(void)cache; /* a handle knows its own */
	if (h && handle_release(h))
		handle_retire(h);
}

/* ---- Lookups, without a lock ---- */

/* Pins a handle if it holds (file, offset). */
static bool
handle_take(struct handle *h, uint64_t file, uint64_t offset,
	    struct cache_ref *out)
{
	if (!handle_is(h, file, offset) || !handle_pin(h))
		return false;
	if (handle_is(h, file, offset)) {
		out->handle = h;
		out->object = h->piece.object;
		return true;
	}
	/* It changed hands in between; its new key may be dropped by now. */
	if (handle_release(h))
		handle_retire(h);
	return false;
}

bool
cache_lookup(struct cache *cache, uint64_t file, uint64_t offset,
	     struct cache_ref *out)
{
	uint64_t hash = place_hash(file, offset);
	struct shard *shard = shard_of(cache, hash);
	struct buckets *buckets =
		atomic_load_explicit(&shard->buckets, memory_order_acquire);
	struct handle *h =
		atomic_load_explicit(&buckets->heads[hash & buckets->mask],
				     memory_order_acquire);
	int hops;

	for (hops = 0; h && hops < HOPS_MAX; hops++) {
		if (handle_take(h, file, offset, out)) {
			atomic_fetch_add_explicit(&shard->hits, 1,
						  memory_order_relaxed);
			return true;
		}
		h = atomic_load_explicit(&h->next, memory_order_acquire);
	}
	atomic_fetch_add_explicit(&shard->misses, 1, memory_order_relaxed);
	return false;
}

bool
cache_repin(void *handle, uint64_t file, uint64_t offset, struct cache_ref *out)
{
	return handle && handle_take(handle, file, offset, out);
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
	slab = aligned_alloc(LINE_BYTES, SLAB_HANDLES * sizeof(*slab));
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
	/* Fails if it was pinned just now.  Acquire: as in handle_release(). */
	return atomic_compare_exchange_strong_explicit(&h->state, &was, 0,
						       memory_order_acquire,
						       memory_order_relaxed);
}

/* Turns the hand until it takes an entry, at most once around: where it finds
 * nothing but bits to clear, another shard may have entries less used. */
static struct handle *
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

/* Evicts until everything fits; false if what is pinned alone does not, which
 * it takes two rounds of each hand to know: the first may only clear bits. */
static bool
cache_make_room(struct cache *cache)
{
	unsigned idle = 0; /* shards in a row that had nothing to give */

	while (atomic_load_explicit(&cache->used_bytes, memory_order_relaxed) >
	       atomic_load_explicit(&cache->capacity, memory_order_relaxed)) {
		unsigned i = atomic_fetch_add_explicit(&cache->next_victim, 1,
						       memory_order_relaxed);
		struct handle *h = shard_evict(&cache->shards[i % SHARDS]);

		if (h) {
			handle_retire(h);
			idle = 0;
		} else if (++idle == 2 * SHARDS) {
			return false;
		}
	}
	return true;
}

void
cache_set_capacity(struct cache *cache, size_t capacity_bytes)
{
	atomic_store_explicit(&cache->capacity, capacity_bytes,
			      memory_order_relaxed);
	(void)cache_make_room(cache);
}

/* ---- Inserting and dropping ---- */

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

void
cache_insert(struct cache *cache, uint64_t file, uint64_t offset, void *object,
	     size_t charge, void (*destroy)(void *object),
	     struct cache_ref *out)
{
	uint64_t hash = place_hash(file, offset);
	struct shard *shard = shard_of(cache, hash);
	struct piece piece = { object, destroy, charge };
	struct handle *h;
	bool list;

	atomic_fetch_add_explicit(&cache->used_bytes, charge,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&cache->entries, 1, memory_order_relaxed);
	/* What can never fit must not push out everything else first. */
	list = charge <= atomic_load_explicit(&cache->capacity,
					      memory_order_relaxed) &&
	       cache_make_room(cache);
	mutex_lock(&shard->lock);
	h = shard_find_locked(shard, hash, file, offset);
	if (h)
		(void)handle_pin(h); /* listed, and stays so under the lock */
	else
		h = shard_fill_locked(shard, file, offset, &piece, list);
	mutex_unlock(&shard->lock);

	out->handle = h;
	out->object = h ? h->piece.object : NULL;
	if (out->object == object)
		return;
	destroy(object);
	atomic_fetch_sub_explicit(&cache->used_bytes, charge,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&cache->entries, 1, memory_order_relaxed);
}

/* Takes every entry of the file off its chain; returns those that nobody pins,
 * strung by `next`.  `file` NULL: of every file. */
static struct handle *
shard_drop(struct shard *shard, const uint64_t *file)
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
		/* Acquire: as in handle_release(). */
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

static void
cache_drop(struct cache *cache, const uint64_t *file)
{
	int i;

	for (i = 0; i < SHARDS; i++) {
		struct handle *h = shard_drop(&cache->shards[i], file);

		while (h) {
			struct handle *next =
				atomic_load_explicit(&h->next,
						     memory_order_relaxed);

			handle_retire(h);
			h = next;
		}
	}
}

void
cache_drop_file(struct cache *cache, uint64_t file)
{
	cache_drop(cache, &file);
}

/* ---- Statistics, life ---- */

static uint64_t
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

void
cache_stats(struct cache *cache, struct cache_stats *out)
{
	int i;

	memset(out, 0, sizeof(*out));
	for (i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		out->hits += atomic_load_explicit(&shard->hits,
						  memory_order_relaxed);
		out->misses += atomic_load_explicit(&shard->misses,
						    memory_order_relaxed);
		out->pinned_bytes += shard_pinned_bytes(shard);
	}
	out->used_bytes =
		atomic_load_explicit(&cache->used_bytes, memory_order_relaxed);
	out->entries =
		atomic_load_explicit(&cache->entries, memory_order_relaxed);
}

static int
shard_init(struct shard *shard)
{
	struct buckets *buckets;

	buckets = calloc(1, sizeof(*buckets) +
				    FIRST_BUCKETS * sizeof(buckets->heads[0]));
	if (!buckets)
		return -ENOMEM;
	buckets->mask = FIRST_BUCKETS - 1;
	atomic_store_explicit(&shard->buckets, buckets, memory_order_relaxed);
	return 0;
}

static void
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

int
cache_new(size_t capacity_bytes, struct cache **out)
{
	struct cache *cache = aligned_alloc(LINE_BYTES, sizeof(*cache));
	int i, r;

	if (!cache)
		return -ENOMEM;
	memset(cache, 0, sizeof(*cache));
	atomic_store_explicit(&cache->capacity, capacity_bytes,
			      memory_order_relaxed);
	for (i = 0; i < SHARDS; i++) {
		cache->shards[i].cache = cache;
		mutex_init(&cache->shards[i].lock);
	}
	for (i = 0; i < SHARDS; i++) {
		r = shard_init(&cache->shards[i]);
		if (r < 0) {
			cache_free(cache);
			return r;
		}
	}
	*out = cache;
	return 0;
}

void
cache_free(struct cache *cache)
{
	int i;

	if (!cache)
		return;
	cache_drop(cache, NULL);
	assert(cache->entries == 0); /* or somebody forgot an unpin */
	for (i = 0; i < SHARDS; i++)
		shard_fini(&cache->shards[i]);
	free(cache);
}
