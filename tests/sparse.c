/* SPDX-License-Identifier: Apache-2.0 */
/* sparse.c - see sparse.h.
 *
 * The bytes are a mapping of nothing, which the kernel fills with pages where it is
 * written to; the blocks say where to look. */
#include <config.h>

#include "tests/sparse.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/must.h"

#define BLOCK UINT64_C(65536)
#define BLOCKS (SPARSE_MAX / BLOCK)

void
sparse_init(struct sparse *s)
{
	s->size = 0;
	s->used = must_alloc(BLOCKS * sizeof(*s->used));
	s->bytes = mmap(NULL, SPARSE_MAX, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->bytes == MAP_FAILED)
		abort();
	(void)madvise(s->bytes, SPARSE_MAX, MADV_NOHUGEPAGE);
}

void
sparse_fini(struct sparse *s)
{
	munmap(s->bytes, SPARSE_MAX);
	free(s->used);
}

void
sparse_write(struct sparse *s, uint64_t from, const void *data, size_t len)
{
	uint64_t to = from + len, block;

	if (len == 0)
		return;
	for (block = from / BLOCK; block <= (to - 1) / BLOCK; block++)
		s->used[block] = true;
	memcpy(s->bytes + from, data, len);
	if (to > s->size)
		s->size = to;
}

/* The end of the block that `at` lies in, or `to` if that comes first. */
static uint64_t
block_end(uint64_t at, uint64_t to)
{
	uint64_t end = (at / BLOCK + 1) * BLOCK;

	return end < to ? end : to;
}

void
sparse_zero(struct sparse *s, uint64_t from, uint64_t to)
{
	uint64_t end;

	for (; from < to; from = end) {
		end = block_end(from, to);
		if (!s->used[from / BLOCK])
			continue;
		if (end - from < BLOCK) {
			memset(s->bytes + from, 0, end - from);
			continue;
		}
		if (madvise(s->bytes + from, BLOCK, MADV_DONTNEED) != 0)
			abort();
		s->used[from / BLOCK] = false;
	}
}

void
sparse_resize(struct sparse *s, uint64_t size)
{
	if (size < s->size)
		sparse_zero(s, size, s->size);
	s->size = size;
}

static bool
all_zeros(const uint8_t *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

uint64_t
sparse_find(const struct sparse *s, uint64_t from, uint64_t to)
{
	uint64_t end;

	for (; from < to; from = end) {
		end = block_end(from, to);
		if (!s->used[from / BLOCK] ||
		    all_zeros(s->bytes + from, end - from))
			continue;
		while (s->bytes[from] == 0)
			from++;
		return from;
	}
	return to;
}

/* ---- Keeping it: the size, then number and bytes of each block, then BLOCKS ---- */

static bool
put_number(uint64_t number, FILE *to)
{
	return fwrite(&number, sizeof(number), 1, to) == 1;
}

static bool
get_number(uint64_t *number, FILE *from)
{
	return fread(number, sizeof(*number), 1, from) == 1;
}

bool
sparse_save(const struct sparse *s, FILE *to)
{
	bool good = put_number(s->size, to);

	for (uint64_t i = 0; i < BLOCKS && good; i++)
		if (s->used[i])
			good = put_number(i, to) &&
			       fwrite(s->bytes + i * BLOCK, BLOCK, 1, to) == 1;
	return good && put_number(BLOCKS, to);
}

bool
sparse_load(struct sparse *s, FILE *from)
{
	bool good = get_number(&s->size, from);
	uint64_t i = 0;

	while (good && (good = get_number(&i, from)) && i < BLOCKS) {
		s->used[i] = true;
		good = fread(s->bytes + i * BLOCK, BLOCK, 1, from) == 1;
	}
	return good && i == BLOCKS && s->size <= SPARSE_MAX;
}
