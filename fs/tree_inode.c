/* SPDX-License-Identifier: Apache-2.0 */
/* tree_inode.c - reading and writing inodes and directory entries in a step. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/tree_impl.h"

/* ---- Inodes ---- */

static int
inode_decode(struct op *op, uint64_t ino, struct keyfs_slice value,
	     uint64_t version, struct inode *out)
{
	int rc = layout_attr_decode(value, op->tree->inline_max, &out->a);

	out->ino = ino;
	out->version = version;
	out->held = false;
	out->stored_known = rc ? 0 : out->a.stored;
	return rc;
}

static int
inode_load(struct op *op, uint64_t ino, bool keep, struct inode *out)
{
	struct layout_key buf;
	struct keyfs_slice key = layout_key_attr(&buf, ino), value;
	uint64_t version;
	int rc;

	/* A made-up store may have something under a number that is none. */
	if (ino < LAYOUT_ROOT || ino > LAYOUT_INO_MAX)
		return -ENOENT;
	rc = keep ? txn_get(op->txn, key, &value, &version)
		  : txn_peek(op->txn, key, &value, &version);
	return rc ? rc : inode_decode(op, ino, value, version, out);
}

static void
show_truncated(struct inode *inode, const struct hold *hold)
{
	struct layout_attr *a = &inode->a;

	a->size = a->stored = 0;
	a->contents = keyfs_str("");
	a->mtime = a->ctime = hold->time;
	inode->held = true;
}

/* Shows a held truncation.  If one was logged after the view was opened, then what
 * was read may be from before it though it has been answered: the step must start
 * again (-ECANCELED). */
static int
inode_overlay(struct op *op, struct inode *inode)
{
	struct hold_table *holds = &op->tree->holds;
	struct hold hold;
	uint64_t view;
	int rc;

	if (!S_ISREG(inode->a.mode))
		return 0;
	if (hold_find(holds, inode->ino, inode->version, &hold)) {
		show_truncated(inode, &hold);
		return 0;
	}
	rc = txn_version(op->txn, &view);
	if (rc)
		return rc;
	return hold_missed(holds, inode->ino, view) ? -ECANCELED : 0;
}

int
inode_from(struct op *op, uint64_t ino, struct keyfs_slice value,
	   uint64_t version, struct inode *out)
{
	int rc = inode_decode(op, ino, value, version, out);

	return rc ? rc : inode_overlay(op, out);
}

int
inode_peek(struct op *op, uint64_t ino, struct inode *out)
{
	int rc = inode_load(op, ino, false, out);

	return rc ? rc : inode_overlay(op, out);
}

int
inode_get(struct op *op, uint64_t ino, struct inode *out)
{
	int rc = inode_load(op, ino, true, out);

	return rc ? rc : inode_overlay(op, out);
}

/* Makes a held truncation part of this transaction. */
static int
inode_fold(struct op *op, struct inode *inode, const struct hold *hold)
{
	int rc = inode_resize(op, inode, 0);

	if (rc)
		return rc;
	op->logged[op->logged_count].ino = inode->ino;
	op->logged[op->logged_count].id = hold->id;
	op->logged_count++;
	inode->a.mtime = inode->a.ctime = hold->time;
	if (inode->a.stale_to)
		op->trim = inode->ino;
	/* At once, for a step may still decide to leave the inode as it is. */
	inode_put(op, inode);
	return 0;
}

int
inode_edit(struct op *op, uint64_t ino, struct inode *out)
{
	struct hold hold;
	int rc = txn_latch(op->txn, &ino, 1);

	if (!rc)
		rc = inode_load(op, ino, true, out);
	if (rc || !hold_find(&op->tree->holds, ino, out->version, &hold))
		return rc;
	return inode_fold(op, out, &hold);
}

int
inode_edit_dir(struct op *op, uint64_t ino, struct inode *out)
{
	int rc = inode_edit(op, ino, out);

	if (rc)
		return rc;
	return S_ISDIR(out->a.mode) ? 0 : -ENOTDIR;
}

void
inode_put(struct op *op, struct inode *inode)
{
	struct layout_key key;
	uint8_t *value =
		txn_alloc(op->txn, LAYOUT_ATTR_MAX + inode->a.contents.len);

	if (!value)
		return; /* the commit says so */
	op->bytes += (int64_t)(inode->a.stored - inode->stored_known);
	inode->stored_known = inode->a.stored;
	txn_put(op->txn, layout_key_attr(&key, inode->ino),
		keyfs_bytes(value, layout_attr_encode(&inode->a, value)));
}

void
inode_tell(const struct inode *inode, struct tree_attr *out)
{
	const struct layout_attr *a = &inode->a;

	*out = (struct tree_attr){
		.ino = inode->ino,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		.rdev = a->rdev,
		/* A directory's size is the number of its entries. */
		.size = S_ISDIR(a->mode) ? a->entries : a->size,
		.blocks = (a->stored + 511) / 512,
		.atime = a->atime,
		.mtime = a->mtime,
		.ctime = a->ctime,
		.btime = a->btime,
	};
}

void
inode_touch(const struct op *op, struct inode *inode)
{
	inode->a.mtime = inode->a.ctime = op->now;
}

void
orphan_put(struct op *op, uint64_t ino, enum layout_orphan what)
{
	struct layout_key key;
	uint8_t *value = txn_alloc(op->txn, LAYOUT_ORPHAN_SIZE);

	if (value)
		txn_put(op->txn, layout_key_orphan(&key, ino),
			keyfs_bytes(value, layout_orphan_encode(what, value)));
}

bool
inode_drop(struct op *op, struct inode *inode)
{
	bool gone = S_ISDIR(inode->a.mode) || inode->a.nlink <= 1;

	inode->a.nlink = gone ? 0 : inode->a.nlink - 1;
	inode->a.ctime = op->now;
	inode_put(op, inode);
	if (gone)
		orphan_put(op, inode->ino, LAYOUT_ORPHAN_REMOVE);
	return gone;
}

/* ---- Entries ---- */

static int
entry_load(struct op *op, uint64_t parent, struct keyfs_slice name, bool keep,
	   struct layout_entry *out)
{
	struct layout_key buf;
	struct keyfs_slice key, value;
	int rc;

	if (name.len > LAYOUT_NAME_MAX)
		return -ENAMETOOLONG;
	key = layout_key_entry(&buf, parent, name);
	rc = keep ? txn_get(op->txn, key, &value, NULL)
		  : txn_peek(op->txn, key, &value, NULL);
	return rc ? rc : layout_entry_decode(value, out);
}

int
entry_peek(struct op *op, uint64_t parent, struct keyfs_slice name,
	   struct layout_entry *out)
{
	return entry_load(op, parent, name, false, out);
}

int
entry_get(struct op *op, uint64_t parent, struct keyfs_slice name,
	  struct layout_entry *out)
{
	return entry_load(op, parent, name, true, out);
}

int
entry_absent(struct op *op, uint64_t parent, struct keyfs_slice name)
{
	struct layout_entry entry;
	int rc = entry_get(op, parent, name, &entry);

	if (rc == -ENOENT)
		return 0;
	return rc ? rc : -EEXIST;
}

void
entry_put(struct op *op, uint64_t parent, struct keyfs_slice name, uint64_t ino,
	  uint32_t mode)
{
	struct layout_entry entry = { ino, mode & S_IFMT };
	struct layout_key key;
	uint8_t *value = txn_alloc(op->txn, LAYOUT_ENTRY_MAX);

	if (value)
		txn_put(op->txn, layout_key_entry(&key, parent, name),
			keyfs_bytes(value, layout_entry_encode(&entry, value)));
}

void
entry_delete(struct op *op, uint64_t parent, struct keyfs_slice name)
{
	struct layout_key key;

	txn_delete(op->txn, layout_key_entry(&key, parent, name));
}

static int
entry_check(int rc, const struct layout_entry *entry, const struct inode *inode)
{
	if (rc == -ENOENT)
		return -EUCLEAN;
	if (!rc && (inode->a.mode & S_IFMT) != entry->type)
		return -EUCLEAN;
	return rc;
}

int
entry_edit(struct op *op, const struct layout_entry *entry, struct inode *out)
{
	return entry_check(inode_edit(op, entry->ino, out), entry, out);
}

static bool
is_dots(struct keyfs_slice name, size_t dots)
{
	return name.len == dots && !memcmp(name.data, "..", dots);
}

int
name_find(struct op *op, uint64_t parent, struct keyfs_slice name,
	  struct inode *out)
{
	struct layout_entry entry;
	int rc = layout_name_check(name);

	/* Dots, and what no entry can be called, are not even looked for: in a
	 * made-up store ".." might lead anywhere. */
	if (!rc)
		rc = entry_peek(op, parent, name, &entry);
	if (!rc)
		return entry_check(inode_peek(op, entry.ino, out), &entry, out);
	if (rc != -ENOENT && rc != -EINVAL)
		return rc;
	/* Nothing there: it matters what the parent is. */
	rc = inode_peek(op, parent, out);
	if (rc)
		return rc;
	if (!S_ISDIR(out->a.mode))
		return -ENOTDIR;
	if (is_dots(name, 1))
		return 0;
	if (is_dots(name, 2))
		return inode_peek(op, out->a.parent, out);
	return -ENOENT;
}
