/* SPDX-License-Identifier: Apache-2.0 */
/* session_classic.c - the transport over /dev/fuse; see session_classic.h. */
#include <config.h>

#include "fs/session_classic.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fs/ops.h"

/* A program that sends one request after the other sends the next one within a
 * few microseconds of the answer; waking a thread for it takes 25 to 70. */
#define POLL_NS 40000u
/* A thread whose requests come at longer intervals sleeps at once. */
#define SHORT_INTERVAL_NS 150000u

/* libfuse writes into the head of a message while it decodes it (SETATTR loses
 * the bit that says whether it came through an open file), so the head is kept
 * for the second time that it is processed. */
#define HEAD_BYTES 256u

struct worker {
	struct classic *classic;
	pthread_t thread;
	int epoll_fd; /* the device, and the wish to stop */
	bool busy;    /* requests come at short intervals */
	uint64_t done_ns;
};

struct classic {
	/* Constant while threads run. */
	struct classic_options options;
	int stop_fd; /* an eventfd, never read: wakes every thread for good */
	struct worker *workers; /* owned */
	unsigned count;

	/* Atomic: a thread polls. A second one would only take its requests. */
	atomic_flag polling;
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
receive(struct worker *w, struct fuse_buf *buf)
{
	int r;

	do
		r = fuse_session_receive_buf(w->classic->options.fuse, buf);
	while (r == -EINTR);
	return r;
}

/* Polls for a short time after the last answer.  Returns as receive(). */
static int
receive_polling(struct worker *w, struct fuse_buf *buf)
{
	int r = -EAGAIN;

	if (!w->busy || atomic_flag_test_and_set_explicit(&w->classic->polling,
							  memory_order_relaxed))
		return r;
	while (r == -EAGAIN && now_ns() - w->done_ns < POLL_NS) {
		sched_yield();
		r = receive(w, buf);
	}
	atomic_flag_clear_explicit(&w->classic->polling, memory_order_relaxed);
	return r;
}

/* Sleeps until there may be a request. Returns false if the thread is to end.
 */
static bool
sleep_until_ready(const struct worker *w)
{
	struct epoll_event events[2];
	int i, n;

	do
		n = epoll_wait(w->epoll_fd, events, 2, -1);
	while (n < 0 && errno == EINTR);
	for (i = 0; i < n; i++)
		if (events[i].data.fd == w->classic->stop_fd)
			return false;
	return n > 0;
}

/* Takes the next request. Returns its length, an error, or 0: no
 * more will come.
 */
static int
next_request(struct worker *w, struct fuse_buf *buf)
{
	int r = receive(w, buf);

	if (r == -EAGAIN)
		r = receive_polling(w, buf);
	while (r == -EAGAIN) {
		if (!sleep_until_ready(w))
			return 0;
		r = receive(w, buf);
	}
	w->busy = now_ns() - w->done_ns < SHORT_INTERVAL_NS;
	return r;
}

static void
process(struct worker *w, const struct fuse_buf *buf)
{
	const struct classic_options *o = &w->classic->options;
	size_t head_len = buf->size < HEAD_BYTES ? buf->size : HEAD_BYTES;
	enum ops_outcome outcome;
	char head[HEAD_BYTES];

	memcpy(head, buf->mem, head_len);
	ops_turn_begin(false, buf->mem, buf->size);
	fuse_session_process_buf(o->fuse, buf);
	outcome = ops_turn_end();
	if (outcome == OPS_DONE)
		return;
	memcpy(buf->mem, head, head_len);
	if (slow_take(o->slow, buf->mem, buf->size,
		      outcome == OPS_WAIT_TO_CHANGE) != 0)
		classic_process_slow(o->fuse, buf->mem, buf->size);
}

void
classic_process_slow(void *fuse, void *message, size_t len)
{
	struct fuse_buf buf = { .size = len, .mem = message };

	ops_turn_begin(true, message, len);
	fuse_session_process_buf(fuse, &buf);
}

static void *
worker_thread(void *arg)
{
	struct worker *w = arg;
	struct classic *classic = w->classic;
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct fuse_buf buf = { 0 };
	uint64_t one = 1;
	int r;

	while ((r = next_request(w, &buf)) != 0) {
		/* No memory for the buffer, or a message cut short: the mount
		 * is still there, and giving up would leave it dead. */
		if (r < 0)
			nanosleep(&pause, NULL);
		else
			process(w, &buf);
		w->done_ns = now_ns();
	}
	free(buf.mem);
	/* Nothing can be done if this fails, and it cannot: the counter does
	 * not overflow. */
	if (write(classic->options.ended_fd, &one, sizeof(one)) < 0)
		return NULL;
	return NULL;
}

/* Each thread has an epoll of its own, so that EPOLLEXCLUSIVE can wake one of
 * them for a request and not all. */
static int
worker_start(struct classic *classic, struct worker *w)
{
	struct epoll_event device = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	struct epoll_event stop = { .events = EPOLLIN };
	int fd = fuse_session_fd(classic->options.fuse), r;

	device.data.fd = fd;
	stop.data.fd = classic->stop_fd;
	w->classic = classic;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	r = 0;
	if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &device) != 0 ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, classic->stop_fd, &stop) != 0)
		r = -errno;
	if (r == 0)
		r = -pthread_create(&w->thread, NULL, worker_thread, w);
	if (r != 0)
		close(w->epoll_fd);
	return r;
}

int
classic_start(const struct classic_options *options, struct classic **out)
{
	struct classic *classic = calloc(1, sizeof(*classic));
	int r = 0;

	if (!classic)
		return -ENOMEM;
	classic->options = *options;
	atomic_flag_clear(&classic->polling);
	classic->workers = calloc(options->threads, sizeof(struct worker));
	classic->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (!classic->workers || classic->stop_fd < 0)
		r = classic->workers ? -errno : -ENOMEM;
	while (r == 0 && classic->count < options->threads) {
		r = worker_start(classic, &classic->workers[classic->count]);
		if (r == 0)
			classic->count++;
	}
	if (r != 0) {
		classic_stop(classic);
		return r;
	}
	*out = classic;
	return 0;
}

void
classic_stop(struct classic *classic)
{
	uint64_t one = 1;
	unsigned i;

	if (!classic)
		return;
	if (classic->count > 0 &&
	    write(classic->stop_fd, &one, sizeof(one)) < 0)
		abort();
	for (i = 0; i < classic->count; i++) {
		pthread_join(classic->workers[i].thread, NULL);
		close(classic->workers[i].epoll_fd);
	}
	if (classic->stop_fd >= 0)
		close(classic->stop_fd);
	free(classic->workers);
	free(classic);
}
