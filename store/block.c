/* SPDX-License-Identifier: Apache-2.0 */
/* block.c - search and iteration inside one block; see block.h. */
#include <config.h>

#include "store/block.h"

#include <errno.h>

#include "store/coding.h"

enum { LINE_BYTES = 64, PREFETCH_BYTES = 640 };

/* An entry in pieces; the tag is still part of the rest. */
struct piece {
	uint32_t shared, unshared;
	const uint8_t *suffix;
	const uint8_t *rest, *behind;
};

int
block_open(const void *data, size_t len, struct block *out)
{
	const uint8_t *tail;
	uint32_t restarts;

	if (len < BLOCK_TAIL_BYTES || len > UINT32_MAX)
		return -EUCLEAN;
	tail = (const uint8_t *)data + len - BLOCK_TAIL_BYTES;
	restarts = get_le32(tail + 8);
	/* A restart takes 4 bytes here and 4 as an entry, at the least. */
	if (restarts == 0 || restarts > (len - BLOCK_TAIL_BYTES) / 8)
		return -EUCLEAN;
	out->data = data;
	out->end = (uint32_t)(len - BLOCK_TAIL_BYTES - 4 * (size_t)restarts);
	out->restarts = restarts;
	out->base_seq = get_le64(tail);
	return 0;
}

/* Reads the lengths at `at`; false if the entry does not end within the block.
 * Nearly every length is below 128, so three bytes are tried first. */
static inline bool
piece_decode(const uint8_t *at, const uint8_t *end, struct piece *out)
{
	uint32_t rest;

	if (end - at > 3 && (at[0] | at[1] | at[2]) < 0x80) {
		out->shared = at[0];
		out->unshared = at[1];
		rest = at[2];
		at += 3;
	} else if (!(at = get_varint32(at, end, &out->shared)) ||
		   !(at = get_varint32(at, end, &out->unshared)) ||
		   !(at = get_varint32(at, end, &rest))) {
		return false;
	}
	if ((uint64_t)out->unshared + rest > (uint64_t)(end - at))
		return false;
	out->suffix = at;
	out->rest = at + out->unshared;
	out->behind = out->rest + rest;
	return true;
}

/* Splits the rest into sequence number, kind and value. */
static inline bool
rest_decode(const struct block *block, const struct piece *piece,
	    struct entry *out)
{
	const uint8_t *value;
	uint64_t tag;

	if (piece->rest < piece->behind && *piece->rest < 0x80) {
		tag = *piece->rest;
		value = piece->rest + 1;
	} else {
		value = get_varint64(piece->rest, piece->behind, &tag);
		if (!value)
			return false;
	}
	out->seq = block->base_seq + unzigzag(tag >> BLOCK_KIND_BITS);
	out->kind = tag & ((1u << BLOCK_KIND_BITS) - 1);
	out->value = keyfs_bytes(value, (size_t)(piece->behind - value));
	if (out->seq > SEQ_MAX)
		return false;
	return out->kind == ENTRY_PUT ||
	       (out->kind == ENTRY_DELETE && out->value.len == 0);
}

static uint32_t
restart_offset(const struct block *block, uint32_t i)
{
	return get_le32(block->data + block->end + 4 * (size_t)i);
}

/* Whether the version at restart i sorts before (key, seq): 1, 0 or
 * -EUCLEAN. */
static int
restart_before(const struct block *block, uint32_t i, struct keyfs_slice key,
	       uint64_t seq)
{
	uint32_t offset = restart_offset(block, i);
	const uint8_t *end = block->data + block->end;
	struct piece piece;
	struct entry entry;
	int r;

	if (offset >= block->end ||
	    !piece_decode(block->data + offset, end, &piece) ||
	    piece.shared != 0)
		return -EUCLEAN;
	r = key_compare(keyfs_bytes(piece.suffix, piece.unshared), key);
	if (r != 0)
		return r < 0;
	if (!rest_decode(block, &piece, &entry))
		return -EUCLEAN;
	return entry.seq > seq;
}

/* Finds the last restart before (key, seq), or the first of all; *out is where
 * its entry begins. */
static int
restart_find(const struct block *block, struct keyfs_slice key, uint64_t seq,
	     const uint8_t **out)
{
	uint32_t low = 0, high = block->restarts - 1;

	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;
		int r = restart_before(block, middle, key, seq);

		if (r < 0)
			return r;
		if (r)
			low = middle;
		else
			high = middle - 1;
	}
	if (restart_offset(block, low) >= block->end)
		return -EUCLEAN;
	*out = block->data + restart_offset(block, low);
	return 0;
}

/* Where an entry stands to the key looked for. */
enum place { BEFORE, EQUAL, AFTER };

/* Compares without building the key: every entry so far was before the key
 * looked for and had `*matched` bytes in common with the last one.
 *
 *	looked for   abcd        the last entry was   abca    (3 in common)
 *	sharing 4    abca...     differs where that did, likewise: before
 *	sharing 2    abX...      X is above c, since keys ascend: after
 *	sharing 3    abc...      the suffix decides
 *	sharing 0                a restart, which shares less than it could: the
 *	                         suffix decides, from its beginning */
static enum place
piece_compare(const struct piece *piece, struct keyfs_slice key,
	      size_t *matched)
{
	const uint8_t *rest;
	size_t left, n, i;

	if (piece->shared > *matched)
		return BEFORE;
	if (piece->shared < *matched && piece->shared > 0)
		return AFTER;
	*matched = piece->shared;
	rest = (const uint8_t *)key.data + *matched;
	left = key.len - *matched;
	n = piece->unshared < left ? piece->unshared : left;
	i = bytes_shared(piece->suffix, rest, n);
	*matched += i;
	if (i < n)
		return piece->suffix[i] < rest[i] ? BEFORE : AFTER;
	if (piece->unshared == left)
		return EQUAL;
	return piece->unshared < left ? BEFORE : AFTER;
}

/* Asks for the bytes of about one restart's entries together: where each entry
 * begins is known only when the one before has come. */
static void
group_prefetch(const uint8_t *at, const uint8_t *end)
{
	size_t left = (size_t)(end - at), i;

	for (i = LINE_BYTES; i < PREFETCH_BYTES && i < left; i += LINE_BYTES)
		__builtin_prefetch(at + i);
}

int
block_get(const struct block *block, struct keyfs_slice key, uint64_t seq,
	  struct entry *out)
{
	const uint8_t *end = block->data + block->end, *at;
	size_t matched = 0, last_len = 0;
	enum place place = BEFORE;
	struct piece piece;
	struct entry entry;
	int r;

	r = restart_find(block, key, seq, &at);
	if (r < 0)
		return r;
	group_prefetch(at, end);
	for (; at < end; at = piece.behind) {
		if (!piece_decode(at, end, &piece) || piece.shared > last_len)
			return -EUCLEAN;
		last_len = (size_t)piece.shared + piece.unshared;
		place = piece_compare(&piece, key, &matched);
		if (place == AFTER)
			return -ENOENT;
		if (place == BEFORE)
			continue;
		if (!rest_decode(block, &piece, &entry))
			return -EUCLEAN;
		if (entry.seq > seq)
			continue;
		entry.key = key;
		*out = entry;
		return 0;
	}
	return place == EQUAL ? 1 : -ENOENT;
}

/* ---- The cursor ---- */

void
block_iter_set(struct block_iter *it, const struct block *block)
{
	it->block = *block;
	it->iter.valid = false;
	it->iter.status = 0;
}

void
block_iter_fini(struct block_iter *it)
{
	buf_fini(&it->key);
}

static void
block_iter_stop(struct block_iter *it, int status)
{
	it->iter.valid = false;
	it->iter.status = status;
}

/* Puts the key together: the shared bytes of the key where it stands, if they
 * are not in the buffer yet, and the suffix. */
static bool
key_rebuild(struct block_iter *it, const struct piece *piece)
{
	struct keyfs_slice *key = &it->iter.entry.key;
	size_t len = (size_t)piece->shared + piece->unshared;

	if (len > it->key.capacity) {
		/* buf_reserve() keeps what is counted in len, and the shared
		 * bytes may be there. */
		it->key.len = key->data == it->key.data ? piece->shared : 0;
		if (!buf_reserve(&it->key, len - it->key.len))
			return false;
		if (it->key.len)
			key->data = it->key.data;
	}
	if (key->data != it->key.data)
		memcpy(it->key.data, key->data, piece->shared);
	memcpy(it->key.data + piece->shared, piece->suffix, piece->unshared);
	*key = keyfs_bytes(it->key.data, len);
	return true;
}

/* Stands on the entry at `at`, given that it stood on the one before, or that
 * the one at `at` is a restart and the present key is empty. */
static void
block_iter_step(struct block_iter *it, const uint8_t *at)
{
	const uint8_t *end = it->block.data + it->block.end;
	struct entry *entry = &it->iter.entry;
	struct piece piece;
	size_t len;

	if (at >= end) {
		block_iter_stop(it, 0);
		return;
	}
	if (!piece_decode(at, end, &piece) || piece.shared > entry->key.len ||
	    !rest_decode(&it->block, &piece, entry)) {
		block_iter_stop(it, -EUCLEAN);
		return;
	}
	len = (size_t)piece.shared + piece.unshared;
	if (len == 0 || len > KEYFS_KEY_MAX) {
		block_iter_stop(it, -EUCLEAN);
		return;
	}
	if (piece.shared == 0) {
		entry->key = keyfs_bytes(piece.suffix, piece.unshared);
	} else if (!key_rebuild(it, &piece)) {
		block_iter_stop(it, -ENOMEM);
		return;
	}
	it->at = at;
	it->behind = piece.behind;
	it->iter.valid = true;
}

/* Stands on an entry that shares nothing. */
static void
block_iter_restart(struct block_iter *it, const uint8_t *at)
{
	it->iter.entry.key.len = 0;
	it->iter.status = 0;
	buf_clear(&it->key);
	block_iter_step(it, at);
}

void
block_iter_next(struct block_iter *it)
{
	block_iter_step(it, it->behind);
}

void
block_iter_first(struct block_iter *it)
{
	block_iter_restart(it, it->block.data);
}

/* Reads on from the restart at `offset` to the last entry before `stop`. */
static void
block_iter_walk(struct block_iter *it, uint32_t offset, const uint8_t *stop)
{
	if (offset >= it->block.end) {
		block_iter_stop(it, -EUCLEAN);
		return;
	}
	block_iter_restart(it, it->block.data + offset);
	while (it->iter.valid && it->behind < stop)
		block_iter_next(it);
	/* Restarts that lead past `stop` or into the middle of an entry. */
	if (it->iter.valid && it->behind != stop)
		block_iter_stop(it, -EUCLEAN);
}

void
block_iter_last(struct block_iter *it)
{
	block_iter_walk(it, restart_offset(&it->block, it->block.restarts - 1),
			it->block.data + it->block.end);
}

void
block_iter_prev(struct block_iter *it)
{
	const struct block *block = &it->block;
	uint32_t here = (uint32_t)(it->at - block->data);
	uint32_t low = 0, high = block->restarts - 1;

	if (here == 0) {
		block_iter_stop(it, 0);
		return;
	}
	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;

		if (restart_offset(block, middle) < here)
			low = middle;
		else
			high = middle - 1;
	}
	if (restart_offset(block, low) >= here)
		block_iter_stop(it, -EUCLEAN);
	else
		block_iter_walk(it, restart_offset(block, low), it->at);
}

void
block_iter_seek(struct block_iter *it, struct keyfs_slice key, uint64_t seq)
{
	const struct entry *entry = &it->iter.entry;
	const uint8_t *at;
	int r;

	r = restart_find(&it->block, key, seq, &at);
	if (r < 0) {
		block_iter_stop(it, r);
		return;
	}
	block_iter_restart(it, at);
	while (it->iter.valid &&
	       version_compare(entry->key, entry->seq, key, seq) < 0)
		block_iter_next(it);
}

int
block_check(const struct block *block)
{
	struct block_iter it = { .iter = { .valid = false } };
	uint32_t restart = 0;
	int r = 0;

	block_iter_set(&it, block);
	for (block_iter_first(&it); it.iter.valid; block_iter_next(&it)) {
		uint32_t here = (uint32_t)(it.at - block->data);

		if (restart == block->restarts ||
		    restart_offset(block, restart) != here)
			continue;
		/* Only a shared length of one zero byte is a restart. */
		if (*it.at != 0)
			r = -EUCLEAN;
		restart++;
	}
	if (restart != block->restarts)
		r = -EUCLEAN;
	block_iter_fini(&it);
	return it.iter.status < 0 ? it.iter.status : r;
}
