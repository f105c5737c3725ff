/* SPDX-License-Identifier: Apache-2.0 */
/* fault_disk.h - a disk in memory that knows what would survive a power cut.
 *
 * Each file is held twice: as a program sees it now, and as of its last sync.
 * Between the two stands the list of changes made since, in order; the same
 * holds for the names in each directory:
 *
 *	durable image --- change, change, change ---> what is seen now
 *	                  any of these may be on disk or not
 *
 * After a power cut disk_found() picks which of them made it.  A file's contents
 * and its name are independent: either may be durable without the other.
 *
 * Memory that file_map() hands out is the file's present contents itself.
 * Stores into it are not seen one by one: a page that differs from what was
 * last synced is one change.
 *
 * No locks: struct fault_env has one around it all.  Out of memory aborts. */
#ifndef TESTS_FAULT_DISK_H
#define TESTS_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/env.h"

#define DISK_SECTOR 512u /* what a disk writes whole or not at all */
#define DISK_PAGE 4096u  /* what the kernel writes back at one moment */

/* What is left of the unsynced changes. */
enum fault_crash {
	FAULT_DROP_ALL,   /* nothing */
	FAULT_KEEP_ALL,   /* everything, as if synced by somebody else */
	FAULT_SUBSET,     /* of each page, sector or file what was there at some
			 * moment, each chosen apart; of each name a prefix of
			 * what happened to it; new space zeros or garbage */
	FAULT_TEAR_LAST,  /* everything, but the last write ends at a sector */
	FAULT_LOSE_NAMES, /* all contents, no creation, rename or removal */
	FAULT_ZERO_TAIL,  /* sizes and names, but files have zeros where they
			    * grew */
	FAULT_GARBAGE_TAIL, /* the same with old blocks of other files there */
	FAULT_PROCESS_DIED /* only the process: the next one sees everything, and
			    * it is as durable as it was; KEEP_ALL brings it to
			    * the disk too */
};

#define FAULT_CRASH_KINDS 8

/* One unsynced change of a file: new bytes (a write; len may be 0 where only
 * the size changes), and the size after it. */
struct disk_change {
	uint64_t offset;
	size_t len;
	uint8_t *data; /* owned */
	uint64_t size;
	uint64_t order; /* its place among all changes of the disk */
	bool mapped;    /* stored through a mapping: may be cut anywhere */
};

struct disk_inode {
	unsigned refs;    /* names, changes of names, open handles */
	unsigned links;   /* names seen now */
	unsigned handles; /* open now */

	uint8_t *data; /* owned; seen now; zeros from size to cap */
	uint64_t size, cap;
	bool region; /* data is a reservation of address space, never moved */

	uint8_t *clean; /* owned; region: the contents last written back, from
			 * which a mapped page is told to be changed */
	uint64_t clean_cap;

	uint8_t *durable; /* owned; zeros from durable_size to durable_cap */
	uint64_t durable_size, durable_cap;
	struct disk_change *changes; /* owned */
	size_t change_count, change_cap;

	unsigned shared_locks;
	bool exclusive_lock;
};

struct disk_name {
	char name[ENV_NAME_MAX + 1];
	struct disk_inode *inode; /* one reference */
};

struct disk_names {
	struct disk_name *items; /* owned */
	size_t count, cap;
};

/* One unsynced change of a directory. */
struct disk_name_change {
	enum { NAME_CREATED, NAME_RENAMED, NAME_REMOVED } kind;
	char name[ENV_NAME_MAX + 1];
	char to[ENV_NAME_MAX + 1];
	struct disk_inode *inode; /* created: one reference */
};

struct disk_dir {
	char *path; /* owned */
	struct disk_names now, durable;
	struct disk_name_change *changes; /* owned */
	size_t change_count, change_cap;
};

struct disk {
	struct disk_dir **dirs; /* owned */
	size_t dir_count, dir_cap;
	struct disk_inode **inodes; /* every one with a reference */
	size_t inode_count, inode_cap;
	uint64_t order;
	uint64_t capacity; /* in bytes */
	uint8_t *stale;    /* owned; what the last freed file had on disk */
	size_t stale_len;
};

struct disk *disk_new(uint64_t capacity);

/* Requires: no handle is open but those that are closed later through
 * disk_inode_unref(). */
void disk_free(struct disk *disk);

/* The directory of that path; NULL if there is none and `create` is not set. */
struct disk_dir *
disk_dir_find(struct disk *disk, const char *path, bool create);

struct disk_inode *disk_name_find(const struct disk_names *names,
				  const char *name); /* NULL: none; borrowed */

/* Changes of names; what they need to be there is there. */
struct disk_inode *
disk_create(struct disk *disk, struct disk_dir *dir, const char *name);
void disk_rename(struct disk *disk, struct disk_dir *dir, const char *from,
		 const char *to);
void disk_unlink(struct disk *disk, struct disk_dir *dir, const char *name);
void disk_dir_sync(struct disk *disk, struct disk_dir *dir);
/* What a failed sync may do: the changes are forgotten as if they were on disk,
 * and are still seen. */
void disk_dir_drop(struct disk *disk, struct disk_dir *dir);

void disk_inode_ref(struct disk_inode *inode);
/* `disk` may be NULL when it is gone. */
void disk_inode_unref(struct disk *disk, struct disk_inode *inode);

uint64_t disk_used(const struct disk *disk);

size_t disk_read(const struct disk_inode *inode, uint64_t offset, void *buf,
		 size_t len);
/* -ENOSPC: after writing what had room.  -EFBIG: more than a mapped file's
 * reservation. */
int disk_write(struct disk *disk, struct disk_inode *inode, uint64_t offset,
	       const void *data, size_t len);
/* New bytes are zeros and take room.  Errors: disk_write(). */
int disk_set_size(struct disk *disk, struct disk_inode *inode, uint64_t size);
void disk_sync(struct disk_inode *inode);
/* What a failed sync may do: the changes are forgotten as if they were on disk,
 * and are still seen. */
void disk_drop_dirty(struct disk_inode *inode);
/* Memory that stays in its place while the file lives.  -ENOMEM. */
int disk_map(struct disk_inode *inode, size_t len, void **out);

/* Whether a sync would have nothing to do; how many bytes it would write. */
bool disk_is_clean(const struct disk_inode *inode);
uint64_t disk_unsynced_bytes(const struct disk_inode *inode);

/* Changes the contents seen and the durable ones, as if they had always been
 * so. Requires: the range lies within both. */
void disk_poke(struct disk_inode *inode, uint64_t offset, const void *data,
	       size_t len);

/* A file with these contents, durable at once; `data` is copied.  Requires: the
 * name is free. */
struct disk_inode *disk_add(struct disk *disk, struct disk_dir *dir,
			    const char *name, const void *data, size_t len);
/* Removes a name, durably at once.  Nothing happens if it is not there. */
void disk_remove(struct disk *disk, struct disk_dir *dir, const char *name);

/* The power goes: what was stored through mappings up to now becomes changes;
 * later stores mean nothing. */
void disk_power_off(struct disk *disk);

/* The disk as it would be found after a power cut now: a new one, everything on
 * it durable.  Requires: the power is off, or no mapping is being written. */
struct disk *
disk_found(struct disk *disk, enum fault_crash kind, uint64_t seed);

/* ---- Between fault_disk.c, fault_names.c, fault_found.c and fault_carry.c ---- */

/* disk_found() of FAULT_PROCESS_DIED. */
struct disk *disk_carried(struct disk *disk);

/* A file without a name, empty or with durable contents; one reference. */
struct disk_inode *disk_inode_new(struct disk *disk);
struct disk_inode *
disk_inode_add(struct disk *disk, const void *data, size_t len);
void disk_dir_free(struct disk *disk, struct disk_dir *dir);
/* Takes over the caller's reference. */
void disk_names_add(struct disk_names *names, const char *name,
		    struct disk_inode *inode);
void disk_names_copy(struct disk_names *to, const struct disk_names *from);
void disk_names_apply(struct disk *disk, struct disk_names *names,
		      const struct disk_name_change *change);
void disk_names_fini(struct disk *disk, struct disk_names *names);

#endif
