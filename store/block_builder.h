/* SPDX-License-Identifier: Apache-2.0 */
/* block_builder.h - makes one data block after the other; the bytes are drawn
 * in block.h.
 *
 * Entries come in version order.  Keeps its first error (-ENOMEM) until
 * cleared.  One thread. */
#ifndef STORE_BLOCK_BUILDER_H
#define STORE_BLOCK_BUILDER_H

#include "store/buf.h"
#include "store/key.h"

/* All zero is an empty block. */
struct block_builder {
	struct buf out;
	struct buf restarts; /* their offsets, encoded */
	struct buf last_key;
	uint64_t base_seq;
	uint32_t entries;
	uint32_t since_restart;
};

void block_builder_fini(struct block_builder *builder);

/* Begins an empty block; keeps the memory. */
void block_builder_clear(struct block_builder *builder);

void
block_builder_add(struct block_builder *builder, const struct entry *entry);

/* What it would take if finished now. */
size_t block_builder_bytes(const struct block_builder *builder);

/* The finished block, borrowed until the next call.  Requires: one entry. */
int
block_builder_finish(struct block_builder *builder, struct keyfs_slice *out);

#endif
