/* SPDX-License-Identifier: Apache-2.0 */
/* db_iter.h - what a reader may see: the newest version of each key not above a
 * sequence number, without tombstones, within bounds, in both directions.
 *
 *	inside        a:9 put   a:4 put   b:7 delete   b:2 put   c:3 put
 *	seen at 8     a:4                                         c:3
 *
 * Where a key may be hidden by a damage range, or may itself be older than what
 * was lost there, the move ends with -EUCLEAN: a scan never passes over a range
 * in silence.
 *
 * It knows nothing of locks or pins: its caller hands it the merged inside
 * iterator and keeps alive what that reads from. */
#ifndef STORE_DB_ITER_H
#define STORE_DB_ITER_H

#include "store/damage.h"
#include "store/iter.h"

struct db_iter;

/* Takes `inside` on success.  Bounds (.data NULL: none) are copied. */
int db_iter_new(struct iter *inside, uint64_t seq, struct keyfs_slice lower,
		struct keyfs_slice upper, struct db_iter **out);
void db_iter_free(struct db_iter *iter); /* NULL is allowed */

/* What was lost of the state that is read (borrowed).  `skip`: shows what there is
 * for certain, and passes over the rest without an error. */
void db_iter_set_damages(struct db_iter *iter,
			 const struct damage_list *damages, bool skip);
/* After -EUCLEAN: the range that ended the move; NULL: it was none, but a block
 * that cannot be read. */
const struct damage *db_iter_damage(const struct db_iter *iter);
/* After -EUCLEAN: between which keys, inclusive, that is; .data NULL: not known,
 * as always *first of a block. */
void db_iter_place(const struct db_iter *iter, struct keyfs_slice *first,
		   struct keyfs_slice *last);

void db_iter_first(struct db_iter *iter);
void db_iter_last(struct db_iter *iter);
void db_iter_seek(struct db_iter *iter, struct keyfs_slice key);
void db_iter_seek_prev(struct db_iter *iter, struct keyfs_slice key);
void db_iter_next(struct db_iter *iter); /* Requires: valid */
void db_iter_prev(struct db_iter *iter); /* Requires: valid */

bool db_iter_valid(const struct db_iter *iter);
int db_iter_status(const struct db_iter *iter);
/* The visible version where it stands; valid until it moves.  Requires: valid.
 */
const struct entry *db_iter_entry(const struct db_iter *iter);

#endif
