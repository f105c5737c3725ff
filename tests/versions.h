/* SPDX-License-Identifier: Apache-2.0 */
/* versions.h - a sorted array of versions: the model that sorted structures are
 * compared with, an iterator over it, and a random history to fill it with.
 *
 * One thread. */
#ifndef TESTS_VERSIONS_H
#define TESTS_VERSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "store/iter.h"

struct versions {
	struct entry *entries; /* keys and values owned */
	size_t count, capacity;
};

void versions_init(struct versions *versions);
void versions_fini(struct versions *versions);

/* Copies a version; sort before looking. */
void versions_add(struct versions *versions, const struct entry *entry);
void versions_sort(struct versions *versions);

/* Index of the first version that does not sort before (key, seq). */
size_t versions_seek(const struct versions *versions, struct keyfs_slice key,
		     uint64_t seq);

/* Adds `count` random puts and deletes with sequence numbers from `first_seq`
 * on, of about `keys` different keys, some with common beginnings, and sorts.
 */
void versions_random(struct versions *versions, uint64_t *random, size_t count,
		     uint64_t first_seq, uint64_t keys);

/* A random key as versions_random() makes them, in a buffer of
 * VERSIONS_KEY_MAX. */
#define VERSIONS_KEY_MAX 64
struct keyfs_slice
versions_random_key(uint64_t *random, uint64_t keys, uint8_t *buf);

/* An iterator over it.  `fail_after`: the move after so many ends with -EIO; <
 * 0: never. */
struct iter *versions_iter(const struct versions *versions, long fail_after);

/* Aborts the test unless both are the same version with the same value. */
void versions_check_same(const struct entry *got, const struct entry *want);

/* Walks `iter` over all of `versions`, forwards and backwards, with random
 * seeks and changes of direction, and aborts the test where they differ. */
void versions_check_iter(const struct versions *versions, struct iter *iter,
			 uint64_t *random, uint64_t keys);

#endif
