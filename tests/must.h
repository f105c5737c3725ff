/* SPDX-License-Identifier: Apache-2.0 */
/* must.h - memory for tests: a test that cannot have it has no result, so these
 * abort instead of failing, and alloc_fault.h lets them have it. */
#ifndef TESTS_MUST_H
#define TESTS_MUST_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* This thread allocates for the test, not for what is tested.  Volatile: compilers
 * know that calloc() does not look at it. */
extern _Thread_local volatile bool must_allocates;

/* Zeroed memory; never NULL, not for 0 bytes either. */
static inline void *
must_alloc(size_t size)
{
	void *p;

	must_allocates = true;
	p = calloc(1, size ? size : 1);
	must_allocates = false;
	if (!p)
		abort();
	return p;
}

static inline void *
must_realloc(void *old, size_t size)
{
	void *p;

	must_allocates = true;
	p = realloc(old, size ? size : 1);
	must_allocates = false;
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
