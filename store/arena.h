/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that is taken piece by piece and freed as a whole.
 *
 * A piece never moves.  Reserving may fail, taking from what is reserved
 * cannot: so whoever must not fail halfway reserves first.  One thread takes;
 * other threads may read the pieces once they are published to them. */
#ifndef STORE_ARENA_H
#define STORE_ARENA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_ALIGN 8u

struct arena_block;

struct arena {
	struct arena_block *blocks; /* owned; the newest first */
	uint8_t *at, *end;          /* what is left of the newest */
	size_t next_block_bytes;
	/* Atomic; the taker's. */
	_Atomic size_t used_bytes;
};

void arena_init(struct arena *arena);
void arena_fini(struct arena *arena);

/* Makes sure that the next `bytes` can be taken, in pieces whose lengths are
 * rounded up to ARENA_ALIGN.  -ENOMEM: nothing changed. */
int arena_reserve(struct arena *arena, size_t bytes);

/* Takes a piece, aligned to ARENA_ALIGN.  Requires: reserved. */
void *arena_take(struct arena *arena, size_t bytes);

/* What was taken.  Any thread. */
size_t arena_used(const struct arena *arena);

#endif
