/* SPDX-License-Identifier: Apache-2.0 */
/* fs_random.c - the same random operations in two directories, one of them on
 * the mount and the other on a filesystem that is trusted, compared step by
 * step.
 *
 *	fs_random DIRECTORY REFERENCE [STEPS]
 *
 * After each step result and errno must agree, and what was read; every 100
 * steps both trees are walked and compared: names, attributes, contents. The
 * seed is printed and taken from KEYFS_TEST_SEED. One thread; run as root. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/suite.h"

#define SIDES 2
#define SLOTS 6 /* files held open */
#define IO_MAX 70000u
#define STEPS 2000
#define WALK_EVERY 100

static const char *roots[SIDES];
static uint64_t state;
static int fds[SLOTS][SIDES];
static unsigned long succeeded;
static char did[1024]; /* what the step does */
static char data[IO_MAX], got[SIDES][IO_MAX];

static void __attribute__((noreturn, format(printf, 1, 2)))
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

static void __attribute__((format(printf, 1, 2))) doing(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(did, sizeof(did), format, args);
	va_end(args);
}

static unsigned
any(unsigned below)
{
	return (unsigned)(suite_random(&state) % below);
}

/* One of few names, so that operations meet: most of one letter, some that are
 * odd. */
static void
random_name(char *out)
{
	static const char *const odd[] = { "\n", "\xff\xfe", "with space",
					   ".hidden", "..x" };
	unsigned r = any(40);

	if (r == 0)
		sprintf(out, "%0255d", 7);
	else if (r == 1)
		sprintf(out, "%0256d", 7);
	else if (r < 5)
		strcpy(out, odd[any(5)]);
	else
		sprintf(out, "%c", 'a' + (char)any(6));
}

static void
random_path(char *out)
{
	unsigned depth = any(8);

	out[0] = '\0';
	do {
		strcat(out, "/");
		random_name(out + strlen(out));
	} while (depth-- > 5);
}

static void
full(char *out, int side, const char *path)
{
	snprintf(out, 4096, "%s%s", roots[side], path);
}

static void
fill(size_t len)
{
	uint64_t seed = suite_random(&state);
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = (char)(i % 64 ? 'a' + (int)(i % 23)
					: (int)(suite_random(&seed) % 256));
}

static off_t
random_offset(void)
{
	switch (any(4)) {
	case 0:
		return 0;
	case 1:
		return (off_t)any(8192);
	case 2:
		return (off_t)any(64) * 4096;
	default:
		return (off_t)any(300000);
	}
}

static size_t
random_len(void)
{
	return any(3) == 0 ? any(IO_MAX) : any(600);
}

/* Compares the results of one call on both sides. */
static void
same(const long result[SIDES], const int error[SIDES])
{
	if (result[0] != result[1])
		differ("result %ld (%s), reference %ld (%s)", result[0],
		       strerror(error[0]), result[1], strerror(error[1]));
	succeeded += result[0] >= 0;
	if (result[0] < 0 && error[0] != error[1])
		differ("error %s, reference %s", strerror(error[0]),
		       strerror(error[1]));
}

/* Runs `call`, an expression over `side`, on both sides. */
#define BOTH(call)                                                             \
	do {                                                                   \
		long result[SIDES];                                            \
		int error[SIDES];                                              \
		int side;                                                      \
		for (side = 0; side < SIDES; side++) {                         \
			errno = 0;                                             \
			result[side] = (long)(call);                           \
			error[side] = errno;                                   \
		}                                                              \
		same(result, error);                                           \
	} while (0)

/* ---- What can be done with names ---- */

static char path[2048], other[2048]; /* of the step, below the root */

static const char *
at(int side)
{
	static char text[4096];

	full(text, side, path);
	return text;
}

static const char *
at_other(int side)
{
	static char text[4096];

	full(text, side, other);
	return text;
}

static int
write_file(int side, int flags, mode_t mode, size_t len)
{
	/* Opening a FIFO must not wait for its reader. */
	int fd = open(at(side), flags | O_WRONLY | O_NONBLOCK, mode), r;

	if (fd < 0)
		return -1;
	r = (int)write(fd, data, len);
	close(fd);
	return r;
}

static void
do_create(void)
{
	static const int flags[] = { O_CREAT, O_CREAT | O_EXCL,
				     O_CREAT | O_TRUNC, O_TRUNC, O_APPEND };
	int f = flags[any(5)];
	size_t len = random_len();

	fill(len);
	doing("write %zu with flags %#o: %s", len, (unsigned)f, path);
	BOTH(write_file(side, f, 0640, len));
}

static void
do_mkdir(void)
{
	mode_t mode = any(2) ? 0755 : 02750;

	doing("mkdir %s %o", path, mode);
	BOTH(mkdir(at(side), mode));
}

static void
do_rmdir(void)
{
	doing("rmdir %s", path);
	BOTH(rmdir(at(side)));
}

static void
do_unlink(void)
{
	doing("unlink %s", path);
	BOTH(unlink(at(side)));
}

static void
do_rename(void)
{
	static const unsigned flags[] = { 0, 0, 0, RENAME_NOREPLACE,
					  RENAME_EXCHANGE };
	unsigned f = flags[any(5)];

	random_path(other);
	doing("rename %s to %s, flags %u", path, other, f);
	BOTH(renameat2(AT_FDCWD, at(side), AT_FDCWD, at_other(side), f));
}

static void
do_link(void)
{
	random_path(other);
	doing("link %s to %s", path, other);
	BOTH(link(at(side), at_other(side)));
}

static void
do_symlink(void)
{
	char target[300];

	random_name(target);
	doing("symlink %s to %s", path, target);
	BOTH(symlink(target, at(side)));
}

static void
do_mknod(void)
{
	mode_t mode = any(2) ? S_IFIFO | 0600 : S_IFSOCK | 0622;

	doing("mknod %s %o", path, mode);
	BOTH(mknod(at(side), mode, 0));
}

static void
do_chmod(void)
{
	mode_t mode = any(010000);

	doing("chmod %s %o", path, mode);
	BOTH(chmod(at(side), mode));
}

static void
do_chown(void)
{
	uid_t uid = any(3) ? any(2000) : (uid_t)-1;
	gid_t gid = any(3) ? any(2000) : (gid_t)-1;

	doing("chown %s %d %d", path, (int)uid, (int)gid);
	BOTH(lchown(at(side), uid, gid));
}

static void
do_utimens(void)
{
	struct timespec times[2] = {
		{ (time_t)any(2000000000), (long)any(1000000000) },
		{ (time_t)any(2000000000), (long)any(1000000000) }
	};

	doing("utimens %s", path);
	BOTH(utimensat(AT_FDCWD, at(side), times, AT_SYMLINK_NOFOLLOW));
}

static void
do_truncate(void)
{
	off_t size = random_offset();

	doing("truncate %s to %ld", path, (long)size);
	BOTH(truncate(at(side), size));
}

static void
do_readlink(void)
{
	doing("readlink %s", path);
	BOTH(readlink(at(side), got[side], IO_MAX));
}

/* ---- What can be done with open files ---- */

static void
do_open(void)
{
	unsigned slot = any(SLOTS);

	doing("open %s", path);
	BOTH(fds[slot][side] < 0 ? 0 : close(fds[slot][side]));
	BOTH((fds[slot][side] =
		      open(at(side), O_RDWR | O_CREAT | O_NONBLOCK, 0600)) < 0
		     ? -1
		     : 0);
}

static void
do_pwrite(const int *fd)
{
	size_t len = random_len();
	off_t offset = random_offset();

	fill(len);
	doing("pwrite %zu at %ld", len, (long)offset);
	BOTH(pwrite(fd[side], data, len, offset));
}

static void
do_pread(const int *fd)
{
	size_t len = random_len();
	off_t offset = random_offset();
	int i;

	for (i = 0; i < SIDES; i++)
		memset(got[i], 0, len);
	doing("pread %zu at %ld", len, (long)offset);
	BOTH(pread(fd[side], got[side], len, offset));
	if (memcmp(got[0], got[1], len) != 0)
		differ("read other bytes");
}

static void
do_ftruncate(const int *fd)
{
	off_t size = random_offset();

	doing("ftruncate to %ld", (long)size);
	BOTH(ftruncate(fd[side], size));
}

static int
map_and_write(int fd, off_t offset, size_t len)
{
	struct stat st;
	char *map;
	int r;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return -1;
	if (st.st_size <= offset)
		return 0;
	if ((off_t)len > st.st_size - offset)
		len = (size_t)(st.st_size - offset);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (map == MAP_FAILED)
		return -1;
	memcpy(map + offset, data, len);
	r = msync(map, (size_t)st.st_size, MS_SYNC);
	munmap(map, (size_t)st.st_size);
	return r == 0 ? (int)len : -1;
}

static void
do_mmap(const int *fd)
{
	size_t len = random_len();
	off_t offset = random_offset();

	fill(len);
	doing("mapped write %zu at %ld", len, (long)offset);
	BOTH(map_and_write(fd[side], offset, len));
}

static void
do_fstat(const int *fd)
{
	struct stat st[SIDES];

	doing("fstat");
	BOTH(fstat(fd[side], &st[side]));
	if (st[0].st_nlink != st[1].st_nlink || st[0].st_size != st[1].st_size)
		differ("nlink %lu size %ld, reference %lu %ld",
		       (unsigned long)st[0].st_nlink, (long)st[0].st_size,
		       (unsigned long)st[1].st_nlink, (long)st[1].st_size);
}

static void
do_fsync(const int *fd)
{
	doing("fsync");
	BOTH(fsync(fd[side]));
}

static void
step(void)
{
	static void (*const by_name[])(void) = {
		do_create,   do_create,   do_create, do_mkdir,  do_mkdir,
		do_rmdir,    do_unlink,   do_rename, do_rename, do_link,
		do_symlink,  do_mknod,    do_chmod,  do_chown,  do_utimens,
		do_truncate, do_readlink, do_open,   do_open,
	};
	static void (*const by_fd[])(const int *fd) = {
		do_pwrite, do_pwrite,    do_pread, do_pread,
		do_mmap,   do_ftruncate, do_fstat, do_fsync,
	};
	const int *fd = fds[any(SLOTS)];

	random_path(path);
	if (any(3) == 0 && fd[0] >= 0)
		by_fd[any(sizeof(by_fd) / sizeof(by_fd[0]))](fd);
	else
		by_name[any(sizeof(by_name) / sizeof(by_name[0]))]();
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
	/* Times that were set are old and must be equal; others are of now and
	 * cannot be. */
	if ((a->st_mtime < 2000000000 - 100000000) !=
		    (b->st_mtime < 2000000000 - 100000000) ||
	    (b->st_mtime < 1700000000 &&
	     (a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	      a->st_mtim.tv_nsec != b->st_mtim.tv_nsec)))
		differ("%s: mtime %ld, reference %ld", name, (long)a->st_mtime,
		       (long)b->st_mtime);
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

int
main(int argc, char **argv)
{
	long steps = argc > 3 ? atol(argv[3]) : STEPS, i;
	int slot, side;

	if (argc < 3) {
		fprintf(stderr, "usage: %s DIRECTORY REFERENCE [STEPS]\n",
			argv[0]);
		return 2;
	}
	umask(022);
	state = suite_seed();
	for (side = 0; side < SIDES; side++)
		roots[side] = argv[1 + side];
	for (slot = 0; slot < SLOTS; slot++)
		for (side = 0; side < SIDES; side++)
			fds[slot][side] = -1;
	for (i = 0; i < steps; i++) {
		step();
		if (i % WALK_EVERY == WALK_EVERY - 1 || i == steps - 1)
			compare_dirs(roots);
	}
	printf("%ld steps agree, %lu calls succeeded\n", steps, succeeded);
	return EXIT_SUCCESS;
}
