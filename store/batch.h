/* SPDX-License-Identifier: Apache-2.0 */
/* batch.h - an atomic group of changes, encoded as the log's payload holds
 * them, so that a commit is one copy into the log:
 *
 *	change  := kind u8, family varint, key length varint, key,
 *	           and of a put: value length varint, value
 *	payload := change*
 *
 * The number of changes stands in the log record's header, not in the payload.
 * The kind is one of enum entry_kind; the family is 0, the default one.
 * Varints are those of coding.h: 7 bits a byte, least first.
 *
 *	put a = xy, delete b:   01 00 01 'a' 02 'x' 'y'   02 00 01 'b'
 *
 * Conditions are kept apart: they are never logged.  The first error stays
 * inside.  One thread at a time. */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/buf.h"
#include "store/key.h"

/* A payload's length fits the 32 bits that the log gives it; what a commit may
 * take is much less (store.h, -E2BIG). */
#define BATCH_PAYLOAD_MAX (UINT32_C(1) << 31)

/* One change of the largest key and value, with kind, family and lengths. */
#define BATCH_CHANGE_MAX (1u + 5u + 5u + KEYFS_KEY_MAX + 5u + KEYFS_VALUE_MAX)

enum { BATCH_INLINE_BYTES = 240 };

struct batch_require; /* batch.c's form of a condition */

/* May stand on the stack: a batch of one small change allocates nothing. */
struct keyfs_batch {
	uint8_t *data; /* owned, or `small` */
	size_t len, capacity;
	uint32_t count;
	int error;                      /* the first one */
	struct batch_require *requires; /* owned */
	size_t require_count, require_capacity;
	struct buf require_keys; /* their keys, one behind the other */
	uint8_t small[BATCH_INLINE_BYTES];
};

/* In place; keyfs_batch_new() and keyfs_batch_free() are for the heap. */
void batch_init(struct keyfs_batch *batch);
void batch_fini(struct keyfs_batch *batch);

/* 0, -EINVAL (a key or value out of its limits, a family that is not NULL),
 * -E2BIG (above BATCH_PAYLOAD_MAX) or -ENOMEM. */
int batch_error(const struct keyfs_batch *batch);

/* The encoded changes and their number; valid until the batch changes.  The
 * length is an upper bound for what memtable_reserve() wants. */
struct keyfs_slice batch_payload(const struct keyfs_batch *batch);
uint32_t batch_count(const struct keyfs_batch *batch);

struct batch_condition {
	struct keyfs_slice key; /* in the batch, until it changes */
	uint64_t hash;          /* bloom_hash(key) */
	uint64_t since;         /* no newer change, if not absent */
	bool absent;            /* must have no value */
};

size_t batch_condition_count(const struct keyfs_batch *batch);
/* Requires: index < batch_condition_count(). */
struct batch_condition
batch_condition(const struct keyfs_batch *batch, size_t index);

/* Reads a payload, one of ours or one from a disk: every byte is checked. */
struct batch_reader {
	const uint8_t *at, *end;
	uint32_t left; /* changes still to come */
};

void batch_reader_init(struct batch_reader *reader, struct keyfs_slice payload,
		       uint32_t count);

/* Gives the next change in *out, seq 0, slices into the payload.  -ENOENT: all
 * were given and the payload ends there.  -EUCLEAN: a malformed byte, an
 * unknown kind or family, a key or value out of its limits, fewer or more
 * changes than `count`; the caller, who knows the file, reports it. */
int batch_reader_next(struct batch_reader *reader, struct entry *out);

/* Whether a payload is well formed and its changes, the first numbered `seq`, have
 * sequence numbers that may be. */
bool batch_is_well_formed(struct keyfs_slice payload, uint32_t count,
			  uint64_t seq);

#endif
