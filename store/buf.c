/* SPDX-License-Identifier: Apache-2.0 */
/* buf.c - growing bytes; see buf.h. */
#include <config.h>

#include "store/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/coding.h"

enum { FIRST_BYTES = 64 };

void
buf_init(struct buf *buf)
{
	memset(buf, 0, sizeof(*buf));
}

void
buf_fini(struct buf *buf)
{
	free(buf->data);
	buf_init(buf);
}

void
buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->error = 0;
}

/* Doubles, so that n appended bytes are copied fewer than 2 n times. */
static int
buf_grow(struct buf *buf, size_t len)
{
	size_t need = buf->len + len, capacity = buf->capacity;
	uint8_t *data;

	if (need < len)
		return -ENOMEM;
	if (capacity < FIRST_BYTES)
		capacity = FIRST_BYTES;
	while (capacity < need)
		capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
	data = realloc(buf->data, capacity);
	if (!data)
		return -ENOMEM;
	buf->data = data;
	buf->capacity = capacity;
	return 0;
}

uint8_t *
buf_reserve(struct buf *buf, size_t len)
{
	if (buf->error)
		return NULL;
	if (len > buf->capacity - buf->len || !buf->data) {
		buf->error = buf_grow(buf, len);
		if (buf->error)
			return NULL;
	}
	return buf->data + buf->len;
}

int
buf_set(struct buf *buf, struct keyfs_slice bytes)
{
	buf_clear(buf);
	buf_append(buf, bytes.data, bytes.len);
	return buf->error;
}

void
buf_append(struct buf *buf, const void *data, size_t len)
{
	uint8_t *to = buf_reserve(buf, len);

	if (!to || !len)
		return;
	memcpy(to, data, len);
	buf->len += len;
}

void
buf_append_u8(struct buf *buf, uint8_t v)
{
	buf_append(buf, &v, 1);
}

void
buf_append_le32(struct buf *buf, uint32_t v)
{
	uint8_t *to = buf_reserve(buf, 4);

	if (!to)
		return;
	put_le32(to, v);
	buf->len += 4;
}

void
buf_append_le64(struct buf *buf, uint64_t v)
{
	uint8_t *to = buf_reserve(buf, 8);

	if (!to)
		return;
	put_le64(to, v);
	buf->len += 8;
}

void
buf_append_varint(struct buf *buf, uint64_t v)
{
	uint8_t *to = buf_reserve(buf, VARINT64_MAX);

	if (!to)
		return;
	buf->len += (size_t)(put_varint(to, v) - to);
}

void
buf_append_slice(struct buf *buf, struct keyfs_slice slice)
{
	buf_append_varint(buf, slice.len);
	buf_append(buf, slice.data, slice.len);
}
