/* SPDX-License-Identifier: Apache-2.0 */
/* layout_bytes.h - integers as the layout stores them; for layout*.c only.
 *
 * Readers keep their first error and give zeros after it; it is looked at once, at
 * the end. */
#ifndef FS_LAYOUT_BYTES_H
#define FS_LAYOUT_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "store/store.h"

#define LAYOUT_VARINT_MAX 10u

struct layout_reader {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct layout_reader
layout_reader_init(struct keyfs_slice s)
{
	const uint8_t *at = s.data;

	return (struct layout_reader){ at, s.len ? at + s.len : at, false };
}

static inline uint8_t *
layout_put_le(uint8_t *out, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> (8 * i));
	return out + bytes;
}

static inline uint64_t
layout_take_le(struct layout_reader *r, unsigned bytes)
{
	uint64_t value = 0;

	if (r->bad || (size_t)(r->end - r->at) < bytes) {
		r->bad = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)r->at[i] << (8 * i);
	r->at += bytes;
	return value;
}

static inline uint8_t *
layout_put_varint(uint8_t *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*out++ = (uint8_t)(value | 0x80);
	*out++ = (uint8_t)value;
	return out;
}

/* Refuses forms that are longer than they must be, and more than 64 bits. */
static inline uint64_t
layout_take_varint(struct layout_reader *r)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < LAYOUT_VARINT_MAX; i++) {
		uint8_t byte = (uint8_t)layout_take_le(r, 1);

		if (r->bad || (i == LAYOUT_VARINT_MAX - 1 && byte > 1) ||
		    (i > 0 && byte == 0))
			break;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	r->bad = true;
	return 0;
}

/* Signed numbers with the small ones of either sign short. */
static inline uint64_t
layout_zigzag(int64_t value)
{
	return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t
layout_unzigzag(uint64_t value)
{
	return (int64_t)((value >> 1) ^ (value & 1 ? UINT64_MAX : 0));
}

#endif
