/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "store/checksum.h"
#include "store/db.h"

/* The part of its size at which the first memtable ends (its filter alone is a
 * 32nd), and the least for which that is done. */
#define FIRST_SHARE 16u
#define FIRST_BYTES_MIN ((size_t)64 << 10)

/* How long a commit that frees space waits for workers to give some back: 50 times
 * 100 ms. */
#define ROOM_WAITS_MAX 50u
#define ROOM_WAIT_MS 100u

/* ---- The switch ---- */

static bool
next_is_ready_locked(const struct keyfs_store *db) REQUIRES(&db->lock)
{
	return db->next_log && db->next_memtable &&
	       db->sealed_count < DB_SEALED_MAX &&
	       !db_level0_is_full_locked(db);
}

/* Waits until the next log and memtable are there and a sealed one may be added. */
static int
wait_for_next(struct keyfs_store *db)
{
	uint64_t begin = env_now_ns(db->env), flush_begun;
	bool stopped = false;
	int r = 0;

	mutex_lock(&db->lock);
	/* Why it was not ready some time ago is no answer: have it tried again. */
	db->next_error = 0;
	flush_begun = db->flush_begun;
	cond_broadcast(&db->work);
	while (!next_is_ready_locked(db)) {
		r = db_stuck_locked(db, flush_begun);
		if (r == 0)
			r = db->next_error;
		if (r < 0)
			break;
		stopped = true;
		cond_signal(&db->keep);
		cond_wait(&db->room, &db->lock);
	}
	mutex_unlock(&db->lock);
	if (stopped) {
		atomic_fetch_add_explicit(&db->counters.stops, 1,
					  memory_order_relaxed);
		atomic_fetch_add_explicit(&db->counters.stop_ns,
					  env_now_ns(db->env) - begin,
					  memory_order_relaxed);
	}
	return r;
}

/* The swap itself: pointers only.  Returns the view before it. */
static struct view *
swap_locked(struct keyfs_store *db, struct view *view) REQUIRES(&db->write)
	REQUIRES(&db->lock)
{
	struct view *before = db->view;

	db->sealed[db->sealed_count++] = (struct sealed){
		.memtable = db->active,
		.log = db->log,
		.last_log = wal_writer_number(db->log),
		.last_seq = atomic_load_explicit(&db->last_seq,
						 memory_order_relaxed),
	};
	(void)db_view_install_locked(db, view, db->next_memtable,
				     before->version, before->flushed_seq);
	db->active = db->next_memtable;
	db->log = db->next_log;
	db->next_memtable = NULL;
	db->next_log = NULL;
	db_pressure_update_locked(db);
	cond_signal(&db->keep);
	cond_broadcast(&db->work);
	return before;
}

/* Puts a mark where the last record failed, if one did: it may be in the file, whole,
 * and the next log gives its number again (R1). */
static int
settle_log(struct keyfs_store *db) REQUIRES(&db->write)
{
	struct wal_record mark = { .type = WAL_MARK };

	if (!wal_writer_is_soiled(db->log))
		return 0;
	mark.durable =
		atomic_load_explicit(&db->durable_pos, memory_order_relaxed);
	return wal_writer_append(db->log, &mark, NULL);
}

/* The new log's header goes first: if it cannot be written, nothing has changed. */
static int
switch_to(struct keyfs_store *db, struct wal_writer *log,
	  struct memtable *memtable) REQUIRES(&db->write)
{
	uint64_t last =
		atomic_load_explicit(&db->last_seq, memory_order_relaxed);
	struct view *view = db_view_alloc(db), *before;
	int r = view ? 0 : -ENOMEM;

	if (r == 0)
		r = settle_log(db);
	if (r == 0)
		r = wal_writer_begin(log, wal_writer_number(db->log), last + 1);
	if (r < 0) {
		free(view);
		return r;
	}
	memtable_learn(memtable, db->active);
	mutex_lock(&db->lock);
	before = swap_locked(db, view);
	mutex_unlock(&db->lock);
	view_unref(before);
	return 0;
}

int
db_switch_locked(struct keyfs_store *db, unsigned flags)
{
	struct memtable *memtable;
	struct wal_writer *log;
	bool ready;
	int r;

	/* What is ready stays ready: only a switch takes it, under the write
	 * mutex. */
	mutex_lock(&db->lock);
	ready = next_is_ready_locked(db);
	log = db->next_log;
	memtable = db->next_memtable;
	mutex_unlock(&db->lock);
	if (ready)
		return switch_to(db, log, memtable);
	if (flags & KEYFS_NOWAIT)
		return -EAGAIN;
	mutex_unlock(&db->write);
	r = wait_for_next(db);
	mutex_lock(&db->write);
	return r;
}

/* The first memtable of a store that was just opened has learnt nothing of the
 * keys and is the slower for it, so it ends early. */
static size_t
memtable_limit_locked(const struct keyfs_store *db) REQUIRES(&db->write)
{
	size_t limit = db->options.memtable_bytes;

	if (limit < FIRST_SHARE * FIRST_BYTES_MIN ||
	    memtable_has_learnt(db->active))
		return limit;
	return limit / FIRST_SHARE;
}

/* Whether the active pair must be switched before a payload of `bytes`. */
static bool
is_full_locked(const struct keyfs_store *db, size_t bytes) REQUIRES(&db->write)
{
	if (!wal_writer_fits(db->log, (uint32_t)bytes))
		return true;
	return memtable_bytes(db->active) >= memtable_limit_locked(db) &&
	       memtable_entries(db->active) > 0;
}

static int
make_room_locked(struct keyfs_store *db, size_t bytes, unsigned flags)
	REQUIRES(&db->write)
{
	int r = 0;

	/* Again after a wait: others may have filled the new pair meanwhile. */
	while (r == 0 && is_full_locked(db, bytes))
		r = db_switch_locked(db, flags);
	return r;
}

/* ---- Conditions ---- */

/* A commit on its way. */
struct commit {
	const struct keyfs_batch *batch;
	struct keyfs_slice payload;
	uint64_t payload_hash;
	unsigned flags;
	bool needs_read; /* conditions reach back into the tables */
	bool was_read;   /* every condition held, by reading, at as_of */
	uint64_t as_of;
	uint64_t seq;     /* of the last change, when done */
	bool wants_room;  /* the log runs short of space made ahead */
	bool had_reserve; /* the reserve was given back for it */
	unsigned waits;   /* for workers to give space back */
};

/* Whether a condition reaches further back than the memtables of `view`. */
static bool
conditions_need_tables(const struct commit *commit, const struct view *view)
{
	size_t i, count = batch_condition_count(commit->batch);
	struct batch_condition c;

	if (commit->was_read && commit->as_of >= view->flushed_seq)
		return false;
	for (i = 0; i < count; i++) {
		c = batch_condition(commit->batch, i);
		if (c.absent || c.since < view->flushed_seq)
			return true;
	}
	return false;
}

/* One condition, by reading at `as_of`. */
static int
condition_read(struct keyfs_store *db, const struct view *view, uint64_t as_of,
	       const struct batch_condition *c, unsigned flags)
{
	struct keyfs_value value = { 0 };
	uint64_t found = 0;
	int r = db_get(db, view, as_of, c->key, flags, &value, &found);

	keyfs_value_release(&value);
	if (r == 0 && c->absent)
		return -ECANCELED;
	if (r < 0 && r != -ENOENT)
		return r;
	if (c->absent)
		return 0;
	/* A delete since then may have left the tables, tombstone and all. */
	if (found == 0 &&
	    c->since < atomic_load_explicit(&db->dropped_tombstone_seq,
					    memory_order_acquire))
		return -ECANCELED;
	return found > c->since ? -ECANCELED : 0;
}

/* Checks every condition by reading, without the write mutex. */
static int
conditions_check_tables(struct keyfs_store *db, struct commit *commit)
{
	size_t i, count = batch_condition_count(commit->batch);
	struct batch_condition c;
	struct view *view;
	uint64_t as_of;
	int r = 0;

	view = db_view_pin(db, &as_of);
	for (i = 0; i < count && r == 0; i++) {
		c = batch_condition(commit->batch, i);
		r = condition_read(db, view, as_of, &c, commit->flags);
	}
	view_unref(view);
	if (r < 0)
		return r;
	commit->was_read = true;
	commit->as_of = as_of;
	return 0;
}

/* Whether `key` has a version above `since` in the memtables. */
static bool
changed_in_memory(const struct view *view, const struct batch_condition *c,
		  uint64_t since)
{
	struct entry entry;
	size_t i;

	for (i = 0; i < view->memtable_count; i++)
		if (memtable_get(view->memtables[i], c->key, c->hash, SEQ_MAX,
				 &entry))
			return entry.seq > since;
	return false;
}

/* Under the write mutex, so that it sees every earlier write.  -EAGAIN: newer data was
 * flushed since, and the tables must be checked first. */
static int
conditions_check_locked(struct keyfs_store *db, struct commit *commit)
	REQUIRES(&db->write)
{
	size_t i, count = batch_condition_count(commit->batch);
	struct batch_condition c;
	struct view *view;
	uint64_t since;
	int r = 0;

	if (count == 0)
		return 0;
	view = db_view_pin(db, &since);
	commit->needs_read = conditions_need_tables(commit, view);
	if (commit->needs_read)
		r = -EAGAIN;
	for (i = 0; i < count && r == 0; i++) {
		c = batch_condition(commit->batch, i);
		since = c.absent ? 0 : c.since;
		if (commit->was_read && since < commit->as_of)
			since = commit->as_of;
		if (changed_in_memory(view, &c, since))
			r = -ECANCELED;
	}
	view_unref(view);
	return r;
}

/* ---- The commit ---- */

static void
insert_locked(struct keyfs_store *db, const struct commit *commit,
	      uint64_t first_seq) REQUIRES(&db->write)
{
	struct batch_reader reader;
	struct entry entry;

	batch_reader_init(&reader, commit->payload, batch_count(commit->batch));
	/* The batch was encoded by us: it ends where its count says. */
	while (batch_reader_next(&reader, &entry) == 0) {
		entry.seq = first_seq++;
		memtable_add(db->active, &entry, bloom_hash(entry.key));
	}
}

/* Log, then memory, then the number that makes it visible (R1, R2). */
static int
apply_locked(struct keyfs_store *db, struct commit *commit) REQUIRES(&db->write)
{
	size_t count = batch_count(commit->batch);
	uint64_t last =
		atomic_load_explicit(&db->last_seq, memory_order_relaxed);
	struct wal_record record = {
		.type = WAL_BATCH,
		.durable = atomic_load_explicit(&db->durable_pos,
						memory_order_relaxed),
		.seq = last + 1,
		.count = (uint32_t)count,
		.payload_bytes = (uint32_t)commit->payload.len,
		.payload_hash = commit->payload_hash,
	};
	int r;

	if (last + count > SEQ_MAX - 1)
		return -EOVERFLOW;
	r = memtable_reserve(db->active, count, commit->payload.len);
	if (r < 0)
		return r;
	r = wal_writer_append(db->log, &record, commit->payload.data);
	if (r < 0)
		return r;
	insert_locked(db, commit, last + 1);
	commit->seq = last + count;
	commit->wants_room = wal_writer_wants_room(db->log);
	/* Release: a reader that sees the number sees the entries. */
	atomic_store_explicit(&db->last_seq, commit->seq, memory_order_release);
	return 0;
}

static int
commit_locked(struct keyfs_store *db, struct commit *commit)
	REQUIRES(&db->write)
{
	int r = db_check(db, true);

	if (r == 0)
		r = make_room_locked(db, commit->payload.len, commit->flags);
	if (r == 0)
		r = conditions_check_locked(db, commit);
	if (r < 0)
		return r;
	if (batch_count(commit->batch) > 0)
		return apply_locked(db, commit);
	commit->seq = atomic_load_explicit(&db->last_seq, memory_order_relaxed);
	return 0;
}

/* Starts the interval after which the keeper syncs, if it does not run. */
static void
arm_interval(struct keyfs_store *db)
{
	/* Relaxed: a commit that finds it armed is covered by that timer, because the
	 * keeper disarms it before it syncs. */
	if (atomic_load_explicit(&db->sync_armed, memory_order_relaxed) ||
	    atomic_exchange_explicit(&db->sync_armed, true,
				     memory_order_seq_cst))
		return;
	mutex_lock(&db->lock);
	db->sync_due_ns = env_now_ns(db->env) +
			  (uint64_t)db->options.commit_interval_ms * 1000000;
	cond_signal(&db->keep);
	mutex_unlock(&db->lock);
}

/* Whether a commit may not return before a sync. */
static bool
syncs(const struct keyfs_store *db, unsigned flags)
{
	return flags & KEYFS_SYNC ||
	       db->options.commit_interval_ms == KEYFS_COMMIT_ALWAYS;
}

/* What follows a commit, outside the mutex. */
static int
finish(struct keyfs_store *db, const struct commit *commit)
{
	atomic_fetch_add_explicit(&db->counters.commits, 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&db->counters.commit_bytes,
				  commit->payload.len, memory_order_relaxed);
	db_owe(db, commit->payload.len);
	if (commit->wants_room &&
	    !atomic_exchange_explicit(&db->wants_room, true,
				      memory_order_relaxed))
		db_wake_keeper(db);
	if (syncs(db, commit->flags))
		return db_sync_to(db, commit->seq);
	if (batch_count(commit->batch) > 0)
		arm_interval(db);
	return 0;
}

static int
check_batch(const struct keyfs_store *db, const struct keyfs_batch *batch)
{
	int r = batch_error(batch);

	if (r < 0)
		return r;
	return keyfs_batch_bytes(batch) > db->options.memory_bytes / 4 ? -E2BIG
								       : 0;
}

/* What frees space waits for the workers: a compaction may have the reserve for the
 * moment, and gives more back than it took.  False: nobody works, or for too long. */
static bool
wait_for_workers(struct keyfs_store *db, struct commit *commit)
{
	bool busy;

	if (commit->waits++ == ROOM_WAITS_MAX)
		return false;
	mutex_lock(&db->lock);
	busy = db->flushing || db->compacting || db->sealed_count ||
	       table_set_has_gone(&db->tables);
	cond_signal(&db->keep);
	/* The first time in any case: a worker may have ended just now, and the
	 * keeper is yet to remove what that made superfluous. */
	if (busy || commit->waits == 1)
		(void)cond_wait_ms(&db->room, &db->lock, ROOM_WAIT_MS);
	mutex_unlock(&db->lock);
	(void)env_dir_sync(db->dir);
	return busy || commit->waits == 1;
}

/* Whether a refused commit may be tried once more, after what it lacked was done; sets
 * *result if that failed. */
static bool
try_again(struct keyfs_store *db, struct commit *commit, int *result)
{
	if (*result == -EAGAIN && commit->needs_read) {
		commit->needs_read = false;
		*result = conditions_check_tables(db, commit);
		return *result == 0;
	}
	if (*result == -ENOSPC && commit->flags & KEYFS_USE_RESERVE &&
	    !commit->had_reserve) {
		/* To give the reserve back is work for the disk. */
		if (commit->flags & KEYFS_NOWAIT) {
			*result = -EAGAIN;
			return false;
		}
		commit->had_reserve = true;
		db_reserve_release(db);
		return true;
	}
	if (*result == -ENOSPC && commit->flags & KEYFS_USE_RESERVE)
		return wait_for_workers(db, commit);
	return false;
}

int
keyfs_commit(struct keyfs_store *db, const struct keyfs_batch *batch,
	     unsigned flags, uint64_t *out_seq)
{
	struct commit commit = { .batch = batch, .flags = flags };
	int r = db_check(db, true);

	if (r == 0)
		r = check_batch(db, batch);
	if (r == 0 && flags & KEYFS_NOWAIT && syncs(db, flags))
		r = -EAGAIN;
	if (r < 0)
		return r;
	commit.payload = batch_payload(batch);
	commit.payload_hash =
		checksum_hash(commit.payload.data, commit.payload.len);
	r = db_admit(db, commit.payload.len, flags);
	if (r < 0)
		return r;
	do {
		mutex_lock(&db->write);
		r = commit_locked(db, &commit);
		mutex_unlock(&db->write);
	} while (r < 0 && try_again(db, &commit, &r));
	if (r < 0)
		return r;
	if (out_seq)
		*out_seq = commit.seq;
	return finish(db, &commit);
}

/* ---- One change ---- */

int
keyfs_put(struct keyfs_store *db, struct keyfs_family *family,
	  struct keyfs_slice key, struct keyfs_slice value, unsigned flags)
{
	struct keyfs_batch batch;
	int r;

	batch_init(&batch);
	keyfs_batch_put(&batch, family, key, value);
	r = keyfs_commit(db, &batch, flags, NULL);
	batch_fini(&batch);
	return r;
}

int
keyfs_delete(struct keyfs_store *db, struct keyfs_family *family,
	     struct keyfs_slice key, unsigned flags)
{
	struct keyfs_batch batch;
	int r;

	batch_init(&batch);
	keyfs_batch_delete(&batch, family, key);
	r = keyfs_commit(db, &batch, flags | KEYFS_USE_RESERVE, NULL);
	batch_fini(&batch);
	return r;
}
