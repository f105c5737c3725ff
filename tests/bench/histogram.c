/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - buckets that grow with the value; see histogram.h. */
#include <config.h>

#include "tests/bench/histogram.h"

/* Values below HISTOGRAM_PARTS have a bucket each; above, the leading one bit
 * selects a row of buckets and the bits after it the bucket. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_PARTS)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_PART_BITS;
	return shift * HISTOGRAM_PARTS + (unsigned)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t
bucket_top(unsigned bucket)
{
	unsigned shift = bucket / HISTOGRAM_PARTS;

	if (shift == 0)
		return bucket;
	shift--;
	return ((HISTOGRAM_PARTS + bucket % HISTOGRAM_PARTS + UINT64_C(1))
		<< shift) -
	       1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->buckets[bucket_of(value)]++;
	if (value > h->max)
		h->max = value;
}

uint64_t
histogram_share(const struct histogram *h, double share)
{
	uint64_t wanted = (uint64_t)((double)h->count * share), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > 0 && seen >= wanted)
			return bucket_top(i) < h->max ? bucket_top(i) : h->max;
	}
	return 0;
}
