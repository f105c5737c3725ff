/* SPDX-License-Identifier: Apache-2.0 */
/* tree_trunc.c - changing the size of a file, and what a truncation leaves behind.
 *
 * A truncation is one transaction, whatever the size of the file, so it cannot delete
 * a million chunks.  Up to TREE_DELETE_NOW chunk numbers it deletes; more it declares
 * stale in the attributes, where they read as holes:
 *
 *	chunks   0 1 2 3 4 5 6 7 8 9 ...
 *	         #######|-------------|            # live, - stale
 *	                 stale_from    stale_to
 *
 * 'O' names the inode to the worker, which deletes stale chunks from the front, each
 * batch together with the new stale_from.  So old bytes never come back: a chunk is
 * either stale by the attributes, or its key is gone.
 *
 * A write into the stale range takes its chunks out of it.  At either end of the range
 * that is only a new bound, so a file that is truncated and written again from the
 * start, as most are, never waits.  In the middle, the chunks between are deleted by
 * the write if they are few; if they are many, some are deleted first
 * (OP_TRIM_FIRST). */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/tree_impl.h"

void
chunks_delete(struct op *op, uint64_t ino, uint64_t from, uint64_t to)
{
	for (uint64_t chunk = from; chunk < to; chunk++) {
		struct layout_key key;

		txn_delete(op->txn, layout_key_chunk(&key, ino, chunk));
	}
}

/* An inode without a name is owed its removal already. */
static void
stale_set(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	struct layout_attr *a = &inode->a;
	bool was = a->stale_to != 0;
	struct layout_key key;

	a->stale_from = from < to ? from : 0;
	a->stale_to = from < to ? to : 0;
	if (from < to)
		op->trim = inode->ino;
	if (a->nlink == 0)
		return;
	if (from < to && !was)
		orphan_put(op, inode->ino, LAYOUT_ORPHAN_TRIM);
	else if (from >= to && was)
		txn_delete(op->txn, layout_key_orphan(&key, inode->ino));
}

int
chunks_doom(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	struct layout_attr *a = &inode->a;

	if (from >= to)
		return 0;
	if (to - from <= TREE_DELETE_NOW) {
		/* Deleting a stale chunk as well does no harm. */
		chunks_delete(op, inode->ino, from, to);
		return 0;
	}
	if (!a->stale_to) {
		stale_set(op, inode, from, to);
		return 0;
	}
	if (from > a->stale_to ||
	    (to < a->stale_from && to < chunks_of(a->size))) {
		/* Live chunks between the two, as behind the end of the file there
		 * are none: one range cannot say that. */
		op->trim = inode->ino;
		return OP_TRIM_FIRST;
	}
	stale_set(op, inode, from < a->stale_from ? from : a->stale_from,
		  to > a->stale_to ? to : a->stale_to);
	return 0;
}

int
stale_reclaim(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	struct layout_attr *a = &inode->a;
	uint64_t first = a->stale_from, end = a->stale_to;

	if (to <= first || from >= end)
		return 0;
	if (from > first && to < end && from - first > TREE_DELETE_NOW) {
		op->trim = inode->ino;
		return OP_TRIM_FIRST;
	}
	if (to >= end) {
		stale_set(op, inode, first, from > first ? from : first);
		return 0;
	}
	if (from > first)
		chunks_delete(op, inode->ino, first, from);
	stale_set(op, inode, to, end);
	return 0;
}

/* ---- How much is stored ---- */

struct stored_sum {
	const struct layout_attr *a;
	uint64_t bytes;
};

static int
stored_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	    uint64_t version)
{
	struct stored_sum *sum = arg;
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)version;
	if (!rc && !chunk_is_stale(sum->a, place.chunk))
		sum->bytes += value.len;
	return rc;
}

int
stored_between(struct op *op, const struct inode *inode, uint64_t from,
	       uint64_t to, uint64_t *out)
{
	struct stored_sum sum = { &inode->a, 0 };
	struct layout_key begin, end;
	int rc = txn_scan(op->txn, layout_key_chunk(&begin, inode->ino, from),
			  layout_key_chunk(&end, inode->ino, to), 0,
			  stored_each, &sum);

	*out = sum.bytes;
	return rc;
}

/* What is stored of the first `keep` chunks of `total`.  Of a file without holes this
 * is plain; else the shorter part is counted. */
static int
stored_kept(struct op *op, const struct inode *inode, uint64_t keep,
	    uint64_t total, uint64_t *out)
{
	const struct layout_attr *a = &inode->a;
	uint64_t tail;
	int rc;

	if (keep == total) {
		*out = a->stored;
		return 0;
	}
	if (a->stored == a->size) {
		*out = keep * LAYOUT_CHUNK;
		return 0;
	}
	if (keep <= total - keep)
		return stored_between(op, inode, 0, keep, out);
	rc = stored_between(op, inode, keep, total, &tail);
	if (!rc && tail > a->stored)
		rc = -EUCLEAN;
	if (!rc)
		*out = a->stored - tail;
	return rc;
}

/* ---- Sizes ---- */

static void *
copy_of(struct op *op, struct keyfs_slice s, size_t len)
{
	uint8_t *copy = txn_alloc(op->txn, len ? len : 1);

	if (!copy)
		return NULL;
	memset(copy, 0, len);
	if (s.len)
		memcpy(copy, s.data, s.len < len ? s.len : len);
	return copy;
}

/* Down to a size that fits into the attributes again. */
static int
shrink_inline(struct op *op, struct inode *inode, uint64_t size)
{
	struct layout_attr *a = &inode->a;
	struct keyfs_slice first = a->contents;
	uint64_t total = chunks_of(a->size);
	bool chunked = !inode_is_inline(op, inode);
	void *copy;
	int rc = 0;

	if (chunked && size > 0)
		rc = chunk_peek(op, inode, 0, &first);
	if (!rc && chunked)
		rc = chunks_doom(op, inode, 0, total);
	if (rc)
		return rc;
	if (first.len > size || !size)
		first.len = size;
	copy = copy_of(op, first, first.len);
	if (!copy)
		return -ENOMEM;
	a->contents = keyfs_bytes(copy, first.len);
	a->stored = first.len;
	a->size = size;
	return 0;
}

/* Cuts the chunk that the new end lies in; returns what it loses. */
static int
cut_chunk(struct op *op, const struct inode *inode, uint64_t size,
	  uint64_t *out_lost)
{
	size_t end = size & (LAYOUT_CHUNK - 1);
	struct keyfs_slice data;
	int rc;

	*out_lost = 0;
	if (!end)
		return 0;
	rc = chunk_peek(op, inode, chunk_of(size), &data);
	if (rc || data.len <= end)
		return rc;
	*out_lost = data.len - end;
	chunk_put(op, inode->ino, chunk_of(size), keyfs_bytes(data.data, end));
	return 0;
}

static int
shrink_chunks(struct op *op, struct inode *inode, uint64_t size)
{
	struct layout_attr *a = &inode->a;
	uint64_t keep = chunks_of(size), total = chunks_of(a->size);
	uint64_t stored, lost;
	int rc = stored_kept(op, inode, keep, total, &stored);

	if (!rc)
		rc = cut_chunk(op, inode, size, &lost);
	if (!rc)
		rc = chunks_doom(op, inode, keep, total);
	if (rc)
		return rc;
	if (lost > stored)
		return -EUCLEAN;
	a->stored = stored - lost;
	a->size = size;
	return 0;
}

int
inode_spill(struct op *op, struct inode *inode)
{
	struct layout_attr *a = &inode->a;
	int rc = 0;

	if (!a->contents.data)
		return 0;
	if (a->contents.len) {
		rc = stale_reclaim(op, inode, 0, 1);
		chunk_put(op, inode->ino, 0, a->contents);
	}
	a->stored = a->contents.len;
	a->contents = (struct keyfs_slice){ 0 };
	return rc;
}

/* What is beyond the old end reads as zeros without being stored. */
static int
grow(struct op *op, struct inode *inode, uint64_t size)
{
	int rc = 0;

	if (size > op->tree->inline_max)
		rc = inode_spill(op, inode);
	inode->a.size = size;
	return rc;
}

int
inode_resize(struct op *op, struct inode *inode, uint64_t size)
{
	if (size >= inode->a.size)
		return grow(op, inode, size);
	if (size <= op->tree->inline_max)
		return shrink_inline(op, inode, size);
	return shrink_chunks(op, inode, size);
}

/* ---- Deleting stale chunks ---- */

struct trim {
	uint64_t ino;
	bool now;
	struct op *op;
	uint64_t last;
	unsigned count;
	bool more;
};

static int
trim_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct trim *trim = arg;
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)value;
	(void)version;
	if (rc)
		return rc;
	if (trim->count == TREE_DELETE_BATCH)
		return 1;
	txn_delete(trim->op->txn, key);
	trim->last = place.chunk;
	trim->count++;
	return 0;
}

static int
trim_step(struct op *op, void *arg)
{
	struct trim *trim = arg;
	struct layout_key begin, end;
	struct inode inode;
	uint64_t to;
	int rc = txn_latch(op->txn, &trim->ino, 1);

	trim->more = false;
	if (!rc && !trim->now && hold_has(&op->tree->holds, trim->ino))
		return 0; /* folding it asks for this again */
	if (!rc)
		rc = inode_edit(op, trim->ino, &inode);
	if (rc || !inode.a.stale_to)
		return rc == -ENOENT ? 0 : rc;
	trim->op = op;
	trim->count = 0;
	to = inode.a.stale_to;
	rc = txn_scan(op->txn,
		      layout_key_chunk(&begin, inode.ino, inode.a.stale_from),
		      layout_key_chunk(&end, inode.ino, to), KV_KEYS_ONLY,
		      trim_each, trim);
	if (rc < 0)
		return rc;
	trim->more = rc > 0;
	stale_set(op, &inode, trim->more ? trim->last + 1 : to, to);
	op->trim = 0; /* who asked goes on */
	inode_put(op, &inode);
	return 0;
}

int
trim_some(struct tree *tree, uint64_t ino, bool now, bool *more)
{
	struct trim trim = { .ino = ino, .now = now };
	int rc = op_run(tree, NULL, OP_RESERVE, trim_step, &trim);

	*more = trim.more;
	return rc;
}
