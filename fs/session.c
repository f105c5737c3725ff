/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - one mounted store: its threads and its end; see session.h.
 *
 *	session_open()  mounts; from here on the kernel keeps requests for us
 *	session_run()   INIT on this thread, then the threads, then one OPEN
 *	                that teaches the kernel to send no more of them, then
 *	                `ready`; waits for the end of the mount or a signal
 *	session_close() frees */
#include <config.h>

#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/ops.h"
#include "fs/session_classic.h"
#include "fs/session_mount.h"
#include "fs/session_stop.h"
#include "fs/slow.h"

#define THREADS_MAX 8u
#define STOP_TIMEOUT_MS 30000u
/* Over eleven days; nothing changes behind the kernel's back. */
#define TIMEOUT_S 1e6

struct session {
	/* Constant after session_open(). */
	struct session_options options;
	char *mountpoint; /* owned */
	struct fuse_session *fuse;
	int signal_fd, ended_fd;

	struct ops ops;

	/* The running thread's own. */
	struct slow *slow;
	struct classic *classic;
	struct stop_unmount *stop;
	uint64_t device;
};

/* ---- Opening and closing ---- */

static void
session_free(struct session *s)
{
	if (s->signal_fd >= 0)
		stop_signals_close();
	if (s->ended_fd >= 0)
		close(s->ended_fd);
	pthread_mutex_destroy(&s->ops.dirs_lock);
	free(s->mountpoint);
	free(s);
}

static int
session_new(struct tree *tree, struct handle_table *table,
	    const struct session_options *options, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->options = *options;
	s->signal_fd = s->ended_fd = -1;
	s->ops.tree = tree;
	s->ops.handles = table;
	s->ops.xattrs = !options->no_xattr;
	s->ops.acls = options->acls;
	s->ops.timeout_s =
		options->timeout_s > 0 ? options->timeout_s : TIMEOUT_S;
	pthread_mutex_init(&s->ops.dirs_lock, NULL);
	s->mountpoint = strdup(options->mountpoint);
	s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!s->mountpoint || s->ended_fd < 0) {
		session_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

int
session_open(struct tree *tree, struct handle_table *table,
	     const struct session_options *options, char *why, size_t why_size,
	     struct session **out)
{
	struct session *s;
	int r = session_new(tree, table, options, &s);

	if (r != 0) {
		snprintf(why, why_size, "%s", strerror(-r));
		return r;
	}
	/* Before the mount: a signal must not leave a dead one behind. */
	r = stop_signals_open(&s->signal_fd);
	if (r != 0)
		snprintf(why, why_size, "signals: %s", strerror(-r));
	else
		r = session_mount(options, &s->ops, why, why_size, &s->fuse);
	if (r != 0) {
		session_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void
session_close(struct session *s)
{
	if (!s)
		return;
	fuse_session_unmount(s->fuse);
	fuse_session_destroy(s->fuse);
	ops_dirs_free(&s->ops);
	session_free(s);
}

uint64_t
session_device(const struct session *s)
{
	return s->device;
}

/* ---- Starting ---- */

static void
report(const struct session *s, enum keyfs_log_level level, const char *line)
{
	if (s->options.log)
		s->options.log(s->options.log_arg, level, line);
}

/* Serves INIT, the first request, on this thread: what it negotiates is
 * constant when the threads start. */
static int
answer_init(struct session *s)
{
	struct pollfd fds[] = { { fuse_session_fd(s->fuse), POLLIN, 0 },
				{ s->signal_fd, POLLIN, 0 } };
	struct fuse_buf buf = { 0 };
	int r = -EAGAIN;

	while (!s->ops.connected && (r == -EAGAIN || r == -EINTR)) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents != 0) {
			r = -ECANCELED;
			break;
		}
		r = fuse_session_receive_buf(s->fuse, &buf);
		if (r > 0) {
			fuse_session_process_buf(s->fuse, &buf);
			r = fuse_session_exited(s->fuse) ? -EPROTO : -EAGAIN;
		}
	}
	free(buf.mem);
	if (s->ops.connected && !fuse_session_exited(s->fuse))
		return 0;
	return r < 0 ? r : -ENOTCONN;
}

static unsigned
thread_count(const struct session *s)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (s->options.threads != 0)
		return s->options.threads;
	if (processors < 1)
		return 1;
	return processors < (long)THREADS_MAX ? (unsigned)processors
					      : THREADS_MAX;
}

static int
start_threads(struct session *s)
{
	struct slow_options slow = { .tree = s->ops.tree,
				     .process = classic_process_slow,
				     .arg = s->fuse };
	struct classic_options classic = { .fuse = s->fuse,
					   .threads = thread_count(s),
					   .ended_fd = s->ended_fd };
	int r = slow_start(&slow, &s->slow);

	if (r != 0)
		return r;
	s->ops.sync = slow_sync;
	s->ops.sync_arg = classic.slow = s->slow;
	return classic_start(&classic, &s->classic);
}

/* The kernel stops sending OPEN when one was answered ENOSYS, so one is made it
 * send. The name is random and exists only in here; it leaves nothing behind.
 * If the directory may not be searched by us, the first user's OPEN does the
 * same. */
static void
teach_open(struct session *s)
{
	struct ops *ops = &s->ops;
	char path[4096];
	uint64_t random;
	int fd;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return;
	snprintf(ops->probe_name, sizeof(ops->probe_name), ".keyfs-%016" PRIx64,
		 random);
	if (snprintf(path, sizeof(path), "%s/%s", s->mountpoint,
		     ops->probe_name) >= (int)sizeof(path))
		return;
	atomic_store(&ops->probing, true);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		close(fd);
	atomic_store(&ops->probing, false);
	(void)fuse_lowlevel_notify_inval_entry(s->fuse, TREE_ROOT,
					       ops->probe_name,
					       strlen(ops->probe_name));
}

static int
start(struct session *s)
{
	struct stat st;
	int r = answer_init(s);

	if (r == 0)
		r = start_threads(s);
	if (r != 0)
		return r;
	teach_open(s);
	if (stat(s->mountpoint, &st) != 0)
		return -errno;
	s->device = st.st_dev;
	return 0;
}

/* ---- Ending ---- */

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

enum event { EVENT_ENDED, EVENT_SIGNAL, EVENT_TIMEOUT };

/* Waits until `until_ms` (0: for ever). */
static enum event
next_event(struct session *s, uint64_t until_ms)
{
	struct pollfd fds[] = { { s->ended_fd, POLLIN, 0 },
				{ s->signal_fd, POLLIN, 0 } };
	uint64_t now, count;
	int n = 0;

	while (n <= 0) {
		now = now_ms();
		if (until_ms != 0 && now >= until_ms)
			return EVENT_TIMEOUT;
		n = poll(fds, 2, until_ms ? (int)(until_ms - now) : -1);
	}
	if (fds[0].revents != 0)
		return EVENT_ENDED;
	/* Emptied, so that the next signal is an event of its own. */
	if (read(s->signal_fd, &count, sizeof(count)) < 0)
		return EVENT_SIGNAL;
	return EVENT_SIGNAL;
}

/* Serves on while the mount is taken away, and until its last user is gone.
 * Returns whether it is. */
static bool
unmount_serving(struct session *s)
{
	uint32_t timeout_ms = s->options.stop_timeout_ms;
	struct stop_options options = { .mountpoint = s->mountpoint,
					.device = s->device,
					.writebacks = &s->ops.writebacks };

	if (timeout_ms == 0)
		timeout_ms = STOP_TIMEOUT_MS;
	options.timeout_ms = timeout_ms / 2;
	if (stop_unmount_start(&options, &s->stop) != 0)
		return false;
	switch (next_event(s, now_ms() + timeout_ms)) {
	case EVENT_ENDED:
		return true;
	case EVENT_TIMEOUT:
		report(s, KEYFS_LOG_WARNING,
		       "the mount is still in use; ending all the same");
		return false;
	case EVENT_SIGNAL:
		report(s, KEYFS_LOG_WARNING, "second signal: ending at once");
		return false;
	}
	return false;
}

static void
stop(struct session *s, bool ended)
{
	classic_stop(s->classic);
	slow_stop(s->slow);
	s->classic = NULL;
	s->slow = NULL;
	/* Before the device is known nobody else can have unmounted it. */
	if (s->device != 0) {
		session_drop_device(s->fuse);
		if (!ended)
			stop_detach(s->mountpoint, s->device);
	}
	stop_unmount_join(s->stop);
	s->stop = NULL;
	fuse_session_unmount(s->fuse);
}

int
session_run(struct session *s, void (*ready)(void *arg), void *arg)
{
	bool ended = false;
	int r = start(s);

	if (r == 0) {
		if (ready)
			ready(arg);
		ended = next_event(s, 0) == EVENT_ENDED || unmount_serving(s);
	}
	stop(s, ended);
	return r;
}
