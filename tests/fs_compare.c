/* SPDX-License-Identifier: Apache-2.0 */
/* fs_compare.c - see fs_compare.h. */
#include <config.h>

#include "tests/fs_compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define IO_MAX 70000u

static char did[1024]; /* what the step does */
static char got[SIDES][IO_MAX];

void
differ(const char *format, ...)
{
	va_list args;

	printf("after: %s\n", did);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(EXIT_FAILURE);
}

void
doing(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(did, sizeof(did), format, args);
	va_end(args);
}

/* ---- Comparing the trees ---- */

struct names {
	char *name[4096];
	size_t count;
};

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
list(const char *dir, struct names *out)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;

	if (!stream)
		differ("%s: %s", dir, strerror(errno));
	out->count = 0;
	while ((entry = readdir(stream)))
		out->name[out->count++] = strdup(entry->d_name);
	closedir(stream);
	qsort(out->name, out->count, sizeof(out->name[0]), by_bytes);
}

static void
compare_stat(const char *name, const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_nlink != b->st_nlink ||
	    a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
	    a->st_rdev != b->st_rdev ||
	    (!S_ISDIR(a->st_mode) && a->st_size != b->st_size))
		differ("%s: mode %o nlink %lu owner %u:%u size %ld, reference "
		       "%o %lu %u:%u %ld",
		       name, a->st_mode, (unsigned long)a->st_nlink, a->st_uid,
		       a->st_gid, (long)a->st_size, b->st_mode,
		       (unsigned long)b->st_nlink, b->st_uid, b->st_gid,
		       (long)b->st_size);
	/* What goes through a FIFO changes its time in the kernel, which never tells
	 * a daemon, and forgets. */
	if (S_ISFIFO(a->st_mode))
		return;
	/* Times that were set are old and must be equal; others are of now and
	 * cannot be. */
	if ((a->st_mtime < 2000000000 - 100000000) !=
		    (b->st_mtime < 2000000000 - 100000000) ||
	    (b->st_mtime < 1700000000 &&
	     (a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	      a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)))
		differ("%s: mode %o mtime %ld, reference %ld", name, a->st_mode,
		       (long)a->st_mtime, (long)b->st_mtime);
}

static void
compare_contents(const char *const name[SIDES])
{
	int fd[SIDES];
	ssize_t n[SIDES];
	off_t offset = 0;
	int i;

	for (i = 0; i < SIDES; i++)
		fd[i] = open(name[i], O_RDONLY);
	do {
		for (i = 0; i < SIDES; i++)
			n[i] = pread(fd[i], got[i], IO_MAX, offset);
		if (n[0] != n[1] || n[0] < 0 ||
		    memcmp(got[0], got[1], (size_t)n[0]) != 0)
			differ("%s: contents at %ld", name[0], (long)offset);
		offset += n[0];
	} while (n[0] > 0);
	for (i = 0; i < SIDES; i++)
		close(fd[i]);
}

/* The names of extended attributes in order, each with a zero behind. */
static size_t
list_xattrs(const char *name, char *out)
{
	static char list[IO_MAX];
	const char *sorted[64];
	ssize_t len = llistxattr(name, list, sizeof(list));
	size_t count = 0;
	char *end = out;

	if (len < 0)
		differ("%s: listxattr: %s", name, strerror(errno));
	for (const char *at = list; at < list + len; at += strlen(at) + 1)
		sorted[count++] = at;
	qsort(sorted, count, sizeof(sorted[0]), by_bytes);
	for (size_t i = 0; i < count; i++)
		end = stpcpy(end, sorted[i]) + 1;
	return (size_t)(end - out);
}

static void
compare_xattrs(const char *const name[SIDES])
{
	static char list[SIDES][IO_MAX];
	size_t len[SIDES];
	ssize_t n[SIDES];
	int i;

	for (i = 0; i < SIDES; i++)
		len[i] = list_xattrs(name[i], list[i]);
	if (len[0] != len[1] || memcmp(list[0], list[1], len[0]) != 0)
		differ("%s: other extended attributes", name[0]);
	for (const char *at = list[0]; at < list[0] + len[0];
	     at += strlen(at) + 1) {
		for (i = 0; i < SIDES; i++)
			n[i] = lgetxattr(name[i], at, got[i], IO_MAX);
		if (n[0] < 0 || n[0] != n[1] ||
		    memcmp(got[0], got[1], (size_t)n[0]) != 0)
			differ("%s: %s has another value", name[0], at);
	}
}

static void compare_dirs(const char *const dir[SIDES]);

static void
compare_objects(const char *const name[SIDES])
{
	struct stat st[SIDES];
	int i;

	for (i = 0; i < SIDES; i++)
		if (lstat(name[i], &st[i]) != 0)
			differ("%s: %s", name[i], strerror(errno));
	compare_stat(name[0], &st[0], &st[1]);
	compare_xattrs(name);
	if (S_ISDIR(st[0].st_mode))
		compare_dirs(name);
	else if (S_ISREG(st[0].st_mode))
		compare_contents(name);
	else if (S_ISLNK(st[0].st_mode) &&
		 (readlink(name[0], got[0], IO_MAX) != st[0].st_size ||
		  readlink(name[1], got[1], IO_MAX) != st[0].st_size ||
		  memcmp(got[0], got[1], (size_t)st[0].st_size) != 0))
		differ("%s: link target", name[0]);
}

static void
compare_dirs(const char *const dir[SIDES])
{
	struct names *names = calloc(SIDES, sizeof(*names));
	char *child[SIDES];
	size_t i;
	int side;

	for (side = 0; side < SIDES; side++)
		list(dir[side], &names[side]);
	if (names[0].count != names[1].count)
		differ("%s: %zu names, reference %zu", dir[0], names[0].count,
		       names[1].count);
	for (i = 0; i < names[0].count; i++) {
		const char *name = names[0].name[i];

		if (strcmp(name, names[1].name[i]) != 0)
			differ("%s: has %s, reference %s", dir[0], name,
			       names[1].name[i]);
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			for (side = 0; side < SIDES; side++)
				if (asprintf(&child[side], "%s/%s", dir[side],
					     name) < 0)
					abort();
			compare_objects((const char *const *)child);
			for (side = 0; side < SIDES; side++)
				free(child[side]);
		}
		for (side = 0; side < SIDES; side++)
			free(names[side].name[i]);
	}
	free(names);
}

void
compare_trees(const char *const roots[SIDES])
{
	compare_dirs(roots);
}

/* ---- Times ---- */

/* What an operation names, and the directories above. */
#define WATCHED 4

static struct {
	char path[2048];
	bool there[SIDES];
	struct stat before[SIDES];
} watched[WATCHED];

static bool
look(const char *root, const char *path, struct stat *out)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s%s", root, path);
	return lstat(text, out) == 0;
}

static void
watch(int i, const char *path, bool above)
{
	char *slash;

	snprintf(watched[i].path, sizeof(watched[i].path), "%s", path);
	slash = strrchr(watched[i].path, '/');
	if (above && slash)
		*slash = '\0';
}

/* Longer than a tick of the coarse clock. */
static void
wait_a_tick(void)
{
	const struct timespec tick = { .tv_nsec = 11000000 };

	nanosleep(&tick, NULL);
}

void
compare_times_begin(const char *const roots[SIDES], const char *path,
		    const char *other)
{
	watch(0, path, false);
	watch(1, path, true);
	watch(2, other, false);
	watch(3, other, true);
	for (int i = 0; i < WATCHED; i++)
		for (int side = 0; side < SIDES; side++)
			watched[i].there[side] =
				look(roots[side], watched[i].path,
				     &watched[i].before[side]);
	wait_a_tick();
}

static bool
moved(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

static void
compare_time(const char *path, const char *what, const struct timespec *before,
	     const struct timespec *after, const struct timespec *ref_before,
	     const struct timespec *ref_after)
{
	bool here = moved(before, after), there = moved(ref_before, ref_after);

	if (here != there)
		differ("%s: %s %s, reference: it %s", path, what,
		       here ? "has changed" : "has not changed",
		       there ? "has" : "has not");
}

void
compare_times_end(const char *const roots[SIDES])
{
	for (int i = 0; i < WATCHED; i++) {
		const struct stat *a = &watched[i].before[0];
		const struct stat *b = &watched[i].before[1];
		struct stat now[SIDES];

		/* The same object as before, on both sides. */
		if (!watched[i].there[0] || !watched[i].there[1] ||
		    !look(roots[0], watched[i].path, &now[0]) ||
		    !look(roots[1], watched[i].path, &now[1]) ||
		    now[0].st_ino != a->st_ino || now[1].st_ino != b->st_ino)
			continue;
		/* What goes through a FIFO never comes to the daemon, and the
		 * kernel keeps no times of it for FUSE. */
		if (S_ISFIFO(a->st_mode))
			continue;
		compare_time(watched[i].path, "mtime", &a->st_mtim,
			     &now[0].st_mtim, &b->st_mtim, &now[1].st_mtim);
		compare_time(watched[i].path, "ctime", &a->st_ctim,
			     &now[0].st_ctim, &b->st_ctim, &now[1].st_ctim);
		compare_time(watched[i].path, "atime", &a->st_atim,
			     &now[0].st_atim, &b->st_atim, &now[1].st_atim);
	}
}

/* ---- Of an open file ---- */

static struct stat fd_before[SIDES];

static void
look_at_fd(const int fd[SIDES], struct stat out[SIDES])
{
	for (int side = 0; side < SIDES; side++)
		if (fstat(fd[side], &out[side]) != 0)
			differ("fstat: %s", strerror(errno));
}

void
compare_fd_times_begin(const int fd[SIDES])
{
	look_at_fd(fd, fd_before);
	wait_a_tick();
}

void
compare_fd_times_end(const int fd[SIDES])
{
	const struct stat *a = &fd_before[0], *b = &fd_before[1];
	struct stat now[SIDES];

	if (S_ISFIFO(a->st_mode))
		return;
	look_at_fd(fd, now);
	compare_time("the file", "mtime", &a->st_mtim, &now[0].st_mtim,
		     &b->st_mtim, &now[1].st_mtim);
	compare_time("the file", "ctime", &a->st_ctim, &now[0].st_ctim,
		     &b->st_ctim, &now[1].st_ctim);
}
