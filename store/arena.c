/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - memory that is freed as a whole; see arena.h. */
#include <config.h>

#include "store/arena.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Blocks double from the first size to the last, so that a small memtable stays
 * small and a large one takes few.  The last size is that of a huge page: a
 * search in a large memtable misses the processor's page cache at nearly every
 * step without. */
enum {
	BLOCK_FIRST_BYTES = 4 << 10,
	BLOCK_LAST_BYTES = 2 << 20,
};

struct arena_block {
	struct arena_block *older;
};

_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0,
	       "the first piece of a block is aligned");

void
arena_init(struct arena *arena)
{
	arena->blocks = NULL;
	arena->at = arena->end = NULL;
	arena->next_block_bytes = BLOCK_FIRST_BYTES;
	atomic_init(&arena->used_bytes, 0);
}

void
arena_fini(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	while (block) {
		struct arena_block *older = block->older;

		free(block);
		block = older;
	}
	arena->blocks = NULL;
	arena->at = arena->end = NULL;
}

static struct arena_block *
block_new(size_t bytes)
{
	struct arena_block *block;

	if (bytes < BLOCK_LAST_BYTES)
		return malloc(bytes);
	bytes = (bytes + BLOCK_LAST_BYTES - 1) &
		~(size_t)(BLOCK_LAST_BYTES - 1);
	block = aligned_alloc(BLOCK_LAST_BYTES, bytes);
	/* A wish: without huge pages it is only slower. */
	if (block)
		(void)madvise(block, bytes, MADV_HUGEPAGE);
	return block;
}

int
arena_reserve(struct arena *arena, size_t bytes)
{
	size_t block_bytes = arena->next_block_bytes;
	struct arena_block *block;

	if ((size_t)(arena->end - arena->at) >= bytes)
		return 0;
	if (bytes > SIZE_MAX / 2)
		return -ENOMEM;
	if (block_bytes < bytes + sizeof(*block))
		block_bytes = bytes + sizeof(*block);
	block = block_new(block_bytes);
	if (!block)
		return -ENOMEM;
	block->older = arena->blocks;
	arena->blocks = block;
	arena->at = (uint8_t *)(block + 1);
	arena->end = (uint8_t *)block + block_bytes;
	if (arena->next_block_bytes < BLOCK_LAST_BYTES)
		arena->next_block_bytes *= 2;
	return 0;
}

void *
arena_take(struct arena *arena, size_t bytes)
{
	uint8_t *piece = arena->at;
	size_t used;

	bytes = (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	assert(bytes <= (size_t)(arena->end - arena->at));
	arena->at += bytes;
	/* Relaxed: a counter, and only the taker writes it. */
	used = atomic_load_explicit(&arena->used_bytes, memory_order_relaxed);
	atomic_store_explicit(&arena->used_bytes, used + bytes,
			      memory_order_relaxed);
	return piece;
}

size_t
arena_used(const struct arena *arena)
{
	return atomic_load_explicit(&arena->used_bytes, memory_order_relaxed);
}
