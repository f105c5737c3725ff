/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.h - what a command is, and what its exit status says.
 *
 * Each command is one file, cmd_NAME.c, that defines one `struct cmd`; the table
 * of them is in main.c.  One thread. */
#ifndef SRC_CMD_H
#define SRC_CMD_H

#include <stddef.h>

/* Exit statuses; scripts test them: never renumber. */
enum cmd_status {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
	CMD_NOT_FOUND = 3, /* no such store, key or path */
	CMD_BUSY = 4,      /* another process has the store */
	CMD_DAMAGED = 5,
	CMD_NEWER = 6, /* the store was made by a newer version */
	CMD_FULL = 7,  /* no space left */
};

struct cmd {
	const char *name;
	const char *synopsis; /* what follows the name; "" for nothing */
	const char *summary;  /* one line, no full stop */
	const char *details;  /* lines for `keyfs help NAME`; "" for none */

	/* Runs with argv[0] the command's name; returns an exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_help;

/* All commands, in the order in which help lists them; ends with NULL. */
extern const struct cmd *const cmd_table[];

/* The command of that name, or NULL after a message that names the nearest. */
const struct cmd *cmd_find(const char *name);

#endif
