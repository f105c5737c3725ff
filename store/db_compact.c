/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

/* How long a compaction thread waits that found no room or no memory. */
#define RETRY_MS 500u
/* When a table that the disk could not read is tried again: each time after twice
 * as long, a second at first, ten minutes at last. */
#define READ_RETRY_NS UINT64_C(1000000000)
#define READ_RETRY_NS_MAX (600 * READ_RETRY_NS)

void
db_note_dropped(struct keyfs_store *db, uint64_t seq)
{
	uint64_t old = atomic_load_explicit(&db->dropped_tombstone_seq,
					    memory_order_relaxed);

	/* Release: before the tables without the tombstone can be seen. */
	while (old < seq && !atomic_compare_exchange_weak_explicit(
				    &db->dropped_tombstone_seq, &old, seq,
				    memory_order_release, memory_order_relaxed))
		;
}

static void
count_compaction(struct keyfs_store *db, const struct compact_pick *pick,
		 const struct compact_job *job)
{
	struct counters *c = &db->counters;

	if (pick->trivial_move) {
		atomic_fetch_add_explicit(&c->trivial_moves, 1,
					  memory_order_relaxed);
		return;
	}
	atomic_fetch_add_explicit(&c->compactions, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->compaction_read_bytes, pick->input_bytes,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&c->compaction_bytes, job->output_bytes,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&c->tables_deleted, pick->count,
				  memory_order_relaxed);
}

/* Names each table that was set aside. */
static void
report_lost(struct keyfs_store *db, const struct compact_pick *pick,
	    const struct compact_job *job)
{
	char name[ENV_NAME_MAX + 1];
	uint64_t bytes;
	size_t i, j;

	for (i = 0; i < pick->count && job->lost.count; i++) {
		bytes = 0;
		for (j = 0; j < job->lost.count; j++)
			if (job->lost.at[j]->number == pick->inputs[i]->number)
				bytes += job->lost.at[j]->bytes;
		if (!bytes)
			continue;
		table_damaged_name(pick->inputs[i]->number, name);
		report(&db->reporter, KEYFS_LOG_ERROR,
		       "%" PRIu64 " bytes of a table cannot be read; what "
		       "they held gives errors from now on; the table is kept "
		       "as %s",
		       bytes, name);
	}
}

static int
install(struct keyfs_store *db, const struct compact_pick *pick,
	struct compact_job *job)
{
	struct version_edit edit;
	int r;

	version_edit_init(&edit);
	compact_edit(pick, pick->trivial_move ? NULL : job, &edit);
	db_note_dropped(db, job->dropped_tombstone_seq);
	r = db_install(db, &edit, 0);
	version_edit_fini(&edit);
	if (r == -ENOSPC || r == -ENOMEM)
		compact_abandon(job);
	if (r < 0)
		return r;
	if (!pick->trivial_move)
		compact_retire_inputs(pick, job);
	report_lost(db, pick, job);
	count_compaction(db, pick, job);
	return 0;
}

static int
merge(struct keyfs_store *db, const struct compact_pick *pick,
      const struct seen *seen, struct compact_job *job)
{
	int r;

	db_job_init(db, seen, job);
	job->version = pick->version;
	job->output_level = pick->output_level;
	r = compact_pick_iter(pick, &job->lost, &job->input);
	if (r < 0)
		return r;
	r = compact_run(job);
	iter_free(job->input);
	job->input = NULL;
	return r;
}

static int
run(struct keyfs_store *db, const struct compact_pick *pick,
    const struct seen *seen, bool *out_input_failed)
{
	struct compact_job job = { 0 };
	int r = pick->trivial_move ? 0 : merge(db, pick, seen, &job);

	if (r == 0)
		r = install(db, pick, &job);
	if (r == 0)
		report(&db->reporter, KEYFS_LOG_INFO,
		       "compacted %zu tables of level %u into %zu of level %u: "
		       "%" PRIu64 " to %" PRIu64 " bytes",
		       pick->count, pick->level,
		       pick->trivial_move ? pick->count : job.output_count,
		       pick->output_level, pick->input_bytes,
		       pick->trivial_move ? pick->input_bytes
					  : job.output_bytes);
	*out_input_failed = job.input_failed;
	compact_job_fini(&job);
	return r;
}

/* ---- Tables that the disk cannot read ---- */

/* An error of the disk is no damage: the next read may succeed.  Says when. */
static void
postpone_locked(struct keyfs_store *db, const struct compact_pick *pick)
	REQUIRES(&db->lock)
{
	uint64_t now = env_now_ns(db->env);
	size_t i;

	for (i = 0; i < pick->count; i++) {
		struct table_meta *meta = pick->inputs[i];

		if (!atomic_load_explicit(&meta->unreadable,
					  memory_order_relaxed) ||
		    meta->retry_ns > now)
			continue;
		meta->retry_wait_ns = meta->retry_wait_ns
					      ? 2 * meta->retry_wait_ns
					      : READ_RETRY_NS;
		if (meta->retry_wait_ns > READ_RETRY_NS_MAX)
			meta->retry_wait_ns = READ_RETRY_NS_MAX;
		meta->retry_ns = now + meta->retry_wait_ns;
		if (!db->read_retry_ns || meta->retry_ns < db->read_retry_ns)
			db->read_retry_ns = meta->retry_ns;
	}
}

/* Lets those be picked again whose time has come, and finds the next time. */
static void
retry_reads_locked(struct keyfs_store *db) REQUIRES(&db->lock)
{
	const struct version *version = db->view->version;
	uint64_t now, next = 0;
	unsigned level;
	size_t i;

	if (!db->read_retry_ns)
		return;
	now = env_now_ns(db->env);
	if (now < db->read_retry_ns)
		return;
	for (level = 0; level < KEYFS_LEVELS; level++) {
		for (i = 0; i < version->levels[level].count; i++) {
			struct table_meta *meta =
				version->levels[level].tables[i];

			if (meta->retry_ns && meta->retry_ns <= now)
				atomic_store_explicit(&meta->unreadable, false,
						      memory_order_relaxed);
			else if (meta->retry_ns &&
				 (!next || meta->retry_ns < next))
				next = meta->retry_ns;
		}
	}
	db->read_retry_ns = next;
}

/* Nothing is due: sleeps until something may be. */
static void
wait_for_work_locked(struct keyfs_store *db) REQUIRES(&db->lock)
{
	uint64_t now;

	if (!db->read_retry_ns) {
		cond_wait(&db->work, &db->lock);
		return;
	}
	now = env_now_ns(db->env);
	if (now < db->read_retry_ns)
		(void)cond_wait_ms(&db->work, &db->lock,
				   (db->read_retry_ns - now) / 1000000 + 1);
}

/* ---- Running ---- */

/* Decides what a failed compaction means; see the flush's.  An input that cannot be read
 * is not the store's failure, an output that cannot be written is. */
static void
judge(struct keyfs_store *db, int error, bool input_failed)
{
	if (error == -ENOSPC)
		db_reserve_release(db);
	else if (error < 0 && error != -ECANCELED && !input_failed &&
		 !error_passes(error))
		(void)db_fail(db, error, "compaction");
}

/* For who waits for the work. */
static void
note_result_locked(struct keyfs_store *db, int r) REQUIRES(&db->lock)
{
	db->compact_error = r;
	db->compact_failures += r < 0;
	cond_broadcast(&db->room);
}

/* Runs a pick.  Drops and retakes the lock. */
static int
run_pick_locked(struct keyfs_store *db, struct compact_pick *pick)
	REQUIRES(&db->lock)
{
	struct seen seen = { 0 };
	bool input_failed = false;
	int r = db_seen_locked(db, &seen);

	db->compacting++;
	mutex_unlock(&db->lock);
	if (r == 0)
		r = run(db, pick, &seen, &input_failed);
	free(seen.seqs);
	judge(db, r, input_failed);
	mutex_lock(&db->lock);
	db->compacting--;
	note_result_locked(db, r);
	if (input_failed)
		postpone_locked(db, pick);
	compact_pick_fini(pick);
	/* The pick may have been the last to hold its inputs. */
	if (table_set_has_gone(&db->tables))
		cond_signal(&db->keep);
	/* What has failed is not tried again at once by the other threads: each would
	 * wake the next one for ever. */
	if (r == 0)
		cond_broadcast(&db->work);
	return r;
}

static uint64_t
oldest_seen_locked(const struct keyfs_store *db) REQUIRES(&db->lock)
{
	const struct keyfs_snapshot *head = &db->snapshots;

	if (head->next != head)
		return head->next->seq;
	return atomic_load_explicit(&db->last_seq, memory_order_acquire);
}

/* Chooses what is due.  -ENOENT: nothing is. */
static int
pick_locked(struct keyfs_store *db, struct compact_pick *pick)
	REQUIRES(&db->lock)
{
	if (atomic_load_explicit(&db->error, memory_order_relaxed))
		return -ENOENT;
	retry_reads_locked(db);
	return compact_pick(db->view->version, &db->options,
			    oldest_seen_locked(db), pick);
}

void *
db_compact_main(void *arg)
{
	struct keyfs_store *db = arg;
	struct compact_pick pick;
	int r;

	mutex_lock(&db->lock);
	while (!db->closing) {
		r = pick_locked(db, &pick);
		if (r == -ENOENT) {
			wait_for_work_locked(db);
			continue;
		}
		if (r == 0)
			r = run_pick_locked(db, &pick);
		else
			note_result_locked(db, r);
		if (r < 0 && !db->closing)
			(void)cond_wait_ms(&db->work, &db->lock, RETRY_MS);
	}
	mutex_unlock(&db->lock);
	return NULL;
}

/* ---- On demand ---- */

/* Merges one level of the range into the next, part by part. */
static int
compact_level(struct keyfs_store *db, unsigned level, struct keyfs_slice lower,
	      struct keyfs_slice upper)
{
	struct compact_pick pick;
	int r;

	mutex_lock(&db->lock);
	for (;;) {
		r = db_stuck_locked(db, db->flush_begun);
		retry_reads_locked(db);
		if (r == 0)
			r = compact_pick_range(db->view->version, &db->options,
					       level, lower, upper, &pick);
		if (r == -EBUSY && db->compacting) {
			cond_wait(&db->room, &db->lock);
			continue;
		}
		/* Marked, and nobody works: set aside as unreadable. */
		if (r == -EBUSY)
			r = -EIO;
		if (r == 0)
			r = run_pick_locked(db, &pick);
		if (r < 0)
			break;
	}
	mutex_unlock(&db->lock);
	return r == -ENOENT ? 0 : r;
}

int
keyfs_compact_range(struct keyfs_store *db, struct keyfs_family *family,
		    struct keyfs_slice lower, struct keyfs_slice upper)
{
	unsigned level;
	int r = family ? -EINVAL : db_check(db, true);

	if (r < 0)
		return r;
	db_wait_begin(db);
	r = keyfs_flush(db);
	for (level = 0; r == 0 && level + 1 < KEYFS_LEVELS; level++)
		r = compact_level(db, level, lower, upper);
	db_wait_end(db);
	return r;
}

/* -EBUSY: something is due or running.  -ENOMEM: nobody can tell. */
static int
check_idle_locked(struct keyfs_store *db) REQUIRES(&db->lock)
{
	struct compact_pick pick;
	size_t i;
	int r;

	if (db->flushing || db->compacting)
		return -EBUSY;
	/* Who waits for the work waits for the room that it makes. */
	if (table_set_has_gone(&db->tables))
		return -EBUSY;
	for (i = 0; i < db->sealed_count; i++)
		if (db->sealed[i].log)
			return -EBUSY;
	r = pick_locked(db, &pick);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	compact_pick_fini(&pick);
	return -EBUSY;
}

/* Why there will be no idleness: flushes or compactions fail, again after the first
 * failure has given back the reserve. */
static int
is_in_vain_locked(const struct keyfs_store *db, uint64_t flush_begun,
		  uint64_t compact_failures) REQUIRES(&db->lock)
{
	int r = db_stuck_locked(db, flush_begun + 1);

	if (r == 0 && db->compact_failures > compact_failures + 1)
		r = db->compact_error;
	return r;
}

int
keyfs_wait_idle(struct keyfs_store *db)
{
	uint64_t flush_begun, failures;
	int r = db_check(db, true);

	if (r < 0)
		return r;
	db_wait_begin(db);
	mutex_lock(&db->lock);
	flush_begun = db->flush_begun;
	failures = db->compact_failures;
	while ((r = check_idle_locked(db)) == -EBUSY) {
		r = is_in_vain_locked(db, flush_begun, failures);
		if (r < 0)
			break;
		cond_broadcast(&db->work);
		(void)cond_wait_ms(&db->room, &db->lock, RETRY_MS);
	}
	mutex_unlock(&db->lock);
	db_wait_end(db);
	return r;
}
