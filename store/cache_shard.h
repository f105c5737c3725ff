/* SPDX-License-Identifier: Apache-2.0 */
/* cache_shard.h - one shard of the block cache: a hash table with chains of handles,
 * and a clock.
 *
 * A handle is never freed before the shard is: when its object goes it waits in the
 * free list for the next one.  So a reader may walk chains while others change them;
 * the worst that it can meet is a handle that has meanwhile been given to another
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
 * Everything but shard_lookup() and the pins takes the shard's lock, and `destroy`
 * is called under none.  For cache.c alone; any thread. */
#ifndef STORE_CACHE_SHARD_H
#define STORE_CACHE_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/lock.h"

#define CACHE_LINE_BYTES 64

struct handle;
struct buckets;

/* What an entry holds. */
struct piece {
	void *object; /* owned */
	void (*destroy)(void *object);
	size_t charge;
};

/* What all shards of a cache hold together: atomic, any thread. */
struct cache_use {
	_Atomic uint64_t bytes, entries;
};

struct shard {
	/* Atomic.  Apart from the lock, which readers do not touch. */
	_Alignas(CACHE_LINE_BYTES) _Atomic(struct buckets *) buckets;
	_Atomic uint64_t hits, misses;

	_Alignas(CACHE_LINE_BYTES) struct mutex lock;
	/* Guarded by lock. */
	struct handle **slabs; /* owned, SLAB_HANDLES each */
	size_t slab_count;
	size_t hand; /* of the clock: the next handle to look at */
	size_t listed;
	struct handle *unused; /* free list */

	struct cache_use *use; /* constant; borrowed */
};

/* `shard` is zeroed memory.  -ENOMEM: shard_fini() is still due. */
int shard_init(struct shard *shard, struct cache_use *use);
/* Requires: every entry is gone. */
void shard_fini(struct shard *shard);

/* The object of a pinned handle. */
void *handle_object(const struct handle *h);
/* Pins once more what is pinned. */
void handle_repin(struct handle *h);
/* Unpins; destroys the object if it was only waiting for that. */
void handle_unpin(struct handle *h);
/* Pins a handle that may have changed hands if it still holds (file, offset). */
bool handle_take(struct handle *h, uint64_t file, uint64_t offset);
/* Destroys the object of a handle that is neither listed nor pinned. */
void handle_retire(struct handle *h);

/* Finds (file, offset) and pins it, without a lock; NULL: it is not there, or was
 * missed because others insert and evict. */
struct handle *shard_lookup(struct shard *shard, uint64_t hash, uint64_t file,
			    uint64_t offset);

/* Finds (file, offset), for certain, or adds it with `piece`; pinned in either case.
 * With `list` unset a new entry is found by nobody and lives until it is unpinned.
 * NULL: no memory. */
struct handle *shard_insert(struct shard *shard, uint64_t file, uint64_t offset,
			    const struct piece *piece, bool list);

/* Takes one entry out that was not used lately, for handle_retire(); turns the hand
 * at most once around, where it finds nothing but bits to clear another shard may
 * have entries less used. */
struct handle *shard_evict(struct shard *shard);

/* Takes every entry of `file` out (NULL: of every file); destroys those that nobody
 * pins, the others go when they are unpinned. */
void shard_drop(struct shard *shard, const uint64_t *file);

/* The charges of what is pinned; walks everything. */
uint64_t shard_pinned_bytes(struct shard *shard);

/* A hash of a key, good in all its bits. */
static inline uint64_t
place_hash(uint64_t file, uint64_t offset)
{
	uint64_t h = (file * UINT64_C(0x9e3779b97f4a7c15)) ^ offset;

	h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return h ^ (h >> 32);
}

#endif
