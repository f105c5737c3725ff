/* SPDX-License-Identifier: Apache-2.0 */
/* table_test.c - a table gives back what was put in, from memory and from
 * disk. */
#include <config.h>

#include "store/table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/table_builder.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/table_fixture.h"

/* What a get must find: 0 and the index, or -ENOENT. */
static int
want_get(const struct table_fixture *f, struct keyfs_slice key, uint64_t seq,
	 size_t *i)
{
	*i = entries_seek(&f->entries, key, seq);
	return *i < f->entries.count && key_equal(f->entries.at[*i].key, key)
		       ? 0
		       : -ENOENT;
}

/* ---- What was put in ---- */

static const struct shape {
	size_t count, value_max, cache_bytes;
	struct table_options options;
	unsigned flags; /* of the iterators */
} shapes[] = {
	{ 1, 10, 1 << 20, { 128, 10, false }, 0 },
	{ 700, 60, 1 << 20, { 128, 10, false }, 0 },
	{ 700, 60, 1 << 20, { 128, 10, true }, TABLE_ITER_NOFILL },
	{ 700, 60, 0, { 128, 0, true }, 0 },
	{ 700, 60, 4096, { 300, 10, false }, TABLE_ITER_NOFILL },
	{ 1500, 200, 8192, { 4096, 5, true }, 0 },
	{ 200, 20000, 100000, { 4096, 10, true }, TABLE_ITER_NOFILL },
	{ 300, 10, 1 << 20, { 1 << 20, 32, true }, 0 },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

static void
shape_init(struct table_fixture *f, int i, uint64_t *state)
{
	const struct shape *s = &shapes[i];

	table_fixture_init(f, entries_random(state, s->count, s->value_max),
			   s->cache_bytes, &s->options);
}

START_TEST(every_version_is_found_and_nothing_else)
{
	uint64_t state = suite_seed();
	struct table_result found;
	struct table_fixture f;
	uint8_t space[64];
	size_t i, at;

	shape_init(&f, _i, &state);
	for (i = 0; i < 3000; i++) {
		struct keyfs_slice key =
			entries_probe(&f.entries, &state, space);
		const struct entry *any =
			&f.entries.at[suite_random(&state) % f.entries.count];
		uint64_t seq = i % 3 == 0 ? SEQ_MAX : any->seq - i % 2;
		int want;

		if (i % 5 == 0)
			key = any->key;
		want = want_get(&f, key, seq, &at);
		ck_assert_int_eq(table_fixture_get(&f, key, seq, false, &found),
				 want);
		if (want < 0)
			continue;
		ck_assert(entry_equal(&found.entry, &f.entries.at[at]));
		ck_assert_ptr_eq(found.entry.key.data, key.data);
		cache_unpin(f.cache, found.pin);
	}
	table_fixture_fini(&f);
}
END_TEST

START_TEST(iterators_see_every_entry_in_order)
{
	uint64_t state = suite_seed();
	struct table_fixture f;
	struct iter *it;
	size_t i;

	shape_init(&f, _i, &state);
	ck_assert_int_eq(table_iter(f.table, shapes[_i].flags, &it), 0);
	ck_assert(!it->valid);
	iter_first(it);
	for (i = 0; i < f.entries.count; i++) {
		table_fixture_check_at(it, &f, i);
		iter_next(it);
	}
	table_fixture_check_at(it, &f, i);
	iter_last(it);
	while (i-- > 0) {
		table_fixture_check_at(it, &f, i);
		iter_prev(it);
	}
	ck_assert(!it->valid && it->status == 0);
	iter_free(it);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(seek_and_turns_agree_with_the_sorted_array)
{
	uint64_t state = suite_seed();
	struct table_fixture f;
	struct iter *it;
	uint8_t space[64];
	size_t i, at;

	shape_init(&f, _i, &state);
	ck_assert_int_eq(table_iter(f.table, shapes[_i].flags, &it), 0);
	for (i = 0; i < 1000; i++) {
		struct keyfs_slice key =
			entries_probe(&f.entries, &state, space);
		const struct entry *any =
			&f.entries.at[suite_random(&state) % f.entries.count];
		uint64_t seq = i % 3 == 0 ? SEQ_MAX : any->seq - i % 2;
		int steps = (int)(suite_random(&state) % 5);

		if (i % 2)
			key = any->key;
		at = entries_seek(&f.entries, key, seq);
		iter_seek(it, key, seq);
		table_fixture_check_at(it, &f, at);
		while (it->valid && steps-- > 0) {
			if (suite_random(&state) % 2) {
				at++;
				iter_next(it);
			} else if (at > 0) {
				at--;
				iter_prev(it);
			}
			table_fixture_check_at(it, &f, at);
		}
	}
	iter_free(it);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(verify_finds_nothing_in_a_good_table)
{
	uint64_t state = suite_seed();
	struct table_fixture f;

	shape_init(&f, _i, &state);
	ck_assert_int_eq(table_verify(f.table, NULL, NULL), 0);
	ck_assert_int_eq(f.lines, 0);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_key_s_versions_may_fill_many_blocks)
{
	enum { VERSIONS = 200 };
	struct entries entries = { must_alloc(VERSIONS * sizeof(struct entry)),
				   VERSIONS };
	struct table_options options = { 128, 10, false };
	struct table_result found;
	struct table_fixture f;
	uint64_t i;

	for (i = 0; i < VERSIONS; i++)
		entries.at[i] =
			(struct entry){ keyfs_bytes(must_copy("k", 1), 1),
					2 * (VERSIONS - i), ENTRY_PUT,
					keyfs_bytes(must_alloc(10), 10) };
	table_fixture_init(&f, entries, 1 << 20, &options);
	for (i = 1; i < 2 * VERSIONS + 2; i++) {
		int r = table_fixture_get(&f, keyfs_str("k"), i, false, &found);

		ck_assert_int_eq(r, i < 2 ? -ENOENT : 0);
		if (r < 0)
			continue;
		ck_assert_uint_eq(found.entry.seq,
				  i > 2 * VERSIONS ? 2 * VERSIONS : i / 2 * 2);
		cache_unpin(f.cache, found.pin);
	}
	ck_assert_int_eq(table_verify(f.table, NULL, NULL), 0);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(the_filter_keeps_absent_keys_from_the_disk)
{
	uint64_t state = suite_seed(), reads;
	struct table_result found;
	struct table_fixture f;
	int i, filtered = 0;

	shape_init(&f, 1, &state);
	ck_assert_int_eq(table_fixture_get(&f, keyfs_str("absent"), SEQ_MAX,
					   false, &found),
			 -ENOENT);
	reads = fault_env_count(f.disk, FAULT_READ);
	for (i = 0; i < 1000; i++) {
		char key[32];

		snprintf(key, sizeof(key), "directory/absent%d", i);
		ck_assert_int_eq(table_fixture_get(&f, keyfs_str(key), SEQ_MAX,
						   false, &found),
				 -ENOENT);
		filtered += found.filtered;
	}
	ck_assert_int_ge(filtered, 950);
	ck_assert_uint_le(fault_env_count(f.disk, FAULT_READ) - reads,
			  (uint64_t)(1000 - filtered));
	table_fixture_fini(&f);
}
END_TEST

START_TEST(offsets_follow_the_keys)
{
	uint64_t state = suite_seed(), last = 0, offset;
	struct table_fixture f;
	size_t i;

	shape_init(&f, 1, &state);
	for (i = 0; i < f.entries.count; i++) {
		ck_assert_int_eq(table_offset_of(f.table, f.entries.at[i].key,
						 &offset),
				 0);
		ck_assert_uint_ge(offset, last);
		last = offset;
	}
	ck_assert_uint_gt(last, f.file_bytes / 2);
	ck_assert_int_eq(table_offset_of(f.table,
					 keyfs_str("\xff\xff\xff\xff"
						   "\xff\xff\xff\xff"
						   "\xff"),
					 &offset),
			 0);
	ck_assert_uint_ge(offset, last);
	ck_assert_uint_lt(offset, f.file_bytes);
	table_fixture_fini(&f);
}
END_TEST

/* ---- Memory ---- */

START_TEST(nowait_never_goes_to_a_cold_disk)
{
	uint64_t state = suite_seed();
	struct table_result found;
	const struct entry *e;
	struct table_fixture f;
	struct iter *it;

	shape_init(&f, 1, &state);
	e = &f.entries.at[f.entries.count / 2];
	fault_env_set_cold(f.disk, true);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, true, &found),
			 -EAGAIN);
	ck_assert_int_eq(table_iter(f.table, TABLE_ITER_NOWAIT, &it), 0);
	iter_first(it);
	ck_assert(!it->valid);
	ck_assert_int_eq(it->status, -EAGAIN);
	/* Once it was waited for, it is in memory. */
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, true, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	iter_seek(it, e->key, e->seq);
	ck_assert(it->valid);
	iter_first(it);
	ck_assert_int_eq(it->status, -EAGAIN);
	iter_free(it);
	ck_assert_int_eq(f.lines, 0);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(index_and_filter_are_charged_and_go_when_room_is_needed)
{
	uint64_t state = suite_seed(), reads;
	struct table_result found;
	struct cache_stats stats;
	const struct entry *e;
	struct table_fixture f;

	shape_init(&f, 1, &state);
	e = &f.entries.at[0];
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	cache_stats(f.cache, &stats);
	ck_assert_uint_eq(stats.entries, 2);
	ck_assert_uint_gt(stats.used_bytes, 700 * 10 / 8);
	ck_assert_uint_eq(stats.pinned_bytes, 0);

	reads = fault_env_count(f.disk, FAULT_READ);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	ck_assert_uint_eq(fault_env_count(f.disk, FAULT_READ), reads);

	cache_set_capacity(f.cache, 0);
	cache_stats(f.cache, &stats);
	ck_assert_uint_eq(stats.used_bytes, 0);
	cache_set_capacity(f.cache, 1 << 20);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	ck_assert_uint_eq(fault_env_count(f.disk, FAULT_READ), reads + 2);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_pinned_value_outlives_table_and_cache_entry)
{
	uint64_t state = suite_seed();
	struct table_result found;
	struct table_fixture f;
	size_t i = 0;

	shape_init(&f, 6, &state);
	while (f.entries.at[i].value.len < 100)
		i++;
	ck_assert_int_eq(table_fixture_get(&f, f.entries.at[i].key,
					   f.entries.at[i].seq, false, &found),
			 0);
	table_fixture_close(&f);
	cache_set_capacity(f.cache, 0);
	ck_assert(key_equal(found.entry.value, f.entries.at[i].value));
	cache_unpin(f.cache, found.pin);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(nofill_leaves_the_cache_and_reads_in_large_steps)
{
	uint64_t state = suite_seed(), reads, blocks = 0;
	struct cache_stats stats;
	struct table_fixture f;
	struct iter *it;

	shape_init(&f, 1, &state);
	reads = fault_env_count(f.disk, FAULT_READ);
	ck_assert_int_eq(table_iter(f.table, TABLE_ITER_NOFILL, &it), 0);
	for (iter_first(it); it->valid; iter_next(it))
		blocks++;
	iter_free(it);
	ck_assert_uint_eq(blocks, f.entries.count);
	ck_assert_uint_eq(fault_env_count(f.disk, FAULT_READ), reads + 2);
	cache_stats(f.cache, &stats);
	ck_assert_uint_eq(stats.entries, 0);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(an_iterator_holds_its_table)
{
	uint64_t state = suite_seed();
	struct table_fixture f;
	struct iter *it;

	shape_init(&f, 1, &state);
	ck_assert_int_eq(table_iter(f.table, 0, &it), 0);
	table_unref(f.table);
	f.table = NULL;
	iter_last(it);
	table_fixture_check_at(it, &f, f.entries.count - 1);
	iter_free(it);
	table_fixture_fini(&f);
}
END_TEST

/* ---- The builder ---- */

START_TEST(the_builder_keeps_its_first_error)
{
	struct table_options options = { 4096, 10, true };
	struct entry entry = { keyfs_str("key"), 1, ENTRY_PUT,
			       keyfs_str("value") };
	struct table_builder *builder;
	struct table_info info;
	struct env_file *file;
	struct table_fixture f;
	uint64_t state = suite_seed();
	int failed = 0;
	uint64_t n;

	table_fixture_small(&f, &state, false);
	for (n = 0;; n++) {
		struct fault_rule rule = { .calls = FAULT_ON(FAULT_WRITE) |
						    FAULT_ON(FAULT_SYNC),
					   .skip = n,
					   .error = -ENOSPC };
		int r;

		ck_assert_int_eq(env_file_open(f.dir, "1.sst",
					       ENV_WRITE | ENV_CREATE, &file),
				 0);
		fault_env_fail(f.disk, &rule);
		ck_assert_int_eq(table_builder_new(file, 1, &options, &builder),
				 0);
		table_builder_add(builder, &entry);
		r = table_builder_finish(builder, &info);
		fault_env_heal(f.disk);
		table_builder_free(builder);
		env_file_close(file);
		ck_assert_int_eq(env_unlink(f.dir, "1.sst"), 0);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOSPC);
		failed++;
	}
	ck_assert_int_eq(failed, 2);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(the_builder_refuses_what_no_reader_would_take)
{
	struct table_options options = { 4096, 10, true };
	static uint8_t large[KEYFS_VALUE_MAX + 1];
	struct entry bad[] = {
		{ keyfs_bytes(large, 0), 1, ENTRY_PUT, keyfs_str("v") },
		{ keyfs_bytes(large, KEYFS_KEY_MAX + 1), 1, ENTRY_PUT,
		  keyfs_str("v") },
		{ keyfs_str("k"), 1, ENTRY_PUT,
		  keyfs_bytes(large, sizeof(large)) },
		{ keyfs_str("k"), SEQ_MAX + 1, ENTRY_PUT, keyfs_str("v") },
	};
	struct table_builder *builder;
	struct table_info info;
	struct env_file *file;
	struct table_fixture f;
	uint64_t state = suite_seed();
	size_t i;

	table_fixture_small(&f, &state, false);
	for (i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(env_file_open(f.dir, "1.sst",
					       ENV_WRITE | ENV_CREATE, &file),
				 0);
		ck_assert_int_eq(table_builder_new(file, 1, &options, &builder),
				 0);
		/* In the last round there is no entry at all. */
		if (i < sizeof(bad) / sizeof(bad[0]))
			table_builder_add(builder, &bad[i]);
		ck_assert_int_eq(table_builder_finish(builder, &info), -EINVAL);
		table_builder_free(builder);
		env_file_close(file);
		ck_assert_int_eq(env_unlink(f.dir, "1.sst"), 0);
	}
	table_fixture_fini(&f);
}
END_TEST

/* ---- Threads ---- */

enum { READERS = 3, READS = 3000 };

struct reader {
	struct table_fixture *f;
	uint64_t seed;
	pthread_t thread;
};

static void *
reader_run(void *arg)
{
	struct reader *r = arg;
	struct table_fixture *f = r->f;
	uint64_t state = r->seed;
	struct table_result found;
	int i;

	for (i = 0; i < READS; i++) {
		const struct entry *e =
			&f->entries.at[suite_random(&state) % f->entries.count];

		ck_assert_int_eq(table_fixture_get(f, e->key, e->seq, false,
						   &found),
				 0);
		ck_assert(entry_equal(&found.entry, e));
		cache_unpin(f->cache, found.pin);
		/* So that index and filter come and go. */
		if (i % 100 == 0)
			cache_drop_file(f->cache, TABLE_FIXTURE_NUMBER);
		if (i % 64 == 0)
			cache_set_capacity(f->cache,
					   suite_random(&state) % 40000);
	}
	return NULL;
}

START_TEST(many_readers_share_a_table_and_too_small_a_cache)
{
	uint64_t state = suite_seed();
	struct reader readers[READERS];
	struct table_fixture f;
	int i;

	shape_init(&f, 1, &state);
	for (i = 0; i < READERS; i++) {
		readers[i].f = &f;
		readers[i].seed = suite_random(&state);
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL,
						reader_run, &readers[i]),
				 0);
	}
	for (i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
	table_fixture_fini(&f);
}
END_TEST

static TCase *
contents(void)
{
	TCase *tcase = tcase_create("contents");

	tcase_add_loop_test(tcase, every_version_is_found_and_nothing_else, 0,
			    SHAPES);
	tcase_add_loop_test(tcase, iterators_see_every_entry_in_order, 0,
			    SHAPES);
	tcase_add_loop_test(tcase, seek_and_turns_agree_with_the_sorted_array,
			    0, SHAPES);
	tcase_add_loop_test(tcase, verify_finds_nothing_in_a_good_table, 0,
			    SHAPES);
	tcase_add_test(tcase, a_key_s_versions_may_fill_many_blocks);
	tcase_add_test(tcase, the_filter_keeps_absent_keys_from_the_disk);
	tcase_add_test(tcase, offsets_follow_the_keys);
	tcase_add_test(tcase, the_builder_keeps_its_first_error);
	tcase_add_test(tcase, the_builder_refuses_what_no_reader_would_take);
	return tcase;
}

static TCase *
memory(void)
{
	TCase *tcase = tcase_create("memory");

	tcase_add_test(tcase, nowait_never_goes_to_a_cold_disk);
	tcase_add_test(tcase,
		       index_and_filter_are_charged_and_go_when_room_is_needed);
	tcase_add_test(tcase, a_pinned_value_outlives_table_and_cache_entry);
	tcase_add_test(tcase, nofill_leaves_the_cache_and_reads_in_large_steps);
	tcase_add_test(tcase, an_iterator_holds_its_table);
	tcase_add_test(tcase, many_readers_share_a_table_and_too_small_a_cache);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("table");

	suite_add_tcase(suite, contents());
	suite_add_tcase(suite, memory());
	return suite_main(suite);
}
