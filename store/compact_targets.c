/* SPDX-License-Identifier: Apache-2.0 */
/* compact_targets.c - how large levels ought to be, and how far they are from
 * it; see compact.h. */
#include <config.h>

#include "store/compact.h"

enum {
	LAST = KEYFS_LEVELS - 1,

	/* Tables of level 0 count fully where they lie above each other,
	 * because a lookup reads them all, and by a quarter where they lie side
	 * by side. */
	SIDE_BY_SIDE_SHARE = 4,
};

void
compact_targets(const struct version *version,
		const struct keyfs_options *options,
		struct compact_targets *out)
{
	uint64_t ratio = options->level_ratio, size = 0;
	unsigned first = LAST, level;

	for (level = LAST; level >= 1; level--) {
		if (version->levels[level].bytes > size)
			size = version->levels[level].bytes;
		if (version->levels[level].count)
			first = level;
	}
	memset(out->bytes, 0, sizeof(out->bytes));
	out->bytes[LAST] = size;
	for (level = LAST; level > 1; level--) {
		/* Half of what makes the level, so that it does not come and
		 * go. */
		bool wanted = size > options->level_bytes;
		bool kept = size > options->level_bytes / 2;

		if (!wanted && !(kept && level > first))
			break;
		size /= ratio;
		out->bytes[level - 1] = size > options->level_bytes
						? size
						: options->level_bytes;
	}
	/* Newer entries must not pass by older ones in a level above. */
	out->base_level = level < first ? level : first;
	if (out->bytes[LAST] < options->level_bytes)
		out->bytes[LAST] = options->level_bytes;
}

double
compact_level0_score(const struct version *version,
		     const struct keyfs_options *options)
{
	double depth = (double)version->level0_depth;
	double side = (double)version->levels[0].count / SIDE_BY_SIDE_SHARE;

	return (depth > side ? depth : side) / options->level0_tables;
}

/* What is on its way down does not count, nor what never will be. */
double
compact_level_score(const struct version *version,
		    const struct compact_targets *targets, unsigned level)
{
	const struct version_level *l = &version->levels[level];
	uint64_t bytes = 0, target = targets->bytes[level];
	size_t i;

	for (i = 0; i < l->count; i++)
		if (!l->tables[i]->being_compacted &&
		    !atomic_load_explicit(&l->tables[i]->unreadable,
					  memory_order_relaxed))
			bytes += l->tables[i]->file_bytes;
	if (!bytes)
		return 0;
	return target ? (double)bytes / (double)target : (double)bytes;
}

uint64_t
compact_debt_bytes(const struct version *version,
		   const struct keyfs_options *options)
{
	struct compact_targets targets;
	uint64_t moving = 0, debt = 0;
	unsigned level;

	compact_targets(version, options, &targets);
	if (compact_level0_score(version, options) >= 1) {
		moving = version->levels[0].bytes;
		debt = moving + version->levels[targets.base_level].bytes;
	}
	for (level = targets.base_level; level < LAST; level++) {
		uint64_t bytes = version->levels[level].bytes + moving;
		double below = (double)version->levels[level + 1].bytes;

		if (bytes <= targets.bytes[level])
			break;
		moving = bytes - targets.bytes[level];
		/* Each byte that goes down rewrites its share of the level
		 * below. */
		debt += moving +
			(uint64_t)((double)moving * below / (double)bytes);
	}
	return debt;
}
