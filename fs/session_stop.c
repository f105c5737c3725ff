/* SPDX-License-Identifier: Apache-2.0 */
/* session_stop.c - the end of a mount; see session_stop.h. */
#include <config.h>

#include "fs/session_stop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* ---- Signals ---- */

static const int stop_signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };

#define SIGNALS (sizeof(stop_signals) / sizeof(stop_signals[0]))

static struct {
	volatile sig_atomic_t fd; /* read by the handler */
	bool open;
	struct sigaction before[SIGNALS];
} signals = { .fd = -1 };

static void
on_signal(int number)
{
	int error = errno;
	uint64_t one = 1;

	(void)number;
	/* Full means that it was told 2^64-2 times already. */
	if (write(signals.fd, &one, sizeof(one)) < 0)
		errno = error;
	errno = error;
}

int
stop_signals_open(int *out_fd)
{
	struct sigaction action = { .sa_flags = SA_RESTART };
	size_t i;
	int fd;

	if (signals.open)
		return -EBUSY;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	signals.fd = fd;
	signals.open = true;
	sigemptyset(&action.sa_mask);
	for (i = 0; i < SIGNALS; i++) {
		action.sa_handler =
			stop_signals[i] == SIGPIPE ? SIG_IGN : on_signal;
		sigaction(stop_signals[i], NULL, &signals.before[i]);
		/* What was ignored (nohup) or taken by the program stays. */
		if (signals.before[i].sa_handler == SIG_DFL)
			sigaction(stop_signals[i], &action, NULL);
	}
	*out_fd = fd;
	return 0;
}

void
stop_signals_close(void)
{
	size_t i;

	for (i = 0; i < SIGNALS; i++)
		sigaction(stop_signals[i], &signals.before[i], NULL);
	close(signals.fd);
	signals.fd = -1;
	signals.open = false;
}

/* ---- Unmounting ---- */

struct stop_unmount {
	struct stop_options options;
	pthread_t thread;
};

/* Without privileges unmounting is the work of a helper. */
static int
run_fusermount(const char *mountpoint, bool detach)
{
	const char *argv[] = { "fusermount3", "-u", "-q", detach ? "-z" : "--",
			       "--",          NULL, NULL };
	posix_spawn_file_actions_t quiet;
	int r, status;
	pid_t pid;

	argv[detach ? 5 : 4] = mountpoint;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null",
					 O_WRONLY, 0);
	r = posix_spawnp(&pid, argv[0], &quiet, NULL, (char **)argv, environ);
	posix_spawn_file_actions_destroy(&quiet);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int
unmount(const char *mountpoint, bool detach)
{
	int flags = UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0);

	if (umount2(mountpoint, flags) == 0)
		return 0;
	return errno == EPERM ? run_fusermount(mountpoint, detach) : -errno;
}

/* Somebody may have unmounted or detached it already, and the directory may be
 * another mount by now. Asks the kernel only, which may have to be asked when
 * nobody serves requests any more. */
static bool
still_mounted(const char *mountpoint, uint64_t device)
{
	struct statx st;

	return statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
		     STATX_TYPE, &st) == 0 &&
	       makedev(st.stx_dev_major, st.stx_dev_minor) == device;
}

void
stop_detach(const char *mountpoint, uint64_t device)
{
	if (still_mounted(mountpoint, device))
		(void)unmount(mountpoint, true);
}

#define QUIET_MS 150
#define STEP_MS 10

/* Some kernels do not wait in syncfs() for the pages of a FUSE mount, they only
 * start writing them. They come without a pause, so when none came for a while
 * they have all come. */
static void
wait_until_quiet(const struct stop_options *o)
{
	const struct timespec step = { .tv_nsec = STEP_MS * 1000000 };
	uint64_t count = 0, before = atomic_load(o->writebacks);
	uint32_t quiet_ms = 0, waited_ms = 0;

	while (quiet_ms < QUIET_MS && waited_ms < o->timeout_ms) {
		nanosleep(&step, NULL);
		waited_ms += STEP_MS;
		quiet_ms += STEP_MS;
		count = atomic_load(o->writebacks);
		if (count != before)
			quiet_ms = 0;
		before = count;
	}
}

static void
write_back(const struct stop_options *o)
{
	int fd = open(o->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* Its errors are those of the files; their users get them. */
	(void)syncfs(fd);
	close(fd);
	wait_until_quiet(o);
}

/* A mount that nobody uses has no mapped pages, and a file that was unmapped
 * was written back by that; so only a busy mount needs it. */
static void *
unmount_thread(void *arg)
{
	struct stop_unmount *stop = arg;
	const struct stop_options *o = &stop->options;

	if (!still_mounted(o->mountpoint, o->device) ||
	    unmount(o->mountpoint, false) == 0)
		return NULL;
	write_back(o);
	if (unmount(o->mountpoint, false) != 0)
		stop_detach(o->mountpoint, o->device);
	return NULL;
}

int
stop_unmount_start(const struct stop_options *options,
		   struct stop_unmount **out)
{
	struct stop_unmount *stop = malloc(sizeof(*stop));
	int r;

	if (!stop)
		return -ENOMEM;
	stop->options = *options;
	r = pthread_create(&stop->thread, NULL, unmount_thread, stop);
	if (r != 0) {
		free(stop);
		return -r;
	}
	*out = stop;
	return 0;
}

void
stop_unmount_join(struct stop_unmount *stop)
{
	if (!stop)
		return;
	pthread_join(stop->thread, NULL);
	free(stop);
}
