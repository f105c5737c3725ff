/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - the options of a store: defaults, limits, and their arithmetic.
 *
 * Turns what a caller gave into options in which every member is set and within
 * its limits, so that nothing behind keyfs_open() checks an option again.  No
 * state; any thread. */
#ifndef STORE_OPTIONS_H
#define STORE_OPTIONS_H

#include "store/store.h"

#define OPTIONS_KIB ((uint64_t)1 << 10)
#define OPTIONS_MIB ((uint64_t)1 << 20)
#define OPTIONS_GIB ((uint64_t)1 << 30)
#define OPTIONS_TIB ((uint64_t)1 << 40)

#define OPTIONS_LABEL_MAX (4 * OPTIONS_KIB)

#define OPTIONS_COMMIT_INTERVAL_MS 5000u

#define OPTIONS_MEMORY (256 * OPTIONS_MIB)
#define OPTIONS_MEMORY_MIN (1 * OPTIONS_MIB)
#define OPTIONS_MEMORY_MAX (1 * OPTIONS_TIB)

/* A memtable is written to a table while the next one fills: two of them must
 * fit into the budget. */
#define OPTIONS_MEMTABLE_SHARE 4u
#define OPTIONS_MEMTABLE_MIN (4 * OPTIONS_KIB)
#define OPTIONS_MEMTABLE_MAX_SHARE 2u

#define OPTIONS_COMPACTION_THREADS 2u
#define OPTIONS_COMPACTION_THREADS_MAX 16u

#define OPTIONS_BLOCK (4 * OPTIONS_KIB)
#define OPTIONS_BLOCK_MIN 128u
#define OPTIONS_BLOCK_MAX (1 * OPTIONS_MIB)

#define OPTIONS_BLOOM_BITS 10u
#define OPTIONS_BLOOM_BITS_MAX 32u

/* A table holds at least one block; the least is for tests that want many. */
#define OPTIONS_TABLE (32 * OPTIONS_MIB)
#define OPTIONS_TABLE_MIN (1 * OPTIONS_KIB)
#define OPTIONS_TABLE_MAX (1 * OPTIONS_GIB)

#define OPTIONS_LEVEL0_TABLES 4u
#define OPTIONS_LEVEL0_TABLES_MAX 64u

/* The target of the last level is level_bytes * ratio^(KEYFS_LEVELS - 2): level
 * 0 is counted in tables, and level 1 takes level_bytes itself. */
#define OPTIONS_LEVEL_RATIO 10u
#define OPTIONS_LEVEL_RATIO_MIN 2u
#define OPTIONS_LEVEL_RATIO_MAX 64u
#define OPTIONS_LEVEL (64 * OPTIONS_MIB)
#define OPTIONS_LEVEL_MIN (1 * OPTIONS_KIB)
#define OPTIONS_LEVEL_MAX (8 * OPTIONS_GIB)

/* A terabyte in twelve days; a small store in an instant, so once a week. */
#define OPTIONS_SCRUB_RATE (1 * OPTIONS_MIB)
#define OPTIONS_SCRUB_RATE_MIN (1 * OPTIONS_KIB)
#define OPTIONS_SCRUB_INTERVAL_S (7u * 24 * 60 * 60)

#define OPTIONS_RESERVE (16 * OPTIONS_MIB)
#define OPTIONS_RESERVE_MAX (1 * OPTIONS_TIB)

_Static_assert(OPTIONS_MEMTABLE_MIN <=
		       OPTIONS_MEMORY_MIN / OPTIONS_MEMTABLE_SHARE,
	       "the smallest budget leaves room for the smallest memtable");
_Static_assert(OPTIONS_MEMTABLE_SHARE >= OPTIONS_MEMTABLE_MAX_SHARE,
	       "the default memtable is within its own limit");
_Static_assert(OPTIONS_BLOCK <= OPTIONS_TABLE &&
		       OPTIONS_BLOCK_MAX <= OPTIONS_TABLE,
	       "a default table holds a block of any size");
_Static_assert(KEYFS_LEVELS == 7 &&
		       OPTIONS_LEVEL_RATIO_MAX <= ((uint64_t)1 << 6) &&
		       OPTIONS_LEVEL_MAX <= ((uint64_t)1 << 33),
	       "2^33 * (2^6)^5 = 2^63: every level's target fits 64 bits");

/* Fills *out with what `given` (may be NULL) says and with defaults for the
 * rest; reads min(given->size) bytes of it.  The label is borrowed.
 * -EINVAL: an option is out of its limits, or two contradict; `why` then holds
 * one sentence, without a full stop, that names the option, its value and the
 * limits, cut to `why_size` bytes with the terminating zero.  Requires:
 * why_size > 0. */
int options_resolve(const struct keyfs_options *given,
		    struct keyfs_options *out, char *why, size_t why_size);

#endif
