/* SPDX-License-Identifier: Apache-2.0 */
/* rot_write.c - writes to the store of rot_world.h, and repairs it.  Both work on a
 * copy: the world stays as damaged as it was. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree_repair.h"
#include "store/db.h"
#include "store/repair.h"
#include "tests/must.h"
#include "tests/rot_impl.h"
#include "tests/suite.h"

/* ---- Writing ---- */

static bool
is_notes(const char *name)
{
	return strstr(name, "/LOG") || strstr(name, "/LOCK");
}

static void
expect_unchanged(struct rot_world *world, const struct rot_image *before,
		 const struct rot_image *after)
{
	for (size_t i = 0; i < before->count; i++) {
		const struct rot_file *a = &before->files[i];
		const struct rot_file *b = rot_image_find(after, a->name);

		if (is_notes(a->name))
			continue;
		if (!b || a->size != b->size ||
		    memcmp(a->data, b->data, a->size))
			rot_wrong(world, "a refused opening changed a file",
				  (long)i);
	}
}

void
rot_world_try_write(struct rot_world *world)
{
	struct keyfs_options options = world->options;
	struct rot_image before, after;
	struct keyfs_store *store;
	struct fault_env *disk;
	int r;

	rot_image_take(&before, world->disk);
	disk = rot_disk_new(&before);
	options.read_only = false;
	options.create = true;
	world->lines = 0;
	r = db_open(fault_env(disk), ROT_DIR, &options, &store);
	if (r < 0) {
		rot_expect_named(world, r, "an error of opening for writing");
		rot_image_take(&after, disk);
		expect_unchanged(world, &before, &after);
		rot_image_fini(&after);
	} else {
		r = keyfs_put(store, NULL, keyfs_str("~"), keyfs_str("1"), 0);
		if (r < 0)
			rot_wrong(world, "it opens and takes nothing", r);
		/* A flush or compaction may have met the damage. */
		(void)keyfs_close(store);
	}
	rot_image_fini(&before);
	fault_env_free(disk);
}

/* ---- Repairing ---- */

#define KEPT_DIR ROT_DIR ".damaged-1"
/* How many keys one damaged record of a log may take with it. */
#define RECORD_KEYS_MAX 8u

struct losses {
	struct rot_world *world;
	struct model *lower; /* lower bound to upper bound */
	bool unbounded, whole_log;
	size_t count;
};

static void
note_loss(void *arg, const struct keyfs_loss *loss)
{
	struct losses *losses = arg;

	losses->count++;
	if (!loss->has_keys)
		return;
	if (!loss->lower.len || !loss->upper.len) {
		losses->unbounded = true;
		return;
	}
	model_put(losses->lower, loss->lower, loss->upper);
	model_commit(losses->lower);
}

static int
compare_slices(struct keyfs_slice a, struct keyfs_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = memcmp(a.data, b.data, n);

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static bool
is_covered(const struct losses *losses, struct keyfs_slice key)
{
	for (size_t i = 0; i < model_count(losses->lower); i++)
		if (compare_slices(model_key(losses->lower, i), key) <= 0 &&
		    compare_slices(key, model_value(losses->lower, i)) <= 0)
			return true;
	return false;
}

/* Whether a key is as in some state that may be found. */
static bool
is_as_known(const struct rot_world *world, struct keyfs_slice key,
	    const struct keyfs_value *value, bool may_lose)
{
	struct keyfs_slice want;

	for (size_t i = may_lose ? 0 : world->state_count - 1;
	     i < world->state_count; i++) {
		bool there = model_get(world->states[i], key, &want);

		if (there == (value != NULL) &&
		    (!there ||
		     (want.len == value->data.len &&
		      !memcmp(want.data, value->data.data, want.len))))
			return true;
	}
	return false;
}

static void
look_at_repaired(struct rot_world *world, struct keyfs_store *store,
		 const struct losses *losses, bool may_lose)
{
	const struct model *keys = world->states[world->state_count - 1];
	size_t missing = 0;

	for (size_t i = 0; i < model_count(keys); i++) {
		struct keyfs_slice key = model_key(keys, i);
		struct keyfs_value value;
		int r = keyfs_get(store, NULL, NULL, key, 0, &value);

		if (r < 0 && r != -ENOENT)
			rot_wrong(world, "a repaired store has a damaged key",
				  r);
		if (!is_as_known(world, key, r ? NULL : &value, may_lose) &&
		    !is_covered(losses, key)) {
			missing++;
			if (!losses->unbounded)
				rot_wrong(world,
					  "an undamaged key is not saved",
					  (long)i);
		}
		if (r == 0)
			keyfs_value_release(&value);
	}
	if (missing > RECORD_KEYS_MAX && !losses->whole_log)
		rot_wrong(world, "more is lost than was damaged",
			  (long)missing);
	if (keyfs_verify(store, NULL, NULL) != 0)
		rot_wrong(world, "the repaired store is damaged", 0);
}

static int
note_problem(void *arg, const char *where, const char *what)
{
	struct rot_world *world = arg;

	snprintf(world->line, sizeof(world->line), "%.200s: %.300s", where,
		 what);
	return 0;
}

/* The tree in the repaired store becomes whole. */
static void
look_at_repaired_tree(struct rot_world *world, struct fault_env *disk)
{
	struct tree_repair_options options = { .problem = note_problem,
					       .arg = world };
	struct keyfs_options writing = world->options;
	struct tree_options tree_options = { .root_uid = 0 };
	struct keyfs_store *store;
	struct tree *tree;
	struct kv *kv;

	writing.read_only = false;
	ck_assert_int_eq(rot_kv_open(disk, &writing, &store, &kv), 0);
	if (tree_repair(kv, &options) != 0 ||
	    tree_open(kv, &tree_options, &tree) != 0)
		rot_wrong(world, "the tree cannot be repaired", 0);
	if (tree_check(tree, note_problem, world) != 0)
		rot_wrong(world, "the repaired tree is not whole", 0);
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(kv_close(kv), 0);
}

/* The damaged files, under the name of the kept directory. */
static void
expect_kept(struct rot_world *world, const struct rot_image *before,
	    struct fault_env *disk)
{
	char name[160];
	uint64_t size;

	for (size_t i = 0; i < before->count; i++) {
		const struct rot_file *file = &before->files[i];
		uint8_t *bytes = must_alloc(file->size);

		snprintf(name, sizeof(name), "%s%s", KEPT_DIR,
			 file->name + sizeof(ROT_DIR) - 1);
		if (fault_env_size(disk, name, &size) < 0 ||
		    size != file->size ||
		    fault_env_peek(disk, name, 0, bytes, size) < 0 ||
		    memcmp(bytes, file->data, size))
			rot_wrong(world, "the damaged store is not kept",
				  (long)i);
		free(bytes);
	}
}

void
rot_world_try_repair(struct rot_world *world, bool may_lose, bool found)
{
	struct losses losses = { .world = world,
				 .lower = model_new(),
				 .whole_log = strstr(world->about, ".log ") &&
					      !strstr(world->about, "bit") };
	struct keyfs_repair_options options = { .size = sizeof(options),
						.lost = note_loss,
						.arg = &losses };
	struct keyfs_store *store;
	struct rot_image before;
	struct fault_env *disk;
	char *kept;
	int r;

	rot_image_take(&before, world->disk);
	disk = rot_disk_new(&before);
	r = repair_store(fault_env(disk), ROT_DIR, &world->options, &options,
			 &kept);
	if (r < 0)
		rot_wrong(world, "it cannot be repaired", r);
	if (found != (losses.count > 0))
		rot_wrong(world, "reading and salvaging disagree on the damage",
			  (long)losses.count);
	ck_assert_str_eq(kept, KEPT_DIR);
	free(kept);
	r = db_open(fault_env(disk), ROT_DIR, &world->options, &store);
	if (r < 0)
		rot_wrong(world, "the repaired store cannot be opened", r);
	look_at_repaired(world, store, &losses, may_lose);
	ck_assert_int_eq(keyfs_close(store), 0);
	look_at_repaired_tree(world, disk);
	expect_kept(world, &before, disk);
	rot_image_fini(&before);
	model_free(losses.lower);
	fault_env_free(disk);
}
