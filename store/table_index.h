/* SPDX-License-Identifier: Apache-2.0 */
/* table_index.h - finds the data block of a key in a table's index, which is
 * drawn in table_format.h.
 *
 * The separators of one table mostly begin alike ('I', the upper bytes of inode
 * numbers ...), so what all have in common is compared once, and the search
 * bisects an array of the eight bytes behind it, as big-endian numbers.  Only
 * equal numbers need the separators themselves.  Constant once opened; any
 * thread. */
#ifndef STORE_TABLE_INDEX_H
#define STORE_TABLE_INDEX_H

#include "store/buf.h"
#include "store/coding.h"

struct table_index {
	/* Borrowed. */
	const uint8_t *offsets, *ends, *keys;

	uint64_t *heads; /* owned: the eight bytes of each separator */
	uint64_t data_end;
	uint32_t count;  /* of blocks, 1 at least */
	uint32_t common; /* bytes that all separators begin with */
};

/* Checks the index and keeps pointers into `bytes`; data blocks lie from
 * `data_begin` to before `data_end`.  *why is set with -EUCLEAN.  -ENOMEM. */
int
table_index_open(const uint8_t *bytes, size_t len, uint64_t data_begin,
		 uint64_t data_end, struct table_index *out, const char **why);
void table_index_fini(struct table_index *index);

/* The first block that may hold versions of `key` or of a later one; count if
 * there is none. */
uint32_t
table_index_find(const struct table_index *index, struct keyfs_slice key);

/* Where block i begins; for i = count, where the data ends. */
static inline uint64_t
table_index_offset(const struct table_index *index, uint32_t i)
{
	return i < index->count ? get_le64(index->offsets + 8 * (size_t)i)
				: index->data_end;
}

struct keyfs_slice table_index_key(const struct table_index *index, uint32_t i);

/* Collects the index of a table.  All zero is an empty one. */
struct table_index_builder {
	struct buf offsets, ends, keys;
};

void table_index_builder_fini(struct table_index_builder *builder);

/* Adds the block at `offset`, given its last key and the first key of the next
 * (.data NULL: there is none).  Errors are kept until the end. */
void
table_index_builder_add(struct table_index_builder *builder, uint64_t offset,
			struct keyfs_slice last, struct keyfs_slice next);

/* Appends the index to *out. */
void table_index_builder_finish(const struct table_index_builder *builder,
				struct buf *out);

#endif
