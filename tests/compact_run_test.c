/* SPDX-License-Identifier: Apache-2.0 */
/* compact_run_test.c - what survives a merge, by the definition; where outputs
 * are cut; what is left after failures: nothing. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fault_env.h"
#include "tests/suite.h"
#include "tests/tables.h"

enum { VISIBLE = 3000, SNAPSHOTS_MAX = 6 };

static struct fault_env *disk;
static struct env_dir *dir;
static struct cache *cache;
static struct table_set set;
static struct version *version;
static struct keyfs_options options;
static struct compact_job job;
static uint64_t next_number;

static int
take_number(void *arg, uint64_t *out)
{
	(void)arg;
	*out = next_number++;
	return 0;
}

static void
setup(void)
{
	disk = fault_env_new(1);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
	ck_assert_int_eq(cache_new(1 << 20, &cache), 0);
	table_set_init(&set, dir, cache, NULL);
	ck_assert_int_eq(version_new(&set, &version), 0);
	options = tables_options();
	next_number = 1000;
	job = (struct compact_job){ .set = &set,
				    .options = &options,
				    .version = version,
				    .output_level = 5,
				    .visible_seq = VISIBLE,
				    .next_number = take_number };
}

static void
teardown(void)
{
	iter_free(job.input);
	compact_job_fini(&job);
	version_unref(version);
	cache_free(cache);
	env_dir_close(dir);
	fault_env_free(disk);
}

/* Puts tables without files below the output, for their ranges. */
static void
lay_below(unsigned level, const char *const *ranges)
{
	struct version_edit edit;
	uint64_t number = 1;

	version_edit_init(&edit);
	edit.next_number = 500;
	edit.last_seq = VISIBLE;
	for (; ranges[0]; ranges += 2)
		tables_add(&edit, &set, level, number++, ranges[0], ranges[1],
			   1);
	version = tables_apply(version, &edit);
	version_edit_fini(&edit);
	job.version = version;
}

static unsigned
files(void)
{
	return (unsigned)(fault_env_used(disk) != 0);
}

static void
outputs_read(struct versions *out)
{
	size_t i;

	versions_init(out);
	for (i = 0; i < job.output_count; i++)
		tables_read(job.outputs[i], out);
}

/* ---- What survives ---- */

static const char *const no_ranges[] = { NULL };

/* Ranges that cover some of what versions_random_key() makes. */
static const char *const some_ranges[] = {
	"0000000000000020",
	"0000000000000090",
	"0000000000000150",
	"0000000000000190",
	"I",
	"I~",
	NULL,
};

static bool
in_ranges(const char *const *ranges, struct keyfs_slice key)
{
	for (; ranges[0]; ranges += 2)
		if (key_compare(keyfs_str(ranges[0]), key) <= 0 &&
		    key_compare(keyfs_str(ranges[1]), key) >= 0)
			return true;
	return false;
}

/* Whether reader `at` sees version i: it is the newest of its key not above. */
static bool
sees(const struct versions *all, size_t i, uint64_t at)
{
	const struct entry *e = &all->entries[i];

	return e->seq <= at &&
	       (i == 0 || !key_equal(all->entries[i - 1].key, e->key) ||
		all->entries[i - 1].seq > at);
}

static bool
survives(const struct versions *all, size_t i, const char *const *ranges)
{
	const struct entry *e = &all->entries[i];
	uint64_t oldest = job.snapshot_count ? job.snapshots[0] : VISIBLE;
	bool seen = e->seq > VISIBLE || sees(all, i, VISIBLE);
	size_t s;

	for (s = 0; s < job.snapshot_count; s++)
		seen = seen || sees(all, i, job.snapshots[s]);
	if (seen && e->kind == ENTRY_DELETE && e->seq <= oldest)
		seen = in_ranges(ranges, e->key);
	return seen;
}

START_TEST(exactly_what_somebody_sees_survives)
{
	uint64_t random = suite_seed(), snapshots[SNAPSHOTS_MAX];
	const char *const *ranges = _i % 2 ? some_ranges : no_ranges;
	size_t i, at = 0, count = (size_t)_i / 2 % SNAPSHOTS_MAX;
	struct versions all, got;

	versions_init(&all);
	versions_random(&all, &random, 3200, 1, 250);
	lay_below(6, ranges);
	for (i = 0; i < count; i++)
		snapshots[i] = 1 + i * 500 + suite_random(&random) % 500;
	job.snapshots = snapshots;
	job.snapshot_count = count;
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	outputs_read(&got);
	for (i = 0; i < all.count; i++) {
		if (!survives(&all, i, ranges))
			continue;
		if (at == got.count)
			ck_abort_msg("a version is missing");
		versions_check_same(&got.entries[at++], &all.entries[i]);
	}
	ck_assert_uint_eq(at, got.count);
	ck_assert_uint_eq(job.entries_read, all.count);
	ck_assert_uint_eq(job.entries_written, got.count);
	versions_fini(&got);
	versions_fini(&all);
}
END_TEST

/* The drawing in compact.h. */
START_TEST(the_drawing_is_right)
{
	static const struct {
		const char *key;
		uint64_t seq;
		enum entry_kind kind;
		bool stays;
	} lines[] = {
		{ "a", 18, ENTRY_PUT, true },    { "a", 12, ENTRY_PUT, false },
		{ "b", 3, ENTRY_DELETE, true },  { "b", 1, ENTRY_PUT, false },
		{ "c", 19, ENTRY_DELETE, true }, { "c", 7, ENTRY_PUT, true },
		{ "d", 8, ENTRY_DELETE, true },  { "d", 6, ENTRY_PUT, false },
		{ "d", 2, ENTRY_PUT, true },
	};
	static const char *const below[] = { "b", "c", NULL };
	uint64_t snapshots[] = { 4, 9 };
	struct versions all, got;
	size_t i, at = 0;

	versions_init(&all);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct entry e = { .key = keyfs_str(lines[i].key),
				   .seq = lines[i].seq,
				   .kind = lines[i].kind };

		versions_add(&all, &e);
	}
	lay_below(6, below);
	job.visible_seq = 20;
	job.snapshots = snapshots;
	job.snapshot_count = _i ? 0 : 2;
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	outputs_read(&got);
	for (i = 0; i < all.count && !_i; i++)
		if (lines[i].stays)
			versions_check_same(&got.entries[at++],
					    &all.entries[i]);
	/* Without snapshots: a:18, b:3, c:19, and nothing of d. */
	ck_assert_uint_eq(got.count, _i ? 3 : at);
	ck_assert_uint_eq(job.dropped_tombstone_seq, _i ? 8 : 0);
	versions_fini(&got);
	versions_fini(&all);
}
END_TEST

START_TEST(a_flush_keeps_tombstones_of_older_tables)
{
	static const char *const below[] = { "b", "c", NULL };
	struct versions all, got;
	const char *key;

	versions_init(&all);
	for (key = "abcd"; *key; key++) {
		struct entry e = { .key = keyfs_bytes(key, 1),
				   .seq = 20,
				   .kind = ENTRY_DELETE };

		versions_add(&all, &e);
	}
	lay_below(_i ? 3 : 0, below);
	job.output_level = 0;
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	outputs_read(&got);
	ck_assert_uint_eq(got.count, 2);
	ck_assert(key_equal(got.entries[0].key, keyfs_str("b")));
	ck_assert(key_equal(got.entries[1].key, keyfs_str("c")));
	versions_fini(&got);
	versions_fini(&all);
}
END_TEST

START_TEST(nothing_left_makes_no_table)
{
	struct entry e = { .key = keyfs_str("a"),
			   .seq = 5,
			   .kind = ENTRY_DELETE };
	struct versions all;

	versions_init(&all);
	versions_add(&all, &e);
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	ck_assert_uint_eq(job.output_count, 0);
	ck_assert_uint_eq(files(), 0);
	versions_fini(&all);
}
END_TEST

/* ---- Cuts ---- */

/* Keys "%05u" from `from` on, `step` apart, values of 100 bytes. */
static void
add_run(struct versions *all, unsigned from, unsigned step, unsigned count)
{
	char key[16], value[100];
	unsigned i;

	for (i = 0; i < count; i++, from += step) {
		struct entry e = { .seq = 1 + from, .kind = ENTRY_PUT };
		uint64_t random = from;
		size_t b;

		for (b = 0; b < sizeof(value); b++)
			value[b] = (char)suite_random(&random);
		snprintf(key, sizeof(key), "%05u", from);
		e.key = keyfs_str(key);
		e.value = keyfs_bytes(value, sizeof(value));
		versions_add(all, &e);
	}
}

/* Tables of `bytes` below, every 100 keys from `from` on. */
static void
lay_grid(unsigned level, unsigned from, unsigned count, uint64_t bytes)
{
	struct version_edit edit;
	char small[16], large[16];
	unsigned i;

	version_edit_init(&edit);
	edit.next_number = 500;
	edit.last_seq = 100000;
	for (i = 0; i < count; i++) {
		snprintf(small, sizeof(small), "%05u", from + 100 * i + 10);
		snprintf(large, sizeof(large), "%05u", from + 100 * i + 89);
		tables_add(&edit, &set, level, i + 1, small, large, 1);
		edit.added[i].meta->file_bytes = bytes;
	}
	version = tables_apply(version, &edit);
	version_edit_fini(&edit);
	job.version = version;
}

static void
run_over(struct versions *all)
{
	job.visible_seq = 100000;
	job.input = versions_iter(all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	versions_fini(all);
}

START_TEST(tables_are_cut_at_their_size)
{
	struct versions all;
	size_t i;

	versions_init(&all);
	add_run(&all, 0, 1, 1000);
	run_over(&all);
	ck_assert_uint_ge(job.output_count, 10);
	for (i = 0; i + 1 < job.output_count; i++) {
		ck_assert_uint_ge(job.outputs[i]->file_bytes,
				  options.table_bytes);
		ck_assert_uint_le(job.outputs[i]->file_bytes,
				  options.table_bytes + 2048);
	}
}
END_TEST

START_TEST(versions_of_a_key_stay_together)
{
	struct versions all;
	char value[900];
	unsigned i;

	memset(value, 1, sizeof(value));
	versions_init(&all);
	for (i = 100; i > 0; i--) {
		struct entry e = { .key = keyfs_str("a"),
				   .seq = VISIBLE + i,
				   .kind = ENTRY_PUT,
				   .value = keyfs_bytes(value, sizeof(value)) };

		versions_add(&all, &e);
	}
	options.compression = KEYFS_COMPRESSION_NONE;
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), 0);
	ck_assert_uint_eq(job.output_count, 1);
	ck_assert_uint_gt(job.output_bytes, 2 * options.table_bytes);
	versions_fini(&all);
}
END_TEST

START_TEST(a_jump_over_a_table_below_ends_a_table)
{
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 20);   /* before the table at 110 */
	add_run(&all, 300, 1, 20); /* behind the one at 210 */
	lay_grid(6, 0, 20, 8 << 10);
	run_over(&all);
	ck_assert_uint_eq(job.output_count, 2);
	ck_assert(key_equal(job.outputs[0]->largest, keyfs_str("00019")));
}
END_TEST

START_TEST(a_short_jump_ends_no_tiny_table)
{
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 3);
	add_run(&all, 300, 1, 3);
	lay_grid(6, 0, 20, 8 << 10);
	run_over(&all);
	ck_assert_uint_eq(job.output_count, 1);
}
END_TEST

START_TEST(a_far_jump_ends_even_a_tiny_table)
{
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 1);
	add_run(&all, 1500, 1, 1);
	lay_grid(6, 0, 20, 100);
	run_over(&all);
	ck_assert_uint_eq(job.output_count, 2);
}
END_TEST

START_TEST(a_table_overlaps_few_tables_below)
{
	struct versions all;

	versions_init(&all);
	add_run(&all, 20, 40, 49); /* two or three in each table below */
	lay_grid(6, 0, 20, 8 << 10);
	run_over(&all);
	ck_assert_uint_ge(job.output_count, 5);
	ck_assert_uint_le(job.output_count, 6);
}
END_TEST

START_TEST(a_flush_makes_few_tables)
{
	struct versions all;
	unsigned i;

	versions_init(&all);
	for (i = 0; i < 10; i++)
		add_run(&all, i * 1000, 1, 20);
	lay_grid(4, 0, 100, 8 << 10);
	job.output_level = 0;
	run_over(&all);
	ck_assert_uint_eq(job.output_count, 4);
}
END_TEST

/* ---- Failures ---- */

static int
count_name(void *arg, const char *name)
{
	(void)name;
	++*(unsigned *)arg;
	return 0;
}

static void
check_nothing_left(void)
{
	unsigned names = 0;

	ck_assert_uint_eq(job.output_count, 0);
	ck_assert_int_eq(env_dir_list(dir, count_name, &names), 0);
	ck_assert_uint_eq(names, 0);
}

START_TEST(a_failed_merge_leaves_nothing)
{
	uint64_t n, failures = 1;
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 300);
	for (n = 0; failures; n++) {
		struct fault_rule rule = { .calls = FAULT_CHANGES &
						    ~FAULT_ON(FAULT_UNLINK),
					   .skip = n,
					   .error = n % 2 ? -ENOSPC : -EIO,
					   .partial = true };
		uint64_t before = fault_env_failures(disk);
		int r;

		job.input = versions_iter(&all, -1);
		fault_env_fail(disk, &rule);
		r = compact_run(&job);
		failures = fault_env_failures(disk) - before;
		fault_env_heal(disk);
		/* As if it had been opened again. */
		atomic_store(&dir->sync_error, 0);
		ck_assert_int_eq(r, failures ? rule.error : 0);
		if (failures) {
			iter_free(job.input);
			check_nothing_left();
		}
	}
	ck_assert_uint_ge(n, 10);
	versions_fini(&all);
}
END_TEST

START_TEST(an_error_of_an_input_leaves_nothing)
{
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 300);
	job.input = versions_iter(&all, 200);
	ck_assert_int_eq(compact_run(&job), -EIO);
	check_nothing_left();
	versions_fini(&all);
}
END_TEST

START_TEST(the_cancel_flag_ends_it)
{
	_Atomic bool cancel = true;
	struct versions all;

	versions_init(&all);
	add_run(&all, 0, 1, 300);
	job.cancel = &cancel;
	job.input = versions_iter(&all, -1);
	ck_assert_int_eq(compact_run(&job), -ECANCELED);
	check_nothing_left();
	versions_fini(&all);
}
END_TEST

START_TEST(outputs_and_their_names_are_durable)
{
	char name[ENV_NAME_MAX + 1];
	struct versions all;
	size_t i;

	versions_init(&all);
	add_run(&all, 0, 1, 300);
	run_over(&all);
	ck_assert_uint_gt(job.output_count, 2);
	for (i = 0; i < job.output_count; i++) {
		table_file_name(job.outputs[i]->number, name);
		ck_assert(fault_env_synced(disk, name));
	}
	compact_abandon(&job);
	check_nothing_left();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("compact_run");
	TCase *tcase = tcase_create("compact_run");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, exactly_what_somebody_sees_survives, 0,
			    2 * SNAPSHOTS_MAX);
	tcase_add_loop_test(tcase, the_drawing_is_right, 0, 2);
	tcase_add_loop_test(tcase, a_flush_keeps_tombstones_of_older_tables, 0,
			    2);
	tcase_add_test(tcase, nothing_left_makes_no_table);
	tcase_add_test(tcase, tables_are_cut_at_their_size);
	tcase_add_test(tcase, versions_of_a_key_stay_together);
	tcase_add_test(tcase, a_jump_over_a_table_below_ends_a_table);
	tcase_add_test(tcase, a_short_jump_ends_no_tiny_table);
	tcase_add_test(tcase, a_far_jump_ends_even_a_tiny_table);
	tcase_add_test(tcase, a_table_overlaps_few_tables_below);
	tcase_add_test(tcase, a_flush_makes_few_tables);
	tcase_add_test(tcase, a_failed_merge_leaves_nothing);
	tcase_add_test(tcase, an_error_of_an_input_leaves_nothing);
	tcase_add_test(tcase, the_cancel_flag_ends_it);
	tcase_add_test(tcase, outputs_and_their_names_are_durable);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
