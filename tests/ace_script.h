/* SPDX-License-Identifier: Apache-2.0 */
/* ace_script.h - short sequences of operations on two directories A and B with two names
 * each, and the states that a crash in them may leave.
 *
 * A sequence needs some names to be there, and some not: what its operations are the
 * first to name is what they need.  A script makes that, syncs, and then does the
 * operations; each of its steps is one call of tree.h.  A model (tree_model.h) does the
 * same and gives the states:
 *
 *	steps    mkdir A  ...  sync | rename A/foo B/bar   empty A/bar   sync
 *	states                    0 |         1                 2          3
 *
 * In state 2 the truncation is held (P3), so it is state 1 once more; the sync logs
 * it. */
#ifndef TESTS_ACE_SCRIPT_H
#define TESTS_ACE_SCRIPT_H

#include "tests/tree_model.h"

#define ACE_LENGTH_MAX 3u

/* An operation of some kind on one or two of the names. */
struct ace_op {
	unsigned kind, from, to;
};

struct ace_workload {
	struct ace_op seq[ACE_LENGTH_MAX];
	size_t length;
	unsigned syncs; /* bit i: after operation i */
	bool large;     /* files have several chunks, else they lie inline */
};

/* All operations; static. */
const struct ace_op *ace_ops(size_t *out_count);

/* Whether the operations can follow one another. */
bool ace_is_possible(const struct ace_workload *w);

/* Of workloads that differ only in which directory is called A and which name foo, the
 * one whose names come first. */
bool ace_is_first_of_its_kind(const struct ace_workload *w);

/* Which of tree_model_xattrs is set: one that writes and truncations take away. */
#define ACE_XATTR 0u

enum ace_call {
	CALL_MAKE,
	CALL_LINK,
	CALL_REMOVE,
	CALL_RENAME,
	CALL_WRITE,
	CALL_TRUNCATE,
	CALL_PUNCH,
	CALL_EMPTY, /* by name: it is held */
	CALL_CHMOD,
	CALL_UTIMENS,
	CALL_SETXATTR,
	CALL_SYNC
};

struct ace_step {
	enum ace_call call;
	const char *from,
		*to;    /* paths; of a new symbolic link `to` is the target */
	uint32_t mode;  /* of a removal the type */
	unsigned flags; /* of a rename */
	size_t offset,
		len; /* of a write, a hole; of a truncation, a value len */
	char fill;
	size_t state; /* the last one that it may leave */
};

#define ACE_STEPS_MAX 24u
#define ACE_STATES_MAX 32u

struct ace_script {
	struct tree_model *model; /* owned; at the end */
	struct ace_step steps[ACE_STEPS_MAX];
	size_t count,
		base; /* steps; those before the operations, a sync last */
	char *states[ACE_STATES_MAX]; /* owned; tree_dump() of each */
	size_t state_count;
	char text[256]; /* for people */
};

/* Requires: ace_is_possible(). */
void ace_script_init(struct ace_script *script, const struct ace_workload *w);
void ace_script_fini(struct ace_script *script);

/* What a write writes, in static memory. */
struct keyfs_slice ace_step_data(const struct ace_step *step);

#endif
