/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c - the daemon's end of the socket of a mounted store; see ctl.h.
 *
 * One thread takes one connection after the other; a peer that says nothing is
 * left after some seconds. */
#include <config.h>

#include "fs/ctl.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "fs/ctl_socket.h"
#include "fs/handle.h"

#define REQUEST_MAX 64u
#define PEER_SECONDS 5
#define BACKLOG 16

struct ctl {
	/* Constant. */
	struct ctl_options options; /* its strings are borrowed */
	int dir_fd, listen_fd, stop_fd;
	pthread_t thread;
};

/* ---- Answers ---- */

static void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		/* The peer has gone; there is nobody to tell. */
		if (n <= 0)
			return;
		data += n;
		len -= (size_t)n;
	}
}

static void
answer_error(int fd, int r)
{
	char line[128];

	snprintf(line, sizeof(line), "error %d %s\n", -r, strerror(-r));
	send_all(fd, line, strlen(line));
}

static void
answer(int fd, int r, const char *body)
{
	char line[32];

	if (r != 0) {
		answer_error(fd, r);
		return;
	}
	snprintf(line, sizeof(line), "ok %zu\n", strlen(body));
	send_all(fd, line, strlen(line));
	send_all(fd, body, strlen(body));
}

/* The statistics of the engine with those of the mount: before the brace that
 * ends the JSON object, or as lines at the end. */
static int
stats_text(struct ctl *ctl, bool json, char **out)
{
	struct handle_usage usage = { 0 };
	char *engine, *end;
	int r = kv_stats(ctl->options.kv, json, &engine);

	if (r != 0)
		return r;
	if (ctl->options.handles)
		handle_table_usage(ctl->options.handles, &usage);
	end = json ? strrchr(engine, '}') : NULL;
	if (end) {
		*end = '\0';
		r = asprintf(out,
			     "%s,\"kernel_inodes\":%zu,"
			     "\"kernel_inode_bytes\":%zu}\n",
			     engine, usage.inodes, usage.bytes);
	} else {
		r = asprintf(out, "%skernel inodes          %zu, %zu B\n",
			     engine, usage.inodes, usage.bytes);
	}
	free(engine);
	return r < 0 ? -ENOMEM : 0;
}

static void
answer_stats(struct ctl *ctl, int fd, bool json)
{
	char *text = NULL;
	int r = stats_text(ctl, json, &text);

	answer(fd, r, text);
	free(r == 0 ? text : NULL);
}

static void
answer_mount(struct ctl *ctl, int fd)
{
	char *text;

	if (asprintf(&text, "%" PRIu64 " %s", ctl->options.device,
		     ctl->options.mountpoint) < 0) {
		answer_error(fd, -ENOMEM);
		return;
	}
	answer(fd, 0, text);
	free(text);
}

/* ---- Requests ---- */

static bool
peer_is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

/* Reads one line, without its end. */
static int
read_request(int fd, char *line, size_t size)
{
	size_t len = 0;
	char *end;

	while (len < size - 1) {
		ssize_t n = recv(fd, line + len, size - 1 - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		len += (size_t)n;
		line[len] = '\0';
		end = strchr(line, '\n');
		if (end) {
			*end = '\0';
			return 0;
		}
	}
	return -EPROTO;
}

static void
serve_peer(struct ctl *ctl, int fd)
{
	const struct timeval patience = { .tv_sec = PEER_SECONDS };
	char request[REQUEST_MAX];
	int r;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	r = peer_is_allowed(fd) ? read_request(fd, request, sizeof(request))
				: -EPERM;
	if (r != 0)
		answer_error(fd, r);
	else if (strcmp(request, "stats") == 0)
		answer_stats(ctl, fd, false);
	else if (strcmp(request, "stats json") == 0)
		answer_stats(ctl, fd, true);
	else if (strcmp(request, "sync") == 0)
		answer(fd, tree_sync(ctl->options.tree), "");
	else if (strcmp(request, "mount") == 0)
		answer_mount(ctl, fd);
	else
		answer_error(fd, -EOPNOTSUPP);
}

static void *
ctl_thread(void *arg)
{
	struct ctl *ctl = arg;
	struct pollfd fds[] = { { ctl->listen_fd, POLLIN, 0 },
				{ ctl->stop_fd, POLLIN, 0 } };
	int fd;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents != 0)
			return NULL;
		fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		serve_peer(ctl, fd);
		close(fd);
	}
}

/* ---- Opening and closing ---- */

static int
listen_at(struct ctl *ctl)
{
	struct sockaddr_un address;

	ctl_socket_address(ctl->dir_fd, &address);
	ctl->listen_fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of the socket is that of the file which bind() makes. */
	if (ctl->listen_fd < 0 || fchmod(ctl->listen_fd, 0600) != 0)
		return -errno;
	if (unlinkat(ctl->dir_fd, CTL_SOCKET, 0) != 0 && errno != ENOENT)
		return -errno;
	if (bind(ctl->listen_fd, (struct sockaddr *)&address,
		 sizeof(address)) != 0 ||
	    listen(ctl->listen_fd, BACKLOG) != 0)
		return -errno;
	return 0;
}

static void
ctl_free(struct ctl *ctl)
{
	if (ctl->listen_fd >= 0)
		close(ctl->listen_fd);
	if (ctl->stop_fd >= 0)
		close(ctl->stop_fd);
	if (ctl->dir_fd >= 0)
		close(ctl->dir_fd);
	free(ctl);
}

int
ctl_open(const struct ctl_options *options, struct ctl **out)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	if (!ctl)
		return -ENOMEM;
	ctl->options = *options;
	ctl->listen_fd = ctl->stop_fd = -1;
	r = ctl_socket_dir(options->store, &ctl->dir_fd);
	if (r == 0) {
		ctl->stop_fd = eventfd(0, EFD_CLOEXEC);
		r = ctl->stop_fd < 0 ? -errno : listen_at(ctl);
	}
	if (r == 0)
		r = -pthread_create(&ctl->thread, NULL, ctl_thread, ctl);
	if (r != 0) {
		ctl_free(ctl);
		return r;
	}
	*out = ctl;
	return 0;
}

void
ctl_close(struct ctl *ctl)
{
	uint64_t one = 1;

	if (!ctl)
		return;
	if (write(ctl->stop_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(ctl->thread, NULL);
	unlinkat(ctl->dir_fd, CTL_SOCKET, 0);
	ctl_free(ctl);
}
