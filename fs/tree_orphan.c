/* SPDX-License-Identifier: Apache-2.0 */
/* tree_orphan.c - work owed: contents that nobody can reach any more.
 *
 * 'O' ino is written in the transaction that makes the work, and deleted in the one
 * that ends it, so a crash forgets nothing.  The contents go in batches; the
 * attributes and 'O' go last, together. */
#include <config.h>

#include <errno.h>

#include "fs/tree_impl.h"

struct removal {
	uint64_t ino;
	struct op *op;
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
	r->count++;
	return 0;
}

/* Deletes chunks and whatever else hangs on the inode, some at a time. */
static int
parts_delete(struct op *op, struct removal *r)
{
	struct layout_key begin, end;
	int rc = txn_scan(op->txn, layout_key_chunk(&begin, r->ino, 0),
			  layout_key_chunk(&end, r->ino, LAYOUT_CHUNKS_MAX),
			  KV_KEYS_ONLY, remove_each, r);

	if (!rc)
		rc = txn_scan(op->txn, layout_key_inode(&begin, r->ino),
			      layout_key_inode(&end, r->ino + 1), KV_KEYS_ONLY,
			      remove_each, r);
	r->more = rc > 0;
	return rc < 0 ? rc : 0;
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
	if (rc == -ENOENT)
		rc = -EUCLEAN;
	if (!rc && inode.a.nlink)
		rc = -EUCLEAN; /* it has a name: nothing is removed */
	if (rc)
		return rc;
	rc = parts_delete(op, r);
	op->trim = 0;
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
	if (!rc)
		owed_add(op->tree, place.ino, false);
	return rc;
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
