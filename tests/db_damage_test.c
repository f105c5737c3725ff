/* SPDX-License-Identifier: Apache-2.0 */
/* db_damage_test.c - a bad block under a store: what it held gives errors, never
 * something older, and everything else goes on. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/table_format.h"
#include "tests/db_kit.h"
#include "tests/must.h"
#include "tests/suite.h"

enum { KEYS = 200 };

static const struct keyfs_slice none = { NULL, 0 };

static const char *
numbered(unsigned i)
{
	static char key[32];

	(void)snprintf(key, sizeof(key), "key%06u", i);
	return key;
}

static void
compact_all(void)
{
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), 0);
}

/* The newest table that may hold `key`. */
static struct table_meta *
table_of(struct keyfs_slice key)
{
	struct table_meta *found = NULL;
	struct table_meta **tables;
	struct view *view;
	unsigned level;
	uint64_t seq;

	view = db_view_pin(store, &seq);
	for (level = 0; level < KEYFS_LEVELS && !found; level++) {
		tables = must_alloc((view->version->levels[level].count + 1) *
				    sizeof(*tables));
		if (version_overlaps(view->version, level, key, key, tables))
			found = tables[0];
		free(tables);
	}
	view_unref(view);
	ck_assert_ptr_nonnull(found);
	return found;
}

/* Flips a bit of the block where `key` is, unseen by the cache.  Nothing else
 * happens to the store meanwhile. */
static uint64_t
break_block(const char *key)
{
	struct table_meta *meta = table_of(keyfs_str(key));
	char name[ENV_NAME_MAX + 1];
	struct table *table;
	uint64_t offset;

	ck_assert_int_eq(table_meta_open(meta, false, &table), 0);
	ck_assert_int_eq(table_offset_of(table, keyfs_str(key), &offset), 0);
	table_file_name(meta->number, name);
	ck_assert_int_eq(fault_env_flip(disk, name, (offset + 5) * 8), 0);
	cache_drop_file(store->cache, meta->number);
	return meta->number;
}

/* "one" at the bottom, "two" above it, and a bad block in the latter, where
 * key000050 is. */
static uint64_t
lay_and_break(void)
{
	uint64_t number;

	db_kit_fill(KEYS, "one");
	compact_all();
	db_kit_fill(KEYS, "two");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	number = break_block(numbered(50));
	return number;
}

/* All read as `value` or as an error; how many errors. */
static unsigned
count_errors(const char *value)
{
	unsigned i, errors = 0;

	for (i = 0; i < KEYS; i++) {
		const char *got = db_kit_get(numbered(i));

		if (!strcmp(got, "!"))
			errors++;
		else
			ck_assert_str_eq(got, value);
	}
	return errors;
}

static int
count_file(void *arg, const char *name)
{
	*(unsigned *)arg += strstr(name, ".sst.damaged") != NULL;
	return 0;
}

static unsigned
files_aside(void)
{
	unsigned count = 0;

	ck_assert_int_eq(env_dir_list(store->dir, count_file, &count), 0);
	return count;
}

static int
note_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	(void)offset;
	(void)why;
	*(unsigned *)arg += strstr(file, ".sst.damaged") != NULL;
	return 0;
}

static int
note_range(void *arg, const struct keyfs_damage_range *range)
{
	struct keyfs_damage_range *out = arg;

	ck_assert_uint_eq(range->size, sizeof(*range));
	*out = *range;
	return 1;
}

START_TEST(a_lost_block_gives_errors_and_nothing_older)
{
	uint64_t number = lay_and_break();
	struct keyfs_damage_range range;
	char name[ENV_NAME_MAX + 1];
	unsigned before = count_errors("two"), listed = 0;
	char *text;

	ck_assert_uint_ge(before, 1);
	ck_assert_uint_le(before, KEYS / 4);
	compact_all();
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_eq(count_errors("two"), before);
	ck_assert_str_eq(db_kit_get(numbered(50)), "!");
	ck_assert_int_eq(db_kit_stats().state, KEYFS_STATE_OK);
	ck_assert_uint_eq(db_kit_stats().damage_ranges, 1);
	ck_assert_uint_eq(db_kit_stats().damage_files, 1);
	ck_assert_uint_eq(files_aside(), 1);
	ck_assert_int_eq(keyfs_damages(store, note_range, &range), 1);
	table_damaged_name(number, name);
	ck_assert_int_eq(fault_env_size(disk, name, &number), 0);
	ck_assert_uint_gt(range.bytes, 0);
	ck_assert_int_eq(keyfs_verify(store, note_damage, &listed), -EUCLEAN);
	ck_assert_uint_eq(listed, 1);
	ck_assert_int_eq(keyfs_property(store, "damage", &text), 0);
	ck_assert_ptr_nonnull(strstr(text, name));
	free(text);
}
END_TEST

START_TEST(damage_outlives_closing_and_more_compactions)
{
	unsigned round, errors;

	(void)lay_and_break();
	compact_all();
	errors = count_errors("two");
	for (round = 0; round < 3; round++) {
		db_kit_reopen();
		ck_assert_uint_eq(count_errors("two"), errors);
		ck_assert_int_eq(db_kit_put("key", "before all"), 0);
		ck_assert_int_eq(db_kit_put("kez", "behind all"), 0);
		compact_all();
		ck_assert_uint_eq(count_errors("two"), errors);
		ck_assert_uint_eq(files_aside(), 1);
	}
}
END_TEST

START_TEST(newer_writes_cover_it_key_by_key)
{
	unsigned round, errors;

	(void)lay_and_break();
	compact_all();
	errors = count_errors("two");
	ck_assert_int_eq(db_kit_put(numbered(50), "two"), 0);
	ck_assert_uint_eq(count_errors("two"), errors - 1);
	ck_assert_int_eq(keyfs_delete(store, NULL, keyfs_str("key000050x"), 0),
			 0);
	/* Between two keys that were lost: nobody knows. */
	ck_assert_str_eq(db_kit_get("key000050w"), "!");
	for (round = 0; round < 2; round++) {
		ck_assert_str_eq(db_kit_get("key000050x"), "-");
		compact_all();
		ck_assert_uint_eq(count_errors("two"), errors - 1);
		ck_assert_str_eq(db_kit_get("key000050x"), "-");
		db_kit_reopen();
	}
	db_kit_fill(KEYS, "four");
	ck_assert_uint_eq(count_errors("four"), 0);
	compact_all();
	ck_assert_uint_eq(count_errors("four"), 0);
}
END_TEST

START_TEST(conditions_on_a_lost_key_are_errors)
{
	struct keyfs_batch *batch;

	(void)lay_and_break();
	compact_all();
	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
	keyfs_batch_require_absent(batch, NULL, keyfs_str("key000050"));
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -EUCLEAN);
	keyfs_batch_clear(batch);
	keyfs_batch_require_unchanged(batch, NULL, keyfs_str("key000050"), 1);
	ck_assert_int_eq(keyfs_commit(store, batch, 0, NULL), -EUCLEAN);
	keyfs_batch_free(batch);
}
END_TEST

START_TEST(mget_fails_for_the_lost_key_alone)
{
	struct keyfs_slice keys[2] = { keyfs_str("key000050"),
				       keyfs_str("key000190") };
	struct keyfs_value values[2];
	int results[2];

	(void)lay_and_break();
	compact_all();
	ck_assert_int_eq(keyfs_mget(store, NULL, NULL, 2, keys, 0, values,
				    results),
			 0);
	ck_assert_int_eq(results[0], -EUCLEAN);
	ck_assert_int_eq(results[1], 0);
	keyfs_value_release(&values[1]);
}
END_TEST

START_TEST(a_snapshot_from_before_sees_what_it_saw)
{
	struct keyfs_snapshot *snapshot;
	unsigned i;

	db_kit_fill(KEYS, "one");
	compact_all();
	ck_assert_int_eq(keyfs_snapshot_new(store, &snapshot), 0);
	db_kit_fill(KEYS, "two");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	(void)break_block(numbered(50));
	compact_all();
	for (i = 0; i < KEYS; i++)
		ck_assert_str_eq(db_kit_get_at(snapshot, numbered(i)), "one");
	ck_assert_uint_ge(count_errors("two"), 1);
	keyfs_snapshot_free(snapshot);
}
END_TEST

/* ---- Scans ---- */

/* Goes over everything, behind each damage by a seek; counts keys and errors. */
static void
scan(bool backward, unsigned flags, unsigned *keys, unsigned *errors)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .flags = flags };
	struct keyfs_slice first, last;
	struct keyfs_iter *iter;
	char next[64];
	bool valid;

	*keys = *errors = 0;
	ck_assert_int_eq(keyfs_iter_new(store, NULL, &options, &iter), 0);
	valid = backward ? keyfs_iter_last(iter) : keyfs_iter_first(iter);
	while (valid || keyfs_iter_status(iter) == -EUCLEAN) {
		if (valid) {
			++*keys;
			valid = backward ? keyfs_iter_prev(iter)
					 : keyfs_iter_next(iter);
			continue;
		}
		++*errors;
		ck_assert_uint_le(*errors, 5);
		ck_assert_int_eq(keyfs_iter_damage(iter, &first, &last), 0);
		memset(next, 0, sizeof(next));
		if (backward) {
			memcpy(next, first.data, first.len);
			valid = keyfs_iter_seek_prev(iter,
						     keyfs_bytes(next,
								 first.len));
		} else {
			memcpy(next, last.data, last.len);
			valid = keyfs_iter_seek(iter,
						keyfs_bytes(next,
							    last.len + 1));
		}
	}
	ck_assert_int_eq(keyfs_iter_status(iter), 0);
	keyfs_iter_free(iter);
}

START_TEST(a_scan_stops_at_damage_and_goes_on_behind)
{
	unsigned lost, keys, errors;

	(void)lay_and_break();
	compact_all();
	lost = count_errors("two");
	scan(false, 0, &keys, &errors);
	ck_assert_uint_eq(errors, 1);
	ck_assert_uint_eq(keys, KEYS - lost);
	scan(true, 0, &keys, &errors);
	ck_assert_uint_eq(errors, 1);
	ck_assert_uint_eq(keys, KEYS - lost);
	scan(_i, KEYFS_SKIP_DAMAGE, &keys, &errors);
	ck_assert_uint_eq(errors, 0);
	ck_assert_uint_eq(keys, KEYS - lost);
	/* What was written since is shown only to who asks for it. */
	ck_assert_int_eq(db_kit_put(numbered(50), "three"), 0);
	scan(_i, 0, &keys, &errors);
	ck_assert_uint_eq(keys, KEYS - lost);
	scan(_i, KEYFS_SKIP_DAMAGE, &keys, &errors);
	ck_assert_uint_eq(keys, KEYS - lost + 1);
}
END_TEST

/* A block that no compaction has met yet. */
START_TEST(a_scan_goes_on_behind_a_bad_block)
{
	unsigned lost, keys, errors;

	(void)lay_and_break();
	lost = count_errors("two");
	scan(false, 0, &keys, &errors);
	ck_assert_uint_eq(errors, 1);
	ck_assert_uint_eq(keys, KEYS - lost);
}
END_TEST

START_TEST(a_scan_beside_the_damage_meets_none)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .lower = keyfs_str("key000100"),
					      .upper = keyfs_str("key000150") };
	struct keyfs_iter *iter;
	unsigned i;

	(void)lay_and_break();
	compact_all();
	ck_assert_int_eq(keyfs_iter_new(store, NULL, &options, &iter), 0);
	keyfs_iter_first(iter);
	for (i = 0; keyfs_iter_valid(iter); keyfs_iter_next(iter))
		i++;
	ck_assert_uint_eq(i, 50);
	ck_assert_int_eq(keyfs_iter_status(iter), 0);
	keyfs_iter_last(iter);
	for (i = 0; keyfs_iter_valid(iter); keyfs_iter_prev(iter))
		i++;
	ck_assert_uint_eq(i, 50);
	keyfs_iter_free(iter);
}
END_TEST

/* ---- Other parts of a table ---- */

START_TEST(without_its_index_a_table_is_lost_whole)
{
	uint8_t footer[TABLE_FOOTER_BYTES];
	struct keyfs_damage_range range;
	char name[ENV_NAME_MAX + 1];
	struct table_meta *meta;
	uint64_t at, bytes;

	db_kit_fill(KEYS, "one");
	compact_all();
	meta = table_of(keyfs_str("key000050"));
	table_file_name(meta->number, name);
	bytes = meta->file_bytes;
	ck_assert_int_eq(fault_env_peek(disk, name, bytes - TABLE_FOOTER_BYTES,
					footer, sizeof(footer)),
			 0);
	/* 0: the filter, whose loss loses nothing; 1: the index; 2: the properties;
	 * 3: the footer. */
	at = _i == 3 ? bytes - 5 : get_le64(footer + 8 * _i);
	ck_assert_int_eq(fault_env_flip(disk, name, at * 8), 0);
	db_kit_reopen();
	ck_assert_int_eq(db_kit_put("key000050x", "new"), 0);
	compact_all();
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_str_eq(db_kit_get("key000050x"), "new");
	if (_i == 1 || _i == 3) {
		ck_assert_int_eq(keyfs_damages(store, note_range, &range), 1);
		ck_assert_uint_eq(range.bytes, bytes);
		ck_assert_uint_ge(count_errors("one"), 1);
	} else {
		ck_assert_uint_eq(count_errors("one"), 0);
		ck_assert_int_eq(keyfs_verify(store, NULL, NULL), 0);
	}
}
END_TEST

START_TEST(an_error_of_the_disk_is_no_damage)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_READ),
				   .file = ".sst",
				   .error = -EIO,
				   .forever = true };

	db_kit_fill(KEYS, "one");
	compact_all();
	ck_assert_int_eq(db_kit_put(numbered(50), "one"), 0);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), -EIO);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), -EIO);
	ck_assert_int_eq(db_kit_stats().state, KEYFS_STATE_OK);
	ck_assert_uint_eq(db_kit_stats().damage_ranges, 0);
	fault_env_heal(disk);
	/* It is left alone for a time, and then tried again. */
	ck_assert_int_eq(keyfs_compact_range(store, NULL, none, none), -EIO);
	fault_env_set_clock(disk, UINT64_C(1000000000000), 1000);
	compact_all();
	ck_assert_uint_eq(count_errors("one"), 0);
}
END_TEST

/* ---- Crashes ---- */

/* The store as it is before the merge that meets the bad block, closed. */
static void
lay_for_crash(void)
{
	struct keyfs_options options = db_kit_small();

	disk = fault_env_new(1);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	(void)lay_and_break();
}

static void
check_after_crash(uint64_t call)
{
	struct keyfs_options options = db_kit_small();
	unsigned errors, aside;

	(void)keyfs_close(store);
	fault_env_reboot(disk, (enum fault_crash)(call % FAULT_CRASH_KINDS),
			 call);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	errors = count_errors("two");
	ck_assert_uint_ge(errors, 1);
	ck_assert_uint_le(errors, KEYS / 4);
	aside = files_aside();
	ck_assert_uint_eq(aside, db_kit_stats().damage_files);
	compact_all();
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_eq(count_errors("two"), errors);
	ck_assert_uint_eq(files_aside(), 1);
}

START_TEST(a_crash_at_any_call_of_the_merge_loses_no_more)
{
	uint64_t call = 0, begin;
	bool crashed = true;

	while (crashed) {
		lay_for_crash();
		begin = fault_env_calls(disk);
		fault_env_crash_at(disk, begin + call);
		(void)keyfs_compact_range(store, NULL, none, none);
		(void)keyfs_wait_idle(store);
		crashed = fault_env_crashed(disk);
		fault_env_crash_at(disk, UINT64_MAX);
		check_after_crash(call++);
		db_kit_teardown();
	}
	ck_assert_uint_ge(call, 10);
	disk = NULL;
	store = NULL;
}
END_TEST

/* ---- The model ---- */

enum { MODEL_KEYS = 400 };

/* Values are the number of their write; 0: absent. */
static unsigned model[MODEL_KEYS], writes;

static void
model_write(unsigned key, bool remove)
{
	char value[64];
	int r;

	writes++;
	(void)snprintf(value, sizeof(value), "%u %040u", writes, writes);
	r = remove ? keyfs_delete(store, NULL, keyfs_str(numbered(key)), 0)
		   : db_kit_put(numbered(key), value);
	ck_assert_int_eq(r, 0);
	model[key] = remove ? 0 : writes;
}

/* The model's value or an error; how many errors. */
static unsigned
model_check(void)
{
	unsigned i, errors = 0;

	for (i = 0; i < MODEL_KEYS; i++) {
		const char *got = db_kit_get(numbered(i));

		if (!strcmp(got, "!"))
			errors++;
		else if (model[i] ? strtoul(got, NULL, 10) != model[i]
				  : strcmp(got, "-") != 0)
			ck_abort_msg("%s is %s instead of %u", numbered(i), got,
				     model[i]);
	}
	return errors;
}

/* The number that begins at a byte of a key or a value. */
static unsigned
number_in(struct keyfs_slice text, size_t begin)
{
	char copy[128] = "";

	ck_assert_uint_lt(text.len, sizeof(copy));
	memcpy(copy, text.data, text.len);
	return (unsigned)strtoul(copy + begin, NULL, 10);
}

/* A scan shows nothing else either, and stops where it does not know. */
static void
model_scan(void)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .flags = KEYFS_SKIP_DAMAGE };
	struct keyfs_iter *iter;
	unsigned key, at = 0;

	ck_assert_int_eq(keyfs_iter_new(store, NULL, &options, &iter), 0);
	for (keyfs_iter_first(iter); keyfs_iter_valid(iter);
	     keyfs_iter_next(iter)) {
		key = number_in(keyfs_iter_key(iter), 3);
		ck_assert_uint_ge(key, at);
		at = key + 1;
		ck_assert_uint_eq(model[key],
				  number_in(keyfs_iter_value(iter), 0));
	}
	ck_assert(keyfs_iter_status(iter) == 0 ||
		  keyfs_iter_status(iter) == -EUCLEAN);
	keyfs_iter_free(iter);
}

struct choice {
	uint64_t *random;
	unsigned seen;
	char name[ENV_NAME_MAX + 1];
};

static int
choose_table(void *arg, const char *name)
{
	struct choice *choice = arg;
	size_t len = strlen(name);

	if (len > 4 && !strcmp(name + len - 4, ".sst") &&
	    suite_random(choice->random) % ++choice->seen == 0)
		(void)snprintf(choice->name, sizeof(choice->name), "%s", name);
	return 0;
}

/* A bit of some table, while workers may be reading or replacing it. */
static void
flip_somewhere(uint64_t *random)
{
	struct choice choice = { .random = random };
	uint64_t size;

	ck_assert_int_eq(env_dir_list(store->dir, choose_table, &choice), 0);
	if (!choice.seen || fault_env_size(disk, choice.name, &size) < 0 ||
	    size == 0)
		return;
	(void)fault_env_flip(disk, choice.name,
			     suite_random(random) % (size * 8));
	cache_drop_file(store->cache, strtoull(choice.name, NULL, 10));
}

START_TEST(random_damage_never_shows_anything_older)
{
	const char *more = getenv("KEYFS_TEST_ROUNDS");
	unsigned rounds = more ? (unsigned)strtoul(more, NULL, 10) : 60;
	uint64_t random = suite_seed() + (uint64_t)_i;
	unsigned round, i, errors = 0;

	writes = 0;
	memset(model, 0, sizeof(model));
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < 60; i++)
			model_write((unsigned)(suite_random(&random) %
					       MODEL_KEYS),
				    suite_random(&random) % 5 == 0);
		if (suite_random(&random) % 2)
			ck_assert_int_eq(keyfs_flush(store), 0);
		if (round % 3 == 0)
			flip_somewhere(&random);
		if (suite_random(&random) % 6 == 0)
			compact_all();
		if (suite_random(&random) % 10 == 0)
			db_kit_reopen();
		errors += model_check();
		model_scan();
	}
	compact_all();
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	errors += model_check();
	ck_assert_uint_ge(errors, 1);
	for (i = 0; i < MODEL_KEYS; i++)
		model_write(i, i % 7 == 0);
	compact_all();
	ck_assert_uint_eq(model_check(), 0);
	suite_cases(rounds);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("db_damage");
	TCase *tcase = tcase_create("damage"), *crash = tcase_create("crash");

	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, db_kit_setup, db_kit_teardown);
	tcase_add_test(tcase, a_lost_block_gives_errors_and_nothing_older);
	tcase_add_test(tcase, damage_outlives_closing_and_more_compactions);
	tcase_add_test(tcase, newer_writes_cover_it_key_by_key);
	tcase_add_test(tcase, conditions_on_a_lost_key_are_errors);
	tcase_add_test(tcase, mget_fails_for_the_lost_key_alone);
	tcase_add_test(tcase, a_snapshot_from_before_sees_what_it_saw);
	tcase_add_loop_test(tcase, a_scan_stops_at_damage_and_goes_on_behind, 0,
			    2);
	tcase_add_test(tcase, a_scan_goes_on_behind_a_bad_block);
	tcase_add_test(tcase, a_scan_beside_the_damage_meets_none);
	tcase_add_loop_test(tcase, without_its_index_a_table_is_lost_whole, 0,
			    4);
	tcase_add_test(tcase, an_error_of_the_disk_is_no_damage);
	tcase_add_loop_test(tcase, random_damage_never_shows_anything_older, 0,
			    4);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(crash, 300);
	tcase_add_test(crash, a_crash_at_any_call_of_the_merge_loses_no_more);
	suite_add_tcase(suite, crash);
	return suite_main(suite);
}
