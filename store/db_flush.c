/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/merge_iter.h"

/* Recovered memtables smaller than this wait for company: see db_open.c. */
#define FLUSH_BYTES_MIN (UINT64_C(1) << 20)
/* Logs that may wait so, before they are flushed all the same. */
#define FLUSH_LOGS_MAX 4u
/* How long a flush waits that found no room or no memory. */
#define RETRY_MS 100u

/* One flush: the sealed memtables that it writes. */
struct flush {
	struct keyfs_store *db;
	size_t count;
	uint64_t last_log, last_seq;
	struct sealed *taken; /* owned; so that it is freed under no lock */
	struct iter **inputs; /* owned; one for each */
	struct version *version;
	struct seen seen;
};

static bool
is_due_locked(const struct keyfs_store *db) REQUIRES(&db->lock)
{
	size_t i, recovered = 0, bytes = 0;

	if (db->sealed_count == 0)
		return false;
	if (db->flush_wanted)
		return true;
	for (i = 0; i < db->sealed_count; i++) {
		if (db->sealed[i].log)
			return true;
		recovered++;
		bytes += memtable_bytes(db->sealed[i].memtable);
	}
	return bytes >= FLUSH_BYTES_MIN || recovered >= DB_SEALED_MAX ||
	       db->view->version->log_count > FLUSH_LOGS_MAX;
}

static void
flush_fini(struct flush *flush)
{
	size_t i;

	for (i = 0; flush->inputs && i < flush->count; i++)
		iter_free(flush->inputs[i]);
	free(flush->inputs);
	for (i = 0; i < flush->count; i++) {
		memtable_unref(flush->taken[i].memtable);
		wal_writer_unref(flush->taken[i].log);
	}
	free(flush->taken);
	version_unref(flush->version);
	free(flush->seen.seqs);
}

static int
flush_take(struct flush *flush, const struct sealed *sealed)
{
	int r = memtable_iter(sealed->memtable, &flush->inputs[flush->count]);

	if (r < 0)
		return r;
	flush->taken[flush->count++] = (struct sealed){
		.memtable = memtable_ref(sealed->memtable),
		.log = sealed->log ? wal_writer_ref(sealed->log) : NULL,
	};
	flush->last_log = sealed->last_log;
	flush->last_seq = sealed->last_seq;
	return 0;
}

/* Takes everything that is sealed. */
static int
flush_init_locked(struct keyfs_store *db, struct flush *flush)
	REQUIRES(&db->lock)
{
	size_t i;
	int r;

	*flush = (struct flush){ .db = db };
	flush->inputs = calloc(db->sealed_count, sizeof(flush->inputs[0]));
	flush->taken = calloc(db->sealed_count, sizeof(flush->taken[0]));
	if (!flush->inputs || !flush->taken)
		return -ENOMEM;
	for (i = 0; i < db->sealed_count; i++) {
		r = flush_take(flush, &db->sealed[i]);
		if (r < 0)
			return r;
	}
	flush->version = version_ref(db->view->version);
	return db_seen_locked(db, &flush->seen);
}

/* Writes the tables. */
static int
flush_run(struct flush *flush, struct compact_job *job)
{
	struct iter *merged;
	int r;

	db_job_init(flush->db, &flush->seen, job);
	job->version = flush->version;
	job->output_level = 0;
	/* A flush is what a close waits for: it is not cancelled. */
	job->cancel = NULL;
	r = merge_iter_new(flush->inputs, flush->count, &merged);
	if (r < 0)
		return r;
	free(flush->inputs);
	flush->inputs = NULL;
	job->input = merged;
	r = compact_run(job);
	iter_free(merged);
	job->input = NULL;
	return r;
}

static int
flush_install(struct flush *flush, struct compact_job *job)
{
	struct keyfs_store *db = flush->db;
	struct version_edit edit;
	int r;

	version_edit_init(&edit);
	compact_edit(NULL, job, &edit);
	edit.log_floor = flush->last_log + 1;
	edit.last_seq = flush->last_seq;
	r = db_install(db, &edit, flush->count);
	version_edit_fini(&edit);
	if (r == -ENOSPC || r == -ENOMEM)
		compact_abandon(job);
	if (r < 0)
		return r;
	atomic_fetch_add_explicit(&db->counters.flushes, 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&db->counters.flush_bytes, job->output_bytes,
				  memory_order_relaxed);
	return 0;
}

static int
flush_once(struct flush *flush)
{
	struct keyfs_store *db = flush->db;
	struct compact_job job = { 0 };
	int r = flush_run(flush, &job);

	if (r == 0)
		db_note_dropped(db, job.dropped_tombstone_seq);
	if (r == 0)
		r = flush_install(flush, &job);
	if (r == 0)
		report(&db->reporter, KEYFS_LOG_INFO,
		       "flushed %zu memtables: %" PRIu64
		       " entries, %zu tables, %" PRIu64 " bytes",
		       flush->count, job.entries_written, job.output_count,
		       job.output_bytes);
	compact_job_fini(&job);
	return r;
}

/* Decides what a failed flush means.  Room and memory come back; anything else means that
 * the disk does not take what was promised to it. */
static void
judge(struct keyfs_store *db, int error)
{
	atomic_store_explicit(&db->no_space, error == -ENOSPC,
			      memory_order_relaxed);
	if (error == -ENOSPC)
		db_reserve_release(db);
	else if (error < 0 && !error_passes(error))
		(void)db_fail(db, error, "flush");
}

/* One round of the flush thread.  Drops and retakes the lock. */
static void
flush_round_locked(struct keyfs_store *db) REQUIRES(&db->lock)
{
	struct flush flush;
	uint64_t number;
	int r = flush_init_locked(db, &flush);

	db->flushing = true;
	number = ++db->flush_begun;
	mutex_unlock(&db->lock);
	if (r == 0)
		r = flush_once(&flush);
	flush_fini(&flush);
	judge(db, r);
	mutex_lock(&db->lock);
	db->flushing = false;
	if (r < 0) {
		db->flush_failed = number;
		db->flush_error = r;
	}
	if (r == 0 && db->sealed_count == 0)
		db->flush_wanted = false;
	/* It may have been the last to hold what a compaction dropped. */
	if (table_set_has_gone(&db->tables))
		cond_signal(&db->keep);
	cond_broadcast(&db->room);
	if (r < 0 && !db->closing)
		(void)cond_wait_ms(&db->work, &db->lock, RETRY_MS);
}

void *
db_flush_main(void *arg)
{
	struct keyfs_store *db = arg;

	mutex_lock(&db->lock);
	while (!db->closing) {
		if (is_due_locked(db) &&
		    !atomic_load_explicit(&db->error, memory_order_relaxed))
			flush_round_locked(db);
		else
			cond_wait(&db->work, &db->lock);
	}
	mutex_unlock(&db->lock);
	return NULL;
}

/* ---- Flushing on demand ---- */

static int
seal_active(struct keyfs_store *db)
{
	int r = 0;

	mutex_lock(&db->write);
	/* A switch that had to wait has done nothing yet. */
	while (r == 0 && memtable_entries(db->active) > 0) {
		struct memtable *before = db->active;

		r = db_switch_locked(db, 0);
		if (db->active != before)
			break;
	}
	mutex_unlock(&db->write);
	return r;
}

static int
wait_flushed(struct keyfs_store *db, uint64_t target)
{
	uint64_t begun;
	int r = 0;

	mutex_lock(&db->lock);
	begun = db->flush_begun;
	db->flush_wanted = db->sealed_count > 0;
	cond_broadcast(&db->work);
	while (r == 0 && db->view->flushed_seq < target && db->sealed_count) {
		r = db_stuck_locked(db, begun);
		if (r == 0)
			cond_wait(&db->room, &db->lock);
	}
	mutex_unlock(&db->lock);
	return r;
}

int
keyfs_flush(struct keyfs_store *db)
{
	uint64_t target;
	int r = db_check(db, true);

	if (r < 0)
		return r;
	db_wait_begin(db);
	target = keyfs_last_seq(db);
	r = seal_active(db);
	if (r == 0)
		r = wait_flushed(db, target);
	db_wait_end(db);
	return r;
}
