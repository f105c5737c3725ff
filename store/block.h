/* SPDX-License-Identifier: Apache-2.0 */
/* block.h - looks into one data block: a few KiB of entries in version order.
 *
 *	+---------+---------+-----+-----------------+----------+-------+
 *	| entry 0 | entry 1 | ... | restart offsets | base seq | count |
 *	+---------+---------+-----+-----------------+----------+-------+
 *	                           le32 x count       le64       le32
 *
 *	entry:  shared  unshared  rest  | key suffix   | tag     value
 *	        varint  varint    varint  unshared bytes  rest bytes
 *
 * A key is the first `shared` bytes of the key before it and the suffix;
 * `shared` is all that they have in common.  Only each 8th entry, a restart,
 * says 0 in any case, so that a search can begin there: it bisects the restarts
 * and reads on from the last one that is not too far.
 *
 *	tag:    a varint, zigzag(seq - base seq) << 3 | kind
 *
 * The tag counts in `rest`, so an entry can be skipped without decoding it; the
 * base is the first entry's sequence number, so most tags take one to three
 * bytes.  Example, key "ab" behind key "aa", sequence number 9 over base 7,
 * value "v":
 *
 *	01 01 02 | 62 | 21 76        shared 1, suffix "b", tag 4 << 3 | PUT
 *
 * Blocks come from disk: whatever the bytes are, nothing outside them is read,
 * and what cannot be decoded is -EUCLEAN.  Which file that is only the caller
 * knows, so raising it through corrupt() is the caller's part.  A block may be
 * read by any number of threads, an iterator by one at a time. */
#ifndef STORE_BLOCK_H
#define STORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "store/buf.h"
#include "store/iter.h"

/* Entries from one restart to the next.  Not on disk: any reader can read
 * blocks with any distance. */
#define BLOCK_RESTART_EVERY 8

#define BLOCK_KIND_BITS 3
#define BLOCK_TAIL_BYTES 12 /* behind the restart offsets */

_Static_assert(56 + 1 + BLOCK_KIND_BITS <= 64, "zigzag and kind fit a tag");

/* A view of borrowed bytes. */
struct block {
	const uint8_t *data;
	uint32_t end;      /* of the entries, where the restart offsets are */
	uint32_t restarts; /* 1 at least */
	uint64_t base_seq;
};

/* Checks the tail and sets *out; the entries are checked as they are read. */
int block_open(const void *data, size_t len, struct block *out);

/* Finds the newest version of `key` not above `seq`.  The value lies in the
 * block, the key is the caller's.  -ENOENT: there is none.  1: perhaps in the
 * next block, because this one ends within newer versions of the key. */
int block_get(const struct block *block, struct keyfs_slice key, uint64_t seq,
	      struct entry *out);

/* Reads every entry and every restart, as only the search of damage does. */
int block_check(const struct block *block);

/* A cursor in one block.  The iterator in front has no operations of its own:
 * who embeds the cursor gives it some, and these functions are the steps of
 * them.  Its status is -EUCLEAN, -ENOMEM or, at either end of the block, 0. */
struct block_iter {
	struct iter iter;
	struct block block;    /* borrowed bytes */
	const uint8_t *at;     /* the entry where it stands, while valid */
	const uint8_t *behind; /* the entry after it */
	struct buf key;        /* holds the key if a prefix of it is shared */
};

/* Requires: all zero.  At no entry until moved. */
void block_iter_set(struct block_iter *it, const struct block *block);
void block_iter_fini(struct block_iter *it);

void block_iter_first(struct block_iter *it);
void block_iter_last(struct block_iter *it);
void
block_iter_seek(struct block_iter *it, struct keyfs_slice key, uint64_t seq);
void block_iter_next(struct block_iter *it); /* Requires: valid. */
void block_iter_prev(struct block_iter *it); /* Requires: valid. */

#endif
