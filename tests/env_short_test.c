/* SPDX-License-Identifier: Apache-2.0 */
/* env_short_test.c - the real environment on a system that interrupts every other
 * call and reads and writes a few bytes at a time.  The linker puts these functions
 * in the place of the system's (Makefile.am). */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store/env.h"
#include "tests/suite.h"
#include "tests/tmpdir.h"

enum { SHORT_BYTES = 7, BYTES = 1000 };

/* What the system does to the next calls. */
static bool disturbs;  /* every other one is interrupted, and it is short */
static int last_error; /* a write fails so when a part was written */
static bool writes_nothing;
static unsigned calls, interrupted;

static bool
interrupts(void)
{
	if (!disturbs || calls++ % 2)
		return false;
	interrupted++;
	errno = EINTR;
	return true;
}

#define PLACE(type, name, parameters, ...)                                     \
	type __real_##name parameters;                                         \
	type __wrap_##name parameters;                                         \
	type __wrap_##name parameters                                          \
	{                                                                      \
		return interrupts() ? -1 : __real_##name(__VA_ARGS__);         \
	}

PLACE(int, fdatasync, (int fd), fd)
PLACE(int, fsync, (int fd), fd)
PLACE(int, ftruncate, (int fd, off_t size), fd, size)
PLACE(int, fstatvfs, (int fd, struct statvfs *out), fd, out)
PLACE(int, flock, (int fd, int how), fd, how)
PLACE(ssize_t, getrandom, (void *buf, size_t len, unsigned flags), buf,
      disturbs &&len > SHORT_BYTES ? SHORT_BYTES : len, flags)
PLACE(ssize_t, pread, (int fd, void *buf, size_t len, off_t offset), fd, buf,
      disturbs &&len > SHORT_BYTES ? SHORT_BYTES : len, offset)

int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
int
__wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (interrupts())
		return -1;
	if (last_error) {
		errno = last_error;
		return -1;
	}
	return __real_fallocate(fd, mode, offset, len);
}

ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t offset);
ssize_t
__wrap_pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	if (interrupts())
		return -1;
	if (writes_nothing)
		return 0;
	if (last_error && offset > 0) {
		errno = last_error;
		return -1;
	}
	if (disturbs && len > SHORT_BYTES)
		len = SHORT_BYTES;
	return __real_pwrite(fd, buf, len, offset);
}

static char *scratch; /* owned */
static struct env_dir *dir;
static struct env_file *file;

static void
setup(void)
{
	scratch = tmpdir_new();
	ck_assert_int_eq(env_dir_open(env_posix(), scratch, 0, &dir), 0);
	ck_assert_int_eq(env_file_open(dir, "a", ENV_WRITE | ENV_CREATE, &file),
			 0);
	disturbs = true;
}

static void
teardown(void)
{
	disturbs = false;
	env_file_close(file);
	env_dir_close(dir);
	tmpdir_free(scratch);
}

START_TEST(short_reads_and_writes_are_finished)
{
	char data[BYTES], found[BYTES] = { 0 };
	size_t len = 0;

	for (unsigned i = 0; i < BYTES; i++)
		data[i] = (char)(i * 7);
	ck_assert_int_eq(env_file_write(file, 3, data, BYTES), 0);
	ck_assert_int_eq(env_file_read(file, 3, found, BYTES, false, &len), 0);
	ck_assert_uint_eq(len, BYTES);
	ck_assert_mem_eq(found, data, BYTES);
	ck_assert_int_eq(env_file_read(file, 3, found, BYTES, true, &len), 0);
	ck_assert_uint_eq(len, BYTES);
	ck_assert_uint_ge(interrupted, 2 * BYTES / SHORT_BYTES);
}
END_TEST

START_TEST(interrupted_calls_are_made_again)
{
	struct env_space space;
	char buf[40] = { 0 };
	uint64_t size;

	ck_assert_int_eq(env_file_truncate(file, 100), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert_int_eq(env_file_lock(file, true), 0);
	ck_assert_int_eq(env_dir_space(dir, &space), 0);
	ck_assert_int_eq(env_random(env_posix(), buf, sizeof(buf)), 0);
	ck_assert_uint_ge(interrupted, 6);
	if (env_file_allocate(file, 100, 100) == 0) {
		ck_assert_int_eq(env_file_size(file, &size), 0);
		ck_assert_uint_eq(size, 200);
	}
}
END_TEST

START_TEST(a_write_that_ends_in_the_middle_fails)
{
	char data[BYTES] = { 0 };
	uint64_t size;

	last_error = ENOSPC;
	ck_assert_int_eq(env_file_write(file, 0, data, BYTES), -ENOSPC);
	ck_assert_int_eq(env_file_size(file, &size), 0);
	ck_assert_uint_eq(size, SHORT_BYTES);
}
END_TEST

START_TEST(a_quota_that_is_used_up_is_a_full_disk)
{
	char data[BYTES] = { 0 };

	last_error = EDQUOT;
	ck_assert_int_eq(env_file_write(file, 0, data, BYTES), -ENOSPC);
	ck_assert_int_eq(env_file_allocate(file, 0, BYTES), -ENOSPC);
}
END_TEST

START_TEST(a_write_of_nothing_is_not_tried_for_ever)
{
	writes_nothing = true;
	ck_assert_int_eq(env_file_write(file, 0, "abc", 3), -EIO);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("env_short");
	TCase *tcase = tcase_create("env_short");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, short_reads_and_writes_are_finished);
	tcase_add_test(tcase, interrupted_calls_are_made_again);
	tcase_add_test(tcase, a_write_that_ends_in_the_middle_fails);
	tcase_add_test(tcase, a_quota_that_is_used_up_is_a_full_disk);
	tcase_add_test(tcase, a_write_of_nothing_is_not_tried_for_ever);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
