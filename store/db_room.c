/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <time.h>

#include "store/db.h"

/* Delays are slept from 1 ms upwards, at most 50 ms at once: below the first a sleep costs
 * more than it delays, and no single write waits longer than the second. */
#define DELAY_NS_MIN UINT64_C(1000000)
#define DELAY_NS_MAX UINT64_C(50000000)
/* At the end of the curve a byte costs 1 us: 1 MB/s.  Fixed point, 1/1024 ns. */
#define RATE_ONE UINT64_C(1024)
#define RATE_MAX (1000 * RATE_ONE)
/* How many bytes are admitted by one question to the disk, at most and at least. */
#define GRANT_BYTES_MAX (UINT64_C(8) << 20)
#define GRANT_BYTES_MIN (UINT64_C(64) << 10)

#define RESERVE_NAME "RESERVE"
/* What is not given back while the store is open: the next opening needs a log and
 * a manifest before it can remove the old ones, and others may have taken all that
 * was given back. */
#define RESERVE_OPENING_BYTES (UINT64_C(512) << 10)
#define RESERVE_OPENING_SHARE 4u

/* ---- Back-pressure ---- */

/* The curve: from nothing to RATE_MAX with the cube of the debt, in 1/1024. */
static uint64_t
rate_of(uint64_t debt)
{
	if (debt > 1024)
		debt = 1024;
	return RATE_MAX * debt / 1024 * debt / 1024 * debt / 1024;
}

void
db_pressure_update_locked(struct keyfs_store *db)
{
	const struct version *version = db->view->version;
	uint64_t begin = 2 * (uint64_t)db->options.level0_tables;
	uint64_t end = DB_LEVEL0_STOP * (uint64_t)db->options.level0_tables;
	uint64_t tables = version->level0_depth, debt = 0, bytes;

	if (tables > begin)
		debt = (tables - begin) * 1024 / (end - begin);
	/* The last sealed memtable that fits: the next switch would stop. */
	if (db->sealed_count >= DB_SEALED_MAX && debt < 400)
		debt = 400;
	/* Bytes to compact weigh in late: a tenth of the curve for each level's
	 * worth above the first. */
	bytes = compact_debt_bytes(version, &db->options);
	bytes = bytes / (db->options.level_bytes / 128 + 1);
	if (bytes > 1024 && (bytes - 1024) / 8 > debt)
		debt = (bytes - 1024) / 8;
	atomic_store_explicit(&db->ns_per_byte, rate_of(debt),
			      memory_order_relaxed);
	cond_broadcast(&db->room);
}

static void
sleep_ns(uint64_t ns)
{
	struct timespec time = { 0, (long)ns };

	/* Interrupted: a shorter delay, the rest stays unpaid. */
	(void)nanosleep(&time, NULL);
}

/* Pays what is owed, if it has grown enough to be slept. */
static int
pay_delay(struct keyfs_store *db, unsigned flags)
{
	uint64_t owed =
		atomic_load_explicit(&db->owed_ns, memory_order_relaxed);

	if (owed < DELAY_NS_MIN)
		return 0;
	if (flags & KEYFS_NOWAIT)
		return -EAGAIN;
	if (owed > DELAY_NS_MAX)
		owed = DELAY_NS_MAX;
	/* The whole debt is taken over by one sleeper at a time: what exceeds the
	 * longest delay is forgiven, so that no write waits without bound. */
	atomic_store_explicit(&db->owed_ns, 0, memory_order_relaxed);
	sleep_ns(owed);
	atomic_fetch_add_explicit(&db->counters.delays, 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&db->counters.delay_ns, owed,
				  memory_order_relaxed);
	return 0;
}

void
db_owe(struct keyfs_store *db, size_t bytes)
{
	uint64_t rate =
		atomic_load_explicit(&db->ns_per_byte, memory_order_relaxed);

	if (rate)
		atomic_fetch_add_explicit(&db->owed_ns, bytes * rate / RATE_ONE,
					  memory_order_relaxed);
}

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
	uint64_t beyond = space_beyond(db), grant = beyond / 16;

	if (grant > GRANT_BYTES_MAX)
		grant = GRANT_BYTES_MAX;
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
	int r = pay_delay(db, flags);

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
