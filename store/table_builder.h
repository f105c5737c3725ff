/* SPDX-License-Identifier: Apache-2.0 */
/* table_builder.h - writes one sorted table file.
 *
 * Entries come in version order.  The first error is kept inside and comes out
 * at finish.  One thread.  The bytes are drawn in table_format.h. */
#ifndef STORE_TABLE_BUILDER_H
#define STORE_TABLE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/env.h"
#include "store/error.h"
#include "store/key.h"

struct table_builder;

struct table_options {
	uint32_t block_bytes; /* a block is closed when its entries reach it */
	uint32_t bloom_bits;  /* per key; 0: no filter */
	bool compress;        /* LZ4, where it saves an eighth or more */
};

/* What a finished table holds; kept in the manifest. */
struct table_info {
	uint64_t file_bytes;
	uint64_t entries, tombstones;
	uint64_t raw_bytes; /* keys and values before compression */
	uint64_t min_seq, max_seq;
	struct keyfs_slice smallest, largest; /* user keys, borrowed */
};

/* Starts a table in `file` (borrowed, empty, open for writing), which is number
 * `number`; the checksum of each block covers number and offset. */
int table_builder_new(struct env_file *file, uint64_t number,
		      const struct table_options *options,
		      struct table_builder **out);

/* Without finish: the file is abandoned.  NULL is allowed. */
void table_builder_free(struct table_builder *builder);

/* Requires: sorts after every entry added before. */
void
table_builder_add(struct table_builder *builder, const struct entry *entry);

/* Bytes written so far and those of the open block, about. */
uint64_t table_builder_bytes(const struct table_builder *builder);
uint64_t table_builder_entries(const struct table_builder *builder);

/* Writes the rest, syncs the file, fills *out, whose slices live until the
 * builder is freed.  Requires: one entry at least.  Returns the first error of
 * all. */
int table_builder_finish(struct table_builder *builder, struct table_info *out);

#endif
