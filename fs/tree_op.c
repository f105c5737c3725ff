/* SPDX-License-Identifier: Apache-2.0 */
/* tree_op.c - runs one operation: a transaction, and what follows its commit. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fs/tree_impl.h"

uint64_t
clock_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The clock that the kernel's own filesystems use: no call into the kernel, and
 * never ahead of theirs. */
struct timespec
clock_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return t;
}

static int
op_attempt(struct txn *txn, void *arg)
{
	struct op *op = arg;

	op->txn = txn;
	op->inodes = op->bytes = 0;
	op->logged_count = 0;
	op->hold_again = false;
	free(op->hold);
	op->hold = NULL;
	op->hold_ino = op->trim = 0;
	op->features = 0;
	return op->step(op, op->arg);
}

/* Still under the latches: who comes next finds the table as the commit left it. */
static void
op_committed(void *arg, uint64_t version)
{
	struct op *op = arg;
	struct tree *tree = op->tree;

	for (unsigned i = 0; i < op->logged_count; i++)
		hold_logged(&tree->holds, op->logged[i].ino, op->logged[i].id,
			    version);
	if (op->hold_ino && op->hold_again) {
		hold_again(&tree->holds, op->hold_ino, op->now);
	} else if (op->hold_ino) {
		hold_insert(tree, op->hold);
		op->hold = NULL;
	}
	if (op->features)
		atomic_fetch_or_explicit(&tree->features, op->features,
					 memory_order_relaxed);
	if (op->inodes)
		atomic_fetch_add_explicit(&tree->inodes, (uint64_t)op->inodes,
					  memory_order_relaxed);
	if (op->bytes)
		atomic_fetch_add_explicit(&tree->bytes, (uint64_t)op->bytes,
					  memory_order_relaxed);
}

static unsigned
txn_flags(const struct op *op, unsigned flags)
{
	unsigned out = 0;

	if (op->nowait)
		out |= TXN_NOWAIT;
	if (flags & OP_READ)
		out |= TXN_READ_ONLY;
	if (flags & OP_RESERVE)
		out |= TXN_USE_RESERVE;
	return out;
}

static int
op_trim(struct op *op)
{
	bool more;

	return op->nowait ? -EAGAIN
			  : trim_some(op->tree, op->trim, true, &more);
}

int
op_run(struct tree *tree, const struct tree_caller *caller, unsigned flags,
       op_step_fn step, void *arg)
{
	struct op op = { .tree = tree,
			 .caller = caller,
			 .nowait = caller && caller->nowait,
			 .now = clock_wall(),
			 .step = step,
			 .arg = arg };
	struct txn_body body = { op_attempt, op_committed, &op };
	bool refuse = tree->options.read_only && !(flags & OP_READ);
	int rc = refuse ? -EROFS : 0;

	while (!rc) {
		rc = txn_run(tree->space, &body, txn_flags(&op, flags));
		if (rc != OP_TRIM_FIRST)
			break;
		rc = op_trim(&op);
	}
	free(op.hold);
	if (!rc && op.trim)
		owed_add(tree, op.trim, false);
	return rc;
}
