/* SPDX-License-Identifier: Apache-2.0 */
/* table_index.c - a table's index, made and searched; see table_index.h. */
#include <config.h>

#include "store/table_index.h"

#include <errno.h>
#include <stdlib.h>

#include "store/key.h"

enum { HEAD_BYTES = 8, NUMBERS_BYTES = 8 + 4 }; /* per block: offset, key end */

/* ---- Searching ---- */

/* The eight bytes of a key behind the common ones.  Zeros for those that it
 * lacks keep the order; keys that differ in such zeros only have equal
 * heads. */
static uint64_t
key_head(struct keyfs_slice key, size_t common)
{
	uint8_t bytes[HEAD_BYTES] = { 0 };
	size_t len = key.len - common;

	if (len >= HEAD_BYTES)
		return get_be64((const uint8_t *)key.data + common);
	memcpy(bytes, (const uint8_t *)key.data + common, len);
	return get_be64(bytes);
}

struct keyfs_slice
table_index_key(const struct table_index *index, uint32_t i)
{
	uint32_t begin = i ? get_le32(index->ends + 4 * (size_t)(i - 1)) : 0;
	uint32_t end = get_le32(index->ends + 4 * (size_t)i);

	return keyfs_bytes(index->keys + begin, end - begin);
}

uint32_t
table_index_find(const struct table_index *index, struct keyfs_slice key)
{
	uint32_t low = 0, high = index->count;
	size_t n = key.len < index->common ? key.len : index->common;
	uint64_t head;
	int r = n ? memcmp(key.data, index->keys, n) : 0;

	if (r < 0 || (r == 0 && key.len < index->common))
		return 0;
	if (r > 0)
		return index->count;
	head = key_head(key, index->common);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint64_t other = index->heads[middle];

		if (other < head ||
		    (other == head &&
		     key_compare(table_index_key(index, middle), key) < 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- Opening ---- */

/* Checks that the blocks fill the data, one behind the other. */
static const char *
index_check_offsets(const struct table_index *index, uint64_t data_begin)
{
	uint64_t last = data_begin;
	uint32_t i;

	if (table_index_offset(index, 0) != data_begin)
		return "index does not begin with the first block";
	for (i = 1; i <= index->count; i++) {
		uint64_t offset = table_index_offset(index, i);

		if (offset <= last || offset > index->data_end)
			return "index with impossible offsets";
		last = offset;
	}
	return NULL;
}

static const char *
index_check_keys(const struct table_index *index, size_t key_bytes)
{
	uint32_t last = 0, i;

	for (i = 0; i < index->count; i++) {
		uint32_t end = get_le32(index->ends + 4 * (size_t)i);

		if (end <= last || end > key_bytes ||
		    end - last > KEYFS_KEY_MAX)
			return "index with impossible separators";
		last = end;
		if (i > 0 && key_compare(table_index_key(index, i - 1),
					 table_index_key(index, i)) > 0)
			return "index with separators out of order";
	}
	return last == key_bytes ? NULL : "index with bytes left over";
}

static int
index_make_heads(struct table_index *index)
{
	struct keyfs_slice first = table_index_key(index, 0);
	struct keyfs_slice last = table_index_key(index, index->count - 1);
	uint32_t i;

	index->heads = malloc(index->count * sizeof(*index->heads));
	if (!index->heads)
		return -ENOMEM;
	/* Sorted: what the ends have in common, all have. */
	index->common = (uint32_t)bytes_shared(first.data, last.data,
					       first.len < last.len ? first.len
								    : last.len);
	for (i = 0; i < index->count; i++)
		index->heads[i] =
			key_head(table_index_key(index, i), index->common);
	return 0;
}

int
table_index_open(const uint8_t *bytes, size_t len, uint64_t data_begin,
		 uint64_t data_end, struct table_index *out, const char **why)
{
	struct table_index index = { .data_end = data_end };
	size_t numbers;
	int r;

	if (len < 8 || len > UINT32_MAX) {
		*why = "index of an impossible length";
		return -EUCLEAN;
	}
	index.count = get_le32(bytes);
	numbers = (size_t)index.count * NUMBERS_BYTES;
	if (index.count == 0 || get_le32(bytes + 4) != 0 || numbers > len - 8) {
		*why = "index of an impossible length";
		return -EUCLEAN;
	}
	index.offsets = bytes + 8;
	index.ends = index.offsets + 8 * (size_t)index.count;
	index.keys = bytes + 8 + numbers;
	*why = index_check_offsets(&index, data_begin);
	if (!*why)
		*why = index_check_keys(&index, len - 8 - numbers);
	if (*why)
		return -EUCLEAN;
	r = index_make_heads(&index);
	if (r < 0)
		return r;
	*out = index;
	return 0;
}

void
table_index_fini(struct table_index *index)
{
	free(index->heads);
	index->heads = NULL;
}

/* ---- Building ---- */

void
table_index_builder_fini(struct table_index_builder *b)
{
	buf_fini(&b->offsets);
	buf_fini(&b->ends);
	buf_fini(&b->keys);
}

/* Appends a short key s, last <= s < next:
 *
 *	last    next    s
 *	abcdef  abf     abd       the first byte that differs, plus one
 *	abcdef  abdgh   abd       or, if that is next's, as much of next
 *	abcdef  abd     abce      or the first byte behind it that can be raised
 *	abc     abcd    abc
 */
static void
separator_append(struct buf *out, struct keyfs_slice last,
		 struct keyfs_slice next)
{
	const uint8_t *x = last.data, *y = next.data;
	size_t n = last.len < next.len ? last.len : next.len;
	size_t at = bytes_shared(x, y, n);

	if (at < last.len && x[at] + 1 == y[at]) {
		if (next.len > at + 1) {
			buf_append(out, y, at + 1);
			return;
		}
		do
			at++;
		while (at < last.len && x[at] == 0xff);
	}
	buf_append(out, x, at);
	if (at < last.len)
		buf_append_u8(out, (uint8_t)(x[at] + 1));
}

void
table_index_builder_add(struct table_index_builder *b, uint64_t offset,
			struct keyfs_slice last, struct keyfs_slice next)
{
	buf_append_le64(&b->offsets, offset);
	if (next.data)
		separator_append(&b->keys, last, next);
	else
		buf_append(&b->keys, last.data, last.len);
	buf_append_le32(&b->ends, (uint32_t)b->keys.len);
}

void
table_index_builder_finish(const struct table_index_builder *b, struct buf *out)
{
	buf_append_le32(out, (uint32_t)(b->ends.len / 4));
	buf_append_le32(out, 0);
	buf_append(out, b->offsets.data, b->offsets.len);
	buf_append(out, b->ends.data, b->ends.len);
	buf_append(out, b->keys.data, b->keys.len);
	if (b->offsets.error || b->ends.error || b->keys.error)
		out->error = -ENOMEM;
}
