/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "store/options.h"
#include "store/wal_reader.h"

#define LOCK_NAME "LOCK"
/* How often a waiting opener tries again. */
#define LOCK_RETRY_MS 20u
/* Less than this stays in the log at close: a table of its own for each short
 * session would only have to be merged away again. */
#define FLUSH_AT_CLOSE_BYTES (UINT64_C(1) << 20)

/* ---- Forks ---- */

/* Counts forks on the child's side, so that no call needs getpid(). */
static _Atomic unsigned fork_generation;

static void
note_fork(void)
{
	atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void
watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, note_fork);
}

/* ---- State ---- */

int
db_check(const struct keyfs_store *db, bool writing)
{
	if (db->fork_generation !=
	    atomic_load_explicit(&fork_generation, memory_order_relaxed))
		return -EPERM;
	if (!writing)
		return 0;
	if (db->options.read_only)
		return -EROFS;
	return atomic_load_explicit(&db->error, memory_order_acquire);
}

int
db_fail(struct keyfs_store *db, int error, const char *what)
{
	int none = 0;

	/* A sync that finds no room has lost what was taken before: to its callers
	 * that must not look like a full disk, which they would wait for. */
	if (error == -ENOSPC)
		error = -EIO;
	/* Release: who sees the error sees what led to it. */
	if (!atomic_compare_exchange_strong_explicit(&db->error, &none, error,
						     memory_order_acq_rel,
						     memory_order_acquire))
		return none;
	report(&db->reporter, KEYFS_LOG_ERROR,
	       "%s failed: %s; the store takes no more writes until it is "
	       "opened again",
	       what, strerror(-error));
	mutex_lock(&db->lock);
	cond_broadcast(&db->room);
	cond_broadcast(&db->work);
	cond_broadcast(&db->keep);
	mutex_unlock(&db->lock);
	return error;
}

int
db_new_number(void *arg, uint64_t *out)
{
	struct keyfs_store *db = arg;
	uint64_t number = atomic_fetch_add_explicit(&db->next_file, 1,
						    memory_order_relaxed);

	if (number > WAL_NUMBER_MAX)
		return -EOVERFLOW;
	*out = number;
	return 0;
}

/* ---- The lock ---- */

static int
lock_file_open(struct keyfs_store *db, bool is_new)
{
	unsigned flags =
		db->options.read_only ? ENV_READ : ENV_READ | ENV_WRITE;
	int r = env_file_open(db->dir, LOCK_NAME, flags, &db->lock_file);

	/* Whoever has the store open holds the file that was there: a new one
	 * would keep nobody out. */
	if (r == -ENOENT && !is_new)
		return corrupt(&db->reporter, LOCK_NAME, 0,
			       "it is missing; if no process has the store "
			       "open, make an empty file of that name");
	if (r == -ENOENT && db->options.create && !db->options.read_only)
		r = env_file_open(db->dir, LOCK_NAME, flags | ENV_CREATE,
				  &db->lock_file);
	/* Two creators at once: the other one made it. */
	if (r == -EEXIST)
		r = env_file_open(db->dir, LOCK_NAME, flags, &db->lock_file);
	return r;
}

static int
lock_take(struct keyfs_store *db)
{
	uint64_t until = env_now_ns(db->env) +
			 (uint64_t)db->options.lock_wait_ms * 1000000;
	int r;

	for (;;) {
		r = env_file_lock(db->lock_file, !db->options.read_only);
		if (r != -EBUSY || env_now_ns(db->env) >= until)
			return r;
		(void)usleep(LOCK_RETRY_MS * 1000);
	}
}

/* Says who has the store: the process, and what the opener wants people to know. */
static void
lock_label(struct keyfs_store *db)
{
	char text[OPTIONS_LABEL_MAX + 64];
	int n = snprintf(text, sizeof(text), "pid %ld\n%s\n", (long)getpid(),
			 db->options.label ? db->options.label : "");

	/* For people only: a label that cannot be written harms nothing. */
	if (n > 0 && env_file_truncate(db->lock_file, 0) == 0)
		(void)env_file_write(db->lock_file, 0, text, (size_t)n);
}

/* ---- What is there ---- */

struct listing {
	struct keyfs_store *db;
	bool has_current;
	bool has_logs;
	bool has_data;   /* a table, or a log that holds records */
	bool has_others; /* names that are not ours */
};

static bool
is_log(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && !strcmp(dot, ".log");
}

/* If it holds a record, a store was here. */
static int
look_into_log(void *arg, const char *name)
{
	struct listing *listing = arg;
	bool has = false;
	int r = 0;

	if (is_log(name))
		r = wal_reader_has_records(listing->db->dir,
					   strtoull(name, NULL, 10), &has);
	listing->has_data |= has;
	return r;
}

static int
look(void *arg, const char *name)
{
	static const char *const ours[] = { LOCK_NAME, "LOG", "LOG.old",
					    "RESERVE", MANIFEST_CURRENT_TMP };
	struct listing *listing = arg;
	const char *dot = strchr(name, '.');
	size_t i;

	if (!strcmp(name, MANIFEST_CURRENT)) {
		listing->has_current = true;
		return 0;
	}
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!strcmp(name, ours[i]))
			return 0;
	if (!strncmp(name, "MANIFEST-", 9))
		return 0;
	if (dot && (!strcmp(dot, ".sst") || !strcmp(dot, ".sst.damaged")))
		listing->has_data = true;
	else if (is_log(name))
		listing->has_logs = true;
	else
		listing->has_others = true;
	return 0;
}

/* Decides between the store that is there and a new one.  What a crash of a creation
 * leaves (LOCK, LOG, a manifest without CURRENT, an empty log) counts as an empty
 * directory; a store that has lost its CURRENT does not (R9). */
static int
decide(struct keyfs_store *db, bool *out_new)
{
	struct listing listing = { .db = db };
	int r = env_dir_list(db->dir, look, &listing);

	if (r == 0 && !listing.has_current && listing.has_logs)
		r = env_dir_list(db->dir, look_into_log, &listing);
	if (r < 0)
		return r;
	*out_new = !listing.has_current;
	if (listing.has_current)
		return db->options.must_create ? -EEXIST : 0;
	if (listing.has_data && !listing.has_others)
		return corrupt(&db->reporter, MANIFEST_CURRENT, 0,
			       "it is missing, but there are data");
	if (!db->options.create || db->options.read_only)
		return -ENOENT;
	return listing.has_others ? -ENOTEMPTY : 0;
}

/* ---- Opening ---- */

static void
db_free(struct keyfs_store *db)
{
	bool aside;
	size_t i;

	manifest_close(db->manifest);
	for (i = 0; i < db->sealed_count; i++) {
		memtable_unref(db->sealed[i].memtable);
		wal_writer_unref(db->sealed[i].log);
	}
	free(db->sealed);
	free(db->sync.logs);
	memtable_unref(db->active);
	memtable_unref(db->next_memtable);
	wal_writer_unref(db->log);
	wal_writer_unref(db->next_log);
	view_unref(db->view);
	while (db->tables.dir && table_set_take_gone(&db->tables, &aside))
		; /* a later opening removes or renames the files */
	cache_free(db->cache);
	info_log_close(db->info_log);
	env_file_close(db->lock_file);
	env_dir_close(db->dir);
	free(db->compactors);
	mutex_fini(&db->write);
	mutex_fini(&db->lock);
	mutex_fini(&db->manifest_lock);
	mutex_fini(&db->sync.lock);
	cond_fini(&db->work);
	cond_fini(&db->keep);
	cond_fini(&db->room);
	cond_fini(&db->scrub);
	cond_fini(&db->sync.done);
	free(db);
}

static struct keyfs_store *
db_alloc(struct env *env)
{
	struct keyfs_store *db = aligned_alloc(64, (sizeof(struct keyfs_store) +
						    63) & ~(size_t)63);

	if (!db)
		return NULL;
	memset(db, 0, sizeof(*db));
	db->env = env;
	db->fork_generation =
		atomic_load_explicit(&fork_generation, memory_order_relaxed);
	db->snapshots.prev = db->snapshots.next = &db->snapshots;
	mutex_init(&db->write);
	mutex_init(&db->lock);
	mutex_init(&db->manifest_lock);
	mutex_init(&db->sync.lock);
	cond_init(&db->work);
	cond_init(&db->keep);
	cond_init(&db->room);
	cond_init(&db->scrub);
	cond_init(&db->sync.done);
	return db;
}

static int
resolve(struct keyfs_store *db, const struct keyfs_options *options)
{
	char why[256];
	int r = options_resolve(options, &db->options, why, sizeof(why));

	if (options) {
		db->user_reporter.log = options->log;
		db->user_reporter.arg = options->log_arg;
	}
	db->reporter = db->user_reporter;
	if (r < 0)
		report(&db->reporter, KEYFS_LOG_ERROR, "%s", why);
	return r;
}

/* Directory, lock, and whether there is a store. */
static int
enter(struct keyfs_store *db, const char *path, bool *out_new)
{
	bool create = db->options.create && !db->options.read_only;
	int r = env_dir_open(db->env, path, create ? ENV_DIR_CREATE : 0,
			     &db->dir);

	if (r < 0)
		return r;
	/* Before anything is made in it: a directory of other things is left alone. */
	r = decide(db, out_new);
	if (r == 0)
		r = lock_file_open(db, *out_new);
	if (r == 0)
		r = lock_take(db);
	/* Again under the lock: another opener may have made the store meanwhile. */
	if (r == 0)
		r = decide(db, out_new);
	return r;
}

static int
open_parts(struct keyfs_store *db)
{
	int r = cache_new(db->options.memory_bytes - db->options.memtable_bytes,
			  &db->cache);

	if (r < 0)
		return r;
	table_set_init(&db->tables, db->dir, db->cache, &db->reporter);
	db->compactors = calloc(db->options.compaction_threads,
				sizeof(db->compactors[0]));
	if (!db->compactors)
		return -ENOMEM;
	if (db->options.read_only)
		return 0;
	lock_label(db);
	r = info_log_open(db->env, db->dir, &db->user_reporter, &db->info_log);
	if (r < 0)
		return r;
	db->reporter = (struct reporter){ info_log_line, db->info_log };
	return 0;
}

static int
open_store(struct keyfs_store *db, const char *path)
{
	bool is_new = false;
	int r = enter(db, path, &is_new);

	if (r == 0)
		r = open_parts(db);
	if (r == 0)
		r = db_recover(db, is_new);
	if (r == 0 && !db->options.read_only)
		r = db_begin(db);
	if (r == 0 && !db->options.read_only)
		r = db_workers_start(db);
	return r;
}

int
db_open(struct env *env, const char *path, const struct keyfs_options *options,
	struct keyfs_store **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct keyfs_store *db;
	int r;

	(void)pthread_once(&once, watch_forks);
	db = db_alloc(env);
	if (!db)
		return -ENOMEM;
	r = resolve(db, options);
	if (r == 0)
		r = open_store(db, path);
	if (r < 0) {
		db_free(db);
		return r;
	}
	report(&db->reporter, KEYFS_LOG_INFO,
	       "opened: %" PRIu64 " records replayed, last sequence %" PRIu64,
	       db->counters.recovered_records, keyfs_last_seq(db));
	*out = db;
	return 0;
}

int
keyfs_open(const char *path, const struct keyfs_options *options,
	   struct keyfs_store **out)
{
	if (!path || !out)
		return -EINVAL;
	return db_open(env_posix(), path, options, out);
}

/* ---- Closing ---- */

static bool
is_used(struct keyfs_store *db)
{
	int64_t pins = 0;
	size_t i, snapshots;

	/* Acquire: pairs with the releases at the end of each use. */
	for (i = 0; i < DB_STRIPES; i++)
		pins += atomic_load_explicit(&db->stripes[i].pins,
					     memory_order_acquire);
	mutex_lock(&db->lock);
	snapshots = db->snapshot_count;
	mutex_unlock(&db->lock);
	return pins != 0 || snapshots != 0 ||
	       atomic_load_explicit(&db->counters.iterators,
				    memory_order_acquire) != 0;
}

static int
finish_writes(struct keyfs_store *db)
{
	size_t bytes;
	int r = atomic_load_explicit(&db->error, memory_order_acquire);

	if (r < 0)
		return r;
	r = db_sync_to(db, keyfs_last_seq(db));
	mutex_lock(&db->lock);
	bytes = db_memtable_bytes_locked(db);
	mutex_unlock(&db->lock);
	/* Durable already; a flush that finds no room loses nothing. */
	if (r == 0 && bytes >= FLUSH_AT_CLOSE_BYTES)
		(void)keyfs_flush(db);
	return r;
}

int
keyfs_close(struct keyfs_store *db)
{
	int r;

	if (!db)
		return 0;
	r = db_check(db, false);
	if (r < 0)
		return r;
	if (is_used(db))
		return -EBUSY;
	if (db->options.read_only) {
		db_free(db);
		return 0;
	}
	r = finish_writes(db);
	db_workers_stop(db);
	if (r == 0)
		db_end_logs(db);
	report(&db->reporter, KEYFS_LOG_INFO, "closed: last sequence %" PRIu64,
	       keyfs_last_seq(db));
	db_free(db);
	return r;
}
