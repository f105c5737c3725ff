/* SPDX-License-Identifier: Apache-2.0 */
/* table_builder.c - writes a table from front to back; see table_builder.h, and
 * table_format.h for the bytes.
 *
 * A data block's separator needs the first key of the next block, so a closed
 * block waits for it: `boundary` holds its last key until the next entry comes.
 * Bytes go to the file in large steps. */
#include <config.h>

#include "store/table_builder.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/block_builder.h"
#include "store/bloom.h"
#include "store/compress.h"
#include "store/table_format.h"
#include "store/table_index.h"

enum { WRITE_BYTES = 256 << 10 };

struct table_builder {
	struct env_file *file; /* borrowed */
	uint64_t number;
	struct table_options options;
	int error; /* the first */

	struct buf pending; /* not written yet, begins at `written` */
	uint64_t written;

	struct block_builder block;
	uint64_t last_seq;   /* of the last entry */
	uint64_t block_seq;  /* highest in the block */
	struct buf boundary; /* last key of the block closed last */
	uint64_t boundary_offset;
	bool waiting; /* that block is not in the index yet */

	struct table_index_builder index;
	struct buf hashes; /* 8 bytes a distinct key, for the filter */
	struct buf smallest;
	struct buf block_seqs; /* le64 a block: its highest */
	struct table_properties properties;
};

int
table_builder_new(struct env_file *file, uint64_t number,
		  const struct table_options *options,
		  struct table_builder **out)
{
	struct table_builder *b = calloc(1, sizeof(*b));
	uint8_t header[TABLE_HEADER_BYTES];

	if (!b)
		return -ENOMEM;
	b->file = file;
	b->number = number;
	b->options = *options;
	b->properties.min_seq = UINT64_MAX;
	table_header_encode(number, header);
	buf_append(&b->pending, header, sizeof(header));
	*out = b;
	return 0;
}

void
table_builder_free(struct table_builder *b)
{
	if (!b)
		return;
	buf_fini(&b->pending);
	block_builder_fini(&b->block);
	buf_fini(&b->boundary);
	table_index_builder_fini(&b->index);
	buf_fini(&b->hashes);
	buf_fini(&b->smallest);
	buf_fini(&b->block_seqs);
	free(b);
}

static void
builder_fail(struct table_builder *b, int error)
{
	if (!b->error)
		b->error = error;
}

/* ---- Writing ---- */

static uint64_t
builder_offset(const struct table_builder *b)
{
	return b->written + b->pending.len;
}

static void
builder_write(struct table_builder *b)
{
	int r = b->pending.error;

	if (b->error)
		return;
	if (!r)
		r = env_file_write(b->file, b->written, b->pending.data,
				   b->pending.len);
	if (r < 0) {
		builder_fail(b, r);
		return;
	}
	b->written += b->pending.len;
	buf_clear(&b->pending);
}

/* Appends the block compressed, if that saves an eighth. */
static bool
builder_compress(struct table_builder *b, struct keyfs_slice raw)
{
	size_t most = raw.len - raw.len / 8, n;
	uint8_t *to;

	if (most <= 4 || !(to = buf_reserve(&b->pending, most)))
		return false;
	n = compress(raw.data, raw.len, to + 4, most - 4);
	if (n == 0)
		return false;
	put_le32(to, (uint32_t)raw.len);
	b->pending.len += 4 + n;
	return true;
}

/* Appends a block with its trailer; returns its offset. */
static uint64_t
builder_append(struct table_builder *b, struct keyfs_slice raw, bool compressed)
{
	enum table_block_type type = TABLE_BLOCK_LZ4;
	uint64_t offset = builder_offset(b);
	size_t begin = b->pending.len;

	if (!compressed || !builder_compress(b, raw)) {
		type = TABLE_BLOCK_RAW;
		buf_append(&b->pending, raw.data, raw.len);
	}
	table_trailer_append(&b->pending, begin, type, b->number, offset);
	if (b->pending.len >= WRITE_BYTES || b->pending.error)
		builder_write(b);
	return offset;
}

/* ---- Entries ---- */

/* The user key added last; empty at the beginning. */
static struct keyfs_slice
last_key(const struct table_builder *b)
{
	return buf_slice(b->block.entries ? &b->block.last_key : &b->boundary);
}

/* Indexes the block that waits for the key after it. */
static void
builder_index(struct table_builder *b, struct keyfs_slice next)
{
	if (b->waiting)
		table_index_builder_add(&b->index, b->boundary_offset,
					buf_slice(&b->boundary), next);
	b->waiting = false;
}

static void
builder_close_block(struct table_builder *b)
{
	struct keyfs_slice raw;
	int r = block_builder_finish(&b->block, &raw);

	if (r < 0) {
		builder_fail(b, r);
		return;
	}
	buf_clear(&b->boundary);
	buf_append(&b->boundary, b->block.last_key.data, b->block.last_key.len);
	b->boundary_offset = builder_append(b, raw, b->options.compress);
	b->waiting = true;
	b->properties.blocks++;
	buf_append_le64(&b->block_seqs, b->block_seq);
	b->block_seq = 0;
	block_builder_clear(&b->block);
	if (b->boundary.error)
		builder_fail(b, b->boundary.error);
}

/* Counts an entry, and its key if it is another than the last. */
static void
builder_count(struct table_builder *b, const struct entry *entry)
{
	struct table_properties *p = &b->properties;
	uint64_t hash;

	if (p->entries == 0)
		buf_append(&b->smallest, entry->key.data, entry->key.len);
	if (p->entries == 0 || !key_equal(last_key(b), entry->key)) {
		p->keys++;
		if (b->options.bloom_bits) {
			hash = bloom_hash(entry->key);
			buf_append(&b->hashes, &hash, sizeof(hash));
		}
	}
	p->entries++;
	p->tombstones += entry->kind == ENTRY_DELETE;
	p->raw_bytes += entry->key.len + entry->value.len;
	if (entry->seq < p->min_seq)
		p->min_seq = entry->seq;
	if (entry->seq > p->max_seq)
		p->max_seq = entry->seq;
}

void
table_builder_add(struct table_builder *b, const struct entry *entry)
{
	if (b->error)
		return;
	if (entry->key.len == 0 || entry->key.len > KEYFS_KEY_MAX ||
	    entry->value.len > KEYFS_VALUE_MAX || entry->seq > SEQ_MAX) {
		builder_fail(b, -EINVAL);
		return;
	}
	assert(b->properties.entries == 0 ||
	       version_compare(last_key(b), b->last_seq, entry->key,
			       entry->seq) < 0);
	builder_count(b, entry);
	builder_index(b, entry->key);
	block_builder_add(&b->block, entry);
	b->last_seq = entry->seq;
	if (entry->seq > b->block_seq)
		b->block_seq = entry->seq;
	if (block_builder_bytes(&b->block) >= b->options.block_bytes)
		builder_close_block(b);
}

uint64_t
table_builder_bytes(const struct table_builder *b)
{
	return builder_offset(b) +
	       (b->block.entries ? block_builder_bytes(&b->block) : 0);
}

uint64_t
table_builder_entries(const struct table_builder *b)
{
	return b->properties.entries;
}

/* ---- The end ---- */

static uint64_t
builder_append_filter(struct table_builder *b)
{
	uint32_t probes = bloom_probes(b->options.bloom_bits);
	size_t bytes = bloom_bytes(b->properties.keys, b->options.bloom_bits);
	struct buf filter = { .len = 0 };
	uint64_t offset = builder_offset(b), hash;
	uint8_t *lines;
	size_t i;

	if (bytes == 0)
		return offset;
	lines = buf_reserve(&filter, bytes + 4);
	if (lines && !b->hashes.error) {
		memset(lines, 0, bytes);
		for (i = 0; i < b->hashes.len; i += sizeof(hash)) {
			memcpy(&hash, b->hashes.data + i, sizeof(hash));
			bloom_add(lines, bytes, probes, hash);
		}
		filter.len = bytes;
		buf_append_le32(&filter, probes);
		builder_append(b, buf_slice(&filter), false);
	} else {
		builder_fail(b, -ENOMEM);
	}
	buf_fini(&filter);
	return offset;
}

static uint64_t
builder_append_index(struct table_builder *b)
{
	struct buf index = { .len = 0 };
	uint64_t offset = builder_offset(b);

	table_index_builder_finish(&b->index, &index);
	if (index.error)
		builder_fail(b, index.error);
	else
		builder_append(b, buf_slice(&index), b->options.compress);
	buf_fini(&index);
	return offset;
}

static void
builder_ages(const struct table_builder *b, struct buf *out)
{
	size_t i;

	for (i = 0; i < b->block_seqs.len; i += 8)
		buf_append_varint(out,
				  b->properties.max_seq -
					  get_le64(b->block_seqs.data + i));
	if (b->block_seqs.error)
		out->error = -ENOMEM;
}

static uint64_t
builder_append_properties(struct table_builder *b)
{
	struct buf properties = { .len = 0 }, ages = { .len = 0 };
	uint64_t offset = builder_offset(b);

	b->properties.smallest = buf_slice(&b->smallest);
	b->properties.largest = buf_slice(&b->boundary);
	builder_ages(b, &ages);
	b->properties.block_ages = buf_slice(&ages);
	table_properties_encode(&b->properties, &properties);
	if (properties.error || b->smallest.error || ages.error)
		builder_fail(b, -ENOMEM);
	else
		builder_append(b, buf_slice(&properties), false);
	buf_fini(&properties);
	buf_fini(&ages);
	return offset;
}

static void
builder_append_tail(struct table_builder *b)
{
	struct table_footer footer;
	uint8_t bytes[TABLE_FOOTER_BYTES];

	footer.filter_offset = builder_append_filter(b);
	footer.index_offset = builder_append_index(b);
	footer.properties_offset = builder_append_properties(b);
	table_footer_encode(&footer, b->number, builder_offset(b), bytes);
	buf_append(&b->pending, bytes, sizeof(bytes));
	builder_write(b);
}

int
table_builder_finish(struct table_builder *b, struct table_info *out)
{
	const struct table_properties *p = &b->properties;

	if (p->entries == 0)
		builder_fail(b, -EINVAL);
	if (!b->error && b->block.entries)
		builder_close_block(b);
	if (b->error)
		return b->error;
	builder_index(b, keyfs_bytes(NULL, 0));
	builder_append_tail(b);
	if (!b->error)
		builder_fail(b, env_file_sync(b->file));
	if (b->error)
		return b->error;
	*out = (struct table_info){
		.file_bytes = b->written,
		.entries = p->entries,
		.tombstones = p->tombstones,
		.raw_bytes = p->raw_bytes,
		.min_seq = p->min_seq,
		.max_seq = p->max_seq,
		.smallest = p->smallest,
		.largest = p->largest,
	};
	return 0;
}
