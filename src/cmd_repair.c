/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_repair.c - `keyfs repair STORE`: saves what is good of a damaged store.
 *
 * The library writes what can be read into a new store, the tree is made whole in it, and
 * only then the two change places.  What was lost is listed on standard output. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/ctl.h"
#include "fs/tree_repair.h"
#include "src/check.h"
#include "src/cmd.h"
#include "src/log.h"

static enum keyfs_log_level log_least = KEYFS_LOG_WARNING;

struct repairing {
	struct keyfs_loss
		*losses; /* owned; what they point to is the library's */
	size_t loss_count;
	struct keyfs_slice *doubtful; /* owned, and the keys */
	size_t doubtful_count;
	bool no_memory;
	bool terminal; /* somebody watches */
};

/* ---- What the library tells ---- */

/* Room for one more; NULL: none, which is said at the end. */
static void *
grow(struct repairing *repairing, void *array, size_t count, size_t size)
{
	void *more = array;

	/* By doubling: a power of two is full. */
	if ((count & (count - 1)) == 0)
		more = realloc(array, (count ? 2 * count : 1) * size);
	repairing->no_memory |= !more;
	return more;
}

static void
note_loss(void *arg, const struct keyfs_loss *loss)
{
	struct repairing *repairing = arg;
	struct keyfs_loss *losses =
		grow(repairing, repairing->losses, repairing->loss_count,
		     sizeof(*losses));

	printf("%s: offset %" PRIu64 ": %s\n", loss->file, loss->offset,
	       loss->why);
	if (!losses)
		return;
	repairing->losses = losses;
	losses[repairing->loss_count++] = *loss;
}

static void
note_doubt(void *arg, struct keyfs_slice key)
{
	struct repairing *repairing = arg;
	struct keyfs_slice *keys =
		grow(repairing, repairing->doubtful, repairing->doubtful_count,
		     sizeof(*keys));
	void *copy = malloc(key.len);

	if (!keys || !copy) {
		repairing->no_memory = true;
		repairing->doubtful = keys ? keys : repairing->doubtful;
		free(copy);
		return;
	}
	repairing->doubtful = keys;
	keys[repairing->doubtful_count++] =
		keyfs_bytes(memcpy(copy, key.data, key.len), key.len);
}

static void
show_progress(void *arg, uint64_t bytes)
{
	struct repairing *repairing = arg;

	if (repairing->terminal)
		fprintf(stderr, "\r%.1f MiB saved ", (double)bytes / (1 << 20));
}

static int
print_problem(void *arg, const char *path, const char *what)
{
	(void)arg;
	printf("%s: %s\n", path, what);
	return 0;
}

/* ---- The tree in the new store ---- */

static int
check_again(struct kv *kv)
{
	struct tree_options options = { .read_only = true };
	struct tree *tree;
	int r = tree_open(kv, &options, &tree);

	if (r < 0)
		return r;
	r = tree_check(tree, print_problem, NULL);
	(void)tree_close(tree); /* nothing was changed */
	return r;
}

static int
finish(void *arg, const char *path)
{
	struct repairing *repairing = arg;
	struct keyfs_options options = { .size = sizeof(options),
					 .label = "keyfs repair",
					 .log = log_line,
					 .log_arg = &log_least };
	struct tree_repair_options tree_options = {
		.losses = repairing->losses,
		.loss_count = repairing->loss_count,
		.doubtful = repairing->doubtful,
		.doubtful_count = repairing->doubtful_count,
		.problem = print_problem,
	};
	struct kv *kv;
	int r, r_close;

	if (repairing->terminal)
		fputc('\n', stderr);
	r = kv_open(path, &options, &kv);
	if (r < 0)
		return r;
	r = tree_repair(kv, &tree_options);
	if (r == -EUCLEAN) {
		printf("there are no files in it: its keys are saved as they "
		       "are\n");
		r = 0;
	} else if (r == 0) {
		r = check_again(kv);
	}
	r_close = kv_close(kv);
	return r < 0 ? r : r_close;
}

/* ---- The command ---- */

static int
repair(const char *store)
{
	struct repairing repairing = { .terminal = isatty(STDERR_FILENO) };
	struct keyfs_repair_options options = { .size = sizeof(options),
						.log = log_line,
						.log_arg = &log_least,
						.lost = note_loss,
						.doubtful = note_doubt,
						.progress = show_progress,
						.finish = finish,
						.arg = &repairing };
	char *kept = NULL;
	int r = keyfs_repair(store, &options, &kept);

	for (size_t i = 0; i < repairing.doubtful_count; i++)
		free((void *)(uintptr_t)repairing.doubtful[i].data);
	free(repairing.doubtful);
	free(repairing.losses);
	if (r == -EOPNOTSUPP) {
		log_error("repair: %s: its filesystem cannot exchange two "
			  "directories; copy the store to another one and "
			  "repair it there",
			  store);
		return CMD_FAILED;
	}
	if (r < 0)
		return cmd_fail_store(&cmd_repair, store, r);
	if (repairing.no_memory)
		log_error("repair: %s: no memory to list everything", store);
	printf("repaired; the damaged store is kept in %s\n", kept);
	free(kept);
	return CMD_OK;
}

int
repair_command(const char *store)
{
	char *mountpoint;
	int r = ctl_find_mount(store, &mountpoint);

	if (r == -EXDEV)
		return cmd_fail_store(&cmd_repair, store, r);
	if (r == 0) {
		log_error("repair: %s: it is mounted; run `keyfs umount %s` "
			  "first",
			  store, mountpoint);
		free(mountpoint);
		return CMD_BUSY;
	}
	r = check_quietly(store);
	if (r == 0) {
		puts("no damage found: nothing to repair");
		return CMD_OK;
	}
	if (!check_is_damage(r))
		return cmd_fail_store(&cmd_repair, store, r);
	return repair(store);
}

static int
repair_run(int argc, char **argv)
{
	if (cmd_option(&cmd_repair, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 1)
		return cmd_usage(&cmd_repair, "needs one store");
	return repair_command(argv[optind]);
}

const struct cmd cmd_repair = {
	.name = "repair",
	.synopsis = "STORE",
	.summary = "Save what is good of a damaged store and list what is lost",
	.details = "The damaged store is kept in STORE.damaged-N.  The store "
		   "must not be mounted.",
	.run = repair_run,
};
