/* SPDX-License-Identifier: Apache-2.0 */
/* fs_permit_ops.c - see fs_permit.h. */
#include <config.h>

#include "tests/fs_permit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/die.h"

#ifndef AT_EXECVE_CHECK
#define AT_EXECVE_CHECK 0x10000 /* Linux 6.14; before it, EINVAL everywhere */
#endif

static int
outcome(long result)
{
	return result < 0 ? errno : 0;
}

static const char *
in(const char *directory, const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* ---- What root prepares ---- */

static void
make_file(const char *path, unsigned owner)
{
	if (mknod(path, S_IFREG | 0644, 0) == 0 ? chown(path, owner, 0) != 0
						: errno != EEXIST)
		die("%s: %s", path, strerror(errno));
}

static void
prepare_inside(const char *object)
{
	make_file(in(object, "inside"), PERMIT_OWNER);
}

static void
prepare_nothing_made(const char *object)
{
	const char *path = in(object, PERMIT_MADE);

	if (unlink(path) != 0 && errno == EISDIR && rmdir(path) != 0)
		die("%s: %s", path, strerror(errno));
}

/* As if it had never left. */
static void
prepare_leaver(const char *object)
{
	char out[64];

	snprintf(out, sizeof(out), "%s/%s", PERMIT_OUT, object);
	if (rename(out, in(object, "leaver")) != 0)
		make_file(in(object, "leaver"), PERMIT_OTHER);
}

static void
prepare_times(const char *object)
{
	static const struct timespec old[2] = { { 1, 0 }, { 1, 0 } };

	if (utimensat(AT_FDCWD, object, old, 0) != 0)
		die("%s: %s", object, strerror(errno));
}

/* ---- What the user does with a file or a directory ---- */

/* Bits: may read, write, execute or search. */
static int
run_access(const char *object, unsigned mode)
{
	static const int asked[] = { R_OK, W_OK, X_OK };
	int granted = 0;

	(void)mode;
	for (size_t i = 0; i < 3; i++)
		if (faccessat(AT_FDCWD, object, asked[i], AT_EACCESS) == 0)
			granted |= asked[i];
		else if (errno != EACCES)
			return errno << 3;
	return granted;
}

/* Every bit is changed, so set-id bits come and go. */
static int
run_chmod(const char *object, unsigned mode)
{
	return outcome(chmod(object, ~mode & 07777));
}

static int
run_chgrp(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(chown(object, (uid_t)-1, getegid()));
}

static int
run_chown(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(chown(object, geteuid(), (gid_t)-1));
}

static int
run_touch(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(utimensat(AT_FDCWD, object, NULL, 0));
}

static int
run_set_times(const char *object, unsigned mode)
{
	static const struct timespec times[2] = { { 12, 34 }, { 56, 78 } };

	(void)mode;
	return outcome(utimensat(AT_FDCWD, object, times, 0));
}

static int
run_setxattr(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(setxattr(object, "user.a", "b", 1, 0));
}

/* ---- With a file ---- */

static int
run_read(const char *object, unsigned mode)
{
	int fd = open(object, O_RDONLY), r;
	char byte;

	(void)mode;
	r = fd < 0 ? errno : outcome(read(fd, &byte, 1));
	if (fd >= 0)
		close(fd);
	return r;
}

static int
run_write(const char *object, unsigned mode)
{
	int fd = open(object, O_WRONLY), r;

	(void)mode;
	r = fd < 0 ? errno : outcome(write(fd, "#", 1));
	if (fd >= 0)
		close(fd);
	return r;
}

static int
run_open_truncate(const char *object, unsigned mode)
{
	int fd = open(object, O_RDWR | O_TRUNC);

	(void)mode;
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
run_truncate(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(truncate(object, 3));
}

/* All of execve(2) but the new program. */
static int
run_execute(const char *object, unsigned mode)
{
	char *const words[] = { NULL };

	(void)mode;
	return outcome(syscall(SYS_execveat, AT_FDCWD, object, words, words,
			       AT_EXECVE_CHECK));
}

static int
run_link(const char *object, unsigned mode)
{
	char out[64];

	(void)mode;
	snprintf(out, sizeof(out), "%s/%s", PERMIT_OUT, object);
	return outcome(link(object, out));
}

/* ---- In a directory ---- */

static int
run_list(const char *object, unsigned mode)
{
	DIR *stream = opendir(object);
	int r = 0;

	(void)mode;
	if (!stream)
		return errno;
	errno = 0;
	if (!readdir(stream))
		r = errno ? errno : ENOENT;
	closedir(stream);
	return r;
}

static int
run_search(const char *object, unsigned mode)
{
	struct stat st;

	(void)mode;
	return outcome(lstat(in(object, "inside"), &st));
}

static int
run_create(const char *object, unsigned mode)
{
	int fd = open(in(object, PERMIT_MADE), O_RDWR | O_CREAT | O_EXCL,
		      ~mode & 07777);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int
run_mkdir(const char *object, unsigned mode)
{
	return outcome(mkdir(in(object, PERMIT_MADE), ~mode & 07777));
}

static int
run_unlink(const char *object, unsigned mode)
{
	(void)mode;
	return outcome(unlink(in(object, "inside")));
}

static int
run_rename(const char *object, unsigned mode)
{
	char out[64];

	(void)mode;
	snprintf(out, sizeof(out), "%s/%s", PERMIT_OUT, object);
	return outcome(rename(in(object, "leaver"), out));
}

const struct permit_op permit_ops[] = {
	{ "access, rights of", false, NULL, run_access, false },
	{ "chmod", false, NULL, run_chmod, false },
	{ "chgrp to one's own", false, NULL, run_chgrp, false },
	{ "chown to oneself", false, NULL, run_chown, false },
	{ "utimes, now", false, prepare_times, run_touch, false },
	{ "utimes, another time", false, prepare_times, run_set_times, false },
	{ "setxattr", false, NULL, run_setxattr, false },
	{ "read", false, NULL, run_read, false },
	{ "write", false, NULL, run_write, false },
	{ "open with O_TRUNC", false, NULL, run_open_truncate, false },
	{ "truncate", false, NULL, run_truncate, false },
	{ "execute", false, NULL, run_execute, false },
	{ "link", false, NULL, run_link, false },
	{ "access, rights of", true, NULL, run_access, false },
	{ "chmod", true, NULL, run_chmod, false },
	{ "chgrp to one's own", true, NULL, run_chgrp, false },
	{ "chown to oneself", true, NULL, run_chown, false },
	{ "utimes, now", true, prepare_times, run_touch, false },
	{ "utimes, another time", true, prepare_times, run_set_times, false },
	{ "setxattr", true, NULL, run_setxattr, false },
	{ "list", true, NULL, run_list, false },
	{ "search", true, prepare_inside, run_search, false },
	{ "create in it", true, prepare_nothing_made, run_create, true },
	{ "mkdir in it", true, prepare_nothing_made, run_mkdir, true },
	{ "unlink in it", true, prepare_inside, run_unlink, false },
	{ "rename out of it", true, prepare_leaver, run_rename, false },
};
const size_t permit_op_count = sizeof(permit_ops) / sizeof(permit_ops[0]);
