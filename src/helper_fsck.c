/* SPDX-License-Identifier: Apache-2.0 */
/* helper_fsck.c - fsck.keyfs [-anpyfV] [-C FD] STORE: `keyfs check`, and `keyfs repair`
 * with -y, with the options and exit statuses of fsck(8).
 *
 * With -a or -p, as at every boot, nothing is done unless -f says so: opening a store
 * brings it up to date after a crash, and reading all of it takes long. */
#include <config.h>

#include <stdbool.h>
#include <stdio.h>

#include "src/check.h"
#include "src/cmd.h"

/* For messages only. */
static const struct cmd fsck = { .name = "fsck.keyfs",
				 .synopsis = "[-anpyfV] [-C FD] STORE" };

struct line {
	bool preen, yes, no, force;
};

static bool
take(struct line *line, int option)
{
	switch (option) {
	case 'a':
	case 'p':
		line->preen = true;
		return true;
	case 'f':
		line->force = true;
		return true;
	case 'n':
		line->no = true;
		return true;
	case 'y':
		line->yes = true;
		return true;
	case 'V':
		printf("fsck.keyfs %s\n", keyfs_version());
		return true;
	case 'C': /* where progress would go */
		return true;
	}
	return false;
}

static int
run(const struct line *line, const char *store)
{
	int status = check_command(store, false);

	if (status == CMD_OK)
		return 0;
	if (status != CMD_DAMAGED)
		return CMD_FSCK_FAILED;
	if (!line->yes || line->no)
		return CMD_FSCK_UNCORRECTED;
	return repair_command(store) == CMD_OK ? CMD_FSCK_CORRECTED
					       : CMD_FSCK_UNCORRECTED;
}

int
cmd_fsck_helper(int argc, char **argv)
{
	struct line line = { .preen = false };
	int option;

	while ((option = cmd_option(&fsck, argc, argv, "anpyfVC:", NULL)) != -1)
		if (!take(&line, option))
			return CMD_FSCK_USAGE;
	if (argc - optind != 1) {
		cmd_usage(&fsck, "needs one store");
		return CMD_FSCK_USAGE;
	}
	if (line.preen && !line.force)
		return 0;
	return run(&line, argv[optind]);
}
