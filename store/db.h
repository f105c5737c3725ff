/* SPDX-License-Identifier: Apache-2.0 */
/* db.h - the inside of an open store: what it holds, which lock guards it, and who
 * may call what.  The rules (R1 ...) and the order of the locks are in README.md.
 *
 * The files db_*.c split its life by cycle: open, recover, write, sync, read, flush,
 * compact, keep, look inside.  This header is theirs alone. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <errno.h>
#include <stdatomic.h>

#include "store/batch.h"
#include "store/cache.h"
#include "store/compact.h"
#include "store/env.h"
#include "store/error.h"
#include "store/lock.h"
#include "store/manifest.h"
#include "store/memtable.h"
#include "store/version.h"
#include "store/wal_writer.h"

struct info_log;

/* Sealed memtables that may wait for the flush before writers stop. */
#define DB_SEALED_MAX 2u
/* Level-0 tables at which delays reach their end, as a multiple of
 * options.level0_tables.  A switch waits there while a compaction runs. */
#define DB_LEVEL0_STOP 8u
/* The cache keeps this share of the budget, however many memtables wait: 1/8. */
#define DB_CACHE_SHARE_MIN 8u
/* What a full disk must leave free beside what is not flushed, for the manifest and
 * for steps of log space. */
#define DB_SPACE_MARGIN_BYTES (UINT64_C(4) << 20)
/* Counters are striped so that readers on several processors share no line. */
#define DB_STRIPES 16u

/* A memtable that takes no more writes and waits to be flushed. */
struct sealed {
	struct memtable *memtable; /* holds a reference */
	struct wal_writer *log; /* holds a reference; NULL: recovered, synced */
	bool synced;            /* the log is durable to its end */
	uint64_t last_log;      /* installed: no log up to this one is needed */
	uint64_t last_seq;      /* highest sequence number in it */
};

/* Memtables and version that belong together; immutable, counted.  Whoever holds one
 * needs no lock to read from it. */
struct view {
	_Atomic unsigned refs;
	struct keyfs_store *store;
	struct version *version; /* holds a reference */
	uint64_t
		flushed_seq; /* no table has a higher one; memtables reach back so far */
	size_t memtable_count;
	struct memtable *memtables[]; /* newest first; each holds a reference */
};

/* Who still looks at an old state. */
struct keyfs_snapshot {
	struct keyfs_store *store;
	uint64_t seq;
	struct keyfs_snapshot *prev, *next; /* in keyfs_store.snapshots */
};

/* One stripe of counters: a line of its own. */
struct stripe {
	_Alignas(64) _Atomic int64_t pins; /* values given out minus released */
	_Atomic uint64_t gets, gets_found, bloom_negatives;
};

/* What the store did; relaxed atomics, written by whoever did it. */
struct counters {
	_Atomic uint64_t commits, commit_bytes, syncs, log_syncs;
	_Atomic uint64_t flushes, flush_bytes;
	_Atomic uint64_t compactions, compaction_read_bytes, compaction_bytes;
	_Atomic uint64_t trivial_moves, tables_deleted;
	_Atomic uint64_t delays, delay_ns, stops, stop_ns;
	_Atomic uint64_t recovered_records, dropped_tail_bytes;
	_Atomic uint64_t scrub_bytes, scrub_passes;
	_Atomic uint64_t scrub_last_s, scrub_last_bytes, scrub_last_damages;
	_Atomic int64_t iterators;
};

struct keyfs_store {
	/* Constant after db_open(). */
	struct env *env;
	struct env_dir *dir;           /* owned */
	struct env_file *lock_file;    /* owned */
	struct info_log *info_log;     /* owned; NULL: read-only */
	struct keyfs_options options;  /* resolved */
	struct reporter user_reporter; /* the callback in the options */
	struct reporter reporter;      /* to LOG and to the callback */
	struct cache *cache;           /* owned */
	struct table_set tables;
	unsigned fork_generation; /* of the opener: a forked child is refused */
	pthread_t keeper, flusher, *compactors, scrubber;
	unsigned worker_count; /* started workers, for close */

	/* The order of commits. */
	struct mutex write;
	/* Guarded by write. */
	struct memtable *active; /* holds a reference */
	struct wal_writer *log;  /* holds a reference; NULL: read-only */

	/* The keeper's own: the sealed memtables that the cache has made way for. */
	size_t budgeted;

	struct mutex lock;
	struct cond work;  /* flush and compaction: something may be due */
	struct cond keep;  /* keeper: something may be due */
	struct cond room;  /* writers at a stop; waiters for the workers */
	struct cond scrub; /* the scrubber sleeps; only a close wakes it */
	/* Guarded by lock. */
	struct view *view;     /* one reference */
	struct sealed *sealed; /* oldest first; owned */
	size_t sealed_count;
	size_t sealed_room;              /* constant after db_open() */
	struct wal_writer *next_log;     /* ready for the switch, or NULL */
	struct memtable *next_memtable;  /* ready for the switch, or NULL */
	int next_error;                  /* why the next pair is not ready */
	struct keyfs_snapshot snapshots; /* head of a ring, by sequence */
	size_t snapshot_count;
	bool flush_wanted; /* flush what is sealed, however little */
	bool flushing;     /* the flush thread works */
	uint64_t
		flush_begun; /* flushes begun, and the last of them that failed */
	uint64_t flush_failed;
	int flush_error;           /* why it failed */
	unsigned compacting;       /* compactions that run */
	uint64_t compact_failures; /* how many have failed */
	int compact_error; /* of the last that ended; 0: it did not fail */
	uint64_t
		read_retry_ns; /* when a table is to be read again; 0: none is */
	unsigned
		waiting; /* calls that wait for the workers: a close lets them leave */
	uint64_t sync_due_ns; /* when the interval ends; 0: no timer */
	bool reserve_wanted;  /* the reserve is not held: take it when it fits */
	bool closing;

	/* Appending to the manifest and installing what it says. */
	struct mutex manifest_lock;
	/* Guarded by manifest_lock. */
	struct manifest *manifest; /* owned; NULL: read-only */

	struct {
		struct mutex lock;
		struct cond done;
		/* Guarded by sync.lock. */
		bool running;
		/* The running round's; owned; room for all sealed logs and the
		 * active one. */
		struct wal_writer **logs;
	} sync;

	/* Atomic. */
	_Atomic uint64_t last_seq;    /* visible; written under write */
	_Atomic uint64_t durable_seq; /* written under sync.lock */
	_Atomic uint64_t durable_pos; /* written under sync.lock */
	_Atomic uint64_t next_file;   /* next file number */
	_Atomic int error;            /* why the store failed; 0: it did not */
	_Atomic bool no_space;    /* the last attempt to write found no room */
	_Atomic bool sync_armed;  /* a record waits for the interval */
	_Atomic uint64_t ns_per_byte; /* back-pressure, times 1024 */
	_Atomic uint64_t paid_until_ns; /* monotonic; 0: nothing is owed */
	_Atomic uint64_t space_left;  /* what admission believes is free */
	_Atomic bool reserve_held;    /* RESERVE has its full size */
	_Atomic bool wants_room; /* the log runs short of space made ahead */
	/* Highest sequence number of a tombstone that compaction dropped. */
	_Atomic uint64_t dropped_tombstone_seq;
	_Atomic bool cancel; /* running compactions stop */

	struct counters counters;
	struct stripe stripes[DB_STRIPES];
};

/* ---- db_open.c ---- */

/* keyfs_open() in a given environment. */
int db_open(struct env *env, const char *path,
	    const struct keyfs_options *options, struct keyfs_store **out);

/* Puts the store into the failed state (R10), once; returns the error in force. */
int db_fail(struct keyfs_store *db, int error, const char *what);

/* 0, -EPERM in a forked child, or the error of the failed state when `writing`. */
int db_check(const struct keyfs_store *db, bool writing);

/* A new file number.  -EOVERFLOW: logs could not be told apart any more. */
int db_new_number(void *db, uint64_t *out);

/* The calling thread's counters. */
struct stripe *db_stripe(struct keyfs_store *db);

/* ---- db_recover.c ---- */

/* Replays the manifest and the logs into the view and the sealed list.  `is_new`: there
 * is nothing to replay.  Changes nothing on disk but to sync what it replayed. */
int db_recover(struct keyfs_store *db, bool is_new);

/* ---- db_begin.c ---- */

/* Makes a recovered store ready for writing (R7): the new log, the new manifest, then
 * removal of what no record needs (R9). */
int db_begin(struct keyfs_store *db);

/* ---- db_log.c: the human-readable LOG ---- */

/* Opens it for appending.  `fallback` gets every line too. */
int info_log_open(struct env *env, struct env_dir *dir,
		  const struct reporter *fallback, struct info_log **out);
void info_log_close(struct info_log *log); /* NULL is allowed */
/* A reporter's callback; `log` is the struct info_log. */
void info_log_line(void *log, enum keyfs_log_level level, const char *line);

/* ---- db_view.c ---- */

/* Pins the present view; *out_seq is the last visible sequence number of it. */
struct view *db_view_pin(struct keyfs_store *db, uint64_t *out_seq);
/* May take db->lock.  NULL is allowed. */
void view_unref(struct view *view);

/* Memory for a view of this store; filled by db_view_install_locked().  Freed by
 * view_unref() either way. */
struct view *db_view_alloc(struct keyfs_store *db);

/* Makes `view` the present one after the active memtable, the sealed list or the
 * version has changed.  Takes it; `active` (NULL: none) and `version` are borrowed.
 * Returns the one before, which the caller lets go of without the lock: with it may go
 * a memtable, and everybody would wait until its memory is back with the system.
 * Cannot fail: an edit may be in the manifest already. */
struct view *
db_view_install_locked(struct keyfs_store *db, struct view *view,
		       struct memtable *active, struct version *version,
		       uint64_t flushed_seq) REQUIRES(&db->lock);

/* Wakes the keeper.  Takes db->lock. */
void db_wake_keeper(struct keyfs_store *db);

/* ---- db_pressure.c ---- */

/* Recomputes the price of a byte after a change of what is due. */
void db_pressure_update_locked(struct keyfs_store *db) REQUIRES(&db->lock);
/* A commit of `bytes` was applied: the next ones pay for it. */
void db_owe(struct keyfs_store *db, size_t bytes);
/* Sleeps what is owed, if it is worth a sleep.  -EAGAIN: it is, under KEYFS_NOWAIT. */
int db_pay(struct keyfs_store *db, unsigned flags);
/* Whether level 0 takes no more tables until a compaction has ended. */
bool db_level0_is_full_locked(const struct keyfs_store *db) REQUIRES(&db->lock);

/* ---- db_room.c ---- */

/* Prepares a commit of `bytes`: pays back-pressure, asks for disk space. */
int db_admit(struct keyfs_store *db, size_t bytes, unsigned flags);

/* Gives the cache what the memtables leave of the budget (P7).  The keeper's: it may
 * have much to evict. */
void db_budget_update(struct keyfs_store *db);

/* Asks the disk what is free. */
void db_space_refresh(struct keyfs_store *db);

/* Whether the last opening has left a reserve. */
void db_reserve_find(struct keyfs_store *db);
/* Gives the reserve back to the disk, but for what the next opening needs, or takes
 * it again when there is room. */
void db_reserve_release(struct keyfs_store *db);
/* That too; for an opening.  Whether there was anything. */
bool db_reserve_release_all(struct keyfs_store *db);
void db_reserve_restore(struct keyfs_store *db);

/* Bytes in memtables. */
size_t
db_memtable_bytes_locked(const struct keyfs_store *db) REQUIRES(&db->lock);

/* ---- db_stats.c ---- */

/* All that keyfs_stats_get() can tell. */
void db_stats_fill(struct keyfs_store *db, struct keyfs_stats *out);

/* ---- db_write.c ---- */

/* Seals the active memtable if it holds anything.  Waits for room unless KEYFS_NOWAIT
 * is in `flags`; drops and retakes the write mutex while it waits. */
int
db_switch_locked(struct keyfs_store *db, unsigned flags) REQUIRES(&db->write);

/* ---- db_sync.c ---- */

/* Makes every commit up to `seq` durable. */
int db_sync_to(struct keyfs_store *db, uint64_t seq);

/* Writes into the manifest where the logs end, so that whatever is missing of them at
 * the next opening is known to be damage (R7).  Failing does no harm.  Requires: all is
 * durable, and nobody else uses the store any more. */
void db_end_logs(struct keyfs_store *db);

/* Everything up to these became durable by the installation of tables. */
void db_durable_raise(struct keyfs_store *db, uint64_t seq, uint64_t position);

/* ---- db_read.c ---- */

/* Finds the newest version of `key` not above `seq` in a pinned view.  -ENOENT: none,
 * or a tombstone.  `out` is pinned as in keyfs_get().  *out_seq (may be NULL) is the
 * sequence number of what was found, tombstones too; 0: nothing. */
int db_get(struct keyfs_store *db, const struct view *view, uint64_t seq,
	   struct keyfs_slice key, unsigned flags, struct keyfs_value *out,
	   uint64_t *out_seq);

/* ---- db_install.c ---- */

/* Writes `edit` to the manifest and installs the version it gives (R6); sets its
 * next_number.  `sealed_gone`: how many of the oldest sealed memtables its tables
 * replace.  -ENOSPC: nothing was done.  Another error has put the store into the failed
 * state, and it is unknown whether the edit is on disk. */
int db_install(struct keyfs_store *db, struct version_edit *edit,
	       size_t sealed_gone);

/* A snapshot of who looks at old states, for one compaction or flush. */
struct seen {
	uint64_t *seqs; /* owned, ascending */
	size_t count;
	uint64_t visible;
};

int
db_seen_locked(struct keyfs_store *db, struct seen *out) REQUIRES(&db->lock);

/* A tombstone of this sequence number may leave the tables, with all that it hid. */
void db_note_dropped(struct keyfs_store *db, uint64_t seq);

/* Fills what every job of this store has in common. */
void db_job_init(struct keyfs_store *db, const struct seen *seen,
		 struct compact_job *out);

/* ---- db_workers.c, db_flush.c, db_compact.c, db_keeper.c, db_scrub.c ---- */

int db_workers_start(struct keyfs_store *db);
/* Sets closing, ends and joins them, and lets everybody leave who waits for them. */
void db_workers_stop(struct keyfs_store *db);
/* Around a call that waits for the workers. */
void db_wait_begin(struct keyfs_store *db);
void db_wait_end(struct keyfs_store *db);
/* Why it is in vain to wait for the workers: the error of the failed state, -ECANCELED
 * when they end, or that of a flush that began after flush number `flush_begun`, which
 * the caller has read when it began to wait.  0: it is not. */
int db_stuck_locked(const struct keyfs_store *db, uint64_t flush_begun)
	REQUIRES(&db->lock);
void *db_flush_main(void *db);
void *db_compact_main(void *db);
void *db_keeper_main(void *db);
void *db_scrub_main(void *db);

/* Reads every live table once, at the rate of the options.  -ECANCELED: the store is
 * being closed. */
int db_scrub_pass(struct keyfs_store *db);

/* Makes the next log and memtable if they are missing.  The keeper's. */
int db_prepare_next(struct keyfs_store *db);

/* Capacity of a log: whatever a memtable and its last batch may take. */
uint64_t db_log_capacity(const struct keyfs_store *db);

#endif
