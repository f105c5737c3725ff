/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - counts of durations, precise to 3 %.
 *
 * Belongs to one thread at a time. */
#ifndef TESTS_BENCH_HISTOGRAM_H
#define TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is divided into HISTOGRAM_PARTS buckets. */
#define HISTOGRAM_PART_BITS 5
#define HISTOGRAM_PARTS (1u << HISTOGRAM_PART_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_PART_BITS + 1) * HISTOGRAM_PARTS)

/* All zero is empty. */
struct histogram {
	uint64_t count, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* The value that `share` (0 to 1) of the values do not exceed; 0 if empty. */
uint64_t histogram_share(const struct histogram *h, double share);

#endif
