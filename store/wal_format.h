/* SPDX-License-Identifier: Apache-2.0 */
/* wal_format.h - the bytes of a log file.
 *
 * A log is named nnnnnn.log and begins with a header of 64 bytes:
 *
 *	 0  8  magic "KEYFSLOG"
 *	 8  4  format version (1)
 *	12  4  feature bits (0: none known)
 *	16  8  number of this log
 *	24  8  number of the log before it, 0: none
 *	32  8  first sequence number
 *	40 16  zeros
 *	56  8  XXH3-64 over bytes 0-55
 *
 * Records follow, each at an offset that is a multiple of 8:
 *
 *	 0  4  marker: 24 bits derived from the log's number, then the type
 *	 4  4  bytes of payload
 *	 8  8  checksum: XXH3-64 over all that follows (with its place, and the lengths)
 *	16  8  durable position known when it was written
 *	24  8  first sequence number			\
 *	32  4  number of changes			 | WAL_BATCH only
 *	36  4  zeros					 |
 *	40  n  payload: the batch, as batch.h draws it	/
 *	       zeros up to a multiple of 8
 *
 * WAL_MARK ends after 24 bytes; it is written after a sync and repeats its durable
 * position, so that recovery can tell a torn tail from damage (rule R5).
 *
 * Behind the last record the file is zeros: its size says nothing, the end of data
 * is found by the records.  A position names a byte of any log in one word that
 * compares in log order: number << 32 | offset / 8.
 *
 * An example, log 3, one put of "a" = "x" with sequence number 1:
 *
 *	40: M M M 01  06 00 00 00  checksum  position 3:0  1  1 0  01 00 01 61 01 78 00 00
 */
#ifndef STORE_WAL_FORMAT_H
#define STORE_WAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_MAGIC "KEYFSLOG"
#define WAL_VERSION 1u
#define WAL_HEADER_BYTES 64u
#define WAL_ALIGN 8u
#define WAL_BATCH_HEADER_BYTES 40u
#define WAL_MARK_BYTES 24u

/* On disk: never renumber. */
enum wal_type {
	WAL_BATCH = 1,
	WAL_MARK = 2,
};

/* Limits of a position: 4 Gi logs, 32 GiB a log. */
#define WAL_NUMBER_MAX UINT64_C(0xffffffff)
#define WAL_OFFSET_MAX (UINT64_C(1) << 35)

struct wal_header {
	uint64_t number;
	uint64_t predecessor; /* 0: none */
	uint64_t first_seq;
};

/* What a record says, apart from its payload. */
struct wal_record {
	enum wal_type type;
	uint64_t durable; /* position */
	uint64_t seq;     /* of the first change */
	uint32_t count;   /* changes */
	uint32_t payload_bytes;
	uint64_t
		payload_hash; /* checksum_hash(), taken before the write mutex */
};

static inline uint64_t
wal_position(uint64_t number, uint64_t offset)
{
	return number << 32 | offset / WAL_ALIGN;
}

static inline uint64_t
wal_position_number(uint64_t position)
{
	return position >> 32;
}

static inline uint64_t
wal_position_offset(uint64_t position)
{
	return (position & UINT32_MAX) * WAL_ALIGN;
}

/* Bytes that a record takes in the file. */
static inline uint64_t
wal_record_bytes(enum wal_type type, uint32_t payload_bytes)
{
	if (type == WAL_MARK)
		return WAL_MARK_BYTES;
	return (WAL_BATCH_HEADER_BYTES + (uint64_t)payload_bytes + WAL_ALIGN -
		1) /
	       WAL_ALIGN * WAL_ALIGN;
}

/* Writes the file name of log `number`, at most ENV_NAME_MAX bytes and a zero. */
void wal_file_name(uint64_t number, char *out);

/* The first word of a record; it changes with the log, so that bytes of an older
 * file in reused blocks of the disk are no records. */
uint32_t wal_marker(uint64_t number, enum wal_type type);

void wal_header_encode(const struct wal_header *header,
		       uint8_t out[WAL_HEADER_BYTES]);
/* NULL, or why the bytes are not the header of log `number`. */
const char *wal_header_decode(const uint8_t *bytes, uint64_t number,
			      struct wal_header *out);

/* Writes a record's header, WAL_BATCH_HEADER_BYTES or WAL_MARK_BYTES. */
void wal_record_encode(const struct wal_record *record, uint64_t number,
		       uint64_t offset, uint8_t *out);
/* Reads the record at `bytes`, of which `available` are there, payload included.
 * Returns NULL, or why this is not a record of log `number` at `offset`. */
const char *
wal_record_decode(const uint8_t *bytes, uint64_t available, uint64_t number,
		  uint64_t offset, struct wal_record *out);

#endif
