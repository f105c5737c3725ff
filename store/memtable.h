/* SPDX-License-Identifier: Apache-2.0 */
/* memtable.h - the recent writes, sorted, in memory.
 *
 * An arena-backed skip list (Pugh, "Skip Lists: A Probabilistic Alternative to
 * Balanced Trees", CACM 33, 1990).  One writer at a time (the store's write
 * mutex); any number of readers at the same time, without locks: a node is
 * complete before it is linked (release), and never moves or goes until the
 * memtable does.  A filter in front of it lets a lookup of an absent key cost
 * one cache line.
 *
 * A reader sees every version that was added before the sequence number it
 * reads at was published to it (release and acquire, the store's last visible
 * number), and perhaps later ones, which its sequence number hides.
 *
 * Counted: the store holds one reference, each read view one.  Memory comes
 * from the arena and is freed whole with the last reference. */
#ifndef STORE_MEMTABLE_H
#define STORE_MEMTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/iter.h"

struct memtable;

/* Makes one for about `bytes` of memory in all; the filter is sized by it.
 * `like`: see memtable_learn(); may be NULL.  One reference, the caller's. */
int
memtable_new(size_t bytes, const struct memtable *like, struct memtable **out);

/* Lets the keys of the memtable before say what keys of this one are likely to
 * share; without, reading and writing take up to half as long again.  Costs a
 * search for each byte that keys begin with.  Requires: it is empty and nobody
 * else has it.  `like` may be written to meanwhile. */
void memtable_learn(struct memtable *memtable, const struct memtable *like);

/* Whether it has learnt from one that was not empty. */
bool memtable_has_learnt(const struct memtable *memtable);
struct memtable *memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable); /* NULL is allowed */

/* Makes sure that memtable_add() of `count` entries with `bytes` of keys and
 * values will find memory.  -ENOMEM: nothing changed.  The writer's. */
int memtable_reserve(struct memtable *memtable, size_t count, size_t bytes);

/* Adds a version; copies its bytes.  `hash` is bloom_hash(entry->key).
 * Requires: reserved; the sequence number is above every other of that key.
 * The writer's. */
void memtable_add(struct memtable *memtable, const struct entry *entry,
		  uint64_t hash);

/* Finds the newest version of `key` not above `seq`.  The entry's slices live
 * as long as the memtable.  `hash` is bloom_hash(key).  Any thread. */
bool memtable_get(const struct memtable *memtable, struct keyfs_slice key,
		  uint64_t hash, uint64_t seq, struct entry *out);

/* Memory taken, and entries.  Any thread. */
size_t memtable_bytes(const struct memtable *memtable);
size_t memtable_entries(const struct memtable *memtable);

/* An iterator; holds a reference. */
int memtable_iter(struct memtable *memtable, struct iter **out);

#endif
