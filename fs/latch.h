/* SPDX-License-Identifier: Apache-2.0 */
/* latch.h - turns for whoever changes an inode.
 *
 * A fixed number of mutexes, each for the inodes of one stripe.  They are waited for
 * in ascending order only, so nobody deadlocks; one below those that are held already
 * is only tried, and if it is busy the caller lets go of all and takes what it needs
 * from the start.
 *
 * A table may be used by any thread; a set belongs to one. */
#ifndef FS_LATCH_H
#define FS_LATCH_H

#include <stdbool.h>
#include <stdint.h>

#define LATCH_STRIPES 256u

struct latch_table;

/* A set of stripes; empty when zero. */
struct latch_set {
	uint64_t word[LATCH_STRIPES / 64];
};

int latch_table_new(struct latch_table **out);
void latch_table_free(struct latch_table *table); /* NULL is allowed */

void latch_set_add(struct latch_set *set, uint64_t ino);

/* Takes those of `set` that are not in *held, and adds them to it.  -EAGAIN: one is
 * busy and the caller may not `wait`.  -ECANCELED: one is busy and lies below held
 * ones.  After an error some may have been taken: *held tells. */
int latch_lock(struct latch_table *table, struct latch_set *held,
	       const struct latch_set *set, bool wait);

/* Lets go of all that is held. */
void latch_unlock(struct latch_table *table, struct latch_set *held);

#endif
