/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - finds the door to a store's files; see files.h. */
#include <config.h>

#include "src/files.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/ctl.h"

/* Two commands in one script, or a mount that is just starting or ending, hold
 * the lock for a moment: how often to look again, and how long each look waits
 * for the lock. */
#define OPEN_TRIES 25
#define OPEN_WAIT_MS 200u

/* One look: mounted, or free, or -EBUSY. */
static int
files_try(const char *store, bool read_only, struct files **out)
{
	char *mountpoint;
	int r;

	r = ctl_find_mount(store, &mountpoint);
	/* Nobody answers, or ends while it does: the lock knows more. */
	if (r == -ENOENT || r == -EPROTO || r == -ECONNRESET)
		return files_store_open(store, read_only, OPEN_WAIT_MS, out);
	if (r < 0)
		return r;
	r = files_mount_open(store, mountpoint, out);
	free(mountpoint);
	return r;
}

int
files_open(const char *store, bool read_only, struct files **out)
{
	struct stat st;
	int i, r;

	/* Not a question for the socket, which only knows that it is absent. */
	if (stat(store, &st) < 0)
		return -errno;
	for (i = 0; i < OPEN_TRIES; i++) {
		r = files_try(store, read_only, out);
		if (r != -EBUSY)
			return r;
	}
	return -EBUSY;
}

int
files_check_regular(uint32_t mode)
{
	if (S_ISREG(mode))
		return 0;
	if (S_ISDIR(mode))
		return -EISDIR;
	return S_ISLNK(mode) ? -ELOOP : -EINVAL;
}
