/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the program `keyfs`: finds the command and runs it. */
#include <config.h>

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "src/cmd.h"
#include "src/log.h"
#include "store/store.h"

#define NAME_MAX_COMPARED 31

const struct cmd *const cmd_table[] = {
	&cmd_mount,  &cmd_umount, &cmd_get,   &cmd_put,   &cmd_rm,
	&cmd_ls,     &cmd_sync,   &cmd_stats, &cmd_check, &cmd_repair,
	&cmd_doctor, &cmd_help,   NULL,
};

/* The least number of insertions, removals and replacements that make `a` into
 * `b` (Wagner and Fischer, 1974), row by row. */
static size_t
edit_distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_COMPARED + 1], len = strlen(b), i, j;

	if (len > NAME_MAX_COMPARED)
		return SIZE_MAX;
	for (j = 0; j <= len; j++)
		row[j] = j;
	for (i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[len];
}

static const struct cmd *
cmd_nearest(const char *name)
{
	const struct cmd *const *c, *nearest = NULL;
	size_t least = SIZE_MAX;

	for (c = cmd_table; *c != NULL; c++) {
		size_t distance = edit_distance((*c)->name, name);

		if (distance < least) {
			least = distance;
			nearest = *c;
		}
	}
	return nearest;
}

const struct cmd *
cmd_find(const char *name)
{
	const struct cmd *const *c, *nearest;

	for (c = cmd_table; *c != NULL; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	nearest = cmd_nearest(name);
	if (nearest == NULL)
		nearest = &cmd_help;
	log_error("no command \"%s\": did you mean \"%s\"? `keyfs help` lists "
		  "them",
		  name, nearest->name);
	return NULL;
}

void
cmd_version(void)
{
	printf("keyfs %s\nlibfuse %s\n", keyfs_version(), fuse_pkgversion());
}

/* An answer that did not reach its reader (a full disk, a closed pipe) is a
 * failure of the command. */
static int
flush_answer(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	log_error("standard output: write failed");
	return status == CMD_OK ? CMD_FAILED : status;
}

/* `keyfs get --help` is asked as often as `keyfs help get`; of the rest of the
 * line a "--help" may be a value to put. */
static bool
asks_for_help(int argc, char **argv)
{
	return argc == 3 &&
	       (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0);
}

/* Whether this is `helper`.keyfs or `helper`.fuse.keyfs: mount(8) looks for the
 * type that it was given, umount(8) for the one in the table of mounts. */
static bool
is_called(const char *helper)
{
	const char *name = program_invocation_short_name;
	size_t len = strlen(helper);

	return strncmp(name, helper, len) == 0 &&
	       (strcmp(name + len, ".keyfs") == 0 ||
		strcmp(name + len, ".fuse.keyfs") == 0);
}

/* Each table of a store is an open file, of 32 MiB: with the usual soft limit, 1024, a
 * store of more than 32 GiB would not open.  That limit is there for users of
 * select(2), of which this is none. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
	const struct cmd *cmd;

	raise_file_limit();

	if (is_called("mount"))
		return cmd_mount_helper(argc, argv);
	if (is_called("umount"))
		return cmd_umount_helper(argc, argv);
	if (is_called("mkfs"))
		return cmd_mkfs_helper(argc, argv);
	if (is_called("fsck"))
		return cmd_fsck_helper(argc, argv);
	if (argc < 2) {
		log_error("no command: `keyfs help` lists them");
		return CMD_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		cmd_version();
		return flush_answer(CMD_OK);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return flush_answer(cmd_help.run(argc - 1, argv + 1));
	cmd = cmd_find(argv[1]);
	if (cmd == NULL)
		return CMD_USAGE;
	if (asks_for_help(argc, argv)) {
		cmd_explain(cmd);
		return flush_answer(CMD_OK);
	}
	return flush_answer(cmd->run(argc - 1, argv + 1));
}
