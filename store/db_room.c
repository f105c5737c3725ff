/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>

#include "store/db.h"

/* How many bytes are admitted by one question to the disk, at most and at least; and
 * never more than a share of the reserve, which must hold them, with logs and tables,
 * if others fill the disk before they are written. */
#define GRANT_BYTES_MAX (UINT64_C(8) << 20)
#define GRANT_BYTES_MIN (UINT64_C(64) << 10)
#define GRANT_RESERVE_SHARE 4u

#define RESERVE_NAME "RESERVE"
/* What is not given back while the store is open: the next opening needs a log and
 * a manifest before it can remove the old ones, and others may have taken all that
 * was given back. */
#define RESERVE_OPENING_BYTES (UINT64_C(512) << 10)
#define RESERVE_OPENING_SHARE 4u

/* ---- Memory ---- */

void
db_budget_update(struct keyfs_store *db)
{
	size_t least = db->options.memory_bytes / DB_CACHE_SHARE_MIN, taken;

	mutex_lock(&db->lock);
	db->budgeted = db->sealed_count;
	mutex_unlock(&db->lock);
	/* The active one is counted full: it will be. */
	taken = (db->budgeted + 1) * db->options.memtable_bytes;
	if (taken + least > db->options.memory_bytes)
		taken = db->options.memory_bytes - least;
	cache_set_capacity(db->cache, db->options.memory_bytes - taken);
}

/* ---- Space ---- */

size_t
db_memtable_bytes_locked(const struct keyfs_store *db)
{
	size_t bytes = 0, i;

	for (i = 0; i < db->view->memtable_count; i++)
		bytes += memtable_bytes(db->view->memtables[i]);
	return bytes;
}

/* What the disk must keep free for what was accepted already. */
static uint64_t
space_promised(struct keyfs_store *db)
{
	uint64_t promised = DB_SPACE_MARGIN_BYTES;

	mutex_lock(&db->lock);
	promised += db_memtable_bytes_locked(db);
	mutex_unlock(&db->lock);
	if (!atomic_load_explicit(&db->reserve_held, memory_order_relaxed))
		promised += db->options.reserve_bytes;
	return promised;
}

/* What is free beyond what is promised. */
static uint64_t
space_beyond(struct keyfs_store *db)
{
	uint64_t promised = space_promised(db);
	struct env_space space;

	/* A disk that cannot say how full it is will say so at the write. */
	if (env_dir_space(db->dir, &space) < 0)
		return GRANT_BYTES_MAX;
	return space.available > promised ? space.available - promised : 0;
}

void
db_space_refresh(struct keyfs_store *db)
{
	uint64_t most = db->options.reserve_bytes / GRANT_RESERVE_SHARE;
	uint64_t beyond = space_beyond(db), grant = beyond / 16;

	if (most > GRANT_BYTES_MAX)
		most = GRANT_BYTES_MAX;
	if (grant > most)
		grant = most;
	if (grant < GRANT_BYTES_MIN)
		grant = beyond < GRANT_BYTES_MIN ? beyond : GRANT_BYTES_MIN;
	atomic_store_explicit(&db->space_left, grant, memory_order_relaxed);
}

/* Takes `bytes` from the grant.  Never more than is left: below zero it would wrap
 * around, and everything would be admitted from then on. */
static bool
take_grant(struct keyfs_store *db, uint64_t bytes)
{
	uint64_t left =
		atomic_load_explicit(&db->space_left, memory_order_relaxed);

	do {
		if (left < bytes)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&db->space_left, &left,
							left - bytes,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static int
admit_space(struct keyfs_store *db, uint64_t bytes)
{
	uint64_t beyond;

	if (take_grant(db, bytes))
		return 0;
	db_space_refresh(db);
	if (take_grant(db, bytes))
		return 0;
	beyond = space_beyond(db);
	/* A batch larger than a grant is admitted by itself. */
	return beyond > bytes && beyond > GRANT_BYTES_MAX ? 0 : -ENOSPC;
}

int
db_admit(struct keyfs_store *db, size_t bytes, unsigned flags)
{
	int r = db_pay(db, flags);

	if (r < 0)
		return r;
	if (!(flags & KEYFS_USE_RESERVE) && bytes > 0)
		r = admit_space(db, bytes);
	return r;
}

/* ---- The reserve ---- */

static int
reserve_open(struct keyfs_store *db, struct env_file **out)
{
	int r = env_file_open(db->dir, RESERVE_NAME, ENV_READ | ENV_WRITE, out);

	if (r == -ENOENT)
		r = env_file_open(db->dir, RESERVE_NAME,
				  ENV_READ | ENV_WRITE | ENV_CREATE, out);
	return r;
}

static uint64_t
opening_bytes(const struct keyfs_store *db)
{
	uint64_t share = db->options.reserve_bytes / RESERVE_OPENING_SHARE;

	return share < RESERVE_OPENING_BYTES ? share : RESERVE_OPENING_BYTES;
}

/* Gives back all but `kept` bytes.  Whether there was more. */
static bool
reserve_shrink(struct keyfs_store *db, uint64_t kept)
{
	struct env_file *file;
	uint64_t size;
	bool shrunk;

	if (reserve_open(db, &file) < 0)
		return false;
	shrunk = env_file_size(file, &size) == 0 && size > kept &&
		 env_file_truncate(file, kept) == 0;
	if (shrunk)
		report(&db->reporter, KEYFS_LOG_WARNING,
		       "the disk is full: the reserve was given back to it");
	(void)env_file_sync(file);
	env_file_close(file);
	return shrunk;
}

void
db_reserve_find(struct keyfs_store *db)
{
	struct env_file *file;
	uint64_t size;

	if (env_file_open(db->dir, RESERVE_NAME, ENV_READ | ENV_WRITE, &file) <
	    0)
		return;
	if (env_file_size(file, &size) == 0 && size > 0 &&
	    size >= db->options.reserve_bytes)
		atomic_store_explicit(&db->reserve_held, true,
				      memory_order_relaxed);
	env_file_close(file);
}

void
db_reserve_release(struct keyfs_store *db)
{
	if (atomic_exchange_explicit(&db->reserve_held, false,
				     memory_order_relaxed)) {
		(void)reserve_shrink(db, opening_bytes(db));
		/* Now: before, the keeper would find the reserve still there. */
		mutex_lock(&db->lock);
		db->reserve_wanted = true;
		cond_signal(&db->keep);
		mutex_unlock(&db->lock);
	}
	/* Blocks of removed files are free for certain when their removal is. */
	(void)env_dir_sync(db->dir);
}

bool
db_reserve_release_all(struct keyfs_store *db)
{
	bool shrunk = reserve_shrink(db, 0);

	atomic_store_explicit(&db->reserve_held, false, memory_order_relaxed);
	(void)env_dir_sync(db->dir);
	return shrunk;
}

/* Whether the disk has room for `bytes` more and for what is not flushed.  Not for
 * the margin too: the reserve comes before whatever the margin is kept for. */
static bool
reserve_fits(struct keyfs_store *db, uint64_t bytes)
{
	struct env_space space;

	mutex_lock(&db->lock);
	bytes += db_memtable_bytes_locked(db);
	mutex_unlock(&db->lock);
	return env_dir_space(db->dir, &space) < 0 || space.available > bytes;
}

/* Makes a file of `size` bytes as long as `bytes`, or leaves it as it is. */
static int
reserve_grow(struct env_file *file, uint64_t size, uint64_t bytes)
{
	int r;

	if (size >= bytes)
		return 0;
	r = env_file_allocate(file, 0, bytes);
	if (r < 0)
		(void)env_file_truncate(file, size);
	return r;
}

/* What can be kept for the next opening if the whole reserve cannot, as far as there
 * is room.  Before everything else, what is not flushed included: that is in the log,
 * and of no use in a store that cannot be opened. */
static uint64_t
opening_bytes_now(struct keyfs_store *db, uint64_t size)
{
	uint64_t bytes = opening_bytes(db);
	struct env_space space;

	if (size >= bytes || env_dir_space(db->dir, &space) < 0 ||
	    space.available >= bytes - size)
		return bytes;
	return size + space.available;
}

static int
reserve_take(struct keyfs_store *db)
{
	uint64_t whole = db->options.reserve_bytes, size = 0;
	struct env_file *file;
	int r = reserve_open(db, &file);

	if (r < 0)
		return r;
	r = env_file_size(file, &size);
	if (r == 0 && size < whole)
		r = reserve_fits(db, whole - size)
			    ? reserve_grow(file, size, whole)
			    : -ENOSPC;
	if (r == -ENOSPC)
		(void)reserve_grow(file, size, opening_bytes_now(db, size));
	env_file_close(file);
	return r;
}

void
db_reserve_restore(struct keyfs_store *db)
{
	int r;

	if (atomic_load_explicit(&db->reserve_held, memory_order_relaxed))
		return;
	r = reserve_take(db);
	if (r == 0)
		atomic_store_explicit(&db->reserve_held, true,
				      memory_order_relaxed);
	/* The keeper tries again, unless the filesystem can never promise room. */
	mutex_lock(&db->lock);
	db->reserve_wanted = r < 0 && r != -EOPNOTSUPP;
	mutex_unlock(&db->lock);
}
