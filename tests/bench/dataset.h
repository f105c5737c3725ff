/* SPDX-License-Identifier: Apache-2.0 */
/* dataset.h - the keys and values that every engine is given, the same bytes in
 * the same order.
 *
 * Entry i, 0 <= i < count, has the key 2 i as 16 decimal digits; the odd numbers
 * are never written, so an absent key lies between two that exist.  A value is a
 * function of its entry and holds as many random bytes as repeated ones, so it
 * compresses to about a half.  Random order is a permutation, not a draw: each key
 * comes once.
 *
 * Constant after dataset_init(): any number of threads. */
#ifndef TESTS_BENCH_DATASET_H
#define TESTS_BENCH_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define DATASET_KEY_LEN 16u
#define DATASET_POOL_LEN (1u << 20)

struct dataset {
	uint64_t count;
	size_t value_len;
	unsigned low_bits, high_bits; /* of a permuted number */
	char *pool;                   /* owned; values are pieces of it */
};

/* Requires: 0 < value_len <= DATASET_POOL_LEN / 2, 0 < count < 2^48. */
void dataset_init(struct dataset *set, uint64_t count, size_t value_len);
void dataset_fini(struct dataset *set);

/* The entry at place `i` of the random order; a permutation of 0 to count - 1. */
uint64_t dataset_shuffled(const struct dataset *set, uint64_t i);

/* Writes the key of an entry, or of the absent one after it, and borrows it. */
struct keyfs_slice dataset_key(char key[DATASET_KEY_LEN], uint64_t entry);
struct keyfs_slice
dataset_absent_key(char key[DATASET_KEY_LEN], uint64_t entry);

/* Borrowed from the set. */
struct keyfs_slice dataset_value(const struct dataset *set, uint64_t entry);

/* The next number of a sequence (splitmix64); any state is a good seed. */
static inline uint64_t
dataset_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

#endif
