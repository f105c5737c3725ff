/* SPDX-License-Identifier: Apache-2.0 */
/* must.h - memory for tests: a test that cannot have it has no result, so these
 * abort instead of failing. */
#ifndef TESTS_MUST_H
#define TESTS_MUST_H

#include <stdlib.h>
#include <string.h>

/* Zeroed memory; never NULL, not for 0 bytes either. */
static inline void *
must_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

static inline void *
must_realloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		abort();
	return p;
}

static inline void *
must_copy(const void *data, size_t len)
{
	void *p = must_alloc(len);

	if (len)
		memcpy(p, data, len);
	return p;
}

/* Makes room for one more item in an array that grows by doubling.  Returns the
 * array, moved or not. */
static inline void *
must_grow(void *array, size_t count, size_t *cap, size_t item_size)
{
	if (count < *cap)
		return array;
	*cap = *cap ? *cap * 2 : 8;
	return must_realloc(array, *cap * item_size);
}

#endif
