/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_check.c - `keyfs check STORE`: reads everything and lists what is wrong.
 *
 * First every byte of every table against its checksum, then the tree: names,
 * inodes, link counts and contents against each other.  Changes nothing. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/ctl.h"
#include "fs/tree.h"
#include "src/cmd.h"
#include "src/log.h"

static enum keyfs_log_level log_least = KEYFS_LOG_WARNING;

static struct keyfs_options
check_options(void)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .read_only = true,
				       .label = "keyfs check",
				       .log = log_line,
				       .log_arg = &log_least };
}

static int
print_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	unsigned *count = arg;

	printf("%s: offset %" PRIu64 ": %s\n", file, offset, why);
	++*count;
	return 0;
}

static int
print_problem(void *arg, const char *path_or_key, const char *what)
{
	unsigned *count = arg;

	printf("%s: %s\n", path_or_key, what);
	++*count;
	return 0;
}

static int
check_tables(const char *path, unsigned *count)
{
	struct keyfs_options options = check_options();
	struct keyfs_store *store;
	int r, r_close;

	r = keyfs_open(path, &options, &store);
	if (r < 0)
		return r;
	r = keyfs_verify(store, print_damage, count);
	r_close = keyfs_close(store);
	return r < 0 ? r : r_close;
}

static int
check_tree(const char *path, unsigned *count)
{
	struct keyfs_options options = check_options();
	struct tree_options tree_options = { .read_only = true };
	struct tree *tree;
	struct kv *kv;
	int r;

	r = kv_open(path, &options, &kv);
	if (r < 0)
		return r;
	r = tree_open(kv, &tree_options, &tree);
	if (r == 0) {
		r = tree_check(tree, print_problem, count);
		(void)tree_close(tree); /* nothing was changed */
	}
	(void)kv_close(kv);
	return r;
}

static int
check(const char *store)
{
	unsigned count = 0;
	int r, r_tree;

	r = check_tables(store, &count);
	if (r < 0 && r != -EUCLEAN)
		return cmd_fail_store(&cmd_check, store, r);
	r_tree = check_tree(store, &count);
	if (r_tree < 0 && r_tree != -EUCLEAN)
		return cmd_fail_store(&cmd_check, store, r_tree);
	if (r == 0 && r_tree == 0) {
		puts("no damage found");
		return CMD_OK;
	}
	if (count == 0) /* it could not even be opened */
		return cmd_fail_store(&cmd_check, store, -EUCLEAN);
	log_error("check: %s: %u problems found; restore what they name from a "
		  "copy",
		  store, count);
	return CMD_DAMAGED;
}

static int
check_run(int argc, char **argv)
{
	char *mountpoint;
	int r;

	if (cmd_option(&cmd_check, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_check, "needs one store");
	r = ctl_find_mount(argv[optind], &mountpoint);
	if (r == -EXDEV)
		return cmd_fail_store(&cmd_check, argv[optind], r);
	if (r < 0)
		return check(argv[optind]);
	log_error("check: %s: it is mounted; run `keyfs umount %s` first",
		  argv[optind], mountpoint);
	free(mountpoint);
	return CMD_BUSY;
}

const struct cmd cmd_check = {
	.name = "check",
	.synopsis = "STORE",
	.summary = "Read everything in a store and list what is damaged",
	.details = "Changes nothing.  The store must not be mounted.",
	.run = check_run,
};
