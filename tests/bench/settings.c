/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - options and their defaults; see settings.h. */
#include <config.h>

#include "tests/bench/settings.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/dataset.h"
#include "tests/bench/workload.h"

#define COUNT_MAX (UINT64_C(1) << 40)
#define ROUNDS_MAX 1000

static const char usage[] =
	"usage: store_bench [OPTION]...\n"
	"  --dir=DIR        where the data goes; made, and removed at the end\n"
	"                   (default: bench-data)\n"
	"  --keys=N         entries of each value size (default: 1 million of\n"
	"                   100 bytes and 200 thousand of 1000)\n"
	"  --full           5 million and 1 million\n"
	"  --value=BYTES    this value size only\n"
	"  --reads=N        reads of each reading workload (default: 100000)\n"
	"  --syncs=N        durable puts of one thread (default: 4000)\n"
	"  --rounds=N       (default: 3)\n"
	"  --engines=A,B    (default: all but lmdb-single)\n"
	"  --only=A,B       workloads; those that they need run too, "
	"unmeasured\n"
	"  --csv=FILE       appends each sample as a line:\n"
	"                   title,row,unit,engine,round,value\n";

static bool
choose_engines(struct settings *settings, char *names)
{
	char *save = NULL;

	for (char *name = strtok_r(names, ",", &save); name;
	     name = strtok_r(NULL, ",", &save)) {
		const struct engine_ops *ops = engine_find(name);

		if (!ops || settings->engine_count == ENGINES_MAX) {
			fprintf(stderr, "store_bench: no engine %s\n", name);
			engine_print_missing();
			return false;
		}
		settings->engines[settings->engine_count++] = ops;
	}
	return true;
}

static void
choose_default_engines(struct settings *settings)
{
	for (size_t i = 0; engine_list[i]; i++)
		if (strcmp(engine_list[i]->name, "lmdb-single") != 0)
			settings->engines[settings->engine_count++] =
				engine_list[i];
}

static bool
parse_number(const char *text, uint64_t most, uint64_t *out)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value == 0 || value > most) {
		fprintf(stderr,
			"store_bench: %s is not a number from 1 to %" PRIu64
			"\n",
			text, most);
		return false;
	}
	*out = value;
	return true;
}

static bool
parse_option(struct settings *settings, int option, char *value)
{
	uint64_t number = 0;
	bool good = true;

	switch (option) {
	case 'd':
		settings->dir = value;
		return true;
	case 'o':
		settings->only = value;
		return workload_names_valid(value);
	case 'c':
		settings->csv_path = value;
		return true;
	case 'e':
		return choose_engines(settings, value);
	case 'f':
		settings->full = true;
		settings->reads = 300000;
		return true;
	case 'k':
		return parse_number(value, COUNT_MAX, &settings->keys);
	case 'n':
		return parse_number(value, COUNT_MAX, &settings->reads);
	case 's':
		return parse_number(value, COUNT_MAX, &settings->syncs);
	case 'v':
		good = parse_number(value, DATASET_POOL_LEN / 2, &number);
		settings->value_len = (size_t)number;
		return good;
	case 'r':
		good = parse_number(value, ROUNDS_MAX, &number);
		settings->rounds = (unsigned)number;
		return good;
	}
	fputs(usage, option == 'h' ? stdout : stderr);
	exit(option == 'h' ? EXIT_SUCCESS : 2);
}

bool
settings_parse(struct settings *settings, int argc, char **argv)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "keys", required_argument, NULL, 'k' },
		{ "full", no_argument, NULL, 'f' },
		{ "value", required_argument, NULL, 'v' },
		{ "reads", required_argument, NULL, 'n' },
		{ "syncs", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "engines", required_argument, NULL, 'e' },
		{ "only", required_argument, NULL, 'o' },
		{ "csv", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*settings = (struct settings){
		.dir = "bench-data",
		.reads = 100000,
		.syncs = 4000,
		.rounds = 3,
	};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!parse_option(settings, option, optarg))
			return false;
	if (optind < argc) {
		fputs(usage, stderr);
		return false;
	}
	if (settings->engine_count == 0)
		choose_default_engines(settings);
	return true;
}
