/* SPDX-License-Identifier: Apache-2.0 */
/* block_builder.c - encodes entries; see block_builder.h. */
#include <config.h>

#include "store/block_builder.h"

#include "store/block.h"
#include "store/coding.h"

void
block_builder_fini(struct block_builder *b)
{
	buf_fini(&b->out);
	buf_fini(&b->restarts);
	buf_fini(&b->last_key);
}

void
block_builder_clear(struct block_builder *b)
{
	buf_clear(&b->out);
	buf_clear(&b->restarts);
	buf_clear(&b->last_key);
	b->entries = 0;
	b->since_restart = 0;
}

/* How much of the key is left to the entry before; nothing at a restart. */
static size_t
key_shared(struct block_builder *b, struct keyfs_slice key)
{
	size_t n = b->last_key.len < key.len ? b->last_key.len : key.len;

	if (b->since_restart < BLOCK_RESTART_EVERY && b->entries > 0) {
		b->since_restart++;
		return bytes_shared(b->last_key.data, key.data, n);
	}
	b->since_restart = 1;
	buf_append_le32(&b->restarts, (uint32_t)b->out.len);
	return 0;
}

void
block_builder_add(struct block_builder *b, const struct entry *entry)
{
	const uint8_t *key = entry->key.data;
	size_t shared = key_shared(b, entry->key);
	uint8_t tag[VARINT64_MAX];
	size_t tag_len;

	if (b->entries++ == 0)
		b->base_seq = entry->seq;
	tag_len = (size_t)(put_varint(tag, zigzag(entry->seq - b->base_seq)
							   << BLOCK_KIND_BITS |
						   (uint64_t)entry->kind) -
			   tag);
	buf_append_varint(&b->out, shared);
	buf_append_varint(&b->out, entry->key.len - shared);
	buf_append_varint(&b->out, tag_len + entry->value.len);
	buf_append(&b->out, key + shared, entry->key.len - shared);
	buf_append(&b->out, tag, tag_len);
	buf_append(&b->out, entry->value.data, entry->value.len);

	b->last_key.len = shared;
	buf_append(&b->last_key, key + shared, entry->key.len - shared);
}

size_t
block_builder_bytes(const struct block_builder *b)
{
	return b->out.len + b->restarts.len + BLOCK_TAIL_BYTES;
}

int
block_builder_finish(struct block_builder *b, struct keyfs_slice *out)
{
	buf_append(&b->out, b->restarts.data, b->restarts.len);
	buf_append_le64(&b->out, b->base_seq);
	buf_append_le32(&b->out, (uint32_t)(b->restarts.len / 4));
	if (b->restarts.error)
		return b->restarts.error;
	if (b->last_key.error)
		return b->last_key.error;
	if (b->out.error)
		return b->out.error;
	*out = buf_slice(&b->out);
	return 0;
}
