/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <signal.h>

#include "store/db.h"

static int
start(pthread_t *thread, void *(*main)(void *), struct keyfs_store *db)
{
	sigset_t all, old;
	int r;

	/* Signals are the program's: none is delivered to a worker, but what it
	 * does wrong itself.  A bus error that is blocked would end the process
	 * before env_map_store() could make an error of it. */
	(void)sigfillset(&all);
	(void)sigdelset(&all, SIGBUS);
	(void)sigdelset(&all, SIGFPE);
	(void)sigdelset(&all, SIGILL);
	(void)sigdelset(&all, SIGSEGV);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(thread, NULL, main, db);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* EAGAIN of a call that cannot wait is something else: see store.h. */
	if (r)
		return r == EAGAIN ? -ENOMEM : -r;
	db->worker_count++;
	return 0;
}

int
db_workers_start(struct keyfs_store *db)
{
	unsigned i;
	int r = db_prepare_next(db);

	/* The keeper tries it again, and a full disk takes deletes meanwhile. */
	if (error_passes(r))
		r = 0;
	if (r == 0)
		r = start(&db->keeper, db_keeper_main, db);
	if (r == 0)
		r = start(&db->flusher, db_flush_main, db);
	for (i = 0; r == 0 && i < db->options.compaction_threads; i++)
		r = start(&db->compactors[i], db_compact_main, db);
	if (r == 0 && db->options.scrub_bytes_per_second != KEYFS_SCRUB_OFF)
		r = start(&db->scrubber, db_scrub_main, db);
	if (r < 0)
		db_workers_stop(db);
	return r;
}

void
db_workers_stop(struct keyfs_store *db)
{
	unsigned i;

	atomic_store_explicit(&db->cancel, true, memory_order_relaxed);
	mutex_lock(&db->lock);
	db->closing = true;
	cond_broadcast(&db->work);
	cond_broadcast(&db->keep);
	cond_broadcast(&db->room);
	cond_broadcast(&db->scrub);
	mutex_unlock(&db->lock);
	/* They were started in this order: as many as the count says are there. */
	for (i = 0; i < db->worker_count; i++) {
		if (i == 0)
			(void)pthread_join(db->keeper, NULL);
		else if (i == 1)
			(void)pthread_join(db->flusher, NULL);
		else if (i < 2 + db->options.compaction_threads)
			(void)pthread_join(db->compactors[i - 2], NULL);
		else
			(void)pthread_join(db->scrubber, NULL);
	}
	db->worker_count = 0;
	mutex_lock(&db->lock);
	while (db->waiting)
		cond_wait(&db->room, &db->lock);
	mutex_unlock(&db->lock);
}

/* ---- Waiting for them ---- */

void
db_wait_begin(struct keyfs_store *db)
{
	mutex_lock(&db->lock);
	db->waiting++;
	mutex_unlock(&db->lock);
}

void
db_wait_end(struct keyfs_store *db)
{
	mutex_lock(&db->lock);
	db->waiting--;
	if (db->closing)
		cond_broadcast(&db->room);
	mutex_unlock(&db->lock);
}

int
db_stuck_locked(const struct keyfs_store *db, uint64_t flush_begun)
{
	int r = atomic_load_explicit(&db->error, memory_order_acquire);

	if (r == 0 && db->closing)
		r = -ECANCELED;
	if (r == 0 && db->flush_failed > flush_begun)
		r = db->flush_error;
	return r;
}
