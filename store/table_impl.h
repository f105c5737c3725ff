/* SPDX-License-Identifier: Apache-2.0 */
/* table_impl.h - what the files that implement table.h share.
 *
 * A table's *guide* is its index and its filter: what leads a key to its block,
 * or says that there is none.  Guides and data blocks are entries of the cache.
 * A block is looked up there; the guide is found by the handle that the table
 * keeps of its last pin, so that a get searches for one thing only.  Both are
 * charged and may be evicted whenever nobody has them pinned. */
#ifndef STORE_TABLE_IMPL_H
#define STORE_TABLE_IMPL_H

#include <stdatomic.h>

#include "store/block.h"
#include "store/table.h"
#include "store/table_file.h"
#include "store/table_index.h"

struct table {
	/* Constant after table_open(). */
	struct table_file file;
	struct cache *cache;

	/* Atomic; any thread. */
	_Atomic uint32_t refs;
	_Atomic(void *) guide_handle; /* for cache_repin(); may be stale */
};

struct table_guide {
	struct table_index index; /* into index_bytes */
	uint8_t *index_bytes;     /* owned */
	uint8_t *filter;          /* owned, aligned to its lines; may be NULL */
	size_t filter_bytes;
	uint32_t probes;
};

/* A data block, unpacked, as the cache holds it. */
struct table_block {
	struct block block; /* of bytes */
	uint8_t bytes[];
};

/* Reads and checks the guide; the caller owns *out.  Damage is not raised. */
int table_guide_load(const struct table_file *file, bool nowait,
		     struct table_guide **out, const char **why, uint64_t *at);
void table_guide_free(void *guide);
/* The same without the filter. */
int
table_guide_load_index(const struct table_file *file, struct table_guide **out,
		       const char **why, uint64_t *at);

/* Reads the properties into `bytes`, where the slices of *out point.  Damage is
 * not raised. */
int table_properties_load(const struct table_file *file, struct buf *bytes,
			  struct table_properties *out, const char **why);

/* Pins the guide, from memory or disk; ref.object is it.  Damage is raised. */
int table_guide_pin(struct table *table, bool nowait, struct cache_ref *out);
/* Pins it only if it is in memory. */
bool table_guide_repin(struct table *table, struct cache_ref *out);

/* Pins the data block of `len` bytes at `offset`; ref.object is a struct
 * table_block.  Damage is raised. */
int table_block_pin(struct table *table, uint64_t offset, size_t len,
		    bool nowait, struct cache_ref *out);

#endif
