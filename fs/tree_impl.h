/* SPDX-License-Identifier: Apache-2.0 */
/* tree_impl.h - what the parts of the tree share; for tree*.c only.
 *
 * An operation is a struct op for as long as its call lasts.  Its step runs inside a
 * transaction (txn.h), perhaps several times, so a step begins from what op_run() was
 * given and keeps nothing in static or shared memory.  What must happen exactly once
 * happens in op_run() after the commit.
 *
 * Rules that every step keeps (fs/README.md tells why):
 * 1. An inode is changed only after inode_edit(), which latches it, folds a held
 *    truncation into the transaction and puts its attributes in the read set.
 * 2. Contents change only together with the attributes, so chunks need not be in the
 *    read set.
 * 3. One struct inode an inode and step: two copies would overwrite each other. */
#ifndef FS_TREE_IMPL_H
#define FS_TREE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/layout.h"
#include "fs/tree.h"
#include "fs/txn.h"

/* Keys deleted in one transaction by the worker. */
#define TREE_DELETE_BATCH 256u
/* A change deletes up to this many chunks itself. */
#define TREE_DELETE_NOW 64u

struct op;

/* ---- Held truncations (tree_hold.c) ---- */

#define HOLD_BUCKETS 256u

struct hold {
	struct hold *bucket_next;
	struct hold *older, *newer; /* in order of deadline */
	uint64_t ino, id;
	uint64_t base;        /* version of the attributes that it truncates */
	struct timespec time; /* when the file was truncated */
	uint64_t due_ns;      /* CLOCK_MONOTONIC */
};

struct hold_table {
	pthread_mutex_t lock; /* a leaf */
	/* Guarded by lock. */
	struct hold *buckets[HOLD_BUCKETS];
	struct hold *oldest, *newest;
	uint64_t last_id;
	/* Atomic; written under lock. */
	_Atomic size_t count;
	/* The newest version that logged a truncation of an inode of the bucket: a
	 * view from before it may have missed both. */
	_Atomic uint64_t logged[HOLD_BUCKETS];
};

int hold_table_init(struct hold_table *table);
void hold_table_fini(struct hold_table *table);
/* Whether the attributes of `ino` at `version` are to be read as truncated. */
bool hold_find(struct hold_table *table, uint64_t ino, uint64_t version,
	       struct hold *out);
bool hold_has(struct hold_table *table, uint64_t ino);
/* Whether a view at `view` may be too old to trust that hold_find() found nothing. */
bool hold_missed(struct hold_table *table, uint64_t ino, uint64_t view);
/* Takes `hold`, filled but for id and due_ns, on success. */
void hold_insert(struct tree *tree, struct hold *hold);
/* A file truncated twice keeps its deadline. */
void hold_again(struct hold_table *table, uint64_t ino, struct timespec time);
/* The hold was logged by the commit `version`. */
void hold_logged(struct hold_table *table, uint64_t ino, uint64_t id,
		 uint64_t version);
/* The oldest hold that is due at `now_ns`; out->due_ns is set in any case, UINT64_MAX
 * if there is none. */
bool hold_due(struct hold_table *table, uint64_t now_ns, struct hold *out);
/* Could not be logged: again after TREE_HOLD_MS. */
void hold_postpone(struct hold_table *table, uint64_t ino, uint64_t id);
int hold_log(struct tree *tree, const struct tree_caller *caller, uint64_t ino);
int hold_log_all(struct tree *tree);

/* ---- Inode numbers (tree_ino.c) ---- */

#define INO_RUNS 256u

struct ino_source {
	pthread_mutex_t lock; /* held around reads and commits of 'S' 'N' */
	/* Guarded by lock. */
	uint64_t next, end; /* reserved and not handed out */
	struct ino_run {
		uint64_t parent, next, end;
	} runs[INO_RUNS];
};

int ino_source_init(struct ino_source *source);
void ino_source_fini(struct ino_source *source);
/* A number never used before, next to others of the same parent. */
int ino_take(struct op *op, uint64_t parent, uint64_t *out);

/* ---- Work owed and the worker (tree_orphan.c, tree_worker.c) ---- */

struct owed {
	uint64_t ino;
	bool forgotten; /* nobody uses it: no need to ask */
};

struct worker {
	pthread_mutex_t lock; /* a leaf */
	pthread_cond_t wake;
	/* Guarded by lock. */
	struct owed *queue; /* owned */
	size_t count, capacity;
	bool scan;         /* there is more than the queue holds */
	uint64_t pause_ns; /* the queue rests until then: the disk is full */
	bool stop;
	/* Constant while the tree is in use by several threads. */
	bool running;
	pthread_t thread;
};

int worker_init(struct worker *worker);
void worker_fini(struct worker *worker);
int worker_start(struct tree *tree);
void worker_stop(struct tree *tree);
void worker_wake(struct tree *tree);
bool worker_stopping(struct tree *tree);
/* Queues, or settles at once where no worker runs. */
void owed_add(struct tree *tree, uint64_t ino, bool forgotten);
/* Removes or trims what 'O' says of `ino`. */
int owed_settle(struct tree *tree, uint64_t ino, bool forgotten);
/* Queues whatever an earlier run left. */
int owed_scan(struct tree *tree);
/* An object has lost its last name: if nobody uses it, nobody will tell later that it
 * is forgotten. */
void orphan_unused(struct tree *tree, uint64_t ino);
/* Deletes some of the stale chunks of `ino`; *more: there are others.  A truncation
 * that is held for the file is left alone, and the work with it, unless `now`. */
int trim_some(struct tree *tree, uint64_t ino, bool now, bool *more);

/* ---- The tree (tree.c) ---- */

struct tree {
	/* Constant after tree_open(). */
	struct kv *kv;           /* borrowed */
	struct txn_space *space; /* owned */
	struct tree_options options;
	uint32_t inline_max;
	bool may_hold;

	struct hold_table holds;
	struct ino_source inos;
	struct worker worker;

	/* Atomic; written by every operation. */
	_Atomic uint64_t inodes, bytes;
	/* What 'S' 'T' says; written by totals_store(). */
	_Atomic uint64_t inodes_stored, bytes_stored;
	/* Of the superblock; written by the operation that adds one. */
	_Atomic uint32_t features;
};

uint64_t clock_now_ns(void);      /* CLOCK_MONOTONIC */
struct timespec clock_wall(void); /* the coarse real-time clock */
int totals_store(struct tree *tree);

/* ---- Operations (tree_op.c) ---- */

#define OP_READ 1u    /* changes nothing */
#define OP_RESERVE 2u /* frees space */

/* What a step returns when stale chunks are in its way: op_run() deletes some of
 * those of op->trim and runs it again. */
#define OP_TRIM_FIRST 1

typedef int (*op_step_fn)(struct op *op, void *arg);

struct op {
	struct tree *tree;
	struct txn *txn;
	const struct tree_caller *caller; /* NULL: the tree itself */
	bool nowait;
	struct timespec now; /* of this operation */
	op_step_fn step;
	void *arg;

	/* For after the commit; each run of the step begins with none. */
	int64_t inodes, bytes; /* how the totals change */
	struct {
		uint64_t ino, id;
	} logged[4]; /* holds that this transaction logs */
	unsigned logged_count;
	struct hold *hold; /* to be held; owned */
	bool hold_again;
	uint64_t hold_ino;
	uint64_t trim;     /* has stale chunks; 0: none */
	uint32_t features; /* that the superblock has got */
};

/* Runs `step` in a transaction.  `caller` may be NULL: the tree itself. */
int op_run(struct tree *tree, const struct tree_caller *caller, unsigned flags,
	   op_step_fn step, void *arg);

/* ---- Inodes (tree_inode.c) ---- */

struct inode {
	uint64_t ino;
	uint64_t version;      /* of what was read; 0: written here */
	bool held;             /* shown as truncated */
	uint64_t stored_known; /* what the totals have of a.stored */
	struct layout_attr a;
};

/* An inode from its value. */
int inode_from(struct op *op, uint64_t ino, struct keyfs_slice value,
	       uint64_t version, struct inode *out);
/* Reads an inode; inode_get() puts it in the read set.  -ENOENT. */
int inode_peek(struct op *op, uint64_t ino, struct inode *out);
int inode_get(struct op *op, uint64_t ino, struct inode *out);
/* Reads an inode in order to change it (rule 1). */
int inode_edit(struct op *op, uint64_t ino, struct inode *out);
/* The same for a directory that a name is added to or taken from. -ENOTDIR. */
int inode_edit_dir(struct op *op, uint64_t ino, struct inode *out);
void inode_put(struct op *op, struct inode *inode);
/* What a caller is told of an inode. */
void inode_tell(const struct inode *inode, struct tree_attr *out);
/* Modification or change of now. */
void inode_touch(const struct op *op, struct inode *inode);
/* Takes one name away; without any it becomes an orphan.  True: it has. */
bool inode_drop(struct op *op, struct inode *inode);
void orphan_put(struct op *op, uint64_t ino, enum layout_orphan what);

/* Directory entries.  -ENOENT. */
int entry_peek(struct op *op, uint64_t parent, struct keyfs_slice name,
	       struct layout_entry *out);
int entry_get(struct op *op, uint64_t parent, struct keyfs_slice name,
	      struct layout_entry *out);
void entry_put(struct op *op, uint64_t parent, struct keyfs_slice name,
	       uint64_t ino, uint32_t mode);
void entry_delete(struct op *op, uint64_t parent, struct keyfs_slice name);
/* 0 if the name is free and stays so, -EEXIST if not. */
int entry_absent(struct op *op, uint64_t parent, struct keyfs_slice name);
/* What an entry points at, to be changed.  -EUCLEAN: not there, or another type. */
int
entry_edit(struct op *op, const struct layout_entry *entry, struct inode *out);
/* The object called `name`, the dots too. */
int name_find(struct op *op, uint64_t parent, struct keyfs_slice name,
	      struct inode *out);

/* ---- Extended attributes (tree_xattr.c) ---- */

/* Below, the caller puts the inode, and has seen whether there is one of that name. */

/* -ENODATA: there is none. */
int xattr_peek(struct op *op, const struct inode *inode,
	       struct keyfs_slice name, struct keyfs_slice *out);
/* `value` is borrowed until the transaction has ended.  -ENOSPC: too many names. */
int xattr_add(struct op *op, struct inode *inode, struct keyfs_slice name,
	      struct keyfs_slice value);
void xattr_replace(struct op *op, const struct inode *inode,
		   struct keyfs_slice name, struct keyfs_slice value);
int xattr_remove(struct op *op, struct inode *inode, struct keyfs_slice name);

/* ---- Access control lists (tree_acl.c) ---- */

/* Makes the mode what an access list says that is to be set.  *out_all: that was all of
 * it, and there is nothing to store.  -EINVAL: no list.  -EOPNOTSUPP: a symbolic link.
 * -EACCES: a default list for another object than a directory.  The caller puts the
 * inode. */
int inode_set_acl(struct op *op, struct inode *inode, struct keyfs_slice name,
		  struct keyfs_slice list, bool *out_all);
/* Makes an access list, if there is one, what the mode says. */
int inode_chmod_acl(struct op *op, const struct inode *inode);
/* Gives a new object what `parent` has it inherit: lists, or the mode without the
 * caller's umask.  Requires: it has no extended attributes yet. */
int
inode_inherit(struct op *op, const struct inode *parent, struct inode *inode);

/* ---- Privileges (tree_xattr.c) ---- */

/* Whether the caller is in that group, or may do what those in it may. */
bool op_in_group(const struct op *op, uint32_t gid);

/* What a write, a truncation or a new owner takes from a file: security.capability and,
 * where `setid`, set-id bits.  The caller puts the inode. */
int inode_drop_privs(struct op *op, struct inode *inode, bool setid);
/* Whether that would change anything, or cannot be told. */
bool inode_has_privs(struct op *op, const struct inode *inode, bool setid);

static inline bool
op_clears_setid(const struct op *op)
{
	return op->caller && op->caller->clears_setid;
}

/* ---- Contents (tree_data.c, tree_trunc.c) ---- */

static inline uint64_t
chunk_of(uint64_t offset)
{
	return offset >> LAYOUT_CHUNK_BITS;
}

/* Chunks that `size` bytes reach into. */
static inline uint64_t
chunks_of(uint64_t size)
{
	return (size + LAYOUT_CHUNK - 1) >> LAYOUT_CHUNK_BITS;
}

/* Deletes chunks by number, whether they are stored or not. */
void chunks_delete(struct op *op, uint64_t ino, uint64_t from, uint64_t to);

static inline bool
inode_is_inline(const struct op *op, const struct inode *inode)
{
	return inode->a.size <= op->tree->inline_max;
}

static inline bool
chunk_is_stale(const struct layout_attr *a, uint64_t chunk)
{
	return chunk >= a->stale_from && chunk < a->stale_to;
}

/* Reads a chunk; what is absent or stale is empty. */
int chunk_peek(struct op *op, const struct inode *inode, uint64_t chunk,
	       struct keyfs_slice *out);
void
chunk_put(struct op *op, uint64_t ino, uint64_t chunk, struct keyfs_slice data);
/* -EISDIR, -EINVAL: it has no contents. */
int inode_check_regular(const struct inode *inode);
/* Reads up to `len` bytes; less only at the end.  Requires: a regular file. */
int inode_read(struct op *op, const struct inode *inode, uint64_t offset,
	       size_t len, uint8_t *buf, size_t *out_len);
/* Writes `data`, not empty and borrowed until the transaction has ended, with all that
 * goes with it, and puts the inode.  Requires: a regular file, and its end at 2^63-1 at
 * most.  May return OP_TRIM_FIRST. */
int inode_write(struct op *op, struct inode *inode, uint64_t offset,
		struct keyfs_slice data);
/* Moves inline contents, if it has such, to the first chunk, for a file that is to
 * grow. */
int inode_spill(struct op *op, struct inode *inode);
/* Changes the size, without times; the caller puts the inode.  May return
 * OP_TRIM_FIRST. */
int inode_resize(struct op *op, struct inode *inode, uint64_t size);
/* Rids the file of the chunks from `from` to before `to`, at once or by declaring them
 * stale.  May return OP_TRIM_FIRST. */
int chunks_doom(struct op *op, struct inode *inode, uint64_t from, uint64_t to);
/* Bytes stored in those chunks. */
int stored_between(struct op *op, const struct inode *inode, uint64_t from,
		   uint64_t to, uint64_t *out);
/* Takes the chunks from `from` to before `to`, all of which the caller writes, out of
 * the stale ones.  May return OP_TRIM_FIRST. */
int
stale_reclaim(struct op *op, struct inode *inode, uint64_t from, uint64_t to);

#endif
