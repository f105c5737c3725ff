/* SPDX-License-Identifier: Apache-2.0 */
/* version_test.c - readers pin versions while others replace them: tables are
 * opened once, closed when nobody needs them, and their files come up for
 * deletion once. */
#include <config.h>

#include "store/version_edit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "tests/fault_env.h"
#include "tests/suite.h"
#include "tests/tables.h"

enum { TABLES = 8, KEYS = 400, READERS = 3, ROUNDS = 60 };

static struct fault_env *disk;
static struct env_dir *dir;
static struct cache *cache;
static struct table_set set;
static struct versions all;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct version *current; /* guarded by lock */
static _Atomic bool done, wrong;

static void
setup(void)
{
	uint64_t random = 7;

	disk = fault_env_new(1);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
	ck_assert_int_eq(cache_new(1 << 20, &cache), 0);
	table_set_init(&set, dir, cache, NULL);
	versions_init(&all);
	versions_random(&all, &random, 1200, 1, KEYS);
	ck_assert_int_eq(version_new(&set, &current), 0);
}

static void
teardown(void)
{
	version_unref(current);
	versions_fini(&all);
	cache_free(cache);
	env_dir_close(dir);
	fault_env_free(disk);
}

/* An edit with all versions in TABLES new tables of level 6, cut between keys.
 */
static void
write_tables(struct version_edit *edit, uint64_t number)
{
	size_t begin = 0, end;
	unsigned i;

	version_edit_init(edit);
	edit->next_number = number + TABLES;
	edit->last_seq = all.count;
	for (i = 0; i < TABLES; i++, begin = end) {
		struct table_meta *meta;

		end = all.count * (i + 1) / TABLES;
		while (end < all.count && key_equal(all.entries[end - 1].key,
						    all.entries[end].key))
			end++;
		if (begin == end)
			continue;
		meta = tables_write(&set, number + i, &all, begin, end);
		version_edit_add_table(edit, 6, meta);
		table_meta_unref(meta);
	}
}

/* Replaces every table by a copy with another number, and retires the old ones.
 */
static void
replace_tables(uint64_t number)
{
	struct version_edit edit;
	struct version *old, *next;
	const char *why = "";
	size_t i;

	write_tables(&edit, number);
	pthread_mutex_lock(&lock);
	old = version_ref(current);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < old->levels[6].count; i++)
		version_edit_delete_table(&edit, 6,
					  old->levels[6].tables[i]->number);
	ck_assert_int_eq(version_apply(old, &edit, &why, &next), 0);
	version_edit_fini(&edit);
	pthread_mutex_lock(&lock);
	version_unref(current);
	current = next;
	pthread_mutex_unlock(&lock);
	for (i = 0; i < old->levels[6].count; i++)
		table_meta_retire(old->levels[6].tables[i]);
	version_unref(old);
}

/* Deletes the files that nobody reads; returns how many. */
static size_t
remove_gone(void)
{
	char name[ENV_NAME_MAX + 1];
	uint64_t number;
	size_t count = 0;
	bool aside;

	while ((number = table_set_take_gone(&set, &aside))) {
		table_file_name(number, name);
		if (env_unlink(dir, name))
			atomic_store(&wrong, true);
		cache_drop_file(cache, number);
		count++;
	}
	return count;
}

static bool
get_is_right(struct version *version, uint64_t *random)
{
	uint8_t buf[VERSIONS_KEY_MAX];
	struct keyfs_slice key = versions_random_key(random, KEYS + 20, buf);
	uint64_t seq = suite_random(random) % (all.count + 1);
	size_t at = versions_seek(&all, key, seq);
	const struct entry *want = &all.entries[at];
	struct version_result got;
	bool right;
	int r = version_get(version, key, bloom_hash(key), seq, false, &got);

	if (at == all.count || !key_equal(want->key, key))
		return r == -ENOENT;
	if (r)
		return false;
	right = got.entry.seq == want->seq && got.entry.kind == want->kind &&
		key_equal(got.entry.value, want->value);
	cache_unpin(cache, got.pin);
	return right;
}

static void *
reader(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;

	while (!atomic_load(&done)) {
		struct version *version;
		unsigned i;

		pthread_mutex_lock(&lock);
		version = version_ref(current);
		pthread_mutex_unlock(&lock);
		for (i = 0; i < 50; i++)
			if (!get_is_right(version, &random))
				atomic_store(&wrong, true);
		version_unref(version);
	}
	return NULL;
}

START_TEST(readers_keep_what_they_pinned)
{
	struct version_edit edit;
	pthread_t readers[READERS];
	size_t removed = 0;
	unsigned i;

	write_tables(&edit, 1);
	current = tables_apply(current, &edit);
	version_edit_fini(&edit);
	for (i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, reader,
						(void *)(uintptr_t)(i + 1)),
				 0);
	for (i = 1; i <= ROUNDS; i++) {
		replace_tables(1 + i * TABLES);
		removed += remove_gone();
	}
	atomic_store(&done, true);
	for (i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	removed += remove_gone();
	ck_assert(!wrong);
	ck_assert_uint_eq(removed, ROUNDS * current->levels[6].count);
}
END_TEST

START_TEST(a_key_is_sought_in_one_table_a_level)
{
	struct version_edit edit;
	struct version_result got;
	size_t i;

	write_tables(&edit, 1);
	current = tables_apply(current, &edit);
	version_edit_fini(&edit);
	for (i = 0; i < all.count; i++) {
		const struct entry *e = &all.entries[i];

		if (version_get(current, e->key, bloom_hash(e->key), e->seq,
				false, &got))
			ck_abort_msg("lost");
		versions_check_same(&got.entry, e);
		cache_unpin(cache, got.pin);
		if (got.read + got.filtered != 1)
			ck_abort_msg("looked into more than one");
	}
	ck_assert_int_eq(version_get(current, keyfs_str("~~"), 0, SEQ_MAX,
				     false, &got),
			 -ENOENT);
	ck_assert_uint_le(got.read + got.filtered, 1);
}
END_TEST

START_TEST(a_table_that_is_not_open_is_not_waited_for)
{
	const struct entry *e = &all.entries[0];
	struct version_edit edit;
	struct version_result got;

	write_tables(&edit, 1);
	current = tables_apply(current, &edit);
	version_edit_fini(&edit);
	ck_assert_int_eq(version_get(current, e->key, bloom_hash(e->key),
				     SEQ_MAX, true, &got),
			 -EAGAIN);
	ck_assert_int_eq(version_get(current, e->key, bloom_hash(e->key),
				     SEQ_MAX, false, &got),
			 0);
	cache_unpin(cache, got.pin);
	ck_assert_int_eq(version_get(current, e->key, bloom_hash(e->key),
				     SEQ_MAX, true, &got),
			 0);
	cache_unpin(cache, got.pin);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("version");
	TCase *tcase = tcase_create("version");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, readers_keep_what_they_pinned);
	tcase_add_test(tcase, a_key_is_sought_in_one_table_a_level);
	tcase_add_test(tcase, a_table_that_is_not_open_is_not_waited_for);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
