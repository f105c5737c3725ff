/* SPDX-License-Identifier: Apache-2.0 */
/* fault_carry.c - the disk in memory as the next process finds it: everything is
 * seen as the last one left it, and nothing has become durable by its death. */
#include <config.h>

#include "tests/fault_disk.h"

#include <string.h>

#include "tests/must.h"

/* From the files of one disk to their copies on the other. */
struct carry {
	const struct disk *from;
	struct disk *to;
	struct disk_inode *
		*copies; /* in the order of from->inodes; NULL: none */
};

static void
carry_change(struct disk_inode *to, const struct disk_change *change)
{
	struct disk_change *copy;

	to->changes = must_grow(to->changes, to->change_count, &to->change_cap,
				sizeof(*to->changes));
	copy = &to->changes[to->change_count++];
	*copy = *change;
	copy->data = must_copy(change->data, change->len);
}

/* What is stored into a mapping after the end does not count: the pages as they
 * were then are the last changes. */
static void
carry_seen(struct disk_inode *to, const struct disk_inode *inode)
{
	uint64_t known = inode->size;
	const uint8_t *from = inode->data;

	to->data = must_alloc(inode->size);
	to->size = to->cap = inode->size;
	if (inode->region) {
		from = inode->clean;
		known = inode->clean_cap < known ? inode->clean_cap : known;
	}
	if (known)
		memcpy(to->data, from, known);
	for (size_t i = 0; inode->region && i < inode->change_count; i++) {
		const struct disk_change *change = &inode->changes[i];

		if (change->mapped)
			memcpy(to->data + change->offset, change->data,
			       change->len);
	}
}

static struct disk_inode *
carry_inode(struct carry *carry, const struct disk_inode *inode)
{
	struct disk_inode *to = disk_inode_new(carry->to);

	carry_seen(to, inode);
	to->durable = must_copy(inode->durable, inode->durable_size);
	to->durable_size = to->durable_cap = inode->durable_size;
	for (size_t i = 0; i < inode->change_count; i++)
		carry_change(to, &inode->changes[i]);
	return to;
}

/* One more reference to the copy of a file. */
static struct disk_inode *
carried(struct carry *carry, const struct disk_inode *inode)
{
	size_t i = 0;

	while (carry->from->inodes[i] != inode)
		i++;
	if (!carry->copies[i])
		carry->copies[i] = carry_inode(carry, inode);
	else
		disk_inode_ref(carry->copies[i]);
	return carry->copies[i];
}

static void
carry_names(struct carry *carry, const struct disk_names *names,
	    struct disk_names *to)
{
	for (size_t i = 0; i < names->count; i++)
		disk_names_add(to, names->items[i].name,
			       carried(carry, names->items[i].inode));
}

static void
carry_dir(struct carry *carry, const struct disk_dir *dir)
{
	struct disk_dir *to = disk_dir_find(carry->to, dir->path, true);

	carry_names(carry, &dir->now, &to->now);
	for (size_t i = 0; i < to->now.count; i++)
		to->now.items[i].inode->links++;
	carry_names(carry, &dir->durable, &to->durable);
	to->changes = must_copy(dir->changes,
				dir->change_count * sizeof(*dir->changes));
	to->change_count = to->change_cap = dir->change_count;
	for (size_t i = 0; i < to->change_count; i++) {
		if (to->changes[i].inode)
			to->changes[i].inode =
				carried(carry, to->changes[i].inode);
	}
}

struct disk *
disk_carried(struct disk *disk)
{
	struct carry carry = { .from = disk, .to = disk_new(disk->capacity) };

	carry.copies = must_alloc(disk->inode_count * sizeof(*carry.copies));
	carry.to->order = disk->order;
	for (size_t i = 0; i < disk->dir_count; i++)
		carry_dir(&carry, disk->dirs[i]);
	free(carry.copies);
	if (disk->stale) {
		carry.to->stale = must_copy(disk->stale, disk->stale_len);
		carry.to->stale_len = disk->stale_len;
	}
	return carry.to;
}
