/* SPDX-License-Identifier: Apache-2.0 */
/* salvage.c - which files count, and what is good in them as one; see salvage.h. */
#include <config.h>

#include "store/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/cache.h"
#include "store/manifest.h"
#include "store/merge_iter.h"
#include "store/options.h"
#include "store/wal_reader.h"

#define LOCK_NAME "LOCK"
/* Files in a directory that are looked at: a crafted one may hold any number. */
#define NUMBERS_MAX ((size_t)1 << 24)

/* ---- Losses ---- */

int
salvage_lose(struct keyfs_salvage *s, const char *file, uint64_t offset,
	     const char *why, const struct salvage_keys *keys)
{
	struct salvage_loss *loss;
	int r;

	if (s->loss_count == s->loss_capacity) {
		size_t capacity = s->loss_capacity * 2 + 8;

		loss = realloc(s->losses, capacity * sizeof(*loss));
		if (!loss)
			return -ENOMEM;
		s->losses = loss;
		s->loss_capacity = capacity;
	}
	loss = &s->losses[s->loss_count++];
	*loss = (struct salvage_loss){ .offset = offset };
	(void)snprintf(loss->file, sizeof(loss->file), "%s", file);
	(void)snprintf(loss->why, sizeof(loss->why), "%s", why);
	if (!keys)
		return 0;
	loss->has_keys = true;
	loss->max_seq = keys->max_seq;
	r = buf_set(&loss->lower, keys->lower);
	return r ? r : buf_set(&loss->upper, keys->upper);
}

bool
keyfs_salvage_loss(const struct keyfs_salvage *s, size_t i,
		   struct keyfs_loss *out)
{
	const struct salvage_loss *loss;

	if (i >= s->loss_count)
		return false;
	loss = &s->losses[i];
	*out = (struct keyfs_loss){ .file = loss->file,
				    .offset = loss->offset,
				    .why = loss->why,
				    .has_keys = loss->has_keys };
	if (loss->lower.len)
		out->lower = buf_slice(&loss->lower);
	if (loss->upper.len)
		out->upper = buf_slice(&loss->upper);
	return true;
}

/* The first complaint of loading a manifest. */
struct complaint {
	bool heard;
	char file[ENV_NAME_MAX + 1], why[160];
	uint64_t offset;
};

/* Takes a line of corrupt() apart again. */
static void
hear(void *arg, enum keyfs_log_level level, const char *line)
{
	struct complaint *c = arg;

	if (level < KEYFS_LOG_ERROR || c->heard)
		return;
	c->heard = sscanf(line,
			  "%63[^:]: damaged at offset %" SCNu64 ": %159[^\n]",
			  c->file, &c->offset, c->why) == 3;
}

static int
complain(struct keyfs_salvage *s, const struct complaint *c, const char *why)
{
	if (c->heard)
		return salvage_lose(s, c->file, c->offset, c->why, NULL);
	return salvage_lose(s, MANIFEST_CURRENT, 0, why, NULL);
}

/* ---- Which files are there ---- */

struct numbers {
	uint64_t *items; /* owned */
	size_t count, capacity;
};

struct listing {
	struct numbers tables, logs, manifests;
	bool has_current;
	int error;
};

static int
add_number(struct numbers *numbers, uint64_t number)
{
	if (numbers->count == numbers->capacity) {
		size_t capacity = numbers->capacity * 2 + 16;
		uint64_t *items =
			realloc(numbers->items, capacity * sizeof(*items));

		if (!items || capacity > NUMBERS_MAX) {
			free(items ? items : numbers->items);
			*numbers = (struct numbers){ 0 };
			return -ENOMEM;
		}
		numbers->items = items;
		numbers->capacity = capacity;
	}
	numbers->items[numbers->count++] = number;
	return 0;
}

/* Only names that we would give ourselves count. */
static int
list_file(void *arg, const char *name)
{
	bool manifest = !strncmp(name, "MANIFEST-", 9);
	uint64_t number = strtoull(manifest ? name + 9 : name, NULL, 10);
	char own[3][ENV_NAME_MAX + 1];
	struct listing *l = arg;

	l->has_current |= !strcmp(name, MANIFEST_CURRENT);
	if (number == 0 || number > WAL_NUMBER_MAX)
		return 0;
	manifest_file_name(number, own[0]);
	table_file_name(number, own[1]);
	wal_file_name(number, own[2]);
	if (!strcmp(name, own[0]))
		return add_number(&l->manifests, number);
	if (!strcmp(name, own[1]))
		return add_number(&l->tables, number);
	return strcmp(name, own[2]) ? 0 : add_number(&l->logs, number);
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
sort(struct numbers *numbers)
{
	if (numbers->count)
		qsort(numbers->items, numbers->count, sizeof(uint64_t),
		      by_number);
}

static bool
has_number(const struct numbers *numbers, uint64_t number)
{
	return numbers->count &&
	       bsearch(&number, numbers->items, numbers->count,
		       sizeof(uint64_t), by_number);
}

static void
listing_fini(struct listing *l)
{
	free(l->tables.items);
	free(l->logs.items);
	free(l->manifests.items);
}

/* ---- The manifest ---- */

static bool
names_log(const struct version *version, uint64_t number)
{
	size_t i;

	for (i = 0; i < version->log_count; i++)
		if (version->logs[i].number == number)
			return true;
	return number < version->log_floor;
}

static size_t
count_missing(const struct version *version, const struct listing *l)
{
	size_t i, missing = 0, level;

	for (level = 0; level < KEYFS_LEVELS; level++)
		for (i = 0; i < version->levels[level].count; i++)
			missing += !has_number(
				&l->tables,
				version->levels[level].tables[i]->number);
	return missing;
}

static size_t
count_unnamed(const struct version *version, const struct listing *l)
{
	size_t i, unnamed = 0;
	unsigned level;

	for (i = 0; i < l->tables.count; i++)
		unnamed += !version_find(version, l->tables.items[i], &level);
	return unnamed;
}

/* Whether a manifest is of this store as it was last: an old one lacks tables that were
 * removed since, beside others that it does not know, or a log that was written to. */
static bool
is_newest(const struct keyfs_salvage *s, const struct version *version,
	  const struct listing *l)
{
	bool has;
	size_t i;

	for (i = 0; i < l->logs.count; i++)
		if (!names_log(version, l->logs.items[i]) &&
		    !wal_reader_has_records(s->dir, l->logs.items[i], &has) &&
		    has)
			return false;
	return !count_missing(version, l) || !count_unnamed(version, l);
}

/* The newest manifest that is whole; *out NULL: none is. */
static int
find_whole(struct keyfs_salvage *s, struct table_set *set,
	   const struct listing *l, struct version **out)
{
	size_t i = l->manifests.count;
	int r;

	*out = NULL;
	while (i-- > 0) {
		r = manifest_load_number(s->dir, set->reporter, set,
					 l->manifests.items[i], out);
		if (r == 0 && is_newest(s, *out, l))
			return 0;
		if (r == -ENOMEM)
			return r;
		if (r == 0)
			version_unref(*out);
		*out = NULL;
	}
	return 0;
}

/* The manifest that CURRENT names, or else the newest that is whole.  *out NULL: none
 * can be believed.  `heard`: what set->reporter told. */
static int
find_version(struct keyfs_salvage *s, struct table_set *set,
	     const struct complaint *heard, const struct listing *l,
	     struct version **out)
{
	const char *why = "it leads to an old manifest";
	uint64_t number;
	int r;

	*out = NULL;
	r = manifest_load(s->dir, set->reporter, set, &number, out);
	if (r == 0 && is_newest(s, *out, l))
		return 0;
	if (r == -ENOMEM || r == -EPROTONOSUPPORT)
		return r;
	version_unref(*out);
	*out = NULL;
	if (r < 0)
		why = r == -ENOENT ? "it is missing" : strerror(-r);
	r = complain(s, heard, why);
	return r ? r : find_whole(s, set, l, out);
}

/* ---- Taking stock ---- */

static int
survey_tables_of(struct keyfs_salvage *s, const struct version *version)
{
	size_t level, i, count = 0;
	int r = 0;

	for (level = 0; level < KEYFS_LEVELS; level++)
		count += version->levels[level].count;
	s->tables = calloc(count + 1, sizeof(s->tables[0]));
	if (!s->tables)
		return -ENOMEM;
	for (level = 0; level < KEYFS_LEVELS && r == 0; level++) {
		for (i = 0; i < version->levels[level].count && r == 0; i++) {
			const struct table_meta *meta =
				version->levels[level].tables[i];
			struct salvage_table_hint hint = {
				meta->number, meta->file_bytes, meta->max_seq,
				meta->smallest, meta->largest
			};

			r = salvage_table_survey(s, &hint,
						 &s->tables[s->table_count++]);
		}
	}
	return r;
}

/* What a compaction lost before. */
static int
survey_damages(struct keyfs_salvage *s, const struct damage_list *list)
{
	char name[ENV_NAME_MAX + 1];
	size_t i;
	int r = 0;

	for (i = 0; i < list->count && r == 0; i++) {
		const struct damage *d = list->at[i];
		struct salvage_keys keys = { d->first, d->last, d->max_seq };

		table_damaged_name(d->number, name);
		r = salvage_lose(s, name, d->offset,
				 "a compaction could not read it", &keys);
	}
	return r;
}

static int
survey_version(struct keyfs_salvage *s, const struct version *version)
{
	int r;

	s->has_manifest = true;
	s->last_seq = version->last_seq;
	r = survey_tables_of(s, version);
	if (r == 0)
		r = survey_damages(s, &version->damages);
	return r ? r : salvage_logs(s, version->logs, version->log_count);
}

/* Every table and log there is.  Some may be leftovers, so keys that were removed may
 * come back: said as a loss. */
static int
survey_files(struct keyfs_salvage *s, const struct listing *l)
{
	struct version_log *logs = calloc(l->logs.count + 1, sizeof(*logs));
	size_t i;
	int r;

	s->tables = calloc(l->tables.count + 1, sizeof(s->tables[0]));
	if (!s->tables || !logs) {
		free(logs);
		return -ENOMEM;
	}
	r = salvage_lose(s, "MANIFEST", 0,
			 "no manifest can be believed: every table and log is "
			 "read, and what was removed last may come back",
			 NULL);
	for (i = 0; i < l->tables.count && r == 0; i++) {
		struct salvage_table_hint hint = { .number =
							   l->tables.items[i] };

		r = salvage_table_survey(s, &hint,
					 &s->tables[s->table_count++]);
	}
	for (i = 0; i < l->logs.count; i++)
		logs[i].number = l->logs.items[i];
	if (r == 0)
		r = salvage_logs(s, logs, l->logs.count);
	free(logs);
	return r;
}

static int
survey(struct keyfs_salvage *s, const struct listing *l)
{
	struct complaint heard = { .heard = false };
	struct reporter reporter = { hear, &heard };
	struct version *version = NULL;
	struct table_set set;
	struct cache *cache;
	int r = cache_new(OPTIONS_MEMORY_MIN, &cache);

	if (r < 0)
		return r;
	table_set_init(&set, s->dir, cache, &reporter);
	r = find_version(s, &set, &heard, l, &version);
	if (r == 0)
		r = version ? survey_version(s, version) : survey_files(s, l);
	version_unref(version);
	cache_free(cache);
	return r;
}

/* ---- Opening ---- */

/* A store that has lost its LOCK can be read; nobody can have opened it without. */
static int
take_lock(struct keyfs_salvage *s, bool exclusive)
{
	int r = env_file_open(s->dir, LOCK_NAME, ENV_READ, &s->lock_file);

	if (r == -ENOENT)
		return salvage_lose(s, LOCK_NAME, 0, "it is missing", NULL);
	return r < 0 ? r : env_file_lock(s->lock_file, exclusive);
}

static int
open_all(struct keyfs_salvage *s, const char *path, bool exclusive)
{
	struct listing l = { .error = 0 };
	int r = env_dir_open(s->env, path, 0, &s->dir);

	if (r < 0)
		return r;
	r = env_dir_list(s->dir, list_file, &l);
	sort(&l.tables);
	sort(&l.logs);
	sort(&l.manifests);
	if (r == 0 && !l.has_current && !l.manifests.count && !l.tables.count &&
	    !l.logs.count)
		r = -ENOENT;
	if (r == 0)
		r = take_lock(s, exclusive);
	if (r == 0)
		r = survey(s, &l);
	listing_fini(&l);
	return r;
}

int
salvage_open(struct env *env, const char *path,
	     const struct keyfs_options *options, bool exclusive,
	     struct keyfs_salvage **out)
{
	struct keyfs_salvage *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->env = env;
	if (options)
		s->reporter =
			(struct reporter){ options->log, options->log_arg };
	r = open_all(s, path, exclusive);
	if (r < 0) {
		keyfs_salvage_close(s);
		return r;
	}
	*out = s;
	return 0;
}

int
keyfs_salvage_open(const char *path, const struct keyfs_options *options,
		   struct keyfs_salvage **out)
{
	if (!path || !out)
		return -EINVAL;
	return salvage_open(env_posix(), path, options, false, out);
}

void
keyfs_salvage_close(struct keyfs_salvage *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->table_count; i++)
		salvage_table_fini(&s->tables[i]);
	free(s->tables);
	for (i = 0; i < s->loss_count; i++) {
		buf_fini(&s->losses[i].lower);
		buf_fini(&s->losses[i].upper);
	}
	free(s->losses);
	memtable_unref(s->memtable);
	env_file_close(s->lock_file);
	env_dir_close(s->dir);
	free(s);
}

/* ---- What can be saved ---- */

static bool
is_doubtful(const struct keyfs_salvage *s, const struct entry *e)
{
	size_t i;

	for (i = 0; i < s->loss_count; i++) {
		const struct salvage_loss *loss = &s->losses[i];

		if (loss->has_keys && loss->max_seq > e->seq &&
		    loss->lower.len && loss->upper.len &&
		    key_compare(buf_slice(&loss->lower), e->key) <= 0 &&
		    key_compare(e->key, buf_slice(&loss->upper)) <= 0)
			return true;
	}
	return false;
}

static int
make_sources(struct keyfs_salvage *s, struct iter **out)
{
	struct iter **children =
		calloc(s->table_count + 1, sizeof(struct iter *));
	size_t count = 0, i;
	int r = 0;

	if (!children)
		return -ENOMEM;
	for (i = 0; i < s->table_count && r == 0; i++) {
		r = salvage_table_iter(&s->tables[i], &children[count]);
		count += r == 0;
	}
	if (r == 0 && s->memtable) {
		r = memtable_iter(s->memtable, &children[count]);
		count += r == 0;
	}
	if (r == 0)
		r = merge_iter_new(children, count, out);
	for (i = 0; i < count && r < 0; i++)
		iter_free(children[i]);
	free(children);
	return r;
}

int
keyfs_salvage_scan(struct keyfs_salvage *s, keyfs_salvage_fn each, void *arg)
{
	struct buf key = { .len = 0 };
	struct iter *it;
	int r = make_sources(s, &it);

	if (r < 0)
		return r;
	for (iter_first(it); it->valid && r == 0; iter_next(it)) {
		const struct entry *e = &it->entry;

		/* The newest version of a key comes first and speaks for it. */
		if (key.len && key_equal(buf_slice(&key), e->key))
			continue;
		r = buf_set(&key, e->key);
		if (r == 0 && e->kind == ENTRY_PUT)
			r = each(arg, e->key, e->value, is_doubtful(s, e));
	}
	if (r == 0)
		r = it->status;
	iter_free(it);
	buf_fini(&key);
	return r;
}
