/* SPDX-License-Identifier: Apache-2.0 */
/* table_format.h - the bytes of a table file, number.sst.
 *
 *	+--------+--------+-----+--------+-------+------------+--------+
 *	| header | data 0 | ... | filter | index | properties | footer |
 *	+--------+--------+-----+--------+-------+------------+--------+
 *	0        40             ^        ^       ^            size - 64
 *	                        the footer knows these
 *
 * No gaps: each part ends where the next begins, and each is under a checksum,
 * so every byte of the file is.  Each checksum covers its offset and the number
 * of the file besides its bytes (checksum.h).  The filter is missing if it is
 * empty.
 *
 * Header, 40 bytes.  Its form is the same in every version, so that a newer
 * version and a wrong bit can be told apart:
 *
 *	0   "keyfsSST"
 *	8   le32  format version: 1
 *	12  le32  feature bits; one that the reader does not know is refused
 *	16  le64  the file's own number
 *	24  le32  family: 0
 *	28  le32  0
 *	32  le64  checksum of 0..31
 *
 * Blocks: what is stored, then a trailer of 9 bytes:
 *
 *	raw     the bytes                               | 00 | le64 checksum
 *	LZ4     le32 raw length, an LZ4 block           | 01 | le64 checksum
 *
 * The checksum covers the stored bytes and the type; the offset in it is that
 * of the first stored byte.  A data block's raw bytes are drawn in block.h.
 *
 * Filter: a Bloom filter's lines (bloom.h), then le32 probes.
 *
 * Index: one separator per data block, not before the last key of it and before
 * the first key of the next, unless both are versions of one key:
 *
 *	le32 n   le32 0   le64 offset x n   le32 key end x n   separators
 *
 * Offsets are those of the data blocks; a block ends where the next begins, and
 * the last one at the filter.  Separator i lies in the bytes behind the tables
 * of numbers, from end i - 1 to end i.
 *
 * Properties: any number of
 *
 *	varint id   varint length   bytes            numbers are varints
 *
 * with the ids below.  Unknown ones are skipped: they may be added without a
 * new version, as nothing read from a table depends on them.  Block ages: for
 * each data block, a varint of the table's highest sequence number minus the
 * block's; where they are missing, a lost block may be as new as the table.
 *
 * Footer, 64 bytes:
 *
 *	0   le64  offset of the filter, which is the end of the data
 *	8   le64  offset of the index, which is the end of the filter
 *	16  le64  offset of the properties
 *	24  le64  the file's own number
 *	32  le32  format version, as in the header
 *	36  le32  feature bits, as in the header
 *	40  le64  0
 *	48  le64  checksum of 0..47
 *	56  "keyfsEND"
 *
 * The functions that decode return NULL, or why they refuse the bytes. */
#ifndef STORE_TABLE_FORMAT_H
#define STORE_TABLE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/buf.h"
#include "store/options.h"
#include "store/store.h"

/* On disk: never change. */
#define TABLE_MAGIC "keyfsSST"
#define TABLE_MAGIC_END "keyfsEND"
#define TABLE_VERSION 1u
#define TABLE_FEATURES 0u /* those that this version knows */
#define TABLE_HEADER_BYTES 40u
#define TABLE_FOOTER_BYTES 64u
#define TABLE_TRAILER_BYTES 9u

/* The least file: header, footer, and a trailer each for data, index and
 * properties. */
#define TABLE_BYTES_MIN                                                        \
	(TABLE_HEADER_BYTES + TABLE_FOOTER_BYTES + 3 * TABLE_TRAILER_BYTES)

/* A data block is closed by the entry that fills it.  So it holds up to
 * block_bytes, and one entry with its lengths and tag (3 x 5 + 10 bytes), and a
 * restart of 4 bytes for each 8 entries of 5 or more. */
#define TABLE_BLOCK_MAX (19u << 20)

_Static_assert(TABLE_BLOCK_MAX >= OPTIONS_BLOCK_MAX + KEYFS_KEY_MAX +
					  KEYFS_VALUE_MAX + 25 +
					  OPTIONS_BLOCK_MAX / (8 * 5) * 4 + 16,
	       "the largest block fits its limit");

/* On disk: never renumber. */
enum table_block_type { TABLE_BLOCK_RAW = 0, TABLE_BLOCK_LZ4 = 1 };

/* On disk: never renumber. */
enum table_property {
	TABLE_PROPERTY_ENTRIES = 1,
	TABLE_PROPERTY_TOMBSTONES = 2,
	TABLE_PROPERTY_KEYS = 3, /* distinct */
	TABLE_PROPERTY_BLOCKS = 4,
	TABLE_PROPERTY_RAW_BYTES = 5, /* keys and values before compression */
	TABLE_PROPERTY_MIN_SEQ = 6,
	TABLE_PROPERTY_MAX_SEQ = 7,
	TABLE_PROPERTY_SMALLEST = 8, /* user key */
	TABLE_PROPERTY_LARGEST = 9,
	TABLE_PROPERTY_BLOCK_AGES = 10, /* a varint for each block */
};

struct table_header {
	uint32_t version, features, family;
};

void table_header_encode(uint64_t number, uint8_t out[TABLE_HEADER_BYTES]);
/* A good header of an unknown version or with unknown features is decoded: to
 * refuse it is the caller's part. */
const char *table_header_decode(const uint8_t *bytes, uint64_t number,
				struct table_header *out);

struct table_footer {
	uint64_t filter_offset, index_offset, properties_offset;
};

void table_footer_encode(const struct table_footer *footer, uint64_t number,
			 uint64_t offset, uint8_t out[TABLE_FOOTER_BYTES]);
const char *table_footer_decode(const uint8_t *bytes, uint64_t number,
				uint64_t offset, struct table_footer *out);

/* A stored block whose checksum is good. */
struct table_stored {
	const uint8_t *data; /* borrowed, without raw length and trailer */
	size_t len, raw_len;
	bool compressed;
};

/* Appends the trailer to a block that begins at out->data + begin and will lie
 * at `offset` in the file. */
void
table_trailer_append(struct buf *out, size_t begin, enum table_block_type type,
		     uint64_t number, uint64_t offset);

/* Checks a whole block with its trailer.  `raw_max`: more than that is
 * damage. */
const char *
table_stored_decode(const uint8_t *bytes, size_t len, uint64_t number,
		    uint64_t offset, size_t raw_max, struct table_stored *out);

/* Writes stored->raw_len bytes at `to`. */
const char *table_stored_unpack(const struct table_stored *stored, void *to);

struct table_properties {
	uint64_t entries, tombstones, keys, blocks, raw_bytes, min_seq, max_seq;
	struct keyfs_slice smallest, largest; /* borrowed */
	struct keyfs_slice block_ages;        /* borrowed; empty: not known */
};

void table_properties_encode(const struct table_properties *properties,
			     struct buf *out);
/* What is not there is left zero. */
const char *table_properties_decode(const uint8_t *bytes, size_t len,
				    struct table_properties *out);

#endif
