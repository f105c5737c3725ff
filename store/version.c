/* SPDX-License-Identifier: Apache-2.0 */
/* version.c - looking into one immutable state of the store; see version.h.
 * How one is made from another is version_apply.c's. */
#include <config.h>

#include "store/version.h"

#include <errno.h>
#include <stdlib.h>

int
version_new(struct table_set *set, struct version **out)
{
	struct version *version = calloc(1, sizeof(*version));

	if (!version)
		return -ENOMEM;
	atomic_init(&version->refs, 1);
	version->set = set;
	version->next_number = 1;
	*out = version;
	return 0;
}

struct version *
version_ref(struct version *version)
{
	/* Relaxed: the caller's own reference, or the lock under which it found
	 * the version, keeps it alive. */
	atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
	return version;
}

void
version_unref(struct version *version)
{
	unsigned level;
	size_t i;

	/* Release this thread's use, acquire everybody else's. */
	if (!version || atomic_fetch_sub_explicit(&version->refs, 1,
						  memory_order_acq_rel) != 1)
		return;
	for (level = 0; level < KEYFS_LEVELS; level++) {
		for (i = 0; i < version->levels[level].count; i++)
			table_meta_unref(version->levels[level].tables[i]);
		free(version->levels[level].tables);
	}
	damage_list_fini(&version->damages);
	free(version->logs);
	free(version);
}

/* ---- Finding tables ---- */

/* Index of the first table of a sorted level whose largest key is not below
 * `key`. */
static size_t
first_reaching(const struct version_level *level, struct keyfs_slice key)
{
	size_t low = 0, high = level->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (key_compare(level->tables[mid]->largest, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
table_overlaps(const struct table_meta *meta, struct keyfs_slice smallest,
	       struct keyfs_slice largest)
{
	return (!smallest.data || key_compare(meta->largest, smallest) >= 0) &&
	       (!largest.data || key_compare(meta->smallest, largest) <= 0);
}

size_t
version_overlaps(const struct version *version, unsigned level,
		 struct keyfs_slice smallest, struct keyfs_slice largest,
		 struct table_meta **out)
{
	const struct version_level *l = &version->levels[level];
	size_t count = 0, i;

	i = level && smallest.data ? first_reaching(l, smallest) : 0;
	for (; i < l->count; i++) {
		if (table_overlaps(l->tables[i], smallest, largest))
			out[count++] = l->tables[i];
		else if (level)
			break;
	}
	return count;
}

struct table_meta *
version_find(const struct version *version, uint64_t number,
	     unsigned *out_level)
{
	unsigned level;
	size_t i;

	for (level = 0; level < KEYFS_LEVELS; level++)
		for (i = 0; i < version->levels[level].count; i++)
			if (version->levels[level].tables[i]->number ==
			    number) {
				*out_level = level;
				return version->levels[level].tables[i];
			}
	return NULL;
}

/* ---- Point lookups ---- */

struct lookup {
	struct keyfs_slice key;
	uint64_t hash, seq;
	bool nowait;
	struct version_result *out;
};

/* Looks into one table; -ENOENT: go on. */
static int
get_from(struct lookup *lookup, struct table_meta *meta)
{
	struct table_result found;
	struct table *table;
	int r;

	if (meta->min_seq > lookup->seq ||
	    !table_overlaps(meta, lookup->key, lookup->key))
		return -ENOENT;
	r = table_meta_open(meta, lookup->nowait, &table);
	if (r)
		return r;
	r = table_get(table, lookup->key, lookup->hash, lookup->seq,
		      lookup->nowait, &found);
	if (r == -ENOENT && found.filtered)
		lookup->out->filtered++;
	else
		lookup->out->read++;
	if (r)
		return r;
	lookup->out->entry = found.entry;
	lookup->out->pin = found.pin;
	return 0;
}

int
version_get(struct version *version, struct keyfs_slice key, uint64_t hash,
	    uint64_t seq, bool nowait, struct version_result *out)
{
	struct lookup lookup = { key, hash, seq, nowait, out };
	unsigned level;
	int r = -ENOENT;
	size_t i;

	out->filtered = out->read = 0;
	for (i = 0; i < version->levels[0].count && r == -ENOENT; i++)
		r = get_from(&lookup, version->levels[0].tables[i]);
	for (level = 1; level < KEYFS_LEVELS && r == -ENOENT; level++) {
		const struct version_level *l = &version->levels[level];

		i = first_reaching(l, key);
		if (i < l->count)
			r = get_from(&lookup, l->tables[i]);
	}
	return r;
}

/* ---- Iterators ---- */

size_t
version_iters_max(const struct version *version)
{
	return version->levels[0].count + KEYFS_LEVELS - 1;
}

/* One table needs no iterator around its own, if it can be opened now. */
static int
tables_iter(struct table_meta *const *tables, size_t count, unsigned flags,
	    struct iter **out)
{
	struct table *table;

	if (count == 1 &&
	    !table_meta_open(tables[0], flags & TABLE_ITER_NOWAIT, &table))
		return table_iter(table, flags, out);
	return version_level_iter(tables, count, flags, out);
}

/* Narrows a sorted level to the tables that may hold keys inside the bounds. */
static int
level_part_iter(const struct version_level *level, struct keyfs_slice lower,
		struct keyfs_slice upper, unsigned flags, struct iter **out)
{
	size_t begin = lower.data ? first_reaching(level, lower) : 0;
	size_t end = upper.data ? first_reaching(level, upper) : level->count;

	/* The upper bound may lie inside that table. */
	if (end < level->count)
		end++;
	if (begin >= end) {
		*out = NULL;
		return 0;
	}
	return tables_iter(level->tables + begin, end - begin, flags, out);
}

int
version_iters(struct version *version, struct keyfs_slice lower,
	      struct keyfs_slice upper, unsigned flags, struct iter **out,
	      size_t *out_count)
{
	const struct version_level *zero = &version->levels[0];
	size_t count = 0, i;
	unsigned level;
	int r = 0;

	for (i = 0; i < zero->count && !r; i++) {
		if (!table_overlaps(zero->tables[i], lower, upper))
			continue;
		r = tables_iter(&zero->tables[i], 1, flags, &out[count]);
		if (!r)
			count++;
	}
	for (level = 1; level < KEYFS_LEVELS && !r; level++) {
		r = level_part_iter(&version->levels[level], lower, upper,
				    flags, &out[count]);
		if (!r && out[count])
			count++;
	}
	if (!r) {
		*out_count = count;
		return 0;
	}
	while (count)
		iter_free(out[--count]);
	return r;
}

/* ---- Sizes ---- */

/* The offset of a bound in a table: all of it if the bound is behind, none if
 * it is before. */
static int
offset_in(struct table_meta *meta, struct keyfs_slice bound, uint64_t *out)
{
	struct table *table;
	int r;

	if (key_compare(bound, meta->smallest) <= 0) {
		*out = 0;
		return 0;
	}
	if (key_compare(bound, meta->largest) > 0) {
		*out = meta->file_bytes;
		return 0;
	}
	r = table_meta_open(meta, false, &table);
	return r ? r : table_offset_of(table, bound, out);
}

static int
size_in(struct table_meta *meta, struct keyfs_slice lower,
	struct keyfs_slice upper, uint64_t *sum)
{
	uint64_t begin = 0, end = meta->file_bytes;
	int r = 0;

	if (lower.data)
		r = offset_in(meta, lower, &begin);
	if (!r && upper.data)
		r = offset_in(meta, upper, &end);
	if (!r && end > begin)
		*sum += end - begin;
	return r;
}

int
version_approximate_size(struct version *version, struct keyfs_slice lower,
			 struct keyfs_slice upper, uint64_t *out)
{
	uint64_t sum = 0;
	unsigned level;
	size_t i;
	int r;

	for (level = 0; level < KEYFS_LEVELS; level++) {
		for (i = 0; i < version->levels[level].count; i++) {
			r = size_in(version->levels[level].tables[i], lower,
				    upper, &sum);
			if (r)
				return r;
		}
	}
	*out = sum;
	return 0;
}
