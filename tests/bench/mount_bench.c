/* SPDX-License-Identifier: Apache-2.0 */
/* mount_bench.c - compares mounted directories on the same file calls.
 *
 * The directories take turns (A B C A B C ...).  Each is used through a directory
 * of its own inside it, removed at the end. */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/mount_load.h"
#include "tests/bench/report.h"
#include "tests/bench/usage.h"

#define TARGETS_MAX 8

static const char usage[] =
	"usage: mount_bench [OPTION]... LABEL=DIR...\n"
	"  --clients=N      threads that make file calls (default: 1)\n"
	"  --dirs=N         directories (default: 100)\n"
	"  --files=N        files in each (default: 200)\n"
	"  --size=BYTES     of each file (default: 200)\n"
	"  --syncs=N        durable writes (default: 1000)\n"
	"  --appends=N      appended records of 100 bytes (default: 50000)\n"
	"  --megabytes=N    of the large file of each client (default: 256)\n"
	"  --rounds=N       (default: 3)\n"
	"  --cold           phases without the kernel's caches too (root)\n"
	"  --only=A,B       phases; those that they need run too, unmeasured\n"
	"  --rival=LABEL    what the first is compared with (default: the "
	"second)\n"
	"  --csv=FILE       appends each sample as a line:\n"
	"                   title,row,unit,label,round,value\n";

struct target {
	const char *label;
	char root[4096];
};

struct bench {
	struct mount_load load; /* but for root and sample */
	struct target targets[TARGETS_MAX];
	size_t target_count;
	unsigned rounds;
	const char *rival, *csv_path;
	struct report *report;
	size_t column; /* of the target that runs */
};

static void
take_sample(void *arg, const char *row, enum report_unit unit, double value)
{
	struct bench *bench = arg;
	char number[32];

	report_add(bench->report, row, unit, bench->column, value);
	report_number(number, sizeof(number), unit, value);
	fprintf(stderr, "  %-12s %-24s %10s\n",
		bench->targets[bench->column].label, row, number);
}

static int
complain(const char *what, int error)
{
	fprintf(stderr, "mount_bench: %s: %s\n", what, strerror(error));
	return -error;
}

static int
run_target(struct bench *bench, size_t column)
{
	const char *root = bench->targets[column].root;
	int r;

	bench->column = column;
	bench->load.root = root;
	if (mkdir(root, 0755))
		return complain(root, errno);
	r = mount_load_run(&bench->load);
	if (usage_remove_tree(root) && r == 0)
		r = complain(root, ENOTEMPTY);
	return r;
}

static void
report_begin(struct bench *bench)
{
	const char *names[TARGETS_MAX];
	int rival[TARGETS_MAX] = { 0 };
	const struct mount_load *l = &bench->load;
	char title[160];

	for (size_t i = 0; i < bench->target_count; i++) {
		names[i] = bench->targets[i].label;
		rival[i] = i > 0 &&
			   (bench->rival ? strcmp(names[i], bench->rival) == 0
					 : i == 1);
	}
	snprintf(title, sizeof(title),
		 "%u clients; %u files of %zu bytes in %u directories",
		 l->clients, l->files * l->directories, l->size,
		 l->directories);
	bench->report = report_new(title, bench->target_count, names, rival);
}

static void
report_end(struct bench *bench)
{
	FILE *csv;

	report_print(bench->report, stdout);
	if (bench->csv_path) {
		csv = fopen(bench->csv_path, "ae");
		if (csv) {
			report_print_csv(bench->report, csv);
			(void)fclose(csv);
		} else {
			(void)complain(bench->csv_path, errno);
		}
	}
	report_free(bench->report);
}

static bool
parse_number(const char *text, unsigned most, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || value == 0 || value > most) {
		fprintf(stderr,
			"mount_bench: %s is not a number from 1 to %u\n", text,
			most);
		return false;
	}
	*out = (unsigned)value;
	return true;
}

static bool
parse_target(struct bench *bench, char *text)
{
	struct target *target = &bench->targets[bench->target_count];
	char *dir = strchr(text, '=');

	if (!dir || bench->target_count == TARGETS_MAX) {
		fputs(usage, stderr);
		return false;
	}
	*dir++ = '\0';
	target->label = text;
	snprintf(target->root, sizeof(target->root), "%s/mount_bench.%ld", dir,
		 (long)getpid());
	bench->target_count++;
	return true;
}

static bool
parse_option(struct bench *bench, int option, const char *value)
{
	struct mount_load *load = &bench->load;
	unsigned size;

	switch (option) {
	case 'c':
		return parse_number(value, MOUNT_CLIENTS_MAX, &load->clients);
	case 'd':
		return parse_number(value, 9999, &load->directories);
	case 'f':
		return parse_number(value, 999999, &load->files);
	case 's':
		if (!parse_number(value, 1u << 20, &size))
			return false;
		load->size = size;
		return true;
	case 'y':
		return parse_number(value, 999999, &load->syncs);
	case 'a':
		return parse_number(value, 1u << 30, &load->appends);
	case 'm':
		return parse_number(value, 1u << 20, &load->megabytes);
	case 'r':
		return parse_number(value, 1000, &bench->rounds);
	case 'k':
		load->cold = true;
		return true;
	case 'o':
		load->only = value;
		return mount_names_valid(value);
	case 'v':
		bench->rival = value;
		return true;
	case 'x':
		bench->csv_path = value;
		return true;
	}
	fputs(usage, option == 'h' ? stdout : stderr);
	exit(option == 'h' ? EXIT_SUCCESS : 2);
}

static bool
parse_options(struct bench *bench, int argc, char **argv)
{
	static const struct option options[] = {
		{ "clients", required_argument, NULL, 'c' },
		{ "dirs", required_argument, NULL, 'd' },
		{ "files", required_argument, NULL, 'f' },
		{ "size", required_argument, NULL, 's' },
		{ "syncs", required_argument, NULL, 'y' },
		{ "appends", required_argument, NULL, 'a' },
		{ "megabytes", required_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "cold", no_argument, NULL, 'k' },
		{ "only", required_argument, NULL, 'o' },
		{ "rival", required_argument, NULL, 'v' },
		{ "csv", required_argument, NULL, 'x' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!parse_option(bench, option, optarg))
			return false;
	for (int i = optind; i < argc; i++)
		if (!parse_target(bench, argv[i]))
			return false;
	if (bench->target_count == 0)
		fputs(usage, stderr);
	return bench->target_count > 0;
}

/* A target without results is worth no table, so the first failure ends all. */
static int
run_all(struct bench *bench)
{
	int r = 0;

	for (unsigned round = 0; round < bench->rounds && r == 0; round++) {
		fprintf(stderr, "round %u of %u\n", round + 1, bench->rounds);
		for (size_t i = 0; i < bench->target_count && r == 0; i++)
			r = run_target(bench, i);
	}
	return r;
}

int
main(int argc, char **argv)
{
	static struct bench bench = {
		.load = {
			.clients = 1,
			.directories = 100,
			.files = 200,
			.size = 200,
			.syncs = 1000,
			.appends = 50000,
			.megabytes = 256,
			.sample = take_sample,
		},
		.rounds = 3,
	};
	int r;

	bench.load.sample_arg = &bench;
	if (!parse_options(&bench, argc, argv))
		return 2;
	/* Each client needs a directory for the files that it syncs. */
	if (bench.load.directories < bench.load.clients)
		bench.load.directories = bench.load.clients;
	report_begin(&bench);
	r = run_all(&bench);
	report_end(&bench);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
