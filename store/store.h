/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the public interface of libkeyfs, an embedded ordered key-value
 * store.
 *
 * A store is a directory.  It maps keys (1 byte to 64 KiB) to values (0 to
 * 16 MiB), ordered by memcmp() on the key, the shorter key first where one is a
 * prefix of the other.  Writes go to a log and to memory; worker threads write
 * sorted tables and merge them (a log-structured merge tree: O'Neil et al., "The
 * Log-Structured Merge-Tree", Acta Informatica 33, 1996).
 *
 *	struct keyfs_options options = { .size = sizeof(options), .create = true };
 *	struct keyfs_store *store;
 *	struct keyfs_value value;
 *
 *	keyfs_open("/var/lib/app/store", &options, &store);
 *	keyfs_put(store, NULL, keyfs_str("host"), keyfs_str("10.0.0.1"), 0);
 *	keyfs_sync(store);
 *	if (keyfs_get(store, NULL, NULL, keyfs_str("host"), 0, &value) == 0) {
 *		fwrite(value.data.data, 1, value.data.len, stdout);
 *		keyfs_value_release(&value);
 *	}
 *	keyfs_close(store);
 *
 * What holds for every call (a program checks every result):
 *
 * 1. Results.  A call that can fail returns 0 or a negative errno value.
 *    Outputs are the last parameters and are touched on success only, unless
 *    the call says otherwise.
 *	-EINVAL    an argument is out of its limits
 *	-ENOENT    no such key, store or file
 *	-EUCLEAN   data on disk is damaged; the log line names file and offset
 *	-EIO       the disk failed a read or a write
 *	-ENOSPC    the disk is full; nothing was done, a later call may succeed
 *	-ENOMEM    no memory; nothing was done
 *	-E2BIG     a batch is larger than a quarter of the memory budget
 *	-EROFS     the store was opened read-only
 *	-EPERM     the handle was opened by another process (used after fork)
 *	-EAGAIN    KEYFS_NOWAIT was given and the call would have waited
 *	-ECANCELED a condition of a batch did not hold; nothing was done
 * 2. Failed disks.  After a failed sync of the log or the manifest each later
 *    write and sync returns that same error; reads go on.  A sync is never
 *    retried.
 * 3. Threads.  A store may be used by any number of threads.  A batch or an
 *    iterator belongs to one thread at a time; a value or a snapshot may be
 *    handed between threads.
 * 4. Slices are borrowed: the caller's bytes are read during the call and never
 *    kept.
 * 5. Order and durability.  Each batch is atomic.  What a reader sees, and what
 *    is left after a crash, is always the effect of a prefix of the batches in
 *    their sequence order.  A batch is durable when a sync that began after its
 *    commit has returned 0.
 * 6. Families are named keyspaces.  One exists today, the default family, named
 *    by NULL.
 * 7. Option and result structs begin with their size.  A zero member means its
 *    default; the library reads or fills min(size) bytes, so that a program
 *    built for an older version works.
 * 8. Signals.  The first store that is opened for writing on a filesystem that
 *    can be mapped installs a handler for SIGBUS, by which a disk that is gone
 *    becomes an error of the write; every other SIGBUS is handed to the handler
 *    that was there.  A program that sets its own does so before that, or loses
 *    this.
 */
#ifndef KEYFS_STORE_H
#define KEYFS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(KEYFS_BUILDING)
#define KEYFS_PUBLIC __attribute__((visibility("default")))
#else
#define KEYFS_PUBLIC
#endif

struct keyfs_store;
struct keyfs_family;
struct keyfs_batch;
struct keyfs_iter;
struct keyfs_snapshot;

/* Limits, in bytes. */
#define KEYFS_KEY_MAX 65536u
#define KEYFS_VALUE_MAX (16u << 20)

/* Flags of reads and writes. */
#define KEYFS_NOWAIT                                                           \
	1u /* -EAGAIN instead of waiting for the disk or for back-pressure */
#define KEYFS_SYNC 2u /* commit: return after the batch is durable */
#define KEYFS_USE_RESERVE                                                      \
	4u /* commit: the batch frees space; on a full disk take the reserve   \
	    */

#define KEYFS_SKIP_DAMAGE                                                      \
	8u /* iterators: pass over damage ranges without an error */

/* Borrowed bytes. */
struct keyfs_slice {
	const void *data;
	size_t len;
};

static inline struct keyfs_slice
keyfs_bytes(const void *data, size_t len)
{
	struct keyfs_slice s = { data, len };

	return s;
}

static inline struct keyfs_slice
keyfs_str(const char *str)
{
	return keyfs_bytes(str, strlen(str));
}

/* A value pinned in memory: valid, whatever is written later, until
 * keyfs_value_release(). */
struct keyfs_value {
	struct keyfs_slice data;
	uint64_t seq; /* sequence number of the write that made it */
	void *pin;    /* this and the next: the library's own */
	struct keyfs_store *store;
};

/* Severity of a line given to keyfs_options.log. */
enum keyfs_log_level { KEYFS_LOG_INFO, KEYFS_LOG_WARNING, KEYFS_LOG_ERROR };

/* keyfs_options.compression. */
enum keyfs_compression {
	KEYFS_COMPRESSION_DEFAULT,
	KEYFS_COMPRESSION_LZ4,
	KEYFS_COMPRESSION_NONE
};

/* keyfs_options.commit_interval_ms: every commit is synced before it returns.
 */
#define KEYFS_COMMIT_ALWAYS UINT32_MAX

/* keyfs_options.scrub_bytes_per_second: nothing is scrubbed. */
#define KEYFS_SCRUB_OFF SIZE_MAX

struct keyfs_options {
	size_t size; /* sizeof(struct keyfs_options), set by the caller */

	/* What to open, and how. */
	bool create; /* make the store if the directory is absent or empty */
	bool must_create; /* -EEXIST if there is a store already */
	bool read_only;   /* change nothing on disk; any number of readers, no
			     writer */
	uint32_t lock_wait_ms; /* how long to wait for another opener; default
				  0: -EBUSY at once */
	const char *label;     /* one line kept in LOCK for people: who has the
				  store; at most 4 KiB */

	/* Durability. */
	uint32_t commit_interval_ms; /* unsynced records are synced after it;
					default 5000 */

	/* Memory and threads. */
	size_t memory_bytes;   /* the budget for everything; default 256 MiB,
				  1 MiB to 1 TiB */
	size_t memtable_bytes; /* switch to a new memtable at; default
				  memory_bytes / 4, 4 KiB to
				  memory_bytes / 2 */
	uint32_t compaction_threads; /* default 2, at most 16; flush has its own
					thread */

	/* Shape of tables; of use to tests and measurements. */
	uint32_t block_bytes;   /* default 4096, 128 to 1 MiB */
	uint32_t bloom_bits;    /* per key; default 10, at most 32 */
	size_t table_bytes;     /* cut tables at; default 32 MiB, 1 KiB
				   to 1 GiB */
	uint32_t level0_tables; /* level-0 tables that start a compaction;
				   default 4, at most 64 */
	uint32_t level_ratio; /* size of a level over the one above; default 10,
				 2 to 64 */
	size_t level_bytes;   /* least target of the first sorted level; default
				 64 MiB, 1 KiB to 8 GiB */
	enum keyfs_compression compression;

	/* Full disks: space held back so that deleting works; default 16 MiB,
	 * at most 1 TiB. */
	size_t reserve_bytes;

	/* One line a message, without a newline, never a key or a value. Called
	 * from any thread, from inside calls: it must not call the store. NULL:
	 * only the store's own LOG file. */
	void (*log)(void *arg, enum keyfs_log_level level, const char *line);
	void *log_arg;

	/* A thread reads all tables and checks them, over and over, so that rot is
	 * found early: how fast (default 1 MiB, 1 KiB or more; KEYFS_SCRUB_OFF:
	 * not at all), and how long from the beginning of a pass to that of the
	 * next at least; default a week.  The first begins ten minutes after
	 * the opening, or after the interval if that is shorter. */
	size_t scrub_bytes_per_second;
	uint32_t scrub_interval_s;
};

/* The library's version, such as "0.1.0".  Static. */
KEYFS_PUBLIC const char *keyfs_version(void);

/* ---- Opening and closing ---- */

/* Opens the store in directory `path`; recovery takes time in proportion to the
 * log since the last flush.  `options` may be NULL.  The caller owns *out and
 * closes it. -ENOENT: no store there and `create` not set.  -EEXIST: see
 * must_create.  -EBUSY: another process has it open.  -ENOTEMPTY: `create`, but
 * the directory holds other things.  -ENOTDIR. -EPERM: the directory is a
 * symbolic link, another user's, or writable by others. -EPROTONOSUPPORT: made
 * by a newer version; the log line names the feature. -EUCLEAN: damaged;
 * nothing was changed.  -EINVAL: an option is out of its limits; the log line
 * names it.  -EMFILE, -ENFILE: each table, table_bytes of the store or less, is an
 * open file: raise RLIMIT_NOFILE. */
KEYFS_PUBLIC int
keyfs_open(const char *path, const struct keyfs_options *options,
	   struct keyfs_store **out);

/* Stops the workers, makes every commit durable, frees the handle.  NULL is
 * allowed. -EBUSY: a value, iterator or snapshot is still out; the store stays
 * open. Another error: what could not be made durable; the handle is freed all
 * the same. */
KEYFS_PUBLIC int keyfs_close(struct keyfs_store *store);

/* ---- Reading ---- */

/* Finds `key` as of `snapshot` (NULL: now) and pins its value, without copying
 * it.  The caller releases *out.  -ENOENT: no such key.  Flags: KEYFS_NOWAIT.
 */
KEYFS_PUBLIC int
keyfs_get(struct keyfs_store *store, struct keyfs_family *family,
	  const struct keyfs_snapshot *snapshot, struct keyfs_slice key,
	  unsigned flags, struct keyfs_value *out);

/* Finds `count` keys at one read point.  results[i] is 0 and values[i] is
 * pinned, or results[i] is the error of that key (-ENOENT too).  Fails as a
 * whole, with nothing pinned, only with -EINVAL, -ENOMEM, -EPERM, or -EAGAIN.
 */
KEYFS_PUBLIC int
keyfs_mget(struct keyfs_store *store, struct keyfs_family *family,
	   const struct keyfs_snapshot *snapshot, size_t count,
	   const struct keyfs_slice *keys, unsigned flags,
	   struct keyfs_value *values, int *results);

/* Unpins a value and empties it.  An empty value is allowed.  Any thread. */
KEYFS_PUBLIC void keyfs_value_release(struct keyfs_value *value);

/* ---- Writing ---- */

/* One-change batches.  A delete of an absent key succeeds.  Flags and errors:
 * keyfs_commit(). */
KEYFS_PUBLIC int
keyfs_put(struct keyfs_store *store, struct keyfs_family *family,
	  struct keyfs_slice key, struct keyfs_slice value, unsigned flags);
KEYFS_PUBLIC int
keyfs_delete(struct keyfs_store *store, struct keyfs_family *family,
	     struct keyfs_slice key, unsigned flags);

/* A batch: changes and conditions applied all or not at all.  The add calls
 * copy their bytes, keep the first error inside, and keyfs_commit() reports it.
 */
KEYFS_PUBLIC int keyfs_batch_new(struct keyfs_batch **out);
KEYFS_PUBLIC void
keyfs_batch_free(struct keyfs_batch *batch); /* NULL is allowed */
KEYFS_PUBLIC void keyfs_batch_clear(struct keyfs_batch *batch);
KEYFS_PUBLIC size_t
keyfs_batch_count(const struct keyfs_batch *batch); /* changes */
KEYFS_PUBLIC size_t
keyfs_batch_bytes(const struct keyfs_batch *batch); /* as logged */
KEYFS_PUBLIC void
keyfs_batch_put(struct keyfs_batch *batch, struct keyfs_family *family,
		struct keyfs_slice key, struct keyfs_slice value);
KEYFS_PUBLIC void
keyfs_batch_delete(struct keyfs_batch *batch, struct keyfs_family *family,
		   struct keyfs_slice key);

/* Condition: no put or delete of `key` has a sequence number above `since`. */
KEYFS_PUBLIC void
keyfs_batch_require_unchanged(struct keyfs_batch *batch,
			      struct keyfs_family *family,
			      struct keyfs_slice key, uint64_t since);
/* Condition: `key` has no value. */
KEYFS_PUBLIC void
keyfs_batch_require_absent(struct keyfs_batch *batch,
			   struct keyfs_family *family, struct keyfs_slice key);

/* Commits a batch: conditions checked, changes visible, both in one step.  The
 * changes take consecutive sequence numbers; *out_seq (may be NULL) is the
 * last.  An empty batch only checks. The batch is unchanged and may be
 * committed again.  May be delayed by back-pressure, a little at a time. Flags:
 * all three. With KEYFS_SYNC an error of the sync means that the batch is
 * applied but may not be durable. */
KEYFS_PUBLIC int
keyfs_commit(struct keyfs_store *store, const struct keyfs_batch *batch,
	     unsigned flags, uint64_t *out_seq);

/* ---- Durability ---- */

/* Returns when every commit that returned before the call is durable.  Calls at
 * the same time share one flush of the disk. */
KEYFS_PUBLIC int keyfs_sync(struct keyfs_store *store);

/* The last visible sequence number, and the last that is known to be durable.
 */
KEYFS_PUBLIC uint64_t keyfs_last_seq(const struct keyfs_store *store);
KEYFS_PUBLIC uint64_t keyfs_durable_seq(const struct keyfs_store *store);

/* ---- Snapshots ---- */

/* Fixes the present state for reading until freed; O(1).  The caller frees it
 * before closing. */
KEYFS_PUBLIC int
keyfs_snapshot_new(struct keyfs_store *store, struct keyfs_snapshot **out);
KEYFS_PUBLIC void
keyfs_snapshot_free(struct keyfs_snapshot *snapshot); /* NULL is allowed */
KEYFS_PUBLIC uint64_t keyfs_snapshot_seq(const struct keyfs_snapshot *snapshot);

/* ---- Iterators ---- */

struct keyfs_iter_options {
	size_t size; /* sizeof(struct keyfs_iter_options) */
	const struct keyfs_snapshot
		*snapshot; /* NULL: the state when the iterator is made */
	struct keyfs_slice lower; /* first key; .data NULL: no bound; copied */
	struct keyfs_slice
		upper;  /* past the last key; .data NULL: no bound; copied */
	unsigned flags; /* KEYFS_NOWAIT, KEYFS_SKIP_DAMAGE */
};

/* A cursor over the live keys in order.  It sees one state and pins the tables
 * of that state; it begins at no key.  `options` may be NULL.  The caller frees
 * it before closing the store.
 *
 * A move that would pass over keys that may be lost ends before them with status
 * -EUCLEAN; so does one that meets a bad block.  keyfs_iter_damage() says up to
 * where, and a seek behind that goes on; with KEYFS_SKIP_DAMAGE damage ranges (not
 * blocks that no compaction has met yet) are passed over by themselves, and what
 * is shown is certain. */
KEYFS_PUBLIC int
keyfs_iter_new(struct keyfs_store *store, struct keyfs_family *family,
	       const struct keyfs_iter_options *options,
	       struct keyfs_iter **out);
KEYFS_PUBLIC void
keyfs_iter_free(struct keyfs_iter *iter); /* NULL is allowed */

/* Moves.  Each returns keyfs_iter_valid(). */
KEYFS_PUBLIC bool keyfs_iter_first(struct keyfs_iter *iter);
KEYFS_PUBLIC bool keyfs_iter_last(struct keyfs_iter *iter);
KEYFS_PUBLIC bool
keyfs_iter_seek(struct keyfs_iter *iter, struct keyfs_slice key); /* >= key */
KEYFS_PUBLIC bool keyfs_iter_seek_prev(struct keyfs_iter *iter,
				       struct keyfs_slice key); /* <= key */
KEYFS_PUBLIC bool
keyfs_iter_next(struct keyfs_iter *iter); /* Requires: valid */
KEYFS_PUBLIC bool
keyfs_iter_prev(struct keyfs_iter *iter); /* Requires: valid */

/* Whether the iterator stands on a key; if not, why: 0 for the end, or the
 * error (-EAGAIN under KEYFS_NOWAIT: seek again without it). */
KEYFS_PUBLIC bool keyfs_iter_valid(const struct keyfs_iter *iter);
KEYFS_PUBLIC int keyfs_iter_status(const struct keyfs_iter *iter);

/* Why a move ended with -EUCLEAN: keys between *first and *last, both inclusive,
 * may be lost or are in a block that cannot be read.  A seek to what follows *last
 * goes on behind them; going backwards, a seek_prev to *first does so for a damage
 * range, and for a bad block nothing does until a compaction has met it:
 * first->data is NULL then.  The bytes are valid until the iterator moves.
 * -ENOENT: it did not end so, or the place is not known. */
KEYFS_PUBLIC int
keyfs_iter_damage(const struct keyfs_iter *iter, struct keyfs_slice *first,
		  struct keyfs_slice *last);

/* The key, value and sequence number where it stands; valid until it moves.
 * Requires: valid. */
KEYFS_PUBLIC struct keyfs_slice keyfs_iter_key(const struct keyfs_iter *iter);
KEYFS_PUBLIC struct keyfs_slice keyfs_iter_value(const struct keyfs_iter *iter);
KEYFS_PUBLIC uint64_t keyfs_iter_seq(const struct keyfs_iter *iter);

/* ---- Maintenance ---- */

/* Writes what is in memory to tables; returns when it is installed. */
KEYFS_PUBLIC int keyfs_flush(struct keyfs_store *store);

/* Flushes, then merges the keys from `lower` to `upper` (.data NULL: no bound)
 * into the last level. Returns when it is done; -ECANCELED if the store is
 * being closed. */
KEYFS_PUBLIC int
keyfs_compact_range(struct keyfs_store *store, struct keyfs_family *family,
		    struct keyfs_slice lower, struct keyfs_slice upper);

/* Returns when no flush or compaction is due or running. */
KEYFS_PUBLIC int keyfs_wait_idle(struct keyfs_store *store);

/* About how many bytes of tables the keys from `lower` to before `upper` take
 * on disk. */
KEYFS_PUBLIC int
keyfs_approximate_size(struct keyfs_store *store, struct keyfs_family *family,
		       struct keyfs_slice lower, struct keyfs_slice upper,
		       uint64_t *out);

/* Called for each damage that keyfs_verify() finds; another value than 0 ends
 * the search. */
typedef int (*keyfs_damage_fn)(void *arg, const char *file, uint64_t offset,
			       const char *why);

/* Reads every byte of every live table and checks it.  -EUCLEAN: damage was
 * found, and each was given to `damage` (may be NULL), damage ranges too.  Other errors: the
 * search could not be finished. */
KEYFS_PUBLIC int
keyfs_verify(struct keyfs_store *store, keyfs_damage_fn damage, void *arg);

/* A damage range: keys of which a compaction lost something, because a block of
 * their table was bad.  Reading one of them gives -EUCLEAN, never an older value,
 * unless it was written or deleted since.  The table is kept in `file`.
 *
 * Lost are at most versions with sequence numbers from min_seq to max_seq of the
 * keys behind `first` up to `last`, and of `first` those below first_seq (0:
 * none). */
struct keyfs_damage_range {
	size_t size;
	const char *file;
	uint64_t offset, bytes; /* in that file */
	struct keyfs_slice first, last;
	uint64_t first_seq, min_seq, max_seq;
};

/* Called for each; another value than 0 ends the listing with it. */
typedef int (*keyfs_damage_range_fn)(void *arg,
				     const struct keyfs_damage_range *range);

/* Lists the damage ranges by their first keys. */
KEYFS_PUBLIC int
keyfs_damages(struct keyfs_store *store, keyfs_damage_range_fn each, void *arg);

/* ---- Damaged stores ---- */

struct keyfs_salvage;

/* A part of a store that cannot be read.  Slices and strings live as long as the
 * salvage that it came from. */
struct keyfs_loss {
	const char *file; /* "000005.sst" */
	uint64_t offset;
	const char *why;
	bool has_keys; /* keys lay in it */
	/* They were between these, both included; .data NULL: no bound is known. */
	struct keyfs_slice lower, upper;
};

/* Reads all of a store that may be damaged, whether or not it can be opened, and changes
 * nothing: what is good can be scanned, what is not is a loss.  Of `options` (may be
 * NULL) log and log_arg count.  The caller closes *out.  -ENOENT: no store there.
 * -EBUSY: another process has it open.  -EPROTONOSUPPORT: made by a newer version.  Other
 * errors as of keyfs_open(), but never -EUCLEAN. */
KEYFS_PUBLIC int
keyfs_salvage_open(const char *path, const struct keyfs_options *options,
		   struct keyfs_salvage **out);
KEYFS_PUBLIC void
keyfs_salvage_close(struct keyfs_salvage *salvage); /* NULL is allowed */

/* Loss number `i`, from 0; false: there are no more. */
KEYFS_PUBLIC bool
keyfs_salvage_loss(const struct keyfs_salvage *salvage, size_t i,
		   struct keyfs_loss *out);

/* Called for each key; another value than 0 ends the scan and is returned.  `doubtful`:
 * a loss whose bounds are known may have held a newer version of it, or its removal. */
typedef int (*keyfs_salvage_fn)(void *arg, struct keyfs_slice key,
				struct keyfs_slice value, bool doubtful);

/* Shows what can be saved: the newest version that can be read of each key, in order. */
KEYFS_PUBLIC int keyfs_salvage_scan(struct keyfs_salvage *salvage,
				    keyfs_salvage_fn each, void *arg);

struct keyfs_repair_options {
	size_t size; /* sizeof(struct keyfs_repair_options), set by the caller */
	/* As in keyfs_options. */
	void (*log)(void *arg, enum keyfs_log_level level, const char *line);
	void *log_arg;
	/* Each loss, before anything is written.  NULL: nobody asks. */
	void (*lost)(void *arg, const struct keyfs_loss *loss);
	/* A key is saved that is doubtful, see keyfs_salvage_fn.  May be NULL. */
	void (*doubtful)(void *arg, struct keyfs_slice key);
	/* So many bytes of keys and values are saved.  May be NULL. */
	void (*progress)(void *arg, uint64_t bytes);
	/* Called when the new store in directory `path` is written and closed, before it
	 * takes the place of the old one; another value than 0 ends the repair: nothing
	 * has changed.  May be NULL. */
	int (*finish)(void *arg, const char *path);
	void *arg; /* of these four */
};

/* Writes what can be saved of the store in `path` into a new one beside it and puts that
 * into its place, in one step; the damaged one is kept.  `*out_kept`, for the caller to
 * free(), is where: `path`.damaged-N.  Whatever happens, `path` is one or the other, whole.
 * What an interruption leaves beside it, `path`.repair-N, is never touched again: it may be
 * the damaged store, if the exchange was made already.  -EOPNOTSUPP: the filesystem cannot
 * exchange two directories.  -ENOSPC.  Other errors as of keyfs_salvage_open(). */
KEYFS_PUBLIC int
keyfs_repair(const char *path, const struct keyfs_repair_options *options,
	     char **out_kept);

/* ---- Looking inside ---- */

#define KEYFS_LEVELS 7

enum keyfs_state {
	KEYFS_STATE_OK,
	KEYFS_STATE_NO_SPACE, /* writes wait for space; they resume by
				 themselves */
	KEYFS_STATE_FAILED, /* the disk failed a sync; reads only, until opened
			       again */
};

struct keyfs_stats {
	size_t size; /* sizeof(struct keyfs_stats), set by the caller */

	enum keyfs_state state;
	int error; /* what put the store into KEYFS_STATE_FAILED; 0 or negative
		      errno */

	uint64_t last_seq, durable_seq;

	/* Contents. */
	uint64_t level_tables[KEYFS_LEVELS];
	uint64_t level_bytes[KEYFS_LEVELS];
	uint64_t entries;   /* in tables, with tombstones and old versions */
	uint64_t log_bytes; /* in logs not flushed yet */

	/* Memory, in bytes; their sum stays within memory_budget. */
	uint64_t memory_budget, memtable_bytes, cache_bytes, table_index_bytes,
		pinned_bytes;

	/* Since the store was opened. */
	uint64_t gets, gets_found, bloom_negatives, cache_hits, cache_misses;
	uint64_t commits, commit_bytes, syncs, log_syncs;
	uint64_t flushes, flush_bytes, compactions, compaction_read_bytes,
		compaction_bytes;
	uint64_t trivial_moves, tables_deleted;
	uint64_t delays, delay_ns, stops, stop_ns; /* back-pressure */
	uint64_t snapshots, iterators;             /* out now */
	uint64_t recovered_records, dropped_tail_bytes;

	/* Damage ranges (keyfs_damages()): how many, the bytes of the blocks lost,
	 * and how many files are kept for them. */
	uint64_t damage_ranges, damage_bytes, damage_files;

	/* What the scrubber has read since the store was opened, and in how many
	 * full passes; when the last of them ended, in seconds since 1970 (0:
	 * none has), what it read, and how many damages it found. */
	uint64_t scrub_bytes, scrub_passes;
	uint64_t scrub_last_s, scrub_last_bytes, scrub_last_damages;
};

/* Fills min(out->size) bytes of *out.  Requires: out->size is set. */
KEYFS_PUBLIC int
keyfs_stats_get(struct keyfs_store *store, struct keyfs_stats *out);

/* A property as text, each line ended by a newline; the caller frees *out with
 * free().
 *	"stats"    the statistics, for people
 *	"levels"   a line per level
 *	"tables"   a line per table
 *	"memory"   each share of the budget
 *	"options"  the options in force
 *	"damage"   a line per damage range: file, offset, bytes, sequence
 *	           numbers, and the keys between which something is unknown,
 *	           printable bytes as they are, others as \xNN
 * -ENOENT: no such property. */
KEYFS_PUBLIC int
keyfs_property(struct keyfs_store *store, const char *name, char **out);

#ifdef __cplusplus
}
#endif

#endif
