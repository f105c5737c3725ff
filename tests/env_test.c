/* SPDX-License-Identifier: Apache-2.0 */
/* env_test.c - the real environment: what it refuses, modes, reads and writes. */
#include <config.h>

#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suite.h"
#include "tests/tmpdir.h"

static char *scratch;       /* owned: removed after each test */
static struct env_dir *dir; /* scratch/store, open */

static const char *
in_scratch(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}

static void
setup(void)
{
	scratch = tmpdir_new();
	ck_assert_int_eq(env_dir_open(env_posix(), in_scratch("store"),
				      ENV_DIR_CREATE, &dir),
			 0);
}

static void
teardown(void)
{
	env_dir_close(dir);
	tmpdir_free(scratch);
}

static struct env_file *
create(const char *name)
{
	struct env_file *file;

	ck_assert_int_eq(env_file_open(dir, name, ENV_WRITE | ENV_CREATE,
				       &file),
			 0);
	return file;
}

static unsigned
mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(lstat(in_scratch(name), &st), 0);
	return st.st_mode & 07777;
}

static int
open_dir(const char *name, unsigned flags)
{
	struct env_dir *other;
	int r = env_dir_open(env_posix(), in_scratch(name), flags, &other);

	if (r == 0)
		env_dir_close(other);
	return r;
}

/* ---- Names and directories ---- */

static const char *const bad_names[] = {
	"",
	".",
	"..",
	"/",
	"a/b",
	"../a",
	"/etc/passwd",
	"0123456789012345678901234567890123456789012345678901234567890123",
};

START_TEST(names_that_lead_outside_are_refused)
{
	const char *bad = bad_names[_i];
	struct env_file *file;

	env_file_close(create("good"));
	ck_assert_int_eq(env_file_open(dir, bad, ENV_READ, &file), -EINVAL);
	ck_assert_int_eq(env_file_open(dir, bad, ENV_WRITE | ENV_CREATE, &file),
			 -EINVAL);
	ck_assert_int_eq(env_unlink(dir, bad), -EINVAL);
	ck_assert_int_eq(env_rename(dir, bad, "x"), -EINVAL);
	ck_assert_int_eq(env_rename(dir, "good", bad), -EINVAL);
}
END_TEST

START_TEST(a_name_may_be_as_long_as_the_limit)
{
	char name[ENV_NAME_MAX + 1];

	memset(name, 'n', ENV_NAME_MAX);
	name[ENV_NAME_MAX] = '\0';
	env_file_close(create(name));
	ck_assert_int_eq(env_unlink(dir, name), 0);
}
END_TEST

START_TEST(null_handles_may_be_closed)
{
	env_dir_close(NULL);
	env_file_close(NULL);
	env_file_unmap(NULL, NULL, 0);
}
END_TEST

START_TEST(modes_do_not_depend_on_the_umask)
{
	static const mode_t masks[] = { 0, 022, 0777 };
	struct env_file *file;
	mode_t old = umask(masks[_i]);

	ck_assert_int_eq(open_dir("new", ENV_DIR_CREATE), 0);
	file = create("file");
	umask(old);
	ck_assert_uint_eq(mode_of("new"), 0700);
	ck_assert_uint_eq(mode_of("store/file"), 0600);
	env_file_close(file);
}
END_TEST

START_TEST(an_existing_directory_is_opened_by_create_too)
{
	ck_assert_int_eq(open_dir("store", ENV_DIR_CREATE), 0);
	ck_assert_int_eq(open_dir("store///", ENV_DIR_CREATE), 0);
	ck_assert_int_eq(open_dir("store", 0), 0);
}
END_TEST

START_TEST(absent_and_plain_files_are_not_directories)
{
	env_file_close(create("file"));
	ck_assert_int_eq(open_dir("absent", 0), -ENOENT);
	ck_assert_int_eq(open_dir("absent/deeper", ENV_DIR_CREATE), -ENOENT);
	ck_assert_int_eq(open_dir("store/file", 0), -ENOTDIR);
	ck_assert_int_eq(open_dir("store/file", ENV_DIR_CREATE), -ENOTDIR);
}
END_TEST

START_TEST(a_symbolic_link_to_a_directory_is_refused)
{
	ck_assert_int_eq(symlink("store", in_scratch("link")), 0);
	ck_assert_int_eq(open_dir("link", 0), -EPERM);
	ck_assert_int_eq(open_dir("link/", 0), -EPERM);
	ck_assert_int_eq(open_dir("link", ENV_DIR_CREATE), -EPERM);
}
END_TEST

START_TEST(a_directory_that_others_may_write_is_refused)
{
	static const mode_t modes[] = { 0720, 0702, 01777 };

	ck_assert_int_eq(mkdir(in_scratch("shared"), 0700), 0);
	ck_assert_int_eq(open_dir("shared", 0), 0);
	ck_assert_int_eq(chmod(in_scratch("shared"), modes[_i]), 0);
	ck_assert_int_eq(open_dir("shared", 0), -EPERM);
}
END_TEST

START_TEST(a_directory_of_another_user_is_refused)
{
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(mkdir(in_scratch("foreign"), 0700), 0);
	ck_assert_int_eq(chown(in_scratch("foreign"), 12345, 12345), 0);
	ck_assert_int_eq(open_dir("foreign", 0), -EPERM);
}
END_TEST

struct listing {
	unsigned seen;
	int answer;
};

static int
list_one(void *arg, const char *name)
{
	struct listing *listing = arg;

	ck_assert(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
	listing->seen |= name[0] == 'a' ? 1 : 2;
	ck_assert_int_eq(env_unlink(dir, name), 0);
	return listing->answer;
}

START_TEST(a_listing_shows_each_name_and_may_remove_it)
{
	struct listing listing = { 0, 0 };

	env_file_close(create("a"));
	env_file_close(create("b"));
	ck_assert_int_eq(env_dir_list(dir, list_one, &listing), 0);
	ck_assert_uint_eq(listing.seen, 3);
	listing.seen = 0;
	ck_assert_int_eq(env_dir_list(dir, list_one, &listing), 0);
	ck_assert_uint_eq(listing.seen, 0);
}
END_TEST

START_TEST(a_listing_ends_when_the_caller_says_so)
{
	struct listing listing = { 0, 7 };

	env_file_close(create("a"));
	env_file_close(create("b"));
	ck_assert_int_eq(env_dir_list(dir, list_one, &listing), 7);
	ck_assert(listing.seen == 1 || listing.seen == 2);
}
END_TEST

START_TEST(a_rename_replaces_and_a_removal_removes)
{
	struct env_file *file = create("a");
	uint64_t size;

	ck_assert_int_eq(env_file_write(file, 0, "abc", 3), 0);
	env_file_close(file);
	env_file_close(create("b"));
	ck_assert_int_eq(env_rename(dir, "a", "b"), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert_int_eq(env_file_open(dir, "a", ENV_READ, &file), -ENOENT);
	ck_assert_int_eq(env_file_open(dir, "b", ENV_READ, &file), 0);
	ck_assert_int_eq(env_file_size(file, &size), 0);
	ck_assert_uint_eq(size, 3);
	env_file_close(file);
	ck_assert_int_eq(env_rename(dir, "a", "c"), -ENOENT);
	ck_assert_int_eq(env_unlink(dir, "b"), 0);
	ck_assert_int_eq(env_unlink(dir, "b"), -ENOENT);
}
END_TEST

START_TEST(space_is_told_in_bytes)
{
	struct env_space space;

	ck_assert_int_eq(env_dir_space(dir, &space), 0);
	ck_assert_uint_gt(space.total, 1 << 20);
	ck_assert_uint_le(space.available, space.total);
}
END_TEST

/* ---- Files ---- */

START_TEST(opening_refuses_what_is_not_a_plain_file)
{
	struct env_file *file;

	ck_assert_int_eq(symlink("target", in_scratch("store/link")), 0);
	ck_assert_int_eq(mkfifo(in_scratch("store/fifo"), 0600), 0);
	ck_assert_int_eq(mkdir(in_scratch("store/dir"), 0700), 0);
	ck_assert_int_eq(env_file_open(dir, "link", ENV_READ, &file), -ELOOP);
	ck_assert_int_eq(env_file_open(dir, "fifo", ENV_READ, &file), -EPERM);
	ck_assert_int_eq(env_file_open(dir, "fifo", ENV_WRITE, &file), -EPERM);
	ck_assert_int_eq(env_file_open(dir, "dir", ENV_READ, &file), -EPERM);
	ck_assert_int_eq(env_file_open(dir, "dir", ENV_WRITE, &file), -EPERM);
	ck_assert_int_eq(env_file_open(dir, "absent", ENV_READ, &file),
			 -ENOENT);
}
END_TEST

START_TEST(create_never_opens_what_is_there)
{
	struct env_file *file;
	unsigned flags = ENV_WRITE | ENV_CREATE;

	env_file_close(create("a"));
	ck_assert_int_eq(env_file_open(dir, "a", flags, &file), -EEXIST);
	ck_assert_int_eq(symlink("target", in_scratch("store/link")), 0);
	ck_assert_int_eq(env_file_open(dir, "link", flags, &file), -EEXIST);
}
END_TEST

START_TEST(unknown_flags_are_refused)
{
	struct env_file *file;

	ck_assert_int_eq(env_file_open(dir, "a", 0, &file), -EINVAL);
	ck_assert_int_eq(env_file_open(dir, "a", ENV_CREATE, &file), -EINVAL);
	ck_assert_int_eq(env_file_open(dir, "a", 8, &file), -EINVAL);
	ck_assert_int_eq(open_dir("store", 8), -EINVAL);
}
END_TEST

START_TEST(what_was_written_is_read)
{
	struct env_file *file = create("a");
	char buf[8];
	size_t len = 99;

	ck_assert_int_eq(env_file_write(file, 4, "abcd", 4), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert_int_eq(env_file_read(file, 0, buf, 8, false, &len), 0);
	ck_assert_uint_eq(len, 8);
	ck_assert_mem_eq(buf, "\0\0\0\0abcd", 8);
	ck_assert_int_eq(env_file_read(file, 6, buf, 8, false, &len), 0);
	ck_assert_uint_eq(len, 2);
	ck_assert_mem_eq(buf, "cd", 2);
	ck_assert_int_eq(env_file_read(file, 8, buf, 8, false, &len), 0);
	ck_assert_uint_eq(len, 0);
	env_file_close(file);
}
END_TEST

START_TEST(a_cached_byte_is_read_without_waiting)
{
	struct env_file *file = create("a");
	char buf[4];
	size_t len = 0;

	ck_assert_int_eq(env_file_write(file, 0, "abcd", 4), 0);
	ck_assert_int_eq(env_file_read(file, 0, buf, 4, true, &len), 0);
	ck_assert_uint_eq(len, 4);
	ck_assert_mem_eq(buf, "abcd", 4);
	env_file_close(file);
}
END_TEST

/* The filesystem decides what it forgets when told to, so a read may find the
 * byte all the same; it must not give an error other than -EAGAIN. */
START_TEST(a_byte_out_of_cache_is_eagain_or_right)
{
	struct env_file *file = create("a");
	size_t len = 0, size = 1 << 20;
	char *buf = calloc(1, size);
	int fd, r;

	ck_assert_int_eq(env_file_write(file, 0, buf, size), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	fd = open(in_scratch("store/a"), O_RDONLY);
	ck_assert_int_ge(fd, 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	r = env_file_read(file, 0, buf, size, true, &len);
	ck_assert(r == -EAGAIN || (r == 0 && len == size));
	ck_assert_int_eq(env_file_read(file, 0, buf, size, false, &len), 0);
	ck_assert_uint_eq(len, size);
	free(buf);
	env_file_close(file);
}
END_TEST

START_TEST(offsets_beyond_the_system_s_are_refused)
{
	struct env_file *file = create("a");
	size_t len;
	char c = 0;

	ck_assert_int_eq(env_file_write(file, INT64_MAX, &c, 1), -EINVAL);
	ck_assert_int_eq(env_file_write(file, UINT64_MAX, &c, 1), -EINVAL);
	ck_assert_int_eq(env_file_read(file, UINT64_MAX, &c, 1, false, &len),
			 -EINVAL);
	ck_assert_int_eq(env_file_truncate(file, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(env_file_allocate(file, UINT64_MAX, 2), -EINVAL);
	ck_assert_int_eq(env_file_allocate(file, 0, 0), -EINVAL);
	env_file_close(file);
}
END_TEST

START_TEST(a_reader_s_handle_does_not_write)
{
	struct env_file *file;

	env_file_close(create("a"));
	ck_assert_int_eq(env_file_open(dir, "a", ENV_READ, &file), 0);
	ck_assert_int_eq(env_file_write(file, 0, "x", 1), -EBADF);
	env_file_close(file);
}
END_TEST

START_TEST(truncation_and_allocation_set_the_size)
{
	struct env_file *file = create("a");
	char buf[16];
	uint64_t size;
	size_t len;
	int r;

	ck_assert_int_eq(env_file_write(file, 0, "abcdef", 6), 0);
	ck_assert_int_eq(env_file_truncate(file, 2), 0);
	r = env_file_allocate(file, 0, 10);
	ck_assert(r == 0 || r == -EOPNOTSUPP);
	if (r < 0)
		ck_assert_int_eq(env_file_truncate(file, 10), 0);
	ck_assert_int_eq(env_file_size(file, &size), 0);
	ck_assert_uint_eq(size, 10);
	ck_assert_int_eq(env_file_read(file, 0, buf, 16, false, &len), 0);
	ck_assert_uint_eq(len, 10);
	ck_assert_mem_eq(buf, "ab\0\0\0\0\0\0\0\0", 10);
	env_file_close(file);
}
END_TEST

START_TEST(a_mapping_and_the_file_are_one)
{
	struct env_file *file = create("a");
	char buf[4];
	void *map;
	size_t len;
	int r;

	ck_assert_int_eq(env_file_map(file, 0, &map), -EINVAL);
	ck_assert_int_eq(env_file_write(file, 0, "abcd", 4), 0);
	r = env_file_map(file, 4096, &map);
	ck_assert(r == 0 || r == -EOPNOTSUPP);
	if (r == 0) {
		ck_assert_mem_eq(map, "abcd", 4);
		memcpy(map, "AB", 2);
		ck_assert_int_eq(env_file_sync(file), 0);
		ck_assert_int_eq(env_file_read(file, 0, buf, 4, false, &len),
				 0);
		ck_assert_mem_eq(buf, "ABcd", 4);
		env_file_unmap(file, map, 4096);
	}
	env_file_close(file);
}
END_TEST

/* Two pages are mapped of a file that has one: for the second there is none. */
static char *
map_past_the_end(struct env_file *file)
{
	void *map;

	ck_assert_int_eq(env_file_truncate(file, 4096), 0);
	return env_file_map(file, 8192, &map) == 0 ? map : NULL;
}

START_TEST(a_store_to_a_page_that_cannot_be_had_is_an_error)
{
	const struct env_part parts[] = { { "ab", 2 }, { NULL, 2 } };
	struct env_file *file = create("a");
	char *map = map_past_the_end(file);
	int i;

	for (i = 0; map && i < 3; i++) {
		ck_assert_int_eq(env_map_store(map + 4096, parts, 2), -EIO);
		ck_assert_int_eq(env_map_store(map + 4094, parts, 2), -EIO);
		memset(map, 'x', 4);
		ck_assert_int_eq(env_map_store(map, parts, 2), 0);
		ck_assert_mem_eq(map, "ab\0", 4);
	}
	if (map)
		env_file_unmap(file, map, 8192);
	env_file_close(file);
}
END_TEST

START_TEST(any_other_bus_error_ends_the_process_as_ever)
{
	const struct env_part part = { "a", 1 };
	struct env_file *file = create("a");
	char *map = map_past_the_end(file);
	int status;
	pid_t pid;

	if (map) {
		ck_assert_int_eq(env_map_store(map, &part, 1), 0);
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			((volatile char *)map)[4096] = 'a';
			_exit(EXIT_SUCCESS);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
		env_file_unmap(file, map, 8192);
	}
	env_file_close(file);
}
END_TEST

START_TEST(locks_are_between_opens_and_end_with_them)
{
	struct env_file *a = create("LOCK"), *b;

	ck_assert_int_eq(env_file_open(dir, "LOCK", ENV_READ, &b), 0);
	ck_assert_int_eq(env_file_lock(a, true), 0);
	ck_assert_int_eq(env_file_lock(b, true), -EBUSY);
	ck_assert_int_eq(env_file_lock(b, false), -EBUSY);
	ck_assert_int_eq(env_file_lock(a, false), 0);
	ck_assert_int_eq(env_file_lock(b, false), 0);
	ck_assert_int_eq(env_file_lock(b, true), -EBUSY);
	env_file_close(a);
	ck_assert_int_eq(env_file_lock(b, true), 0);
	env_file_close(b);
}
END_TEST

/* ---- Clocks and randomness ---- */

START_TEST(the_clock_does_not_go_back)
{
	uint64_t first = env_now_ns(env_posix());

	ck_assert_uint_ge(env_now_ns(env_posix()), first);
	/* 2020-01-01, and not yet 2100. */
	ck_assert_uint_gt(env_wall_ns(env_posix()), 1577836800000000000u);
	ck_assert_uint_lt(env_wall_ns(env_posix()), 4102444800000000000u);
}
END_TEST

START_TEST(random_bytes_differ)
{
	char a[32] = { 0 }, b[32] = { 0 };

	ck_assert_int_eq(env_random(env_posix(), a, sizeof(a)), 0);
	ck_assert_int_eq(env_random(env_posix(), b, sizeof(b)), 0);
	ck_assert_mem_ne(a, b, sizeof(a));
}
END_TEST

static TCase *
dir_cases(void)
{
	TCase *tcase = tcase_create("directories");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, names_that_lead_outside_are_refused, 0,
			    sizeof(bad_names) / sizeof(bad_names[0]));
	tcase_add_test(tcase, a_name_may_be_as_long_as_the_limit);
	tcase_add_test(tcase, null_handles_may_be_closed);
	tcase_add_loop_test(tcase, modes_do_not_depend_on_the_umask, 0, 3);
	tcase_add_test(tcase, an_existing_directory_is_opened_by_create_too);
	tcase_add_test(tcase, absent_and_plain_files_are_not_directories);
	tcase_add_test(tcase, a_symbolic_link_to_a_directory_is_refused);
	tcase_add_loop_test(tcase, a_directory_that_others_may_write_is_refused,
			    0, 3);
	tcase_add_test(tcase, a_directory_of_another_user_is_refused);
	tcase_add_test(tcase, a_listing_shows_each_name_and_may_remove_it);
	tcase_add_test(tcase, a_listing_ends_when_the_caller_says_so);
	tcase_add_test(tcase, a_rename_replaces_and_a_removal_removes);
	tcase_add_test(tcase, space_is_told_in_bytes);
	return tcase;
}

static TCase *
file_cases(void)
{
	TCase *tcase = tcase_create("files");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, opening_refuses_what_is_not_a_plain_file);
	tcase_add_test(tcase, create_never_opens_what_is_there);
	tcase_add_test(tcase, unknown_flags_are_refused);
	tcase_add_test(tcase, what_was_written_is_read);
	tcase_add_test(tcase, a_cached_byte_is_read_without_waiting);
	tcase_add_test(tcase, a_byte_out_of_cache_is_eagain_or_right);
	tcase_add_test(tcase, offsets_beyond_the_system_s_are_refused);
	tcase_add_test(tcase, a_reader_s_handle_does_not_write);
	tcase_add_test(tcase, truncation_and_allocation_set_the_size);
	tcase_add_test(tcase, a_mapping_and_the_file_are_one);
	tcase_add_test(tcase,
		       a_store_to_a_page_that_cannot_be_had_is_an_error);
	tcase_add_test(tcase, any_other_bus_error_ends_the_process_as_ever);
	tcase_add_test(tcase, locks_are_between_opens_and_end_with_them);
	tcase_add_test(tcase, the_clock_does_not_go_back);
	tcase_add_test(tcase, random_bytes_differ);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("env");

	suite_add_tcase(suite, dir_cases());
	suite_add_tcase(suite, file_cases());
	return suite_main(suite);
}
