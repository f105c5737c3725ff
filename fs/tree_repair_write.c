/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair_write.c - writes what was decided, where it differs; see
 * tree_repair_impl.h. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fs/tree_repair_impl.h"

#define QUEUE_BYTES_MAX ((size_t)1 << 20)

/* ---- Batches ---- */

void
repair_queue_free(struct tree_repair *r)
{
	for (size_t i = 0; i < r->queued; i++)
		free((void *)(uintptr_t)r->queue[i].key.data);
	r->queued = r->queued_bytes = 0;
}

int
repair_flush(struct tree_repair *r)
{
	struct kv_batch batch = { .changes = r->queue,
				  .change_count = r->queued };
	int rc = 0;

	if (r->queued > 0 && !r->options->dry_run)
		rc = kv_commit(r->kv, &batch, 0, NULL);
	repair_queue_free(r);
	return rc;
}

static int
queue(struct tree_repair *r, enum kv_change_kind kind, struct keyfs_slice key,
      struct keyfs_slice value)
{
	size_t len = key.len + value.len;
	uint8_t *bytes;

	if (r->options->dry_run)
		return 0;
	bytes = malloc(len ? len : 1);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, key.data, key.len);
	if (value.len)
		memcpy(bytes + key.len, value.data, value.len);
	r->queue[r->queued++] =
		(struct kv_change){ kind, keyfs_bytes(bytes, key.len),
				    keyfs_bytes(bytes + key.len, value.len) };
	r->queued_bytes += len;
	if (r->queued < QUEUE_MAX && r->queued_bytes < QUEUE_BYTES_MAX)
		return 0;
	return repair_flush(r);
}

int
repair_put(struct tree_repair *r, struct keyfs_slice key,
	   struct keyfs_slice value)
{
	return queue(r, KV_PUT, key, value);
}

int
repair_delete(struct tree_repair *r, struct keyfs_slice key)
{
	return queue(r, KV_DELETE, key, (struct keyfs_slice){ 0 });
}

/* ---- Names ---- */

static int
write_name(struct tree_repair *r, const struct repair_name *name)
{
	struct layout_entry entry = { name->ino, name->type };
	uint8_t value[LAYOUT_ENTRY_MAX];
	struct layout_key key;
	struct keyfs_slice at =
		layout_key_entry(&key, name->parent, keyfs_str(name->name));

	/* It stays as it is, or was added and dropped again and never stored. */
	if (name->dropped == name->added)
		return 0;
	if (name->dropped)
		return repair_delete(r, at);
	return repair_put(r, at,
			  keyfs_bytes(value,
				      layout_entry_encode(&entry, value)));
}

/* ---- Inodes ---- */

/* What the attributes should say. */
static struct layout_attr
wanted(struct tree_repair *r, const struct repair_node *node)
{
	struct layout_attr a = node->a;

	a.nlink = (uint32_t)node->names;
	a.xattrs = node->xattrs;
	if (S_ISDIR(a.mode)) {
		a.nlink = 2 + (uint32_t)node->subdirs;
		a.entries = node->entries;
		a.parent = node->name == NO_NAME ? LAYOUT_ROOT
						 : r->names[node->name].parent;
	}
	if (S_ISREG(a.mode) && a.size > r->inline_max)
		a.stored = node->stored;
	if (S_ISLNK(a.mode))
		a.size = node->target_len;
	return a;
}

static bool
attr_same(const struct layout_attr *a, const struct layout_attr *b)
{
	return a->nlink == b->nlink && a->entries == b->entries &&
	       a->parent == b->parent && a->stored == b->stored &&
	       a->size == b->size && a->xattrs == b->xattrs;
}

/* With the contents that lie in the old value. */
static int
rewrite_attr(struct tree_repair *r, const struct repair_node *node,
	     struct layout_attr *a)
{
	struct kv_value old = { .version = 0 };
	struct layout_attr was;
	struct layout_key key;
	uint8_t *value;
	int rc = 0;

	if (!node->made)
		rc = kv_get(r->kv, r->view, layout_key_attr(&key, node->ino), 0,
			    &old);
	if (rc)
		return rc;
	if (!node->made && old.version &&
	    layout_attr_decode(old.data, r->inline_max, &was) == 0)
		a->contents = was.contents;
	value = malloc(LAYOUT_ATTR_MAX + a->contents.len);
	if (value)
		rc = repair_put(r, layout_key_attr(&key, node->ino),
				keyfs_bytes(value,
					    layout_attr_encode(a, value)));
	else
		rc = -ENOMEM;
	free(value);
	kv_value_release(&old);
	return rc;
}

static int
write_owed(struct tree_repair *r, const struct repair_node *node)
{
	bool trim = node->a.stale_to > node->a.stale_from;
	uint8_t value[LAYOUT_ORPHAN_SIZE];
	struct layout_key key;

	if (trim && node->owed != LAYOUT_ORPHAN_TRIM)
		return repair_put(r, layout_key_orphan(&key, node->ino),
				  keyfs_bytes(value, layout_orphan_encode(
							     LAYOUT_ORPHAN_TRIM,
							     value)));
	if (!trim && node->owed)
		return repair_delete(r, layout_key_orphan(&key, node->ino));
	return 0;
}

static int
part_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	(void)value;
	(void)version;
	return repair_delete(arg, key);
}

/* Contents whose owner has turned out to be no file. */
static int
remove_chunks(struct tree_repair *r, const struct repair_node *node)
{
	struct layout_key from, to;

	if (!node->has_chunks || !node->made ||
	    (!node->gone && S_ISREG(node->a.mode)))
		return 0;
	return kv_scan(r->kv, r->view, layout_key_chunk(&from, node->ino, 0),
		       layout_key_chunk(&to, node->ino + 1, 0), KV_KEYS_ONLY,
		       part_each, r);
}

static int
remove_xattrs(struct tree_repair *r, const struct repair_node *node)
{
	struct layout_key from, to;

	if (!node->xattrs)
		return 0;
	return kv_scan(r->kv, r->view,
		       layout_key_xattr(&from, node->ino, keyfs_str("")),
		       layout_key_xattr_end(&to, node->ino), KV_KEYS_ONLY,
		       part_each, r);
}

static int
remove_node(struct tree_repair *r, const struct repair_node *node)
{
	struct layout_key key;
	int rc = repair_delete(r, layout_key_attr(&key, node->ino));

	if (rc == 0)
		rc = remove_xattrs(r, node);

	if (rc == 0 && node->has_target)
		rc = repair_delete(r, layout_key_link(&key, node->ino));
	if (rc == 0 && node->owed)
		rc = repair_delete(r, layout_key_orphan(&key, node->ino));
	return rc;
}

static int
write_node(struct tree_repair *r, const struct repair_node *node)
{
	struct layout_attr a;
	struct layout_key key;
	int rc = remove_chunks(r, node);

	if (rc)
		return rc;
	if (node->gone)
		return remove_node(r, node);
	if (repair_node_is_removed(node))
		return 0;
	if (node->has_target && !S_ISLNK(node->a.mode))
		rc = repair_delete(r, layout_key_link(&key, node->ino));
	a = wanted(r, node);
	if (rc == 0 && (node->made || !attr_same(&a, &node->a)))
		rc = rewrite_attr(r, node, &a);
	return rc ? rc : write_owed(r, node);
}

/* ---- The globals ---- */

static int
write_super(struct tree_repair *r)
{
	struct layout_super super = { .inline_max = r->inline_max,
				      .chunk_size = LAYOUT_CHUNK };
	uint8_t value[LAYOUT_SUPER_SIZE];
	struct layout_key key;

	if (r->has_super)
		return 0;
	for (size_t i = 0; i < r->node_count; i++)
		if (r->nodes[i].xattrs)
			super.features |= LAYOUT_FEATURE_XATTR;
	if (getrandom(super.uuid, sizeof(super.uuid), 0) != sizeof(super.uuid))
		return -EIO;
	return repair_put(r, layout_key_super(&key),
			  keyfs_bytes(value,
				      layout_super_encode(&super, value)));
}

static int
write_number(struct tree_repair *r, struct keyfs_slice key, uint64_t number)
{
	uint8_t value[LAYOUT_NUMBER_SIZE];

	return repair_put(r, key,
			  keyfs_bytes(value,
				      layout_number_encode(number, value)));
}

static int
write_totals(struct tree_repair *r)
{
	struct layout_totals totals = { 0, 0 };
	uint8_t value[LAYOUT_TOTALS_SIZE];
	struct layout_key key;

	for (size_t i = 0; i < r->node_count; i++) {
		totals.inodes += !r->nodes[i].gone;
		totals.bytes += r->nodes[i].gone ? 0 : r->nodes[i].stored;
	}
	return repair_put(r, layout_key_totals(&key),
			  keyfs_bytes(value,
				      layout_totals_encode(&totals, value)));
}

int
repair_write(struct tree_repair *r)
{
	struct layout_key key;
	int rc = write_super(r);

	if (rc == 0)
		rc = write_number(r, layout_key_inos(&key), r->bound);
	if (rc == 0 && r->bad_moves)
		rc = write_number(r, layout_key_moves(&key), 0);
	if (rc == 0)
		rc = write_totals(r);
	for (size_t i = 0; i < r->name_count && rc == 0; i++)
		rc = write_name(r, &r->names[i]);
	for (size_t i = 0; i < r->node_count && rc == 0; i++)
		rc = write_node(r, &r->nodes[i]);
	if (rc == 0)
		rc = repair_flush(r);
	return rc ? rc : kv_sync(r->kv);
}
