/* SPDX-License-Identifier: Apache-2.0 */
/* key.h - the one order in which everything in the store is sorted.
 *
 * Each change has a user key, a sequence number and a kind.  Keys ascend by
 * memcmp(), the shorter first where one is a prefix of the other; versions of
 * one key descend by sequence number, so the newest comes first:
 *
 *	("a", 7) < ("a", 3) < ("ab", 9) < ("b", 1)
 *
 * A sequence number belongs to one change only, so the kind never decides. */
#ifndef STORE_KEY_H
#define STORE_KEY_H

#include <stdint.h>
#include <string.h>

#include "store/coding.h"
#include "store/store.h"

/* What a change did.  On disk: never renumber. */
enum entry_kind {
	ENTRY_PUT = 1,
	ENTRY_DELETE = 2,
};

/* Above every sequence number in use; seeking to (key, SEQ_MAX) finds the
 * newest version of key.  56 bits: a table keeps the kind in the same word. */
#define SEQ_MAX ((UINT64_C(1) << 56) - 1)

/* One version of one key.  Slices are borrowed. */
struct entry {
	struct keyfs_slice key;
	uint64_t seq;
	enum entry_kind kind;
	struct keyfs_slice value; /* empty for ENTRY_DELETE */
};

/* Compares user keys: < 0, 0, > 0. */
static inline int
key_compare(struct keyfs_slice a, struct keyfs_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.data, b.data, n) : 0;

	if (r)
		return r;
	return (a.len > b.len) - (a.len < b.len);
}

static inline bool
key_equal(struct keyfs_slice a, struct keyfs_slice b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

/* How many bytes two pieces of at least `n` bytes have in common in front, at
 * most n.  Eight at a time: keys of one directory share a dozen bytes and
 * more. */
static inline size_t
bytes_shared(const void *a, const void *b, size_t n)
{
	const uint8_t *x = a, *y = b;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t u = get_le64(x + i) ^ get_le64(y + i);

		if (u)
			return i + (size_t)__builtin_ctzll(u) / 8;
	}
	while (i < n && x[i] == y[i])
		i++;
	return i;
}

/* Compares versions in the order drawn above. */
static inline int
version_compare(struct keyfs_slice a, uint64_t a_seq, struct keyfs_slice b,
		uint64_t b_seq)
{
	int r = key_compare(a, b);

	return r ? r : (a_seq < b_seq) - (a_seq > b_seq);
}

#endif
