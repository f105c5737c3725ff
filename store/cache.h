/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - the block cache, and the budget for what open tables keep.
 *
 * Maps (file number, offset) to an owned piece of memory.  An entry is pinned
 * by whoever looks it up and stays valid until unpinned, evicted or not.
 * Replacement is CLOCK (Corbato, "A Paging Experiment with the Multics System",
 * 1968): a hit sets a bit, the hand clears it and takes what it finds clear.
 *
 * Sharded by hash; a lookup takes no lock at all.  Indexes and filters of open
 * tables are entries too, charged like blocks; a table finds its own again by
 * cache_repin(), without a search.  Any thread may call. */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache;

/* A pinned entry. */
struct cache_ref {
	void *handle; /* the cache's own; NULL: pins nothing */
	void *object;
};

struct cache_stats {
	uint64_t hits, misses; /* of cache_lookup() */
	uint64_t used_bytes;   /* the charges of everything not destroyed yet */
	uint64_t pinned_bytes; /* of it, what somebody has pinned */
	uint64_t entries;
};

int cache_new(size_t capacity_bytes, struct cache **out);

/* Requires: nothing is pinned.  NULL is allowed. */
void cache_free(struct cache *cache);

/* Pins the entry of (file, offset) into *out, or returns false.  May miss an
 * entry that is there while others insert and evict: cache_insert() finds
 * it. */
bool cache_lookup(struct cache *cache, uint64_t file, uint64_t offset,
		  struct cache_ref *out);

/* Adds `object` of `charge` bytes and pins it into *out.  Owned by the cache
 * from here on: `destroy(object)` is called when it is evicted and nobody pins
 * it.  If the key is there already, the old object stays, is pinned into *out,
 * and the new one is destroyed.  When everything is pinned, or the charge is
 * above the capacity, the entry lives until its last unpin.  Without memory the
 * object is destroyed and *out pins nothing. */
void cache_insert(struct cache *cache, uint64_t file, uint64_t offset,
		  void *object, size_t charge, void (*destroy)(void *object),
		  struct cache_ref *out);

/* Pins the entry of (file, offset) again, given a handle that pinned it
 * earlier, or returns false if it has been evicted since.  `handle` may be as
 * old as the cache, and NULL. */
bool cache_repin(void *handle, uint64_t file, uint64_t offset,
		 struct cache_ref *out);

/* Pins once more what is pinned. */
void cache_pin(struct cache_ref ref);

/* A ref that pins nothing is allowed. */
void cache_unpin(struct cache *cache, struct cache_ref ref);

/* Forgets every entry of a deleted file, now or when it is unpinned. */
void cache_drop_file(struct cache *cache, uint64_t file);

/* The capacity follows what the rest of the budget leaves. */
void cache_set_capacity(struct cache *cache, size_t capacity_bytes);

/* Walks all entries for pinned_bytes: for statistics, not for decisions. */
void cache_stats(struct cache *cache, struct cache_stats *out);

#endif
