/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - asks the kernel; see usage.h. */
#include <config.h>

#include "tests/bench/usage.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t
usage_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

double
usage_since(uint64_t start_ns)
{
	return (double)(usage_now_ns() - start_ns) / 1e9;
}

uint64_t
usage_cpu_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* The number after `name` at the start of a line of `path`; 0 if there is none. */
static uint64_t
proc_number(const char *path, const char *name)
{
	unsigned long long number = 0;
	size_t len = strlen(name);
	char line[256];
	FILE *file = fopen(path, "r");

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			(void)sscanf(line + len + 1, "%llu", &number);
			break;
		}
	(void)fclose(file);
	return number;
}

/* What was dirtied and then deleted before it was written back is counted too; the
 * kernel books the deletion on whoever deletes, so subtracting it would give a
 * figure that depends on when writeback ran. */
uint64_t
usage_written_bytes(void)
{
	return proc_number("/proc/self/io", "write_bytes");
}

uint64_t
usage_peak_bytes(void)
{
	return proc_number("/proc/self/status", "VmHWM") * 1024;
}

void
usage_reset_peak(void)
{
	FILE *file = fopen("/proc/self/clear_refs", "w");

	if (!file)
		return;
	(void)fputs("5", file);
	(void)fclose(file);
}

/* nftw() has no argument for its callback. */
static _Thread_local uint64_t disk_bytes;

static int
add_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)at;
	if (type == FTW_F)
		disk_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

/* Files come and go while this looks; what cannot be seen any more counts 0. */
uint64_t
usage_disk_bytes(const char *dir)
{
	disk_bytes = 0;
	(void)nftw(dir, add_file, 16, FTW_PHYS);
	return disk_bytes;
}

static int
remove_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path) ? -errno : 0;
}

int
usage_remove_tree(const char *dir)
{
	int r = nftw(dir, remove_file, 16, FTW_PHYS | FTW_DEPTH);

	return r == -1 ? -errno : r;
}
