/* SPDX-License-Identifier: Apache-2.0 */
/* unmount.c - see unmount.h. */
#include <config.h>

#include "src/unmount.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/log.h"

/* Whoever walks a path through the mount at that moment, or is about to end, holds
 * it: only who holds it longer than this is a user to be told of. */
#define BUSY_WAIT_MS 20u
#define BUSY_TRIES 25u

/* Not root: fusermount3 is set-user-id and unmounts what is the caller's; it
 * prints its own messages. */
static int
unmount_by_helper(const struct cmd *cmd, const char *mountpoint, bool lazy)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return cmd_fail(cmd, mountpoint, -errno);
	if (child == 0) {
		execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--",
		       mountpoint, (char *)NULL);
		log_error("%s: fusermount3: %s; install the package fuse3",
			  cmd->name, strerror(errno));
		_exit(CMD_FAILED);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cmd_fail(cmd, mountpoint, -errno);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CMD_OK
							     : CMD_FAILED;
}

/* 0 or -errno; `flags` are those of umount2(2). */
static int
unmount_patiently(const char *mountpoint, int flags)
{
	const struct timespec wait = { .tv_nsec = BUSY_WAIT_MS * 1000000L };
	unsigned i;

	for (i = 0; i < BUSY_TRIES; i++) {
		if (umount2(mountpoint, flags | UMOUNT_NOFOLLOW) == 0)
			return 0;
		if (errno != EBUSY)
			return -errno;
		(void)nanosleep(&wait, NULL);
	}
	return -EBUSY;
}

int
unmount(const struct cmd *cmd, const char *mountpoint, int flags)
{
	int r = unmount_patiently(mountpoint, flags);

	if (r == 0)
		return CMD_OK;
	if (r == -EPERM)
		return unmount_by_helper(cmd, mountpoint, flags & MNT_DETACH);
	if (r != -EBUSY)
		return cmd_fail(cmd, mountpoint, r);
	log_error("%s: %s: in use; `fuser -vm %s` shows by whom", cmd->name,
		  mountpoint, mountpoint);
	return CMD_BUSY;
}
