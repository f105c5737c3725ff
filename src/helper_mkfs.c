/* SPDX-License-Identifier: Apache-2.0 */
/* helper_mkfs.c - mkfs.keyfs [-qV] STORE: makes an empty store, for those who look for
 * that name; mounting makes one too.  It never makes one over another. */
#include <config.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/tree.h"
#include "src/cmd.h"
#include "src/log.h"
#include "store/store.h"

/* For messages only. */
static const struct cmd mkfs = { .name = "mkfs.keyfs",
				 .synopsis = "[-qV] STORE" };

static enum keyfs_log_level log_least = KEYFS_LOG_WARNING;

static int
make_store(const char *store)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .must_create = true,
					 .label = "mkfs.keyfs",
					 .log = log_line,
					 .log_arg = &log_least };
	struct tree_options tree_options = { .root_uid = getuid(),
					     .root_gid = getgid() };
	struct tree *tree;
	struct kv *kv;
	int r = kv_open(store, &options, &kv), r_close;

	if (r < 0)
		return r;
	r = tree_open(kv, &tree_options, &tree);
	if (r == 0)
		r = tree_close(tree);
	r_close = kv_close(kv);
	return r < 0 ? r : r_close;
}

int
cmd_mkfs_helper(int argc, char **argv)
{
	bool quiet = false;
	int option, r;

	while ((option = cmd_option(&mkfs, argc, argv, "qV", NULL)) != -1) {
		if (option == '?')
			return CMD_MKFS_USAGE;
		quiet |= option == 'q';
		if (option == 'V')
			printf("mkfs.keyfs %s\n", keyfs_version());
	}
	if (argc - optind != 1) {
		cmd_usage(&mkfs, "needs one store");
		return CMD_MKFS_USAGE;
	}
	r = make_store(argv[optind]);
	if (r == -EEXIST)
		log_error("mkfs.keyfs: %s: there is a store already; nothing "
			  "was changed",
			  argv[optind]);
	else if (r < 0)
		(void)cmd_fail_store(&mkfs, argv[optind], r);
	else if (!quiet)
		printf("made an empty store in %s\n", argv[optind]);
	return r < 0 ? CMD_MKFS_FAILED : 0;
}
