/* SPDX-License-Identifier: Apache-2.0 */
/* fs_ops.c - what the tests of a mounted store need and no tool does.
 *
 *	work DIR STATE       steps in DIR until one fails; STATE, outside of the
 *	                     mount, remembers which was the last to succeed
 *	verify DIR STATE     DIR is what those made, and at most one step more
 *	replace FILE STATE   opens with O_TRUNC and writes, until that fails
 *	replaced FILE STATE  FILE has what was written last, or before, never
 *	                     nothing
 *	map FILE MIB         writes a file through a mapping
 *	hold FILE MIB        the same, without msync, and keeps it mapped until
 *	                     its standard input ends
 *	compare FILE MIB     FILE has what map and hold write
 *	fsyncs DIR COUNT     COUNT threads write a file each and sync it
 *
 * Exit status 0 if all is well, with a line of explanation if not. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTENTS_MAX 6000u
#define RECORD 64u
#define PATIENCE_S 300u

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(EXIT_FAILURE);
}

/* Survives the process and is never on the mount. */
struct state {
	uint64_t began, ended; /* numbers of steps, from 1 */
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

/* ---- Work, and what it must have left ---- */

static const char *dir;

static const char *
in_dir(const char *format, uint64_t number)
{
	static char paths[2][4096];
	static unsigned turn;
	char *path = paths[turn++ % 2], name[64];

	snprintf(name, sizeof(name), "%s%" PRIu64, format, number);
	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static size_t
contents(uint64_t step, char *out)
{
	size_t len = 1 + (size_t)(step * 7919 % CONTENTS_MAX), i;

	for (i = 0; i < len; i++)
		out[i] = (char)('a' + (step + i * i) % 26);
	return len;
}

static bool
write_new(const char *path, uint64_t step, bool sync)
{
	char data[CONTENTS_MAX + 1];
	size_t len = contents(step, data);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	bool good = fd >= 0 && write(fd, data, len) == (ssize_t)len &&
		    (!sync || fsync(fd) == 0);

	if (fd >= 0)
		close(fd);
	return good;
}

static bool
append(const char *path, uint64_t step)
{
	char record[RECORD + 1];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	bool good;

	snprintf(record, sizeof(record), "%063" PRIu64 "\n", step);
	good = fd >= 0 && write(fd, record, RECORD) == RECORD;
	if (fd >= 0)
		close(fd);
	return good;
}

/* Each step is one of these; a removal is of the file made seven steps before.
 */
static bool
step_do(uint64_t step)
{
	switch (step % 8) {
	case 0:
	case 4:
		return write_new(in_dir("f-", step), step, step % 16 == 0);
	case 1:
	case 5:
		return write_new(in_dir("t", 0), step, false) &&
		       rename(in_dir("t", 0), in_dir("r", 0)) == 0;
	case 7:
		return step < 8 || unlink(in_dir("f-", step - 7)) == 0;
	default:
		return append(in_dir("log", 0), step);
	}
}

static void
work(struct state *state)
{
	for (;;) {
		uint64_t step = state->ended + 1;

		state->began = step;
		if (!step_do(step))
			return;
		state->ended = step;
	}
}

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

static bool
has_contents(const char *path, uint64_t step)
{
	char want[CONTENTS_MAX + 1], got[CONTENTS_MAX + 1];
	ssize_t len = (ssize_t)contents(step, want);

	return read_whole(path, got, sizeof(got)) == len &&
	       memcmp(want, got, (size_t)len) == 0;
}

static void
verify_file(const struct state *state, uint64_t step)
{
	uint64_t removed_by = step % 8 == 0 ? step + 7 : UINT64_MAX;
	bool is_there = access(in_dir("f-", step), F_OK) == 0;

	if (step <= state->ended && state->began < removed_by &&
	    !has_contents(in_dir("f-", step), step))
		die("%s: lost what step %" PRIu64 " wrote; %" PRIu64
		    " steps were done",
		    in_dir("f-", step), step, state->ended);
	if (state->ended >= removed_by && is_there)
		die("%s: removed and there again", in_dir("f-", step));
	if (step > state->began && is_there)
		die("%s: nobody made it", in_dir("f-", step));
}

static void
verify_replaced(const struct state *state)
{
	uint64_t last = state->ended, next = state->began;

	while (last > 0 && last % 4 != 1)
		last--;
	if (last == 0)
		return;
	if (!has_contents(in_dir("r", 0), last) &&
	    !(next % 4 == 1 && has_contents(in_dir("r", 0), next)))
		die("%s: not what step %" PRIu64 " moved there", in_dir("r", 0),
		    last);
}

static bool
is_append(uint64_t step)
{
	return step % 8 == 2 || step % 8 == 3 || step % 8 == 6;
}

static void
verify_log(const struct state *state)
{
	FILE *log = fopen(in_dir("log", 0), "r");
	char got[RECORD + 2], want[RECORD + 1];
	uint64_t step;

	for (step = 1; step <= state->began && log; step++) {
		if (!is_append(step))
			continue;
		snprintf(want, sizeof(want), "%063" PRIu64 "\n", step);
		if (!fgets(got, sizeof(got), log)) {
			if (step <= state->ended)
				die("log: the record of step %" PRIu64
				    " of %" PRIu64 " is lost",
				    step, state->ended);
		} else if (strcmp(got, want) != 0) {
			die("log: not the record of step %" PRIu64, step);
		}
	}
	if (log && fgets(got, sizeof(got), log))
		die("log: more than was written");
	if (!log && state->ended >= 2)
		die("log: lost");
	if (log)
		fclose(log);
}

static void
verify(const struct state *state)
{
	uint64_t step;

	for (step = 4; step <= state->began + 8; step += 4)
		verify_file(state, step);
	verify_replaced(state);
	verify_log(state);
	printf("%" PRIu64 " steps\n", state->ended);
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
	if (strcmp(what, "work") == 0)
		work(state_map(argv[3]));
	else if (strcmp(what, "verify") == 0)
		verify(state_map(argv[3]));
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
	else
		return 2;
	return EXIT_SUCCESS;
}
