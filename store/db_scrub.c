/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber: a thread that reads every live table past the cache, slowly, so that
 * rot is found while there still is a copy elsewhere, and not when the value is
 * needed.  It only reads: what it finds is reported and counted, and becomes a damage
 * range when a compaction meets it.
 *
 * A pass goes through the tables by number, up to those that are there when it begins:
 * later ones have just been written.  It holds one table at a time, and lets go of it
 * when a compaction has replaced it.  Between slices it sleeps for as long as they may
 * take by scrub_bytes_per_second, on a condition that a close signals.  Between passes
 * it sleeps until scrub_interval_s after the last one began. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>

#include "store/db.h"

/* The first pass begins so long after the opening: short sessions do not scrub. */
#define FIRST_S 600u
/* What is read between two sleeps. */
#define SLICE_BYTES (UINT64_C(256) << 10)

struct scrub {
	struct keyfs_store *db;
	struct table_meta *meta; /* being read; holds a reference */
	uint64_t owed_bytes;     /* read and not slept for */
	uint64_t bytes, damages; /* of this pass */
};

/* Sleeps at most `ms`.  False: the store is being closed. */
static bool
sleep_ms(struct keyfs_store *db, uint64_t ms)
{
	uint64_t until = env_now_ns(db->env) + ms * 1000000, now;
	bool closing;

	mutex_lock(&db->lock);
	while (!db->closing && (now = env_now_ns(db->env)) < until)
		(void)cond_wait_ms(&db->scrub, &db->lock,
				   (until - now) / 1000000 + 1);
	closing = db->closing;
	mutex_unlock(&db->lock);
	return !closing;
}

static bool
is_closing(struct keyfs_store *db)
{
	/* Relaxed: nothing else is read on the strength of it. */
	return atomic_load_explicit(&db->cancel, memory_order_relaxed);
}

/* Pays for what was read.  Another value than 0: no more of this table. */
static int
pace(void *arg, size_t bytes)
{
	struct scrub *scrub = arg;
	struct keyfs_store *db = scrub->db;
	uint64_t ms;

	scrub->bytes += bytes;
	scrub->owed_bytes += bytes;
	atomic_fetch_add_explicit(&db->counters.scrub_bytes, bytes,
				  memory_order_relaxed);
	if (is_closing(db) ||
	    atomic_load_explicit(&scrub->meta->retired, memory_order_relaxed))
		return -ECANCELED;
	if (scrub->owed_bytes < SLICE_BYTES)
		return 0;
	ms = scrub->owed_bytes * 1000 / db->options.scrub_bytes_per_second;
	scrub->owed_bytes = 0;
	return ms == 0 || sleep_ms(db, ms) ? 0 : -ECANCELED;
}

static int
count_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	struct scrub *scrub = arg;

	/* It was raised where it was found. */
	(void)file;
	(void)offset;
	(void)why;
	scrub->damages++;
	return 0;
}

/* The live table with the lowest number above `after`, with a reference; NULL: there
 * is none. */
static struct table_meta *
next_table(struct keyfs_store *db, uint64_t after)
{
	struct table_meta *found = NULL;
	const struct version_level *l;
	struct view *view;
	unsigned level;
	uint64_t seq;
	size_t i;

	view = db_view_pin(db, &seq);
	for (level = 0; level < KEYFS_LEVELS; level++) {
		l = &view->version->levels[level];
		for (i = 0; i < l->count; i++)
			if (l->tables[i]->number > after &&
			    (!found || l->tables[i]->number < found->number))
				found = l->tables[i];
	}
	if (found)
		table_meta_ref(found);
	view_unref(view);
	return found;
}

/* Reads the table.  -EUCLEAN: damage was found and counted. */
static int
scrub_table(struct scrub *scrub)
{
	struct table *table;
	int r = table_meta_open(scrub->meta, false, &table);

	if (r == 0)
		return table_scrub(table, pace, scrub, count_damage, scrub);
	if (r == -EUCLEAN)
		scrub->damages++;
	return r;
}

static void
end_pass(const struct scrub *scrub)
{
	struct keyfs_store *db = scrub->db;
	struct counters *c = &db->counters;

	atomic_fetch_add_explicit(&c->scrub_passes, 1, memory_order_relaxed);
	atomic_store_explicit(&c->scrub_last_s,
			      env_wall_ns(db->env) / 1000000000,
			      memory_order_relaxed);
	atomic_store_explicit(&c->scrub_last_bytes, scrub->bytes,
			      memory_order_relaxed);
	atomic_store_explicit(&c->scrub_last_damages, scrub->damages,
			      memory_order_relaxed);
	report(&db->reporter, scrub->damages ? KEYFS_LOG_ERROR : KEYFS_LOG_INFO,
	       "scrub: %" PRIu64 " bytes read, %" PRIu64 " damages found",
	       scrub->bytes, scrub->damages);
}

int
db_scrub_pass(struct keyfs_store *db)
{
	struct scrub scrub = { .db = db };
	uint64_t last =
		atomic_load_explicit(&db->next_file, memory_order_relaxed);
	uint64_t number = 0;
	int r;

	while (!is_closing(db) && (scrub.meta = next_table(db, number))) {
		number = scrub.meta->number;
		/* An error of the disk ends this table, not the pass. */
		r = number < last ? scrub_table(&scrub) : 0;
		table_meta_unref(scrub.meta);
		/* It may have been the last to hold it. */
		if (table_set_has_gone(&db->tables))
			db_wake_keeper(db);
		if (number >= last)
			break;
		if (r < 0 && r != -EUCLEAN && r != -ECANCELED)
			report(&db->reporter, KEYFS_LOG_WARNING,
			       "scrub: table %06" PRIu64 " was not read: %s",
			       number, strerror(-r));
	}
	if (is_closing(db))
		return -ECANCELED;
	end_pass(&scrub);
	return 0;
}

void *
db_scrub_main(void *arg)
{
	struct keyfs_store *db = arg;
	uint64_t interval_ms = (uint64_t)db->options.scrub_interval_s * 1000;
	uint64_t wait_ms = (uint64_t)FIRST_S * 1000, begun, took_ms;

	if (wait_ms > interval_ms)
		wait_ms = interval_ms;
	while (sleep_ms(db, wait_ms)) {
		begun = env_now_ns(db->env);
		(void)db_scrub_pass(db);
		took_ms = (env_now_ns(db->env) - begun) / 1000000;
		wait_ms = took_ms < interval_ms ? interval_ms - took_ms : 0;
	}
	return NULL;
}
