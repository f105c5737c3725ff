/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - shards by the hash of the key, and one capacity for all of them: an insert
 * that exceeds it evicts from the shards in turn, so a large entry needs no large
 * shard. */
#include <config.h>

#include "store/cache.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/cache_shard.h"

enum {
	SHARD_BITS = 4,
	SHARDS = 1 << SHARD_BITS,
};

struct cache {
	struct shard shards[SHARDS];
	/* Atomic; any thread. */
	struct cache_use use;
	_Atomic uint64_t capacity;
	_Atomic unsigned next_victim; /* shard to evict from */
};

static struct shard *
shard_of(struct cache *cache, uint64_t hash)
{
	return &cache->shards[hash >> (64 - SHARD_BITS)];
}

/* ---- Pins ---- */

static void
ref_set(struct cache_ref *ref, struct handle *h)
{
	ref->handle = h;
	ref->object = h ? handle_object(h) : NULL;
}

bool
cache_lookup(struct cache *cache, uint64_t file, uint64_t offset,
	     struct cache_ref *out)
{
	uint64_t hash = place_hash(file, offset);
	struct handle *h =
		shard_lookup(shard_of(cache, hash), hash, file, offset);

	if (!h)
		return false;
	ref_set(out, h);
	return true;
}

bool
cache_repin(void *handle, uint64_t file, uint64_t offset, struct cache_ref *out)
{
	if (!handle || !handle_take(handle, file, offset))
		return false;
	ref_set(out, handle);
	return true;
}

void
cache_pin(struct cache_ref ref)
{
	if (ref.handle)
		handle_repin(ref.handle);
}

void
cache_unpin(struct cache *cache, struct cache_ref ref)
{
	(void)cache; /* a handle knows its own */
	if (ref.handle)
		handle_unpin(ref.handle);
}

/* ---- Inserting, evicting, dropping ---- */

/* Evicts until everything fits; false if what is pinned alone does not, which
 * it takes two rounds of each hand to know: the first may only clear bits. */
static bool
cache_make_room(struct cache *cache)
{
	unsigned idle = 0; /* shards in a row that had nothing to give */

	while (atomic_load_explicit(&cache->use.bytes, memory_order_relaxed) >
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

static void
use_add(struct cache *cache, size_t charge)
{
	atomic_fetch_add_explicit(&cache->use.bytes, charge,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&cache->use.entries, 1, memory_order_relaxed);
}

void
cache_insert(struct cache *cache, uint64_t file, uint64_t offset, void *object,
	     size_t charge, void (*destroy)(void *object),
	     struct cache_ref *out)
{
	struct shard *shard = shard_of(cache, place_hash(file, offset));
	struct piece piece = { object, destroy, charge };
	bool list;

	use_add(cache, charge);
	/* What can never fit must not push out everything else first. */
	list = charge <= atomic_load_explicit(&cache->capacity,
					      memory_order_relaxed) &&
	       cache_make_room(cache);
	ref_set(out, shard_insert(shard, file, offset, &piece, list));
	if (out->object == object)
		return;
	destroy(object);
	atomic_fetch_sub_explicit(&cache->use.bytes, charge,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&cache->use.entries, 1, memory_order_relaxed);
}

void
cache_drop_file(struct cache *cache, uint64_t file)
{
	int i;

	for (i = 0; i < SHARDS; i++)
		shard_drop(&cache->shards[i], &file);
}

/* ---- Statistics, life ---- */

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
		atomic_load_explicit(&cache->use.bytes, memory_order_relaxed);
	out->entries =
		atomic_load_explicit(&cache->use.entries, memory_order_relaxed);
}

int
cache_new(size_t capacity_bytes, struct cache **out)
{
	struct cache *cache = aligned_alloc(CACHE_LINE_BYTES, sizeof(*cache));
	int i, r = 0;

	if (!cache)
		return -ENOMEM;
	memset(cache, 0, sizeof(*cache));
	atomic_store_explicit(&cache->capacity, capacity_bytes,
			      memory_order_relaxed);
	for (i = 0; i < SHARDS; i++)
		if (shard_init(&cache->shards[i], &cache->use) < 0)
			r = -ENOMEM;
	if (r < 0) {
		cache_free(cache);
		return r;
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
	for (i = 0; i < SHARDS; i++)
		shard_drop(&cache->shards[i], NULL);
	assert(cache->use.entries == 0); /* or somebody forgot an unpin */
	for (i = 0; i < SHARDS; i++)
		shard_fini(&cache->shards[i]);
	free(cache);
}
