/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_sync.c - `keyfs sync STORE|MOUNTPOINT`: makes everything so far durable. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/files.h"

/* The root of a FUSE mount is taken for a mountpoint of ours, anything else for a
 * store: fsync(2) is right for whatever filesystem it turns out to be. */
static bool
is_mountpoint(const char *path)
{
	struct statfs fs;
	struct statx stx;

	return statfs(path, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC &&
	       statx(AT_FDCWD, path, 0, 0, &stx) == 0 &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int
sync_mountpoint(const char *path)
{
	int r = 0, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return cmd_fail(&cmd_sync, path, -errno);
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r < 0 ? cmd_fail(&cmd_sync, path, r) : CMD_OK;
}

static int
sync_store(const char *store)
{
	struct files *files;
	int r, status;

	status = cmd_open(&cmd_sync, store, false, &files);
	if (status != CMD_OK)
		return status;
	r = files_sync(files);
	if (r < 0)
		status = cmd_fail_store(&cmd_sync, store, r);
	return cmd_close(&cmd_sync, store, files, status);
}

static int
sync_run(int argc, char **argv)
{
	if (cmd_option(&cmd_sync, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_sync, "needs one store or mountpoint");
	if (is_mountpoint(argv[optind]))
		return sync_mountpoint(argv[optind]);
	return sync_store(argv[optind]);
}

const struct cmd cmd_sync = {
	.name = "sync",
	.synopsis = "STORE|MOUNTPOINT",
	.summary = "Return when everything written so far is durable",
	.details = "sync(1) and syncfs(2) do not reach a FUSE filesystem; this "
		   "does, and so does\nfsync(2) of any file or directory in "
		   "the mount.",
	.run = sync_run,
};
