/* SPDX-License-Identifier: Apache-2.0 */
/* damage.h - damage ranges: keys of which something was lost, and what can
 * still be said of them.
 *
 * A compaction that meets a bad block copies the good ones; a range takes the
 * place of the bad one.  It says all that is known of what the block held:
 *
 *	good block        bad block, lost          good block
 *	... (f,30) (f,12) [?  ?  ?  ?  ?  ?  ?  ?] (m,25) ...
 *	                  first "f" below 12       "m" begins behind `last`,
 *	                  last  "k"                which is the separator "k"
 *	                  sequence numbers from min_seq to max_seq
 *
 * A version that a reader finds is the right one if it is newer than whatever
 * was lost of its key: its sequence number is above the range's bound for that
 * key.  Otherwise nobody knows: the read fails, and never shows what lies
 * below.  Levels do not matter for that, so a range belongs to no level and
 * never moves; later writes have higher numbers and cover it key by key.
 *
 * The bound is that of the block, which a table notes among its properties, so
 * that versions which are older than something else in the table, but newer
 * than the block, are still read.
 *
 * A range is constant and counted, a list belongs to one thread until it is part
 * of a version. */
#ifndef STORE_DAMAGE_H
#define STORE_DAMAGE_H

#include <stdatomic.h>

#include "store/error.h"
#include "store/key.h"

struct damage {
	uint64_t number;        /* of the file that held it; kept aside */
	uint64_t offset, bytes; /* where in it */
	uint64_t min_seq, max_seq;
	/* Of the key `first` versions below this one may be lost; 0: none. */
	uint64_t first_seq;
	struct keyfs_slice first, last; /* owned: behind it; both inclusive */
	_Atomic uint32_t refs;
};

/* Copies what `like` says, keys included.  One reference, the caller's. */
int damage_new(const struct damage *like, struct damage **out);
struct damage *damage_ref(struct damage *damage);
void damage_unref(struct damage *damage); /* NULL is allowed */

/* The highest sequence number that a lost version of `key` can have; 0: none
 * was lost. */
uint64_t damage_bound(const struct damage *damage, struct keyfs_slice key);

/* Says in the log where it is; -EUCLEAN. */
int damage_raise(const struct damage *damage, const struct reporter *reporter);

/* All zero is an empty list. */
struct damage_list {
	struct damage **at; /* owned, a reference each */
	size_t count, capacity;
	size_t *reach; /* owned; which of at[0..i] has the largest last key */
};

void damage_list_fini(struct damage_list *list);
/* Takes a reference of its own.  -ENOMEM. */
int damage_list_add(struct damage_list *list, struct damage *damage);
/* Prepares it for the calls below.  -ENOMEM. */
int damage_list_sort(struct damage_list *list);

/* The range that leaves most of `key` in the dark to a reader at `seq`; NULL: no
 * version of it was lost that this reader could see. *out_bound: see
 * damage_bound().  Requires: sorted. */
const struct damage *
damage_list_find(const struct damage_list *list, struct keyfs_slice key,
		 uint64_t seq, uint64_t *out_bound);

/* One end of a gap between keys. */
struct damage_edge {
	struct keyfs_slice key; /* .data NULL: there is no end */
	bool included;
};

/* A range that may hide keys in the gap from a reader at `seq`: the one that
 * begins first; NULL: none.  Requires: sorted. */
const struct damage *
damage_list_between(const struct damage_list *list, struct damage_edge lower,
		    struct damage_edge upper, uint64_t seq);

/* How many files the ranges name. */
size_t damage_list_files(const struct damage_list *list);
/* Whether one of them names that file. */
bool damage_list_names(const struct damage_list *list, uint64_t number);

#endif
