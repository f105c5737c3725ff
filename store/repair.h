/* SPDX-License-Identifier: Apache-2.0 */
/* repair.h - the inside of keyfs_repair(), see store.h: what can be salvaged of a store
 * becomes a new one, which takes its place.
 *
 *	store             damaged            repaired
 *	store.repair-1    being written      damaged
 *	store.damaged-1                      -             damaged
 *	                              ^ exchange     ^ rename
 *
 * The rule (R13): nothing is changed in the damaged store, and its name stands for one of
 * the two at every moment.  The new one is whole and durable before the exchange, which
 * is one step of the filesystem; only then the damaged one gets its last name.  Nothing
 * that was there before is ever written to or removed.  One thread. */
#ifndef STORE_REPAIR_H
#define STORE_REPAIR_H

#include "store/env.h"
#include "store/store.h"

/* keyfs_repair() in a given environment; `shape` (may be NULL) are the options of the new
 * store. */
int repair_store(struct env *env, const char *path,
		 const struct keyfs_options *shape,
		 const struct keyfs_repair_options *options, char **out_kept);

#endif
