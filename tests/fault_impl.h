/* SPDX-License-Identifier: Apache-2.0 */
/* fault_impl.h - struct fault_env, between fault_env.c (the calls of the code
 * under test) and fault_control.c (the test's side). */
#ifndef TESTS_FAULT_IMPL_H
#define TESTS_FAULT_IMPL_H

#include <pthread.h>

#include "tests/fault_env.h"

#define FAULT_TRACE_CALLS 2000
#define FAULT_WALL_BASE_NS UINT64_C(1700000000000000000) /* November 2023 */

struct fault_trace_line {
	uint64_t number;
	enum fault_call call;
	char name[ENV_NAME_MAX + 1];
	char to[ENV_NAME_MAX + 1];
	uint64_t offset, len;
	int result;
};

struct fault_active_rule {
	struct fault_rule rule;
	bool spent;
};

struct fault_env {
	struct env base;

	/* Constant while threads run. */
	void (*watch)(void *arg, enum fault_call call, const char *name,
		      const char *to);
	void *watch_arg;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct disk *disk;   /* owned */
	uint64_t generation; /* of disk, from 1: older handles are dead */
	uint64_t random;
	bool dying;   /* the present call is the last */
	bool crashed; /* no power */
	uint64_t crash_at;
	uint64_t calls, counts[FAULT_CALLS], failures;
	struct fault_active_rule rules[FAULT_RULES];
	unsigned rule_count;
	bool cold;
	uint64_t now_ns, step_ns;
	unsigned handles;
	struct fault_trace_line *trace; /* owned; a ring when it is full */
	size_t trace_cap;
	uint64_t trace_count;
};

extern const struct env_ops fault_env_ops;

/* The end of a call at which the power goes.  Requires: the lock is held. */
void fault_env_cut_power(struct fault_env *fault);

#endif
