/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.c - reads the kernel's table of mounts; see mounts.h. */
#include <config.h>

#include "src/mounts.h"

#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
mounts_store_at(const char *mountpoint)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	const struct mntent *entry;
	char *store = NULL;

	if (mounts == NULL)
		return NULL;
	/* Mounts are stacked: the last line is the one on top. */
	while ((entry = getmntent(mounts)) != NULL) {
		if (strcmp(entry->mnt_dir, mountpoint) != 0)
			continue;
		free(store);
		store = strcmp(entry->mnt_type, "fuse.keyfs") == 0
				? strdup(entry->mnt_fsname)
				: NULL;
	}
	endmntent(mounts);
	return store;
}
