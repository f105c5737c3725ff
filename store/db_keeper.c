/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper: a thread for what nobody should wait for.  It makes the next log and
 * memtable, makes room ahead in the log, syncs when the commit interval ends, removes
 * files of tables that nobody reads any more, and takes the reserve back when a full
 * disk has room again.  An idle store has no timer: it sleeps until it is woken. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

/* How often a full disk is looked at again. */
#define RETRY_MS 200u

/* What there is to do, found under the lock. */
struct chores {
	bool prepare, extend, sync, sweep, restore, budget;
	uint64_t wait_ms; /* nothing to do before; UINT64_MAX: until woken */
};

/* ---- The next log and memtable ---- */

static void
log_remove(struct keyfs_store *db, uint64_t number)
{
	char name[ENV_NAME_MAX + 1];

	wal_file_name(number, name);
	(void)env_unlink(db->dir, name);
}

/* A log, durable and in the manifest (R3). */
static int
make_log(struct keyfs_store *db, struct wal_writer **out)
{
	struct version_edit edit;
	struct wal_writer *log = NULL;
	uint64_t number;
	int r = db_new_number(db, &number);

	if (r < 0)
		return r;
	r = wal_writer_new(db->dir, number, db_log_capacity(db), &log);
	if (r == 0) {
		version_edit_init(&edit);
		version_edit_add_log(&edit, number);
		r = db_install(db, &edit, 0);
		version_edit_fini(&edit);
	}
	if (r < 0) {
		wal_writer_unref(log);
		/* In the failed state it may be in the manifest: it stays. */
		if (!atomic_load_explicit(&db->error, memory_order_relaxed))
			log_remove(db, number);
		return r;
	}
	*out = log;
	return 0;
}

int
db_prepare_next(struct keyfs_store *db)
{
	struct memtable *memtable = NULL;
	struct wal_writer *log = NULL;
	bool want_memtable, want_log;
	int r = 0;

	mutex_lock(&db->lock);
	want_memtable = !db->next_memtable;
	want_log = !db->next_log;
	mutex_unlock(&db->lock);
	if (want_memtable)
		r = memtable_new(db->options.memtable_bytes, NULL, &memtable);
	if (r == 0 && want_log)
		r = make_log(db, &log);
	mutex_lock(&db->lock);
	/* Nobody else fills an empty place. */
	if (memtable)
		db->next_memtable = memtable;
	if (log)
		db->next_log = log;
	db->next_error = r;
	cond_broadcast(&db->room);
	mutex_unlock(&db->lock);
	return r;
}

/* ---- Chores ---- */

/* Room ahead in the active log.  That there is none is said by the append that needs
 * it. */
static void
extend_log(struct keyfs_store *db)
{
	struct wal_writer *log;

	mutex_lock(&db->write);
	log = wal_writer_ref(db->log);
	mutex_unlock(&db->write);
	/* Before the work: a writer that runs short during it asks again. */
	atomic_store_explicit(&db->wants_room, false, memory_order_relaxed);
	while (wal_writer_wants_room(log) && wal_writer_extend(log) == 0)
		;
	wal_writer_unref(log);
}

/* The commit interval has ended.  Disarmed first: a commit that comes during the sync
 * starts the next interval.  The mutex puts every commit on one side: it is seen here,
 * or it sees the timer disarmed. */
static void
sync_interval(struct keyfs_store *db)
{
	uint64_t last;

	mutex_lock(&db->lock);
	db->sync_due_ns = 0;
	mutex_unlock(&db->lock);
	atomic_store_explicit(&db->sync_armed, false, memory_order_seq_cst);
	mutex_lock(&db->write);
	last = keyfs_last_seq(db);
	mutex_unlock(&db->write);
	(void)db_sync_to(db, last);
}

static void
sweep_tables(struct keyfs_store *db)
{
	char name[ENV_NAME_MAX + 1], aside[ENV_NAME_MAX + 1];
	bool set_aside;
	uint64_t number;

	/* R10: a failed store deletes nothing. */
	while (!atomic_load_explicit(&db->error, memory_order_relaxed) &&
	       (number = table_set_take_gone(&db->tables, &set_aside)) != 0) {
		cache_drop_file(db->cache, number);
		table_file_name(number, name);
		table_damaged_name(number, aside);
		/* What fails is done at the next opening (R12). */
		if (set_aside)
			(void)env_rename(db->dir, name, aside);
		else
			(void)env_unlink(db->dir, name);
	}
}

/* ---- What is due ---- */

static bool
reserve_is_held(const struct keyfs_store *db)
{
	return atomic_load_explicit(&db->reserve_held, memory_order_relaxed);
}

static void
look_locked(struct keyfs_store *db, struct chores *out) REQUIRES(&db->lock)
{
	bool failed =
		atomic_load_explicit(&db->error, memory_order_relaxed) < 0;
	uint64_t now = db->sync_due_ns ? env_now_ns(db->env) : 0;

	*out = (struct chores){ .wait_ms = UINT64_MAX };
	if (failed)
		return;
	out->prepare = !db->next_log || !db->next_memtable;
	out->extend =
		atomic_load_explicit(&db->wants_room, memory_order_relaxed);
	out->budget = db->sealed_count != db->budgeted;
	out->sweep = table_set_has_gone(&db->tables);
	out->sync = db->sync_due_ns && db->sync_due_ns <= now;
	if (db->sync_due_ns && !out->sync)
		out->wait_ms = (db->sync_due_ns - now) / 1000000 + 1;
	out->restore = db->reserve_wanted && !reserve_is_held(db);
	if ((out->restore || db->next_error) && out->wait_ms > RETRY_MS)
		out->wait_ms = RETRY_MS;
}

static bool
has_work(const struct chores *chores)
{
	return chores->prepare || chores->extend || chores->sync ||
	       chores->sweep || chores->restore || chores->budget;
}

static void
do_chores(struct keyfs_store *db, struct chores *chores)
{
	if (chores->extend)
		extend_log(db);
	if (chores->budget)
		db_budget_update(db);
	if (chores->prepare)
		(void)db_prepare_next(db);
	if (chores->sync)
		sync_interval(db);
	if (chores->sweep)
		sweep_tables(db);
	if (chores->restore)
		db_reserve_restore(db);
}

static void
wait_locked(struct keyfs_store *db, uint64_t wait_ms) REQUIRES(&db->lock)
{
	if (wait_ms == UINT64_MAX)
		cond_wait(&db->keep, &db->lock);
	else
		(void)cond_wait_ms(&db->keep, &db->lock, wait_ms);
}

void *
db_keeper_main(void *arg)
{
	struct keyfs_store *db = arg;
	struct chores chores;
	bool retry = false;

	mutex_lock(&db->lock);
	while (!db->closing) {
		look_locked(db, &chores);
		/* What has just failed for want of room is not tried at once again,
		 * but soon: whoever waits for it has signalled already. */
		if (retry && chores.wait_ms > RETRY_MS)
			chores.wait_ms = RETRY_MS;
		if (!has_work(&chores) || retry) {
			retry = false;
			wait_locked(db, chores.wait_ms);
			continue;
		}
		mutex_unlock(&db->lock);
		do_chores(db, &chores);
		mutex_lock(&db->lock);
		if (chores.sweep)
			cond_broadcast(&db->room);
		retry = db->next_error < 0 ||
			(chores.restore && !reserve_is_held(db));
	}
	mutex_unlock(&db->lock);
	/* So that a close leaves no file of a dropped table behind. */
	sweep_tables(db);
	return NULL;
}
