/* SPDX-License-Identifier: Apache-2.0 */
/* session_test.c - a mount from its beginning to each of its ends. */
#include <config.h>

#include "fs/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/mounted.h"
#include "tests/suite.h"

static void
write_file(const char *name, const char *text)
{
	int fd = open(mounted_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	ck_assert_int_eq(close(fd), 0);
}

static const char *
read_file(const char *name)
{
	static char text[256];
	int fd = open(mounted_path(name), O_RDONLY);
	ssize_t len;

	ck_assert_int_ge(fd, 0);
	len = read(fd, text, sizeof(text) - 1);
	ck_assert_int_ge(len, 0);
	text[len] = '\0';
	ck_assert_int_eq(close(fd), 0);
	return text;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- The beginning ---- */

START_TEST(a_new_mount_is_empty_and_ends_with_a_signal)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM };
	pid_t pid = mounted_start(NULL);
	struct stat st;
	DIR *stream;
	int names = 0;

	ck_assert_int_eq(stat(mounted_dir(), &st), 0);
	ck_assert_uint_eq(st.st_ino, TREE_ROOT);
	ck_assert_uint_eq(st.st_nlink, 2);
	stream = opendir(mounted_dir());
	while (readdir(stream))
		names++;
	closedir(stream);
	/* The file that was opened while mounting is not one of them. */
	ck_assert_int_eq(names, 2);
	kill(pid, signals[_i]);
	ck_assert_int_eq(mounted_wait(pid), 0);
	ck_assert(!mounted_is());
}
END_TEST

START_TEST(an_unmount_from_outside_ends_it_too)
{
	pid_t pid = mounted_start(NULL);

	ck_assert_int_eq(umount2(mounted_dir(), 0), 0);
	ck_assert_int_eq(mounted_wait(pid), 0);
}
END_TEST

/* Reads a cached value while nobody could answer a request. */
START_TEST(a_cached_value_is_read_without_a_request)
{
	pid_t pid = mounted_start(NULL), reader;
	int status, i;

	write_file("value", "10.0.0.1\n");
	for (i = 0; i < 2; i++)
		ck_assert_str_eq(read_file("value"), "10.0.0.1\n");
	kill(pid, SIGSTOP);
	reader = fork();
	if (reader == 0) {
		alarm(10);
		_exit(strcmp(read_file("value"), "10.0.0.1\n") != 0);
	}
	for (i = 0; waitpid(reader, &status, WNOHANG) == 0 && i < 500; i++)
		usleep(10000);
	kill(pid, SIGCONT);
	if (i == 500)
		waitpid(reader, &status, 0);
	ck_assert_int_lt(i, 500);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

static int
open_failing(const struct session_options *options, char *why, size_t size)
{
	struct handle_table *table;
	struct session *session;
	int r;

	ck_assert_int_eq(handle_table_new(&table), 0);
	r = session_open(NULL, table, options, why, size, &session);
	handle_table_free(table);
	return r;
}

START_TEST(a_mount_that_cannot_be_made_says_why)
{
	struct session_options options = { .fsname = "/store" };
	char why[256], path[4096];

	options.mountpoint = "/nowhere/at/all";
	ck_assert_int_eq(open_failing(&options, why, sizeof(why)), -ENOENT);
	ck_assert_str_eq(why, "/nowhere/at/all: No such file or directory");
	options.mountpoint = "/dev/null";
	ck_assert_int_eq(open_failing(&options, why, sizeof(why)), -ENOTDIR);
	ck_assert_str_eq(why, "/dev/null: not a directory");
	options.mountpoint = mounted_dir();
	snprintf(path, sizeof(path), "%s/store", mounted_dir());
	options.fsname = path;
	ck_assert_int_eq(open_failing(&options, why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "lies inside"));
	options.fsname = "/store";
	options.mount_options = "nonsense";
	ck_assert_int_eq(open_failing(&options, why, sizeof(why)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "nonsense"));
	ck_assert(!mounted_is());
}
END_TEST

START_TEST(a_dead_mount_is_explained)
{
	struct session_options options = { .fsname = "/store",
					   .mountpoint = mounted_dir() };
	pid_t pid = mounted_start(NULL);
	char why[256];

	kill(pid, SIGKILL);
	ck_assert_int_eq(mounted_wait(pid), -1);
	ck_assert_int_eq(open_failing(&options, why, sizeof(why)), -ENOTCONN);
	ck_assert_ptr_nonnull(strstr(why, "fusermount3 -u"));
	ck_assert_int_eq(umount2(mounted_dir(), MNT_DETACH), 0);
}
END_TEST

START_TEST(the_source_and_the_flags_are_as_promised)
{
	pid_t pid = mounted_start(NULL);
	char line[4096];
	FILE *mounts = fopen("/proc/mounts", "r");
	bool found = false;

	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, mounted_dir()))
			found = strncmp(line, "/tests/mounted ", 15) == 0 &&
				strstr(line, " fuse.keyfs ") &&
				strstr(line, "nosuid,nodev") &&
				strstr(line, "default_permissions");
	fclose(mounts);
	ck_assert(found);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

/* ---- The end of a busy mount ---- */

static void
expect_contents(int fd, const char *text)
{
	char got[64] = "";

	ck_assert_int_eq(pread(fd, got, sizeof(got) - 1, 0), (int)strlen(text));
	ck_assert_str_eq(got, text);
}

START_TEST(a_busy_mount_serves_its_last_user)
{
	pid_t pid = mounted_start(NULL);
	int fd;

	write_file("held", "before");
	fd = open(mounted_path("held"), O_RDWR);
	kill(pid, SIGTERM);
	mounted_wait_gone();
	ck_assert_int_eq(pwrite(fd, "after!", 6, 0), 6);
	expect_contents(fd, "after!");
	ck_assert_int_eq(fsync(fd), 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
	close(fd);
	ck_assert_int_eq(mounted_wait(pid), 0);
}
END_TEST

START_TEST(a_second_signal_ends_a_busy_mount_at_once)
{
	pid_t pid = mounted_start(NULL);
	int fd;

	write_file("held", "before");
	fd = open(mounted_path("held"), O_RDWR);
	kill(pid, SIGTERM);
	mounted_wait_gone();
	ck_assert_int_eq(mounted_stop(pid), 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 0), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	close(fd);
}
END_TEST

START_TEST(a_busy_mount_ends_after_its_timeout)
{
	struct mounted_options options = { .session.stop_timeout_ms = 500 };
	pid_t pid = mounted_start(&options);
	int fd;

	write_file("held", "before");
	fd = open(mounted_path("held"), O_RDONLY);
	ck_assert_int_eq(mounted_stop(pid), 0);
	ck_assert(!mounted_is());
	close(fd);
}
END_TEST

START_TEST(what_is_mounted_there_afterwards_is_left_alone)
{
	struct mounted_options options = { .session.stop_timeout_ms = 1000 };
	pid_t pid = mounted_start(&options);
	int fd;

	write_file("held", "before");
	fd = open(mounted_path("held"), O_RDONLY);
	kill(pid, SIGTERM);
	mounted_wait_gone();
	ck_assert_int_eq(mount("other", mounted_dir(), "tmpfs", 0, NULL), 0);
	ck_assert_int_eq(mounted_wait(pid), 0);
	ck_assert(mounted_is());
	ck_assert_int_eq(umount2(mounted_dir(), 0), 0);
	close(fd);
}
END_TEST

#define MAPPED_BYTES (8u << 20)

static int
mapped_file_is_complete(struct kv *kv, struct tree *tree)
{
	struct tree_caller caller = { 0 };
	char *data = malloc(MAPPED_BYTES);
	struct tree_attr attr;
	size_t len = 0, i;
	int r;

	(void)kv;
	r = tree_resolve(tree, &caller, "mapped", &attr);
	if (r == 0)
		r = tree_read(tree, &caller, attr.ino, 0, MAPPED_BYTES, data,
			      &len);
	for (i = 0; r == 0 && i < MAPPED_BYTES; i++)
		if (len != MAPPED_BYTES || data[i] != (char)(i / 4096 + i))
			r = 1;
	free(data);
	return r == 0 ? 0 : 1;
}

START_TEST(mapped_pages_are_written_before_it_is_unmounted)
{
	struct mounted_options options = { .verify = mapped_file_is_complete };
	pid_t pid = mounted_start(&options);
	size_t i;
	char *map;
	int fd = open(mounted_path("mapped"), O_RDWR | O_CREAT, 0600);

	ck_assert_int_eq(ftruncate(fd, MAPPED_BYTES), 0);
	map = mmap(NULL, MAPPED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   0);
	ck_assert_ptr_ne(map, MAP_FAILED);
	for (i = 0; i < MAPPED_BYTES; i++)
		map[i] = (char)(i / 4096 + i);
	kill(pid, SIGTERM);
	mounted_wait_gone();
	/* The mapping is still there, so unmapping has not written them. */
	ck_assert_int_eq(mounted_stop(pid), 0);
	munmap(map, MAPPED_BYTES);
	close(fd);
}
END_TEST

/* ---- Waiting ---- */

#define SYNCERS 64
#define SYNC_MS 50

static void *
write_and_sync(void *arg)
{
	char path[4096];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%zu", mounted_dir(), (size_t)arg);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	r = write(fd, "x", 1) == 1 && fsync(fd) == 0;
	close(fd);
	return r ? NULL : "failed";
}

START_TEST(syncs_at_one_time_are_answered_together)
{
	struct mounted_options options = { .sync_ms = SYNC_MS };
	pid_t pid = mounted_start(&options);
	pthread_t threads[SYNCERS];
	double began = now();
	size_t i;
	void *failed;

	for (i = 0; i < SYNCERS; i++)
		pthread_create(&threads[i], NULL, write_and_sync, (void *)i);
	for (i = 0; i < SYNCERS; i++) {
		pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	ck_assert_double_lt(now() - began, SYNCERS * SYNC_MS / 1000.0 / 2);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

START_TEST(a_sync_does_not_hold_up_reads)
{
	struct mounted_options options = { .sync_ms = 2000,
					   .session.threads = 1 };
	pid_t pid = mounted_start(&options);
	pthread_t thread;
	double began;
	struct stat st;

	write_file("value", "x");
	pthread_create(&thread, NULL, write_and_sync, NULL);
	usleep(100000);
	began = now();
	ck_assert_int_eq(stat(mounted_path("absent"), &st), -1);
	ck_assert_str_eq(read_file("value"), "x");
	ck_assert_double_lt(now() - began, 1.5);
	pthread_join(thread, NULL);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

START_TEST(requests_that_would_wait_are_answered_all_the_same)
{
	struct mounted_options options = { .again_every = (unsigned)_i };
	pid_t pid = mounted_start(&options);
	struct stat st;
	int fd;

	write_file("a", "one");
	ck_assert_int_eq(mkdir(mounted_path("d"), 0755), 0);
	ck_assert_int_eq(rename(mounted_path("a"), mounted_path("d/b")), 0);
	ck_assert_str_eq(read_file("d/b"), "one");
	/* The size is set through an open file: libfuse changes the message
	 * while it decodes that. */
	fd = open(mounted_path("d/b"), O_RDWR);
	ck_assert_int_eq(ftruncate(fd, 2), 0);
	expect_contents(fd, "on");
	close(fd);
	ck_assert_int_eq(rmdir(mounted_path("d")), -1);
	ck_assert_int_eq(errno, ENOTEMPTY);
	ck_assert_int_eq(unlink(mounted_path("d/b")), 0);
	ck_assert_int_eq(rmdir(mounted_path("d")), 0);
	ck_assert_int_eq(stat(mounted_path("d"), &st), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

START_TEST(damage_is_an_input_output_error)
{
	static const int errors[] = { -EUCLEAN, -ENOSYS, -EIO };
	struct mounted_options options = { .error = errors[_i] };
	pid_t pid = mounted_start(&options);
	struct stat st;

	ck_assert_int_eq(stat(mounted_path("x"), &st), -1);
	ck_assert_int_eq(errno, EIO);
	ck_assert_int_eq(mkdir(mounted_path("x"), 0700), -1);
	ck_assert_int_eq(errno, EIO);
	ck_assert_int_eq(mounted_stop(pid), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session");
	TCase *tcase = tcase_create("mount");

	tcase_add_unchecked_fixture(tcase, mounted_setup, mounted_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, a_new_mount_is_empty_and_ends_with_a_signal,
			    0, 3);
	tcase_add_test(tcase, an_unmount_from_outside_ends_it_too);
	tcase_add_test(tcase, a_cached_value_is_read_without_a_request);
	tcase_add_test(tcase, a_mount_that_cannot_be_made_says_why);
	tcase_add_test(tcase, a_dead_mount_is_explained);
	tcase_add_test(tcase, the_source_and_the_flags_are_as_promised);
	tcase_add_test(tcase, a_busy_mount_serves_its_last_user);
	tcase_add_test(tcase, a_second_signal_ends_a_busy_mount_at_once);
	tcase_add_test(tcase, a_busy_mount_ends_after_its_timeout);
	tcase_add_test(tcase, what_is_mounted_there_afterwards_is_left_alone);
	tcase_add_test(tcase, mapped_pages_are_written_before_it_is_unmounted);
	tcase_add_test(tcase, syncs_at_one_time_are_answered_together);
	tcase_add_test(tcase, a_sync_does_not_hold_up_reads);
	tcase_add_loop_test(tcase,
			    requests_that_would_wait_are_answered_all_the_same,
			    0, 4);
	tcase_add_loop_test(tcase, damage_is_an_input_output_error, 0, 3);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
