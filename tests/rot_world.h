/* SPDX-License-Identifier: Apache-2.0 */
/* rot_world.h - a small store that has a bit of everything, to be damaged.
 *
 * It holds a tree with every kind of inode over the embedded engine on a simulated
 * disk: tables of several levels and blocks, logs, a manifest with several records.
 * Either it was closed, or the process died with records that nobody had synced.
 * Beside the files it keeps an older copy of each, what every state that may be found
 * holds, and what the whole tree looks like.
 *
 *	rot_world_init(&world, true);
 *	fault_env_flip(world.disk, world.now.files[0].name, 100);
 *	rot_world_look(&world, ...);		same answers, or named errors
 *	rot_world_mend(&world, 0);
 *	rot_world_fini(&world);
 *
 * One thread.  What is wrong fails the test. */
#ifndef TESTS_ROT_WORLD_H
#define TESTS_ROT_WORLD_H

#include "fs/tree.h"
#include "store/store.h"
#include "tests/model.h"
#include "tests/rot_image.h"

#define ROT_STATES_MAX 16
#define ROT_PATHS_MAX 64

struct rot_path {
	char path[64];
	struct tree_attr attr;
	uint64_t hash; /* of contents, target or listing */
};

struct rot_world {
	bool closed;
	struct keyfs_options options;
	struct fault_env *disk; /* owned */
	struct rot_image now, older;

	/* What may be found: the state of the last sync and those after it. */
	struct model *states[ROT_STATES_MAX]; /* owned */
	uint64_t seqs[ROT_STATES_MAX];
	size_t state_count;
	/* The log whose end was not synced, where that part begins, and where its
	 * last record begins.  NULL: none. */
	const struct rot_file *tail_log;
	uint64_t tail, tail_last;

	struct rot_path paths[ROT_PATHS_MAX];
	size_t path_count;

	unsigned lines; /* reported with file and offset since the last look */
	char line[600];
	char about[160]; /* the case being tried, for reports */
};

void rot_world_init(struct rot_world *world, bool closed);
void rot_world_fini(struct rot_world *world);

/* Puts one file back as it was, or all. */
void rot_world_mend(struct rot_world *world, size_t file);
void rot_world_mend_all(struct rot_world *world);

/* Opens the store as it is now, reads everything in every way, and runs the checker.
 * Fails the test if an answer is wrong or an error has no name.  `may_lose`: the newest
 * unsynced records may be missing; `all_synced`: what was synced must be there even so.
 * True: damage was found. */
bool rot_world_look(struct rot_world *world, bool may_lose, bool all_synced);
/* The same through the tree. */
void rot_world_look_tree(struct rot_world *world);
/* Opens it for writing: refuses it and changes nothing, or goes on. */
void rot_world_try_write(struct rot_world *world);
/* Repairs a copy: what no loss covers is there, store and tree are whole, the damaged
 * one is kept as it was.  `found`: what rot_world_look() said; the salvage agrees. */
void rot_world_try_repair(struct rot_world *world, bool may_lose, bool found);

#endif
