/* SPDX-License-Identifier: Apache-2.0 */
/* tree_orphan.c - work owed: contents that nobody can reach any more.
 *
 * 'O' ino is written in the transaction that makes the work, and deleted in the one
 * that ends it, so a crash forgets nothing.  The contents go in batches; the
 * attributes and 'O' go last, together. */
#include <config.h>

#include <errno.h>

#include "fs/tree_impl.h"

/* The removal of one inode, batch by batch.
 *
 * Every batch begins where the last one ended: a scan from the start would pass over
 * all the tombstones of the batches before, and read the contents that they hide. */
struct removal {
	uint64_t ino;
	struct op *op;
	uint64_t chunk; /* all before it are deleted */
	uint64_t next;  /* the same, once this batch is committed */
	unsigned count;
	bool more;
};

static int
remove_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	    uint64_t version)
{
	struct removal *r = arg;
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)value;
	(void)version;
	if (rc)
		return rc;
	if (place.kind == LAYOUT_ATTR)
		return 0;
	if (r->count == TREE_DELETE_BATCH)
		return 1;
	txn_delete(r->op->txn, key);
	if (place.kind == LAYOUT_DATA)
		r->next = place.chunk + 1;
	r->count++;
	return 0;
}

/* Deletes what a scan finds: of a sparse file, where most numbers stand for holes. */
static int
parts_delete(struct op *op, struct removal *r)
{
	struct layout_key begin, end;
	int rc = txn_scan(op->txn, layout_key_chunk(&begin, r->ino, r->chunk),
			  layout_key_chunk(&end, r->ino, LAYOUT_CHUNKS_MAX),
			  KV_KEYS_ONLY, remove_each, r);

	if (!rc)
		rc = txn_scan(op->txn, layout_key_inode(&begin, r->ino),
			      layout_key_inode(&end, r->ino + 1), KV_KEYS_ONLY,
			      remove_each, r);
	r->more = rc > 0;
	return rc < 0 ? rc : 0;
}

/* The chunk numbers that may be in use end here. */
static uint64_t
chunks_end(const struct layout_attr *a)
{
	uint64_t end = a->contents.data ? 0 : chunks_of(a->size);

	return a->stale_to > end ? a->stale_to : end;
}

/* Whether most chunk numbers of the file stand for something stored: they are deleted
 * by number then, almost without reading what they hold. */
static bool
is_dense(const struct layout_attr *a)
{
	uint64_t stale = a->stale_to - a->stale_from;

	return chunks_end(a) / 4 <=
	       a->stored / LAYOUT_CHUNK + stale + TREE_DELETE_BATCH;
}

static int
first_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)value;
	(void)version;
	if (rc)
		return rc;
	*(uint64_t *)arg = place.chunk;
	return 1;
}

/* Deletes the next batch of a dense file by number, from the next chunk that is there:
 * a file may have been much longer than all that was ever written to it, and sizes and
 * stale ranges may be made up.  Counting through 2^49 numbers would never end. */
static int
numbers_delete(struct op *op, struct removal *r, uint64_t end)
{
	uint64_t from = end;
	struct layout_key first, last;
	int rc = txn_scan(op->txn, layout_key_chunk(&first, r->ino, r->chunk),
			  layout_key_chunk(&last, r->ino, end), KV_KEYS_ONLY,
			  first_each, &from);

	if (rc < 0)
		return rc;
	r->next =
		end - from > TREE_DELETE_BATCH ? from + TREE_DELETE_BATCH : end;
	chunks_delete(op, r->ino, from, r->next);
	r->more = true;
	return 0;
}

static int
remove_step(struct op *op, void *arg)
{
	struct removal *r = arg;
	struct layout_key key;
	struct inode inode;
	int rc = inode_edit(op, r->ino, &inode);

	r->op = op;
	r->count = 0;
	r->more = false;
	r->next = r->chunk;
	if (rc == -ENOENT)
		rc = -EUCLEAN;
	/* It has a name, or needs none: nothing is removed. */
	if (!rc && (inode.a.nlink || r->ino == LAYOUT_ROOT))
		rc = -EUCLEAN;
	if (rc)
		return rc;
	op->trim = 0;
	if (is_dense(&inode.a) && r->chunk < chunks_end(&inode.a))
		rc = numbers_delete(op, r, chunks_end(&inode.a));
	else
		rc = parts_delete(op, r);
	if (rc || r->more)
		return rc;
	txn_delete(op->txn, layout_key_attr(&key, r->ino));
	txn_delete(op->txn, layout_key_orphan(&key, r->ino));
	op->inodes--;
	op->bytes -= (int64_t)inode.stored_known;
	return 0;
}

struct what {
	uint64_t ino;
	enum layout_orphan what;
};

static int
what_step(struct op *op, void *arg)
{
	struct what *w = arg;
	struct keyfs_slice value;
	struct layout_key key;
	int rc = txn_peek(op->txn, layout_key_orphan(&key, w->ino), &value,
			  NULL);

	return rc ? rc : layout_orphan_decode(value, &w->what);
}

static bool
in_use(const struct tree *tree, uint64_t ino)
{
	const struct tree_options *o = &tree->options;

	return o->in_use && o->in_use(o->arg, ino);
}

int
owed_settle(struct tree *tree, uint64_t ino, bool forgotten)
{
	struct what w = { .ino = ino };
	struct removal r = { .ino = ino, .more = true };
	int rc = op_run(tree, NULL, OP_READ, what_step, &w);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (w.what == LAYOUT_ORPHAN_REMOVE && !forgotten && in_use(tree, ino))
		return 0;
	while (!rc && r.more && !worker_stopping(tree)) {
		if (w.what == LAYOUT_ORPHAN_TRIM)
			rc = trim_some(tree, ino, false, &r.more);
		else
			rc = op_run(tree, NULL, OP_RESERVE, remove_step, &r);
		r.chunk = r.next;
	}
	return rc;
}

void
orphan_unused(struct tree *tree, uint64_t ino)
{
	if (!in_use(tree, ino))
		owed_add(tree, ino, false);
}

void
tree_forget_orphan(struct tree *tree, uint64_t ino)
{
	owed_add(tree, ino, true);
}

static int
scan_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct op *op = arg;
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)value;
	(void)version;
	/* What is no record must not keep the others from being settled. */
	if (!rc)
		owed_add(op->tree, place.ino, false);
	return 0;
}

static int
scan_step(struct op *op, void *arg)
{
	struct layout_key begin, end;

	(void)arg;
	return txn_scan(op->txn, layout_key_orphan(&begin, LAYOUT_ROOT),
			layout_key_orphan(&end, LAYOUT_INO_MAX + 1),
			KV_KEYS_ONLY, scan_each, op);
}

int
owed_scan(struct tree *tree)
{
	return op_run(tree, NULL, OP_READ, scan_step, NULL);
}
