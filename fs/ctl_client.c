/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_client.c - the asking end of the socket of a mounted store; see ctl.h. */
#include <config.h>

#include "fs/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl_socket.h"

/* Statistics are some kilobytes; more than this is not one of our daemons. */
#define ANSWER_MAX (16u << 20)
#define ERRNO_MAX 4095

/* Whose directory it is decides who answers at the socket in it, and where he says
 * that the store is mounted: what the door to the disk refuses is refused here. */
static int
check_dir(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -EPERM;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))
		       ? -EPERM
		       : 0;
}

int
ctl_socket_dir(const char *store, int *out)
{
	size_t len = strlen(store);
	char *plain;
	int r, fd;

	/* With a slash at its end a link would be followed. */
	while (len > 1 && store[len - 1] == '/')
		len--;
	plain = strndup(store, len);
	if (!plain)
		return -ENOMEM;
	fd = open(plain, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : check_dir(fd);
	free(plain);
	if (r != 0 && fd >= 0)
		close(fd);
	*out = r == 0 ? fd : -1;
	return r;
}

void
ctl_socket_address(int dir_fd, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(out->sun_path, sizeof(out->sun_path),
		 "/proc/self/fd/%d/" CTL_SOCKET, dir_fd);
}

static int
connect_to(const char *store, int *out)
{
	struct sockaddr_un address;
	int dir_fd, fd, r = ctl_socket_dir(store, &dir_fd);

	if (r != 0)
		return r;
	ctl_socket_address(dir_fd, &address);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		r = errno == EACCES ? -EPERM : -errno;
	close(dir_fd);
	if (r == 0)
		*out = fd;
	else if (fd >= 0)
		close(fd);
	return r;
}

static int
send_line(int fd, const char *request)
{
	char *line;
	int len = asprintf(&line, "%s\n", request), r = 0;

	if (len < 0)
		return -ENOMEM;
	/* A request is short: it fits the socket's buffer at once. */
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		r = -EPROTO;
	free(line);
	return r;
}

/* Reads to the end; *out ends with a 0 byte that *out_len does not count. */
static int
receive_all(int fd, char **out, size_t *out_len)
{
	size_t len = 0, capacity = 4096;
	char *buf = malloc(capacity), *bigger;
	ssize_t n = 1;

	while (buf && n != 0 && len < ANSWER_MAX) {
		if (capacity - len < 2048) {
			bigger = realloc(buf, capacity *= 2);
			if (!bigger)
				break;
			buf = bigger;
		}
		n = recv(fd, buf + len, capacity - len - 1, 0);
		if (n < 0 && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (!buf || n != 0) {
		free(buf);
		return n < 0 ? -errno : -ENOMEM;
	}
	buf[len] = '\0';
	*out = buf;
	*out_len = len;
	return 0;
}

/* Turns "ok LENGTH\nBODY" into BODY, in place. */
static int
parse_answer(char *answer, size_t len, size_t *out_len)
{
	char *body = memchr(answer, '\n', len);
	size_t body_len;
	int error;

	if (!body)
		return -EPROTO;
	*body++ = '\0';
	if (sscanf(answer, "error %d", &error) == 1)
		return error > 0 && error <= ERRNO_MAX ? -error : -EPROTO;
	if (sscanf(answer, "ok %zu", &body_len) != 1 ||
	    body_len != len - (size_t)(body - answer))
		return -EPROTO;
	memmove(answer, body, body_len + 1);
	*out_len = body_len;
	return 0;
}

int
ctl_request(const char *store, const char *request, char **out, size_t *out_len)
{
	char *answer = NULL;
	size_t len = 0;
	int fd, r = connect_to(store, &fd);

	if (r != 0)
		return r;
	r = send_line(fd, request);
	if (r == 0)
		r = receive_all(fd, &answer, &len);
	close(fd);
	if (r == 0)
		r = parse_answer(answer, len, &len);
	if (r != 0) {
		free(answer);
		return r;
	}
	*out = answer;
	*out_len = len;
	return 0;
}

int
ctl_find_mount(const char *store, char **out)
{
	uint64_t device;
	struct stat st;
	char *answer;
	size_t len;
	int at, r = ctl_request(store, "mount", &answer, &len);

	if (r != 0)
		return r == -ECONNREFUSED ? -ENOENT : r;
	if (sscanf(answer, "%" SCNu64 " %n", &device, &at) != 1) {
		free(answer);
		return -EPROTO;
	}
	memmove(answer, answer + at, len - (size_t)at + 1);
	if (stat(answer, &st) != 0 || st.st_dev != device) {
		free(answer);
		return -EXDEV;
	}
	*out = answer;
	return 0;
}
