/* SPDX-License-Identifier: Apache-2.0 */
/* fault_found.c - what a power cut leaves of the disk in memory.
 *
 * A file is cut into granules (a sector, a page, or all of it), and each granule
 * shows the file as it was after some number of its unsynced changes:
 *
 *	changes        0    1    2    3    4
 *	granule 0                     x         shows changes 1 to 3
 *	granule 1      x                        as of the last sync
 *	size                          x         the size after change 3
 *
 * That is what a page cache does: it writes each page at a moment of its own,
 * and never an older state of it over a newer one. */
#include <config.h>

#include "tests/fault_disk.h"

#include <string.h>

#include "tests/must.h"
#include "tests/suite.h"

struct finder {
	struct disk *disk; /* borrowed; the one that lost power */
	enum fault_crash kind;
	uint64_t seed;
	uint64_t random;     /* of the file or directory in hand */
	uint64_t last_order; /* FAULT_TEAR_LAST: the change that is torn */
};

/* One file as it is being put together. */
struct image {
	uint8_t *data; /* owned */
	uint64_t size;
};

static uint64_t
below(struct finder *finder, uint64_t bound)
{
	return suite_random(&finder->random) % bound;
}

/* Chance is each file's own: how long another one is changes nothing for it. */
static void
begin_name(struct finder *finder, const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(1099511628211);
	finder->random = finder->seed ^ hash;
}

/* ---- Contents ---- */

static uint64_t
size_after(const struct disk_inode *inode, size_t changes)
{
	return changes == 0 ? inode->durable_size
			    : inode->changes[changes - 1].size;
}

/* A number of changes: none and all are likelier than those between. */
static size_t
pick_moment(struct finder *finder, const struct disk_inode *inode)
{
	switch (below(finder, 4)) {
	case 0:
		return 0;
	case 1:
		return inode->change_count;
	default:
		return below(finder, inode->change_count + 1);
	}
}

static size_t
size_moment(struct finder *finder, const struct disk_inode *inode)
{
	switch (finder->kind) {
	case FAULT_DROP_ALL:
		return 0;
	case FAULT_SUBSET:
		return pick_moment(finder, inode);
	default:
		return inode->change_count;
	}
}

static uint64_t
granule_bytes(struct finder *finder, const struct image *image)
{
	if (finder->kind != FAULT_SUBSET || below(finder, 4) == 0)
		return image->size ? image->size : 1;
	return below(finder, 2) ? DISK_PAGE : DISK_SECTOR;
}

/* Sets the part of [from, to) that lies in the granule [start, end). */
static void
lay(struct image *image, uint64_t start, uint64_t end, uint64_t from,
    uint64_t to, const uint8_t *data)
{
	uint64_t at = from > start ? from : start;

	if (to > end)
		to = end;
	if (at >= to)
		return;
	if (data)
		memcpy(image->data + at, data + (at - from), to - at);
	else
		memset(image->data + at, 0, to - at);
}

/* A write is torn at a sector. */
static size_t
torn_len(struct finder *finder, const struct disk_change *change)
{
	uint64_t first = change->offset / DISK_SECTOR;
	uint64_t last = (change->offset + change->len - 1) / DISK_SECTOR;
	uint64_t cut = first + below(finder, last - first + 1);

	if (cut == first)
		return 0;
	return (size_t)(cut * DISK_SECTOR - change->offset);
}

/* How much of a change reached the disk.  Stores through a mapping are not one
 * event: the page may have been written back in the middle of one. */
static size_t
kept_len(struct finder *finder, const struct disk_change *change)
{
	if (change->len == 0)
		return 0;
	if (finder->kind == FAULT_TEAR_LAST &&
	    change->order == finder->last_order)
		return torn_len(finder, change);
	if (finder->kind == FAULT_SUBSET && change->mapped &&
	    below(finder, 4) == 0)
		return below(finder, change->len / 8 + 1) * 8;
	return change->len;
}

/* Bytes between the old and the new end are zeros, whichever is larger. */
static void
apply_change(struct finder *finder, struct image *image,
	     const struct disk_inode *inode, size_t i, uint64_t start,
	     uint64_t end)
{
	const struct disk_change *change = &inode->changes[i];
	uint64_t before = size_after(inode, i), after = change->size;
	size_t len = kept_len(finder, change);

	if (before < after)
		lay(image, start, end, before, after, NULL);
	else
		lay(image, start, end, after, before, NULL);
	lay(image, start, end, change->offset, change->offset + len,
	    change->data);
}

static void
fill_granule(struct finder *finder, struct image *image,
	     const struct disk_inode *inode, uint64_t start, uint64_t end)
{
	size_t changes = inode->change_count;

	if (finder->kind == FAULT_DROP_ALL)
		changes = 0;
	else if (finder->kind == FAULT_SUBSET)
		changes = pick_moment(finder, inode);
	for (size_t i = 0; i < changes; i++)
		apply_change(finder, image, inode, i, start, end);
}

/* What stands where a file grew and its new bytes never came. */
static void
fill_tail(struct finder *finder, struct image *image, uint64_t from)
{
	const struct disk *disk = finder->disk;
	bool garbage = finder->kind == FAULT_GARBAGE_TAIL ||
		       (finder->kind == FAULT_SUBSET && below(finder, 2));

	if (image->size <= from)
		return;
	if (!garbage) {
		memset(image->data + from, 0, image->size - from);
		return;
	}
	for (uint64_t at = from; at < image->size; at++) {
		image->data[at] =
			at < disk->stale_len
				? disk->stale[at]
				: (uint8_t)suite_random(&finder->random);
	}
}

static struct image
find_contents(struct finder *finder, const struct disk_inode *inode)
{
	struct image image;
	uint64_t old = inode->durable_size, step, end;
	bool tail_only = finder->kind == FAULT_ZERO_TAIL ||
			 finder->kind == FAULT_GARBAGE_TAIL;

	image.size = size_after(inode, size_moment(finder, inode));
	image.data = must_alloc(image.size);
	if (old > image.size)
		old = image.size;
	if (old)
		memcpy(image.data, inode->durable, old);
	step = granule_bytes(finder, &image);
	if (tail_only) {
		fill_granule(finder, &image, inode, 0, old);
		fill_tail(finder, &image, old);
		return image;
	}
	fill_tail(finder, &image, old);
	for (uint64_t at = 0; at < image.size; at += step) {
		end = at + step < image.size ? at + step : image.size;
		fill_granule(finder, &image, inode, at, end);
	}
	return image;
}

/* The last write anywhere. */
static uint64_t
last_write(const struct disk *disk)
{
	uint64_t last = 0;

	for (size_t i = 0; i < disk->inode_count; i++) {
		const struct disk_inode *inode = disk->inodes[i];

		for (size_t j = 0; j < inode->change_count; j++) {
			const struct disk_change *change = &inode->changes[j];

			if (change->len > 0 && change->order > last)
				last = change->order;
		}
	}
	return last;
}

/* ---- Names ---- */

/* Names of which a change was lost: no later one of theirs can have happened. */
struct lost_names {
	char (*names)[ENV_NAME_MAX + 1]; /* owned */
	size_t count, cap;
};

static bool
is_lost(const struct lost_names *lost, const char *name)
{
	for (size_t i = 0; i < lost->count; i++) {
		if (strcmp(lost->names[i], name) == 0)
			return true;
	}
	return false;
}

static void
lose(struct lost_names *lost, const char *name)
{
	lost->names = must_grow(lost->names, lost->count, &lost->cap,
				sizeof(*lost->names));
	memcpy(lost->names[lost->count++], name, ENV_NAME_MAX + 1);
}

static void
find_some_names(struct finder *finder, const struct disk_dir *dir,
		struct disk_names *names)
{
	struct lost_names lost = { 0 };
	uint64_t one_in = 1 + below(finder, 5);

	for (size_t i = 0; i < dir->change_count; i++) {
		const struct disk_name_change *change = &dir->changes[i];
		bool renamed = change->kind == NAME_RENAMED;

		if (below(finder, one_in) != 0 &&
		    !is_lost(&lost, change->name) &&
		    !(renamed && is_lost(&lost, change->to))) {
			disk_names_apply(finder->disk, names, change);
			continue;
		}
		lose(&lost, change->name);
		if (renamed)
			lose(&lost, change->to);
	}
	free(lost.names);
}

static void
find_names(struct finder *finder, const struct disk_dir *dir,
	   struct disk_names *names)
{
	disk_names_copy(names, &dir->durable);
	if (finder->kind == FAULT_SUBSET) {
		find_some_names(finder, dir, names);
		return;
	}
	if (finder->kind == FAULT_DROP_ALL || finder->kind == FAULT_LOSE_NAMES)
		return;
	for (size_t i = 0; i < dir->change_count; i++)
		disk_names_apply(finder->disk, names, &dir->changes[i]);
}

static void
find_dir(struct finder *finder, const struct disk_dir *dir, struct disk *found)
{
	struct disk_dir *to = disk_dir_find(found, dir->path, true);
	struct disk_names names = { 0 };
	struct image image;

	begin_name(finder, dir->path);
	find_names(finder, dir, &names);
	for (size_t i = 0; i < names.count; i++) {
		begin_name(finder, names.items[i].name);
		image = find_contents(finder, names.items[i].inode);
		disk_add(found, to, names.items[i].name, image.data,
			 image.size);
		free(image.data);
	}
	disk_names_fini(finder->disk, &names);
}

struct disk *
disk_found(struct disk *disk, enum fault_crash kind, uint64_t seed)
{
	struct finder finder = { .disk = disk, .kind = kind, .seed = seed };
	struct disk *found;

	if (kind == FAULT_PROCESS_DIED)
		return disk_carried(disk);
	found = disk_new(disk->capacity);
	finder.last_order = last_write(disk);
	for (size_t i = 0; i < disk->dir_count; i++)
		find_dir(&finder, disk->dirs[i], found);
	if (disk->stale) {
		found->stale = must_copy(disk->stale, disk->stale_len);
		found->stale_len = disk->stale_len;
	}
	return found;
}
