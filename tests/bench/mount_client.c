/* SPDX-License-Identifier: Apache-2.0 */
/* mount_client.c - the file calls; see mount_client.h. */
#include <config.h>

#include "tests/bench/mount_client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/dataset.h"
#include "tests/bench/usage.h"
#include "tests/must.h"

#define RECORD_LEN 100
#define LARGE_CALL ((size_t)1 << 20)
#define PAGE_LEN 4096

/* ---- Calls on one path, which is client->path ---- */

static void
set_path(struct mount_client *c, unsigned directory, unsigned file,
	 const char *suffix)
{
	snprintf(c->path, sizeof(c->path), "%s/d%04u/f%06u%s", c->load->root,
		 directory, file, suffix);
}

static void
set_own_path(struct mount_client *c, const char *name)
{
	snprintf(c->path, sizeof(c->path), "%s/%s%u", c->load->root, name,
		 c->number);
}

static int
open_path(struct mount_client *c, int flags)
{
	int fd = open(c->path, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

static int
close_after(int fd, int r)
{
	if (close(fd) && r == 0)
		r = -errno;
	return r;
}

static int
write_all(int fd, const void *data, size_t len)
{
	ssize_t n = write(fd, data, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int
put_path(struct mount_client *c, int flags, bool sync)
{
	int fd = open_path(c, O_WRONLY | flags), r;

	if (fd < 0)
		return fd;
	r = write_all(fd, c->content, c->load->size);
	if (r == 0 && sync && fsync(fd))
		r = -errno;
	return close_after(fd, r);
}

static int
create_path(struct mount_client *c)
{
	return put_path(c, O_CREAT | O_EXCL, false);
}

static int
rewrite_path(struct mount_client *c)
{
	return put_path(c, O_TRUNC, false);
}

static int
stat_path(struct mount_client *c)
{
	struct stat st;

	if (stat(c->path, &st))
		return -errno;
	return (size_t)st.st_size == c->load->size ? 0 : -EUCLEAN;
}

/* Asks for one byte more, as cat does not know the size either. */
static int
read_path(struct mount_client *c)
{
	size_t size = c->load->size;
	int fd = open_path(c, O_RDONLY), r = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, c->buffer, size + 1);
	if (n < 0)
		r = -errno;
	else if ((size_t)n != size || memcmp(c->buffer, c->content, size) != 0)
		r = -EUCLEAN;
	return close_after(fd, r);
}

static int
replace_path(struct mount_client *c)
{
	char target[sizeof(c->path)];
	int r;

	memcpy(target, c->path, sizeof(target));
	snprintf(c->path + strlen(c->path), 5, ".tmp");
	r = put_path(c, O_CREAT | O_EXCL, false);
	if (r == 0 && rename(c->path, target))
		r = -errno;
	return r;
}

static int
unlink_path(struct mount_client *c)
{
	return unlink(c->path) ? -errno : 0;
}

/* ---- Loops over a client's share ---- */

static int
each_file(struct mount_client *c, int (*call)(struct mount_client *))
{
	const struct mount_load *load = c->load;
	int r = 0;

	for (unsigned d = c->number; d < load->directories && r == 0;
	     d += load->clients)
		for (unsigned f = 0; f < load->files && r == 0; f++) {
			set_path(c, d, f, "");
			r = call(c);
			c->done += r == 0;
		}
	return r;
}

int
mount_create(struct mount_client *c)
{
	return each_file(c, create_path);
}

int
mount_stat(struct mount_client *c)
{
	return each_file(c, stat_path);
}

int
mount_read(struct mount_client *c)
{
	return each_file(c, read_path);
}

int
mount_replace(struct mount_client *c)
{
	return each_file(c, replace_path);
}

int
mount_rewrite(struct mount_client *c)
{
	return each_file(c, rewrite_path);
}

int
mount_unlink(struct mount_client *c)
{
	return each_file(c, unlink_path);
}

static int
each_directory(struct mount_client *c, int (*call)(struct mount_client *))
{
	const struct mount_load *load = c->load;
	int r = 0;

	for (unsigned d = c->number; d < load->directories && r == 0;
	     d += load->clients) {
		snprintf(c->path, sizeof(c->path), "%s/d%04u", load->root, d);
		r = call(c);
	}
	return r;
}

static int
mkdir_path(struct mount_client *c)
{
	c->done++;
	return mkdir(c->path, 0755) ? -errno : 0;
}

static int
rmdir_path(struct mount_client *c)
{
	c->done++;
	return rmdir(c->path) ? -errno : 0;
}

static int
list_path(struct mount_client *c)
{
	DIR *dir = opendir(c->path);
	struct dirent *entry;
	unsigned seen = 0;
	struct stat st;
	int r = 0;

	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, 0))
			r = -errno;
		seen++;
	}
	c->done += seen;
	(void)closedir(dir);
	return r == 0 && seen != c->load->files ? -EUCLEAN : r;
}

int
mount_mkdir(struct mount_client *c)
{
	return each_directory(c, mkdir_path);
}

int
mount_rmdir(struct mount_client *c)
{
	return each_directory(c, rmdir_path);
}

int
mount_list(struct mount_client *c)
{
	return each_directory(c, list_path);
}

/* The client's part of `total` that all divide. */
static unsigned
share(const struct mount_client *c, unsigned total)
{
	return total / c->load->clients + 1;
}

int
mount_create_sync(struct mount_client *c)
{
	unsigned count = share(c, c->load->syncs);
	int r = 0;

	for (unsigned i = 0; i < count && r == 0; i++) {
		set_path(c, c->number, i, ".sync");
		r = put_path(c, O_CREAT | O_EXCL, true);
		if (r == 0)
			c->done++;
	}
	for (unsigned i = 0; i < count && r == 0; i++) {
		set_path(c, c->number, i, ".sync");
		r = unlink_path(c);
	}
	return r;
}

static int
append(struct mount_client *c, unsigned count, bool sync)
{
	char record[RECORD_LEN];
	int fd, r = 0;

	memset(record, 'r', sizeof(record));
	set_own_path(c, sync ? "synced" : "appended");
	fd = open_path(c, O_CREAT | O_EXCL | O_WRONLY | O_APPEND);
	if (fd < 0)
		return fd;
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = write_all(fd, record, sizeof(record));
		if (r == 0 && sync && fdatasync(fd))
			r = -errno;
		c->done += r == 0;
	}
	return close_after(fd, r);
}

int
mount_append(struct mount_client *c)
{
	return append(c, share(c, c->load->appends), false);
}

int
mount_append_sync(struct mount_client *c)
{
	return append(c, share(c, c->load->syncs), true);
}

/* ---- Large files ---- */

/* Random bytes, so that nothing compresses. */
static void
large_fill(char *data)
{
	uint64_t seed = 1;

	for (size_t i = 0; i < LARGE_CALL; i += sizeof(seed)) {
		uint64_t word = dataset_random(&seed);

		memcpy(data + i, &word, sizeof(word));
	}
}

/* Each page begins with its own offset, so a misplaced one shows. */
static void
large_stamp(char *data, uint64_t at)
{
	for (size_t i = 0; i < LARGE_CALL; i += PAGE_LEN) {
		uint64_t offset = at + i;

		memcpy(data + i, &offset, sizeof(offset));
	}
}

static int
read_same(int fd, char *buffer, const char *expected, size_t len)
{
	ssize_t n = read(fd, buffer, len);

	if (n < 0)
		return -errno;
	return (size_t)n == len && memcmp(buffer, expected, len) == 0
		       ? 0
		       : -EUCLEAN;
}

static int
large(struct mount_client *c, int flags)
{
	uint64_t end = (uint64_t)c->load->megabytes << 20;
	char *data = must_alloc(LARGE_CALL), *seen = must_alloc(LARGE_CALL);
	int fd, r = 0;

	large_fill(data);
	set_own_path(c, "large");
	fd = open_path(c, flags);
	if (fd < 0)
		r = fd;
	for (uint64_t at = 0; at < end && r == 0; at += LARGE_CALL) {
		large_stamp(data, at);
		if (flags & O_CREAT)
			r = write_all(fd, data, LARGE_CALL);
		else
			r = read_same(fd, seen, data, LARGE_CALL);
		c->done += r == 0 ? LARGE_CALL : 0;
	}
	free(data);
	free(seen);
	return fd < 0 ? r : close_after(fd, r);
}

int
mount_write_large(struct mount_client *c)
{
	return large(c, O_CREAT | O_EXCL | O_WRONLY);
}

int
mount_read_large(struct mount_client *c)
{
	return large(c, O_RDONLY);
}

/* ---- All clients ---- */

static void *
client_main(void *arg)
{
	struct mount_client *c = arg;

	(void)pthread_barrier_wait(c->start);
	c->began_ns = usage_now_ns();
	c->result = c->work(c);
	c->ended_ns = usage_now_ns();
	if (c->result)
		fprintf(stderr, "mount_bench: %s: %s\n", c->path,
			c->result == -EUCLEAN ? "not what was written"
					      : strerror(-c->result));
	return NULL;
}

/* From the first client's start to the last one's end: with fewer processors than
 * clients some begin late. */
static double
span(const struct mount_client *clients, unsigned count)
{
	uint64_t began = clients[0].began_ns, ended = clients[0].ended_ns;

	for (unsigned i = 1; i < count; i++) {
		if (clients[i].began_ns < began)
			began = clients[i].began_ns;
		if (clients[i].ended_ns > ended)
			ended = clients[i].ended_ns;
	}
	return (double)(ended - began) / 1e9;
}

int
mount_clients_run(struct mount_client *clients, mount_work_fn work,
		  uint64_t *done, double *seconds)
{
	unsigned count = clients[0].load->clients;
	pthread_t threads[MOUNT_CLIENTS_MAX];
	pthread_barrier_t start;
	int r = 0;

	(void)pthread_barrier_init(&start, NULL, count);
	for (unsigned i = 0; i < count; i++) {
		clients[i].start = &start;
		clients[i].work = work;
		clients[i].done = 0;
		if (pthread_create(&threads[i], NULL, client_main, &clients[i]))
			abort(); /* the others would wait for ever */
	}
	*done = 0;
	for (unsigned i = 0; i < count; i++) {
		(void)pthread_join(threads[i], NULL);
		*done += clients[i].done;
		r = r ? r : clients[i].result;
	}
	*seconds = span(clients, count);
	(void)pthread_barrier_destroy(&start);
	return r;
}
