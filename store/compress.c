/* SPDX-License-Identifier: Apache-2.0 */
/* compress.c - LZ4 behind two calls; see compress.h. */
#include <config.h>

#include "store/compress.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>

_Static_assert(COMPRESS_RAW_MAX == LZ4_MAX_INPUT_SIZE, "lz4 takes so much");

size_t
compress(const void *from, size_t len, void *to, size_t capacity)
{
	int n;

	if (len > COMPRESS_RAW_MAX)
		return 0;
	if (capacity > INT_MAX)
		capacity = INT_MAX;
	n = LZ4_compress_default(from, to, (int)len, (int)capacity);
	return n > 0 ? (size_t)n : 0;
}

int
decompress(const void *from, size_t len, void *to, size_t raw_len)
{
	int n;

	if (len > INT_MAX || raw_len > COMPRESS_RAW_MAX)
		return -EUCLEAN;
	n = LZ4_decompress_safe(from, to, (int)len, (int)raw_len);
	return n >= 0 && (size_t)n == raw_len ? 0 : -EUCLEAN;
}
