/* SPDX-License-Identifier: Apache-2.0 */
/* slow.c - the threads that may wait; see slow.h. */
#include <config.h>

#include "fs/slow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/ops.h"

#define THREADS_MAX 16u
/* Threads that requests which only read can always have: the others may all be
 * sleeping because too much was written (P7). */
#define THREADS_FOR_READS 4u
#define IDLE_SECONDS 5
/* What writes that are held back may take in memory, whoever writes how much at
 * once (P7).  The kernel sends at most 1 MiB in one, so this is 64 of them. */
#define CHANGES_BYTES_MAX (64u << 20)

struct job {
	struct job *next;
	size_t len;
	bool changes;
	/* The message; aligned as the kernel's structs need it. */
	_Alignas(8) char message[];
};

struct queue {
	struct job *first, **end;
};

struct parked {
	struct parked *next;
	fuse_req_t req;
};

struct slow {
	/* Constant. */
	struct slow_options options;
	pthread_t sync_thread;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	pthread_cond_t work;  /* jobs have come, or `stopping` */
	pthread_cond_t ended; /* a thread has ended */
	struct queue reads, changes;
	unsigned queued;                  /* jobs in both queues */
	size_t changes_bytes;             /* of messages, until processed */
	unsigned threads, idle, changing; /* threads; idle ones; in changes */
	bool stopping;

	pthread_cond_t sync_wanted;
	struct parked *parked;
};

static void
queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void
queue_add(struct queue *q, struct job *job)
{
	job->next = NULL;
	*q->end = job;
	q->end = &job->next;
}

static struct job *
queue_take(struct queue *q)
{
	struct job *job = q->first;

	if (!job)
		return NULL;
	q->first = job->next;
	if (!q->first)
		q->end = &q->first;
	return job;
}

/* ---- Messages ---- */

static struct job *
next_job_locked(struct slow *slow)
{
	struct job *job = queue_take(&slow->reads);

	if (!job && slow->changing < THREADS_MAX - THREADS_FOR_READS)
		job = queue_take(&slow->changes);
	if (job) {
		slow->queued--;
		slow->changing += job->changes;
	}
	return job;
}

static void
run_job(struct slow *slow, struct job *job)
{
	pthread_mutex_unlock(&slow->lock);
	slow->options.process(slow->options.arg, job->message, job->len);
	pthread_mutex_lock(&slow->lock);
	if (job->changes) {
		slow->changing--;
		slow->changes_bytes -= job->len;
	}
	free(job);
}

/* Waits for work.  Returns false if none came for a while, or none will. */
static bool
wait_locked(struct slow *slow)
{
	struct timespec until;
	int r;

	if (slow->stopping)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	slow->idle++;
	r = pthread_cond_timedwait(&slow->work, &slow->lock, &until);
	slow->idle--;
	return r == 0;
}

static void *
job_thread(void *arg)
{
	struct slow *slow = arg;
	bool more = true;
	struct job *job;

	pthread_mutex_lock(&slow->lock);
	/* A job may have come in the moment when the wait ran out, so the
	 * queues are looked at once more after it. */
	while ((job = next_job_locked(slow)) || more) {
		if (job)
			run_job(slow, job);
		more = job || wait_locked(slow);
	}
	slow->threads--;
	pthread_cond_signal(&slow->ended);
	pthread_mutex_unlock(&slow->lock);
	return NULL;
}

static int
start_thread_locked(struct slow *slow)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, job_thread, slow);

	if (r != 0)
		return -r;
	pthread_detach(thread);
	slow->threads++;
	return 0;
}

static int
take_locked(struct slow *slow, struct job *job)
{
	int r = 0;

	if (job->changes && slow->changes_bytes + job->len > CHANGES_BYTES_MAX)
		return -ENOBUFS;
	if (slow->queued >= slow->idle && slow->threads < THREADS_MAX)
		r = start_thread_locked(slow);
	if (slow->threads == 0)
		return r;
	slow->queued++;
	if (job->changes)
		slow->changes_bytes += job->len;
	queue_add(job->changes ? &slow->changes : &slow->reads, job);
	pthread_cond_signal(&slow->work);
	return 0;
}

int
slow_take(struct slow *slow, const void *message, size_t len, bool changes)
{
	struct job *job = malloc(sizeof(*job) + len);
	int r;

	if (!job)
		return -ENOMEM;
	job->len = len;
	job->changes = changes;
	memcpy(job->message, message, len);
	pthread_mutex_lock(&slow->lock);
	r = take_locked(slow, job);
	pthread_mutex_unlock(&slow->lock);
	if (r != 0)
		free(job);
	return r;
}

/* ---- Syncs ---- */

void
slow_sync(void *arg, fuse_req_t req)
{
	struct slow *slow = arg;
	struct parked *p = malloc(sizeof(*p));

	if (!p) {
		ops_reply_result(req, -ENOMEM);
		return;
	}
	p->req = req;
	pthread_mutex_lock(&slow->lock);
	p->next = slow->parked;
	slow->parked = p;
	pthread_cond_signal(&slow->sync_wanted);
	pthread_mutex_unlock(&slow->lock);
}

static void
answer_parked(struct parked *p, int r)
{
	while (p) {
		struct parked *next = p->next;

		ops_reply_result(p->req, r);
		free(p);
		p = next;
	}
}

static void *
sync_thread(void *arg)
{
	struct slow *slow = arg;
	struct parked *parked;

	/* It answers errors as they are. */
	ops_turn_begin(true, NULL, 0);
	pthread_mutex_lock(&slow->lock);
	while (slow->parked || !slow->stopping) {
		parked = slow->parked;
		slow->parked = NULL;
		if (!parked) {
			pthread_cond_wait(&slow->sync_wanted, &slow->lock);
			continue;
		}
		pthread_mutex_unlock(&slow->lock);
		answer_parked(parked, tree_sync(slow->options.tree));
		pthread_mutex_lock(&slow->lock);
	}
	pthread_mutex_unlock(&slow->lock);
	return NULL;
}

/* ---- Starting and stopping ---- */

static void
slow_free(struct slow *slow)
{
	pthread_cond_destroy(&slow->sync_wanted);
	pthread_cond_destroy(&slow->ended);
	pthread_cond_destroy(&slow->work);
	pthread_mutex_destroy(&slow->lock);
	free(slow);
}

int
slow_start(const struct slow_options *options, struct slow **out)
{
	struct slow *slow = calloc(1, sizeof(*slow));
	pthread_condattr_t attr;
	int r;

	if (!slow)
		return -ENOMEM;
	slow->options = *options;
	queue_init(&slow->reads);
	queue_init(&slow->changes);
	pthread_mutex_init(&slow->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&slow->work, &attr);
	pthread_condattr_destroy(&attr);
	pthread_cond_init(&slow->ended, NULL);
	pthread_cond_init(&slow->sync_wanted, NULL);
	r = pthread_create(&slow->sync_thread, NULL, sync_thread, slow);
	if (r != 0) {
		slow_free(slow);
		return -r;
	}
	*out = slow;
	return 0;
}

void
slow_stop(struct slow *slow)
{
	if (!slow)
		return;
	pthread_mutex_lock(&slow->lock);
	slow->stopping = true;
	pthread_cond_broadcast(&slow->work);
	pthread_cond_signal(&slow->sync_wanted);
	while (slow->threads > 0)
		pthread_cond_wait(&slow->ended, &slow->lock);
	pthread_mutex_unlock(&slow->lock);
	pthread_join(slow->sync_thread, NULL);
	slow_free(slow);
}
