/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - the command line of store_bench. */
#ifndef TESTS_BENCH_SETTINGS_H
#define TESTS_BENCH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/engine.h"

#define ENGINES_MAX 8

struct settings {
	const char *dir, *only, *csv_path;
	uint64_t keys; /* 0: as many as suits the value size */
	uint64_t reads, syncs;
	size_t value_len; /* 0: both */
	unsigned rounds;
	bool full;
	const struct engine_ops *engines[ENGINES_MAX];
	size_t engine_count;
};

/* Fills in defaults, then what is asked for.  False: something is wrong, which was
 * printed.  --help ends the program. */
bool settings_parse(struct settings *settings, int argc, char **argv);

#endif
