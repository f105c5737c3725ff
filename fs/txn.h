/* SPDX-License-Identifier: Apache-2.0 */
/* txn.h - optimistic transactions over any engine.
 *
 * A transaction is a function that is run until it commits.  It reads at one view
 * and remembers the version of each key it read; it writes into a buffer; the commit
 * carries both, and the engine applies the changes only if what was read is still so.
 * After a conflict the function runs again at a newer view.
 *
 *	latch      the inodes to be changed: two changes of one inode take turns
 *	  |        instead of conflicting
 *	view       opened by the first read, after the latches
 *	  |
 *	step       gets, scans, puts, deletes
 *	  |
 *	commit     0, or -ECANCELED: from the top; the TXN_CONFLICTS_MAX-th time with
 *	           all other writers of this space shut out
 *
 * So no conflict reaches a caller, and one that always loses gets its turn.
 *
 * Locks, in order: the space's lock (shared by writers, exclusive to run alone), then
 * latches in ascending order of stripe.  A step may take leaf locks of its own, but
 * must not run another transaction of the same space.
 *
 * Any thread may call txn_run(); a transaction belongs to the thread that runs it. */
#ifndef FS_TXN_H
#define FS_TXN_H

#include "fs/kv.h"

#define TXN_CONFLICTS_MAX 3u

struct txn;
struct txn_space;

/* Flags of txn_run(). */
#define TXN_NOWAIT 1u      /* -EAGAIN instead of waiting for anything */
#define TXN_READ_ONLY 2u   /* the step writes and latches nothing */
#define TXN_USE_RESERVE 4u /* it frees space: allowed on a full disk */

struct txn_body {
	/* What is to be done; run again from the start after a conflict.  0:
	 * commit.  -ECANCELED: it has seen that it must start again.  Anything
	 * else ends the transaction with nothing done. */
	int (*step)(struct txn *txn, void *arg);
	/* Called after the commit, with the latches still held.  May be NULL. */
	void (*committed)(void *arg, uint64_t version);
	void *arg;
};

/* The space of transactions that exclude each other; `kv` is borrowed. */
int txn_space_new(struct kv *kv, struct txn_space **out);
void txn_space_free(struct txn_space *space); /* NULL is allowed */

/* Runs a transaction.  Returns what the step returned, or the commit: never
 * -ECANCELED. */
int
txn_run(struct txn_space *space, const struct txn_body *body, unsigned flags);

/* ---- Inside a step ---- */

/* Holds the latches of `inos` until the transaction has ended, or returns an error
 * that the step must return. */
int txn_latch(struct txn *txn, const uint64_t *inos, size_t count);

/* The version that the reads are made at. */
int txn_version(struct txn *txn, uint64_t *out);

/* Reads a key that must be unchanged at commit.  -ENOENT: absent, and that is
 * remembered too.  What this transaction wrote is seen, with version 0.  *out lives
 * until the step has been committed; out_version may be NULL. */
int txn_get(struct txn *txn, struct keyfs_slice key, struct keyfs_slice *out,
	    uint64_t *out_version);

/* The same, but the key may change before the commit. */
int txn_peek(struct txn *txn, struct keyfs_slice key, struct keyfs_slice *out,
	     uint64_t *out_version);

/* Reads many keys as txn_peek() does, without what this transaction wrote.  An absent
 * key has version 0. */
int txn_peek_many(struct txn *txn, size_t count, const struct keyfs_slice *keys,
		  const struct kv_value **out);

/* kv_scan() at the view.  Not remembered, and without what was written here: a step
 * that depends on a range must read a key that changes with it. */
int txn_scan(struct txn *txn, struct keyfs_slice begin, struct keyfs_slice end,
	     unsigned flags, kv_each_fn each, void *arg);

/* Memory that lives until the transaction has ended.  NULL: none left, which the
 * commit reports as well. */
void *txn_alloc(struct txn *txn, size_t size);

/* Writes.  The key is copied, the value is borrowed until the transaction has ended.
 * A later write of the same key replaces an earlier one.  Failures are reported by
 * the commit. */
void txn_put(struct txn *txn, struct keyfs_slice key, struct keyfs_slice value);
void txn_delete(struct txn *txn, struct keyfs_slice key);

/* What TXN_USE_RESERVE says, found out in the step. */
void txn_use_reserve(struct txn *txn);

#endif
