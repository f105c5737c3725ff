/* SPDX-License-Identifier: Apache-2.0 */
/* ops_test.c - requests on a real mount: what only the kernel's way of asking
 * can show. What the operations themselves do is tested in tree_*_test.c. */
#include <config.h>

#include "fs/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mounted.h"
#include "tests/suite.h"

static pid_t pid;

static void
start(const struct mounted_options *options)
{
	pid = mounted_start(options);
}

static void
stop(void)
{
	ck_assert_int_eq(mounted_stop(pid), 0);
}

static void
make_files(const char *dir, int count)
{
	char path[4096];
	int i, fd;

	ck_assert_int_eq(mkdir(mounted_path(dir), 0755), 0);
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s/file-%d", mounted_dir(),
			 dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0)
			ck_abort_msg("%s: %s", path, strerror(errno));
		close(fd);
	}
}

static int
count_names(DIR *stream)
{
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(stream)))
		count += entry->d_name[0] != '.';
	return count;
}

static int
list(const char *dir)
{
	DIR *stream = opendir(mounted_path(dir));
	int count;

	ck_assert_ptr_nonnull(stream);
	count = count_names(stream);
	closedir(stream);
	return count;
}

/* ---- Directories ---- */

#define MANY 3000

/* Removes the entries as they are read, but for each `keep`-th (0: all), and
 * counts what was read. */
static int
remove_while_reading(const char *dir, int keep)
{
	DIR *stream = opendir(mounted_path(dir));
	struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(stream);
	while ((entry = readdir(stream))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (keep != 0 && count % keep == 0)
			continue;
		if (unlinkat(dirfd(stream), entry->d_name, 0) != 0)
			ck_abort_msg("%s: %s", entry->d_name, strerror(errno));
	}
	closedir(stream);
	return count;
}

START_TEST(removing_during_a_listing_skips_and_repeats_nothing)
{
	struct mounted_options options = { .again_every = (unsigned)_i };

	start(&options);
	make_files("d", MANY);
	/* Once from the store, once from the kernel's cached listing. */
	if (_i % 2)
		ck_assert_int_eq(list("d"), MANY);
	ck_assert_int_eq(remove_while_reading("d", 7), MANY);
	ck_assert_int_eq(remove_while_reading("d", 0), MANY / 7);
	ck_assert_int_eq(rmdir(mounted_path("d")), 0);
	stop();
}
END_TEST

START_TEST(a_position_can_be_taken_up_again)
{
	char after[256];
	DIR *stream;
	long place;
	int i;

	start(NULL);
	make_files("d", MANY);
	stream = opendir(mounted_path("d"));
	for (i = 0; i < 100; i++)
		readdir(stream);
	place = telldir(stream);
	strcpy(after, readdir(stream)->d_name);
	/* So far away that its reply is not remembered any more. */
	ck_assert_int_eq(count_names(stream), MANY + 2 - 101);
	seekdir(stream, place);
	ck_assert_str_eq(readdir(stream)->d_name, after);
	ck_assert_int_eq(count_names(stream), MANY + 2 - 101);
	rewinddir(stream);
	ck_assert_int_eq(count_names(stream), MANY);
	closedir(stream);
	stop();
}
END_TEST

START_TEST(a_listing_that_is_cached_sees_every_change)
{
	start(NULL);
	make_files("d", 10);
	ck_assert_int_eq(list("d"), 10);
	ck_assert_int_eq(list("d"), 10);
	ck_assert_int_eq(unlink(mounted_path("d/file-3")), 0);
	ck_assert_int_eq(list("d"), 9);
	ck_assert_int_eq(rename(mounted_path("d/file-4"), mounted_path("x")),
			 0);
	ck_assert_int_eq(list("d"), 8);
	ck_assert_int_eq(mkdir(mounted_path("d/file-3"), 0755), 0);
	ck_assert_int_eq(list("d"), 9);
	stop();
}
END_TEST

START_TEST(the_dots_have_their_numbers)
{
	struct dirent *entry;
	struct stat top, d;
	DIR *stream;

	start(NULL);
	make_files("d", 0);
	ck_assert_int_eq(stat(mounted_dir(), &top), 0);
	ck_assert_int_eq(stat(mounted_path("d"), &d), 0);
	stream = opendir(mounted_path("d"));
	while ((entry = readdir(stream)))
		ck_assert_uint_eq(entry->d_ino,
				  entry->d_name[1] ? top.st_ino : d.st_ino);
	closedir(stream);
	stop();
}
END_TEST

/* ---- The life of an inode ---- */

/* Superblock, numbers, totals, and the root's attributes. */
#define KEYS_OF_AN_EMPTY_TREE 4u

START_TEST(an_open_file_outlives_its_name)
{
	struct mounted_options options = { .keys_max = KEYS_OF_AN_EMPTY_TREE,
					   .none_held = true };
	char text[16] = "";
	struct stat st;
	int fd;

	start(&options);
	fd = open(mounted_path("f"), O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(fd, "contents", 8), 8);
	if (_i == 0) {
		ck_assert_int_eq(unlink(mounted_path("f")), 0);
	} else {
		close(open(mounted_path("g"), O_RDWR | O_CREAT, 0600));
		ck_assert_int_eq(rename(mounted_path("g"), mounted_path("f")),
				 0);
		ck_assert_int_eq(unlink(mounted_path("f")), 0);
	}
	ck_assert_int_eq(pwrite(fd, "C", 1, 0), 1);
	ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 8);
	ck_assert_str_eq(text, "Contents");
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
	ck_assert_int_eq(st.st_size, 8);
	close(fd);
	mounted_settle();
	stop();
}
END_TEST

static int
make_before_mounting(struct tree *tree)
{
	struct tree_caller caller = { 0 };
	struct tree_attr dir, file;
	int r;

	r = tree_mkdir(tree, &caller, TREE_ROOT, keyfs_str("d"), 0755, &dir);
	if (r == 0)
		r = tree_mknod(tree, &caller, dir.ino, keyfs_str("f"),
			       S_IFREG | 0644, 0, &file);
	if (r == 0)
		r = tree_write(tree, &caller, file.ino, 0,
			       keyfs_str("contents"));
	return r;
}

START_TEST(a_file_that_was_only_listed_is_counted)
{
	struct mounted_options options = { .prepare = make_before_mounting,
					   .keys_max = KEYS_OF_AN_EMPTY_TREE,
					   .none_held = true };
	char text[16] = "";
	int fd;

	start(&options);
	/* The listing brings the inode, so that opening needs no LOOKUP. */
	ck_assert_int_eq(list("d"), 1);
	fd = open(mounted_path("d/f"), O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unlink(mounted_path("d/f")), 0);
	ck_assert_int_eq(rmdir(mounted_path("d")), 0);
	usleep(200000);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 8);
	ck_assert_str_eq(text, "contents");
	close(fd);
	mounted_settle();
	stop();
}
END_TEST

START_TEST(every_count_is_given_back)
{
	struct mounted_options options = { .keys_max = KEYS_OF_AN_EMPTY_TREE,
					   .none_held = true,
					   .again_every = (unsigned)_i };
	char path[4096];
	struct stat st;
	int i;

	start(&options);
	make_files("d", 500);
	/* READDIRPLUS, then LOOKUPs of what is cached already and of links. */
	list("d");
	for (i = 0; i < 500; i++) {
		snprintf(path, sizeof(path), "%s/d/file-%d", mounted_dir(), i);
		if (stat(path, &st) != 0 ||
		    link(path, mounted_path("l")) != 0 ||
		    rename(mounted_path("l"), mounted_path("m")) != 0)
			ck_abort_msg("%s: %s", path, strerror(errno));
	}
	ck_assert_int_eq(unlink(mounted_path("m")), 0);
	ck_assert_int_eq(remove_while_reading("d", 0), 500);
	ck_assert_int_eq(rmdir(mounted_path("d")), 0);
	mounted_settle();
	stop();
}
END_TEST

/* ---- Users ---- */

/* Runs `what` as nobody in another process and returns its result. */
static int
as_nobody(int (*what)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(255);
		_exit(what());
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int
open_secret(void)
{
	return open(mounted_path("secret"), O_RDONLY) < 0 ? errno : 0;
}

static int
make_file(void)
{
	int fd = open(mounted_path("open/theirs"), O_WRONLY | O_CREAT, 0644);

	return fd < 0 ? errno : 0;
}

START_TEST(permissions_are_those_of_the_file)
{
	struct mounted_options options = { .session.allow_other = true };
	struct stat st;

	start(&options);
	close(open(mounted_path("secret"), O_WRONLY | O_CREAT, 0600));
	ck_assert_int_eq(as_nobody(open_secret), EACCES);
	ck_assert_int_eq(chmod(mounted_path("secret"), 0644), 0);
	ck_assert_int_eq(as_nobody(open_secret), 0);
	ck_assert_int_eq(mkdir(mounted_path("open"), 0755), 0);
	ck_assert_int_eq(as_nobody(make_file), EACCES);
	ck_assert_int_eq(chmod(mounted_path("open"), 01777), 0);
	ck_assert_int_eq(as_nobody(make_file), 0);
	ck_assert_int_eq(stat(mounted_path("open/theirs"), &st), 0);
	ck_assert_uint_eq(st.st_uid, 65534);
	stop();
}
END_TEST

static int
write_tool(void)
{
	int fd = open(mounted_path("tool"), O_WRONLY);

	return fd < 0 || write(fd, "x", 1) != 1 ? errno : 0;
}

START_TEST(a_write_by_another_user_clears_set_user_id)
{
	struct mounted_options options = { .session.allow_other = true };
	struct stat st;

	start(&options);
	close(open(mounted_path("tool"), O_WRONLY | O_CREAT, 0777));
	ck_assert_int_eq(chmod(mounted_path("tool"), 06777), 0);
	ck_assert_int_eq(as_nobody(write_tool), 0);
	ck_assert_int_eq(stat(mounted_path("tool"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0777);
	stop();
}
END_TEST

START_TEST(other_users_are_kept_out_unless_they_are_let_in)
{
	start(NULL);
	close(open(mounted_path("secret"), O_WRONLY | O_CREAT, 0644));
	ck_assert_int_eq(as_nobody(open_secret), EACCES);
	stop();
}
END_TEST

/* ---- The rest ---- */

static void
expect_bytes(int fd, const char *want, size_t len)
{
	char got[64];

	ck_assert_uint_le(len, sizeof(got));
	ck_assert_int_eq(pread(fd, got, sizeof(got), 0), (ssize_t)len);
	ck_assert_mem_eq(got, want, len);
}

/* Through the kernel's page cache: what it holds of a range is not believed any more. */
START_TEST(ranges_are_allocated_punched_sought_and_copied)
{
	struct mounted_options options = { .again_every = (unsigned)_i };
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	int in, out;

	start(&options);
	in = open(mounted_path("in"), O_RDWR | O_CREAT, 0600);
	out = open(mounted_path("out"), O_RDWR | O_CREAT, 0600);
	ck_assert_int_eq(write(in, "0123456789", 10), 10);
	expect_bytes(in, "0123456789", 10);
	ck_assert_int_eq(fallocate(in, punch, 2, 3), 0);
	expect_bytes(in,
		     "01\0\0\0"
		     "56789",
		     10);
	ck_assert_int_eq(fallocate(in, FALLOC_FL_ZERO_RANGE, 8, 4), 0);
	expect_bytes(in,
		     "01\0\0\0"
		     "567\0\0\0\0",
		     12);
	ck_assert_int_eq(fallocate(in, 0, 0, 14), 0);
	ck_assert_int_eq(lseek(in, 0, SEEK_END), 14);
	ck_assert_int_eq(lseek(in, 0, SEEK_HOLE), 8);
	ck_assert_int_eq(lseek(in, 8, SEEK_DATA), -1);
	ck_assert_int_eq(errno, ENXIO);
	ck_assert_int_eq(lseek(in, 5, SEEK_SET), 5);
	ck_assert_int_eq(copy_file_range(in, NULL, out, NULL, 3, 0), 3);
	expect_bytes(out, "567", 3);
	ck_assert_int_eq(lseek(in, 0, SEEK_CUR), 8);
	ck_assert_int_eq(fallocate(in, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -1);
	ck_assert_int_eq(errno, EOPNOTSUPP);
	ck_assert_int_eq(fallocate(in, FALLOC_FL_INSERT_RANGE, 0, 4096), -1);
	ck_assert_int_eq(errno, EOPNOTSUPP);
	close(in);
	close(out);
	stop();
}
END_TEST

/* As an NFS server does: a file that nobody has looked up, and a directory,
 * whose path to the root is then asked for. */
START_TEST(an_object_is_found_by_its_number_alone)
{
	struct mounted_options options = { .prepare = make_before_mounting };
	union {
		struct file_handle head;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} handle = { .head = { .handle_bytes = MAX_HANDLE_SZ } };
	int mount_id, mount_fd, fd, files = 0, dirs = 0;
	uint32_t *number = (uint32_t *)handle.head.f_handle;
	char text[16] = "", path[4096], link[64];
	struct stat st;

	start(&options);
	mount_fd = open(mounted_dir(), O_RDONLY);
	ck_assert_int_eq(name_to_handle_at(AT_FDCWD, mounted_dir(),
					   &handle.head, &mount_id, 0),
			 0);
	ck_assert_uint_eq(number[1], TREE_ROOT);
	for (number[1] = 2; number[1] < 5000; number[1]++) {
		fd = open_by_handle_at(mount_fd, &handle.head, O_RDONLY);
		if (fd < 0) {
			ck_assert_int_eq(errno, ESTALE);
			continue;
		}
		fstat(fd, &st);
		ck_assert_uint_eq(st.st_ino, number[1]);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		memset(path, 0, sizeof(path));
		if (S_ISDIR(st.st_mode) &&
		    readlink(link, path, sizeof(path) - 1) > 0 &&
		    strcmp(path, mounted_path("d")) == 0)
			dirs++;
		else if (S_ISREG(st.st_mode) &&
			 read(fd, text, sizeof(text)) == 8 &&
			 strcmp(text, "contents") == 0)
			files++;
		close(fd);
	}
	ck_assert_int_eq(files, 1);
	ck_assert_int_eq(dirs, 1);
	close(mount_fd);
	stop();
}
END_TEST

START_TEST(statfs_has_room_and_a_name_limit)
{
	struct statvfs st;

	start(NULL);
	ck_assert_int_eq(statvfs(mounted_dir(), &st), 0);
	ck_assert_uint_eq(st.f_namemax, 255);
	ck_assert_uint_gt(st.f_blocks, 0);
	ck_assert_uint_le(st.f_bavail, st.f_blocks);
	ck_assert_uint_le(st.f_ffree, st.f_files);
	stop();
}
END_TEST

#define WORKERS 4
#define ROUNDS 150

/* All in one directory, with the same few names: most calls fail, and none may
 * fail with anything but that. */
static void *
disturb(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	char a[4096], b[4096];
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t r = suite_random(&state);

		snprintf(a, sizeof(a), "%s/d/%u", mounted_dir(),
			 (unsigned)(r >> 8) % 5);
		snprintf(b, sizeof(b), "%s/d/%u", mounted_dir(),
			 (unsigned)(r >> 16) % 5);
		errno = 0;
		fd = -1;
		switch (r % 5) {
		case 0:
			fd = open(a, O_RDWR | O_CREAT, 0600);
			break;
		case 1:
			(void)unlink(a);
			break;
		case 2:
			(void)link(a, b);
			break;
		case 3:
			fd = open(a, O_WRONLY | O_TRUNC);
			break;
		default:
			(void)rename(a, b);
		}
		if (fd >= 0 && write(fd, a, 20) != 20)
			return "write";
		if (fd >= 0)
			close(fd);
		else if (errno != 0 && errno != ENOENT && errno != EEXIST)
			return "another error";
	}
	return NULL;
}

START_TEST(threads_in_one_directory_do_no_harm)
{
	struct mounted_options options = { .again_every = (unsigned)_i };
	pthread_t threads[WORKERS];
	void *failed;
	uintptr_t i;

	start(&options);
	make_files("d", 0);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&threads[i], NULL, disturb, (void *)(i + 1));
	for (i = 0; i < WORKERS; i++) {
		pthread_join(threads[i], &failed);
		ck_assert_msg(!failed, "%s", (const char *)failed);
	}
	stop();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ops");
	TCase *tcase = tcase_create("mount");

	tcase_add_unchecked_fixture(tcase, mounted_setup, mounted_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase,
			    removing_during_a_listing_skips_and_repeats_nothing,
			    0, 4);
	tcase_add_test(tcase, a_position_can_be_taken_up_again);
	tcase_add_test(tcase, a_listing_that_is_cached_sees_every_change);
	tcase_add_test(tcase, the_dots_have_their_numbers);
	tcase_add_loop_test(tcase, an_open_file_outlives_its_name, 0, 2);
	tcase_add_test(tcase, a_file_that_was_only_listed_is_counted);
	tcase_add_loop_test(tcase, every_count_is_given_back, 0, 3);
	tcase_add_test(tcase, permissions_are_those_of_the_file);
	tcase_add_test(tcase, a_write_by_another_user_clears_set_user_id);
	tcase_add_test(tcase, other_users_are_kept_out_unless_they_are_let_in);
	tcase_add_loop_test(tcase,
			    ranges_are_allocated_punched_sought_and_copied, 0,
			    4);
	tcase_add_test(tcase, an_object_is_found_by_its_number_alone);
	tcase_add_test(tcase, statfs_has_room_and_a_name_limit);
	tcase_add_loop_test(tcase, threads_in_one_directory_do_no_harm, 0, 4);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
