/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void
fill(struct keyfs_store *db, struct keyfs_stats *out)
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
	fill(db, &all);
	memcpy(out, &all, size < sizeof(all) ? size : sizeof(all));
	out->size = size;
	return 0;
}

/* ---- Properties ---- */

/* 12.3 MiB: what people read at a glance. */
static void
print_bytes(FILE *to, const char *name, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	(void)fprintf(to, unit ? "%-22s %.1f %s\n" : "%-22s %.0f %s\n", name,
		      value, units[unit]);
}

static void
print_count(FILE *to, const char *name, uint64_t count)
{
	(void)fprintf(to, "%-22s %" PRIu64 "\n", name, count);
}

static void
print_ms(FILE *to, const char *name, uint64_t count, uint64_t ns)
{
	(void)fprintf(to, "%-22s %" PRIu64 " (%.1f ms)\n", name, count,
		      (double)ns / 1e6);
}

/* When, in a form that sorts and needs no zone. */
static void
print_time(FILE *to, const char *name, uint64_t seconds)
{
	time_t time = (time_t)seconds;
	char text[32] = "never";
	struct tm utc;

	if (seconds && gmtime_r(&time, &utc))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	(void)fprintf(to, "%-22s %s\n", name, text);
}

static void
print_levels(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	unsigned level;

	(void)db;
	(void)fprintf(to, "level  tables       bytes\n");
	for (level = 0; level < KEYFS_LEVELS; level++)
		(void)fprintf(to, "%5u %7" PRIu64 " %11" PRIu64 "\n", level,
			      s->level_tables[level], s->level_bytes[level]);
}

static void
print_memory(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	(void)db;
	print_bytes(to, "budget", s->memory_budget);
	print_bytes(to, "memtables", s->memtable_bytes);
	print_bytes(to, "cache", s->cache_bytes);
	print_bytes(to, "of that pinned", s->pinned_bytes);
}

static void
print_stats(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	static const char *const states[] = { "ok", "out of space", "failed" };

	(void)fprintf(to, "%-22s %s%s%s\n", "state", states[s->state],
		      s->error ? ": " : "",
		      s->error ? strerror(-s->error) : "");
	print_count(to, "last sequence", s->last_seq);
	print_count(to, "durable sequence", s->durable_seq);
	print_count(to, "entries in tables", s->entries);
	print_bytes(to, "log", s->log_bytes);
	print_levels(db, s, to);
	print_memory(db, s, to);
	print_count(to, "gets", s->gets);
	print_count(to, "gets found", s->gets_found);
	print_count(to, "ruled out by filters", s->bloom_negatives);
	print_count(to, "cache hits", s->cache_hits);
	print_count(to, "cache misses", s->cache_misses);
	print_count(to, "commits", s->commits);
	print_bytes(to, "committed", s->commit_bytes);
	print_count(to, "syncs asked for", s->syncs);
	print_count(to, "log syncs", s->log_syncs);
	print_count(to, "flushes", s->flushes);
	print_bytes(to, "flushed", s->flush_bytes);
	print_count(to, "compactions", s->compactions);
	print_bytes(to, "compaction read", s->compaction_read_bytes);
	print_bytes(to, "compaction written", s->compaction_bytes);
	print_count(to, "tables moved", s->trivial_moves);
	print_ms(to, "writes delayed", s->delays, s->delay_ns);
	print_ms(to, "writes stopped", s->stops, s->stop_ns);
	print_count(to, "snapshots", s->snapshots);
	print_count(to, "iterators", s->iterators);
	print_count(to, "records recovered", s->recovered_records);
	print_bytes(to, "torn tail dropped", s->dropped_tail_bytes);
	print_count(to, "damage ranges", s->damage_ranges);
	print_bytes(to, "of lost blocks", s->damage_bytes);
	print_count(to, "damaged files kept", s->damage_files);
	print_bytes(to, "scrubbed", s->scrub_bytes);
	print_time(to, "last full scrub", s->scrub_last_s);
	print_bytes(to, "it read", s->scrub_last_bytes);
	print_count(to, "it found damages", s->scrub_last_damages);
}

static void
print_tables(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	const struct table_meta *t;
	struct view *view;
	unsigned level;
	uint64_t seq;
	size_t i;

	(void)s;
	view = db_view_pin(db, &seq);
	(void)fprintf(to, "level  table       bytes     entries  tombstones "
			  "        sequences\n");
	for (level = 0; level < KEYFS_LEVELS; level++) {
		for (i = 0; i < view->version->levels[level].count; i++) {
			t = view->version->levels[level].tables[i];
			(void)fprintf(to,
				      "%5u %06" PRIu64 " %11" PRIu64
				      " %11" PRIu64 " %11" PRIu64 " %8" PRIu64
				      "-%" PRIu64 "\n",
				      level, t->number, t->file_bytes,
				      t->entries, t->tombstones, t->min_seq,
				      t->max_seq);
		}
	}
	view_unref(view);
}

static void
print_key(FILE *to, struct keyfs_slice key)
{
	const uint8_t *bytes = key.data;
	size_t i;

	for (i = 0; i < key.len; i++)
		(void)fprintf(to,
			      bytes[i] > ' ' && bytes[i] < 0x7f &&
					      bytes[i] != '\\'
				      ? "%c"
				      : "\\x%02x",
			      bytes[i]);
}

static void
print_damage(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	const struct damage_list *list;
	char name[ENV_NAME_MAX + 1];
	struct view *view;
	uint64_t seq;
	size_t i;

	(void)s;
	view = db_view_pin(db, &seq);
	list = &view->version->damages;
	for (i = 0; i < list->count; i++) {
		const struct damage *d = list->at[i];

		table_damaged_name(d->number, name);
		(void)fprintf(to,
			      "%s offset %" PRIu64 " bytes %" PRIu64
			      " sequences %" PRIu64 "-%" PRIu64 " keys ",
			      name, d->offset, d->bytes, d->min_seq,
			      d->max_seq);
		print_key(to, d->first);
		(void)fprintf(to, " ");
		print_key(to, d->last);
		(void)fprintf(to, "\n");
	}
	view_unref(view);
}

static void
print_options(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	const struct keyfs_options *o = &db->options;

	(void)s;
	print_count(to, "read_only", o->read_only);
	print_count(to, "commit_interval_ms", o->commit_interval_ms);
	print_bytes(to, "memory_bytes", o->memory_bytes);
	print_bytes(to, "memtable_bytes", o->memtable_bytes);
	print_count(to, "compaction_threads", o->compaction_threads);
	print_bytes(to, "block_bytes", o->block_bytes);
	print_count(to, "bloom_bits", o->bloom_bits);
	print_bytes(to, "table_bytes", o->table_bytes);
	print_count(to, "level0_tables", o->level0_tables);
	print_count(to, "level_ratio", o->level_ratio);
	print_bytes(to, "level_bytes", o->level_bytes);
	(void)fprintf(to, "%-22s %s\n", "compression",
		      o->compression == KEYFS_COMPRESSION_NONE ? "none"
							       : "lz4");
	print_bytes(to, "reserve_bytes", o->reserve_bytes);
	if (o->scrub_bytes_per_second == KEYFS_SCRUB_OFF)
		(void)fprintf(to, "%-22s off\n", "scrub_bytes_per_second");
	else
		print_bytes(to, "scrub_bytes_per_second",
			    o->scrub_bytes_per_second);
	print_count(to, "scrub_interval_s", o->scrub_interval_s);
}

static const struct property {
	const char *name;
	void (*print)(struct keyfs_store *db, const struct keyfs_stats *stats,
		      FILE *to);
} properties[] = {
	{ "stats", print_stats },     { "levels", print_levels },
	{ "tables", print_tables },   { "memory", print_memory },
	{ "options", print_options }, { "damage", print_damage },
};

static int
print_property(struct keyfs_store *db, const struct property *property,
	       char **out)
{
	struct keyfs_stats stats;
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return -ENOMEM;
	fill(db, &stats);
	property->print(db, &stats, to);
	/* The C library may close it with success and without the text. */
	if (fclose(to) || !text) {
		free(text);
		return -ENOMEM;
	}
	*out = text;
	return 0;
}

int
keyfs_property(struct keyfs_store *db, const char *name, char **out)
{
	size_t i;
	int r = db_check(db, false);

	if (r < 0)
		return r;
	for (i = 0; i < sizeof(properties) / sizeof(properties[0]); i++)
		if (!strcmp(properties[i].name, name))
			return print_property(db, &properties[i], out);
	return -ENOENT;
}
