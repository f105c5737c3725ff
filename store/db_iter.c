/* SPDX-License-Identifier: Apache-2.0 */
/* db_iter.c - what a reader may see; see db_iter.h.
 *
 * Forwards, the versions of a key come newest first: the first one not above
 * the sequence number decides, and the rest are passed over.  `inside` stands
 * on the entry shown.
 *
 * Backwards they come oldest first, so the last one not above it decides, which
 * is known only when `inside` has moved past the key: it stands before the key
 * shown, and key and value are copies.
 *
 * What a damage range may hide lies in the gap between where a move began and
 * the key that it would show, so while there are ranges, `from` keeps the
 * beginning. */
#include <config.h>

#include "store/db_iter.h"

#include <errno.h>
#include <stdlib.h>

#include "store/buf.h"

/* After so many versions of one key it is cheaper to seek than to step over
 * more. */
enum { STEPS_MAX = 8 };

struct db_iter {
	struct iter *inside; /* owned */
	uint64_t seq;
	bool has_lower, has_upper;
	struct buf lower, upper;

	bool valid, backward;
	int status;
	struct entry entry;
	struct buf key, value; /* copies: `key` also of a key to pass over */

	const struct damage_list *damages; /* borrowed; NULL: there are none */
	bool skip;
	const struct damage *damage; /* that ended the last move */
	struct buf from;
	bool has_from, from_included;
};

/* Copies a bound; its bytes are never NULL. */
static int
bound_copy(struct buf *buf, struct keyfs_slice bound, bool *out_has)
{
	*out_has = bound.data != NULL;
	if (!*out_has)
		return 0;
	if (!buf_reserve(buf, bound.len + 1))
		return -ENOMEM;
	buf_append(buf, bound.data, bound.len);
	return buf->error;
}

int
db_iter_new(struct iter *inside, uint64_t seq, struct keyfs_slice lower,
	    struct keyfs_slice upper, struct db_iter **out)
{
	struct db_iter *it = calloc(1, sizeof(*it));

	if (!it)
		return -ENOMEM;
	if (bound_copy(&it->lower, lower, &it->has_lower) ||
	    bound_copy(&it->upper, upper, &it->has_upper)) {
		db_iter_free(it);
		return -ENOMEM;
	}
	it->inside = inside;
	it->seq = seq;
	*out = it;
	return 0;
}

void
db_iter_free(struct db_iter *iter)
{
	if (!iter)
		return;
	iter_free(iter->inside);
	buf_fini(&iter->lower);
	buf_fini(&iter->upper);
	buf_fini(&iter->key);
	buf_fini(&iter->value);
	buf_fini(&iter->from);
	free(iter);
}

void
db_iter_set_damages(struct db_iter *iter, const struct damage_list *damages,
		    bool skip)
{
	iter->damages = damages->count ? damages : NULL;
	iter->skip = skip;
}

const struct damage *
db_iter_damage(const struct db_iter *iter)
{
	return iter->damage;
}

static void
stop(struct db_iter *it, int status)
{
	it->valid = false;
	it->status = status;
}

void
db_iter_place(const struct db_iter *iter, struct keyfs_slice *first,
	      struct keyfs_slice *last)
{
	const struct damage *damage = iter->damage;

	*first = damage ? damage->first : keyfs_bytes(NULL, 0);
	*last = damage ? damage->last : iter->inside->lost_last;
}

/* Replaces what a buffer holds. */
static bool
keep(struct db_iter *it, struct buf *buf, struct keyfs_slice bytes)
{
	if (buf_set(buf, bytes))
		stop(it, buf->error);
	return !buf->error;
}

/* ---- Damage ---- */

/* A move begins at `key` (.data NULL: at the end of all keys).  False: no
 * memory. */
static bool
begin_from(struct db_iter *it, struct keyfs_slice key, bool included)
{
	it->damage = NULL;
	if (!it->damages)
		return true;
	it->has_from = key.data != NULL;
	it->from_included = included;
	return !it->has_from || keep(it, &it->from, key);
}

/* A bound as a place. */
static struct keyfs_slice
bound_key(const struct buf *bound, bool has)
{
	return has ? buf_slice(bound) : keyfs_bytes(NULL, 0);
}

/* Whether the move may go from where it began to `to`, the key that it would
 * show or the end of all. */
static bool
gap_is_whole(struct db_iter *it, struct damage_edge to)
{
	struct damage_edge from = { bound_key(&it->from, it->has_from),
				    it->from_included };

	if (!it->damages || it->skip)
		return true;
	it->damage =
		it->backward
			? damage_list_between(it->damages, to, from, it->seq)
			: damage_list_between(it->damages, from, to, it->seq);
	if (it->damage)
		stop(it, -EUCLEAN);
	return !it->damage;
}

/* Whether an entry is what the reader ought to see of its key. */
static bool
is_certain(struct db_iter *it, struct keyfs_slice key, uint64_t seq)
{
	const struct damage *damage;
	uint64_t bound;

	if (!it->damages)
		return true;
	damage = damage_list_find(it->damages, key, it->seq, &bound);
	if (!damage || seq > bound)
		return true;
	if (!it->skip) {
		it->damage = damage;
		stop(it, -EUCLEAN);
	}
	return false;
}

/* ---- Forwards ---- */

static bool
past_upper(const struct db_iter *it, struct keyfs_slice key)
{
	return it->has_upper && key_compare(key, buf_slice(&it->upper)) >= 0;
}

/* Moves `inside` past every version of it->key. */
static void
pass_key(struct db_iter *it)
{
	struct iter *inside = it->inside;
	unsigned steps;

	for (steps = 0; inside->valid; steps++) {
		if (!key_equal(inside->entry.key, buf_slice(&it->key)))
			return;
		if (steps == STEPS_MAX)
			iter_seek(inside, buf_slice(&it->key), 0);
		else
			iter_next(inside);
	}
}

/* Moves `inside` past the versions of its key that are above the sequence
 * number. */
static void
pass_newer(struct db_iter *it)
{
	struct iter *inside = it->inside;
	unsigned steps;

	for (steps = 0; inside->valid && inside->entry.seq > it->seq; steps++) {
		if (steps < STEPS_MAX) {
			iter_next(inside);
			continue;
		}
		if (!keep(it, &it->key, inside->entry.key))
			return;
		iter_seek(inside, buf_slice(&it->key), it->seq);
		steps = 0;
	}
}

/* Shows the first visible entry from where `inside` stands on. */
static void
find_forward(struct db_iter *it)
{
	struct damage_edge end = { bound_key(&it->upper, it->has_upper),
				   false };
	struct damage_edge here = { { NULL, 0 }, false };
	struct iter *inside = it->inside;

	it->backward = false;
	it->valid = false;
	it->status = 0;
	for (;;) {
		pass_newer(it);
		if (it->status)
			return;
		if (!inside->valid || past_upper(it, inside->entry.key)) {
			stop(it, inside->valid ? 0 : inside->status);
			if (!it->status)
				(void)gap_is_whole(it, end);
			return;
		}
		if (inside->entry.kind != ENTRY_DELETE) {
			here.key = inside->entry.key;
			if (!gap_is_whole(it, here))
				return;
			if (is_certain(it, here.key, inside->entry.seq))
				break;
			if (it->status)
				return;
		}
		if (!keep(it, &it->key, inside->entry.key))
			return;
		pass_key(it);
	}
	it->valid = true;
	it->entry = inside->entry;
}

void
db_iter_first(struct db_iter *iter)
{
	if (!begin_from(iter, bound_key(&iter->lower, iter->has_lower), true))
		return;
	if (iter->has_lower)
		iter_seek(iter->inside, buf_slice(&iter->lower), iter->seq);
	else
		iter_first(iter->inside);
	find_forward(iter);
}

void
db_iter_seek(struct db_iter *iter, struct keyfs_slice key)
{
	if (iter->has_lower && key_compare(key, buf_slice(&iter->lower)) < 0)
		key = buf_slice(&iter->lower);
	if (!begin_from(iter, key, true))
		return;
	iter_seek(iter->inside, key, iter->seq);
	find_forward(iter);
}

void
db_iter_next(struct db_iter *iter)
{
	struct iter *inside = iter->inside;

	if (!begin_from(iter, iter->entry.key, false))
		return;
	if (!iter->backward) {
		if (!keep(iter, &iter->key, iter->entry.key))
			return;
	} else if (inside->valid) {
		iter_next(inside);
	} else {
		iter_first(inside);
	}
	pass_key(iter);
	find_forward(iter);
}

/* ---- Backwards ---- */

static bool
below_lower(const struct db_iter *it, struct keyfs_slice key)
{
	return it->has_lower && key_compare(key, buf_slice(&it->lower)) < 0;
}

/* Stands `inside` on the last entry before (key, seq). */
static void
inside_before(struct iter *inside, struct keyfs_slice key, uint64_t seq)
{
	iter_seek(inside, key, seq);
	if (inside->valid)
		iter_prev(inside);
	else if (!inside->status)
		iter_last(inside);
}

/* Reads the versions of the key on which `inside` stands, oldest first, and
 * leaves it before them.  Keeps the one that decides.  Returns false after an
 * error. */
static bool
read_key_backward(struct db_iter *it, bool *out_visible)
{
	struct iter *inside = it->inside;
	unsigned newer = 0;

	*out_visible = false;
	if (!keep(it, &it->key, inside->entry.key))
		return false;
	it->entry.key = buf_slice(&it->key);
	while (inside->valid && key_equal(inside->entry.key, it->entry.key)) {
		if (inside->entry.seq > it->seq && newer++ == STEPS_MAX) {
			inside_before(inside, it->entry.key, SEQ_MAX);
			break;
		}
		if (inside->entry.seq <= it->seq) {
			*out_visible = inside->entry.kind != ENTRY_DELETE;
			it->entry.seq = inside->entry.seq;
			it->entry.kind = inside->entry.kind;
			if (*out_visible &&
			    !keep(it, &it->value, inside->entry.value))
				return false;
		}
		iter_prev(inside);
	}
	if (inside->valid || !inside->status)
		return true;
	stop(it, inside->status);
	return false;
}

/* Shows the last visible entry from where `inside` stands, backwards. */
static void
find_backward(struct db_iter *it)
{
	struct damage_edge end = { bound_key(&it->lower, it->has_lower), true };
	struct damage_edge here = { { NULL, 0 }, false };
	struct iter *inside = it->inside;
	bool visible = false;

	it->backward = true;
	it->valid = false;
	it->status = 0;
	while (!visible) {
		if (!inside->valid || below_lower(it, inside->entry.key)) {
			stop(it, inside->valid ? 0 : inside->status);
			if (!it->status)
				(void)gap_is_whole(it, end);
			return;
		}
		if (!read_key_backward(it, &visible))
			return;
		here.key = it->entry.key;
		if (visible && !gap_is_whole(it, here))
			return;
		visible = visible && is_certain(it, here.key, it->entry.seq);
		if (it->status)
			return;
	}
	it->valid = true;
	it->entry.value = buf_slice(&it->value);
}

void
db_iter_last(struct db_iter *iter)
{
	if (!begin_from(iter, bound_key(&iter->upper, iter->has_upper), false))
		return;
	if (iter->has_upper)
		inside_before(iter->inside, buf_slice(&iter->upper), SEQ_MAX);
	else
		iter_last(iter->inside);
	find_backward(iter);
}

void
db_iter_seek_prev(struct db_iter *iter, struct keyfs_slice key)
{
	if (past_upper(iter, key)) {
		db_iter_last(iter);
		return;
	}
	if (!begin_from(iter, key, true))
		return;
	/* No version is numbered 0: this is behind all versions of the key. */
	inside_before(iter->inside, key, 0);
	find_backward(iter);
}

void
db_iter_prev(struct db_iter *iter)
{
	struct iter *inside = iter->inside;
	unsigned steps;

	if (!begin_from(iter, iter->entry.key, false))
		return;
	if (!iter->backward) {
		if (!keep(iter, &iter->key, iter->entry.key))
			return;
		for (steps = 0; inside->valid; steps++) {
			if (!key_equal(inside->entry.key,
				       buf_slice(&iter->key)))
				break;
			if (steps == STEPS_MAX)
				inside_before(inside, buf_slice(&iter->key),
					      SEQ_MAX);
			else
				iter_prev(inside);
		}
	}
	find_backward(iter);
}

/* ---- Where it stands ---- */

bool
db_iter_valid(const struct db_iter *iter)
{
	return iter->valid;
}

int
db_iter_status(const struct db_iter *iter)
{
	return iter->status;
}

const struct entry *
db_iter_entry(const struct db_iter *iter)
{
	return &iter->entry;
}
