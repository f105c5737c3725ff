/* SPDX-License-Identifier: Apache-2.0 */
/* repair.c - see repair.h. */
#include <config.h>

#include "store/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/salvage.h"

/* Stores beside a store that a new name is looked for among. */
#define NAMES_MAX 1000u
/* Changes are committed in batches of about so many bytes. */
#define BATCH_BYTES ((size_t)256 << 10)

struct repair {
	struct env *env;
	const char *path;
	const struct keyfs_repair_options *options;
	struct reporter reporter;
	struct keyfs_salvage *salvage; /* owned */
	char *new_path, *kept_path;    /* owned */
	bool made;                     /* new_path is ours */

	/* While it is being filled. */
	struct keyfs_store *store; /* owned */
	struct keyfs_batch *batch; /* owned */
	uint64_t bytes;
};

/* ---- Names ---- */

static char *
name_beside(const struct repair *repair, const char *what, unsigned n)
{
	size_t len = strlen(repair->path);
	char *name;

	while (len > 1 && repair->path[len - 1] == '/')
		len--;
	if (asprintf(&name, "%.*s.%s-%u", (int)len, repair->path, what, n) < 0)
		return NULL;
	return name;
}

/* Whatever has that name, a store or not: it is taken. */
static bool
is_free(const struct repair *repair, const char *path)
{
	struct env_dir *dir;
	int r = env_dir_open(repair->env, path, 0, &dir);

	if (r == 0)
		env_dir_close(dir);
	return r == -ENOENT;
}

static int
find_names(struct repair *repair)
{
	unsigned n;

	for (n = 1; n <= NAMES_MAX; n++) {
		free(repair->new_path);
		free(repair->kept_path);
		repair->new_path = name_beside(repair, "repair", n);
		repair->kept_path = name_beside(repair, "damaged", n);
		if (!repair->new_path || !repair->kept_path)
			return -ENOMEM;
		if (is_free(repair, repair->new_path) &&
		    is_free(repair, repair->kept_path))
			return 0;
	}
	return -EEXIST;
}

/* ---- Filling the new store ---- */

static int
commit(struct repair *repair)
{
	const struct keyfs_repair_options *o = repair->options;
	int r = keyfs_commit(repair->store, repair->batch, 0, NULL);

	keyfs_batch_clear(repair->batch);
	if (r == 0 && o->progress)
		o->progress(o->arg, repair->bytes);
	return r;
}

/* A crafted table may hold what no store takes. */
static void
refuse(const struct repair *repair, struct keyfs_slice key)
{
	struct keyfs_loss loss = {
		.file = "a key",
		.why = "it or its value is out of the limits",
		.has_keys = true,
		.lower = key,
		.upper = key
	};

	if (repair->options->lost)
		repair->options->lost(repair->options->arg, &loss);
}

static int
save(void *arg, struct keyfs_slice key, struct keyfs_slice value, bool doubtful)
{
	struct repair *repair = arg;
	const struct keyfs_repair_options *o = repair->options;

	if (key.len < 1 || key.len > KEYFS_KEY_MAX ||
	    value.len > KEYFS_VALUE_MAX) {
		refuse(repair, key);
		return 0;
	}
	if (doubtful && o->doubtful)
		o->doubtful(o->arg, key);
	keyfs_batch_put(repair->batch, NULL, key, value);
	repair->bytes += key.len + value.len;
	if (keyfs_batch_bytes(repair->batch) < BATCH_BYTES)
		return 0;
	return commit(repair);
}

static int
fill(struct repair *repair, const struct keyfs_options *shape)
{
	struct keyfs_options options = { .size = sizeof(options) };
	int r, r_close;

	if (shape)
		options = *shape;
	options.create = options.must_create = true;
	options.read_only = false;
	options.label = "keyfs repair";
	options.log = repair->options->log;
	options.log_arg = repair->options->log_arg;
	repair->made = true;
	r = db_open(repair->env, repair->new_path, &options, &repair->store);
	if (r < 0)
		return r;
	r = keyfs_batch_new(&repair->batch);
	if (r == 0)
		r = keyfs_salvage_scan(repair->salvage, save, repair);
	if (r == 0)
		r = commit(repair);
	keyfs_batch_free(repair->batch);
	/* All of it is durable when it is closed. */
	r_close = keyfs_close(repair->store);
	return r < 0 ? r : r_close;
}

/* ---- The exchange ---- */

static int
exchange(struct repair *repair)
{
	int r = env_dir_exchange(repair->env, repair->path, repair->new_path);

	if (r < 0)
		return r;
	/* From here on new_path is the damaged store, and never ours to remove. */
	repair->made = false;
	r = env_dir_rename(repair->env, repair->new_path, repair->kept_path);
	if (r < 0)
		report(&repair->reporter, KEYFS_LOG_WARNING,
		       "the damaged store stays in %s: %s", repair->new_path,
		       strerror(-r));
	return 0;
}

static int
remove_file(void *arg, const char *name)
{
	(void)env_unlink(arg, name);
	return 0;
}

/* An attempt that failed leaves nothing behind. */
static void
remove_new(struct repair *repair)
{
	struct env_dir *dir;

	if (!repair->made ||
	    env_dir_open(repair->env, repair->new_path, 0, &dir) < 0)
		return;
	(void)env_dir_list(dir, remove_file, dir);
	env_dir_close(dir);
	(void)env_dir_remove(repair->env, repair->new_path);
}

/* ---- The whole ---- */

static void
tell_losses(const struct repair *repair)
{
	const struct keyfs_repair_options *o = repair->options;
	struct keyfs_loss loss;
	size_t i;

	for (i = 0; o->lost && keyfs_salvage_loss(repair->salvage, i, &loss);
	     i++)
		o->lost(o->arg, &loss);
}

static int
run(struct repair *repair, const struct keyfs_options *shape)
{
	const struct keyfs_repair_options *o = repair->options;
	struct keyfs_options quiet = { .size = sizeof(quiet),
				       .log = o->log,
				       .log_arg = o->log_arg };
	int r = salvage_open(repair->env, repair->path, &quiet, true,
			     &repair->salvage);

	if (r < 0)
		return r;
	tell_losses(repair);
	r = find_names(repair);
	if (r == 0)
		r = fill(repair, shape);
	if (r == 0 && o->finish)
		r = o->finish(o->arg, repair->new_path);
	if (r == 0)
		r = exchange(repair);
	return r;
}

int
repair_store(struct env *env, const char *path,
	     const struct keyfs_options *shape,
	     const struct keyfs_repair_options *options, char **out_kept)
{
	struct repair repair = { .env = env, .path = path, .options = options };
	int r;

	repair.reporter = (struct reporter){ options->log, options->log_arg };
	r = run(&repair, shape);
	if (r != 0)
		remove_new(&repair);
	keyfs_salvage_close(repair.salvage);
	free(repair.new_path);
	if (r == 0)
		*out_kept = repair.kept_path;
	else
		free(repair.kept_path);
	return r;
}

int
keyfs_repair(const char *path, const struct keyfs_repair_options *options,
	     char **out_kept)
{
	struct keyfs_repair_options own = { .size = sizeof(own) };

	if (!path || !options || !out_kept)
		return -EINVAL;
	memcpy(&own, options,
	       options->size < sizeof(own) ? options->size : sizeof(own));
	return repair_store(env_posix(), path, NULL, &own, out_kept);
}
