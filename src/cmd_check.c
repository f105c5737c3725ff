/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_check.c - `keyfs check [--json] STORE`: reads everything and lists what is wrong.
 *
 * First every byte of every live file against its checksum: opening reads CURRENT, the
 * manifest and the logs, verifying the tables.  Then the tree: names, inodes, link counts
 * and contents against each other.  If a file is damaged, or the store cannot be opened at
 * all, what is still good is read past the damage, to say which paths lie in it.  Changes
 * nothing. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ctl.h"
#include "fs/tree_repair.h"
#include "src/check.h"
#include "src/cmd.h"
#include "src/json.h"
#include "src/log.h"

static enum keyfs_log_level log_least = KEYFS_LOG_WARNING;

struct check {
	unsigned count; /* of what was found */
	bool quiet, json;
	bool has_no_files;         /* whole, but no tree */
	struct keyfs_loss *losses; /* owned */
	size_t loss_count;
	struct keyfs_slice *doubtful; /* owned, and the keys */
	size_t doubtful_count, doubtful_room;
};

static struct keyfs_options
check_options(const struct check *check)
{
	return (struct keyfs_options){
		.size = sizeof(struct keyfs_options),
		.read_only = true,
		.label = "keyfs check",
		.log = check->quiet ? NULL : log_line,
		.log_arg = &log_least,
	};
}

/* "[" or ",", what is told, and why. */
static void
print_json(const struct check *check, const char *what, const char *text,
	   const uint64_t *offset, const char *why)
{
	printf("%s\n  {\"%s\": ", check->count > 1 ? "," : "[", what);
	json_string(stdout, text, strlen(text));
	if (offset)
		printf(", \"offset\": %" PRIu64, *offset);
	fputs(", \"why\": ", stdout);
	json_string(stdout, why, strlen(why));
	putchar('}');
}

static int
print_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	struct check *check = arg;

	check->count++;
	if (check->json)
		print_json(check, "file", file, &offset, why);
	else if (!check->quiet)
		printf("%s: offset %" PRIu64 ": %s\n", file, offset, why);
	return 0;
}

static int
print_problem(void *arg, const char *path_or_key, const char *what)
{
	struct check *check = arg;

	check->count++;
	if (check->json)
		print_json(check, "path", path_or_key, NULL, what);
	else if (!check->quiet)
		printf("%s: %s\n", path_or_key, what);
	return 0;
}

/* ---- What opens ---- */

/* *out_open: it can be opened. */
static int
check_files(const char *path, struct check *check, bool *out_open)
{
	struct keyfs_options options = check_options(check);
	struct keyfs_store *store;
	int r, r_close;

	r = keyfs_open(path, &options, &store);
	*out_open = r == 0;
	if (r < 0)
		return r;
	r = keyfs_verify(store, print_damage, check);
	r_close = keyfs_close(store);
	return r < 0 ? r : r_close;
}

/* What does not begin as a tree: one that has lost its beginning, or the keys of a
 * program that uses the library, of which only the files can be checked. */
static int
check_keys(struct kv *kv, struct check *check)
{
	struct tree_repair_options options = { .dry_run = true,
					       .problem = print_problem,
					       .arg = check };
	int r = tree_repair(kv, &options);

	if (r == -EUCLEAN) {
		check->has_no_files = true;
		return 0;
	}
	return r < 0 ? r : -EUCLEAN;
}

static int
check_tree(const char *path, struct check *check)
{
	struct keyfs_options options = check_options(check);
	struct tree_options tree_options = { .read_only = true };
	struct tree *tree;
	struct kv *kv;
	int r;

	r = kv_open(path, &options, &kv);
	if (r < 0)
		return r;
	r = tree_open(kv, &tree_options, &tree);
	if (r == 0) {
		r = tree_check(tree, print_problem, check);
		(void)tree_close(tree); /* nothing was changed */
	} else if (r == -EUCLEAN) {
		r = check_keys(kv, check);
	}
	(void)kv_close(kv);
	return r;
}

/* ---- What does not ---- */

static int
note_losses(struct keyfs_salvage *salvage, struct check *check, bool print)
{
	struct keyfs_loss loss;

	while (keyfs_salvage_loss(salvage, check->loss_count, &loss))
		check->loss_count++;
	check->losses = calloc(check->loss_count + 1, sizeof(loss));
	if (!check->losses)
		return -ENOMEM;
	for (size_t i = 0; i < check->loss_count; i++) {
		(void)keyfs_salvage_loss(salvage, i, &check->losses[i]);
		if (print)
			(void)print_damage(check, check->losses[i].file,
					   check->losses[i].offset,
					   check->losses[i].why);
	}
	return 0;
}

static int
note_doubt(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   bool doubtful)
{
	struct check *check = arg;
	struct keyfs_slice *keys = check->doubtful;
	uint8_t *copy;

	(void)value;
	if (!doubtful)
		return 0;
	if (check->doubtful_count == check->doubtful_room) {
		check->doubtful_room = check->doubtful_room * 2 + 64;
		keys = realloc(keys, check->doubtful_room * sizeof(*keys));
		if (!keys)
			return -ENOMEM;
		check->doubtful = keys;
	}
	copy = malloc(key.len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, key.data, key.len);
	keys[check->doubtful_count++] = keyfs_bytes(copy, key.len);
	return 0;
}

static int
check_paths(struct keyfs_salvage *salvage, struct check *check)
{
	struct tree_repair_options options = {
		.dry_run = true,
		.losses = check->losses,
		.loss_count = check->loss_count,
		.problem = print_problem,
		.arg = check,
	};
	struct kv *kv;
	int r = keyfs_salvage_scan(salvage, note_doubt, check);

	options.doubtful = check->doubtful;
	options.doubtful_count = check->doubtful_count;
	if (r == 0)
		r = kv_salvage_new(salvage, &kv);
	if (r < 0)
		return r;
	r = tree_repair(kv, &options);
	(void)kv_close(kv);
	/* These are the keys of another program: then the files are all to be said. */
	return r == -EUCLEAN ? 0 : r;
}

/* Reads past the damage.  `print`: the damaged places were not listed yet. */
static int
check_rest(const char *path, struct check *check, bool print)
{
	struct keyfs_options options = check_options(check);
	struct keyfs_salvage *salvage;
	int r;

	/* Each file is complained of in the list. */
	options.log = NULL;
	r = keyfs_salvage_open(path, &options, &salvage);
	if (r < 0)
		return r;
	r = note_losses(salvage, check, print);
	if (r == 0)
		r = check_paths(salvage, check);
	for (size_t i = 0; i < check->doubtful_count; i++)
		free((void *)(uintptr_t)check->doubtful[i].data);
	free(check->doubtful);
	free(check->losses);
	keyfs_salvage_close(salvage);
	return r;
}

/* ---- The whole ---- */

int
check_quietly(const char *store)
{
	struct check check = { .quiet = true };
	bool opened;
	int r = check_files(store, &check, &opened);

	return r < 0 ? r : check_tree(store, &check);
}

bool
check_is_damage(int r)
{
	return r == -EUCLEAN || r == -EIO;
}

/* What people read, or the end of what programs do; an empty list says that there is
 * nothing to list, not that nothing could be read. */
static void
print_end(const struct check *check, bool whole)
{
	if (check->json && check->count)
		puts("\n]");
	else if (check->json && whole)
		puts("[]");
	else if (whole)
		puts(check->has_no_files
			     ? "no damage found; it holds keys, and no files"
			     : "no damage found");
}

static int
check(const char *store, bool json)
{
	struct check check = { .json = json };
	bool opened;
	int r = check_files(store, &check, &opened);

	/* A search that an unreadable sector has ended is done again past it. */
	if (r == 0)
		r = check_tree(store, &check);
	else if (check_is_damage(r) &&
		 check_rest(store, &check, !opened || r == -EIO) < 0)
		log_error("check: %s: not all of it could be read", store);
	print_end(&check, r == 0);
	if (r == 0)
		return CMD_OK;
	if (!check_is_damage(r))
		return cmd_fail_store(&cmd_check, store, r);
	log_error("check: %s: %u problems found; `keyfs repair %s` saves what "
		  "is good",
		  store, check.count, store);
	return CMD_DAMAGED;
}

int
check_command(const char *store, bool json)
{
	char *mountpoint;
	int r = ctl_find_mount(store, &mountpoint);

	if (r == -EXDEV)
		return cmd_fail_store(&cmd_check, store, r);
	if (r < 0)
		return check(store, json);
	log_error("check: %s: it is mounted; run `keyfs umount %s` first",
		  store, mountpoint);
	free(mountpoint);
	return CMD_BUSY;
}

static int
check_run(int argc, char **argv)
{
	bool json;

	if (cmd_option_json(&cmd_check, argc, argv, &json) != CMD_OK)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_check, "needs one store");
	return check_command(argv[optind], json);
}

const struct cmd cmd_check = {
	.name = "check",
	.synopsis = "[--json] STORE",
	.summary = "Read everything in a store and list what is damaged",
	.details = "Names the paths that lie in the damage.  Changes nothing.  "
		   "The store must not be mounted.",
	.run = check_run,
};
