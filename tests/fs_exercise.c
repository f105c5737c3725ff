/* SPDX-License-Identifier: Apache-2.0 */
/* fs_exercise.c - random operations on a file, every byte of which is known.
 *
 *	fs_exercise DIRECTORY EXPECTED SEED FIRST LAST
 *
 * Does the steps FIRST to LAST on two files in DIRECTORY: all that changes contents or
 * reads them, through write(2), mappings and O_DIRECT; some are copied into the other.
 * What they must hold is kept in memory, and at the end in the file EXPECTED.  If that
 * is there at the beginning, what the files hold is compared with it first, so a
 * script can look at them after the next mount and go on; without steps (LAST 0) that
 * is all.
 *
 * A step depends on the seed, its number and what was before.  In each phase of a
 * thousand steps the files have another shape: as long as what lies in their
 * attributes, some pages, some chunks, so long that truncations leave stale chunks, or
 * gigabytes, mostly holes.  Runs that begin with phases do the same as one run.
 *
 * The first difference ends it: it tells the seed, the step, those before, the offset. */
#include <config.h>

#include "tests/fs_exercise.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/layout.h"
#include "tests/suite.h"

#define PHASE 1000u        /* steps */
#define VERIFY_EVERY 2000u /* steps */
#define NOTES 20u
/* A longer file is read without its holes. */
#define WHOLE_MAX (UINT64_C(8) << 20)

struct exercised exercised[EXERCISE_FILES];
static uint64_t seed, step;

/* ---- Telling ---- */

static char notes[NOTES][160];
static unsigned noted;

void
note(const struct exercised *f, const char *format, ...)
{
	char *out = notes[noted++ % NOTES];
	int n = snprintf(out, sizeof(notes[0]), "%" PRIu64 ": file %d, ", step,
			 f->number);
	va_list args;

	va_start(args, format);
	vsnprintf(out + n, sizeof(notes[0]) - (size_t)n, format, args);
	va_end(args);
}

void
wrong(const char *format, ...)
{
	va_list args;
	unsigned i;

	printf("seed %" PRIu64 ", step %" PRIu64 ", files of shape %s: ", seed,
	       step, shape_name());
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nthe last steps:\n");
	for (i = noted > NOTES ? noted - NOTES : 0; i < noted; i++)
		printf("  %s\n", notes[i % NOTES]);
	printf("to repeat, in an empty directory: fs_exercise DIRECTORY "
	       "EXPECTED %" PRIu64 " 1 %" PRIu64 "\n",
	       seed, step);
	exit(EXIT_FAILURE);
}

void
expect_bytes(const struct exercised *f, const uint8_t *got, uint64_t from,
	     size_t len)
{
	const uint8_t *want = f->want.bytes + from;
	size_t first = 0, last = len - 1;

	if (len == 0 || memcmp(want, got, len) == 0)
		return;
	while (want[first] == got[first])
		first++;
	while (want[last] == got[last])
		last--;
	wrong("byte %" PRIu64 " of file %d, size %" PRIu64 ": expected 0x%02x, "
	      "found 0x%02x; the last that differs is %" PRIu64,
	      from + first, f->number, f->want.size, want[first], got[first],
	      from + last);
}

/* A mapped page that cannot be read or made. */
static void
bus_error(int signal)
{
	(void)signal;
	wrong("SIGBUS");
}

/* ---- All bytes of a file ---- */

static void
verify_range(const struct exercised *f, uint64_t from, uint64_t to)
{
	static uint8_t got[UINT64_C(1) << 20];

	while (from < to) {
		size_t len = to - from < sizeof(got) ? to - from : sizeof(got);
		ssize_t n = pread(f->fd, got, len, (off_t)from);

		if (n <= 0)
			wrong("read of %zu at %" PRIu64 ": %zd, %s", len, from,
			      n, n < 0 ? strerror(errno) : "no error");
		expect_bytes(f, got, from, (size_t)n);
		from += (uint64_t)n;
	}
}

/* Reads all that is no hole; what is one must be zeros. */
static void
verify_data(const struct exercised *f)
{
	uint64_t from = 0, size = f->want.size, nonzero;
	off_t data, hole;

	while (from < size) {
		data = lseek(f->fd, (off_t)from, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			wrong("SEEK_DATA: %s", strerror(errno));
		if (data < 0)
			data = (off_t)size;
		nonzero = sparse_find(&f->want, from, (uint64_t)data);
		if (nonzero < (uint64_t)data)
			wrong("byte %" PRIu64 " lies in a hole", nonzero);
		hole = data == (off_t)size ? data
					   : lseek(f->fd, data, SEEK_HOLE);
		if (hole < data)
			wrong("SEEK_HOLE: %s", strerror(errno));
		verify_range(f, (uint64_t)data, (uint64_t)hole);
		from = (uint64_t)hole;
	}
}

static void
verify(struct exercised *f)
{
	struct stat st;

	exercised_write_back(f);
	if (fstat(f->fd, &st) != 0 || (uint64_t)st.st_size != f->want.size)
		wrong("file %d has size %ld, not %" PRIu64, f->number,
		      (long)st.st_size, f->want.size);
	if (f->want.size <= WHOLE_MAX)
		verify_range(f, 0, f->want.size);
	else
		verify_data(f);
}

static void
verify_all(void)
{
	for (int i = 0; i < EXERCISE_FILES; i++)
		verify(&exercised[i]);
}

/* ---- The files and what they must hold, before and after ---- */

static size_t unit = 1;

size_t
direct_unit(void)
{
	return unit;
}

void
exercised_open(struct exercised *f, int flags)
{
	f->fd = open(f->path, O_RDWR | O_CREAT | flags, 0644);
	f->append_fd = open(f->path, O_WRONLY | O_APPEND);
	f->direct_fd = open(f->path, O_RDWR | O_DIRECT);
	if (f->fd < 0 || f->append_fd < 0)
		wrong("%s: %s", f->path, strerror(errno));
}

void
exercised_close(struct exercised *f)
{
	if (close(f->fd) != 0 || close(f->append_fd) != 0 ||
	    (f->direct_fd >= 0 && close(f->direct_fd) != 0))
		wrong("close: %s", strerror(errno));
}

/* What an odd read says; of an empty file it would say nothing. */
static void
find_direct_unit(const char *directory)
{
	static uint8_t odd[3];
	struct exercised probe = { .number = -1 };

	snprintf(probe.path, sizeof(probe.path), "%s/probe", directory);
	exercised_open(&probe, O_TRUNC);
	if (pwrite(probe.fd, notes, sizeof(notes), 0) < 0)
		wrong("%s: %s", probe.path, strerror(errno));
	if (pread(probe.direct_fd, odd, sizeof(odd), 1) < 0)
		unit = 4096;
	exercised_close(&probe);
	unlink(probe.path);
}

static void
begin(const char *directory, const char *expected)
{
	FILE *file = fopen(expected, "r");

	for (int i = 0; i < EXERCISE_FILES; i++) {
		struct exercised *f = &exercised[i];

		f->number = i;
		snprintf(f->path, sizeof(f->path), "%s/%d", directory, i);
		sparse_init(&f->want);
		if (file && !sparse_load(&f->want, file))
			wrong("%s: not to be read", expected);
		exercised_open(f, 0);
	}
	if (file)
		fclose(file);
	find_direct_unit(directory);
	verify_all();
}

static void
end(const char *expected)
{
	FILE *file = fopen(expected, "w");
	bool good = file;

	for (int i = 0; i < EXERCISE_FILES; i++) {
		struct exercised *f = &exercised[i];

		window_close(&f->kept);
		verify(f);
		exercised_close(f);
		good = good && sparse_save(&f->want, file);
		sparse_fini(&f->want);
	}
	if (!good || fclose(file) != 0)
		wrong("%s: not to be written", expected);
}

/* ---- Steps ---- */

static void
one_step(void)
{
	static const struct {
		step_fn *run;
		unsigned weight;
	} kinds[] = {
		{ step_pwrite, 16 },      { step_append, 4 },
		{ step_pread, 14 },       { step_truncate, 7 },
		{ step_fallocate, 12 },   { step_copy, 8 },
		{ step_seek, 8 },         { step_stat, 4 },
		{ step_drop_cache, 6 },   { step_direct_write, 4 },
		{ step_direct_read, 6 },  { step_map_write, 9 },
		{ step_map_read, 6 },     { step_map_private, 2 },
		{ step_map_keep, 2 },     { step_reopen, 2 },
		{ step_cut_and_grow, 2 }, { step_sync, 1 },
	};
	unsigned total = 0, i, chosen;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		total += kinds[i].weight;
	chosen = any(total);
	for (i = 0; chosen >= kinds[i].weight; i++)
		chosen -= kinds[i].weight;
	kinds[i].run(&exercised[any(EXERCISE_FILES)]);
}

/* Nothing is left of the phase before but the files, and those that are longer than
 * this one has them are cut: so it is the same whether a run begins with it or not. */
static void
phase_begin(void)
{
	uint64_t most;

	choices_phase((step - 1) / PHASE);
	most = size_limit();
	for (int i = 0; i < EXERCISE_FILES; i++) {
		struct exercised *f = &exercised[i];

		window_close(&f->kept);
		if (f->want.size <= most)
			continue;
		note(f, "cut to %" PRIu64 " for files of shape %s", most,
		     shape_name());
		if (ftruncate(f->fd, (off_t)most) != 0)
			wrong("ftruncate: %s", strerror(errno));
		sparse_resize(&f->want, most);
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
run(uint64_t first, uint64_t last)
{
	double began = now();

	for (step = first; step <= last; step++) {
		if (step == first || (step - 1) % PHASE == 0)
			phase_begin();
		choices_step(step);
		one_step();
		if (step % VERIFY_EVERY == 0)
			verify_all();
	}
	if (first <= last)
		printf("steps %" PRIu64 " to %" PRIu64 ": %.0f a second\n",
		       first, last,
		       (double)(last - first + 1) / (now() - began));
}

int
main(int argc, char **argv)
{
	struct sigaction on_bus = { .sa_handler = bus_error };

	if (argc != 6) {
		fprintf(stderr,
			"usage: %s DIRECTORY EXPECTED SEED FIRST LAST\n",
			argv[0]);
		return 2;
	}
	sigaction(SIGBUS, &on_bus, NULL);
	seed = strtoull(argv[3], NULL, 10);
	step = strtoull(argv[4], NULL, 10);
	choices_seed(seed);
	choices_phase((step - 1) / PHASE);
	begin(argv[1], argv[2]);
	run(step, strtoull(argv[5], NULL, 10));
	end(argv[2]);
	return EXIT_SUCCESS;
}
