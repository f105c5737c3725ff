/* SPDX-License-Identifier: Apache-2.0 */
/* table_load.c - brings the parts of a table into the cache; see
 * table_impl.h. */
#include <config.h>

#include "store/table_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_BYTES = 64,
	/* What the cache and malloc keep for each entry, charged with it. */
	ENTRY_BYTES = 96,
	/* A stored block of usual size is read to the stack. */
	STACK_BYTES = 8 << 10,
};

/* ---- The guide ---- */

void
table_guide_free(void *object)
{
	struct table_guide *guide = object;

	if (!guide)
		return;
	table_index_fini(&guide->index);
	free(guide->index_bytes);
	free(guide->filter);
	free(guide);
}

static size_t
guide_bytes(const struct table_guide *guide, size_t index_bytes)
{
	return sizeof(*guide) + guide->filter_bytes + index_bytes +
	       guide->index.count * sizeof(*guide->index.heads) + ENTRY_BYTES;
}

/* The filter is aligned, so that each key's line is one line of the cache. */
static int
guide_set_filter(struct table_guide *guide, const struct table_file *file,
		 const uint8_t *bytes, const char **why)
{
	uint64_t offset = file->footer.filter_offset;
	size_t len = file->footer.index_offset - offset;
	struct table_stored stored;

	if (len == 0)
		return 0;
	*why = table_stored_decode(bytes, len, file->number, offset, len,
				   &stored);
	if (*why)
		return -EUCLEAN;
	if (stored.compressed || stored.len % LINE_BYTES != 4) {
		*why = "filter of an impossible length";
		return -EUCLEAN;
	}
	guide->filter_bytes = stored.len - 4;
	guide->probes = get_le32(stored.data + guide->filter_bytes);
	guide->filter = aligned_alloc(LINE_BYTES, guide->filter_bytes);
	if (!guide->filter)
		return -ENOMEM;
	memcpy(guide->filter, stored.data, guide->filter_bytes);
	return 0;
}

static int
guide_set_index(struct table_guide *guide, const struct table_file *file,
		const uint8_t *bytes, size_t *out_len, const char **why)
{
	uint64_t offset = file->footer.index_offset;
	size_t len = file->footer.properties_offset - offset;
	struct table_stored stored;

	*why = table_stored_decode(bytes, len, file->number, offset, UINT32_MAX,
				   &stored);
	if (*why)
		return -EUCLEAN;
	guide->index_bytes = malloc(stored.raw_len ? stored.raw_len : 1);
	if (!guide->index_bytes)
		return -ENOMEM;
	*why = table_stored_unpack(&stored, guide->index_bytes);
	if (*why)
		return -EUCLEAN;
	*out_len = stored.raw_len;
	return table_index_open(guide->index_bytes, stored.raw_len,
				TABLE_HEADER_BYTES, file->footer.filter_offset,
				&guide->index, why);
}

/* Both parts lie side by side, so they are one read. */
static int
guide_read(const struct table_file *file, bool nowait,
	   struct table_guide *guide, size_t *out_bytes, const char **why,
	   uint64_t *at)
{
	const struct table_footer *f = &file->footer;
	size_t len = f->properties_offset - f->filter_offset;
	size_t filter_len = f->index_offset - f->filter_offset, index_len = 0;
	uint8_t *bytes = malloc(len ? len : 1);
	int r;

	if (!bytes)
		return -ENOMEM;
	*at = f->filter_offset;
	r = table_file_read(file, *at, len, nowait, bytes, why);
	if (r == 0)
		r = guide_set_filter(guide, file, bytes, why);
	if (r == 0) {
		*at = f->index_offset;
		r = guide_set_index(guide, file, bytes + filter_len, &index_len,
				    why);
	}
	free(bytes);
	*out_bytes = guide_bytes(guide, index_len);
	return r;
}

int
table_guide_load_index(const struct table_file *file, struct table_guide **out,
		       const char **why, uint64_t *at)
{
	const struct table_footer *f = &file->footer;
	size_t len = f->properties_offset - f->index_offset, index_len;
	struct table_guide *guide = calloc(1, sizeof(*guide));
	uint8_t *bytes = malloc(len);
	int r = guide && bytes ? 0 : -ENOMEM;

	*at = f->index_offset;
	if (r == 0)
		r = table_file_read(file, *at, len, false, bytes, why);
	if (r == 0)
		r = guide_set_index(guide, file, bytes, &index_len, why);
	free(bytes);
	if (r < 0) {
		table_guide_free(guide);
		return r;
	}
	*out = guide;
	return 0;
}

int
table_properties_load(const struct table_file *file, struct buf *bytes,
		      struct table_properties *out, const char **why)
{
	uint64_t offset = file->footer.properties_offset;
	size_t len = file->footer_offset - offset;
	struct table_stored stored;
	int r;

	buf_clear(bytes);
	if (!buf_reserve(bytes, len))
		return -ENOMEM;
	r = table_file_read(file, offset, len, false, bytes->data, why);
	if (r < 0)
		return r;
	*why = table_stored_decode(bytes->data, len, file->number, offset, len,
				   &stored);
	if (!*why && stored.compressed)
		*why = "properties of an unknown type";
	if (!*why)
		*why = table_properties_decode(stored.data, stored.len, out);
	return *why ? -EUCLEAN : 0;
}

static int
guide_load(const struct table_file *file, bool nowait, struct table_guide **out,
	   size_t *out_bytes, const char **why, uint64_t *at)
{
	struct table_guide *guide = calloc(1, sizeof(*guide));
	int r;

	if (!guide)
		return -ENOMEM;
	r = guide_read(file, nowait, guide, out_bytes, why, at);
	if (r < 0) {
		table_guide_free(guide);
		return r;
	}
	*out = guide;
	return 0;
}

int
table_guide_load(const struct table_file *file, bool nowait,
		 struct table_guide **out, const char **why, uint64_t *at)
{
	size_t bytes;

	return guide_load(file, nowait, out, &bytes, why, at);
}

/* The guide's place in the cache: no data block begins at the index. */
bool
table_guide_repin(struct table *table, struct cache_ref *out)
{
	/* Acquire: pairs with the release in table_guide_pin(). */
	return cache_repin(atomic_load_explicit(&table->guide_handle,
						memory_order_acquire),
			   table->file.number, table->file.footer.index_offset,
			   out);
}

int
table_guide_pin(struct table *table, bool nowait, struct cache_ref *out)
{
	const struct table_file *file = &table->file;
	struct table_guide *guide;
	const char *why;
	uint64_t at;
	size_t bytes;
	int r;

	if (table_guide_repin(table, out))
		return 0;
	r = guide_load(file, nowait, &guide, &bytes, &why, &at);
	if (r == -EUCLEAN)
		return table_file_corrupt(file, at, why);
	if (r < 0)
		return r;
	cache_insert(table->cache, file->number, file->footer.index_offset,
		     guide, bytes, table_guide_free, out);
	if (!out->handle)
		return -ENOMEM;
	/* A stale handle costs a load and nothing else.  Release: whoever follows it
	 * without a lock finds the handle's memory made. */
	atomic_store_explicit(&table->guide_handle, out->handle,
			      memory_order_release);
	return 0;
}

/* ---- Data blocks ---- */

static int
block_unpack(const struct table_file *file, uint64_t offset,
	     const uint8_t *bytes, size_t len, struct table_block **out,
	     size_t *out_bytes, const char **why)
{
	struct table_stored stored;
	struct table_block *block;

	*why = table_stored_decode(bytes, len, file->number, offset,
				   TABLE_BLOCK_MAX, &stored);
	if (*why)
		return -EUCLEAN;
	block = malloc(sizeof(*block) + stored.raw_len);
	if (!block)
		return -ENOMEM;
	*why = table_stored_unpack(&stored, block->bytes);
	if (!*why &&
	    block_open(block->bytes, stored.raw_len, &block->block) < 0)
		*why = "block with an impossible tail";
	if (*why) {
		free(block);
		return -EUCLEAN;
	}
	*out = block;
	*out_bytes = sizeof(*block) + stored.raw_len + ENTRY_BYTES;
	return 0;
}

static int
block_load(const struct table_file *file, uint64_t offset, size_t len,
	   bool nowait, struct table_block **out, size_t *out_bytes,
	   const char **why)
{
	uint8_t stack[STACK_BYTES], *bytes = stack;
	int r;

	if (len > sizeof(stack)) {
		bytes = malloc(len);
		if (!bytes)
			return -ENOMEM;
	}
	r = table_file_read(file, offset, len, nowait, bytes, why);
	if (r == 0)
		r = block_unpack(file, offset, bytes, len, out, out_bytes, why);
	if (bytes != stack)
		free(bytes);
	return r;
}

int
table_block_pin(struct table *table, uint64_t offset, size_t len, bool nowait,
		struct cache_ref *out)
{
	const struct table_file *file = &table->file;
	struct table_block *block;
	const char *why;
	size_t bytes;
	int r;

	if (cache_lookup(table->cache, file->number, offset, out))
		return 0;
	r = block_load(file, offset, len, nowait, &block, &bytes, &why);
	if (r == -EUCLEAN)
		return table_file_corrupt(file, offset, why);
	if (r < 0)
		return r;
	cache_insert(table->cache, file->number, offset, block, bytes, free,
		     out);
	return out->handle ? 0 : -ENOMEM;
}
