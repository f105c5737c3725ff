/* SPDX-License-Identifier: Apache-2.0 */
/* compact_pick.c - chooses which tables to merge; see compact.h. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdlib.h>

enum {
	LAST = KEYFS_LEVELS - 1,

	/* At most so many times level0_tables are merged at once, the oldest: a
	 * backlog is worked off in steps, and space for outputs stays bounded.
	 */
	LEVEL0_MERGE_FACTOR = 4,

	/* A move down must not make a table that overlaps so much of the level
	 * below that the merge out of there is huge: in tables. */
	GRANDPARENTS_MAX = 10,

	/* Fewer tombstones than this are not worth a merge of their own. */
	TOMBSTONES_MIN = 2048,

	/* A part of a range compaction: in tables of its first level. */
	RANGE_TABLES = 8,
};

/* ---- Collecting inputs ---- */

/* What is being picked; keys are those of the tables, which the version keeps.
 */
struct hull {
	struct keyfs_slice smallest, largest;
};

static void
hull_add(struct hull *hull, const struct table_meta *meta)
{
	if (!hull->smallest.data ||
	    key_compare(meta->smallest, hull->smallest) < 0)
		hull->smallest = meta->smallest;
	if (!hull->largest.data ||
	    key_compare(meta->largest, hull->largest) > 0)
		hull->largest = meta->largest;
}

static bool
hull_overlaps(const struct hull *hull, const struct table_meta *meta)
{
	return key_compare(meta->largest, hull->smallest) >= 0 &&
	       key_compare(meta->smallest, hull->largest) <= 0;
}

static bool
is_unreadable(const struct table_meta *meta)
{
	/* Relaxed: it guards nothing. */
	return atomic_load_explicit(&meta->unreadable, memory_order_relaxed);
}

static bool
any_busy(struct table_meta *const *tables, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (tables[i]->being_compacted)
			return true;
	return false;
}

/* -EBUSY: some are being compacted.  -EIO: some cannot be read. */
static int
check_free(struct table_meta *const *tables, size_t count)
{
	size_t i;

	if (any_busy(tables, count))
		return -EBUSY;
	for (i = 0; i < count; i++)
		if (is_unreadable(tables[i]))
			return -EIO;
	return 0;
}

/* Another pick may still be possible. */
static bool
is_blocked(int r)
{
	return r == -EBUSY || r == -EIO;
}

static uint64_t
sum_bytes(struct table_meta *const *tables, size_t count)
{
	uint64_t bytes = 0;
	size_t i;

	for (i = 0; i < count; i++)
		bytes += tables[i]->file_bytes;
	return bytes;
}

/* Starts a pick: room for every table of both levels. */
static int
pick_init(struct compact_pick *pick, struct version *version, unsigned level,
	  unsigned output_level)
{
	size_t room = version->levels[level].count +
		      version->levels[output_level].count;

	*pick = (struct compact_pick){ .level = level,
				       .output_level = output_level };
	pick->inputs = calloc(room + 1, sizeof(struct table_meta *));
	if (!pick->inputs)
		return -ENOMEM;
	pick->version = version;
	return 0;
}

/* Whether the only input may just change its level.  -ENOMEM. */
static int
check_move(struct compact_pick *pick, const struct keyfs_options *options)
{
	const struct table_meta *meta = pick->inputs[0];
	unsigned below = pick->output_level + 1;
	struct table_meta **found;
	size_t count;

	if (pick->count != 1 || pick->level == pick->output_level)
		return 0;
	if (pick->output_level == LAST) {
		/* There nothing would ever drop them. */
		pick->trivial_move = meta->tombstones == 0;
		return 0;
	}
	found = calloc(pick->version->levels[below].count + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	count = version_overlaps(pick->version, below, meta->smallest,
				 meta->largest, found);
	pick->trivial_move = sum_bytes(found, count) <=
			     GRANDPARENTS_MAX * (uint64_t)options->table_bytes;
	free(found);
	return 0;
}

/* Adds what the first inputs overlap in the output level, and checks that all
 * is free. */
static int
add_output_level(struct compact_pick *pick)
{
	struct hull hull = { 0 };
	size_t i;

	for (i = 0; i < pick->first_count; i++)
		hull_add(&hull, pick->inputs[i]);
	pick->count = pick->first_count;
	if (pick->output_level != pick->level)
		pick->count +=
			version_overlaps(pick->version, pick->output_level,
					 hull.smallest, hull.largest,
					 pick->inputs + pick->first_count);
	return check_free(pick->inputs, pick->count);
}

/* Completes a pick whose first inputs are chosen, marks and references all of
 * it, and hands it over.  On failure it is gone. */
static int
pick_complete(struct compact_pick *pick, const struct keyfs_options *options,
	      struct compact_pick *out)
{
	size_t i;
	int r;

	r = add_output_level(pick);
	if (!r)
		r = check_move(pick, options);
	if (r) {
		free(pick->inputs);
		return r;
	}
	pick->input_bytes = sum_bytes(pick->inputs, pick->count);
	for (i = 0; i < pick->count; i++) {
		table_meta_ref(pick->inputs[i]);
		pick->inputs[i]->being_compacted = true;
	}
	version_ref(pick->version);
	*out = *pick;
	return 0;
}

/* ---- Level 0 ---- */

static bool
holds(struct table_meta *const *tables, size_t count,
      const struct table_meta *meta)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (tables[i] == meta)
			return true;
	return false;
}

/* Adds to the first inputs, and to `hull`, every table from `begin` on that
 * overlaps them, until none is left.  Tables that are newer than all those
 * considered may stay behind: what they hold is newer than what goes down. */
static void
close_over(struct compact_pick *pick, struct hull *hull, size_t begin)
{
	const struct version_level *l = &pick->version->levels[0];
	bool grown = true;
	size_t i;

	while (grown) {
		grown = false;
		for (i = begin; i < l->count; i++) {
			if (!hull_overlaps(hull, l->tables[i]) ||
			    holds(pick->inputs, pick->first_count,
				  l->tables[i]))
				continue;
			pick->inputs[pick->first_count++] = l->tables[i];
			hull_add(hull, l->tables[i]);
			grown = true;
		}
	}
}

/* Picks `seed`, a table of level 0, with those from `begin` on that must go
 * with it.  One merge out of level 0 at a time: a second one could overtake it
 * with newer entries.  -EBUSY. */
static int
pick_level0(struct version *version, const struct keyfs_options *options,
	    struct table_meta *seed, size_t begin, struct compact_pick *out)
{
	const struct version_level *l = &version->levels[0];
	struct compact_targets targets;
	struct compact_pick pick;
	struct hull hull = { 0 };
	int r;

	if (any_busy(l->tables, l->count))
		return -EBUSY;
	compact_targets(version, options, &targets);
	r = pick_init(&pick, version, 0, targets.base_level);
	if (r)
		return r;
	hull_add(&hull, seed);
	close_over(&pick, &hull, begin);
	return pick_complete(&pick, options, out);
}

static int
pick_oldest(struct version *version, const struct keyfs_options *options,
	    struct compact_pick *out)
{
	const struct version_level *l = &version->levels[0];
	size_t limit = (size_t)options->level0_tables * LEVEL0_MERGE_FACTOR;
	size_t begin = l->count > limit ? l->count - limit : 0;

	size_t i;
	int r = -EBUSY;

	/* Something unreadable keeps what overlaps it, not the rest. */
	for (i = l->count; i-- > begin && is_blocked(r);)
		r = pick_level0(version, options, l->tables[i], begin, out);
	return r;
}

/* ---- Sorted levels ---- */

/* Picks `count` neighbours of a level from 1 on.  -EBUSY. */
static int
pick_tables(struct version *version, const struct keyfs_options *options,
	    unsigned level, struct table_meta *const *tables, size_t count,
	    struct compact_pick *out)
{
	struct compact_pick pick;
	int r = pick_init(&pick, version, level,
			  level < LAST ? level + 1 : LAST);

	if (r)
		return r;
	memcpy(pick.inputs, tables, count * sizeof(struct table_meta *));
	pick.first_count = count;
	return pick_complete(&pick, options, out);
}

/* Bytes of the level below that a table overlaps, from table *cursor of it on,
 * which moves along; UINT64_MAX if one of them is being compacted. */
static uint64_t
overlap_below(const struct version_level *below, size_t *cursor,
	      const struct table_meta *meta)
{
	uint64_t bytes = 0;
	size_t i;

	while (*cursor < below->count &&
	       key_compare(below->tables[*cursor]->largest, meta->smallest) < 0)
		(*cursor)++;
	for (i = *cursor; i < below->count; i++) {
		if (key_compare(below->tables[i]->smallest, meta->largest) > 0)
			break;
		if (check_free(&below->tables[i], 1))
			return UINT64_MAX;
		bytes += below->tables[i]->file_bytes;
	}
	return bytes;
}

/* Picks the table for which the fewest bytes below are rewritten, for its size.
 */
static int
pick_cheapest(struct version *version, const struct keyfs_options *options,
	      unsigned level, struct compact_pick *out)
{
	const struct version_level *l = &version->levels[level];
	struct table_meta *best = NULL;
	double best_cost = 0;
	size_t i, cursor = 0;

	for (i = 0; i < l->count; i++) {
		struct table_meta *meta = l->tables[i];
		uint64_t below = overlap_below(&version->levels[level + 1],
					       &cursor, meta);
		double cost = (double)below / (double)meta->file_bytes;

		if (check_free(&meta, 1) || below == UINT64_MAX ||
		    (best && cost >= best_cost))
			continue;
		best = meta;
		best_cost = cost;
	}
	if (!best)
		return -EBUSY;
	return pick_tables(version, options, level, &best, 1, out);
}

/* ---- Tombstones ---- */

static bool
dense(const struct table_meta *meta)
{
	return !meta->being_compacted && !is_unreadable(meta) &&
	       meta->tombstones >= TOMBSTONES_MIN &&
	       meta->tombstones > meta->entries / 2;
}

/* In the last level a snapshot can have kept tombstones; once it is gone the
 * table is rewritten in place.  Not those which a damage range keeps: they would
 * be kept again. */
static bool
stays(const struct version *version, const struct table_meta *meta,
      uint64_t oldest_snapshot)
{
	struct damage_edge smallest = { meta->smallest, true };
	struct damage_edge largest = { meta->largest, true };

	return meta->max_seq > oldest_snapshot ||
	       damage_list_between(&version->damages, smallest, largest,
				   SEQ_MAX);
}

/* Picks a table that is mostly tombstones. */
static int
pick_dense(struct version *version, const struct keyfs_options *options,
	   uint64_t oldest_snapshot, struct compact_pick *out)
{
	unsigned level;
	int r = -EBUSY;
	size_t i;

	for (level = 0; level <= LAST; level++) {
		const struct version_level *l = &version->levels[level];

		for (i = 0; i < l->count && is_blocked(r); i++) {
			struct table_meta *meta = l->tables[i];

			if (!dense(meta) ||
			    (level == LAST &&
			     stays(version, meta, oldest_snapshot)))
				continue;
			if (level == 0)
				r = pick_level0(version, options, meta, 0, out);
			else
				r = pick_tables(version, options, level, &meta,
						1, out);
		}
	}
	return r;
}

/* ---- Choosing ---- */

int
compact_pick(struct version *version, const struct keyfs_options *options,
	     uint64_t oldest_snapshot, struct compact_pick *out)
{
	struct compact_targets targets;
	double scores[LAST];
	unsigned level, tries;
	int r = -EBUSY;

	compact_targets(version, options, &targets);
	scores[0] = compact_level0_score(version, options);
	for (level = 1; level < LAST; level++)
		scores[level] = compact_level_score(version, &targets, level);
	for (tries = 0; tries < LAST && is_blocked(r); tries++) {
		unsigned best = 0;

		for (level = 1; level < LAST; level++)
			if (scores[level] > scores[best])
				best = level;
		if (scores[best] < 1)
			break;
		scores[best] = 0;
		r = best ? pick_cheapest(version, options, best, out)
			 : pick_oldest(version, options, out);
	}
	if (is_blocked(r))
		r = pick_dense(version, options, oldest_snapshot, out);
	return is_blocked(r) ? -ENOENT : r;
}

int
compact_pick_range(struct version *version, const struct keyfs_options *options,
		   unsigned level, struct keyfs_slice lower,
		   struct keyfs_slice upper, struct compact_pick *out)
{
	struct table_meta **found;
	size_t count;
	int r;

	found = calloc(version->levels[level].count + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	count = version_overlaps(version, level, lower, upper, found);
	if (!count) {
		r = -ENOENT;
	} else if (level == 0) {
		/* The last is the oldest. */
		r = pick_level0(version, options, found[count - 1], 0, out);
	} else {
		if (count > RANGE_TABLES)
			count = RANGE_TABLES;
		r = pick_tables(version, options, level, found, count, out);
	}
	free(found);
	return r;
}

void
compact_pick_fini(struct compact_pick *pick)
{
	size_t i;

	for (i = 0; i < pick->count; i++) {
		pick->inputs[i]->being_compacted = false;
		table_meta_unref(pick->inputs[i]);
	}
	free(pick->inputs);
	version_unref(pick->version);
	*pick = (struct compact_pick){ 0 };
}
