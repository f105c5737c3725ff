/* SPDX-License-Identifier: Apache-2.0 */
/* salvage.h - what is still good of a damaged store.
 *
 * The inside of keyfs_salvage_open() and keyfs_repair() (store.h).  It surveys every file
 * that the manifest names, or every file there is if no manifest can be believed:
 *
 *	tables   each block by its checksum; without an index, the blocks are
 *	         found by trying where a checksum fits
 *	logs     each record by its checksum, behind damage too; behind what
 *	         recovery would call the torn tail of a crash, none (R5)
 *
 * What is good becomes sources, iterators in version order; their merge shows the newest
 * version of each key that can still be read.  What is not becomes losses: where, and
 * between which keys and sequence numbers.  A key is *doubtful* if a loss may have held a
 * newer version of it.
 *
 * Nothing is changed on disk, and no byte is believed without its checksum; those that
 * have one may still be hostile.  Memory: the records of the logs, and 16 bytes for each
 * block of a table.  One thread at a time. */
#ifndef STORE_SALVAGE_H
#define STORE_SALVAGE_H

#include "store/buf.h"
#include "store/env.h"
#include "store/error.h"
#include "store/iter.h"
#include "store/memtable.h"
#include "store/table_format.h"

/* One loss; keyfs_loss with its own bytes. */
struct salvage_loss {
	char file[ENV_NAME_MAX + 1];
	char why[160];
	uint64_t offset;
	bool has_keys;           /* keys lay in it */
	struct buf lower, upper; /* both inclusive; len 0: no bound */
	uint64_t max_seq;
};

/* A good block of a table. */
struct salvage_block {
	uint64_t offset;
	uint32_t len;
};

struct salvage_table {
	struct env_file *file; /* owned; NULL: not there */
	char name[ENV_NAME_MAX + 1];
	uint64_t number, size;
	struct salvage_block *blocks; /* owned; in order */
	size_t count, capacity;
};

struct keyfs_salvage {
	/* Constant after salvage_open(). */
	struct env *env;
	struct env_dir *dir;        /* owned */
	struct env_file *lock_file; /* owned; may be NULL */
	struct reporter reporter;   /* the callback in the options */
	bool has_manifest;

	struct salvage_table *tables; /* owned */
	size_t table_count;
	struct memtable *memtable;   /* of all logs; NULL: nothing in them */
	struct salvage_loss *losses; /* owned */
	size_t loss_count, loss_capacity;
	uint64_t last_seq; /* highest seen */
};

/* keyfs_salvage_open() in a given environment.  `exclusive`: nobody else may have the
 * store, read-only openers neither. */
int salvage_open(struct env *env, const char *path,
		 const struct keyfs_options *options, bool exclusive,
		 struct keyfs_salvage **out);

/* ---- Between salvage.c, salvage_table.c and salvage_log.c ---- */

/* What is known of the keys that lay in a loss. */
struct salvage_keys {
	struct keyfs_slice lower, upper; /* both inclusive; empty: no bound */
	uint64_t max_seq;
};

/* Notes a loss; `keys` NULL: no key lay in it.  0 or -ENOMEM. */
int
salvage_lose(struct keyfs_salvage *salvage, const char *file, uint64_t offset,
	     const char *why, const struct salvage_keys *keys);

/* What the manifest says of a table; what is not known is 0 or empty. */
struct salvage_table_hint {
	uint64_t number, file_bytes, max_seq;
	struct keyfs_slice smallest, largest;
};

/* Finds the good blocks of a table.  Damage is noted; -EIO and -ENOMEM end it. */
int salvage_table_survey(struct keyfs_salvage *salvage,
			 const struct salvage_table_hint *hint,
			 struct salvage_table *out);
void salvage_table_fini(struct salvage_table *table);
/* A cursor over the good blocks that only moves forwards: first and next.  `table` is
 * borrowed. */
int salvage_table_iter(struct salvage_table *table, struct iter **out);

struct version_log;

/* Reads the logs into salvage->memtable, in the order given. */
int salvage_logs(struct keyfs_salvage *salvage, const struct version_log *logs,
		 size_t count);

#endif
