/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_umount.c - `keyfs umount MOUNTPOINT`: unmounts and waits until the store is
 * closed.
 *
 * umount(2) returns when the kernel has let go; the daemon then still closes the
 * store.  The store's lock tells when that is done. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/log.h"
#include "src/mounts.h"
#include "src/path.h"
#include "store/store.h"

/* How long closing may take: one memtable is written, on a slow disk. */
#define CLOSE_WAIT_MS 120000u

/* Not root: fusermount3 is set-user-id and unmounts what is the caller's; it
 * prints its own messages. */
static int
unmount_by_helper(const char *mountpoint)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return cmd_fail(&cmd_umount, mountpoint, -errno);
	if (child == 0) {
		execlp("fusermount3", "fusermount3", "-u", "--", mountpoint,
		       (char *)NULL);
		log_error("umount: fusermount3: %s; install the package fuse3",
			  strerror(errno));
		_exit(CMD_FAILED);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return cmd_fail(&cmd_umount, mountpoint, -errno);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CMD_OK
							     : CMD_FAILED;
}

static int
unmount(const char *mountpoint)
{
	if (umount2(mountpoint, UMOUNT_NOFOLLOW) == 0)
		return CMD_OK;
	if (errno == EPERM)
		return unmount_by_helper(mountpoint);
	if (errno != EBUSY)
		return cmd_fail(&cmd_umount, mountpoint, -errno);
	log_error("umount: %s: in use; `fuser -vm %s` shows by whom",
		  mountpoint, mountpoint);
	return CMD_BUSY;
}

/* Opening shared and for reading waits for the daemon's lock and changes
 * nothing. */
static int
wait_closed(const char *path)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .read_only = true,
					 .lock_wait_ms = CLOSE_WAIT_MS,
					 .label = "keyfs umount" };
	struct keyfs_store *store;
	struct stat st;
	int r;

	/* A store that was moved or removed while it was mounted. */
	if (stat(path, &st) < 0)
		return CMD_OK;
	r = keyfs_open(path, &options, &store);
	if (r == 0)
		r = keyfs_close(store);
	/* Somebody else has mounted it since. */
	if (r == -EBUSY)
		return CMD_OK;
	return r < 0 ? cmd_fail_store(&cmd_umount, path, r) : CMD_OK;
}

static int
umount_run(int argc, char **argv)
{
	char *mountpoint, *store;
	int r, status;

	if (cmd_option(&cmd_umount, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_umount, "needs one mountpoint");
	r = path_absolute(argv[optind], &mountpoint);
	if (r < 0)
		return cmd_fail(&cmd_umount, argv[optind], r);
	store = mounts_store_at(mountpoint);
	if (store == NULL) {
		log_error("umount: %s: no store is mounted there", mountpoint);
		status = CMD_NOT_FOUND;
	} else {
		status = unmount(mountpoint);
		if (status == CMD_OK)
			status = wait_closed(store);
	}
	free(store);
	free(mountpoint);
	return status;
}

const struct cmd cmd_umount = {
	.name = "umount",
	.synopsis = "MOUNTPOINT",
	.summary = "Unmount a store and wait until it is closed",
	.details = "Everything in it is durable then.",
	.run = umount_run,
};
