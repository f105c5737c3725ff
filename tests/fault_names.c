/* SPDX-License-Identifier: Apache-2.0 */
/* fault_names.c - the directories of the disk in memory: names as they are seen,
 * as they are durable, and what happened between. */
#include <config.h>

#include "tests/fault_disk.h"

#include <string.h>

#include "tests/must.h"

struct disk_inode *
disk_name_find(const struct disk_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i].name, name) == 0)
			return names->items[i].inode;
	}
	return NULL;
}

void
disk_names_add(struct disk_names *names, const char *name,
	       struct disk_inode *inode)
{
	struct disk_name *item;

	names->items = must_grow(names->items, names->count, &names->cap,
				 sizeof(*names->items));
	item = &names->items[names->count++];
	memset(item, 0, sizeof(*item));
	strncpy(item->name, name, ENV_NAME_MAX);
	item->inode = inode;
}

/* Hands the reference over to the caller; NULL if the name is not there. */
static struct disk_inode *
names_take(struct disk_names *names, const char *name)
{
	struct disk_inode *inode;

	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->items[i].name, name) != 0)
			continue;
		inode = names->items[i].inode;
		names->items[i] = names->items[--names->count];
		return inode;
	}
	return NULL;
}

void
disk_names_copy(struct disk_names *to, const struct disk_names *from)
{
	for (size_t i = 0; i < from->count; i++) {
		disk_inode_ref(from->items[i].inode);
		disk_names_add(to, from->items[i].name, from->items[i].inode);
	}
}

void
disk_names_fini(struct disk *disk, struct disk_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		disk_inode_unref(disk, names->items[i].inode);
	free(names->items);
	memset(names, 0, sizeof(*names));
}

void
disk_names_apply(struct disk *disk, struct disk_names *names,
		 const struct disk_name_change *change)
{
	struct disk_inode *inode, *gone = NULL;

	switch (change->kind) {
	case NAME_CREATED:
		disk_inode_ref(change->inode);
		gone = names_take(names, change->name);
		disk_names_add(names, change->name, change->inode);
		break;
	case NAME_RENAMED:
		inode = names_take(names, change->name);
		if (!inode)
			return;
		gone = names_take(names, change->to);
		disk_names_add(names, change->to, inode);
		break;
	case NAME_REMOVED:
		gone = names_take(names, change->name);
		break;
	}
	if (gone)
		disk_inode_unref(disk, gone);
}

static void
count_links(struct disk_dir *dir, int by)
{
	for (size_t i = 0; i < dir->now.count; i++)
		dir->now.items[i].inode->links += (unsigned)by;
}

/* Notes the change and makes it seen. */
static void
change_names(struct disk *disk, struct disk_dir *dir,
	     const struct disk_name_change *change)
{
	dir->changes = must_grow(dir->changes, dir->change_count,
				 &dir->change_cap, sizeof(*dir->changes));
	dir->changes[dir->change_count++] = *change;
	if (change->inode)
		disk_inode_ref(change->inode);
	count_links(dir, -1);
	disk_names_apply(disk, &dir->now, change);
	count_links(dir, 1);
}

struct disk_inode *
disk_create(struct disk *disk, struct disk_dir *dir, const char *name)
{
	struct disk_name_change change = { .kind = NAME_CREATED };
	struct disk_inode *inode = disk_inode_new(disk);

	strncpy(change.name, name, ENV_NAME_MAX);
	change.inode = inode;
	change_names(disk, dir, &change);
	disk_inode_unref(disk, inode);
	return inode;
}

void
disk_rename(struct disk *disk, struct disk_dir *dir, const char *from,
	    const char *to)
{
	struct disk_name_change change = { .kind = NAME_RENAMED };

	strncpy(change.name, from, ENV_NAME_MAX);
	strncpy(change.to, to, ENV_NAME_MAX);
	change_names(disk, dir, &change);
}

void
disk_unlink(struct disk *disk, struct disk_dir *dir, const char *name)
{
	struct disk_name_change change = { .kind = NAME_REMOVED };

	strncpy(change.name, name, ENV_NAME_MAX);
	change_names(disk, dir, &change);
}

static void
forget_name_changes(struct disk *disk, struct disk_dir *dir)
{
	for (size_t i = 0; i < dir->change_count; i++) {
		if (dir->changes[i].inode)
			disk_inode_unref(disk, dir->changes[i].inode);
	}
	dir->change_count = 0;
}

/* Change by change: what disk_dir_drop() has forgotten stays so. */
void
disk_dir_sync(struct disk *disk, struct disk_dir *dir)
{
	for (size_t i = 0; i < dir->change_count; i++)
		disk_names_apply(disk, &dir->durable, &dir->changes[i]);
	forget_name_changes(disk, dir);
}

void
disk_dir_drop(struct disk *disk, struct disk_dir *dir)
{
	forget_name_changes(disk, dir);
}

struct disk_dir *
disk_dir_find(struct disk *disk, const char *path, bool create)
{
	struct disk_dir *dir;

	for (size_t i = 0; i < disk->dir_count; i++) {
		if (strcmp(disk->dirs[i]->path, path) == 0)
			return disk->dirs[i];
	}
	if (!create)
		return NULL;
	dir = must_alloc(sizeof(*dir));
	dir->path = must_copy(path, strlen(path) + 1);
	disk->dirs = must_grow(disk->dirs, disk->dir_count, &disk->dir_cap,
			       sizeof(*disk->dirs));
	disk->dirs[disk->dir_count++] = dir;
	return dir;
}

void
disk_dir_free(struct disk *disk, struct disk_dir *dir)
{
	forget_name_changes(disk, dir);
	disk_names_fini(disk, &dir->now);
	disk_names_fini(disk, &dir->durable);
	free(dir->changes);
	free(dir->path);
	free(dir);
}

struct disk_inode *
disk_add(struct disk *disk, struct disk_dir *dir, const char *name,
	 const void *data, size_t len)
{
	struct disk_inode *inode = disk_inode_add(disk, data, len);

	inode->links = 1;
	disk_names_add(&dir->now, name, inode);
	disk_inode_ref(inode);
	disk_names_add(&dir->durable, name, inode);
	return inode;
}

void
disk_remove(struct disk *disk, struct disk_dir *dir, const char *name)
{
	struct disk_inode *inode = names_take(&dir->now, name);

	if (inode) {
		inode->links--;
		disk_inode_unref(disk, inode);
	}
	inode = names_take(&dir->durable, name);
	if (inode)
		disk_inode_unref(disk, inode);
}
