/* SPDX-License-Identifier: Apache-2.0 */
/* table_verify.c - looks at every byte of a table; see table.h.
 *
 * Past the cache: what counts is what is on disk.  Besides the checksums it
 * checks what only a bug or a crafted file can break: the order of the entries,
 * that separators and filter lead to each of them, and that the properties are
 * true. */
#include <config.h>

#include "store/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/bloom.h"
#include "store/table_impl.h"

struct verify {
	const struct table_file *file;
	keyfs_damage_fn damage; /* may be NULL */
	void *arg;
	int (*pace)(void *arg, size_t bytes); /* may be NULL */
	void *pace_arg;
	int paced;    /* what it ended the search with */
	bool found;   /* damage */
	bool stopped; /* the caller wants no more */

	struct table_guide *guide; /* owned */
	struct buf block;          /* as stored */
	struct buf raw;

	/* The last entry and what was counted. */
	struct buf last_key;
	uint64_t last_seq;
	bool have_last; /* false again after a block that is lost */
	struct table_properties seen;
	struct buf smallest;
	struct buf block_seqs; /* le64 a block: its highest */
	uint64_t block_seq;
};

/* Raises damage and gives it to the caller; 0, since the search goes on. */
static int
verify_damage(struct verify *v, uint64_t offset, const char *why)
{
	v->found = true;
	(void)table_file_corrupt(v->file, offset, why);
	if (v->damage && v->damage(v->arg, v->file->name, offset, why))
		v->stopped = true;
	return 0;
}

/* Whether `bytes` more may be read. */
static bool
verify_may_read(struct verify *v, uint64_t bytes)
{
	if (v->pace && !v->stopped)
		v->paced = v->pace(v->pace_arg, bytes);
	v->stopped |= v->paced != 0;
	return !v->stopped;
}

static int
bytes_room(struct buf *buf, size_t len)
{
	buf_clear(buf);
	return buf_reserve(buf, len) ? 0 : -ENOMEM;
}

/* ---- Entries ---- */

static const char *
entry_check(struct verify *v, const struct entry *e)
{
	const struct table_guide *g = v->guide;

	if (v->have_last && version_compare(buf_slice(&v->last_key),
					    v->last_seq, e->key, e->seq) >= 0)
		return "entries out of order";
	if (!bloom_may_contain(g->filter, g->filter_bytes, g->probes,
			       bloom_hash(e->key)))
		return "filter denies a key of the table";
	return NULL;
}

static int
entry_count(struct verify *v, const struct entry *e)
{
	struct table_properties *p = &v->seen;

	if (p->entries == 0) {
		buf_append(&v->smallest, e->key.data, e->key.len);
		p->min_seq = e->seq;
	}
	p->keys +=
		p->entries == 0 || !key_equal(buf_slice(&v->last_key), e->key);
	p->entries++;
	p->tombstones += e->kind == ENTRY_DELETE;
	p->raw_bytes += e->key.len + e->value.len;
	if (e->seq < p->min_seq)
		p->min_seq = e->seq;
	if (e->seq > p->max_seq)
		p->max_seq = e->seq;
	if (e->seq > v->block_seq)
		v->block_seq = e->seq;
	buf_clear(&v->last_key);
	buf_append(&v->last_key, e->key.data, e->key.len);
	v->last_seq = e->seq;
	v->have_last = true;
	return v->last_key.error ? v->last_key.error : v->smallest.error;
}

/* Whether the index leads to the block: its separators are on both sides. */
static const char *
separators_check(struct verify *v, uint32_t i, struct keyfs_slice first)
{
	const struct table_index *index = &v->guide->index;

	if (key_compare(buf_slice(&v->last_key), table_index_key(index, i)) > 0)
		return "separator before the last key of its block";
	if (i > 0 && key_compare(first, table_index_key(index, i - 1)) < 0)
		return "separator behind the first key of the next block";
	return NULL;
}

static int
block_walk(struct verify *v, struct block_iter *it, uint32_t i,
	   const char **why)
{
	struct buf first = { .len = 0 };
	int r = 0;

	for (block_iter_first(it); it->iter.valid && r == 0;
	     block_iter_next(it)) {
		if (!first.len)
			buf_append(&first, it->iter.entry.key.data,
				   it->iter.entry.key.len);
		*why = entry_check(v, &it->iter.entry);
		if (*why)
			break;
		r = entry_count(v, &it->iter.entry);
	}
	if (!*why && it->iter.status == -EUCLEAN)
		*why = "entry cannot be decoded";
	if (r == 0 && !*why)
		r = it->iter.status ? it->iter.status : first.error;
	if (r == 0 && !*why)
		*why = separators_check(v, i, buf_slice(&first));
	buf_fini(&first);
	return r;
}

/* ---- Blocks ---- */

static const char *
block_unpack(struct verify *v, uint64_t offset, size_t len, struct block *out,
	     int *error)
{
	struct table_stored stored;
	const char *why;

	why = table_stored_decode(v->block.data, len, v->file->number, offset,
				  TABLE_BLOCK_MAX, &stored);
	if (why)
		return why;
	*error = bytes_room(&v->raw, stored.raw_len);
	if (*error)
		return NULL;
	why = table_stored_unpack(&stored, v->raw.data);
	if (why)
		return why;
	if (block_open(v->raw.data, stored.raw_len, out) < 0)
		return "block with an impossible tail";
	*error = block_check(out);
	if (*error != -EUCLEAN)
		return NULL;
	*error = 0;
	return "entry cannot be decoded";
}

static int
block_verify(struct verify *v, uint32_t i, const char **why)
{
	const struct table_index *index = &v->guide->index;
	uint64_t offset = table_index_offset(index, i);
	size_t len = table_index_offset(index, i + 1) - offset;
	struct block_iter it = { .iter = { .valid = false } };
	struct block block;
	int r;

	r = bytes_room(&v->block, len);
	if (r == 0)
		r = table_file_read(v->file, offset, len, false, v->block.data,
				    why);
	if (r < 0)
		return r;
	*why = block_unpack(v, offset, len, &block, &r);
	if (r < 0 || *why)
		return r;
	block_iter_set(&it, &block);
	r = block_walk(v, &it, i, why);
	block_iter_fini(&it);
	return r;
}

static int
data_verify(struct verify *v)
{
	const struct table_index *index = &v->guide->index;
	uint32_t i;

	for (i = 0; i < index->count && !v->stopped; i++) {
		uint64_t bytes = table_index_offset(index, i + 1) -
				 table_index_offset(index, i);
		const char *why = NULL;
		int r;

		if (!verify_may_read(v, bytes))
			return 0;
		r = block_verify(v, i, &why);
		v->seen.blocks++;
		buf_append_le64(&v->block_seqs, v->block_seq);
		v->block_seq = 0;
		if (r < 0 && !(r == -EUCLEAN && why))
			return r;
		if (!why)
			continue;
		verify_damage(v, table_index_offset(index, i), why);
		v->have_last = false;
	}
	return 0;
}

/* ---- The parts around the data ---- */

/* Tables of older programs have none. */
static bool
ages_are_true(const struct verify *v, const struct table_properties *p)
{
	const uint8_t *at = p->block_ages.data, *end;
	uint64_t age;
	size_t i;

	if (!p->block_ages.len)
		return true;
	end = at + p->block_ages.len;
	for (i = 0; at && i < v->block_seqs.len; i += 8) {
		at = get_varint64(at, end, &age);
		if (at && age != p->max_seq - get_le64(v->block_seqs.data + i))
			return false;
	}
	return at == end;
}

/* Counts can only be compared if every entry was seen. */
static const char *
properties_compare(struct verify *v, const struct table_properties *p)
{
	const struct table_properties *seen = &v->seen;

	if (v->found)
		return NULL;
	if (p->entries != seen->entries || p->tombstones != seen->tombstones ||
	    p->keys != seen->keys || p->blocks != seen->blocks ||
	    p->raw_bytes != seen->raw_bytes)
		return "properties with wrong counts";
	if (p->min_seq != seen->min_seq || p->max_seq != seen->max_seq)
		return "properties with wrong sequence numbers";
	if (!key_equal(p->smallest, buf_slice(&v->smallest)) ||
	    !key_equal(p->largest, buf_slice(&v->last_key)))
		return "properties with wrong bounds";
	if (!ages_are_true(v, p))
		return "properties with wrong ages of blocks";
	return NULL;
}

static int
properties_verify(struct verify *v, bool data_seen)
{
	struct table_properties properties;
	const char *why = NULL;
	int r;

	r = table_properties_load(v->file, &v->block, &properties, &why);
	if (r < 0 && r != -EUCLEAN)
		return r;
	if (r == 0 && v->block_seqs.error)
		return -ENOMEM;
	if (r == 0 && data_seen)
		why = properties_compare(v, &properties);
	return why ? verify_damage(v, v->file->footer.properties_offset, why)
		   : 0;
}

/* Without the index nobody knows where the blocks are. */
static int
verify_all(struct verify *v)
{
	const char *why;
	uint64_t at;
	bool have_guide;
	int r;

	r = table_file_check(v->file, &why, &at);
	if (r == -EUCLEAN)
		verify_damage(v, at, why);
	else if (r < 0)
		return r;
	if (v->stopped ||
	    !verify_may_read(v, v->file->footer.properties_offset -
					v->file->footer.filter_offset))
		return 0;
	r = table_guide_load(v->file, false, &v->guide, &why, &at);
	have_guide = r == 0;
	if (r == -EUCLEAN)
		verify_damage(v, at, why);
	else if (r < 0)
		return r;
	if (have_guide)
		r = data_verify(v);
	else
		r = 0;
	if (r < 0 || v->stopped)
		return r;
	return properties_verify(v, have_guide);
}

int
table_verify(struct table *table, keyfs_damage_fn damage, void *arg)
{
	return table_scrub(table, NULL, NULL, damage, arg);
}

int
table_scrub(struct table *table, int (*pace)(void *arg, size_t bytes),
	    void *pace_arg, keyfs_damage_fn damage, void *arg)
{
	struct verify v = { .file = &table->file,
			    .damage = damage,
			    .arg = arg,
			    .pace = pace,
			    .pace_arg = pace_arg };
	int r = verify_all(&v);

	table_guide_free(v.guide);
	buf_fini(&v.block);
	buf_fini(&v.raw);
	buf_fini(&v.last_key);
	buf_fini(&v.smallest);
	buf_fini(&v.block_seqs);
	if (r < 0)
		return r;
	return v.found ? -EUCLEAN : v.paced;
}
