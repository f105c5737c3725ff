/* SPDX-License-Identifier: Apache-2.0 */
/* mounted.c - a mount over an engine in memory; see mounted.h. */
#include <config.h>

#include "tests/mounted.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fs/handle.h"
#include "tests/tmpdir.h"

#define WAIT_STEPS 3000 /* of 10 ms */

static char *dir;

void
mounted_setup(void)
{
	dir = tmpdir_new();
}

static void
detach_all(void)
{
	while (umount2(dir, MNT_DETACH) == 0)
		;
}

void
mounted_teardown(void)
{
	detach_all();
	tmpdir_free(dir);
}

const char *
mounted_dir(void)
{
	return dir;
}

const char *
mounted_path(const char *name)
{
	static char paths[2][4096];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void
sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

bool
mounted_is(void)
{
	struct stat here, above;
	char parent[4096];

	snprintf(parent, sizeof(parent), "%s/..", dir);
	return stat(dir, &here) != 0 || stat(parent, &above) != 0 ||
	       here.st_dev != above.st_dev;
}

void
mounted_wait_gone(void)
{
	int i;

	for (i = 0; i < WAIT_STEPS && mounted_is(); i++)
		sleep_ms(10);
	ck_assert(!mounted_is());
}

int
mounted_wait(pid_t pid)
{
	int status, i;

	for (i = 0; i < WAIT_STEPS; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		sleep_ms(10);
	}
	ck_abort_msg("the daemon does not end");
	return -1;
}

/* The kernel lets a daemon read FORGETs and requests by turns, 8 requests at most before
 * the next FORGETs, and each STATFS is a request. */
void
mounted_settle(void)
{
	struct statvfs st;

	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(statvfs(dir, &st), 0);
}

int
mounted_stop(pid_t pid)
{
	kill(pid, SIGTERM);
	return mounted_wait(pid);
}

/* ---- The child ---- */

static struct {
	const struct mounted_options *options;
	struct kv *kv;
	struct kv_ops slow_ops;
	const struct kv_ops *ops;
	struct handle_table *table;
	int ready_fd;
} child;

static int
slow_sync(struct kv *kv)
{
	sleep_ms(child.options->sync_ms);
	return child.ops->sync(kv);
}

static void
on_ready(void *arg)
{
	struct kv_mem_faults *faults = kv_mem_faults(child.kv);

	(void)arg;
	faults->again_every = child.options->again_every;
	faults->error = child.options->error;
	if (write(child.ready_fd, "", 1) != 1)
		_exit(100);
	close(child.ready_fd);
}

static int
report_problem(void *arg, const char *where, const char *what)
{
	(void)arg;
	fprintf(stderr, "%s: %s\n", where, what);
	return 0;
}

static int
child_open_tree(struct tree **out)
{
	struct tree_options options = { .in_use = handle_table_in_use,
					.arg = child.table };

	return tree_open(child.kv, &options, out);
}

static int
run_session(struct tree *tree)
{
	struct session_options options = child.options->session;
	struct session *session;
	char why[256] = "";
	int r;

	options.mountpoint = dir;
	options.fsname = "/tests/mounted";
	r = session_open(tree, child.table, &options, why, sizeof(why),
			 &session);
	if (r != 0) {
		fprintf(stderr, "%s\n", why);
		return r;
	}
	r = session_run(session, on_ready, NULL);
	session_close(session);
	return r;
}

static bool
any_held(void)
{
	struct handle_usage usage;

	handle_table_usage(child.table, &usage);
	if (!child.options->none_held || usage.inodes == 0)
		return false;
	fprintf(stderr, "%zu inodes are held\n", usage.inodes);
	return true;
}

static bool
too_many_keys(void)
{
	int i;

	for (i = 0; i < WAIT_STEPS / 2; i++) {
		if (child.options->keys_max == 0 ||
		    kv_mem_count(child.kv) <= child.options->keys_max)
			return false;
		sleep_ms(10);
	}
	fprintf(stderr, "%zu keys are left\n", kv_mem_count(child.kv));
	return true;
}

/* Returns 0, or a number that says what went wrong. */
static int
child_run(void)
{
	struct tree *tree;
	int r;

	child.kv = kv_mem_new();
	child.ops = child.kv->ops;
	child.slow_ops = *child.ops;
	child.slow_ops.sync = slow_sync;
	if (child.options->sync_ms > 0)
		child.kv->ops = &child.slow_ops;
	if (handle_table_new(&child.table) != 0 ||
	    child_open_tree(&tree) != 0 || tree_start(tree) != 0)
		return 101;
	if (child.options->prepare && child.options->prepare(tree) != 0)
		return 107;
	r = run_session(tree);
	kv_mem_faults(child.kv)->error = 0;
	kv_mem_faults(child.kv)->again_every = 0;
	if (too_many_keys())
		return 108;
	if (tree_close(tree) != 0 || r != 0)
		return 102;
	if (any_held())
		return 106;
	handle_table_free(child.table);
	if (handle_table_new(&child.table) != 0 || child_open_tree(&tree) != 0)
		return 103;
	r = tree_check(tree, report_problem, NULL) != 0 ? 104 : 0;
	if (r == 0 && child.options->verify)
		r = child.options->verify(child.kv, tree);
	if (tree_close(tree) != 0 || kv_close(child.kv) != 0)
		return 105;
	handle_table_free(child.table);
	return r;
}

pid_t
mounted_start(const struct mounted_options *options)
{
	static const struct mounted_options none;
	int fds[2];
	pid_t pid;
	char byte;

	/* What a test before this one may have left. */
	detach_all();
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fds[0]);
		/* Check has handlers of its own, and whoever started the tests may
		 * ignore SIGHUP (nohup), which a session leaves so. */
		signal(SIGHUP, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		child.options = options ? options : &none;
		child.ready_fd = fds[1];
		exit(child_run());
	}
	close(fds[1]);
	ck_assert_msg(read(fds[0], &byte, 1) == 1, "the mount failed");
	close(fds[0]);
	return pid;
}
