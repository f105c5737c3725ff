/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_fault.h - memory that runs out when a test wants it to.
 *
 *	alloc_fault_start(ALLOC_FAULT_MINE, 17, false);
 *	r = keyfs_get(...);			its 18th allocation fails
 *	failed = alloc_fault_stop();		0: it made fewer
 *
 * For programs linked with $(ALLOC_FAULT_WRAPS): there the linker sends every
 * allocation of our own objects by way of alloc_fault.c, and those of the system's
 * libraries as ever.  What is allocated through must.h never fails.  What is counted
 * are calls of malloc() and its kin, of strdup() and others that allocate, and of
 * pthread_create(), which fails as if there were no memory for a stack. */
#ifndef TESTS_ALLOC_FAULT_H
#define TESTS_ALLOC_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Whose allocations fail: the calling thread's, or those of all others. */
enum alloc_fault_who { ALLOC_FAULT_MINE, ALLOC_FAULT_OTHERS };

/* From now on allocation number `nth` (from 0) fails, with `forever` all later ones
 * too.  One at a time; not while other threads start or stop one. */
void alloc_fault_start(enum alloc_fault_who who, uint64_t nth, bool forever);

/* Ends it.  Returns how many allocations have failed. */
uint64_t alloc_fault_stop(void);

/* Allocations counted since the last start. */
uint64_t alloc_fault_count(void);

/* An assertion while allocations fail: those of Check allocate. */
void alloc_fault_expect(bool ok, const char *what);

#endif
