/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_mount.c - `keyfs mount [-f] [-o OPTIONS] STORE MOUNTPOINT`, and mount.keyfs.
 *
 * Forks first: threads and locks do not survive a fork, so the child opens the
 * store, mounts and serves, while the parent waits at a pipe.  The child writes
 * a byte when the mount answers; until then its messages go to the terminal.  A
 * pipe that closes without a byte means that the child ended, and its status is
 * the parent's. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/ctl.h"
#include "src/cmd.h"
#include "src/log.h"
#include "src/mounts.h"
#include "src/path.h"
#include "src/serve.h"
#include "src/unmount.h"

struct mount_line {
	struct mount_options options;
	const char *store, *mountpoint; /* as given */
	bool foreground;
	bool fake; /* mount -f: all but the mounting */
};

/* ---- Before anything is opened ---- */

static bool
is_empty(const char *path)
{
	DIR *stream = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	if (stream == NULL)
		return true; /* the mounting will say what is wrong */
	while ((entry = readdir(stream)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			count++;
	closedir(stream);
	return count == 0;
}

/* What a daemon that died leaves mounted answers nothing and is of no use to anybody;
 * mounts are stacked, so there may be more than one.  The attributes of a dead mount
 * may still be cached: it is asked. */
static int
clear_dead_mounts(const char *mountpoint)
{
	struct statx st;
	char *there;
	int status;

	while (statx(AT_FDCWD, mountpoint, AT_STATX_FORCE_SYNC, STATX_TYPE,
		     &st) < 0 &&
	       errno == ENOTCONN) {
		there = mounts_store_at(mountpoint);
		if (there == NULL) {
			log_error("mount: %s: the daemon of what is mounted "
				  "there has died; unmount it first",
				  mountpoint);
			return CMD_FAILED;
		}
		log_error("mount: %s: clearing the mount of a daemon that died",
			  mountpoint);
		free(there);
		status = unmount(&cmd_mount, mountpoint, MNT_DETACH);
		if (status != CMD_OK)
			return status;
	}
	return CMD_OK;
}

static int
check_mountpoint(const char *mountpoint, bool nonempty)
{
	struct stat st;
	char *there;

	if (stat(mountpoint, &st) < 0) {
		if (errno == ENOENT) {
			log_error("mount: %s: no such directory; make it first",
				  mountpoint);
			return CMD_NOT_FOUND;
		}
		log_error("mount: %s: %s", mountpoint, strerror(errno));
		return CMD_FAILED;
	}
	if (!S_ISDIR(st.st_mode)) {
		log_error("mount: %s: not a directory", mountpoint);
		return CMD_FAILED;
	}
	there = mounts_store_at(mountpoint);
	if (there != NULL) {
		log_error("mount: %s: %s is mounted there already", mountpoint,
			  there);
		free(there);
		return CMD_BUSY;
	}
	if (!nonempty && !is_empty(mountpoint)) {
		log_error("mount: %s: not empty, and the mount would hide what "
			  "is there; -o nonempty allows it",
			  mountpoint);
		return CMD_FAILED;
	}
	return CMD_OK;
}

static bool
is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 &&
	       (path[len] == '\0' || path[len] == '/');
}

static int
check_paths(const char *store, const char *mountpoint)
{
	char *already;
	int r;

	if (is_below(store, mountpoint) || is_below(mountpoint, store)) {
		log_error("mount: %s: store and mountpoint must not lie in one "
			  "another",
			  mountpoint);
		return CMD_FAILED;
	}
	r = ctl_find_mount(store, &already);
	if (r == -EXDEV)
		return cmd_fail_store(&cmd_mount, store, r);
	if (r < 0)
		return CMD_OK;
	log_error("mount: %s: it is mounted already, on %s", store, already);
	free(already);
	return CMD_BUSY;
}

/* ---- The daemon ---- */

static void
daemon_ready(void *arg)
{
	const int *pipe_end = arg;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog();
	/* Nothing may hold the terminal, or wait for us at a pipe. */
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	/* Whoever gave up waiting does not want the mount any more. */
	if (write(*pipe_end, "", 1) < 0)
		(void)raise(SIGTERM);
	close(*pipe_end);
}

static int
wait_ready(int pipe_end, pid_t child)
{
	ssize_t n;
	char byte;
	int status;

	do
		n = read(pipe_end, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1)
		return CMD_OK;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return CMD_FAILED;
	if (WIFEXITED(status) && WEXITSTATUS(status) != CMD_OK)
		return WEXITSTATUS(status);
	log_error("mount: the daemon ended before the mount answered%s%s",
		  WIFSIGNALED(status) ? ": " : "",
		  WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
	return CMD_FAILED;
}

static int
serve_in_background(struct serve *serve)
{
	int pipe_ends[2], status;
	pid_t child;

	if (pipe2(pipe_ends, O_CLOEXEC) < 0)
		return cmd_fail(&cmd_mount, serve->mountpoint, -errno);
	child = fork();
	if (child < 0)
		return cmd_fail(&cmd_mount, serve->mountpoint, -errno);
	if (child > 0) {
		close(pipe_ends[1]);
		return wait_ready(pipe_ends[0], child);
	}
	close(pipe_ends[0]);
	(void)setsid();
	(void)signal(SIGPIPE, SIG_IGN);
	serve->ready = daemon_ready;
	serve->arg = &pipe_ends[1];
	status = serve_run(serve);
	/* The parent's standard output is the parent's to flush. */
	_exit(status);
}

static void
foreground_ready(void *arg)
{
	(void)arg; /* whoever started it watches the mountpoint */
}

static int
serve_paths(struct mount_line *line, const char *store, const char *mountpoint)
{
	struct serve serve = { .store = store,
			       .mountpoint = mountpoint,
			       .options = &line->options,
			       .ready = foreground_ready };
	int status = line->fake ? CMD_OK : clear_dead_mounts(mountpoint);

	if (status == CMD_OK)
		status = check_mountpoint(mountpoint, line->options.nonempty);
	if (status == CMD_OK)
		status = check_paths(store, mountpoint);
	if (status != CMD_OK || line->fake)
		return status;
	/* The files' modes come from requests, with the caller's umask applied;
	 * the directory of the daemon would keep a disk busy. */
	umask(0);
	if (chdir("/") < 0)
		return cmd_fail(&cmd_mount, "/", -errno);
	if (line->foreground || line->options.session.debug)
		return serve_run(&serve);
	return serve_in_background(&serve);
}

/* A store may be absent, but not the directory that it is to be made in. */
static int
resolved(const char *path, int r)
{
	if (r != -ENOENT)
		return r < 0 ? cmd_fail(&cmd_mount, path, r) : CMD_OK;
	log_error("mount: %s: no such directory to put it in; make that first",
		  path);
	return CMD_NOT_FOUND;
}

/* `mount -o remount,ro MOUNTPOINT` calls the helper.  The flags are the kernel's alone:
 * with -i mount(8) calls nobody.  What is not named must stay, above all what protects
 * (a remount sets all flags), so it comes before what is.  Only words for the kernel are
 * handed on: the others, which mount(8) brings back from the table of mounts, it may
 * refuse. */
static int
remount(const struct mount_line *line)
{
	const struct mount_options *options = &line->options;
	struct statvfs st;
	bool read_only;
	char *list;

	if (statvfs(line->mountpoint, &st) < 0)
		return cmd_fail(&cmd_mount, line->mountpoint, -errno);
	read_only = options->access_said ? options->session.read_only
					 : st.f_flag & ST_RDONLY;
	if (asprintf(&list, "remount,%s%s%s%s%s%s%s%s", read_only ? "ro" : "rw",
		     st.f_flag & ST_NOSUID ? ",nosuid" : "",
		     st.f_flag & ST_NODEV ? ",nodev" : "",
		     st.f_flag & ST_NOEXEC ? ",noexec" : "",
		     st.f_flag & ST_NOATIME ? ",noatime" : "",
		     st.f_flag & ST_SYNCHRONOUS ? ",sync" : "",
		     options->kernel[0] ? "," : "", options->kernel) < 0)
		return cmd_fail(&cmd_mount, line->mountpoint, -ENOMEM);
	execlp("mount", "mount", "-i", "-t", "fuse.keyfs", "-o", list,
	       line->store, line->mountpoint, (char *)NULL);
	free(list);
	return cmd_fail(&cmd_mount, "mount(8)", -errno);
}

static int
mount_store(struct mount_line *line)
{
	char *store = NULL, *mountpoint = NULL;
	int status;

	if (line->options.remount)
		return line->fake ? CMD_OK : remount(line);
	status = resolved(line->store,
			  path_absolute_nofollow(line->store, &store));
	if (status == CMD_OK)
		status = resolved(line->mountpoint,
				  path_absolute(line->mountpoint, &mountpoint));
	if (status == CMD_OK)
		status = serve_paths(line, store, mountpoint);
	free(store);
	free(mountpoint);
	return status;
}

/* ---- The two command lines ---- */

static int
add_options(struct mount_line *line, const char *list)
{
	char why[256];

	if (mount_options_parse(&line->options, list, why, sizeof(why)) == 0)
		return CMD_OK;
	return cmd_usage(&cmd_mount, "%s", why);
}

/* What mounts nothing.  Whether `option` is that. */
static bool
is_answered(int option)
{
	if (option == 'h')
		cmd_explain(&cmd_mount);
	else if (option == 'V')
		cmd_version();
	return option == 'h' || option == 'V';
}

/* The letters that FUSE filesystems share. */
static int
take_letter(struct mount_line *line, int option)
{
	switch (option) {
	case 'd':
		return add_options(line, "debug");
	case 'f':
		line->foreground = true;
		return CMD_OK;
	case 's':
		return add_options(line, "threads=1");
	case 'o':
		return add_options(line, optarg);
	default:
		return CMD_USAGE;
	}
}

static int
mount_run(int argc, char **argv)
{
	struct mount_line line = { .fake = false };
	int option;

	mount_options_init(&line.options);
	while ((option = cmd_option(&cmd_mount, argc, argv, "dfhso:V", NULL)) !=
	       -1) {
		if (is_answered(option))
			return CMD_OK;
		if (take_letter(&line, option) != CMD_OK)
			return CMD_USAGE;
	}
	if (argc - optind != 2)
		return cmd_usage(&cmd_mount, "needs a store and a mountpoint");
	line.store = argv[optind];
	line.mountpoint = argv[optind + 1];
	return mount_store(&line);
}

/* mount(8) calls: mount.keyfs STORE MOUNTPOINT [-sfnv] [-N NAMESPACE]
 * [-t TYPE] [-o OPTIONS]. */
int
cmd_mount_helper(int argc, char **argv)
{
	struct mount_line line = { .fake = false };
	int option, status;

	mount_options_init(&line.options);
	while ((option = cmd_option(&cmd_mount, argc, argv,
				    "hVsfnvN:t:o:", NULL)) != -1) {
		if (is_answered(option))
			return 0;
		if (option == '?')
			return CMD_HELPER_USAGE;
		line.fake |= option == 'f';
		if (option == 'o' && add_options(&line, optarg) != CMD_OK)
			return CMD_HELPER_USAGE;
	}
	if (argc - optind != 2) {
		cmd_usage(&cmd_mount, "needs a store and a mountpoint");
		return CMD_HELPER_USAGE;
	}
	line.store = argv[optind];
	line.mountpoint = argv[optind + 1];
	status = mount_store(&line);
	return status == CMD_OK ? 0 : CMD_HELPER_FAILED;
}

const struct cmd cmd_mount = {
	.name = "mount",
	.synopsis = "[-d] [-f] [-h] [-s] [-V] [-o OPTION[,OPTION]...] STORE "
		    "MOUNTPOINT",
	.summary = "Mount a store as a directory",
	.details = "Makes the store if STORE is absent or an empty directory.  "
		   "Returns when the\nmount answers.\n\n"
		   "  -f      serve in the foreground\n"
		   "  -d      the same, and print every request\n"
		   "  -s      answer one request after the other\n"
		   "  -h, -V  print this, or the versions\n\n"
		   "Options, more in mount.keyfs(8):\n",
	.more = mount_options_print,
	.run = mount_run,
};
