/* SPDX-License-Identifier: Apache-2.0 */
/* table_meta.h - what the manifest says of one table, and the way to open it.
 *
 * Counted: each version that holds the table has a reference, each compaction
 * that reads it has one.  The file is opened when somebody first needs it.
 *
 * A table that an installed edit has taken out of the store is *retired*; when
 * its last reference goes (a reader may hold it for long), it comes onto the
 * set's list of files to delete, which a worker empties.  So no reader ever
 * deletes a file, and whoever drops a reference may hold any lock.  Any thread
 * may call. */
#ifndef STORE_TABLE_META_H
#define STORE_TABLE_META_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/table.h"

struct table_info; /* table_builder.h */

/* What all tables of one store share; it outlives them. */
struct table_set {
	/* Constant; borrowed. */
	struct env_dir *dir;
	struct cache *cache;
	const struct reporter *reporter;

	/* Atomic: retired tables without references, last one first. */
	_Atomic(struct table_meta *) gone;
};

struct table_meta {
	/* Constant once it is in a version. */
	struct table_set *set; /* borrowed */
	uint64_t number;
	uint64_t file_bytes;
	uint64_t entries, tombstones;
	uint64_t raw_bytes; /* keys and values before compression */
	uint64_t min_seq, max_seq;
	struct keyfs_slice smallest, largest; /* user keys, owned: behind it */

	/* Guarded by the store's lock: a picked compaction reads it; when the
	 * disk could not read it, and for how long it is left alone then. */
	bool being_compacted;
	uint64_t retry_ns, retry_wait_ns;

	/* Atomic. */
	_Atomic uint32_t refs;
	_Atomic bool retired, set_aside;
	/* The disk could not read it for a merge; it is picked no more until
	 * retry_ns: no endless retry, and the rest goes on. */
	_Atomic bool unreadable;
	_Atomic(struct table *) table; /* one reference; NULL: not open yet */
	struct table_meta *next_gone;  /* the list's, after the last unref */
};

void table_set_init(struct table_set *set, struct env_dir *dir,
		    struct cache *cache, const struct reporter *reporter);

/* Takes one table off the list of files to delete: its number, or 0 if there is
 * none.  One caller at a time; the caller unlinks the file, or renames it if it
 * is *out_aside, and calls cache_drop_file(). */
uint64_t table_set_take_gone(struct table_set *set, bool *out_aside);
/* Whether the list holds any: time to wake a worker. */
bool table_set_has_gone(struct table_set *set);

/* Copies what `info` says, keys included.  One reference, the caller's. */
int table_meta_new(struct table_set *set, uint64_t number,
		   const struct table_info *info, struct table_meta **out);
struct table_meta *table_meta_ref(struct table_meta *meta);
void table_meta_unref(struct table_meta *meta); /* NULL is allowed */

/* An installed, durable edit no longer holds the table: delete its file when
 * nobody reads it.  Not called for a table that has only changed its level. */
void table_meta_retire(struct table_meta *meta);
/* The same, but its file is kept under another name (R12). */
void table_meta_set_aside(struct table_meta *meta);

/* A merge met `error` reading it, which is no damage. */
void table_meta_blame(struct table_meta *meta, int error);

/* The open table, borrowed from `meta`.  -EAGAIN: `nowait`, and it is not open.
 * -EUCLEAN, -EIO and whatever else table_open() returns. */
int table_meta_open(struct table_meta *meta, bool nowait, struct table **out);

/* Writes the file name of table `number`, at most ENV_NAME_MAX bytes and a
 * zero; that of a damaged one that is kept aside. */
void table_file_name(uint64_t number, char *out);
void table_damaged_name(uint64_t number, char *out);

#endif
