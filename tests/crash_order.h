/* SPDX-License-Identifier: Apache-2.0 */
/* crash_order.h - looks at every call of a store on the simulated disk, whether
 * what it relies on is durable at that moment (rules of store/README.md):
 *
 *	a manifest is synced	every table that it names is, contents and name,
 *				and every log's name (R3, R6); a log that it says
 *				has ended is durable to that end (R7)
 *	CURRENT is renamed	it names a manifest that is durable (R8)
 *	a file is removed	the manifest as a power cut would leave it now does
 *				not need it (R6, R9)
 *
 * A wrong order harms only some crashes; here it is seen in every run, without
 * one.  Any thread; the first violation is kept. */
#ifndef TESTS_CRASH_ORDER_H
#define TESTS_CRASH_ORDER_H

#include "tests/fault_env.h"

struct crash_order {
	struct fault_env *disk; /* borrowed */
	char violation[160];    /* empty: none */
	uint64_t looked;        /* calls that were judged */
};

/* A fault_env_watch(); `order` is the struct crash_order. */
void crash_order_look(void *order, enum fault_call call, const char *name,
		      const char *to);

#endif
