/* SPDX-License-Identifier: Apache-2.0 */
/* fs_random.c - the same random operations in two directories, one of them on
 * the mount and the other on a filesystem that is trusted, compared step by
 * step.
 *
 *	fs_random DIRECTORY REFERENCE [STEPS]
 *
 * After each step result and errno must agree, and what was read; of one step in 25
 * also which times of what it names, or of the open file, and of the directories above
 * have changed, which takes a tick of the clock.  Every 250 steps both trees are walked
 * and compared: names, attributes, extended attributes, contents.  The seed is printed
 * and taken from KEYFS_TEST_SEED.  One thread; run as root; the reference must not change
 * access times (noatime). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/fs_compare.h"
#include "tests/suite.h"

#define SLOTS 6 /* files held open */
#define IO_MAX 70000u
#define STEPS 2000
#define WALK_EVERY 250

static const char *roots[SIDES];
static uint64_t state;
static int fds[SLOTS][SIDES];
static unsigned long succeeded;
static char data[IO_MAX], got[SIDES][IO_MAX];

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

	doing("rename %s to %s, flags %u", path, other, f);
	BOTH(renameat2(AT_FDCWD, at(side), AT_FDCWD, at_other(side), f));
}

static void
do_link(void)
{
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

/* ---- Extended attributes ---- */

static const char *
xattr_name(void)
{
	static const char *const names[] = { "user.a",     "user.b",
					     "user.a.b",   "trusted.t",
					     "security.s", "user.",
					     "nonsense.x" };

	return names[any(7)];
}

static void
do_setxattr(void)
{
	static const int flags[] = { 0, 0, XATTR_CREATE, XATTR_REPLACE };
	const char *name = xattr_name();
	int f = flags[any(4)];
	size_t len = any(200);

	fill(len);
	doing("setxattr %s of %s, %zu bytes, flags %d", name, path, len, f);
	BOTH(lsetxattr(at(side), name, data, len, f));
}

static void
do_getxattr(void)
{
	const char *name = xattr_name();
	size_t len = any(3) ? 200 : any(200);
	int i;

	for (i = 0; i < SIDES; i++)
		memset(got[i], 0, 200);
	doing("getxattr %s of %s, %zu bytes", name, path, len);
	BOTH(lgetxattr(at(side), name, got[side], len));
	if (memcmp(got[0], got[1], 200) != 0)
		differ("got other bytes");
}

static void
do_removexattr(void)
{
	const char *name = xattr_name();

	doing("removexattr %s of %s", name, path);
	BOTH(lremovexattr(at(side), name));
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

static void
do_fallocate(const int *fd)
{
	static const int modes[] = { 0,
				     FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE |
					     FALLOC_FL_KEEP_SIZE };
	int mode = modes[any(7)];
	off_t offset = random_offset(), len = (off_t)random_len();

	doing("fallocate mode %d, %ld at %ld", mode, (long)len, (long)offset);
	BOTH(fallocate(fd[side], mode, offset, len));
}

static void
do_copy(const int *fd)
{
	const int *to = fds[any(SLOTS)];
	off_t from_offset = random_offset(), to_offset = random_offset();
	size_t len = random_len();

	if (to[0] < 0)
		return;
	doing("copy %zu from %ld to %ld", len, (long)from_offset,
	      (long)to_offset);
	BOTH(copy_file_range(fd[side], &(off_t){ from_offset }, to[side],
			     &(off_t){ to_offset }, len, 0));
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
		do_create,   do_create,   do_create,      do_mkdir,
		do_mkdir,    do_rmdir,    do_unlink,      do_rename,
		do_rename,   do_link,     do_symlink,     do_mknod,
		do_chmod,    do_chown,    do_utimens,     do_truncate,
		do_readlink, do_open,     do_open,        do_setxattr,
		do_setxattr, do_getxattr, do_removexattr,
	};
	static void (*const by_fd[])(const int *fd) = {
		do_pwrite,    do_pwrite,    do_pread, do_pread,
		do_mmap,      do_ftruncate, do_fstat, do_fsync,
		do_fallocate, do_fallocate, do_copy,
	};
	const int *fd = fds[any(SLOTS)];

	random_path(path);
	random_path(other);
	if (any(3) == 0 && fd[0] >= 0) {
		bool timed = any(25) == 0;

		if (timed)
			compare_fd_times_begin(fd);
		by_fd[any(sizeof(by_fd) / sizeof(by_fd[0]))](fd);
		if (timed)
			compare_fd_times_end(fd);
	} else if (any(25) == 0) {
		compare_times_begin(roots, path, other);
		by_name[any(sizeof(by_name) / sizeof(by_name[0]))]();
		compare_times_end(roots);
	} else {
		by_name[any(sizeof(by_name) / sizeof(by_name[0]))]();
	}
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
			compare_trees(roots);
	}
	printf("%ld steps agree, %lu calls succeeded\n", steps, succeeded);
	return EXIT_SUCCESS;
}
