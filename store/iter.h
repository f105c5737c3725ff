/* SPDX-License-Identifier: Apache-2.0 */
/* iter.h - the inside iterator: a cursor over entries in version order.
 *
 * Memtables, blocks, tables, levels and their merge all offer it; it shows
 * every version and every tombstone.  What a reader may see of them is
 * db_iter's work.
 *
 * The entry where it stands lies in the struct itself, so that a step over a
 * thousand entries costs no call to look at one.  Its slices stay valid until
 * the next move.  One thread at a time. */
#ifndef STORE_ITER_H
#define STORE_ITER_H

#include <stdbool.h>

#include "store/key.h"

struct iter;

/* Each move sets entry and valid, or valid = false and status: 0 at an end,
 * -EAGAIN when the iterator may not wait and would have to, or an error. */
struct iter_ops {
	void (*first)(struct iter *iter);
	void (*last)(struct iter *iter);
	/* To the first entry that does not sort before (key, seq). */
	void (*seek)(struct iter *iter, struct keyfs_slice key, uint64_t seq);
	void (*next)(struct iter *iter); /* Requires: valid. */
	void (*prev)(struct iter *iter); /* Requires: valid. */
	void (*free)(struct iter *iter);
};

/* An implementation puts its own members behind. */
struct iter {
	const struct iter_ops *ops;
	struct entry entry; /* where it stands, while valid */
	bool valid;
	int status;
	/* While the status is -EUCLEAN: the last key that what could not be read may
	 * hold, until the next move.  .data NULL: not known. */
	struct keyfs_slice lost_last;
};

static inline void
iter_first(struct iter *iter)
{
	iter->ops->first(iter);
}

static inline void
iter_last(struct iter *iter)
{
	iter->ops->last(iter);
}

static inline void
iter_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	iter->ops->seek(iter, key, seq);
}

static inline void
iter_next(struct iter *iter)
{
	iter->ops->next(iter);
}

static inline void
iter_prev(struct iter *iter)
{
	iter->ops->prev(iter);
}

/* NULL is allowed. */
static inline void
iter_free(struct iter *iter)
{
	if (iter)
		iter->ops->free(iter);
}

#endif
