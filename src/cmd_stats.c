/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_stats.c - `keyfs stats [--json] STORE`: prints the statistics of a store. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "src/cmd.h"
#include "src/files.h"

static int
stats(const char *store, bool json)
{
	struct files *files;
	char *text;
	int r, status;

	status = cmd_open(&cmd_stats, store, true, &files);
	if (status != CMD_OK)
		return status;
	r = files_stats(files, json, &text);
	if (r < 0) {
		status = cmd_fail_store(&cmd_stats, store, r);
	} else {
		fputs(text, stdout);
		free(text);
	}
	return cmd_close(&cmd_stats, store, files, status);
}

static int
stats_run(int argc, char **argv)
{
	bool json;

	if (cmd_option_json(&cmd_stats, argc, argv, &json) != CMD_OK)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_stats, "needs one store");
	return stats(argv[optind], json);
}

const struct cmd cmd_stats = {
	.name = "stats",
	.synopsis = "[--json] STORE",
	.summary = "Print what a store holds and has done",
	.details = "Of a mounted store since it was mounted, otherwise since "
		   "the command opened it.",
	.run = stats_run,
};
