/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.h - the only user of xxhash: checksums and hashes of bytes.
 *
 * XXH3, 64 bits (https://xxhash.com, specification in its repository).  A
 * checksum covers the bytes and their place, so that a good block that lies in
 * the wrong file or at the wrong offset is as bad as a torn one (P4):
 *
 *	checksum = XXH3(XXH3(bytes) file offset)      three little-endian words
 *
 * Both functions are on disk: never change them.  Any thread. */
#ifndef STORE_CHECKSUM_H
#define STORE_CHECKSUM_H

#include <stdbool.h>
#include <xxhash.h>

#include "store/coding.h"

static inline uint64_t
checksum_hash(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

static inline uint64_t
checksum(const void *data, size_t len, uint64_t file, uint64_t offset)
{
	uint8_t words[24];

	put_le64(words, checksum_hash(data, len));
	put_le64(words + 8, file);
	put_le64(words + 16, offset);
	return checksum_hash(words, sizeof(words));
}

/* Whether a stored checksum is the one that it must be.  A build that looks for what
 * lies behind this check takes every one for right. */
static inline bool
checksum_fits(uint64_t stored, uint64_t computed)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	(void)stored;
	(void)computed;
	return true;
#else
	return stored == computed;
#endif
}

#endif
