/* SPDX-License-Identifier: Apache-2.0 */
/* tmpdir.c - see tmpdir.h. */
#include <config.h>

#include "tests/tmpdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

char *
tmpdir_new(void)
{
	const char *parent = getenv("TMPDIR");
	char *path;

	if (!parent || parent[0] == '\0')
		parent = "/tmp";
	if (asprintf(&path, "%s/keyfs-test-XXXXXX", parent) < 0)
		abort();
	if (!mkdtemp(path)) {
		perror(path);
		abort();
	}
	return path;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	if (remove(path) < 0)
		perror(path);
	return 0;
}

void
tmpdir_free(char *path)
{
	if (!path)
		return;
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	free(path);
}
