/* SPDX-License-Identifier: Apache-2.0 */
/* bare_sync.c - a log and nothing else; see bare_sync.h.
 *
 * The file has its size and its blocks before the first sync, so that a sync writes
 * one block and no metadata. */
#include <config.h>

#include "tests/bench/bare_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/engine.h"
#include "tests/bench/usage.h"
#include "tests/must.h"

#define ZERO_STEP 4096

static int
sync_loop(int fd, uint64_t syncs, size_t bytes)
{
	char *record = must_alloc(bytes);
	int r = 0;

	memset(record, 'r', bytes);
	for (uint64_t i = 0; i < syncs && r == 0; i++)
		if (pwrite(fd, record, bytes, (off_t)(i * bytes)) !=
			    (ssize_t)bytes ||
		    fdatasync(fd))
			r = -errno;
	free(record);
	return r;
}

static int
zero_file(int fd, uint64_t size)
{
	static const char zeros[ZERO_STEP];

	for (uint64_t at = 0; at < size; at += ZERO_STEP)
		if (pwrite(fd, zeros, ZERO_STEP, (off_t)at) != ZERO_STEP)
			return -errno;
	return fsync(fd) ? -errno : 0;
}

int
bare_sync_run(const char *dir, uint64_t syncs, size_t bytes, double *rate)
{
	char path[4096];
	uint64_t start;
	int fd, r;

	snprintf(path, sizeof(path), "%s/zeroed", dir);
	fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return engine_error_code("fdatasync", path, errno);
	r = zero_file(fd, syncs * bytes);
	start = usage_now_ns();
	if (r == 0)
		r = sync_loop(fd, syncs, bytes);
	if (r == 0)
		*rate = (double)syncs / usage_since(start);
	(void)close(fd);
	return r ? engine_error_code("fdatasync", path, r) : 0;
}
