/* SPDX-License-Identifier: Apache-2.0 */
/* memtable_test.c - the memtable against a sorted array, and readers beside its
 * writer. */
#include <config.h>

#include "store/memtable.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "tests/suite.h"
#include "tests/versions.h"

static struct memtable *
make(size_t bytes, const struct memtable *like)
{
	struct memtable *m;

	ck_assert_int_eq(memtable_new(bytes, like, &m), 0);
	return m;
}

static void
add(struct memtable *m, const struct entry *entry)
{
	ck_assert_int_eq(memtable_reserve(m, 1,
					  entry->key.len + entry->value.len),
			 0);
	memtable_add(m, entry, bloom_hash(entry->key));
}

static int
by_seq(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Adds the versions in the order in which they were written. */
static void
fill(struct memtable *m, const struct versions *versions)
{
	struct entry *order = calloc(versions->count + 1, sizeof(*order));
	size_t i;

	ck_assert_ptr_nonnull(order);
	memcpy(order, versions->entries, versions->count * sizeof(*order));
	qsort(order, versions->count, sizeof(*order), by_seq);
	for (i = 0; i < versions->count; i++)
		add(m, &order[i]);
	free(order);
}

static void
check_get(const struct memtable *m, const struct versions *versions,
	  struct keyfs_slice key, uint64_t seq)
{
	size_t at = versions_seek(versions, key, seq);
	bool there = at < versions->count &&
		     key_equal(versions->entries[at].key, key);
	struct entry got;

	ck_assert_int_eq(memtable_get(m, key, bloom_hash(key), seq, &got),
			 there);
	if (there)
		versions_check_same(&got, &versions->entries[at]);
}

static void
check_all(struct memtable *m, const struct versions *versions, uint64_t *random,
	  uint64_t keys)
{
	uint8_t key[VERSIONS_KEY_MAX];
	struct iter *iter;
	unsigned i;

	ck_assert_uint_eq(memtable_entries(m), versions->count);
	ck_assert_int_eq(memtable_iter(m, &iter), 0);
	versions_check_iter(versions, iter, random, keys);
	iter_free(iter);
	for (i = 0; i < 2000; i++)
		check_get(m, versions,
			  versions_random_key(random, keys + 100, key),
			  suite_random(random) % 6000);
}

START_TEST(holds_what_a_sorted_array_holds)
{
	static const uint64_t keys[] = { 3, 100, 3000, 1000000 };
	uint64_t random = suite_seed();
	struct memtable *m = make(1 << 20, NULL);
	struct versions versions;

	versions_init(&versions);
	check_all(m, &versions, &random, 10);
	versions_random(&versions, &random, 5000, 1, keys[_i]);
	fill(m, &versions);
	check_all(m, &versions, &random, keys[_i]);
	versions_fini(&versions);
	memtable_unref(m);
}
END_TEST

/* The stems learnt fit the first keys and not the later ones. */
START_TEST(keys_unlike_those_before_are_sorted_right)
{
	uint64_t random = suite_seed();
	struct memtable *old = make(1 << 20, NULL), *m;
	struct versions first, second;

	versions_init(&first);
	versions_init(&second);
	versions_random(&first, &random, 50, 1, 40);
	m = make(1 << 20, old);
	ck_assert(!memtable_has_learnt(m)); /* there was nothing to learn */
	fill(old, &first);
	memtable_learn(m, old);
	ck_assert(memtable_has_learnt(m));
	memtable_unref(old);
	versions_random(&second, &random, 2000, 1, 40);
	versions_random(&second, &random, 2000, 2001, 3000);
	versions_random(&second, &random, 2000, 4001, 100000000);
	fill(m, &second);
	check_all(m, &second, &random, 3000);
	versions_fini(&first);
	versions_fini(&second);
	memtable_unref(m);
}
END_TEST

START_TEST(ascending_and_descending_keys_are_sorted)
{
	struct memtable *m = make(1 << 20, NULL);
	uint64_t random = suite_seed();
	struct versions versions;
	char key[24];
	unsigned i;

	versions_init(&versions);
	for (i = 0; i < 3000; i++) {
		struct entry e = { .seq = i + 1, .kind = ENTRY_PUT };

		snprintf(key, sizeof(key), "%016u", _i ? 3000 - i : i);
		e.key = keyfs_str(key);
		versions_add(&versions, &e);
		add(m, &e);
	}
	versions_sort(&versions);
	check_all(m, &versions, &random, 3000);
	versions_fini(&versions);
	memtable_unref(m);
}
END_TEST

START_TEST(a_reserve_covers_every_add_after_it)
{
	enum { COUNT = 3000, VALUE = 700 };
	struct memtable *m = make(1 << 12, NULL);
	char value[VALUE] = { 0 };
	unsigned i;

	/* arena_take() asserts that it stays within what was reserved. */
	ck_assert_int_eq(memtable_reserve(m, COUNT, COUNT * (8 + VALUE)), 0);
	for (i = 0; i < COUNT; i++) {
		uint64_t key = suite_random(&(uint64_t){ i });
		struct entry e = {
			.key = keyfs_bytes(&key, sizeof(key)),
			.seq = i + 1,
			.kind = ENTRY_PUT,
			.value = keyfs_bytes(value, sizeof(value)),
		};

		memtable_add(m, &e, bloom_hash(e.key));
	}
	ck_assert_uint_eq(memtable_entries(m), COUNT);
	ck_assert_uint_ge(memtable_bytes(m), COUNT * (8 + VALUE));
	ck_assert_uint_le(memtable_bytes(m), COUNT * (8 + VALUE + 80));
	memtable_unref(m);
}
END_TEST

START_TEST(too_much_is_refused)
{
	struct memtable *m = make(1 << 12, NULL);

	ck_assert_int_eq(memtable_reserve(m, SIZE_MAX, 0), -ENOMEM);
	ck_assert_int_eq(memtable_reserve(m, 1, SIZE_MAX - 64), -ENOMEM);
	memtable_unref(m);
}
END_TEST

START_TEST(an_iterator_keeps_the_memtable)
{
	struct memtable *m = make(1 << 12, NULL);
	struct entry e = { .key = keyfs_str("a"),
			   .seq = 1,
			   .kind = ENTRY_PUT,
			   .value = keyfs_str("1") };
	struct iter *iter;

	add(m, &e);
	ck_assert_int_eq(memtable_iter(m, &iter), 0);
	memtable_unref(m);
	iter_first(iter);
	ck_assert(iter->valid);
	versions_check_same(&iter->entry, &e);
	iter_free(iter);
}
END_TEST

/* ---- One writer, several readers ---- */

enum { RACE_WRITES = 20000, RACE_KEYS = 500, RACE_READERS = 3 };

struct race {
	struct memtable *m;
	_Atomic uint64_t visible;
	_Atomic bool wrong;
};

/* Version `seq` of any key holds seq; key k is written by every seq with
 * seq * 7 % RACE_KEYS == k. */
static struct keyfs_slice
race_key(char *buf, uint64_t seq)
{
	return keyfs_bytes(buf,
			   (size_t)snprintf(buf, 24, "%016u",
					    (unsigned)(seq * 7 % RACE_KEYS)));
}

static bool
race_get_is_right(struct race *race, uint64_t seq, uint64_t visible)
{
	char key[24];
	struct entry got;
	struct keyfs_slice k = race_key(key, seq);
	uint64_t newest = visible - (visible - seq) % RACE_KEYS;

	if (!memtable_get(race->m, k, bloom_hash(k), visible, &got))
		return false;
	return got.seq == newest && got.value.len == sizeof(newest) &&
	       !memcmp(got.value.data, &newest, sizeof(newest));
}

/* Every version up to `visible` must come by, in order. */
static bool
race_scan_is_right(struct race *race, uint64_t visible)
{
	uint64_t seen = 0, last_seq = 0;
	char last[24] = "";
	struct iter *iter;
	bool ok = true;

	if (memtable_iter(race->m, &iter))
		return false;
	for (iter_first(iter); iter->valid && ok; iter_next(iter)) {
		seen += iter->entry.seq <= visible;
		ok = version_compare(keyfs_str(last), last_seq, iter->entry.key,
				     iter->entry.seq) < 0;
		memcpy(last, iter->entry.key.data, iter->entry.key.len);
		last_seq = iter->entry.seq;
	}
	iter_free(iter);
	return ok && seen == visible;
}

static void *
race_read(void *arg)
{
	struct race *race = arg;
	uint64_t random = (uintptr_t)&random, visible;
	unsigned round = 0;

	do {
		visible = atomic_load_explicit(&race->visible,
					       memory_order_acquire);
		if (!visible)
			continue;
		if (!race_get_is_right(race,
				       1 + suite_random(&random) % visible,
				       visible) ||
		    (++round % 2000 == 0 && !race_scan_is_right(race, visible)))
			atomic_store(&race->wrong, true);
	} while (visible < RACE_WRITES && !atomic_load(&race->wrong));
	return NULL;
}

static void
race_write(struct race *race)
{
	char key[24];
	uint64_t seq;

	for (seq = 1; seq <= RACE_WRITES; seq++) {
		struct entry e = { .key = race_key(key, seq),
				   .seq = seq,
				   .kind = ENTRY_PUT,
				   .value = keyfs_bytes(&seq, sizeof(seq)) };

		add(race->m, &e);
		atomic_store_explicit(&race->visible, seq,
				      memory_order_release);
	}
}

START_TEST(readers_see_every_published_version)
{
	struct race race = { .m = make(4 << 20, NULL) };
	pthread_t readers[RACE_READERS];
	unsigned i;

	for (i = 0; i < RACE_READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, race_read,
						&race),
				 0);
	race_write(&race);
	for (i = 0; i < RACE_READERS; i++)
		pthread_join(readers[i], NULL);
	ck_assert(!race.wrong);
	memtable_unref(race.m);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("memtable");
	TCase *tcase = tcase_create("memtable");

	tcase_add_loop_test(tcase, holds_what_a_sorted_array_holds, 0, 4);
	tcase_add_test(tcase, keys_unlike_those_before_are_sorted_right);
	tcase_add_loop_test(tcase, ascending_and_descending_keys_are_sorted, 0,
			    2);
	tcase_add_test(tcase, a_reserve_covers_every_add_after_it);
	tcase_add_test(tcase, too_much_is_refused);
	tcase_add_test(tcase, an_iterator_keeps_the_memtable);
	tcase_add_test(tcase, readers_see_every_published_version);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
