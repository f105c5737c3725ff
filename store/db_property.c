/* SPDX-License-Identifier: Apache-2.0 */
/* db_property.c - properties of a store as text, for people; see keyfs_property(). */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/db.h"

/* "12.3 MiB"; valid until the thread's second next call. */
static const char *
bytes_text(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	static _Thread_local char texts[2][32];
	static _Thread_local unsigned next;
	char *text = texts[next++ % 2];
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(text, sizeof(texts[0]), unit ? "%.1f %s" : "%.0f %s",
		       value, units[unit]);
	return text;
}

static void
print_bytes(FILE *to, const char *name, uint64_t bytes)
{
	(void)fprintf(to, "%-22s %s\n", name, bytes_text(bytes));
}

static void
print_count(FILE *to, const char *name, uint64_t count)
{
	(void)fprintf(to, "%-22s %" PRIu64 "\n", name, count);
}

/* Nothing is known of a share of nothing. */
static void
print_share(FILE *to, const char *name, uint64_t part, uint64_t whole,
	    const char *what)
{
	if (whole == 0)
		(void)fprintf(to, "%-22s -\n", name);
	else
		(void)fprintf(to, "%-22s %.1f %% of %" PRIu64 " %s\n", name,
			      100.0 * (double)part / (double)whole, whole,
			      what);
}

/* ---- "levels", "memory" ---- */

static void
print_level(FILE *to, const char *name, uint64_t tables, uint64_t bytes)
{
	(void)fprintf(to, "%5s %7" PRIu64 " %11s\n", name, tables,
		      bytes_text(bytes));
}

static void
print_levels(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	uint64_t tables = 0, bytes = 0;
	unsigned level;
	char name[16];

	(void)db;
	(void)fprintf(to, "level  tables        size\n");
	for (level = 0; level < KEYFS_LEVELS; level++) {
		(void)snprintf(name, sizeof(name), "%u", level);
		print_level(to, name, s->level_tables[level],
			    s->level_bytes[level]);
		tables += s->level_tables[level];
		bytes += s->level_bytes[level];
	}
	print_level(to, "all", tables, bytes);
}

static void
print_memory(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	(void)db;
	(void)fprintf(to, "%-22s %s of %s\n", "memory",
		      bytes_text(s->memtable_bytes + s->cache_bytes),
		      bytes_text(s->memory_budget));
	print_bytes(to, "  memtables", s->memtable_bytes);
	(void)fprintf(to, "%-22s %s, %s of it pinned\n", "  cache",
		      bytes_text(s->cache_bytes), bytes_text(s->pinned_bytes));
}

/* ---- "stats" ---- */

static void
print_state(const struct keyfs_stats *s, FILE *to)
{
	static const char *const states[] = { "ok", "out of space", "failed" };

	(void)fprintf(to, "%-22s %s%s%s\n", "state", states[s->state],
		      s->error ? ": " : "",
		      s->error ? strerror(-s->error) : "");
	(void)fprintf(to, "%-22s %" PRIu64 ", durable up to %" PRIu64 "\n",
		      "sequence", s->last_seq, s->durable_seq);
	if (s->recovered_records || s->dropped_tail_bytes)
		(void)fprintf(to,
			      "%-22s %" PRIu64
			      " records; %s of a torn tail dropped\n",
			      "recovered", s->recovered_records,
			      bytes_text(s->dropped_tail_bytes));
}

static void
print_contents(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	print_levels(db, s, to);
	print_count(to, "entries in tables", s->entries);
	print_bytes(to, "log not flushed", s->log_bytes);
	(void)fprintf(to, "%-22s %" PRIu64 ", iterators %" PRIu64 "\n",
		      "snapshots", s->snapshots, s->iterators);
}

static void
print_reads(const struct keyfs_stats *s, FILE *to)
{
	print_count(to, "gets", s->gets);
	print_share(to, "  found", s->gets_found, s->gets, "gets");
	print_count(to, "  ruled out by filters", s->bloom_negatives);
	print_share(to, "  blocks in the cache", s->cache_hits,
		    s->cache_hits + s->cache_misses, "blocks");
}

/* Bytes that went to the disk for each byte that was committed: to the log, to the
 * tables of flushes and to those of compactions. */
static void
print_amplification(const struct keyfs_stats *s, FILE *to)
{
	uint64_t written =
		s->commit_bytes + s->flush_bytes + s->compaction_bytes;

	if (s->commit_bytes == 0)
		(void)fprintf(to, "%-22s -\n", "  amplification");
	else
		(void)fprintf(to, "%-22s %.2f\n", "  amplification",
			      (double)written / (double)s->commit_bytes);
}

static void
print_writes(const struct keyfs_stats *s, FILE *to)
{
	(void)fprintf(to, "%-22s %" PRIu64 ", %s\n", "commits", s->commits,
		      bytes_text(s->commit_bytes));
	(void)fprintf(to, "%-22s %" PRIu64 " asked for, %" PRIu64 " made\n",
		      "  syncs", s->syncs, s->log_syncs);
	(void)fprintf(to, "%-22s %" PRIu64 ", %s\n", "  flushes", s->flushes,
		      bytes_text(s->flush_bytes));
	(void)fprintf(to,
		      "%-22s %" PRIu64 ", %s read, %s written, %" PRIu64
		      " tables moved\n",
		      "  compactions", s->compactions,
		      bytes_text(s->compaction_read_bytes),
		      bytes_text(s->compaction_bytes), s->trivial_moves);
	print_amplification(s, to);
}

static void
print_stalls(FILE *to, const char *name, uint64_t count, uint64_t ns)
{
	(void)fprintf(to, "%-22s %" PRIu64 " times, %.1f ms\n", name, count,
		      (double)ns / 1e6);
}

/* When, in a form that sorts and needs no zone. */
static void
print_scrub(const struct keyfs_stats *s, FILE *to)
{
	time_t time = (time_t)s->scrub_last_s;
	char text[32] = "";
	struct tm utc;

	if (time && gmtime_r(&time, &utc))
		(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	if (time)
		(void)fprintf(to,
			      "%-22s %s, %s read, %" PRIu64 " damages found\n",
			      "last full scrub", text,
			      bytes_text(s->scrub_last_bytes),
			      s->scrub_last_damages);
	else
		(void)fprintf(to, "%-22s never\n", "last full scrub");
	print_bytes(to, "  read since opening", s->scrub_bytes);
}

static void
print_damages(const struct keyfs_stats *s, FILE *to)
{
	if (s->damage_ranges == 0 && s->damage_files == 0)
		(void)fprintf(to, "%-22s none known\n", "damage");
	else
		(void)fprintf(to,
			      "%-22s %" PRIu64 " ranges, %s of blocks, %" PRIu64
			      " files kept\n",
			      "damage", s->damage_ranges,
			      bytes_text(s->damage_bytes), s->damage_files);
}

static void
print_stats(struct keyfs_store *db, const struct keyfs_stats *s, FILE *to)
{
	print_state(s, to);
	(void)fputc('\n', to);
	print_contents(db, s, to);
	(void)fputc('\n', to);
	print_memory(db, s, to);
	print_reads(s, to);
	print_writes(s, to);
	print_stalls(to, "writes delayed", s->delays, s->delay_ns);
	print_stalls(to, "writes stopped", s->stops, s->stop_ns);
	(void)fputc('\n', to);
	print_damages(s, to);
	print_scrub(s, to);
}

/* ---- "tables", "damage", "options" ---- */

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

/* ---- The table of them ---- */

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
	db_stats_fill(db, &stats);
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
