/* SPDX-License-Identifier: Apache-2.0 */
/* skiplist.h - sorted versions in an arena (Pugh, "Skip Lists: A Probabilistic
 * Alternative to Balanced Trees", CACM 33, 1990).
 *
 *	level 2   head --------------------------> c ----------------------> end
 *	level 1   head ----------> b ------------> c ----------> e --------> end
 *	level 0   head --> a ----> b ----> b ----> c ----> d --> e --> f --> end
 *
 * One writer; any number of readers beside it, without locks.  A node is
 * complete before it is linked, is linked from level 0 upwards, and never moves
 * or goes.
 *
 * A link carries, beside the pointer to the next node, that node's key code
 * (key_code.h), so that deciding not to go there costs no look at it.  The two
 * words are not one atomic unit.  What makes it right:
 *
 *	the writer stores the pointer, then the code;
 *	a reader loads the code, then the pointer.
 *
 * So the code that a reader has belongs to the node it has, or to a later one,
 * from before something was inserted between: never to an earlier one.  If the
 * key sought is above the code it is above the node, and going there is right.
 * If it is below, the node may still be before it; going down a level instead
 * is only a longer way, and on level 0 the node's own key is compared. */
#ifndef STORE_SKIPLIST_H
#define STORE_SKIPLIST_H

#include <stdatomic.h>
#include <stddef.h>

#include "store/arena.h"
#include "store/key.h"
#include "store/key_code.h"

/* Each level has half the nodes of the one below.  Since a link carries the
 * code, going down costs no cache miss, only going to the right does, and there
 * is less of that with a half than with the usual quarter: with 400,000 nodes a
 * lookup takes two thirds of the time, for 11 bytes more a node.  2^20 = a
 * million nodes before searches grow. */
#define SKIPLIST_HEIGHT_MAX 20u

struct skipnode;

/* Where the last insert went, level by level: prev < the key <= next, adjacent.
 * The writer's. */
struct skiplist_splice {
	struct skipnode *prev, *next; /* the head; NULL: the end */
	uint64_t prev_code, next_code;
};

struct skiplist {
	/* Constant. */
	struct arena *arena; /* borrowed */
	struct key_coder coder;
	struct skipnode *head;

	/* Atomic; the writer's. */
	_Atomic uint32_t height; /* levels in use */

	/* The writer's.  The topmost is of no level: it holds every key. */
	struct skiplist_splice splice[SKIPLIST_HEIGHT_MAX + 1];
	uint64_t random;
};

int skiplist_init(struct skiplist *list, struct arena *arena);

/* Learns the stems of the key codes from a list of much the same keys, which
 * may be written to at the same time.  Requires: `list` is empty and nobody
 * reads it. */
void skiplist_learn(struct skiplist *list, const struct skiplist *like);

/* What the arena must have in reserve for so many inserts of so many bytes of
 * keys and values in all; SIZE_MAX if that is beyond memory. */
size_t skiplist_room(size_t count, size_t bytes);

/* Requires: room in the arena; no such version yet.  Versions that follow each
 * other in order cost O(1).  The writer's. */
void skiplist_insert(struct skiplist *list, const struct entry *entry);

/* Has the processor fetch the next node while this one is looked at. */
void skipnode_prefetch_next(const struct skipnode *node);

/* The first node that does not sort before (key, seq); NULL: none. */
const struct skipnode *skiplist_seek(const struct skiplist *list,
				     struct keyfs_slice key, uint64_t seq);
/* The last node that sorts before (key, seq); NULL: none. */
const struct skipnode *
skiplist_seek_before(const struct skiplist *list, struct keyfs_slice key,
		     uint64_t seq);
const struct skipnode *skiplist_first(const struct skiplist *list);
const struct skipnode *skiplist_last(const struct skiplist *list);
const struct skipnode *skipnode_next(const struct skipnode *node);

/* The version in the node; its slices live as long as the arena. */
void skipnode_entry(const struct skipnode *node, struct entry *out);

#endif
