/* SPDX-License-Identifier: Apache-2.0 */
/* rot_build.c - builds the store of rot_world.h: tables, then logs, and an end. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "tests/must.h"
#include "tests/rot_impl.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

static void
note_line(void *arg, enum keyfs_log_level level, const char *line)
{
	struct rot_world *world = arg;

	if (getenv("KEYFS_TEST_LOG"))
		fprintf(stderr, "%s\n", line);
	if (level < KEYFS_LOG_ERROR || !strstr(line, ": damaged at offset "))
		return;
	world->lines++;
	snprintf(world->line, sizeof(world->line), "%s", line);
}

struct keyfs_options
rot_options(struct rot_world *world)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .commit_interval_ms = 86400000,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 64 << 10,
				       .compaction_threads = 1,
				       .block_bytes = 512,
				       .table_bytes = 8 << 10,
				       .level0_tables = 4,
				       .level_ratio = 2,
				       .level_bytes = 8 << 10,
				       .reserve_bytes = 64 << 10,
				       .log = note_line,
				       .log_arg = world };
}

/* Text that hardly compresses. */
static void
write_noise(struct tree *tree, uint64_t ino, uint64_t offset, size_t len,
	    uint64_t seed)
{
	char *text = must_alloc(len + 1);
	uint64_t state = seed + ino;

	for (size_t i = 0; i < len; i++)
		text[i] = (char)('!' + suite_random(&state) % 90);
	kit_write(tree, ino, offset, text);
	free(text);
}

static void
make_files(struct tree *tree, uint64_t dir, const char *prefix, int count,
	   size_t len)
{
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%02d", prefix, i);
		write_noise(tree, kit_create(tree, dir, name), 0, len, 1);
	}
}

static void
rewrite_files(struct tree *tree, uint64_t dir, const char *prefix, int count,
	      size_t len)
{
	char name[32];

	for (int i = 0; i < count; i += 2) {
		snprintf(name, sizeof(name), "%s%02d", prefix, i);
		write_noise(tree, kit_find(tree, dir, name), 0, len, 2);
	}
}

static void
make_odd_ones(struct tree *tree)
{
	struct tree_attr attr;
	uint64_t ino;

	ino = kit_create(tree, TREE_ROOT, "inline");
	kit_write(tree, ino, 0, "a small file");
	kit_setxattr(tree, ino, "user.first", "an attribute");
	kit_setxattr(tree, ino, "user.second", "another");
	ino = kit_create(tree, TREE_ROOT, "chunks");
	write_noise(tree, ino, 0, 2 * LAYOUT_CHUNK + 700, 3);
	ino = kit_create(tree, TREE_ROOT, "holes");
	kit_write(tree, ino, 3 * LAYOUT_CHUNK + 5, "far behind");
	ck_assert_int_eq(tree_symlink(tree, &kit_user, TREE_ROOT,
				      keyfs_str("symlink"), keyfs_str("chunks"),
				      &attr),
			 0);
	ck_assert_int_eq(tree_mknod(tree, &kit_user, TREE_ROOT,
				    keyfs_str("fifo"), S_IFIFO | 0600, 0,
				    &attr),
			 0);
	ino = kit_find(tree, TREE_ROOT, "inline");
	ck_assert_int_eq(tree_link(tree, &kit_user, ino, TREE_ROOT,
				   keyfs_str("hardlink"), &attr),
			 0);
}

/* An object that is still in use when its last name goes: it stays. */
static bool
in_use(void *arg, uint64_t ino)
{
	(void)arg;
	(void)ino;
	return true;
}

static int
state_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	(void)version;
	model_put(arg, key, value);
	return 0;
}

void
rot_note_state(struct rot_world *world, struct kv *kv,
	       struct keyfs_store *store)
{
	struct model *state = model_new();
	struct kv_view *view;

	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, keyfs_bytes("\0", 1),
				 (struct keyfs_slice){ 0 }, 0, state_each,
				 state),
			 0);
	kv_view_close(kv, view);
	model_commit(state);
	ck_assert_uint_lt(world->state_count, ROT_STATES_MAX);
	world->seqs[world->state_count] = keyfs_last_seq(store);
	world->states[world->state_count++] = state;
}

static void
build_tables(struct tree *tree, struct keyfs_store *store)
{
	struct keyfs_slice all = { 0 };
	uint64_t dir;

	dir = kit_mkdir(tree, TREE_ROOT, "dir");
	make_files(tree, dir, "f", 24, 300);
	make_odd_ones(tree);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, all, all), 0);
	rewrite_files(tree, dir, "f", 12, 300);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	kit_unlink(tree, dir, "f07");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
}

/* What is in logs at the end: synced, then not. */
static void
build_logs(struct rot_world *world, struct kv *kv, struct tree *tree,
	   struct keyfs_store *store)
{
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");

	make_files(tree, dir, "g", 4, 200);
	ck_assert_int_eq(tree_sync(tree), 0);
	rot_image_take(&world->older, world->disk);
	rewrite_files(tree, dir, "g", 4, 900);
	kit_rename(tree, dir, "g01", TREE_ROOT, "moved");
	ck_assert_int_eq(tree_sync(tree), 0);
	make_files(tree, dir, "h", 2, 100);
	ck_assert_int_eq(tree_sync(tree), 0);
	rot_note_state(world, kv, store);
	for (int i = 0; i < 3 && !world->closed; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%d", i);
		(void)kit_create(tree, dir, name);
		rot_note_state(world, kv, store);
	}
}

/* One session of the store: opens it, builds, and closes it or lets it die. */
struct session {
	struct keyfs_store *store;
	struct kv *kv;
	struct tree *tree;
};

static void
session_open(struct rot_world *world, struct session *session)
{
	struct tree_options options = { .in_use = in_use };

	ck_assert_int_eq(rot_kv_open(world->disk, &world->options,
				     &session->store, &session->kv),
			 0);
	ck_assert_int_eq(tree_open(session->kv, &options, &session->tree), 0);
}

static void
session_close(struct session *session)
{
	(void)tree_close(session->tree);
	(void)kv_close(session->kv);
}

/* The second session leaves in its log what the first had not flushed. */
void
rot_build(struct rot_world *world)
{
	struct session session;
	struct fault_env *left;

	session_open(world, &session);
	build_tables(session.tree, session.store);
	make_files(session.tree, TREE_ROOT, "first", 3, 150);
	session_close(&session);
	session_open(world, &session);
	build_logs(world, session.kv, session.tree, session.store);
	if (!world->closed)
		fault_env_crash(world->disk);
	session_close(&session);
	left = fault_env_after(world->disk, FAULT_KEEP_ALL, 1);
	rot_image_take(&world->now, left);
	fault_env_free(left);
	fault_env_free(world->disk);
	world->disk = rot_disk_new(&world->now);
}
