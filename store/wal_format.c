/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/wal_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store/checksum.h"
#include "store/coding.h"
#include "store/env.h"

_Static_assert(WAL_OFFSET_MAX / WAL_ALIGN - 1 == UINT32_MAX,
	       "an offset fits the low half of a position");
_Static_assert(WAL_MARK_BYTES % WAL_ALIGN == 0 &&
		       WAL_HEADER_BYTES % WAL_ALIGN == 0,
	       "records stay aligned");

void
wal_file_name(uint64_t number, char *out)
{
	(void)snprintf(out, ENV_NAME_MAX + 1, "%06" PRIu64 ".log", number);
}

uint32_t
wal_marker(uint64_t number, enum wal_type type)
{
	/* Fibonacci hashing; bit 8 set, so that a marker is never zero. */
	uint64_t hash = number * UINT64_C(0x9e3779b97f4a7c15);

	return ((uint32_t)(hash >> 32) & 0xffffff00u) | 0x100u | (uint32_t)type;
}

void
wal_header_encode(const struct wal_header *header,
		  uint8_t out[WAL_HEADER_BYTES])
{
	memset(out, 0, WAL_HEADER_BYTES);
	memcpy(out, WAL_MAGIC, 8);
	put_le32(out + 8, WAL_VERSION);
	put_le64(out + 16, header->number);
	put_le64(out + 24, header->predecessor);
	put_le64(out + 32, header->first_seq);
	put_le64(out + 56, checksum(out, 56, header->number, 0));
}

const char *
wal_header_decode(const uint8_t *bytes, uint64_t number, struct wal_header *out)
{
	if (memcmp(bytes, WAL_MAGIC, 8))
		return "no log header";
	if (!checksum_fits(get_le64(bytes + 56),
			   checksum(bytes, 56, number, 0)))
		return "log header does not match its checksum";
	if (get_le32(bytes + 8) != WAL_VERSION)
		return "unknown log format version";
	if (get_le32(bytes + 12))
		return "unknown log feature bits";
	if (get_le64(bytes + 16) != number)
		return "header of another log";
	out->number = number;
	out->predecessor = get_le64(bytes + 24);
	out->first_seq = get_le64(bytes + 32);
	return NULL;
}

/* The checksum covers the place, every word of the header but itself, and the
 * payload by its hash. */
static uint64_t
record_checksum(const uint8_t *header, uint64_t header_bytes,
		uint64_t payload_hash, uint64_t number, uint64_t offset)
{
	uint8_t all[8 + WAL_BATCH_HEADER_BYTES] = { 0 };

	memcpy(all, header, 8);
	memcpy(all + 8, header + 16, header_bytes - 16);
	put_le64(all + WAL_BATCH_HEADER_BYTES, payload_hash);
	return checksum(all, sizeof(all), number, offset);
}

void
wal_record_encode(const struct wal_record *record, uint64_t number,
		  uint64_t offset, uint8_t *out)
{
	uint64_t bytes = WAL_MARK_BYTES;

	put_le32(out, wal_marker(number, record->type));
	put_le32(out + 4, record->payload_bytes);
	put_le64(out + 16, record->durable);
	if (record->type == WAL_BATCH) {
		bytes = WAL_BATCH_HEADER_BYTES;
		put_le64(out + 24, record->seq);
		put_le32(out + 32, record->count);
		put_le32(out + 36, 0);
	}
	put_le64(out + 8, record_checksum(out, bytes, record->payload_hash,
					  number, offset));
}

static const char *
batch_decode(const uint8_t *bytes, uint64_t available, uint64_t number,
	     uint64_t offset, struct wal_record *out)
{
	uint32_t payload = get_le32(bytes + 4);
	uint64_t end = WAL_BATCH_HEADER_BYTES + (uint64_t)payload;
	uint64_t total = wal_record_bytes(WAL_BATCH, payload);
	uint64_t hash;

	if (available < total)
		return "record runs past the end of the file";
	hash = checksum_hash(bytes + WAL_BATCH_HEADER_BYTES, payload);
	if (!checksum_fits(get_le64(bytes + 8),
			   record_checksum(bytes, WAL_BATCH_HEADER_BYTES, hash,
					   number, offset)))
		return "record does not match its checksum";
	for (; end < total; end++)
		if (bytes[end])
			return "padding of a record is not zero";
	out->seq = get_le64(bytes + 24);
	out->count = get_le32(bytes + 32);
	out->payload_bytes = payload;
	out->payload_hash = hash;
	return NULL;
}

const char *
wal_record_decode(const uint8_t *bytes, uint64_t available, uint64_t number,
		  uint64_t offset, struct wal_record *out)
{
	uint32_t marker;

	if (available < WAL_MARK_BYTES)
		return "no room for a record";
	*out = (struct wal_record){ .durable = get_le64(bytes + 16) };
	marker = get_le32(bytes);
	if (marker == wal_marker(number, WAL_MARK)) {
		out->type = WAL_MARK;
		if (get_le32(bytes + 4) ||
		    !checksum_fits(get_le64(bytes + 8),
				   record_checksum(bytes, WAL_MARK_BYTES, 0,
						   number, offset)))
			return "mark does not match its checksum";
		return NULL;
	}
	if (marker != wal_marker(number, WAL_BATCH))
		return "no record";
	if (available < WAL_BATCH_HEADER_BYTES)
		return "no room for a record";
	out->type = WAL_BATCH;
	return batch_decode(bytes, available, number, offset, out);
}
