/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - bytes that grow, for whatever is encoded.
 *
 * Keeps its first error: when memory runs out, the rest of the appends do
 * nothing, and the caller checks `error` once, at its end.  One thread. */
#ifndef STORE_BUF_H
#define STORE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* All zero is an empty buffer. */
struct buf {
	uint8_t *data; /* owned */
	size_t len, capacity;
	int error; /* 0 or -ENOMEM */
};

void buf_init(struct buf *buf);
void buf_fini(struct buf *buf);

/* Empties it, forgets the error, keeps the memory. */
void buf_clear(struct buf *buf);

/* Makes room for `len` more bytes and returns where they go; buf->len does not
 * change.  NULL: no memory, now or earlier. */
uint8_t *buf_reserve(struct buf *buf, size_t len);

/* Makes it hold a copy of `bytes`, which must not lie in it.  0 or -ENOMEM. */
int buf_set(struct buf *buf, struct keyfs_slice bytes);

/* `data` must not lie in the buffer itself. */
void buf_append(struct buf *buf, const void *data, size_t len);
void buf_append_u8(struct buf *buf, uint8_t v);
void buf_append_le32(struct buf *buf, uint32_t v);
void buf_append_le64(struct buf *buf, uint64_t v);
void buf_append_varint(struct buf *buf, uint64_t v);
/* A varint of the length, then the bytes. */
void buf_append_slice(struct buf *buf, struct keyfs_slice slice);

/* What it holds, borrowed until it changes. */
static inline struct keyfs_slice
buf_slice(const struct buf *buf)
{
	return keyfs_bytes(buf->data, buf->len);
}

#endif
