/* SPDX-License-Identifier: Apache-2.0 */
/* session_mount.c - makes the mount; see session_mount.h. */
#include <config.h>

#include "fs/session_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_opt.h>
#include <linux/fuse.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What libfuse said while it mounted, and errno at that time: its own results
 * do not tell. */
static struct {
	char line[256];
	bool complete;
	int error;
} said;

static void __attribute__((format(printf, 2, 0)))
keep_what_is_said(enum fuse_log_level level, const char *format, va_list args)
{
	int error = errno;
	size_t len = strlen(said.line);

	/* The first line, which may come in pieces. */
	if (level > FUSE_LOG_ERR || said.complete)
		return;
	if (len == 0)
		said.error = error;
	vsnprintf(said.line + len, sizeof(said.line) - len, format, args);
	said.complete = strchr(said.line, '\n') != NULL;
	said.line[strcspn(said.line, "\n")] = '\0';
}

/* Explains a failure by what libfuse said, or by `otherwise`. */
static void
explain(const char *otherwise, char *why, size_t why_size)
{
	snprintf(why, why_size, "%s",
		 said.line[0] != '\0' ? said.line : otherwise);
}

static int
check_mountpoint(const struct session_options *o, char *why, size_t why_size)
{
	size_t len = strlen(o->mountpoint);
	struct statx st;

	/* The attributes of a dead mount may still be cached: ask it. */
	if (statx(AT_FDCWD, o->mountpoint, AT_STATX_FORCE_SYNC, STATX_TYPE,
		  &st) != 0) {
		int error = errno;

		if (error == ENOTCONN)
			snprintf(why, why_size,
				 "%s: the mount of a process that has died is "
				 "still there; remove it with fusermount3 -u",
				 o->mountpoint);
		else
			snprintf(why, why_size, "%s: %s", o->mountpoint,
				 strerror(error));
		return -error;
	}
	if (!S_ISDIR(st.stx_mode)) {
		snprintf(why, why_size, "%s: not a directory", o->mountpoint);
		return -ENOTDIR;
	}
	/* The store could not reach its own files any more. */
	if (strncmp(o->fsname, o->mountpoint, len) == 0 &&
	    (o->fsname[len] == '/' || o->fsname[len] == '\0')) {
		snprintf(why, why_size,
			 "%s: the store %s lies inside; choose another "
			 "mountpoint",
			 o->mountpoint, o->fsname);
		return -EINVAL;
	}
	return 0;
}

static int
check_device(char *why, size_t why_size)
{
	if (access("/dev/fuse", F_OK) == 0)
		return 0;
	snprintf(why, why_size,
		 "/dev/fuse: %s; is the kernel module loaded (modprobe fuse)?",
		 strerror(errno));
	return -ENODEV;
}

/* nosuid and nodev are libfuse's default and stay unless mount_options undoes
 * them, which only root may. */
static int
build_args(const struct session_options *o, struct fuse_args *args)
{
	char *list = NULL, *fsname = NULL;
	int r = -ENOMEM;

	if (asprintf(&fsname, "fsname=%s", o->fsname) < 0)
		return -ENOMEM;
	if (fuse_opt_add_opt_escaped(&list, fsname) == 0 &&
	    fuse_opt_add_opt(&list, "subtype=keyfs") == 0 &&
	    fuse_opt_add_opt(&list, "default_permissions") == 0 &&
	    (!o->allow_other || fuse_opt_add_opt(&list, "allow_other") == 0) &&
	    (!o->read_only || fuse_opt_add_opt(&list, "ro") == 0) &&
	    (!o->debug || fuse_opt_add_opt(&list, "debug") == 0) &&
	    (!o->mount_options || !o->mount_options[0] ||
	     fuse_opt_add_opt(&list, o->mount_options) == 0) &&
	    fuse_opt_add_arg(args, "keyfs") == 0 &&
	    fuse_opt_add_arg(args, "-o") == 0 &&
	    fuse_opt_add_arg(args, list) == 0)
		r = 0;
	free(fsname);
	free(list);
	return r;
}

#if FUSE_VERSION < FUSE_MAKE_VERSION(3, 17)
static ssize_t
device_read(int fd, void *buf, size_t len, void *userdata)
{
	(void)userdata;
	return read(fd, buf, len);
}

/* Adds what libfuse leaves out of the answer to INIT: want_missing_flags() in
 * ops.c. */
static ssize_t
device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct ops *ops = userdata;

	if (ops->init_flags) {
		struct fuse_init_out *out = iov[count - 1].iov_base;

		if (count == 2 && iov[1].iov_len >= sizeof(*out))
			out->flags |= ops->init_flags;
		ops->init_flags = 0;
	}
	return writev(fd, iov, count);
}

static int
hook_device(struct fuse_session *fuse)
{
	static const struct fuse_custom_io io = { .read = device_read,
						  .writev = device_writev };

	return fuse_session_custom_io(fuse, &io, fuse_session_fd(fuse));
}
#else
static int
hook_device(struct fuse_session *fuse)
{
	(void)fuse;
	return 0;
}
#endif

static int
prepare_device(struct fuse_session *fuse)
{
	int fd = fuse_session_fd(fuse), flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return -errno;
	return hook_device(fuse);
}

static int
mount_said(const struct session_options *o, struct ops *ops,
	   struct fuse_args *args, char *why, size_t why_size,
	   struct fuse_session **out)
{
	struct fuse_session *fuse;
	int r;

	fuse = fuse_session_new(args, &ops_table, sizeof(ops_table), ops);
	if (!fuse) {
		explain("the mount options were refused", why, why_size);
		return -EINVAL;
	}
	if (fuse_session_mount(fuse, o->mountpoint) != 0) {
		fuse_session_destroy(fuse);
		explain("fusermount3 refused to mount", why, why_size);
		return said.error > 0 ? -said.error : -EPERM;
	}
	r = prepare_device(fuse);
	if (r != 0) {
		fuse_session_unmount(fuse);
		fuse_session_destroy(fuse);
		explain(strerror(-r), why, why_size);
		return r;
	}
	*out = fuse;
	return 0;
}

int
session_mount(const struct session_options *o, struct ops *ops, char *why,
	      size_t why_size, struct fuse_session **out)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int r = check_mountpoint(o, why, why_size);

	if (r == 0)
		r = check_device(why, why_size);
	if (r != 0)
		return r;
	r = build_args(o, &args);
	if (r != 0) {
		snprintf(why, why_size, "%s", strerror(-r));
	} else {
		memset(&said, 0, sizeof(said));
		if (!o->debug)
			fuse_set_log_func(keep_what_is_said);
		r = mount_said(o, ops, &args, why, why_size, out);
		fuse_set_log_func(NULL);
	}
	fuse_opt_free_args(&args);
	return r;
}

void
session_drop_device(struct fuse_session *fuse)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return;
	close(fds[0]);
	(void)dup3(fds[1], fuse_session_fd(fuse), O_CLOEXEC);
	close(fds[1]);
}
