/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - reads one immutable sorted table file.
 *
 * Opening reads the footer; index, filter and properties are loaded at first
 * use, charged to the cache and evicted as a unit, and found again by pointer
 * while they are in.  Counted: a reader holds a reference, and needs no lock.
 * Every block is checked against its checksum, file number and offset when it
 * is read; damage gives -EUCLEAN through corrupt().  Any thread may call. */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/cache.h"
#include "store/env.h"
#include "store/error.h"
#include "store/iter.h"

struct table;

/* Opens file `number` in `dir` (borrowed, like the rest, until the last unref).
 * `file_bytes`: its size by the manifest; another size is damage.  One
 * reference, the caller's.  -ENOENT: no such file. */
int table_open(struct env_dir *dir, uint64_t number, uint64_t file_bytes,
	       struct cache *cache, const struct reporter *reporter,
	       struct table **out);
struct table *table_ref(struct table *table);
/* Closes the file with the last reference.  NULL is allowed. */
void table_unref(struct table *table);

/* What a point lookup found. */
struct table_result {
	struct entry entry;   /* value: in the pinned block */
	struct cache_ref pin; /* the caller unpins it with cache_unpin() */
	bool filtered; /* with -ENOENT: the filter said no, nothing was read */
};

/* Finds the newest version of `key` with a sequence number not above `seq`.
 * `hash` is bloom_hash(key).  -ENOENT: none (out->filtered is set).  -EAGAIN:
 * `nowait`, and a block is not in memory.  The key slice of out->entry is the
 * caller's own. */
int table_get(struct table *table, struct keyfs_slice key, uint64_t hash,
	      uint64_t seq, bool nowait, struct table_result *out);

/* Flags of table_iter(). */
#define TABLE_ITER_NOWAIT 1u /* status -EAGAIN where the disk is needed */
#define TABLE_ITER_NOFILL                                                      \
	2u /* leaves the cache as it is; reads ahead: for compaction */

/* An iterator over the whole table; holds a reference on it. */
int table_iter(struct table *table, unsigned flags, struct iter **out);

/* Blocks that lie side by side and cannot be read. */
struct table_loss {
	uint64_t offset, bytes;
	/* What they held lies between these keys, inclusive; of `first` only
	 * versions below first_seq (0: none).  .data NULL: to that end of the
	 * table. */
	struct keyfs_slice first, last;
	uint64_t first_seq;
	uint64_t max_seq; /* the highest sequence number; 0: not known */
};

/* Called for each loss, in order.  Another value than 0 ends the iterator with
 * it. */
typedef int (*table_loss_fn)(void *arg, const struct table_loss *loss);

/* TABLE_ITER_NOFILL, for moves forward from the first entry only: passes over
 * damaged blocks, after raising each, and tells `lost` of them.  A damaged filter
 * is raised and not missed; without the index there is nothing to go by:
 * -EUCLEAN. */
int table_iter_salvage(struct table *table, table_loss_fn lost, void *arg,
		       struct iter **out);

/* The offset in the file where `key` is or would be. */
int table_offset_of(struct table *table, struct keyfs_slice key, uint64_t *out);

/* Reads and checks every byte; each damage goes to `damage` (may be NULL) too.
 * Returns -EUCLEAN if there was any. */
int table_verify(struct table *table, keyfs_damage_fn damage, void *arg);
/* The same, told of the bytes before each read: another value than 0 ends it, and
 * is returned unless there was damage. */
int table_scrub(struct table *table, int (*pace)(void *arg, size_t bytes),
		void *pace_arg, keyfs_damage_fn damage, void *arg);

#endif
