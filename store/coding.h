/* SPDX-License-Identifier: Apache-2.0 */
/* coding.h - how integers become bytes.
 *
 * Little-endian everywhere on disk except inside keys, where big-endian makes
 * memcmp() sort them by value.  A varint holds seven bits a byte, the lowest
 * first, and a set high bit says that more follow:
 *
 *	300 = 0b10_0101100   ->   1_0101100 0_0000010   ->   ac 02
 *
 * Places need no alignment.  The varint decoders never read at or past `end`
 * and refuse what does not fit the type, so they may be given hostile bytes. */
#ifndef STORE_CODING_H
#define STORE_CODING_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The longest varints: 32 / 7 and 64 / 7, rounded up. */
#define VARINT32_MAX 5
#define VARINT64_MAX 10

static inline void
put_le32(void *to, uint32_t v)
{
	v = htole32(v);
	memcpy(to, &v, sizeof(v));
}

static inline void
put_le64(void *to, uint64_t v)
{
	v = htole64(v);
	memcpy(to, &v, sizeof(v));
}

static inline uint32_t
get_le32(const void *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return le32toh(v);
}

static inline uint64_t
get_le64(const void *from)
{
	uint64_t v;

	memcpy(&v, from, sizeof(v));
	return le64toh(v);
}

static inline void
put_be32(void *to, uint32_t v)
{
	v = htobe32(v);
	memcpy(to, &v, sizeof(v));
}

static inline void
put_be64(void *to, uint64_t v)
{
	v = htobe64(v);
	memcpy(to, &v, sizeof(v));
}

static inline uint32_t
get_be32(const void *from)
{
	uint32_t v;

	memcpy(&v, from, sizeof(v));
	return be32toh(v);
}

static inline uint64_t
get_be64(const void *from)
{
	uint64_t v;

	memcpy(&v, from, sizeof(v));
	return be64toh(v);
}

/* Writes at most VARINT64_MAX bytes (VARINT32_MAX if v fits 32 bits); returns
 * the place behind them. */
static inline uint8_t *
put_varint(uint8_t *to, uint64_t v)
{
	while (v >= 0x80) {
		*to++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*to++ = (uint8_t)v;
	return to;
}

/* Reads a varint into *out and returns the place behind it; NULL if it is cut
 * off by `end` or larger than the type. */
static inline const uint8_t *
get_varint64(const uint8_t *from, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;
	unsigned shift;

	for (shift = 0; from < end && shift < 70; shift += 7) {
		uint64_t byte = *from++;

		/* The tenth byte has room for the 64th bit only. */
		if (shift == 63 && byte > 1)
			return NULL;
		v |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			*out = v;
			return from;
		}
	}
	return NULL;
}

static inline const uint8_t *
get_varint32(const uint8_t *from, const uint8_t *end, uint32_t *out)
{
	uint64_t v;

	if (from < end && *from < 0x80) {
		*out = *from;
		return from + 1;
	}
	from = get_varint64(from, end, &v);
	if (!from || v > UINT32_MAX)
		return NULL;
	*out = (uint32_t)v;
	return from;
}

/* Signed differences as small unsigned numbers: 0, -1, 1, -2 ... become 0, 1,
 * 2, 3 ...  Both are exact for every difference of two 64-bit numbers. */
static inline uint64_t
zigzag(uint64_t difference)
{
	return (difference << 1) ^ -(difference >> 63);
}

static inline uint64_t
unzigzag(uint64_t v)
{
	return (v >> 1) ^ -(v & 1);
}

#endif
