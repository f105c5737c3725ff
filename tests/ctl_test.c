/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_test.c - the socket of a mounted store: what it answers, and to whom. */
#include <config.h>

#include "fs/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl_socket.h"
#include "tests/suite.h"
#include "tests/tmpdir.h"

/* The engine and the tree behind it, as far as the socket asks them. */
static int sync_result;
static int syncs;

int
tree_sync(struct tree *tree)
{
	(void)tree;
	syncs++;
	return sync_result;
}

static int
fake_stats(struct kv *kv, bool json, char **out)
{
	(void)kv;
	*out = strdup(json ? "{\"gets\":1}\n" : "gets 1\n");
	return *out ? 0 : -ENOMEM;
}

static const struct kv_ops fake_ops = { .stats = fake_stats };
static struct kv fake_kv = { &fake_ops };

static char *store;
static struct ctl *ctl;

static void
open_ctl(const char *dir, const char *mountpoint, uint64_t device)
{
	struct ctl_options options = { .store = dir,
				       .mountpoint = mountpoint,
				       .device = device,
				       .kv = &fake_kv };

	ck_assert_int_eq(ctl_open(&options, &ctl), 0);
}

static void
setup(void)
{
	store = tmpdir_new();
	open_ctl(store, "/somewhere else", 42);
}

static void
teardown(void)
{
	ctl_close(ctl);
	tmpdir_free(store);
}

static char *
ask(const char *request)
{
	static char answer[512];
	size_t len = 0;
	char *body;
	int r = ctl_request(store, request, &body, &len);

	ck_assert_int_eq(r, 0);
	ck_assert_uint_lt(len, sizeof(answer));
	memcpy(answer, body, len + 1);
	free(body);
	return answer;
}

static int
ask_failing(const char *request)
{
	char *body;
	size_t len;

	return ctl_request(store, request, &body, &len);
}

START_TEST(statistics_come_from_the_engine_and_the_mount)
{
	ck_assert_str_eq(ask("stats"),
			 "gets 1\nkernel inodes          0, 0 B\n");
	ck_assert_str_eq(ask("stats json"), "{\"gets\":1,\"kernel_inodes\":0,"
					    "\"kernel_inode_bytes\":0}\n");
}
END_TEST

START_TEST(sync_returns_what_the_tree_returned)
{
	ck_assert_str_eq(ask("sync"), "");
	ck_assert_int_eq(syncs, 1);
	sync_result = -EIO;
	ck_assert_int_eq(ask_failing("sync"), -EIO);
}
END_TEST

START_TEST(the_mount_is_told)
{
	ck_assert_str_eq(ask("mount"), "42 /somewhere else");
}
END_TEST

START_TEST(an_unknown_request_is_refused)
{
	ck_assert_int_eq(ask_failing("format"), -EOPNOTSUPP);
	ck_assert_int_eq(ask_failing(""), -EOPNOTSUPP);
	ck_assert_int_lt(ask_failing(
				 "a request that is much longer than any that "
				 "there is, and that is not read to its end"),
			 0);
}
END_TEST

START_TEST(a_peer_that_hangs_up_does_not_matter)
{
	struct sockaddr_un address;
	int dir_fd, fd;

	ck_assert_int_eq(ctl_socket_dir(store, &dir_fd), 0);
	ctl_socket_address(dir_fd, &address);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address,
				 sizeof(address)),
			 0);
	ck_assert_int_eq(send(fd, "stats", 5, 0), 5);
	close(fd);
	close(dir_fd);
	ck_assert_str_eq(ask("mount"), "42 /somewhere else");
}
END_TEST

START_TEST(only_the_owner_may_connect)
{
	struct stat st;
	char path[4096];

	snprintf(path, sizeof(path), "%s/" CTL_SOCKET, store);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFSOCK | 0600);
}
END_TEST

START_TEST(without_a_daemon_there_is_nobody)
{
	char *mountpoint;

	ctl_close(ctl);
	ctl = NULL;
	ck_assert_int_eq(ask_failing("stats"), -ENOENT);
	ck_assert_int_eq(ctl_find_mount(store, &mountpoint), -ENOENT);
}
END_TEST

/* A daemon that was killed leaves its socket behind. */
static void
leave_dead_socket(void)
{
	struct sockaddr_un address;
	int dir_fd, fd;

	ctl_close(ctl);
	ctl = NULL;
	ck_assert_int_eq(ctl_socket_dir(store, &dir_fd), 0);
	ctl_socket_address(dir_fd, &address);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	close(fd);
	close(dir_fd);
}

START_TEST(a_dead_daemon_s_socket_is_replaced)
{
	char *mountpoint;

	leave_dead_socket();
	ck_assert_int_eq(ask_failing("stats"), -ECONNREFUSED);
	ck_assert_int_eq(ctl_find_mount(store, &mountpoint), -ENOENT);
	open_ctl(store, "/m", 7);
	ck_assert_str_eq(ask("mount"), "7 /m");
}
END_TEST

START_TEST(a_mount_that_cannot_be_seen_is_not_found)
{
	struct stat st;
	char *mountpoint;

	ck_assert_int_eq(ctl_find_mount(store, &mountpoint), -EXDEV);
	ctl_close(ctl);
	ck_assert_int_eq(stat(store, &st), 0);
	open_ctl(store, store, st.st_dev);
	ck_assert_int_eq(ctl_find_mount(store, &mountpoint), 0);
	ck_assert_str_eq(mountpoint, store);
	free(mountpoint);
}
END_TEST

START_TEST(a_long_path_does_not_matter)
{
	char path[4096];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s/", store);
	char *first = store;

	memset(path + len, 'x', 200);
	path[len + 200] = '\0';
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ctl_close(ctl);
	open_ctl(path, "/m", 7);
	store = path;
	ck_assert_str_eq(ask("mount"), "7 /m");
	store = first;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *tcase = tcase_create("socket");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, statistics_come_from_the_engine_and_the_mount);
	tcase_add_test(tcase, sync_returns_what_the_tree_returned);
	tcase_add_test(tcase, the_mount_is_told);
	tcase_add_test(tcase, an_unknown_request_is_refused);
	tcase_add_test(tcase, a_peer_that_hangs_up_does_not_matter);
	tcase_add_test(tcase, only_the_owner_may_connect);
	tcase_add_test(tcase, without_a_daemon_there_is_nobody);
	tcase_add_test(tcase, a_dead_daemon_s_socket_is_replaced);
	tcase_add_test(tcase, a_mount_that_cannot_be_seen_is_not_found);
	tcase_add_test(tcase, a_long_path_does_not_matter);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
