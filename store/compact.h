/* SPDX-License-Identifier: Apache-2.0 */
/* compact.h - choosing tables to merge, merging them, writing the result; flush
 * too.
 *
 * No knowledge of locks, threads or the manifest: compact_pick() is a function
 * of a version, compact_run() turns one sorted iterator into tables.  Whoever
 * calls them installs the result.
 *
 * What a merge does, at output level 5, with live snapshots at 4 and 9, and the
 * last visible sequence number 20:
 *
 *	level 4   a:18 put        b:3 delete    c:19 delete    d:8 delete
 *	level 5   a:12 put        b:1 put       c:7 put        d:6 put   d:2 put
 *	level 6                   b:? maybe                    (no d here)
 *
 *	output    a:18            b:3 delete    c:19 delete    d:8 delete   d:2
 *	                                        c:7
 *
 * A version stays if somebody can see it: the newest one not above a snapshot,
 * for each live snapshot and for the last visible number (which is the last
 * snapshot: whoever reads now).
 *	a:12 is hidden by a:18 from those at 20, and those at 9 or 4 never
 *	saw it: dropped.  b:1 is hidden by b:3 from everybody.  c:7 is what 9
 *	sees.  d:6 is between snapshots: dropped.
 * A tombstone hides older versions; it may go when there are none left to hide:
 *	1. no deeper level can hold the key: b:3 stays, as level 6 may hold b,
 *	   and
 *	2. it is not above the oldest snapshot, so that every older version in
 *	   this merge goes with it: c:19 stays, or c:7 would rise again for
 *	   readers at 20; d:8 stays, or readers at 9 would see d:2.
 *	If there were no snapshots: d:8, d:6 and d:2 would all go.
 * Newer levels are of no concern: they hold newer versions only.
 *
 * A block that is damaged is passed over, and a damage range takes its place
 * (damage.h); a tombstone inside one stays, as it says more than the range. */
#ifndef STORE_COMPACT_H
#define STORE_COMPACT_H

#include <stdatomic.h>

#include "store/table_builder.h"
#include "store/version_edit.h"

/* ---- Choosing ---- */

/* How large each level ought to be.  The last level is as large as it is; each
 * level above it should be level_ratio times smaller, up to the first whose
 * target is not above level_bytes: the base level, into which level 0 is
 * merged.  Levels between 0 and the base level are empty ("Dynamic leveling",
 * RocksDB wiki, "Leveled Compaction"): so the levels above the last hold about
 * a tenth of the store, whatever its size, and a small store has one level.
 * With ratio 10, level_bytes 64 MiB, and 3 GiB in level 6:
 *
 *	level 6   3 GiB       as it is
 *	level 5   307 MiB     a tenth, and above 64 MiB, so
 *	level 4   64 MiB      the base level: a tenth would be 31 MiB
 *
 * A level that the store has outgrown downwards, after much was deleted, gets
 * target 0 and is emptied. */
struct compact_targets {
	unsigned base_level;
	uint64_t bytes[KEYFS_LEVELS]; /* 0: it should be empty */
};

void compact_targets(const struct version *version,
		     const struct keyfs_options *options,
		     struct compact_targets *out);

/* How urgent a compaction out of a level is: due from 1.0 on.  Of level 0, how
 * many of its tables lie above each other (or a quarter of them all, if that is
 * more) over level0_tables; of the others, bytes over target. */
double compact_level0_score(const struct version *version,
			    const struct keyfs_options *options);
/* Requires: the store's lock. */
double
compact_level_score(const struct version *version,
		    const struct compact_targets *targets, unsigned level);

/* How much work waits.  Bytes: what compactions must read and write until every
 * level is within its target, about.  Back-pressure goes by it. */
uint64_t compact_debt_bytes(const struct version *version,
			    const struct keyfs_options *options);

struct compact_pick {
	unsigned level, output_level;
	/* One input that only changes its level: nothing is read or written. */
	bool trivial_move;
	uint64_t input_bytes;
	/* Tables of `level` first, from 0 to first_count, then those of
	 * `output_level`.  A reference each. */
	struct table_meta **inputs; /* owned */
	size_t count, first_count;
	struct version *version; /* one reference */
};

/* Chooses the most urgent compaction whose tables are all free, and marks them
 * being_compacted:
 *
 *	level 0, when level0_tables lie above each other (or four times as
 *	many in all): the oldest table and all that overlap it, merged into
 *	the base level;
 *	a level above its target: the table that overlaps least of the next
 *	level, for its size;
 *	a table that is more than half tombstones, from a number on, down a
 *	level, so that scans need not step over them.
 *
 * A table that the disk could not read (table_meta.h, unreadable) is left out
 * for a time, and what overlaps it with it.
 *
 * `oldest_snapshot`: the oldest live one, or the last visible sequence number.
 * -ENOENT: none is due, or what is due overlaps what is being compacted.
 * Requires: the store's lock. */
int compact_pick(struct version *version, const struct keyfs_options *options,
		 uint64_t oldest_snapshot, struct compact_pick *out);

/* Chooses a part of the tables of `level` that hold keys from `lower` to
 * `upper`, both inclusive (.data NULL: no bound), for a merge into the next
 * sorted level.  Called again until -ENOENT (none is left), from level 0 to
 * KEYFS_LEVELS - 2.  -EBUSY: they are being compacted; wait for that.
 * -EIO: one of them could not be read.  Requires: the store's lock. */
int
compact_pick_range(struct version *version, const struct keyfs_options *options,
		   unsigned level, struct keyfs_slice lower,
		   struct keyfs_slice upper, struct compact_pick *out);

/* Unmarks and lets go, after the edit was installed or after failure.
 * Requires: the store's lock. */
void compact_pick_fini(struct compact_pick *pick);

/* The merged iterator over the inputs, for one pass forwards; it leaves the
 * cache as it is.  Damaged blocks are passed over and added to `lost`, before
 * the first key is shown that is behind them.  `lost` stays where it is until
 * the iterator is freed. */
int compact_pick_iter(const struct compact_pick *pick, struct damage_list *lost,
		      struct iter **out);

/* ---- Merging ---- */

/* One run.  The first group is filled by the caller, the second by the run. */
struct compact_job {
	struct table_set *set; /* where outputs are written */
	/* table_bytes, level_bytes, block_bytes, bloom_bits, compression */
	const struct keyfs_options *options;
	/* Pinned by the caller: what lies below.  Of a compaction, the version
	 * that it was picked from; of a flush, one that holds every flush
	 * before it. */
	struct version *version;
	unsigned output_level;
	struct iter *input; /* in version order; stays the caller's */
	/* What could not be read of the input; filled while it is read. */
	struct damage_list lost; /* owned by the job */
	/* Live snapshots, ascending, and the last visible sequence number, read
	 * after the inputs were fixed. */
	const uint64_t *snapshots;
	size_t snapshot_count;
	uint64_t visible_seq;
	/* A new file number; until the job's end the caller must not delete the
	 * file of such a number as a leftover. */
	int (*next_number)(void *arg, uint64_t *out);
	void *next_number_arg;
	const _Atomic bool *cancel; /* may be NULL; read often */

	/* Results. */
	struct table_meta **outputs; /* owned by the job, a reference each */
	size_t output_count, output_capacity;
	uint64_t entries_read, entries_written;
	uint64_t output_bytes;
	/* It failed in reading the input, not in writing. */
	bool input_failed;
	/* Highest sequence number among the tombstones dropped with all that
	 * they hid; 0: none.  A condition "unchanged since" an older number
	 * cannot see such a delete in the tables any more. */
	uint64_t dropped_tombstone_seq;
};

/* Writes the outputs, syncs them and their names.  There may be none, if
 * nothing survives.  -ECANCELED: the flag was set.  On any failure the job's
 * files are removed and it has no outputs: -ENOSPC, -EIO. */
int compact_run(struct compact_job *job);

/* Lets go of the outputs.  Call it after they were installed, or not: then
 * their files are removed too by compact_abandon(). */
void compact_job_fini(struct compact_job *job);

/* Removes the outputs' files and lets go of them: the edit could not be
 * installed and was not written to the manifest. */
void compact_abandon(struct compact_job *job);

/* Adds to `edit` what a finished pick changes: inputs deleted, outputs and what
 * was lost added;
 * of a trivial move, the input itself (`job` may be NULL).  `pick` NULL: a
 * flush, whose outputs go to level 0. */
void compact_edit(const struct compact_pick *pick,
		  const struct compact_job *job, struct version_edit *edit);

/* After the edit is durable and installed: retires the inputs (not of a trivial
 * move), and sets those aside of which something was lost. */
void compact_retire_inputs(const struct compact_pick *pick,
			   const struct compact_job *job);

#endif
