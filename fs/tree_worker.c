/* SPDX-License-Identifier: Apache-2.0 */
/* tree_worker.c - the thread that logs held truncations in time and settles what is
 * owed.  It sleeps until there is something to do. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fs/tree_impl.h"

/* On a full disk even deleting may have to wait for space. */
#define WORKER_PAUSE_NS 1000000000u

int
worker_init(struct worker *worker)
{
	pthread_condattr_t attr;
	int rc = pthread_mutex_init(&worker->lock, NULL);

	if (rc)
		return -rc;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	rc = pthread_cond_init(&worker->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (rc)
		pthread_mutex_destroy(&worker->lock);
	return -rc;
}

void
worker_fini(struct worker *worker)
{
	free(worker->queue);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->lock);
}

static void
push_locked(struct worker *worker, struct owed owed)
{
	if (worker->count == worker->capacity) {
		size_t capacity = worker->capacity ? 2 * worker->capacity : 64;
		struct owed *queue =
			realloc(worker->queue, capacity * sizeof(*queue));

		/* Without memory it is found again, as it is recorded. */
		if (!queue) {
			worker->scan = true;
			worker->pause_ns = clock_now_ns() + WORKER_PAUSE_NS;
			return;
		}
		worker->queue = queue;
		worker->capacity = capacity;
	}
	worker->queue[worker->count++] = owed;
}

void
owed_add(struct tree *tree, uint64_t ino, bool forgotten)
{
	struct worker *worker = &tree->worker;

	if (tree->options.read_only)
		return;
	if (!worker->running) {
		/* What fails stays recorded in 'O'. */
		(void)owed_settle(tree, ino, forgotten);
		return;
	}
	pthread_mutex_lock(&worker->lock);
	push_locked(worker, (struct owed){ ino, forgotten });
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

void
worker_wake(struct tree *tree)
{
	struct worker *worker = &tree->worker;

	if (!worker->running)
		return;
	pthread_mutex_lock(&worker->lock);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

bool
worker_stopping(struct tree *tree)
{
	struct worker *worker = &tree->worker;
	bool stop;

	pthread_mutex_lock(&worker->lock);
	stop = worker->stop;
	pthread_mutex_unlock(&worker->lock);
	return stop;
}

static bool
is_passing(int rc)
{
	return rc == -ENOSPC || rc == -ENOMEM;
}

/* `owed` of inode 0: the scan for all. */
static void
settle_one(struct tree *tree, struct owed owed)
{
	struct worker *worker = &tree->worker;
	int rc = owed.ino ? owed_settle(tree, owed.ino, owed.forgotten)
			  : owed_scan(tree);

	/* Other errors are of the disk: the record waits for the next open. */
	if (!is_passing(rc))
		return;
	pthread_mutex_lock(&worker->lock);
	if (owed.ino)
		push_locked(worker, owed);
	else
		worker->scan = true;
	worker->pause_ns = clock_now_ns() + WORKER_PAUSE_NS;
	pthread_mutex_unlock(&worker->lock);
}

static void
log_one(struct tree *tree, const struct hold *hold)
{
	if (hold_log(tree, NULL, hold->ino))
		hold_postpone(&tree->holds, hold->ino, hold->id);
}

static void
sleep_until_locked(struct worker *worker, uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000u),
			      (long)(ns % 1000000000u) };

	if (ns == UINT64_MAX)
		pthread_cond_wait(&worker->wake, &worker->lock);
	else
		pthread_cond_timedwait(&worker->wake, &worker->lock, &t);
}

/* The next thing from the queue, or until when there is none.  Last in, first out:
 * the order of what is owed does not matter. */
static bool
pop_locked(struct worker *worker, uint64_t now_ns, struct owed *out,
	   uint64_t *out_until_ns)
{
	*out_until_ns = UINT64_MAX;
	if (!worker->count && !worker->scan)
		return false;
	if (worker->pause_ns > now_ns) {
		*out_until_ns = worker->pause_ns;
		return false;
	}
	*out = worker->scan ? (struct owed){ 0 }
			    : worker->queue[--worker->count];
	worker->scan = false;
	return true;
}

/* One thing done, or a sleep. */
static void
worker_turn_locked(struct tree *tree)
{
	struct worker *worker = &tree->worker;
	uint64_t now_ns = clock_now_ns(), until_ns;
	struct hold hold;
	struct owed owed;
	bool due = hold_due(&tree->holds, now_ns, &hold);
	bool work = !due && pop_locked(worker, now_ns, &owed, &until_ns);

	if (!due && !work) {
		sleep_until_locked(worker, hold.due_ns < until_ns ? hold.due_ns
								  : until_ns);
		return;
	}
	pthread_mutex_unlock(&worker->lock);
	if (due)
		log_one(tree, &hold);
	else
		settle_one(tree, owed);
	pthread_mutex_lock(&worker->lock);
}

static void *
worker_run(void *arg)
{
	struct tree *tree = arg;
	struct worker *worker = &tree->worker;

	pthread_mutex_lock(&worker->lock);
	worker->scan = true; /* what it cannot read, check reports */
	while (!worker->stop)
		worker_turn_locked(tree);
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int
worker_start(struct tree *tree)
{
	struct worker *worker = &tree->worker;
	int rc;

	worker->running = true;
	rc = -pthread_create(&worker->thread, NULL, worker_run, tree);
	if (rc)
		worker->running = false;
	/* No thread can be had: nothing that waiting for it would change. */
	return rc == -EAGAIN ? -ENOMEM : rc;
}

void
worker_stop(struct tree *tree)
{
	struct worker *worker = &tree->worker;

	if (!worker->running)
		return;
	pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	worker->running = false;
}
