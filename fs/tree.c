/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - opening, closing, syncing and measuring a tree. */
#include <config.h>

#include "fs/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "fs/tree_impl.h"

_Static_assert(TREE_ROOT == LAYOUT_ROOT && TREE_NAME_MAX == LAYOUT_NAME_MAX &&
		       TREE_SYMLINK_MAX == LAYOUT_SYMLINK_MAX,
	       "what callers see is what is stored");

/* An inode is worth about this many bytes of free space: for statistics only. */
#define INODE_BYTES 512u

/* ---- A new tree ---- */

static int
any_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	 uint64_t version)
{
	(void)arg;
	(void)key;
	(void)value;
	(void)version;
	return 1;
}

/* A store that has keys but no superblock is somebody else's. */
static int
empty_check(struct op *op)
{
	int rc = txn_scan(op->txn, keyfs_bytes("\0", 1),
			  (struct keyfs_slice){ 0 }, KV_KEYS_ONLY, any_each,
			  NULL);

	return rc > 0 ? -EUCLEAN : rc;
}

static int
super_put(struct op *op)
{
	struct layout_super super = { .inline_max = LAYOUT_INLINE,
				      .chunk_size = LAYOUT_CHUNK,
				      .created = op->now };
	uint8_t *value = txn_alloc(op->txn, LAYOUT_SUPER_SIZE);
	struct layout_key key;

	if (!value)
		return -ENOMEM;
	if (getrandom(super.uuid, sizeof(super.uuid), 0) != sizeof(super.uuid))
		return -EIO;
	txn_put(op->txn, layout_key_super(&key),
		keyfs_bytes(value, layout_super_encode(&super, value)));
	op->tree->inline_max = super.inline_max;
	return 0;
}

static int
inos_put(struct op *op)
{
	uint8_t *value = txn_alloc(op->txn, LAYOUT_NUMBER_SIZE);
	struct layout_key key;

	if (!value)
		return -ENOMEM;
	txn_put(op->txn, layout_key_inos(&key),
		keyfs_bytes(value,
			    layout_number_encode(LAYOUT_ROOT + 1, value)));
	return 0;
}

static void
root_put(struct op *op)
{
	const struct tree_options *o = &op->tree->options;
	uint32_t mode = o->root_mode ? o->root_mode : 0755;
	struct inode root = { .ino = LAYOUT_ROOT };

	root.a.mode = S_IFDIR | (mode & 07777);
	root.a.nlink = 2;
	root.a.uid = o->root_uid;
	root.a.gid = o->root_gid;
	root.a.parent = LAYOUT_ROOT;
	root.a.atime = root.a.btime = op->now;
	inode_touch(op, &root);
	inode_put(op, &root);
}

static int
create_step(struct op *op, void *arg)
{
	int rc = empty_check(op);

	(void)arg;
	if (!rc)
		rc = super_put(op);
	if (!rc)
		rc = inos_put(op);
	if (rc)
		return rc;
	root_put(op);
	op->inodes = 1;
	return 0;
}

/* ---- An old one ---- */

static int
totals_load(struct op *op)
{
	struct layout_totals totals = { 0, 0 };
	struct keyfs_slice value;
	struct layout_key key;
	int rc = txn_peek(op->txn, layout_key_totals(&key), &value, NULL);

	if (!rc)
		rc = layout_totals_decode(value, &totals);
	if (rc && rc != -ENOENT)
		return rc;
	atomic_store(&op->tree->inodes, totals.inodes);
	atomic_store(&op->tree->inodes_stored, totals.inodes);
	atomic_store(&op->tree->bytes, totals.bytes);
	atomic_store(&op->tree->bytes_stored, totals.bytes);
	return 0;
}

static int
load_step(struct op *op, void *arg)
{
	struct layout_super super;
	struct keyfs_slice value;
	struct layout_key key;
	struct inode root;
	int rc = txn_peek(op->txn, layout_key_super(&key), &value, NULL);

	(void)arg;
	if (!rc)
		rc = layout_super_decode(value, &super);
	if (rc)
		return rc;
	op->tree->inline_max = super.inline_max;
	atomic_store(&op->tree->features, super.features);
	rc = inode_peek(op, LAYOUT_ROOT, &root);
	if (rc == -ENOENT || (!rc && !S_ISDIR(root.a.mode)))
		return -EUCLEAN;
	return rc ? rc : totals_load(op);
}

static int
tree_load(struct tree *tree)
{
	int rc = op_run(tree, NULL, OP_READ, load_step, NULL);

	if (rc != -ENOENT)
		return rc;
	/* Nothing there: a reader cannot make a tree. */
	if (tree->options.read_only)
		return -EUCLEAN;
	return op_run(tree, NULL, 0, create_step, NULL);
}

/* ---- Opening and closing ---- */

static void
tree_free(struct tree *tree)
{
	worker_fini(&tree->worker);
	ino_source_fini(&tree->inos);
	hold_table_fini(&tree->holds);
	txn_space_free(tree->space);
	free(tree);
}

static int
parts_init(struct tree *tree)
{
	int rc = hold_table_init(&tree->holds);

	if (rc)
		return rc;
	rc = ino_source_init(&tree->inos);
	if (rc)
		goto fail_inos;
	rc = worker_init(&tree->worker);
	if (rc)
		goto fail_worker;
	rc = txn_space_new(tree->kv, &tree->space);
	if (!rc)
		return 0;
	worker_fini(&tree->worker);
fail_worker:
	ino_source_fini(&tree->inos);
fail_inos:
	hold_table_fini(&tree->holds);
	return rc;
}

int
tree_open(struct kv *kv, const struct tree_options *options, struct tree **out)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	int rc;

	if (!tree)
		return -ENOMEM;
	tree->kv = kv;
	tree->options = *options;
	/* Other writers of the same engine would not see what is held here. */
	tree->may_hold = !(kv_caps(kv)->flags & KV_SHARED);
	rc = parts_init(tree);
	if (rc) {
		free(tree);
		return rc;
	}
	rc = tree_load(tree);
	if (rc) {
		tree_free(tree);
		return rc;
	}
	*out = tree;
	return 0;
}

int
tree_start(struct tree *tree)
{
	return tree->options.read_only ? 0 : worker_start(tree);
}

int
tree_close(struct tree *tree)
{
	int rc = 0, totals_rc;

	if (!tree)
		return 0;
	worker_stop(tree);
	if (!tree->options.read_only) {
		rc = hold_log_all(tree);
		totals_rc = totals_store(tree);
		rc = rc ? rc : totals_rc;
	}
	tree_free(tree);
	return rc;
}

/* ---- The whole ---- */

static int
totals_step(struct op *op, void *arg)
{
	struct layout_totals *totals = arg;
	uint8_t *value = txn_alloc(op->txn, LAYOUT_TOTALS_SIZE);
	struct layout_key key;

	if (!value)
		return -ENOMEM;
	txn_put(op->txn, layout_key_totals(&key),
		keyfs_bytes(value, layout_totals_encode(totals, value)));
	return 0;
}

/* Operations change the totals in memory only, or every one of them would write the
 * same key.  After a crash they are as old as the last sync; check counts again. */
int
totals_store(struct tree *tree)
{
	struct layout_totals totals = { atomic_load(&tree->inodes),
					atomic_load(&tree->bytes) };
	int rc;

	if (totals.inodes == atomic_load(&tree->inodes_stored) &&
	    totals.bytes == atomic_load(&tree->bytes_stored))
		return 0;
	rc = op_run(tree, NULL, OP_RESERVE, totals_step, &totals);
	if (rc)
		return rc;
	atomic_store(&tree->inodes_stored, totals.inodes);
	atomic_store(&tree->bytes_stored, totals.bytes);
	return 0;
}

int
tree_sync(struct tree *tree)
{
	int rc;

	if (tree->options.read_only)
		return 0;
	rc = hold_log_all(tree);
	if (rc)
		return rc;
	/* The totals are an estimate: without space for them all else is synced. */
	(void)totals_store(tree);
	return kv_sync(tree->kv);
}

int
tree_space(struct tree *tree, struct tree_space *out)
{
	struct kv_space space;
	int rc = kv_space(tree->kv, &space);

	if (rc)
		return rc;
	out->total_bytes = space.total_bytes;
	out->available_bytes = space.available_bytes;
	out->inodes_used = atomic_load(&tree->inodes);
	out->inodes_total =
		out->inodes_used + space.available_bytes / INODE_BYTES;
	return 0;
}
