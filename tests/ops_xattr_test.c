/* SPDX-License-Identifier: Apache-2.0 */
/* ops_xattr_test.c - extended attributes and privileges as the kernel asks for them, on
 * a real mount.  What the operations do is tested in tree_xattr_test.c. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/tree.h"
#include "tests/mounted.h"
#include "tests/suite.h"

#define NOBODY 65534u
#define CAPABILITY "security.capability"

static pid_t pid;

static void
start(bool no_xattr)
{
	struct mounted_options options = {
		.session = { .allow_other = true, .no_xattr = no_xattr },
		/* Some requests go to a thread that may wait. */
		.again_every = 3,
	};

	pid = mounted_start(&options);
	ck_assert_int_eq(chmod(mounted_dir(), 0777), 0);
}

static void
stop(void)
{
	ck_assert_int_eq(mounted_stop(pid), 0);
}

static const char *
make_file(const char *name)
{
	int fd = open(mounted_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0777);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, "program\n", 8), 8);
	ck_assert_int_eq(close(fd), 0);
	return mounted_path(name);
}

/* Runs as a user who owns nothing; errno of what failed, or 0. */
static int
as_nobody(int (*what)(const char *path), const char *path)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (setgroups(0, NULL) != 0 ||
		    setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(255);
		_exit(what(path) == 0 ? 0 : errno);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(what_is_set_is_got_and_listed)
{
	static char value[TREE_XATTR_SIZE_MAX], got[TREE_XATTR_SIZE_MAX];
	const char *f;
	char list[64];

	start(false);
	f = make_file("f");
	memset(value, 'v', sizeof(value));
	ck_assert_int_eq(setxattr(f, "user.b", value, sizeof(value), 0), 0);
	ck_assert_int_eq(setxattr(f, "user.a", "", 0, XATTR_CREATE), 0);
	ck_assert_int_eq(setxattr(f, "user.a", "", 0, XATTR_CREATE), -1);
	ck_assert_int_eq(errno, EEXIST);
	ck_assert_int_eq(setxattr(f, "user.c", "", 0, XATTR_REPLACE), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_int_eq(getxattr(f, "user.b", got, sizeof(got)), sizeof(got));
	ck_assert_mem_eq(got, value, sizeof(got));
	ck_assert_int_eq(getxattr(f, "user.b", NULL, 0), sizeof(got));
	ck_assert_int_eq(getxattr(f, "user.b", got, 10), -1);
	ck_assert_int_eq(errno, ERANGE);
	ck_assert_int_eq(listxattr(f, NULL, 0), 14);
	ck_assert_int_eq(listxattr(f, list, sizeof(list)), 14);
	ck_assert_mem_eq(list, "user.a\0user.b", 14);
	ck_assert_int_eq(listxattr(f, list, 13), -1);
	ck_assert_int_eq(errno, ERANGE);
	ck_assert_int_eq(removexattr(f, "user.b"), 0);
	ck_assert_int_eq(removexattr(f, "user.b"), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_int_eq(setxattr(f, "system.mine", "", 0, 0), -1);
	ck_assert_int_eq(errno, EOPNOTSUPP);
	stop();
}
END_TEST

START_TEST(a_mount_without_them_says_so)
{
	const char *f;
	char list[64];

	start(true);
	f = make_file("f");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(setxattr(f, "user.a", "1", 1, 0), -1);
		ck_assert_int_eq(errno, EOPNOTSUPP);
		ck_assert_int_eq(getxattr(f, "user.a", list, 10), -1);
		ck_assert_int_eq(errno, EOPNOTSUPP);
		ck_assert_int_eq(listxattr(f, list, 10), -1);
		ck_assert_int_eq(errno, EOPNOTSUPP);
		ck_assert_int_eq(removexattr(f, "user.a"), -1);
		ck_assert_int_eq(errno, EOPNOTSUPP);
	}
	stop();
}
END_TEST

static int
read_trusted(const char *path)
{
	char value[8];

	return getxattr(path, "trusted.t", value, sizeof(value)) < 0 ? -1 : 0;
}

static int
list_nothing(const char *path)
{
	char list[64];

	return listxattr(path, list, sizeof(list)) == 0 ? 0 : -1;
}

START_TEST(trusted_ones_are_for_root)
{
	const char *f;
	char list[64];

	start(false);
	f = make_file("f");
	ck_assert_int_eq(setxattr(f, "trusted.t", "1", 1, 0), 0);
	ck_assert_int_eq(listxattr(f, list, sizeof(list)), 10);
	ck_assert_int_eq(as_nobody(read_trusted, f), ENODATA);
	ck_assert_int_eq(as_nobody(list_nothing, f), 0);
	stop();
}
END_TEST

/* ---- Privileges ---- */

static int
append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, "x", 1) != 1)
		return -1;
	return close(fd);
}

static int
empty(const char *path)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	return fd < 0 ? -1 : close(fd);
}

static int
cut(const char *path)
{
	return truncate(path, 3);
}

static int
give(const char *path)
{
	return chown(path, 1, (gid_t)-1);
}

static int
give_to_none(const char *path)
{
	return chown(path, (uid_t)-1, (gid_t)-1);
}

static const struct {
	int (*what)(const char *path);
	bool by_nobody, has_capability;
	uint32_t before, after;
} ends[] = {
	{ append, true, true, 06777, 0777 },
	{ empty, true, true, 06777, 0777 },
	{ cut, true, true, 06777, 0777 },
	{ append, false, false, 06777, 06777 },
	{ empty, false, true, 06777, 06777 },
	{ cut, false, true, 06777, 06777 },
	{ give, false, true, 06777, 0777 },
	{ give_to_none, false, true, 06777, 0777 },
	{ append, true, true, 06666, 0666 },
	{ give, false, true, 06767, 02767 },
	{ append, false, true, 02767, 02767 },
	/* On ext4 the bits stay.  What the kernel sends here is what it sends for
	 * a chown(2) that changes nothing, and that must clear them. */
	{ append, false, true, 06777, 0777 },
};

/* As on ext4 (Linux 6.18), but for the last. */
START_TEST(whoever_changes_a_program_does_not_keep_its_privileges)
{
	struct vfs_cap_data cap = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data = { { .permitted = 1u << CAP_NET_RAW } },
	};
	struct stat st;
	const char *f;

	start(false);
	f = make_file("tool");
	ck_assert_int_eq(chmod(f, ends[_i].before), 0);
	if (ends[_i].has_capability)
		ck_assert_int_eq(setxattr(f, CAPABILITY, &cap, XATTR_CAPS_SZ_2,
					  0),
				 0);
	ck_assert_int_eq(setxattr(f, "user.kept", "1", 1, 0), 0);
	if (ends[_i].by_nobody)
		ck_assert_int_eq(as_nobody(ends[_i].what, f), 0);
	else
		ck_assert_int_eq(ends[_i].what(f), 0);
	ck_assert_int_eq(stat(f, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, ends[_i].after);
	ck_assert_int_eq(getxattr(f, CAPABILITY, NULL, 0), -1);
	ck_assert_int_eq(errno, ENODATA);
	ck_assert_int_eq(getxattr(f, "user.kept", NULL, 0), 1);
	stop();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ops_xattr");
	TCase *tcase = tcase_create("mount");

	tcase_add_unchecked_fixture(tcase, mounted_setup, mounted_teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_is_set_is_got_and_listed);
	tcase_add_test(tcase, a_mount_without_them_says_so);
	tcase_add_test(tcase, trusted_ones_are_for_root);
	tcase_add_loop_test(
		tcase, whoever_changes_a_program_does_not_keep_its_privileges,
		0, sizeof(ends) / sizeof(ends[0]));
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
