/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_help.c - `keyfs help [COMMAND]`: lists the commands or explains one. */
#include <config.h>

#include "src/cmd.h"

#include <stdio.h>

#include "src/log.h"

static void
help_list(void)
{
	const struct cmd *const *c;

	puts("Usage: keyfs COMMAND [ARGUMENT]...\n"
	     "A filesystem that is a key-value store.\n");
	for (c = cmd_table; *c != NULL; c++)
		printf("  %-8s %s\n", (*c)->name, (*c)->summary);
	puts("\n`keyfs help COMMAND` explains one; `keyfs --version` names "
	     "the\n"
	     "versions; keyfs(1) and mount.keyfs(8) have the rest.");
}

void
cmd_explain(const struct cmd *cmd)
{
	printf("Usage: keyfs %s %s\n%s.\n", cmd->name, cmd->synopsis,
	       cmd->summary);
	if (cmd->details[0] != '\0')
		printf("\n%s\n", cmd->details);
	if (cmd->more != NULL)
		cmd->more();
}

static int
help_run(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc > 2) {
		log_error("help: one command at a time");
		return CMD_USAGE;
	}
	if (argc < 2) {
		help_list();
		return CMD_OK;
	}
	cmd = cmd_find(argv[1]);
	if (cmd == NULL)
		return CMD_USAGE;
	cmd_explain(cmd);
	return CMD_OK;
}

const struct cmd cmd_help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.summary = "List the commands or explain one",
	.details = "",
	.run = help_run,
};
