/* SPDX-License-Identifier: Apache-2.0 */
/* fs_ops.c - what the tests of a mounted store need and no tool does.
 *
 *	fill DIR STATE       writes files until there is no room; STATE, outside of
 *	                     the mount, remembers how many were accepted
 *	more DIR STATE       writes 20 more; fails if there is no room
 *	filled DIR STATE     all that were accepted are there
 *	empty DIR STATE      removes them
 *	replace FILE STATE   opens with O_TRUNC and writes, until that fails
 *	replaced FILE STATE  FILE has what was written last, or before, never
 *	                     nothing
 *	map FILE MIB         writes a file through a mapping
 *	hold FILE MIB        the same, without msync, and keeps it mapped until
 *	                     its standard input ends
 *	compare FILE MIB     FILE has what map and hold write
 *	fsyncs DIR COUNT     COUNT threads write a file each and sync it
 *	notified SOCKET COUNT  prints COUNT datagrams that come to a new socket
 *	keys STORE COUNT     makes a store with COUNT keys and no files
 *
 * Exit status 0 if all is well, with a line of explanation if not. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/die.h"
#include "tests/suite.h"

#define FILLER_BYTES_MAX 40960u
#define PATIENCE_S 300u

/* Survives the process and is never on the mount. */
struct state {
	uint64_t began, ended; /* numbers of steps, from 1 */
	uint64_t
		removed; /* fill: files that were emptied out, from the first */
	uint64_t gap_ns; /* replace: between the last O_TRUNC and its write */
};

static struct state *
state_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	struct state *state;

	if (fd < 0 || ftruncate(fd, sizeof(*state)) != 0)
		die("%s: %s", path, strerror(errno));
	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, 0);
	if (state == MAP_FAILED)
		die("%s: %s", path, strerror(errno));
	close(fd);
	return state;
}

static const char *dir;

/* The number of bytes of a file, -1 without it. */
static ssize_t
read_whole(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : pread(fd, out, size, 0);

	if (fd >= 0)
		close(fd);
	return len;
}

/* ---- Filling a disk ---- */

static const char *
filler_path(uint64_t number)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/f-%" PRIu64, dir, number);
	return path;
}

/* Bytes that do not compress; one file in four is small. */
static size_t
filler(uint64_t number, char *out)
{
	size_t len = number % 4 == 0 ? 128 : FILLER_BYTES_MAX, i;
	uint64_t random = number;

	for (i = 0; i < len; i += sizeof(random)) {
		uint64_t bytes = suite_random(&random);

		memcpy(out + i, &bytes, sizeof(bytes));
	}
	return len;
}

/* 0 or -errno. */
static int
filler_write(uint64_t number)
{
	char data[FILLER_BYTES_MAX];
	size_t len = filler(number, data);
	int fd = open(filler_path(number), O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t n;
	int r = 0;

	if (fd < 0)
		return -errno;
	n = write(fd, data, len);
	if (n != (ssize_t)len)
		r = n < 0 ? -errno : -ENOSPC;
	close(fd);
	return r;
}

/* Writes up to `count` more; stops at the first error, and returns it. */
static int
fill(struct state *state, uint64_t count)
{
	int r = 0;

	while (count-- > 0 && r == 0) {
		state->began = state->ended + 1;
		r = filler_write(state->began);
		if (r == 0)
			state->ended = state->began;
	}
	if (r != 0 && r != -ENOSPC)
		die("%s: %s", filler_path(state->began), strerror(-r));
	return r;
}

static void
fill_up(struct state *state)
{
	uint64_t before = state->ended;

	if (fill(state, UINT64_MAX) == 0)
		die("there is room without end");
	printf("%" PRIu64 " files\n", state->ended - before);
}

static void
fill_more(struct state *state)
{
	if (fill(state, 20) != 0)
		die("%s: %s", filler_path(state->began), strerror(ENOSPC));
}

static void
verify_filler(const struct state *state, uint64_t number)
{
	char want[FILLER_BYTES_MAX], got[FILLER_BYTES_MAX + 1];
	ssize_t len = read_whole(filler_path(number), got, sizeof(got));
	size_t want_len = filler(number, want);

	if (number <= state->removed && len >= 0)
		die("%s: removed and there again", filler_path(number));
	if (number <= state->removed)
		return;
	if (len != (ssize_t)want_len || memcmp(want, got, want_len) != 0)
		die("%s: was accepted and is lost: %zd bytes of %zu",
		    filler_path(number), len, want_len);
}

static void
verify_filled(const struct state *state)
{
	uint64_t number;

	for (number = 1; number <= state->ended; number++)
		verify_filler(state, number);
}

static void
empty(struct state *state)
{
	/* The one that found no room may be there in part. */
	if (unlink(filler_path(state->ended + 1)) < 0 && errno != ENOENT)
		die("%s: %s", filler_path(state->ended + 1), strerror(errno));
	while (state->removed < state->ended) {
		if (unlink(filler_path(state->removed + 1)) < 0)
			die("%s: %s", filler_path(state->removed + 1),
			    strerror(errno));
		state->removed++;
	}
}

/* ---- Replacing a file in place ---- */

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
replace(const char *path, struct state *state)
{
	ssize_t written = 1;
	char text[32];

	while (written > 0) {
		uint64_t truncated;
		int fd, len;

		state->began = state->ended + 1;
		state->gap_ns = 0;
		len = snprintf(text, sizeof(text), "%" PRIu64 "\n",
			       state->began);
		truncated = now_ns();
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0)
			return;
		written = write(fd, text, (size_t)len);
		state->gap_ns = now_ns() - truncated;
		close(fd);
		if (written > 0)
			state->ended = state->began;
	}
}

/* A truncation may be logged alone when the write took its time. */
#define GAP_NS 60000000u

static void
replaced(const char *path, const struct state *state)
{
	char text[33];
	ssize_t len = read_whole(path, text, sizeof(text) - 1);
	uint64_t number;

	if (len <= 0 && (state->ended == 0 || state->gap_ns > GAP_NS))
		return;
	if (len <= 0)
		die("%s: empty after %" PRIu64 " replacements", path,
		    state->ended);
	text[len] = '\0';
	number = strtoull(text, NULL, 10);
	if (number != state->ended && number != state->began)
		die("%s: has %" PRIu64 ", written were %" PRIu64
		    " and %" PRIu64,
		    path, number, state->ended, state->began);
}

/* ---- Mappings ---- */

static char
pattern(size_t i)
{
	return (char)(i / 4096 * 31 + i);
}

static char *
map_file(const char *path, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT, 0644);
	char *map;
	size_t i;

	if (fd < 0 || ftruncate(fd, (off_t)len) != 0)
		die("%s: %s", path, strerror(errno));
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		die("%s: mmap: %s", path, strerror(errno));
	close(fd);
	for (i = 0; i < len; i++)
		map[i] = pattern(i);
	return map;
}

static void
compare(const char *path, size_t len)
{
	int fd = open(path, O_RDONLY);
	char *got = malloc(len + 1);
	size_t i, have = 0;
	ssize_t n = 1;

	if (fd < 0 || !got)
		die("%s: %s", path, strerror(errno));
	while (n > 0) {
		n = read(fd, got + have, len + 1 - have);
		have += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 || have != len)
		die("%s: %zu bytes, not %zu: %s", path, have, len,
		    n < 0 ? strerror(errno) : "the end");
	for (i = 0; i < len; i++)
		if (got[i] != pattern(i))
			die("%s: another byte at %zu", path, i);
	free(got);
	close(fd);
}

/* Reads the file again, from the store and not from the page cache. */
static void
compare_uncached(const char *path, size_t len)
{
	int fd = open(path, O_RDONLY);

	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	compare(path, len);
}

static void
map_and_sync(const char *path, size_t len)
{
	char *map = map_file(path, len);

	if (msync(map, len, MS_SYNC) != 0)
		die("%s: msync: %s", path, strerror(errno));
	munmap(map, len);
	compare_uncached(path, len);
}

static void
hold(const char *path, size_t len)
{
	char *map = map_file(path, len), byte;

	printf("mapped\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	munmap(map, len);
}

/* ---- Many syncs ---- */

static void *
write_and_sync(void *arg)
{
	char path[4096];
	int fd;
	bool good;

	snprintf(path, sizeof(path), "%s/%zu", dir, (size_t)(uintptr_t)arg);
	fd = open(path, O_WRONLY | O_CREAT, 0644);
	good = fd >= 0 && write(fd, path, 10) == 10 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return good ? NULL : "failed";
}

static void
fsyncs(size_t count)
{
	pthread_t *threads = calloc(count, sizeof(*threads));
	size_t i, failures = 0;
	void *failed;

	for (i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, write_and_sync,
				   (void *)(uintptr_t)i) != 0)
			die("no thread");
	for (i = 0; i < count; i++) {
		pthread_join(threads[i], &failed);
		failures += failed != NULL;
	}
	free(threads);
	if (failures > 0)
		die("%zu of %zu syncs failed", failures, count);
}

static void
notified(const char *path, unsigned long count)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char state[256];
	ssize_t len;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0)
		die("%s: %s", path, strerror(errno));
	while (count-- > 0) {
		len = recv(fd, state, sizeof(state), 0);
		if (len < 0)
			die("%s: %s", path, strerror(errno));
		printf("%.*s\n", (int)len, state);
		fflush(stdout);
	}
	close(fd);
}

/* As a program that uses the library. */
static void
make_keys(const char *path, unsigned long count)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true };
	struct keyfs_store *store;
	char key[32];
	int r = keyfs_open(path, &options, &store);

	for (unsigned long i = 0; r == 0 && i < count; i++) {
		snprintf(key, sizeof(key), "key%06lu", i);
		r = keyfs_put(store, NULL, keyfs_str(key), keyfs_str("value"),
			      0);
	}
	if (r == 0)
		r = keyfs_close(store);
	if (r != 0)
		die("%s: %s", path, strerror(-r));
}

int
main(int argc, char **argv)
{
	const char *what = argc == 4 ? argv[1] : "";
	size_t len;

	if (argc != 4) {
		fprintf(stderr, "usage: %s WHAT PATH ARGUMENT\n", argv[0]);
		return 2;
	}
	/* What nobody ends, ends by itself. */
	alarm(PATIENCE_S);
	dir = argv[2];
	len = strtoul(argv[3], NULL, 10) << 20;
	if (strcmp(what, "fill") == 0)
		fill_up(state_map(argv[3]));
	else if (strcmp(what, "more") == 0)
		fill_more(state_map(argv[3]));
	else if (strcmp(what, "filled") == 0)
		verify_filled(state_map(argv[3]));
	else if (strcmp(what, "empty") == 0)
		empty(state_map(argv[3]));
	else if (strcmp(what, "replace") == 0)
		replace(argv[2], state_map(argv[3]));
	else if (strcmp(what, "replaced") == 0)
		replaced(argv[2], state_map(argv[3]));
	else if (strcmp(what, "map") == 0)
		map_and_sync(argv[2], len);
	else if (strcmp(what, "hold") == 0)
		hold(argv[2], len);
	else if (strcmp(what, "compare") == 0)
		compare(argv[2], len);
	else if (strcmp(what, "fsyncs") == 0)
		fsyncs(strtoul(argv[3], NULL, 10));
	else if (strcmp(what, "notified") == 0)
		notified(argv[2], strtoul(argv[3], NULL, 10));
	else if (strcmp(what, "keys") == 0)
		make_keys(argv[2], strtoul(argv[3], NULL, 10));
	else
		return 2;
	return EXIT_SUCCESS;
}
