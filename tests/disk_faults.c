/* SPDX-License-Identifier: Apache-2.0 */
/* disk_faults.c - calls of a running program that fail on demand: a library that
 * is loaded before all others (LD_PRELOAD).
 *
 * The file that KEYFS_TEST_FAULTS names holds one fault a line:
 *
 *	fdatasync .log 5        fdatasync() of a file whose path ends in ".log"
 *	                        fails with errno 5
 *	pwrite MANIFEST- 28     in whose path MANIFEST- occurs
 *	fstatfs . 0             the filesystem says that it is none of those on
 *	                        which logs are mapped
 *
 * It is read at each call, so faults come and go while the program runs.  Without
 * the file nothing fails. */
#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The errno that a call on a file is to fail with; -1: none. */
static int
fault_of(const char *call, int fd)
{
	const char *list = getenv("KEYFS_TEST_FAULTS");
	char link[64], path[4096], name[64], part[64];
	int error, found = -1, kept = errno;
	ssize_t len;
	FILE *faults = list ? fopen(list, "re") : NULL;

	if (!faults)
		return -1;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	path[len < 0 ? 0 : len] = '\0';
	while (found < 0 &&
	       fscanf(faults, "%63s %63s %d", name, part, &error) == 3)
		if (strcmp(name, call) == 0 && strstr(path, part))
			found = error;
	fclose(faults);
	errno = kept;
	return found;
}

static bool
fails(const char *call, int fd)
{
	int error = fault_of(call, fd);

	if (error >= 0)
		errno = error;
	return error >= 0;
}

/* The function of the same name that this one hides. */
#define HIDDEN(type, name) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

int
fdatasync(int fd)
{
	int (*hidden)(int) = HIDDEN(int (*)(int), "fdatasync");

	return fails("fdatasync", fd) ? -1 : hidden(fd);
}

int
fsync(int fd)
{
	int (*hidden)(int) = HIDDEN(int (*)(int), "fsync");

	return fails("fsync", fd) ? -1 : hidden(fd);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	ssize_t (*hidden)(int, const void *, size_t, off_t) =
		HIDDEN(ssize_t(*)(int, const void *, size_t, off_t), "pwrite");

	return fails("pwrite", fd) ? -1 : hidden(fd, data, len, offset);
}

int
fallocate(int fd, int mode, off_t offset, off_t len)
{
	int (*hidden)(int, int, off_t, off_t) =
		HIDDEN(int (*)(int, int, off_t, off_t), "fallocate");

	return fails("fallocate", fd) ? -1 : hidden(fd, mode, offset, len);
}

int
fstatfs(int fd, struct statfs *out)
{
	int (*hidden)(int, struct statfs *) =
		HIDDEN(int (*)(int, struct statfs *), "fstatfs");
	int r = hidden(fd, out);

	if (r == 0 && fault_of("fstatfs", fd) >= 0)
		out->f_type = 0;
	return r;
}
