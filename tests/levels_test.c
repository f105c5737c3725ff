/* SPDX-License-Identifier: Apache-2.0 */
/* levels_test.c - memtable, flush, compaction, versions, manifest and iterators
 * together, without threads and log: after any number of steps, every live
 * snapshot reads exactly what the history says. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "store/db_iter.h"
#include "store/manifest.h"
#include "store/memtable.h"
#include "store/merge_iter.h"
#include "tests/fault_env.h"
#include "tests/suite.h"
#include "tests/tables.h"

enum { SNAPSHOTS_MAX = 4, KEYS = 700 };

static struct fault_env *disk;
static struct env_dir *dir;
static struct cache *cache;
static struct table_set set;
static struct keyfs_options options;

static struct manifest *manifest;
static struct version *version;
static struct memtable *memtable;
static struct versions history;
static uint64_t last_seq, next_number;
static uint64_t snapshots[SNAPSHOTS_MAX]; /* ascending */
static size_t snapshot_count;
static uint64_t rng;

static const struct keyfs_slice none = { NULL, 0 };

static void
setup(void)
{
	rng = suite_seed();
	disk = fault_env_new(1);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
	ck_assert_int_eq(cache_new(64 << 10, &cache), 0);
	table_set_init(&set, dir, cache, NULL);
	options = tables_options();
	options.level0_tables = 2;
	options.table_bytes = 4 << 10;
	options.level_bytes = 8 << 10;
	ck_assert_int_eq(version_new(&set, &version), 0);
	ck_assert_int_eq(manifest_create(dir, NULL, 1, version, NULL,
					 &manifest),
			 0);
	ck_assert_int_eq(memtable_new(64 << 10, NULL, &memtable), 0);
	versions_init(&history);
	last_seq = snapshot_count = 0;
	next_number = 2;
}

static void
remove_gone(void)
{
	char name[ENV_NAME_MAX + 1];
	uint64_t number;
	bool aside;

	while ((number = table_set_take_gone(&set, &aside))) {
		table_file_name(number, name);
		ck_assert_int_eq(env_unlink(dir, name), 0);
		cache_drop_file(cache, number);
	}
}

static void
teardown(void)
{
	memtable_unref(memtable);
	version_unref(version);
	manifest_close(manifest);
	remove_gone();
	cache_free(cache);
	versions_fini(&history);
	env_dir_close(dir);
	fault_env_free(disk);
}

/* ---- Changing ---- */

static void
write_some(size_t count)
{
	struct versions some;
	size_t i;

	versions_init(&some);
	versions_random(&some, &rng, count, last_seq + 1, KEYS);
	for (i = 0; i < some.count; i++) {
		const struct entry *e = &some.entries[i];

		ck_assert_int_eq(memtable_reserve(memtable, 1,
						  e->key.len + e->value.len),
				 0);
		memtable_add(memtable, e, bloom_hash(e->key));
		versions_add(&history, e);
	}
	last_seq += count;
	versions_fini(&some);
	versions_sort(&history);
}

static void
change_snapshots(void)
{
	size_t drop = suite_random(&rng) % SNAPSHOTS_MAX;

	if (drop < snapshot_count && suite_random(&rng) % 2) {
		snapshot_count--;
		memmove(snapshots + drop, snapshots + drop + 1,
			(snapshot_count - drop) * sizeof(snapshots[0]));
	}
	if (snapshot_count < SNAPSHOTS_MAX && suite_random(&rng) % 3 == 0)
		snapshots[snapshot_count++] = last_seq;
}

static int
take_number(void *arg, uint64_t *out)
{
	(void)arg;
	*out = next_number++;
	return 0;
}

static struct compact_job
make_job(unsigned output_level, struct iter *input)
{
	return (struct compact_job){ .set = &set,
				     .options = &options,
				     .version = version,
				     .output_level = output_level,
				     .input = input,
				     .snapshots = snapshots,
				     .snapshot_count = snapshot_count,
				     .visible_seq = last_seq,
				     .next_number = take_number };
}

/* Records an edit and makes it the present. */
static void
install(struct version_edit *edit)
{
	const char *why = "";
	struct version *next;
	int r;

	edit->next_number = next_number;
	edit->last_seq = last_seq;
	r = version_apply(version, edit, &why, &next);
	if (r)
		ck_abort_msg("an edit does not fit: %d %s", r, why);
	ck_assert_int_eq(manifest_append(manifest, edit), 0);
	version_unref(version);
	version = next;
}

static void
flush(void)
{
	struct memtable *old = memtable;
	struct version_edit edit;
	struct compact_job job;
	struct iter *input;

	ck_assert_int_eq(memtable_iter(old, &input), 0);
	job = make_job(0, input);
	ck_assert_int_eq(compact_run(&job), 0);
	version_edit_init(&edit);
	compact_edit(NULL, &job, &edit);
	install(&edit);
	version_edit_fini(&edit);
	compact_job_fini(&job);
	iter_free(input);
	ck_assert_int_eq(memtable_new(64 << 10, old, &memtable), 0);
	memtable_unref(old);
}

static void
compact(struct compact_pick *pick)
{
	struct version_edit edit;
	struct compact_job job;
	struct iter *input = NULL;

	job = make_job(pick->output_level, NULL);
	ck_assert_int_eq(compact_pick_iter(pick, &job.lost, &input), 0);
	job.input = input;
	if (!pick->trivial_move)
		ck_assert_int_eq(compact_run(&job), 0);
	version_edit_init(&edit);
	compact_edit(pick, &job, &edit);
	install(&edit);
	compact_retire_inputs(pick, &job);
	version_edit_fini(&edit);
	compact_job_fini(&job);
	iter_free(input);
	compact_pick_fini(pick);
	remove_gone();
}

/* At most `steps`; returns how many were due. */
static unsigned
compact_some(unsigned steps)
{
	uint64_t oldest = snapshot_count ? snapshots[0] : last_seq;
	struct compact_pick pick;
	unsigned done = 0;

	while (done < steps &&
	       compact_pick(version, &options, oldest, &pick) == 0) {
		compact(&pick);
		done++;
	}
	return done;
}

/* ---- Reading ---- */

/* What a reader at `seq` finds: -ENOENT also for a tombstone. */
static int
get(struct keyfs_slice key, uint64_t seq, bool nowait,
    struct version_result *out)
{
	uint64_t hash = bloom_hash(key), bound;
	bool lost;
	int r = 0;

	out->pin = (struct cache_ref){ 0 };
	if (!memtable_get(memtable, key, hash, seq, &out->entry))
		r = version_get(version, key, hash, seq, nowait, out);
	lost = damage_list_find(&version->damages, key, seq, &bound) &&
	       (r || out->entry.seq <= bound);
	if (!r && (lost || out->entry.kind == ENTRY_DELETE)) {
		cache_unpin(cache, out->pin);
		r = -ENOENT;
	}
	return lost ? -EUCLEAN : r;
}

/* `allowed`: an error that may come instead of the right answer; never a wrong
 * one. */
static void
check_gets(uint64_t seq, unsigned count, bool nowait, int allowed)
{
	uint8_t buf[VERSIONS_KEY_MAX];

	while (count--) {
		struct keyfs_slice key =
			versions_random_key(&rng, KEYS + 50, buf);
		size_t at = versions_seek(&history, key, seq);
		const struct entry *want = &history.entries[at];
		struct version_result got;
		int r = get(key, seq, nowait, &got);

		if (r == allowed)
			continue;
		if (at == history.count || !key_equal(want->key, key) ||
		    want->kind == ENTRY_DELETE) {
			if (r != -ENOENT)
				ck_abort_msg("found what is not there: %d", r);
			continue;
		}
		if (r)
			ck_abort_msg("lost: %d", r);
		versions_check_same(&got.entry, want);
		cache_unpin(cache, got.pin);
	}
}

static struct db_iter *
scan(uint64_t seq, struct keyfs_slice lower, struct keyfs_slice upper)
{
	struct iter **children, *merged;
	struct db_iter *iter;
	size_t count;

	children = calloc(version_iters_max(version) + 1, sizeof(*children));
	ck_assert_int_eq(memtable_iter(memtable, &children[0]), 0);
	ck_assert_int_eq(version_iters(version, lower, upper, 0, children + 1,
				       &count),
			 0);
	ck_assert_int_eq(merge_iter_new(children, count + 1, &merged), 0);
	ck_assert_int_eq(db_iter_new(merged, seq, lower, upper, &iter), 0);
	free(children);
	return iter;
}

/* The next live version at `seq` in the history from `at` on, `step` 1 or -1.
 */
static size_t
history_find(uint64_t seq, size_t at, int step)
{
	for (; at < history.count; at += (size_t)step) {
		const struct entry *e = &history.entries[at];

		if (e->seq <= seq && e->kind == ENTRY_PUT &&
		    versions_seek(&history, e->key, seq) == at)
			break;
	}
	return at;
}

static void
check_scan(uint64_t seq)
{
	uint8_t low[VERSIONS_KEY_MAX], high[VERSIONS_KEY_MAX];
	bool bounded = suite_random(&rng) % 2;
	struct keyfs_slice lower =
		bounded ? versions_random_key(&rng, KEYS, low) : none;
	struct keyfs_slice upper =
		bounded ? versions_random_key(&rng, KEYS, high) : none;
	size_t begin = bounded ? versions_seek(&history, lower, SEQ_MAX) : 0;
	size_t end = bounded ? versions_seek(&history, upper, SEQ_MAX)
			     : history.count;
	struct db_iter *iter = scan(seq, lower, upper);
	size_t at = begin;

	for (db_iter_first(iter); db_iter_valid(iter); db_iter_next(iter)) {
		at = history_find(seq, at, 1);
		versions_check_same(db_iter_entry(iter), &history.entries[at]);
		at++;
	}
	ck_assert_int_eq(db_iter_status(iter), 0);
	ck_assert_uint_ge(history_find(seq, at, 1), end);
	at = end - 1;
	for (db_iter_last(iter); db_iter_valid(iter); db_iter_prev(iter)) {
		at = history_find(seq, at, -1);
		versions_check_same(db_iter_entry(iter), &history.entries[at]);
		at--;
	}
	ck_assert_int_eq(db_iter_status(iter), 0);
	db_iter_free(iter);
}

static void
check_readers(void)
{
	size_t i;

	for (i = 0; i <= snapshot_count; i++) {
		uint64_t seq = i < snapshot_count ? snapshots[i] : last_seq;

		check_gets(seq, 60, false, -ENOENT + 1);
		check_scan(seq);
	}
}

static int
count_tables(void *arg, const char *name)
{
	*(size_t *)arg += strstr(name, ".sst") != NULL;
	return 0;
}

/* No file is left behind, none is missing. */
static void
check_files(void)
{
	size_t files = 0, tables = 0;
	unsigned level;

	for (level = 0; level < KEYFS_LEVELS; level++)
		tables += version->levels[level].count;
	ck_assert_int_eq(env_dir_list(dir, count_tables, &files), 0);
	ck_assert_uint_eq(files, tables);
}

static void
check_manifest(void)
{
	struct version *loaded;
	uint64_t number;

	ck_assert_int_eq(manifest_load(dir, NULL, &set, &number, &loaded), 0);
	tables_check_same(loaded, version);
	version_unref(loaded);
}

START_TEST(every_snapshot_reads_what_the_history_says)
{
	unsigned round, compactions = 0;

	for (round = 0; round < 60; round++) {
		write_some(1 + suite_random(&rng) % 150);
		change_snapshots();
		if (suite_random(&rng) % 2)
			flush();
		compactions += compact_some(suite_random(&rng) % 6);
		if (round % 3 == 0)
			check_readers();
	}
	flush();
	compactions += compact_some(1000);
	check_readers();
	check_files();
	check_manifest();
	ck_assert_uint_gt(compactions, 10);
}
END_TEST

START_TEST(sizes_settle_at_their_targets)
{
	struct compact_targets targets;
	unsigned round, level;

	for (round = 0; round < 60; round++) {
		write_some(150);
		flush();
		compact_some(1000);
	}
	compact_targets(version, &options, &targets);
	ck_assert_uint_lt(version->level0_depth, options.level0_tables);
	ck_assert_uint_ge(version->levels[6].count, 2);
	for (level = 1; level < KEYFS_LEVELS; level++)
		ck_assert_uint_le(version->levels[level].bytes,
				  targets.bytes[level]);
	ck_assert_uint_eq(compact_debt_bytes(version, &options), 0);
}
END_TEST

static void
compact_everything(void)
{
	struct compact_pick pick;
	unsigned level;

	for (level = 0; level < KEYFS_LEVELS - 1; level++)
		while (compact_pick_range(version, &options, level, none, none,
					  &pick) == 0)
			compact(&pick);
}

START_TEST(a_full_compaction_leaves_only_the_living)
{
	size_t at, living = 0, entries = 0, i;

	for (i = 0; i < 10; i++) {
		write_some(150);
		flush();
	}
	compact_everything();
	for (at = 0; (at = history_find(last_seq, at, 1)) < history.count; at++)
		living++;
	for (i = 0; i < version->levels[6].count; i++) {
		ck_assert_uint_eq(version->levels[6].tables[i]->tombstones, 0);
		entries += version->levels[6].tables[i]->entries;
	}
	ck_assert_uint_eq(entries, living);
	ck_assert_uint_eq(version_iters_max(version), KEYFS_LEVELS - 1);
	check_readers();
	check_files();
}
END_TEST

START_TEST(a_reader_that_may_not_wait_is_never_told_wrong)
{
	unsigned i;

	for (i = 0; i < 12; i++) {
		write_some(100);
		flush();
		compact_some(1);
	}
	fault_env_set_cold(disk, true);
	check_gets(last_seq, 300, true, -EAGAIN);
	fault_env_set_cold(disk, false);
	check_gets(last_seq, 300, false, -ENOENT + 1);
}
END_TEST

START_TEST(a_table_that_cannot_be_read_never_shows_an_older_version)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_READ),
				   .error = -EIO };
	unsigned i;

	for (i = 0; i < 12; i++) {
		write_some(100);
		flush();
		compact_some(1);
	}
	for (i = 0; i < 100; i++) {
		rule.skip = suite_random(&rng) % 20;
		fault_env_fail(disk, &rule);
		check_gets(last_seq, 20, false, -EIO);
		fault_env_heal(disk);
	}
}
END_TEST

/* A bad block is passed over once; what it held cannot be told, and the table is
 * replaced like any other. */
START_TEST(a_damaged_block_does_not_stop_the_rest)
{
	char name[ENV_NAME_MAX + 1];
	struct table_meta *bad;
	unsigned round;

	for (round = 0; round < 40; round++) {
		write_some(100);
		flush();
		if (round == 20) {
			bad = version->levels[6].tables[0];
			table_file_name(bad->number, name);
			ck_assert_int_eq(fault_env_flip(disk, name, 44 * 8), 0);
			cache_drop_file(cache, bad->number);
		}
		compact_some(1000);
	}
	ck_assert_uint_eq(version->damages.count, 1);
	ck_assert_uint_eq(version->damages.at[0]->offset, 40);
	ck_assert_uint_gt(version->levels[6].count, 1);
	check_gets(last_seq, 500, false, -EUCLEAN);
	check_files();
	check_manifest();
}
END_TEST

START_TEST(approximate_sizes_add_up)
{
	uint64_t all, part, sum = 0, total = 0;
	unsigned i, level;
	char low[20], high[20];

	for (i = 0; i < 20; i++) {
		write_some(150);
		flush();
		compact_some(2);
	}
	for (level = 0; level < KEYFS_LEVELS; level++)
		total += version->levels[level].bytes;
	ck_assert_int_eq(version_approximate_size(version, none, none, &all),
			 0);
	ck_assert_uint_eq(all, total);
	for (i = 0; i < 10; i++) {
		snprintf(low, sizeof(low), "%016u", i * 70);
		snprintf(high, sizeof(high), "%016u", (i + 1) * 70);
		ck_assert_int_eq(version_approximate_size(
					 version, i ? keyfs_str(low) : none,
					 i < 9 ? keyfs_str(high) : none, &part),
				 0);
		sum += part;
	}
	ck_assert_uint_eq(sum, total);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("levels");
	TCase *tcase = tcase_create("levels");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, every_snapshot_reads_what_the_history_says,
			    0, 3);
	tcase_add_test(tcase, sizes_settle_at_their_targets);
	tcase_add_test(tcase, a_full_compaction_leaves_only_the_living);
	tcase_add_test(tcase, a_reader_that_may_not_wait_is_never_told_wrong);
	tcase_add_test(
		tcase,
		a_table_that_cannot_be_read_never_shows_an_older_version);
	tcase_add_test(tcase, a_damaged_block_does_not_stop_the_rest);
	tcase_add_test(tcase, approximate_sizes_add_up);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
