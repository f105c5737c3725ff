/* SPDX-License-Identifier: Apache-2.0 */
/* bloom.h - a cache-line-blocked Bloom filter (Putze, Sanders, Singler,
 * "Cache-, Hash- and Space-Efficient Bloom Filters", JEA 14, 2009).
 *
 * All probes of one key fall into one line of 64 bytes.  A filter says "no" for
 * certain or "perhaps"; a damaged one is found by the checksum of its block. */
#ifndef STORE_BLOOM_H
#define STORE_BLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* The hash of a key, the same in memory and on disk: never change it. */
uint64_t bloom_hash(struct keyfs_slice key);

/* Bytes of a filter for `keys` keys; a multiple of 64, 0 for no keys or
 * bits. */
size_t bloom_bytes(size_t keys, uint32_t bits_per_key);

/* Number of probes for a filter of so many bits per key; 1 to 16. */
uint32_t bloom_probes(uint32_t bits_per_key);

void
bloom_add(uint8_t *filter, size_t filter_bytes, uint32_t probes, uint64_t hash);

/* An empty filter, or one of an unfit size, says "perhaps". */
bool bloom_may_contain(const uint8_t *filter, size_t filter_bytes,
		       uint32_t probes, uint64_t hash);

#endif
