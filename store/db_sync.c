/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/db.h"

/* One round: the logs that were in use when it began, oldest first.  Its memory is
 * the store's: a sync must not fail for want of any. */
struct round {
	struct wal_writer **logs; /* borrowed; each holds a reference */
	size_t count;
	uint64_t seq; /* last visible when the round began */
};

static void
round_fini(struct round *round)
{
	size_t i;

	for (i = 0; i < round->count; i++)
		wal_writer_unref(round->logs[i]);
}

/* Takes the logs that are not known to be durable.  Under both locks, so that no
 * switch comes between the sealed ones and the active one. */
static void
round_begin_locked(struct keyfs_store *db, struct round *round)
	REQUIRES(&db->write) REQUIRES(&db->lock)
{
	size_t i;

	*round = (struct round){ .logs = db->sync.logs };
	for (i = 0; i < db->sealed_count; i++)
		if (db->sealed[i].log && !db->sealed[i].synced)
			round->logs[round->count++] =
				wal_writer_ref(db->sealed[i].log);
	round->logs[round->count++] = wal_writer_ref(db->log);
	round->seq = atomic_load_explicit(&db->last_seq, memory_order_relaxed);
}

static void
round_begin(struct keyfs_store *db, struct round *round)
{
	mutex_lock(&db->write);
	mutex_lock(&db->lock);
	round_begin_locked(db, round);
	mutex_unlock(&db->lock);
	mutex_unlock(&db->write);
}

/* Remembers that a sealed log is durable, so that no round syncs it again. */
static void
note_synced(struct keyfs_store *db, const struct wal_writer *log)
{
	size_t i;

	mutex_lock(&db->lock);
	for (i = 0; i < db->sealed_count; i++)
		if (db->sealed[i].log == log)
			db->sealed[i].synced = true;
	mutex_unlock(&db->lock);
}

/* Syncs the logs of the round in their order (R4). */
static int
round_sync(struct keyfs_store *db, const struct round *round,
	   uint64_t *out_position)
{
	uint64_t end = 0;
	size_t i;
	int r;

	for (i = 0; i < round->count; i++) {
		r = wal_writer_sync(round->logs[i], &end);
		if (r < 0)
			return db_fail(db, r, "sync of the log");
		atomic_fetch_add_explicit(&db->counters.log_syncs, 1,
					  memory_order_relaxed);
		if (i + 1 < round->count)
			note_synced(db, round->logs[i]);
	}
	*out_position =
		wal_position(wal_writer_number(round->logs[i - 1]), end);
	return 0;
}

static void
durable_raise_locked(struct keyfs_store *db, uint64_t seq, uint64_t position)
	REQUIRES(&db->sync.lock)
{
	/* Release: who sees the number knows the disk has it. */
	if (seq > atomic_load_explicit(&db->durable_seq, memory_order_relaxed))
		atomic_store_explicit(&db->durable_seq, seq,
				      memory_order_release);
	if (position >
	    atomic_load_explicit(&db->durable_pos, memory_order_relaxed))
		atomic_store_explicit(&db->durable_pos, position,
				      memory_order_release);
}

void
db_durable_raise(struct keyfs_store *db, uint64_t seq, uint64_t position)
{
	mutex_lock(&db->sync.lock);
	durable_raise_locked(db, seq, position);
	cond_broadcast(&db->sync.done);
	mutex_unlock(&db->sync.lock);
}

/* Writes down, unsynced, what has become durable (R4).  Only a hint for recovery: that
 * there is no room for it is no error. */
static void
append_mark(struct keyfs_store *db)
{
	struct wal_record mark = { .type = WAL_MARK };

	mutex_lock(&db->write);
	mark.durable =
		atomic_load_explicit(&db->durable_pos, memory_order_relaxed);
	if (db->log)
		(void)wal_writer_append(db->log, &mark, NULL);
	mutex_unlock(&db->write);
}

/* One round by the one syncer. */
static int
sync_round(struct keyfs_store *db)
{
	uint64_t position = 0;
	struct round round;
	int r;

	round_begin(db, &round);
	r = round_sync(db, &round, &position);
	if (r == 0) {
		mutex_lock(&db->sync.lock);
		durable_raise_locked(db, round.seq, position);
		mutex_unlock(&db->sync.lock);
		append_mark(db);
	}
	round_fini(&round);
	return r;
}

int
db_sync_to(struct keyfs_store *db, uint64_t seq)
{
	int r = 0;

	mutex_lock(&db->sync.lock);
	while (r == 0 && atomic_load_explicit(&db->durable_seq,
					      memory_order_relaxed) < seq) {
		r = atomic_load_explicit(&db->error, memory_order_acquire);
		if (r < 0)
			break;
		if (db->sync.running) {
			/* The running round may have begun before our commit; the
			 * next one covers it. */
			cond_wait(&db->sync.done, &db->sync.lock);
			continue;
		}
		db->sync.running = true;
		mutex_unlock(&db->sync.lock);
		r = sync_round(db);
		mutex_lock(&db->sync.lock);
		db->sync.running = false;
		cond_broadcast(&db->sync.done);
	}
	mutex_unlock(&db->sync.lock);
	return r;
}

/* ---- At close ---- */

/* Where a log ends when all that was ever committed is durable: a mark may lie behind
 * it that is not.  0: it holds no record. */
static uint64_t
log_end(const struct keyfs_store *db, struct wal_writer *log)
{
	uint64_t position =
		atomic_load_explicit(&db->durable_pos, memory_order_relaxed);
	uint64_t durable = wal_position_number(position);

	/* The rounds that came later have synced the older logs whole (R4). */
	if (wal_writer_number(log) < durable)
		return wal_writer_end(log);
	if (wal_writer_number(log) > durable)
		return 0;
	return wal_position_offset(position);
}

static void
end_log(const struct keyfs_store *db, struct wal_writer *log,
	struct version_edit *edit)
{
	if (log)
		version_edit_end_log(edit, wal_writer_number(log),
				     log_end(db, log));
}

void
db_end_logs(struct keyfs_store *db)
{
	struct version_edit edit;
	size_t i;

	version_edit_init(&edit);
	for (i = 0; i < db->sealed_count; i++)
		end_log(db, db->sealed[i].log, &edit);
	end_log(db, db->log, &edit);
	end_log(db, db->next_log, &edit);
	(void)db_install(db, &edit, 0);
	version_edit_fini(&edit);
}

int
keyfs_sync(struct keyfs_store *db)
{
	int r = db_check(db, false);

	if (r < 0)
		return r;
	r = atomic_load_explicit(&db->error, memory_order_acquire);
	if (r < 0)
		return r;
	if (db->options.read_only)
		return 0;
	atomic_fetch_add_explicit(&db->counters.syncs, 1, memory_order_relaxed);
	return db_sync_to(db, atomic_load_explicit(&db->last_seq,
						   memory_order_acquire));
}

uint64_t
keyfs_last_seq(const struct keyfs_store *db)
{
	return atomic_load_explicit(&db->last_seq, memory_order_acquire);
}

uint64_t
keyfs_durable_seq(const struct keyfs_store *db)
{
	return atomic_load_explicit(&db->durable_seq, memory_order_acquire);
}
