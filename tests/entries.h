/* SPDX-License-Identifier: Apache-2.0 */
/* entries.h - random entries in version order, and the obvious way to search
 * them: what blocks and tables are compared with. */
#ifndef TESTS_ENTRIES_H
#define TESTS_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

#include "store/key.h"

struct entries {
	struct entry *at; /* owned, with the bytes of each */
	size_t count;
};

/* Makes about `count` entries, one at least: keys that share prefixes and are
 * prefixes of each other, several versions of some, tombstones, empty values,
 * and values of up to `value_max` bytes.  Sequence numbers are odd and above 1,
 * so that one can look between any two. */
struct entries entries_random(uint64_t *state, size_t count, size_t value_max);
void entries_free(struct entries *entries);

/* The index of the first entry that does not sort before (key, seq); count if
 * there is none. */
size_t entries_seek(const struct entries *entries, struct keyfs_slice key,
		    uint64_t seq);

/* A random key, in the entries or near one of them, into at least 64 bytes. */
struct keyfs_slice
entries_probe(const struct entries *entries, uint64_t *state, uint8_t *space);

bool entry_equal(const struct entry *a, const struct entry *b);

#endif
