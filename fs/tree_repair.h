/* SPDX-License-Identifier: Apache-2.0 */
/* tree_repair.h - makes a tree out of keys that were one, and says what it lacks.
 *
 * For a store that was salvaged: any key may be missing or older than its neighbours, and
 * a crafted store may hold anything.  What is left is believed in this order: attributes,
 * then names, then the parts (entries, chunks, targets).
 *
 *	a name without an inode              is removed
 *	an inode without attributes          gets new ones, if parts are left: a
 *	                                     directory from its entries, a file
 *	                                     from its chunks, a link from its
 *	                                     target
 *	an inode without a name,             gets its number as its name in
 *	a circle of directories              lost+found
 *	a chunk that is missing              reads as zeros; the file keeps its size
 *	counts, totals, work owed            are counted again
 *
 * Takes some 200 bytes an inode.  One thread, and nobody else uses the engine. */
#ifndef FS_TREE_REPAIR_H
#define FS_TREE_REPAIR_H

#include "fs/tree.h"

struct tree_repair_options {
	/* Only says what is wrong; needs nothing but scans. */
	bool dry_run;
	/* What the salvage has lost, and the keys that are doubtful; borrowed. */
	const struct keyfs_loss *losses;
	size_t loss_count;
	const struct keyfs_slice *doubtful;
	size_t doubtful_count;
	/* Each thing that is wrong or not certain, by path where one leads there; a value
	 * other than 0 is ignored.  May be NULL. */
	tree_problem_fn problem;
	void *arg;
};

/* Repairs the tree in `kv`, in several commits, and syncs.  0: it is whole now, or with
 * dry_run everything was told.  -EUCLEAN: these are no files at all. */
int tree_repair(struct kv *kv, const struct tree_repair_options *options);

/* Scans over a salvage, for a dry run; `salvage` is borrowed until kv_close(). */
int kv_salvage_new(struct keyfs_salvage *salvage, struct kv **out);

#endif
