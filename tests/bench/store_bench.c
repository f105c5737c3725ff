/* SPDX-License-Identifier: Apache-2.0 */
/* store_bench.c - compares key-value engines on the same workloads.
 *
 * Every engine runs in a process and a directory of its own, one group of
 * workloads at a time, and the engines take turns (A B C A B C ...), so that a
 * machine that gets slower does so for all of them.  The child sends its samples
 * through a pipe; the parent makes the tables. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bare_sync.h"
#include "tests/bench/dataset.h"
#include "tests/bench/engine.h"
#include "tests/bench/report.h"
#include "tests/bench/settings.h"
#include "tests/bench/usage.h"
#include "tests/bench/workload.h"

#define CACHE_BYTES ((size_t)256 << 20)
#define MEMTABLE_BYTES ((size_t)64 << 20)
#define BLOOM_BITS 10
#define SMALL_VALUE 100
#define LARGE_VALUE 1000

/* A table: one value size and some groups. */
struct section {
	const struct settings *settings;
	struct dataset data;
	struct report *report;
	size_t floor_column; /* of the bare fdatasync; 0: has none */
};

/* As it goes through the pipe; smaller than PIPE_BUF, so never torn. */
struct message {
	char row[64];
	enum report_unit unit;
	double value;
};

/* ---- The child ---- */

static void
send_sample(void *arg, const char *row, enum report_unit unit, double value)
{
	struct message message = { .unit = unit, .value = value };

	snprintf(message.row, sizeof(message.row), "%s", row);
	if (write(*(int *)arg, &message, sizeof(message)) != sizeof(message))
		_exit(EXIT_FAILURE);
}

static int
run_engine(const struct section *section, const struct engine_ops *ops,
	   enum workload_group group, const char *dir, int *fd)
{
	struct workload workload = {
		.ops = ops,
		.data = &section->data,
		.options = { CACHE_BYTES, MEMTABLE_BYTES, BLOOM_BITS, false },
		.dir = dir,
		.only = section->settings->only,
		.reads = section->settings->reads,
		.syncs = section->settings->syncs,
		.sample = send_sample,
		.sample_arg = fd,
	};

	return workload_run(&workload, group);
}

/* `ops` is NULL for the floor of durable puts. */
static int
child_work(const struct section *section, const struct engine_ops *ops,
	   enum workload_group group, int fd)
{
	char dir[4096];
	double rate;
	int r;

	snprintf(dir, sizeof(dir), "%s/%s", section->settings->dir,
		 ops ? ops->name : "floor");
	if (mkdir(dir, 0700))
		return engine_error_code("mkdir", dir, errno);
	if (ops) {
		r = run_engine(section, ops, group, dir, &fd);
	} else {
		r = bare_sync_run(dir, section->settings->syncs,
				  DATASET_KEY_LEN + section->data.value_len,
				  &rate);
		if (r == 0)
			send_sample(&fd, WORKLOAD_SYNC_1_NAME,
				    REPORT_PER_SECOND, rate);
	}
	(void)usage_remove_tree(dir);
	return r;
}

/* ---- The parent ---- */

static void
show_progress(const char *column, const struct message *m)
{
	char number[32];

	if (m->unit != REPORT_PER_SECOND)
		return;
	report_number(number, sizeof(number), m->unit, m->value);
	fprintf(stderr, "  %-12s %-32s %10s/s\n", column, m->row, number);
}

static void
collect(struct section *section, size_t column, const char *name, int fd)
{
	struct message m;

	while (read(fd, &m, sizeof(m)) == sizeof(m)) {
		report_add(section->report, m.row, m.unit, column, m.value);
		show_progress(name, &m);
	}
}

/* What an earlier child wrote must not be written back during this one. */
static void
settle_disk(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)syncfs(fd);
	(void)close(fd);
}

/* Runs one engine (NULL: the floor) on one group in a process of its own. */
static bool
run_apart(struct section *section, const struct engine_ops *ops, size_t column,
	  enum workload_group group)
{
	const char *name = ops ? ops->name : "fdatasync";
	int fds[2], status = 0;
	pid_t pid;

	settle_disk(section->settings->dir);
	if (pipe2(fds, O_CLOEXEC))
		return false;
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		_exit(child_work(section, ops, group, fds[1]) ? EXIT_FAILURE
							      : EXIT_SUCCESS);
	}
	(void)close(fds[1]);
	if (pid > 0)
		collect(section, column, name, fds[0]);
	(void)close(fds[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
		return true;
	fprintf(stderr, "%s failed (wait status %d)\n", name, status);
	return false;
}

static bool
run_group(struct section *section, enum workload_group group)
{
	const struct settings *settings = section->settings;
	bool good = true;

	if (!workload_wanted(group, settings->only))
		return true;
	for (unsigned round = 0; round < settings->rounds; round++) {
		fprintf(stderr, "round %u of %u\n", round + 1,
			settings->rounds);
		for (size_t i = 0; i < settings->engine_count; i++)
			good &= run_apart(section, settings->engines[i], i,
					  group);
		if (section->floor_column && group == WORKLOAD_SYNC_1)
			good &= run_apart(section, NULL, section->floor_column,
					  group);
	}
	return good;
}

/* ---- Tables ---- */

/* keyfs is measured against the better of the two that are built like it. */
static void
section_init(struct section *section, const struct settings *settings,
	     const char *title, uint64_t keys, size_t value_len, bool floor)
{
	const char *names[ENGINES_MAX + 1];
	int rival[ENGINES_MAX + 1] = { 0 };
	size_t n = settings->engine_count;

	for (size_t i = 0; i < n; i++) {
		names[i] = settings->engines[i]->name;
		rival[i] = strcmp(names[0], "keyfs") == 0 &&
			   (strcmp(names[i], "rocksdb") == 0 ||
			    strcmp(names[i], "leveldb") == 0);
	}
	section->settings = settings;
	section->floor_column = floor ? n : 0;
	if (floor)
		names[n++] = "fdatasync";
	dataset_init(&section->data, keys, value_len);
	section->report = report_new(title, n, names, rival);
}

static void
append_csv(const struct section *section)
{
	const char *path = section->settings->csv_path;
	FILE *file;

	if (!path)
		return;
	file = fopen(path, "ae");
	if (!file) {
		engine_error_code("store_bench", path, errno);
		return;
	}
	report_print_csv(section->report, file);
	(void)fclose(file);
}

static void
section_finish(struct section *section)
{
	report_print(section->report, stdout);
	append_csv(section);
	report_free(section->report);
	dataset_fini(&section->data);
}

static uint64_t
keys_of(const struct settings *settings, size_t value_len)
{
	uint64_t keys = value_len > SMALL_VALUE ? 200000 : 1000000;

	if (settings->keys)
		return settings->keys;
	return settings->full ? 5 * keys : keys;
}

static bool
run_plain(const struct settings *settings, size_t value_len)
{
	uint64_t keys = keys_of(settings, value_len);
	struct section section;
	char title[128];
	bool good;

	if (!workload_wanted(WORKLOAD_SEQUENTIAL, settings->only) &&
	    !workload_wanted(WORKLOAD_RANDOM, settings->only))
		return true;
	snprintf(title, sizeof(title), "%zu-byte values; %" PRIu64 " keys",
		 value_len, keys);
	section_init(&section, settings, title, keys, value_len, false);
	good = run_group(&section, WORKLOAD_SEQUENTIAL);
	good &= run_group(&section, WORKLOAD_RANDOM);
	section_finish(&section);
	return good;
}

static bool
run_synced(const struct settings *settings, size_t value_len)
{
	struct section section;
	char title[128];
	bool good;

	if (!workload_wanted(WORKLOAD_SYNC_1, settings->only) &&
	    !workload_wanted(WORKLOAD_SYNC_8, settings->only))
		return true;
	snprintf(title, sizeof(title),
		 "Every put durable; %zu-byte values; %" PRIu64 " puts",
		 value_len, settings->syncs);
	section_init(&section, settings, title, 4 * settings->syncs, value_len,
		     true);
	good = run_group(&section, WORKLOAD_SYNC_1);
	good &= run_group(&section, WORKLOAD_SYNC_8);
	section_finish(&section);
	return good;
}

static bool
run_all(const struct settings *settings)
{
	bool good = true;

	if (settings->value_len) {
		good &= run_plain(settings, settings->value_len);
		return good & run_synced(settings, settings->value_len);
	}
	good &= run_plain(settings, SMALL_VALUE);
	good &= run_plain(settings, LARGE_VALUE);
	return good & run_synced(settings, SMALL_VALUE);
}

static void
print_conditions(const struct settings *settings)
{
	struct utsname host;

	if (uname(&host))
		return;
	printf("keyfs %s, Linux %s, %ld processors, data in %s\n",
	       PACKAGE_VERSION, host.release, sysconf(_SC_NPROCESSORS_ONLN),
	       settings->dir);
	printf("median [least-most] of %u rounds; ratio: keyfs against the "
	       "better of rocksdb and leveldb, above 1 is better\n",
	       settings->rounds);
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) ||                 \
	defined(__SANITIZE_THREAD__)
	puts("keyfs was built for debugging: its figures mean nothing");
#endif
	engine_print_missing();
	(void)fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct settings settings;
	bool good;

	if (!settings_parse(&settings, argc, argv))
		return 2;
	if (mkdir(settings.dir, 0700)) {
		engine_error_code("store_bench", settings.dir, errno);
		return EXIT_FAILURE;
	}
	print_conditions(&settings);
	good = run_all(&settings);
	(void)usage_remove_tree(settings.dir);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
