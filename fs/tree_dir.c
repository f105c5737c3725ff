/* SPDX-License-Identifier: Apache-2.0 */
/* tree_dir.c - listing a directory.
 *
 * A listing goes on after a name, never at a position, so entries that come and go
 * meanwhile are neither skipped nor repeated.  It is read a page at a time, each at
 * one read point; entries are handed out between the transactions, because a step may
 * run twice. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree_impl.h"

#define PAGE_ENTRIES 128u

struct item {
	struct tree_attr attr;
	size_t name_at, name_len; /* in page.names */
};

struct page {
	uint64_t ino;
	bool with_attr;
	struct keyfs_slice after;
	bool last; /* nothing follows */
	size_t count, names_used;
	struct item items[PAGE_ENTRIES];
	char names[PAGE_ENTRIES * LAYOUT_NAME_MAX];
};

static struct keyfs_slice
item_name(const struct page *page, const struct item *item)
{
	return keyfs_bytes(page->names + item->name_at, item->name_len);
}

static int
page_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct page *page = arg;
	struct item *item = &page->items[page->count];
	struct layout_entry entry;
	struct layout_place place;
	int rc = layout_key_parse(key, &place);

	(void)version;
	if (page->count == PAGE_ENTRIES)
		return 1;
	if (!rc)
		rc = layout_entry_decode(value, &entry);
	if (rc)
		return rc;
	*item = (struct item){ .name_at = page->names_used,
			       .name_len = place.name.len };
	item->attr.ino = entry.ino;
	item->attr.mode = entry.type;
	memcpy(page->names + item->name_at, place.name.data, place.name.len);
	page->names_used += place.name.len;
	page->count++;
	return 0;
}

static int
item_fill(struct op *op, struct item *item, const struct kv_value *value)
{
	uint32_t type = item->attr.mode;
	struct inode inode;
	int rc;

	if (!value->version)
		return -EUCLEAN;
	rc = inode_from(op, item->attr.ino, value->data, value->version,
			&inode);
	if (rc)
		return rc;
	inode_tell(&inode, &item->attr);
	return (item->attr.mode & S_IFMT) == type ? 0 : -EUCLEAN;
}

static int
page_attrs(struct op *op, struct page *page)
{
	struct layout_key bytes[PAGE_ENTRIES];
	struct keyfs_slice keys[PAGE_ENTRIES] = { 0 };
	const struct kv_value *values;
	int rc;

	for (size_t i = 0; i < page->count; i++)
		keys[i] = layout_key_attr(&bytes[i], page->items[i].attr.ino);
	rc = txn_peek_many(op->txn, page->count, keys, &values);
	for (size_t i = 0; i < page->count && !rc; i++)
		rc = item_fill(op, &page->items[i], &values[i]);
	return rc;
}

static int
page_step(struct op *op, void *arg)
{
	struct page *page = arg;
	struct layout_key begin, end;
	struct inode dir;
	int rc = inode_peek(op, page->ino, &dir);

	if (!rc && !S_ISDIR(dir.a.mode))
		rc = -ENOTDIR;
	if (rc)
		return rc;
	page->count = page->names_used = 0;
	rc = txn_scan(op->txn,
		      layout_key_entry_after(&begin, page->ino, page->after),
		      layout_key_entry_end(&end, page->ino), 0, page_each,
		      page);
	if (rc < 0)
		return rc;
	page->last = rc == 0;
	return page->with_attr && page->count ? page_attrs(op, page) : 0;
}

static int
page_give(const struct page *page, tree_each_fn each, void *arg)
{
	int rc = 0;

	for (size_t i = 0; i < page->count && !rc; i++) {
		const struct item *item = &page->items[i];

		rc = each(arg, item_name(page, item), &item->attr);
	}
	return rc;
}

int
tree_readdir(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	     struct keyfs_slice after, bool with_attr, tree_each_fn each,
	     void *arg)
{
	struct page *page;
	char last[LAYOUT_NAME_MAX];
	int rc = 0;

	if (after.data && after.len > LAYOUT_NAME_MAX)
		return -ENAMETOOLONG;
	page = malloc(sizeof(*page));
	if (!page)
		return -ENOMEM;
	page->ino = ino;
	page->with_attr = with_attr;
	page->after = after;
	page->last = false;
	while (!rc && !page->last) {
		rc = op_run(tree, caller, OP_READ, page_step, page);
		if (!rc)
			rc = page_give(page, each, arg);
		if (!rc && !page->last) {
			struct keyfs_slice name =
				item_name(page, &page->items[page->count - 1]);

			memcpy(last, name.data, name.len);
			page->after = keyfs_bytes(last, name.len);
		}
	}
	free(page);
	return rc;
}
