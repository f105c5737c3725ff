/* SPDX-License-Identifier: Apache-2.0 */
/* dataset.c - keys by counting, order by a Feistel network; see dataset.h. */
#include <config.h>

#include "tests/bench/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "tests/must.h"

/* Each piece of this many bytes is half random and half its own repetition. */
#define PIECE_LEN 100u

static void
pool_fill(char *pool)
{
	uint64_t seed = 1;
	size_t half = PIECE_LEN / 2;

	for (size_t at = 0; at + PIECE_LEN <= DATASET_POOL_LEN;
	     at += PIECE_LEN) {
		for (size_t i = 0; i < half; i++)
			pool[at + i] = (char)dataset_random(&seed);
		memcpy(pool + at + half, pool + at, half);
	}
}

void
dataset_init(struct dataset *set, uint64_t count, size_t value_len)
{
	unsigned bits = 2;

	while ((UINT64_C(1) << bits) < count)
		bits++;
	set->count = count;
	set->value_len = value_len;
	set->low_bits = bits / 2;
	set->high_bits = bits - bits / 2;
	set->pool = must_alloc(DATASET_POOL_LEN);
	pool_fill(set->pool);
}

void
dataset_fini(struct dataset *set)
{
	free(set->pool);
	set->pool = NULL;
}

static uint64_t
round_function(uint64_t half, unsigned round)
{
	uint64_t x = (half + round + 1) * 0x9e3779b97f4a7c15u;

	return x ^ (x >> 29);
}

/* A Feistel network permutes the numbers of low_bits + high_bits bits: each step
 * changes one half by a function of the other and can be undone. */
static uint64_t
feistel(const struct dataset *set, uint64_t x)
{
	uint64_t low_mask = (UINT64_C(1) << set->low_bits) - 1;
	uint64_t high_mask = (UINT64_C(1) << set->high_bits) - 1;
	uint64_t low = x & low_mask, high = x >> set->low_bits;

	for (unsigned round = 0; round < 4; round += 2) {
		high = (high ^ round_function(low, round)) & high_mask;
		low = (low ^ round_function(high, round + 1)) & low_mask;
	}
	return high << set->low_bits | low;
}

/* Following the permutation until it comes back below `count` makes it one of
 * the entries alone; at most half of the numbers are too large. */
uint64_t
dataset_shuffled(const struct dataset *set, uint64_t i)
{
	do
		i = feistel(set, i);
	while (i >= set->count);
	return i;
}

static struct keyfs_slice
digits(char key[DATASET_KEY_LEN], uint64_t number)
{
	memset(key, '0', DATASET_KEY_LEN);
	for (size_t i = DATASET_KEY_LEN; number > 0; number /= 10)
		key[--i] = (char)('0' + number % 10);
	return keyfs_bytes(key, DATASET_KEY_LEN);
}

struct keyfs_slice
dataset_key(char key[DATASET_KEY_LEN], uint64_t entry)
{
	return digits(key, 2 * entry);
}

struct keyfs_slice
dataset_absent_key(char key[DATASET_KEY_LEN], uint64_t entry)
{
	return digits(key, 2 * entry + 1);
}

struct keyfs_slice
dataset_value(const struct dataset *set, uint64_t entry)
{
	size_t room = DATASET_POOL_LEN - set->value_len;

	return keyfs_bytes(set->pool + entry * 131 % room, set->value_len);
}
