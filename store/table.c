/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - life of an open table, and point lookups; see table.h. */
#include <config.h>

#include "store/table.h"

#include <errno.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "store/table_impl.h"

int
table_open(struct env_dir *dir, uint64_t number, uint64_t file_bytes,
	   struct cache *cache, const struct reporter *reporter,
	   struct table **out)
{
	struct table *table = calloc(1, sizeof(*table));
	int r;

	if (!table)
		return -ENOMEM;
	r = table_file_open(dir, number, file_bytes, reporter, &table->file);
	if (r < 0) {
		free(table);
		return r;
	}
	table->cache = cache;
	atomic_store_explicit(&table->refs, 1, memory_order_relaxed);
	*out = table;
	return 0;
}

struct table *
table_ref(struct table *table)
{
	atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
	return table;
}

void
table_unref(struct table *table)
{
	/* Release and acquire: all use of the table comes before its end. */
	if (!table || atomic_fetch_sub_explicit(&table->refs, 1,
						memory_order_acq_rel) > 1)
		return;
	table_file_close(&table->file);
	free(table);
}

/* Looks into the blocks from i on: more than one only where a block ends within
 * the versions of the key. */
static int
table_get_from(struct table *table, const struct table_index *index, uint32_t i,
	       struct keyfs_slice key, uint64_t seq, bool nowait,
	       struct table_result *out)
{
	for (; i < index->count; i++) {
		uint64_t offset = table_index_offset(index, i);
		const struct table_block *block;
		struct cache_ref pin;
		struct entry entry;
		int r;

		r = table_block_pin(table, offset,
				    table_index_offset(index, i + 1) - offset,
				    nowait, &pin);
		if (r < 0)
			return r;
		block = pin.object;
		r = block_get(&block->block, key, seq, &entry);
		if (r == 0) {
			out->entry = entry;
			out->pin = pin;
			return 0;
		}
		cache_unpin(table->cache, pin);
		if (r == -EUCLEAN)
			return table_file_corrupt(&table->file, offset,
						  "entry cannot be decoded");
		if (r < 0)
			return r;
	}
	return -ENOENT;
}

int
table_get(struct table *table, struct keyfs_slice key, uint64_t hash,
	  uint64_t seq, bool nowait, struct table_result *out)
{
	const struct table_guide *guide;
	struct cache_ref pin;
	int r;

	r = table_guide_pin(table, nowait, &pin);
	if (r < 0)
		return r;
	guide = pin.object;
	out->filtered = !bloom_may_contain(guide->filter, guide->filter_bytes,
					   guide->probes, hash);
	r = -ENOENT;
	if (!out->filtered)
		r = table_get_from(table, &guide->index,
				   table_index_find(&guide->index, key), key,
				   seq, nowait, out);
	cache_unpin(table->cache, pin);
	return r;
}

int
table_offset_of(struct table *table, struct keyfs_slice key, uint64_t *out)
{
	const struct table_guide *guide;
	struct cache_ref pin;
	int r;

	r = table_guide_pin(table, false, &pin);
	if (r < 0)
		return r;
	guide = pin.object;
	*out = table_index_offset(&guide->index,
				  table_index_find(&guide->index, key));
	cache_unpin(table->cache, pin);
	return 0;
}
