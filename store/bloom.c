/* SPDX-License-Identifier: Apache-2.0 */
/* bloom.c - a cache-line-blocked Bloom filter; see bloom.h.
 *
 *	hash   63 ........ 32 31 ......... 0
 *	       which line     which bits in it
 *
 * The high half, scaled to the number of lines, picks the line; the low half is
 * multiplied on for each probe and its top 9 bits name a bit of 512.  Both the
 * picking and the multiplier are on disk: never change them. */
#include <config.h>

#include "store/bloom.h"

#include "store/checksum.h"

enum { LINE_BYTES = 64, LINE_BITS = 512, LINE_SHIFT = 32 - 9, PROBES_MAX = 16 };

_Static_assert(LINE_BITS == 1 << 9, "9 bits name a bit of a line");

/* 2^32 divided by the golden ratio: odd, and each product spreads well. */
static const uint32_t step = UINT32_C(0x9e3779b9);

uint64_t
bloom_hash(struct keyfs_slice key)
{
	return checksum_hash(key.data, key.len);
}

size_t
bloom_bytes(size_t keys, uint32_t bits_per_key)
{
	size_t lines;

	if (keys == 0 || bits_per_key == 0)
		return 0;
	if (keys > SIZE_MAX / bits_per_key - LINE_BITS)
		return 0;
	lines = (keys * bits_per_key + LINE_BITS - 1) / LINE_BITS;
	return lines <= UINT32_MAX ? lines * LINE_BYTES : 0;
}

/* An unblocked filter is best with 0.69 probes a bit.  Some lines get more keys
 * than their share and suffer from each further probe, so a little fewer. */
uint32_t
bloom_probes(uint32_t bits_per_key)
{
	uint64_t probes = ((uint64_t)bits_per_key * 6 + 5) / 10;

	if (probes < 1)
		return 1;
	return probes > PROBES_MAX ? PROBES_MAX : (uint32_t)probes;
}

static size_t
line_of(size_t filter_bytes, uint64_t hash)
{
	uint64_t lines = filter_bytes / LINE_BYTES;

	return (size_t)(((hash >> 32) * lines) >> 32) * LINE_BYTES;
}

void
bloom_add(uint8_t *filter, size_t filter_bytes, uint32_t probes, uint64_t hash)
{
	uint8_t *line = filter + line_of(filter_bytes, hash);
	uint32_t h = (uint32_t)hash, i;

	for (i = 0; i < probes; i++, h *= step) {
		uint32_t bit = h >> LINE_SHIFT;

		line[bit / 8] |= (uint8_t)(1u << (bit % 8));
	}
}

bool
bloom_may_contain(const uint8_t *filter, size_t filter_bytes, uint32_t probes,
		  uint64_t hash)
{
	const uint8_t *line;
	uint32_t h = (uint32_t)hash, i;

	if (filter_bytes == 0 || filter_bytes % LINE_BYTES != 0 ||
	    filter_bytes / LINE_BYTES > UINT32_MAX || probes > PROBES_MAX)
		return true;
	line = filter + line_of(filter_bytes, hash);
	for (i = 0; i < probes; i++, h *= step) {
		uint32_t bit = h >> LINE_SHIFT;

		if (!(line[bit / 8] & (1u << (bit % 8))))
			return false;
	}
	return true;
}
