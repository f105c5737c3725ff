/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "store/db.h"

static uint64_t
load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void
fill_counters(struct keyfs_store *db, struct keyfs_stats *out)
{
	const struct counters *c = &db->counters;

	out->commits = load(&c->commits);
	out->commit_bytes = load(&c->commit_bytes);
	out->syncs = load(&c->syncs);
	out->log_syncs = load(&c->log_syncs);
	out->flushes = load(&c->flushes);
	out->flush_bytes = load(&c->flush_bytes);
	out->compactions = load(&c->compactions);
	out->compaction_read_bytes = load(&c->compaction_read_bytes);
	out->compaction_bytes = load(&c->compaction_bytes);
	out->trivial_moves = load(&c->trivial_moves);
	out->tables_deleted = load(&c->tables_deleted);
	out->delays = load(&c->delays);
	out->delay_ns = load(&c->delay_ns);
	out->stops = load(&c->stops);
	out->stop_ns = load(&c->stop_ns);
	out->recovered_records = load(&c->recovered_records);
	out->dropped_tail_bytes = load(&c->dropped_tail_bytes);
	out->scrub_bytes = load(&c->scrub_bytes);
	out->scrub_passes = load(&c->scrub_passes);
	out->scrub_last_s = load(&c->scrub_last_s);
	out->scrub_last_bytes = load(&c->scrub_last_bytes);
	out->scrub_last_damages = load(&c->scrub_last_damages);
	out->iterators = (uint64_t)atomic_load_explicit(&c->iterators,
							memory_order_relaxed);
}

static void
fill_reads(struct keyfs_store *db, struct keyfs_stats *out)
{
	size_t i;

	for (i = 0; i < DB_STRIPES; i++) {
		out->gets += load(&db->stripes[i].gets);
		out->gets_found += load(&db->stripes[i].gets_found);
		out->bloom_negatives += load(&db->stripes[i].bloom_negatives);
	}
}

static void
fill_cache(struct keyfs_store *db, struct keyfs_stats *out)
{
	struct cache_stats cache;

	cache_stats(db->cache, &cache);
	out->cache_hits = cache.hits;
	out->cache_misses = cache.misses;
	out->cache_bytes = cache.used_bytes;
	out->pinned_bytes = cache.pinned_bytes;
}

static void
fill_levels(const struct version *version, struct keyfs_stats *out)
{
	unsigned level;
	size_t i;

	for (level = 0; level < KEYFS_LEVELS; level++) {
		const struct version_level *l = &version->levels[level];

		out->level_tables[level] = l->count;
		out->level_bytes[level] = l->bytes;
		for (i = 0; i < l->count; i++)
			out->entries += l->tables[i]->entries;
	}
	for (i = 0; i < version->damages.count; i++)
		out->damage_bytes += version->damages.at[i]->bytes;
	out->damage_ranges = version->damages.count;
	out->damage_files = damage_list_files(&version->damages);
}

/* Bytes in logs whose memtables are not flushed. */
static uint64_t
log_bytes(struct keyfs_store *db)
{
	uint64_t bytes = 0;
	size_t i;

	mutex_lock(&db->write);
	if (db->log)
		bytes += wal_writer_end(db->log);
	mutex_lock(&db->lock);
	for (i = 0; i < db->sealed_count; i++)
		if (db->sealed[i].log)
			bytes += wal_writer_end(db->sealed[i].log);
	mutex_unlock(&db->lock);
	mutex_unlock(&db->write);
	return bytes;
}

static enum keyfs_state
state(const struct keyfs_store *db)
{
	if (atomic_load_explicit(&db->error, memory_order_acquire))
		return KEYFS_STATE_FAILED;
	if (atomic_load_explicit(&db->no_space, memory_order_relaxed))
		return KEYFS_STATE_NO_SPACE;
	return KEYFS_STATE_OK;
}

void
db_stats_fill(struct keyfs_store *db, struct keyfs_stats *out)
{
	struct view *view;
	uint64_t seq;

	*out = (struct keyfs_stats){ .size = sizeof(*out) };
	view = db_view_pin(db, &seq);
	fill_levels(view->version, out);
	view_unref(view);
	fill_counters(db, out);
	fill_reads(db, out);
	fill_cache(db, out);
	out->state = state(db);
	out->error = atomic_load_explicit(&db->error, memory_order_acquire);
	out->last_seq = seq;
	out->durable_seq = keyfs_durable_seq(db);
	out->log_bytes = log_bytes(db);
	out->memory_budget = db->options.memory_bytes;
	mutex_lock(&db->lock);
	out->memtable_bytes = db_memtable_bytes_locked(db);
	out->snapshots = db->snapshot_count;
	mutex_unlock(&db->lock);
}

int
keyfs_stats_get(struct keyfs_store *db, struct keyfs_stats *out)
{
	size_t size = out->size;
	struct keyfs_stats all;
	int r = db_check(db, false);

	if (r < 0)
		return r;
	if (size < sizeof(out->size))
		return -EINVAL;
	db_stats_fill(db, &all);
	memcpy(out, &all, size < sizeof(all) ? size : sizeof(all));
	out->size = size;
	return 0;
}
