/* SPDX-License-Identifier: Apache-2.0 */
/* table_format.c - encodes and decodes what is drawn in table_format.h. */
#include <config.h>

#include "store/table_format.h"

#include <string.h>

#include "store/checksum.h"
#include "store/coding.h"
#include "store/compress.h"

void
table_header_encode(uint64_t number, uint8_t out[TABLE_HEADER_BYTES])
{
	memcpy(out, TABLE_MAGIC, 8);
	put_le32(out + 8, TABLE_VERSION);
	put_le32(out + 12, TABLE_FEATURES);
	put_le64(out + 16, number);
	put_le32(out + 24, 0);
	put_le32(out + 28, 0);
	put_le64(out + 32, checksum(out, 32, number, 0));
}

const char *
table_header_decode(const uint8_t *bytes, uint64_t number,
		    struct table_header *out)
{
	uint64_t own = get_le64(bytes + 16), sum = get_le64(bytes + 32);

	if (memcmp(bytes, TABLE_MAGIC, 8))
		return "no table header";
	if (!checksum_fits(sum, checksum(bytes, 32, own, 0)))
		return "table header does not match its checksum";
	if (own != number)
		return "table header of another file";
	out->version = get_le32(bytes + 8);
	out->features = get_le32(bytes + 12);
	out->family = get_le32(bytes + 24);
	return NULL;
}

void
table_footer_encode(const struct table_footer *footer, uint64_t number,
		    uint64_t offset, uint8_t out[TABLE_FOOTER_BYTES])
{
	put_le64(out, footer->filter_offset);
	put_le64(out + 8, footer->index_offset);
	put_le64(out + 16, footer->properties_offset);
	put_le64(out + 24, number);
	put_le32(out + 32, TABLE_VERSION);
	put_le32(out + 36, TABLE_FEATURES);
	put_le64(out + 40, 0);
	put_le64(out + 48, checksum(out, 48, number, offset));
	memcpy(out + 56, TABLE_MAGIC_END, 8);
}

const char *
table_footer_decode(const uint8_t *bytes, uint64_t number, uint64_t offset,
		    struct table_footer *out)
{
	struct table_footer f = {
		.filter_offset = get_le64(bytes),
		.index_offset = get_le64(bytes + 8),
		.properties_offset = get_le64(bytes + 16),
	};

	if (memcmp(bytes + 56, TABLE_MAGIC_END, 8))
		return "no table footer";
	if (!checksum_fits(get_le64(bytes + 48),
			   checksum(bytes, 48, number, offset)))
		return "table footer does not match its checksum";
	if (get_le32(bytes + 32) != TABLE_VERSION ||
	    get_le32(bytes + 36) != TABLE_FEATURES)
		return "table footer contradicts the header";
	if (f.filter_offset < TABLE_HEADER_BYTES + TABLE_TRAILER_BYTES ||
	    f.index_offset < f.filter_offset ||
	    f.properties_offset < f.index_offset ||
	    f.properties_offset > offset)
		return "table footer with impossible offsets";
	*out = f;
	return NULL;
}

void
table_trailer_append(struct buf *out, size_t begin, enum table_block_type type,
		     uint64_t number, uint64_t offset)
{
	buf_append_u8(out, (uint8_t)type);
	if (!out->error)
		buf_append_le64(out,
				checksum(out->data + begin, out->len - begin,
					 number, offset));
}

const char *
table_stored_decode(const uint8_t *bytes, size_t len, uint64_t number,
		    uint64_t offset, size_t raw_max, struct table_stored *out)
{
	size_t body = len - TABLE_TRAILER_BYTES;

	if (len < TABLE_TRAILER_BYTES)
		return "block too short";
	if (!checksum_fits(get_le64(bytes + body + 1),
			   checksum(bytes, body + 1, number, offset)))
		return "block does not match its checksum";
	switch (bytes[body]) {
	case TABLE_BLOCK_RAW:
		*out = (struct table_stored){ bytes, body, body, false };
		break;
	case TABLE_BLOCK_LZ4:
		if (body < 4)
			return "compressed block without its raw length";
		*out = (struct table_stored){ bytes + 4, body - 4,
					      get_le32(bytes), true };
		break;
	default:
		return "block of an unknown type";
	}
	if (out->raw_len > raw_max ||
	    out->raw_len / COMPRESS_RATIO_MAX > out->len)
		return "block of an impossible length";
	return NULL;
}

const char *
table_stored_unpack(const struct table_stored *stored, void *to)
{
	if (!stored->compressed)
		memcpy(to, stored->data, stored->len);
	else if (decompress(stored->data, stored->len, to, stored->raw_len) < 0)
		return "block cannot be decompressed";
	return NULL;
}

/* ---- Properties ---- */

static void
number_append(struct buf *out, enum table_property id, uint64_t v)
{
	uint8_t bytes[VARINT64_MAX];

	buf_append_varint(out, id);
	buf_append_slice(out, keyfs_bytes(bytes, (size_t)(put_varint(bytes, v) -
							  bytes)));
}

void
table_properties_encode(const struct table_properties *p, struct buf *out)
{
	number_append(out, TABLE_PROPERTY_ENTRIES, p->entries);
	number_append(out, TABLE_PROPERTY_TOMBSTONES, p->tombstones);
	number_append(out, TABLE_PROPERTY_KEYS, p->keys);
	number_append(out, TABLE_PROPERTY_BLOCKS, p->blocks);
	number_append(out, TABLE_PROPERTY_RAW_BYTES, p->raw_bytes);
	number_append(out, TABLE_PROPERTY_MIN_SEQ, p->min_seq);
	number_append(out, TABLE_PROPERTY_MAX_SEQ, p->max_seq);
	buf_append_varint(out, TABLE_PROPERTY_SMALLEST);
	buf_append_slice(out, p->smallest);
	buf_append_varint(out, TABLE_PROPERTY_LARGEST);
	buf_append_slice(out, p->largest);
	if (p->block_ages.len) {
		buf_append_varint(out, TABLE_PROPERTY_BLOCK_AGES);
		buf_append_slice(out, p->block_ages);
	}
}

/* Where the number of a property goes; NULL if it is none that we know. */
static uint64_t *
number_place(struct table_properties *p, uint64_t id)
{
	switch (id) {
	case TABLE_PROPERTY_ENTRIES:
		return &p->entries;
	case TABLE_PROPERTY_TOMBSTONES:
		return &p->tombstones;
	case TABLE_PROPERTY_KEYS:
		return &p->keys;
	case TABLE_PROPERTY_BLOCKS:
		return &p->blocks;
	case TABLE_PROPERTY_RAW_BYTES:
		return &p->raw_bytes;
	case TABLE_PROPERTY_MIN_SEQ:
		return &p->min_seq;
	case TABLE_PROPERTY_MAX_SEQ:
		return &p->max_seq;
	default:
		return NULL;
	}
}

const char *
table_properties_decode(const uint8_t *at, size_t len,
			struct table_properties *out)
{
	const uint8_t *end = at + len;

	memset(out, 0, sizeof(*out));
	while (at < end) {
		uint64_t id, bytes, *number;

		at = get_varint64(at, end, &id);
		if (!at || !(at = get_varint64(at, end, &bytes)) ||
		    bytes > (uint64_t)(end - at))
			return "properties cannot be decoded";
		number = number_place(out, id);
		if (number && !get_varint64(at, at + bytes, number))
			return "property that is no number";
		if (id == TABLE_PROPERTY_SMALLEST)
			out->smallest = keyfs_bytes(at, bytes);
		if (id == TABLE_PROPERTY_LARGEST)
			out->largest = keyfs_bytes(at, bytes);
		if (id == TABLE_PROPERTY_BLOCK_AGES)
			out->block_ages = keyfs_bytes(at, bytes);
		at += bytes;
	}
	return NULL;
}
