/* SPDX-License-Identifier: Apache-2.0 */
/* key_code.h - eight bytes of a key that decide most comparisons.
 *
 * Codes follow the order of keys: a < b gives code(a) <= code(b); equal codes
 * say nothing, and the keys themselves are compared.
 *
 * The first eight bytes would do, but keys often begin alike:
 * "0000000000012345", or a letter and a big-endian number.  So each first byte
 * has a *stem*, bytes that keys which begin with it are likely to share, and
 * the code is
 *
 *	 1 byte    the key's first byte
 *	 7 bytes   0       if the key sorts before every key with the stem
 *	           2^56-1  if it sorts after every key with the stem
 *	           else the seven bytes behind the stem
 *
 *	stem of '0' is "00000000"    "0000000000012345" -> '0' "0001234"
 *	stem of 'I' is 'I' 00 00     'I' 00 00 p q r s t u 'A' -> 'I' pqrstu 'A'
 *
 * Any stem is right; a good one makes codes differ.  Stems never change while
 * codes made with them are in use. */
#ifndef STORE_KEY_CODE_H
#define STORE_KEY_CODE_H

#include <stdint.h>
#include <string.h>

#include "store/coding.h"
#include "store/store.h"

#define KEY_STEM_MAX 31u

struct key_stem {
	uint8_t len; /* 1: the first byte alone */
	uint8_t bytes[KEY_STEM_MAX];
};

struct key_coder {
	struct key_stem stems[256];
};

#define KEY_CODE_MAX UINT64_MAX
#define KEY_CODE_REST ((UINT64_C(1) << 56) - 1)

/* Each stem is the first byte alone: the code is the key's first eight bytes.
 */
static inline void
key_coder_init(struct key_coder *coder)
{
	unsigned c;

	for (c = 0; c < 256; c++) {
		coder->stems[c].len = 1;
		coder->stems[c].bytes[0] = (uint8_t)c;
	}
}

/* Makes what `a` and `b` share the stem of their first byte.  Requires: both
 * begin with it. */
static inline void
key_coder_set(struct key_coder *coder, struct keyfs_slice a,
	      struct keyfs_slice b)
{
	const uint8_t *p = a.data, *q = b.data;
	struct key_stem *stem = &coder->stems[p[0]];
	size_t n = a.len < b.len ? a.len : b.len, i = 1;

	if (n > KEY_STEM_MAX)
		n = KEY_STEM_MAX;
	while (i < n && p[i] == q[i])
		i++;
	stem->len = (uint8_t)i;
	memcpy(stem->bytes, p, i);
}

static inline uint64_t
key_code(const struct key_coder *coder, struct keyfs_slice key)
{
	const uint8_t *p = key.data;
	const struct key_stem *stem;
	uint8_t tail[8] = { 0 };
	uint64_t first;
	size_t n, rest;
	int r;

	if (!key.len)
		return 0; /* only ever sought, never stored */
	stem = &coder->stems[p[0]];
	first = (uint64_t)p[0] << 56;
	n = key.len < stem->len ? key.len : stem->len;
	rest = key.len - n;
	r = memcmp(p, stem->bytes, n);
	if (r > 0)
		return first | KEY_CODE_REST;
	if (r < 0 || key.len < stem->len)
		return first;
	if (rest >= 8)
		return first | get_be64(p + n) >> 8;
	memcpy(tail, p + n, rest);
	return first | get_be64(tail) >> 8;
}

#endif
