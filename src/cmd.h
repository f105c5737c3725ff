/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.h - what a command is, what its exit status says, and how it reports.
 *
 * Each command is one file, cmd_NAME.c, that defines one `struct cmd`; the table
 * of them is in main.c.  One thread. */
#ifndef SRC_CMD_H
#define SRC_CMD_H

#include <getopt.h>
#include <stdbool.h>
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

/* Exit statuses of the helpers of mount(8) and umount(8), which hand them on. */
#define CMD_HELPER_USAGE 1
#define CMD_HELPER_FAILED 32
/* Those of mkfs(8), and of fsck(8): bits of one number. */
#define CMD_MKFS_FAILED 8
#define CMD_MKFS_USAGE 16
#define CMD_FSCK_CORRECTED 1
#define CMD_FSCK_UNCORRECTED 4
#define CMD_FSCK_FAILED 8
#define CMD_FSCK_USAGE 16

struct cmd {
	const char *name;
	const char *synopsis; /* what follows the name; "" for nothing */
	const char *summary;  /* one line, no full stop */
	const char *details;  /* lines for `keyfs help NAME`; "" for none */
	void (*more)(void);   /* prints what follows them; NULL: nothing does */

	/* Runs with argv[0] the command's name; returns an exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct cmd cmd_check;
extern const struct cmd cmd_doctor;
extern const struct cmd cmd_get;
extern const struct cmd cmd_help;
extern const struct cmd cmd_ls;
extern const struct cmd cmd_mount;
extern const struct cmd cmd_put;
extern const struct cmd cmd_repair;
extern const struct cmd cmd_rm;
extern const struct cmd cmd_stats;
extern const struct cmd cmd_sync;
extern const struct cmd cmd_umount;

/* All commands, in the order in which help lists them; ends with NULL. */
extern const struct cmd *const cmd_table[];

/* The command of that name, or NULL after a message that names the nearest. */
const struct cmd *cmd_find(const char *name);

/* What `keyfs help NAME` prints. */
void cmd_explain(const struct cmd *cmd);

/* What `keyfs --version` prints. */
void cmd_version(void);

/* Run as the helpers of mount(8) and umount(8), with the arguments and exit
 * statuses that those expect. */
int cmd_mount_helper(int argc, char **argv);
int cmd_umount_helper(int argc, char **argv);
/* And of mkfs(8) and fsck(8). */
int cmd_mkfs_helper(int argc, char **argv);
int cmd_fsck_helper(int argc, char **argv);

/* ---- For the commands ---- */

/* The next option, as getopt_long(3), '?' after a message; -1 at the end: optind
 * is then the first argument. */
int cmd_option(const struct cmd *cmd, int argc, char **argv,
	       const char *short_options, const struct option *long_options);

/* All options of a command that has --json and no other.  CMD_USAGE: after a message. */
int cmd_option_json(const struct cmd *cmd, int argc, char **argv, bool *out);

/* A message about the command line, then the synopsis; returns CMD_USAGE. */
int cmd_usage(const struct cmd *cmd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A message that the command failed on a path inside the store with the error
 * `r`, why, and what to do; returns the exit status. */
int cmd_fail(const struct cmd *cmd, const char *path, int r);

/* The same where opening the store in directory `store` failed. */
int cmd_fail_store(const struct cmd *cmd, const char *store, int r);

/* path_clean() with a message; returns an exit status.  The caller frees *out. */
int cmd_path(const struct cmd *cmd, const char *given, char **out);

struct files;

/* files_open() with a message; returns an exit status. */
int cmd_open(const struct cmd *cmd, const char *store, bool read_only,
	     struct files **out);

/* files_close() with a message; returns `status`, or the failure's if that was
 * CMD_OK. */
int cmd_close(const struct cmd *cmd, const char *store, struct files *files,
	      int status);

#endif
