/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - which tables and logs are live: one immutable state of the store.
 *
 *	level 0   [a......m] [c....z] [a........r]   as flushed: newest first,
 *	                                             may overlap
 *	level 4       [a..d][e....k]     [q...t]     sorted and disjoint
 *	level 5   [a..c][d...f][g.....p][r......z]   sorted and disjoint
 *	level 6   [a][b..c][d.....k][l...q][r...x]   sorted and disjoint
 *
 * Of one key, a level holds newer versions than every level below it, and a
 * table of level 0 newer ones than those behind it; so the first version that a
 * lookup finds going down is the newest.
 *
 * A version is made by version_apply() from an older one and an edit, and never
 * changes.  Counted: the store holds one reference on the current version, each
 * read view one; it keeps its tables.  A reader that holds one needs no lock.
 * A read point must be taken in this order: pin the version and the memtables,
 * then read the visible sequence number; the other way round a flush or
 * compaction between the two may have dropped what only that number could see.
 */
#ifndef STORE_VERSION_H
#define STORE_VERSION_H

#include "store/damage.h"
#include "store/table_meta.h"

struct version_level {
	struct table_meta **tables; /* owned array, a reference each */
	size_t count;
	uint64_t bytes; /* of their files */
};

/* A log that recovery must replay. */
struct version_log {
	uint64_t number;
	bool ended;
	uint64_t end; /* if ended: offset past its last record */
};

struct version {
	_Atomic uint32_t refs;
	struct table_set *set; /* borrowed */

	/* Constant. */
	struct version_level levels[KEYFS_LEVELS];
	/* How many tables of level 0 lie above each other at most: what a
	 * lookup there may cost. */
	size_t level0_depth;
	struct damage_list damages; /* what was lost; sorted */
	struct version_log *logs;   /* owned, by number; all >= log_floor */
	size_t log_count;
	uint64_t log_floor;   /* oldest log that is needed */
	uint64_t next_number; /* above every file number in use */
	uint64_t last_seq;    /* no table holds a sequence number above it */
};

/* The state of a store without any file.  One reference, the caller's. */
int version_new(struct table_set *set, struct version **out);
struct version *version_ref(struct version *version);
void version_unref(struct version *version); /* NULL is allowed */

/* ---- Reading ---- */

struct version_result {
	struct entry entry;   /* key: the caller's own; value: in the block */
	struct cache_ref pin; /* the caller unpins it from the set's cache */
	uint32_t filtered;    /* tables that their filter ruled out */
	uint32_t read;        /* tables that were searched */
};

/* Finds the newest version of `key` not above `seq` in the tables; it may be a
 * tombstone.  Whether something newer was lost is for damage_list_find() to say.
 * `hash` is bloom_hash(key).  -ENOENT: none, with both counts set.  -EAGAIN:
 * `nowait`, and something is not in memory.  A table that cannot be read ends
 * the search with its error: an older version is never the answer instead. */
int version_get(struct version *version, struct keyfs_slice key, uint64_t hash,
		uint64_t seq, bool nowait, struct version_result *out);

/* How many iterators version_iters() makes at most. */
size_t version_iters_max(const struct version *version);

/* Makes the iterators that together show every entry from `lower` to before
 * `upper` (.data NULL: no bound) and perhaps others: one for each table of
 * level 0, one for each deeper level.  `flags` are those of table_iter().  The
 * caller owns them and keeps its reference on the version until they are freed.
 * On failure none is left. */
int version_iters(struct version *version, struct keyfs_slice lower,
		  struct keyfs_slice upper, unsigned flags, struct iter **out,
		  size_t *out_count);

/* An iterator over `count` sorted, disjoint tables, each opened when it is
 * reached.  `tables` and its references are borrowed until it is freed. */
int version_level_salvage(struct table_meta *const *tables, size_t count,
			  struct damage_list *lost, struct iter **out);
int version_level_iter(struct table_meta *const *tables, size_t count,
		       unsigned flags, struct iter **out);

/* Collects the tables of a level that hold keys from `smallest` to `largest`,
 * both inclusive (.data NULL: no bound), in the level's order: borrowed, at
 * most levels[level].count.  Returns how many. */
size_t version_overlaps(const struct version *version, unsigned level,
			struct keyfs_slice smallest, struct keyfs_slice largest,
			struct table_meta **out);

/* About how many bytes on disk the keys from `lower` to before `upper` (.data
 * NULL: no bound) take. */
int version_approximate_size(struct version *version, struct keyfs_slice lower,
			     struct keyfs_slice upper, uint64_t *out);

/* The table of that number and its level, borrowed; NULL if it is not there. */
struct table_meta *version_find(const struct version *version, uint64_t number,
				unsigned *out_level);

#endif
