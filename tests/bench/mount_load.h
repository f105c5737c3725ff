/* SPDX-License-Identifier: Apache-2.0 */
/* mount_load.h - what is done to a mounted directory, and measured.
 *
 * The phases run in order on one tree of small files: clients divide its
 * directories among them, each walks its own files in the order of their making.
 * Everything a phase reads is compared with what was written. */
#ifndef TESTS_BENCH_MOUNT_LOAD_H
#define TESTS_BENCH_MOUNT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/report.h"

#define MOUNT_CLIENTS_MAX 64

typedef void (*mount_sample_fn)(void *arg, const char *row,
				enum report_unit unit, double value);

struct mount_load {
	const char *root; /* a directory that exists and is empty */
	const char *only; /* names of phases, divided by commas; NULL: all */
	unsigned clients, directories;
	unsigned files; /* in each directory */
	size_t size;    /* of each, in bytes */
	unsigned syncs; /* small durable writes, of all clients together */
	unsigned appends;
	unsigned megabytes; /* of the large file of each client */
	bool cold;          /* phases that drop the kernel's caches too */
	mount_sample_fn sample;
	void *sample_arg;
};

/* Whether each name in `only` is that of a phase; prints the first that is not. */
bool mount_names_valid(const char *only);

/* Runs the phases and leaves the directory empty.  Returns 0 or a negative errno
 * value, printed. */
int mount_load_run(const struct mount_load *load);

#endif
