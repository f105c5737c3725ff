/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_umount.c - `keyfs umount MOUNTPOINT`: unmounts and waits until the store is
 * closed.
 *
 * umount(2) returns when the kernel has let go; the daemon then still closes the
 * store.  The store's lock tells when that is done. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "fs/ctl.h"
#include "src/cmd.h"
#include "src/log.h"
#include "src/mounts.h"
#include "src/path.h"
#include "src/unmount.h"
#include "store/store.h"

/* How long closing may take: one memtable is written, on a slow disk.  In steps,
 * to see whether the store was mounted again meanwhile. */
#define CLOSE_WAIT_MS 1000u
#define CLOSE_TRIES 120u

/* Opening shared and for reading waits for the daemon's lock and changes
 * nothing. */
static int
try_lock(const char *path)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .read_only = true,
					 .lock_wait_ms = CLOSE_WAIT_MS,
					 .label = "keyfs umount" };
	struct keyfs_store *store;
	int r;

	r = keyfs_open(path, &options, &store);
	return r < 0 ? r : keyfs_close(store);
}

static int
wait_closed(const char *store)
{
	struct stat st;
	char *again;
	int r = -EBUSY;
	unsigned i;

	/* A store that was moved or removed while it was mounted. */
	if (stat(store, &st) < 0)
		return CMD_OK;
	for (i = 0; i < CLOSE_TRIES && r == -EBUSY; i++) {
		r = try_lock(store);
		if (r == -EBUSY && ctl_find_mount(store, &again) == 0) {
			/* By somebody else, since. */
			free(again);
			return CMD_OK;
		}
	}
	if (r == -EBUSY) {
		log_error("umount: %s: unmounted, but the store is still open "
			  "after %u s; another mount namespace may have it",
			  store, CLOSE_TRIES * CLOSE_WAIT_MS / 1000);
		return CMD_BUSY;
	}
	return r < 0 ? cmd_fail_store(&cmd_umount, store, r) : CMD_OK;
}

static int
umount_path(const char *path, int flags)
{
	char *mountpoint, *store;
	int r, status;

	r = path_absolute(path, &mountpoint);
	if (r < 0)
		return cmd_fail(&cmd_umount, path, r);
	store = mounts_store_at(mountpoint);
	if (store == NULL) {
		log_error("umount: %s: no store is mounted there", mountpoint);
		status = CMD_NOT_FOUND;
	} else {
		status = unmount(&cmd_umount, mountpoint, flags);
		/* A detached mount ends with its last user, whenever that is. */
		if (status == CMD_OK && !(flags & MNT_DETACH))
			status = wait_closed(store);
	}
	free(store);
	free(mountpoint);
	return status;
}

static int
umount_run(int argc, char **argv)
{
	if (cmd_option(&cmd_umount, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_umount, "needs one mountpoint");
	return umount_path(argv[optind], 0);
}

/* umount(8) calls: umount.fuse.keyfs MOUNTPOINT [-flnrv] [-N NAMESPACE]
 * [-t TYPE]. */
int
cmd_umount_helper(int argc, char **argv)
{
	int option, flags = 0;

	while ((option = cmd_option(&cmd_umount, argc, argv,
				    "flnrvN:t:", NULL)) != -1) {
		if (option == '?')
			return CMD_HELPER_USAGE;
		flags |= option == 'f' ? MNT_FORCE : 0;
		flags |= option == 'l' ? MNT_DETACH : 0;
	}
	if (argc - optind != 1) {
		cmd_usage(&cmd_umount, "needs one mountpoint");
		return CMD_HELPER_USAGE;
	}
	return umount_path(argv[optind], flags) == CMD_OK ? 0
							  : CMD_HELPER_FAILED;
}

const struct cmd cmd_umount = {
	.name = "umount",
	.synopsis = "MOUNTPOINT",
	.summary = "Unmount a store and wait until it is closed",
	.details = "Everything in it is durable then.",
	.run = umount_run,
};
