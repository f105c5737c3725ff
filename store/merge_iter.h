/* SPDX-License-Identifier: Apache-2.0 */
/* merge_iter.h - many sorted sources as one: a k-way merge.
 *
 * The children hold disjoint versions (a sequence number belongs to one
 * change), so there are no ties.  An error of a child makes the whole invalid
 * with that status: a source that cannot be read must never look like an empty
 * one. */
#ifndef STORE_MERGE_ITER_H
#define STORE_MERGE_ITER_H

#include "store/iter.h"

/* Takes the `count` children on success; they are freed with the iterator.
 * `count` may be 0. */
int merge_iter_new(struct iter **children, size_t count, struct iter **out);

#endif
