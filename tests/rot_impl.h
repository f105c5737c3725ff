/* SPDX-License-Identifier: Apache-2.0 */
/* rot_impl.h - what the files of rot_world.h share, and nobody else uses.
 *
 * rot_world.c knows which bytes count and holds it all together; rot_build.c builds;
 * rot_look.c reads the store and judges; rot_tree.c reads the tree; rot_write.c
 * writes and repairs.  Threads and failures are as in rot_world.h. */
#ifndef TESTS_ROT_IMPL_H
#define TESTS_ROT_IMPL_H

#include "tests/rot_world.h"

/* The store on a disk and the engine over it; kv_close() closes both.  0 or what
 * db_open() says. */
int rot_kv_open(struct fault_env *disk, const struct keyfs_options *options,
		struct keyfs_store **out_store, struct kv **out);

/* A store so small that little makes much of everything; it counts in `world` what it
 * reports. */
struct keyfs_options rot_options(struct rot_world *world);
/* Runs the life of the store and leaves its files in world->now. */
void rot_build(struct rot_world *world);
/* The state now, as one that may be found. */
void rot_note_state(struct rot_world *world, struct kv *kv,
		    struct keyfs_store *store);
/* What the tree looks like now, as what must be found. */
void rot_note_paths(struct rot_world *world);

/* Fails the test, and says of which case. */
void rot_wrong(const struct rot_world *world, const char *what, long n);
/* An error is in order if it says where. */
void rot_expect_named(const struct rot_world *world, int r, const char *what);

#endif
