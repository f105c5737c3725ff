/* SPDX-License-Identifier: Apache-2.0 */
/* compress.h - the only user of lz4: one piece of bytes, compressed by itself.
 *
 * The result is an LZ4 block (LZ4 block format description, in its repository)
 * without frame or length: whoever stores it keeps the raw length beside it.
 * No state; any thread. */
#ifndef STORE_COMPRESS_H
#define STORE_COMPRESS_H

#include <stddef.h>

/* Limits: what one call takes, and the most that an LZ4 block can expand.  A
 * raw length beyond the second is damage and not worth the memory. */
#define COMPRESS_RAW_MAX 0x7e000000u
#define COMPRESS_RATIO_MAX 255u

/* Compresses into at most `capacity` bytes at `to`; returns how many, or 0 if
 * it does not fit. */
size_t compress(const void *from, size_t len, void *to, size_t capacity);

/* Restores exactly `raw_len` bytes at `to`.  -EUCLEAN: these bytes do not give
 * so many; nothing outside `to` is touched, whatever they hold. */
int decompress(const void *from, size_t len, void *to, size_t raw_len);

#endif
