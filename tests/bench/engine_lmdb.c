/* SPDX-License-Identifier: Apache-2.0 */
/* engine_lmdb.c - LMDB, a copy-on-write B+ tree read through a mapping; see
 * engine.h.
 *
 * LMDB has no log: what a put costs is decided by the transaction around it, so it
 * is measured twice, with BATCH puts a transaction and with one.  Without
 * engine_options.sync it does not sync; a crash of the machine may then cost it
 * the whole file, which the others survive. */
#include <config.h>

#include "tests/bench/engine_list.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>

#include "tests/must.h"

#define BATCH 1000
/* Address space, not memory or disk. */
#define MAP_BYTES ((size_t)64 << 30)

struct engine {
	MDB_env *env;
	MDB_dbi dbi;
	unsigned batch; /* puts a transaction */
};

struct engine_cursor {
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	int result; /* of the last move */
};

/* Transactions belong to the thread that began them. */
static _Thread_local MDB_txn *writing; /* NULL, or `changes` were made in it */
static _Thread_local unsigned changes;
static _Thread_local MDB_txn *reading; /* NULL, or reset and ready to renew */

static int
checked(const char *call, int r)
{
	if (r == 0)
		return 0;
	if (r == MDB_NOTFOUND)
		return -ENOENT;
	if (r > 0)
		return engine_error_code("lmdb", call, r);
	return engine_error("lmdb", mdb_strerror(r));
}

static MDB_val
val_of(struct keyfs_slice s)
{
	MDB_val v = { s.len, (void *)(uintptr_t)s.data };

	return v;
}

static struct keyfs_slice
slice_of(MDB_val v)
{
	return keyfs_bytes(v.mv_data, v.mv_size);
}

static int
table_open(MDB_env *env, MDB_dbi *out)
{
	MDB_txn *txn;
	int r = mdb_txn_begin(env, NULL, 0, &txn);

	if (r)
		return r;
	r = mdb_dbi_open(txn, NULL, 0, out);
	if (r) {
		mdb_txn_abort(txn);
		return r;
	}
	return mdb_txn_commit(txn);
}

static int
env_open(MDB_env *env, const char *dir, bool sync)
{
	unsigned flags = MDB_NOTLS | (sync ? 0 : MDB_NOSYNC);
	int r = mdb_env_set_mapsize(env, MAP_BYTES);

	return r ? r : mdb_env_open(env, dir, flags, 0600);
}

static int
lmdb_open_batched(const char *dir, const struct engine_options *options,
		  unsigned batch, struct engine **out)
{
	struct engine *e = must_alloc(sizeof(*e));
	int r = mdb_env_create(&e->env);

	if (r)
		goto fail;
	r = env_open(e->env, dir, options->sync);
	if (r == 0)
		r = table_open(e->env, &e->dbi);
	if (r) {
		mdb_env_close(e->env);
		goto fail;
	}
	e->batch = options->sync ? 1 : batch;
	*out = e;
	return 0;
fail:
	free(e);
	return checked("open", r);
}

static int
lmdb_open(const char *dir, const struct engine_options *options,
	  struct engine **out)
{
	return lmdb_open_batched(dir, options, BATCH, out);
}

static int
lmdb_open_single(const char *dir, const struct engine_options *options,
		 struct engine **out)
{
	return lmdb_open_batched(dir, options, 1, out);
}

static int
commit(void)
{
	MDB_txn *txn = writing;

	writing = NULL;
	changes = 0;
	return txn ? checked("commit", mdb_txn_commit(txn)) : 0;
}

static int
lmdb_leave(struct engine *e)
{
	(void)e;
	if (reading)
		mdb_txn_abort(reading);
	reading = NULL;
	return commit();
}

static int
lmdb_close(struct engine *e)
{
	int r = lmdb_leave(e);

	mdb_env_close(e->env);
	free(e);
	return r;
}

static int
change_begin(struct engine *e)
{
	if (writing)
		return 0;
	return checked("begin", mdb_txn_begin(e->env, NULL, 0, &writing));
}

static int
change_end(struct engine *e)
{
	changes++;
	return changes < e->batch ? 0 : commit();
}

static int
lmdb_put(struct engine *e, struct keyfs_slice key, struct keyfs_slice value)
{
	MDB_val k = val_of(key), v = val_of(value);
	int r = change_begin(e);

	if (r == 0)
		r = checked("put", mdb_put(writing, e->dbi, &k, &v, 0));
	return r ? r : change_end(e);
}

static int
lmdb_remove(struct engine *e, struct keyfs_slice key)
{
	MDB_val k = val_of(key);
	int r = change_begin(e);

	if (r == 0)
		r = checked("delete", mdb_del(writing, e->dbi, &k, NULL));
	if (r < 0 && r != -ENOENT)
		return r;
	return change_end(e);
}

static int
read_begin(struct engine *e)
{
	if (reading)
		return checked("renew", mdb_txn_renew(reading));
	return checked("begin",
		       mdb_txn_begin(e->env, NULL, MDB_RDONLY, &reading));
}

static int
lmdb_get(struct engine *e, struct keyfs_slice key, engine_found_fn found,
	 void *arg)
{
	MDB_val k = val_of(key), v;
	int r = read_begin(e);

	if (r)
		return r;
	r = checked("get", mdb_get(reading, e->dbi, &k, &v));
	if (r == 0)
		found(arg, slice_of(v));
	mdb_txn_reset(reading);
	return r;
}

static int
lmdb_cursor_new(struct engine *e, struct engine_cursor **out)
{
	struct engine_cursor *c = must_alloc(sizeof(*c));
	int r = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &c->txn);

	if (r == 0)
		r = mdb_cursor_open(c->txn, e->dbi, &c->cursor);
	if (r) {
		mdb_txn_abort(c->txn);
		free(c);
		return checked("cursor", r);
	}
	*out = c;
	return 0;
}

static int
lmdb_cursor_end(struct engine_cursor *c)
{
	int r = c->result;

	mdb_cursor_close(c->cursor);
	mdb_txn_abort(c->txn);
	free(c);
	return r == MDB_NOTFOUND ? 0 : checked("cursor", r);
}

static bool
cursor_move(struct engine_cursor *c, MDB_cursor_op how)
{
	c->result = mdb_cursor_get(c->cursor, &c->key, &c->value, how);
	return c->result == 0;
}

static bool
lmdb_cursor_first(struct engine_cursor *c)
{
	return cursor_move(c, MDB_FIRST);
}

static bool
lmdb_cursor_seek(struct engine_cursor *c, struct keyfs_slice key)
{
	c->key = val_of(key);
	return cursor_move(c, MDB_SET_RANGE);
}

static bool
lmdb_cursor_next(struct engine_cursor *c)
{
	return cursor_move(c, MDB_NEXT);
}

static struct keyfs_slice
lmdb_cursor_key(struct engine_cursor *c)
{
	return slice_of(c->key);
}

static struct keyfs_slice
lmdb_cursor_value(struct engine_cursor *c)
{
	return slice_of(c->value);
}

/* It has no background work. */
static int
lmdb_wait(struct engine *e)
{
	(void)e;
	return 0;
}

#define LMDB_CALLS                                                             \
	.close = lmdb_close, .put = lmdb_put, .remove = lmdb_remove,           \
	.get = lmdb_get, .cursor_new = lmdb_cursor_new,                        \
	.cursor_end = lmdb_cursor_end, .cursor_first = lmdb_cursor_first,      \
	.cursor_seek = lmdb_cursor_seek, .cursor_next = lmdb_cursor_next,      \
	.cursor_key = lmdb_cursor_key, .cursor_value = lmdb_cursor_value,      \
	.leave = lmdb_leave, .wait = lmdb_wait

const struct engine_ops engine_lmdb = {
	.name = "lmdb",
	.open = lmdb_open,
	LMDB_CALLS,
};

const struct engine_ops engine_lmdb_single = {
	.name = "lmdb-single",
	.open = lmdb_open_single,
	LMDB_CALLS,
};
