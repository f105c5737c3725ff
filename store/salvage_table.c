/* SPDX-License-Identifier: Apache-2.0 */
/* salvage_table.c - the good blocks of a table, whatever else of it is damaged; see
 * salvage.h. */
#include <config.h>

#include "store/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/block.h"
#include "store/options.h"
#include "store/table_index.h"
#include "store/table_meta.h"

/* Without an index: the longest block looked for, and how many bytes may be hashed in
 * the search for where blocks begin and end before the rest is given up. */
#define SCAN_BLOCK_MAX (UINT64_C(256) << 10)
#define SCAN_HASH_MAX (UINT64_C(8) << 30)

struct survey {
	struct keyfs_salvage *salvage;
	struct salvage_table *table;
	const struct salvage_table_hint *hint;
	struct table_footer footer;
	uint64_t footer_offset;
	bool has_footer;
	struct buf stored, raw;
	/* The last key of the last good block; empty: none. */
	struct buf last_key;
};

/* ---- Reading ---- */

/* Reads a piece of the file; *why: it is not all there. */
static int
read_piece(const struct salvage_table *table, uint64_t offset, size_t len,
	   struct buf *out, const char **why)
{
	size_t got;
	int r;

	*why = NULL;
	buf_clear(out);
	if (!buf_reserve(out, len ? len : 1))
		return -ENOMEM;
	r = env_file_read(table->file, offset, out->data, len, false, &got);
	/* A sector that the disk cannot read is damage like any other. */
	if (r == -EIO)
		*why = "the disk cannot read it";
	else if (r == 0 && got < len)
		*why = "the file ends early";
	if (r < 0 && r != -EIO)
		return r;
	out->len = len;
	return 0;
}

/* Unpacks a block that is in memory and checks its entries. */
static const char *
unpack(const uint8_t *bytes, size_t len, uint64_t number, uint64_t offset,
       struct buf *raw, struct block *out, int *error)
{
	struct table_stored stored;
	const char *why = table_stored_decode(bytes, len, number, offset,
					      TABLE_BLOCK_MAX, &stored);

	*error = 0;
	if (why)
		return why;
	buf_clear(raw);
	if (!buf_reserve(raw, stored.raw_len ? stored.raw_len : 1)) {
		*error = -ENOMEM;
		return NULL;
	}
	why = table_stored_unpack(&stored, raw->data);
	if (why)
		return why;
	if (block_open(raw->data, stored.raw_len, out) < 0)
		return "block with an impossible tail";
	*error = block_check(out);
	if (*error != -EUCLEAN)
		return NULL;
	*error = 0;
	return "entry cannot be decoded";
}

static int
load_block(const struct salvage_table *table, const struct salvage_block *at,
	   struct buf *stored, struct buf *raw, struct block *out,
	   const char **why)
{
	int r = read_piece(table, at->offset, at->len, stored, why);

	if (r < 0 || *why)
		return r;
	*why = unpack(stored->data, at->len, table->number, at->offset, raw,
		      out, &r);
	return r;
}

/* ---- Noting ---- */

/* Notes that the keys between two are lost; empty: those of the table, if known. */
static int
lose_keys(struct survey *s, uint64_t offset, const char *why,
	  struct keyfs_slice lower, struct keyfs_slice upper)
{
	const struct salvage_table_hint *hint = s->hint;
	const struct salvage_keys keys = {
		.lower = lower.len ? lower : hint->smallest,
		.upper = upper.len ? upper : hint->largest,
		.max_seq = hint->max_seq ? hint->max_seq : SEQ_MAX,
	};

	return salvage_lose(s->salvage, s->table->name, offset, why, &keys);
}

/* The same, without a bound. */
static int
lose_all_keys(struct survey *s, uint64_t offset, const char *why)
{
	const struct keyfs_slice none = { 0 };

	return lose_keys(s, offset, why, none, none);
}

/* Notes damage that no key lies in. */
static int
lose_part(struct survey *s, uint64_t offset, const char *why)
{
	return salvage_lose(s->salvage, s->table->name, offset, why, NULL);
}

static int
keep_block(struct salvage_table *t, uint64_t offset, size_t len)
{
	if (t->count == t->capacity) {
		size_t capacity = t->capacity * 2 + 16;
		struct salvage_block *blocks =
			realloc(t->blocks, capacity * sizeof(*blocks));

		if (!blocks)
			return -ENOMEM;
		t->blocks = blocks;
		t->capacity = capacity;
	}
	t->blocks[t->count++] = (struct salvage_block){ offset, (uint32_t)len };
	return 0;
}

/* ---- With an index ---- */

static int
survey_block(struct survey *s, const struct table_index *index, uint32_t i)
{
	uint64_t offset = table_index_offset(index, i);
	struct salvage_block at = {
		offset, (uint32_t)(table_index_offset(index, i + 1) - offset)
	};
	struct keyfs_slice none = { 0 };
	struct block block;
	const char *why;
	int r = load_block(s->table, &at, &s->stored, &s->raw, &block, &why);

	if (r < 0)
		return r;
	if (!why)
		return keep_block(s->table, at.offset, at.len);
	return lose_keys(s, offset, why,
			 i ? table_index_key(index, i - 1) : none,
			 i + 1 < index->count ? table_index_key(index, i)
					      : none);
}

/* 1: there is no index to believe. */
static int
survey_by_index(struct survey *s)
{
	uint64_t offset = s->footer.index_offset;
	size_t len = s->footer.properties_offset - offset;
	struct table_index index = { .count = 0 };
	struct table_stored stored;
	struct buf piece = { .len = 0 }, raw = { .len = 0 };
	const char *why;
	uint32_t i;
	int r = read_piece(s->table, offset, len, &piece, &why);

	if (r == 0 && !why)
		why = table_stored_decode(piece.data, len, s->table->number,
					  offset, UINT32_MAX, &stored);
	if (r == 0 && !why) {
		if (!buf_reserve(&raw, stored.raw_len ? stored.raw_len : 1))
			r = -ENOMEM;
		else
			why = table_stored_unpack(&stored, raw.data);
	}
	if (r == 0 && !why)
		r = table_index_open(raw.data, stored.raw_len,
				     TABLE_HEADER_BYTES,
				     s->footer.filter_offset, &index, &why);
	if (r == -EUCLEAN || (r == 0 && why)) {
		r = lose_part(s, offset, why);
		r = r ? r : 1;
	}
	for (i = 0; i < index.count && r == 0; i++)
		r = survey_block(s, &index, i);
	table_index_fini(&index);
	buf_fini(&piece);
	buf_fini(&raw);
	return r;
}

/* ---- Without one ---- */

/* Whether a block may begin there: a raw one begins with a restart, which shares no
 * bytes, a compressed one with its raw length. */
static bool
may_begin(const uint8_t *at, uint64_t left)
{
	return left > TABLE_TRAILER_BYTES + BLOCK_TAIL_BYTES &&
	       (at[0] == 0 || (at[3] == 0 && at[2] < 0x20));
}

/* The length of the block that begins at `at`, 0: none does.  A block ends where its
 * type and a checksum over all before it fit. */
static size_t
find_end(struct survey *s, const uint8_t *bytes, uint64_t at, uint64_t end,
	 uint64_t *hashed, struct block *out, int *error)
{
	uint64_t most = end - at < SCAN_BLOCK_MAX ? end - at : SCAN_BLOCK_MAX;
	uint64_t len;

	for (len = TABLE_TRAILER_BYTES + BLOCK_TAIL_BYTES; len <= most; len++) {
		if (bytes[at + len - TABLE_TRAILER_BYTES] > TABLE_BLOCK_LZ4)
			continue;
		*hashed += len;
		if (!unpack(bytes + at, len, s->table->number, at, &s->raw, out,
			    error) ||
		    *error)
			return *error ? 0 : len;
		if (*hashed > SCAN_HASH_MAX)
			return 0;
	}
	return 0;
}

/* The bounds of a block; the first key must come after all before it: else these are
 * the bytes of something else. */
static int
block_bounds(const struct block *block, const struct buf *after,
	     struct buf *first, struct buf *last, bool *out_fits)
{
	struct block_iter it = { .iter = { .valid = false } };
	int r;

	block_iter_set(&it, block);
	block_iter_first(&it);
	r = it.iter.valid ? buf_set(first, it.iter.entry.key) : 0;
	*out_fits = it.iter.valid &&
		    (after->len == 0 ||
		     key_compare(buf_slice(after), it.iter.entry.key) <= 0);
	block_iter_last(&it);
	if (r == 0 && it.iter.valid)
		r = buf_set(last, it.iter.entry.key);
	block_iter_fini(&it);
	return r;
}

/* Keeps the block found at `at`; what lies between it and the one before, from `gap`
 * on, is lost. */
static int
keep_found(struct survey *s, uint64_t gap, uint64_t at, size_t len,
	   const struct buf *first, const struct buf *last)
{
	int r = 0;

	if (gap < at)
		r = lose_keys(s, gap, "the block cannot be found",
			      buf_slice(&s->last_key), buf_slice(first));
	if (r == 0)
		r = keep_block(s->table, at, len);
	return r ? r : buf_set(&s->last_key, buf_slice(last));
}

/* Behind the last block stand filter, index and properties, which are blocks of another
 * kind.  Whether data lay there too nobody can tell without them, so it is assumed. */
static int
lose_rest(struct survey *s, uint64_t gap)
{
	if (gap == TABLE_HEADER_BYTES)
		return lose_all_keys(s, gap, "no block can be found");
	return lose_keys(s, gap,
			 "without its index, where the blocks end is not known",
			 buf_slice(&s->last_key), (struct keyfs_slice){ 0 });
}

static int
scan_blocks(struct survey *s, const uint8_t *bytes, uint64_t end)
{
	uint64_t at = TABLE_HEADER_BYTES, gap = at, hashed = 0;
	struct buf first = { .len = 0 }, last = { .len = 0 };
	int r = 0;

	while (at < end && r == 0 && hashed <= SCAN_HASH_MAX) {
		struct block block;
		bool fits = false;
		size_t len = may_begin(bytes + at, end - at)
				     ? find_end(s, bytes, at, end, &hashed,
						&block, &r)
				     : 0;

		if (len)
			r = block_bounds(&block, &s->last_key, &first, &last,
					 &fits);
		if (r || !fits) {
			at++;
			continue;
		}
		r = keep_found(s, gap, at, len, &first, &last);
		at += len;
		gap = at;
	}
	buf_fini(&first);
	buf_fini(&last);
	return r ? r : lose_rest(s, gap);
}

/* The whole file in memory: it is as long as one table. */
static int
survey_by_scan(struct survey *s)
{
	uint64_t end = s->has_footer ? s->footer.filter_offset : s->table->size;
	struct buf all = { .len = 0 };
	const char *why;
	int r;

	if (end > s->table->size)
		end = s->table->size;
	if (end > OPTIONS_TABLE_MAX * 2)
		return lose_all_keys(s, 0, "too long to search for blocks");
	r = read_piece(s->table, 0, end, &all, &why);
	if (r == 0 && why)
		r = lose_all_keys(s, 0, why);
	else if (r == 0)
		r = scan_blocks(s, all.data, end);
	buf_fini(&all);
	return r;
}

/* ---- The parts around the data ---- */

static int
survey_header(struct survey *s)
{
	struct table_header header;
	const char *why;
	int r = read_piece(s->table, 0, TABLE_HEADER_BYTES, &s->stored, &why);

	if (r < 0)
		return r;
	if (!why)
		why = table_header_decode(s->stored.data, s->table->number,
					  &header);
	/* Another version may mean other bytes by the same words. */
	if (!why && (header.version != TABLE_VERSION ||
		     header.features & ~TABLE_FEATURES || header.family))
		return -EPROTONOSUPPORT;
	return why ? lose_part(s, 0, why) : 0;
}

/* The footer stands at the end that the manifest knows, or at that of the file. */
static int
survey_footer(struct survey *s)
{
	uint64_t ends[2] = { s->hint->file_bytes, s->table->size };
	const char *why = "the file is too short";
	uint64_t at = 0;
	size_t i;
	int r = 0;

	for (i = 0; i < 2 && !s->has_footer && r == 0; i++) {
		if (ends[i] < TABLE_BYTES_MIN || ends[i] > s->table->size)
			continue;
		at = ends[i] - TABLE_FOOTER_BYTES;
		r = read_piece(s->table, at, TABLE_FOOTER_BYTES, &s->stored,
			       &why);
		if (r == 0 && !why)
			why = table_footer_decode(s->stored.data,
						  s->table->number, at,
						  &s->footer);
		s->has_footer = r == 0 && !why;
		s->footer_offset = at;
	}
	if (r == 0 && !s->has_footer)
		r = lose_part(s, at, why);
	if (r == 0 && s->hint->file_bytes &&
	    s->hint->file_bytes != s->table->size)
		r = lose_part(s, s->table->size,
			      "the file has another length than it had");
	return r;
}

/* Filter and properties: nothing is lost with them, but they are damaged. */
static int
survey_piece(struct survey *s, uint64_t from, uint64_t to)
{
	struct table_stored stored;
	const char *why;
	int r;

	if (from == to)
		return 0;
	r = read_piece(s->table, from, to - from, &s->stored, &why);
	if (r < 0)
		return r;
	if (!why)
		why = table_stored_decode(s->stored.data, to - from,
					  s->table->number, from, to - from,
					  &stored);
	return why ? lose_part(s, from, why) : 0;
}

static int
survey_all(struct survey *s)
{
	const struct table_footer *f = &s->footer;
	int r = survey_header(s);

	if (r == 0)
		r = survey_footer(s);
	if (r < 0)
		return r;
	r = s->has_footer ? survey_by_index(s) : 1;
	if (r == 1)
		r = survey_by_scan(s);
	if (r == 0 && s->has_footer)
		r = survey_piece(s, f->filter_offset, f->index_offset);
	if (r == 0 && s->has_footer)
		r = survey_piece(s, f->properties_offset, s->footer_offset);
	return r;
}

int
salvage_table_survey(struct keyfs_salvage *salvage,
		     const struct salvage_table_hint *hint,
		     struct salvage_table *out)
{
	struct survey s = { .salvage = salvage, .table = out, .hint = hint };
	int r;

	*out = (struct salvage_table){ .number = hint->number };
	table_file_name(hint->number, out->name);
	r = env_file_open(salvage->dir, out->name, ENV_READ, &out->file);
	if (r == -ENOENT)
		return lose_all_keys(&s, 0, "the table is missing");
	if (r == 0)
		r = env_file_size(out->file, &out->size);
	if (r == 0)
		r = survey_all(&s);
	buf_fini(&s.stored);
	buf_fini(&s.raw);
	buf_fini(&s.last_key);
	return r;
}

void
salvage_table_fini(struct salvage_table *table)
{
	env_file_close(table->file);
	free(table->blocks);
}

/* ---- The cursor ---- */

struct salvage_iter {
	struct iter iter;
	struct salvage_table *table; /* borrowed */
	size_t next;                 /* block */
	struct block_iter inside;
	struct buf stored, raw;
};

static struct salvage_iter *
self(struct iter *iter)
{
	return (struct salvage_iter *)iter;
}

/* Shows where `inside` stands, going on to the blocks behind at its end. */
static void
show(struct salvage_iter *it)
{
	struct block block;
	const char *why;
	int r = it->inside.iter.status;

	while (!it->inside.iter.valid && r == 0 &&
	       it->next < it->table->count) {
		r = load_block(it->table, &it->table->blocks[it->next++],
			       &it->stored, &it->raw, &block, &why);
		/* It was good a moment ago. */
		if (r == 0 && why)
			r = -EUCLEAN;
		if (r < 0)
			break;
		block_iter_set(&it->inside, &block);
		block_iter_first(&it->inside);
		r = it->inside.iter.status;
	}
	it->iter.valid = r == 0 && it->inside.iter.valid;
	it->iter.status = r;
	if (it->iter.valid)
		it->iter.entry = it->inside.iter.entry;
}

static void
iter_to_first(struct iter *iter)
{
	struct salvage_iter *it = self(iter);

	it->next = 0;
	it->inside.iter.valid = false;
	it->inside.iter.status = 0;
	show(it);
}

static void
iter_to_next(struct iter *iter)
{
	block_iter_next(&self(iter)->inside);
	show(self(iter));
}

/* No caller moves any other way. */
static void
iter_refuse(struct iter *iter)
{
	iter->valid = false;
	iter->status = -EOPNOTSUPP;
}

static void
iter_refuse_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	(void)key;
	(void)seq;
	iter_refuse(iter);
}

static void
iter_done(struct iter *iter)
{
	struct salvage_iter *it = self(iter);

	block_iter_fini(&it->inside);
	buf_fini(&it->stored);
	buf_fini(&it->raw);
	free(it);
}

static const struct iter_ops salvage_iter_ops = {
	.first = iter_to_first,
	.last = iter_refuse,
	.seek = iter_refuse_seek,
	.next = iter_to_next,
	.prev = iter_refuse,
	.free = iter_done,
};

int
salvage_table_iter(struct salvage_table *table, struct iter **out)
{
	struct salvage_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	it->iter.ops = &salvage_iter_ops;
	it->table = table;
	*out = &it->iter;
	return 0;
}
