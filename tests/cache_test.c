/* SPDX-License-Identifier: Apache-2.0 */
/* cache_test.c - what is pinned stays, what is not makes room, and many threads
 * at once see only what was put in. */
#include <config.h>

#include "store/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/suite.h"

/* An object that knows where it belongs and is poisoned when it dies. */
struct thing {
	uint64_t file, offset, alive;
};

#define ALIVE UINT64_C(0x1122334455667788)

static _Atomic long things;

static void *
thing_new(uint64_t file, uint64_t offset)
{
	struct thing *thing = malloc(sizeof(*thing));

	ck_assert_ptr_nonnull(thing);
	*thing = (struct thing){ file, offset, ALIVE };
	atomic_fetch_add(&things, 1);
	return thing;
}

static void
thing_destroy(void *object)
{
	struct thing *thing = object;

	ck_assert_uint_eq(thing->alive, ALIVE);
	thing->alive = 0;
	atomic_fetch_sub(&things, 1);
	free(thing);
}

static bool
thing_is(const void *object, uint64_t file, uint64_t offset)
{
	const struct thing *thing = object;

	return thing->alive == ALIVE && thing->file == file &&
	       thing->offset == offset;
}

static struct cache_ref
add(struct cache *cache, uint64_t file, uint64_t offset, size_t charge)
{
	struct cache_ref ref;

	cache_insert(cache, file, offset, thing_new(file, offset), charge,
		     thing_destroy, &ref);
	ck_assert(thing_is(ref.object, file, offset));
	return ref;
}

static void
add_unpinned(struct cache *cache, uint64_t file, uint64_t offset, size_t charge)
{
	cache_unpin(cache, add(cache, file, offset, charge));
}

static bool
holds(struct cache *cache, uint64_t file, uint64_t offset)
{
	struct cache_ref ref;

	if (!cache_lookup(cache, file, offset, &ref))
		return false;
	ck_assert(thing_is(ref.object, file, offset));
	cache_unpin(cache, ref);
	return true;
}

static struct cache_stats
stats(struct cache *cache)
{
	struct cache_stats s;

	cache_stats(cache, &s);
	return s;
}

static struct cache *
cache_make(size_t capacity)
{
	struct cache *cache;

	ck_assert_int_eq(cache_new(capacity, &cache), 0);
	return cache;
}

static void
cache_end(struct cache *cache)
{
	cache_free(cache);
	ck_assert_int_eq(atomic_load(&things), 0);
}

START_TEST(what_was_inserted_is_found)
{
	struct cache *cache = cache_make(1000000);
	uint64_t i;

	for (i = 0; i < 5000; i++)
		add_unpinned(cache, i % 7, i, 100);
	for (i = 0; i < 5000; i++) {
		ck_assert(holds(cache, i % 7, i));
		ck_assert(!holds(cache, i % 7 + 1, i));
	}
	ck_assert_uint_eq(stats(cache).entries, 5000);
	ck_assert_uint_eq(stats(cache).used_bytes, 500000);
	ck_assert_uint_eq(stats(cache).hits, 5000);
	ck_assert_uint_eq(stats(cache).misses, 5000);
	cache_end(cache);
}
END_TEST

START_TEST(the_capacity_holds)
{
	struct cache *cache = cache_make(10000);
	uint64_t state = suite_seed(), i;

	for (i = 0; i < 5000; i++) {
		add_unpinned(cache, 1, i, suite_random(&state) % 2000 + 1);
		ck_assert_uint_le(stats(cache).used_bytes, 10000);
		ck_assert(holds(cache, 1, i));
	}
	ck_assert_uint_gt(stats(cache).used_bytes, 5000);
	cache_set_capacity(cache, 3000);
	ck_assert_uint_le(stats(cache).used_bytes, 3000);
	cache_set_capacity(cache, 0);
	ck_assert_uint_eq(stats(cache).used_bytes, 0);
	ck_assert_uint_eq(stats(cache).entries, 0);
	cache_end(cache);
}
END_TEST

START_TEST(a_pinned_entry_is_not_evicted)
{
	struct cache *cache = cache_make(1000);
	struct cache_ref ref = add(cache, 1, 1, 100);
	uint64_t i;

	for (i = 0; i < 1000; i++)
		add_unpinned(cache, 2, i, 100);
	ck_assert(thing_is(ref.object, 1, 1));
	ck_assert(holds(cache, 1, 1));
	ck_assert_uint_eq(stats(cache).pinned_bytes, 100);
	cache_unpin(cache, ref);
	ck_assert_uint_eq(stats(cache).pinned_bytes, 0);
	for (i = 0; i < 1000; i++)
		add_unpinned(cache, 3, i, 100);
	ck_assert(!holds(cache, 1, 1));
	cache_end(cache);
}
END_TEST

START_TEST(a_used_entry_outlives_unused_ones)
{
	struct cache *cache = cache_make(10000);
	uint64_t i;

	add_unpinned(cache, 1, 1, 100);
	for (i = 0; i < 10000; i++) {
		ck_assert(holds(cache, 1, 1));
		add_unpinned(cache, 2, i, 100);
	}
	cache_end(cache);
}
END_TEST

START_TEST(each_pin_counts)
{
	struct cache *cache = cache_make(100);
	struct cache_ref ref = add(cache, 1, 1, 100), other = { NULL, NULL };

	cache_pin(ref);
	cache_unpin(cache, ref);
	cache_set_capacity(cache, 0);
	ck_assert(thing_is(ref.object, 1, 1));
	cache_unpin(cache, ref);
	cache_pin(other);
	cache_unpin(cache, other);
	cache_end(cache);
}
END_TEST

START_TEST(a_second_insert_gives_the_first_object)
{
	struct cache *cache = cache_make(1000);
	struct cache_ref a = add(cache, 1, 1, 100), b = add(cache, 1, 1, 50);

	ck_assert_ptr_eq(a.object, b.object);
	ck_assert_int_eq(atomic_load(&things), 1);
	ck_assert_uint_eq(stats(cache).used_bytes, 100);
	cache_unpin(cache, a);
	cache_unpin(cache, b);
	cache_end(cache);
}
END_TEST

START_TEST(without_room_an_entry_lives_until_its_unpin)
{
	struct cache *cache = cache_make(250);
	struct cache_ref a = add(cache, 1, 1, 200), b = add(cache, 1, 2, 200);
	struct cache_ref large = add(cache, 1, 3, 251);

	ck_assert(holds(cache, 1, 1));
	ck_assert(!holds(cache, 1, 2));
	ck_assert(!holds(cache, 1, 3));
	ck_assert_uint_eq(stats(cache).used_bytes, 651);
	ck_assert_uint_eq(stats(cache).pinned_bytes, 651);
	cache_unpin(cache, b);
	cache_unpin(cache, large);
	ck_assert_int_eq(atomic_load(&things), 1);
	ck_assert_uint_eq(stats(cache).used_bytes, 200);
	cache_unpin(cache, a);
	ck_assert(holds(cache, 1, 1));
	cache_end(cache);
}
END_TEST

START_TEST(what_cannot_fit_pushes_nothing_out)
{
	struct cache *cache = cache_make(1000);

	add_unpinned(cache, 1, 1, 100);
	add_unpinned(cache, 1, 2, 1001);
	ck_assert(holds(cache, 1, 1));
	ck_assert(!holds(cache, 1, 2));
	cache_end(cache);
}
END_TEST

START_TEST(a_dropped_file_is_forgotten)
{
	struct cache *cache = cache_make(100000);
	struct cache_ref ref;
	uint64_t i;

	for (i = 0; i < 500; i++)
		add_unpinned(cache, i % 2, i, 100);
	ref = add(cache, 1, 1000, 100);
	cache_drop_file(cache, 1);
	for (i = 0; i < 500; i++)
		ck_assert(holds(cache, i % 2, i) == (i % 2 == 0));
	ck_assert(thing_is(ref.object, 1, 1000));
	ck_assert(!holds(cache, 1, 1000));
	ck_assert_uint_eq(stats(cache).used_bytes, 251 * 100);
	cache_unpin(cache, ref);
	ck_assert_uint_eq(stats(cache).used_bytes, 250 * 100);
	cache_end(cache);
}
END_TEST

START_TEST(a_handle_finds_its_entry_and_no_other)
{
	struct cache *cache = cache_make(1000);
	struct cache_ref ref = add(cache, 1, 1, 100), again;
	void *handle = ref.handle;
	uint64_t i;

	cache_unpin(cache, ref);
	ck_assert(!cache_repin(NULL, 1, 1, &again));
	ck_assert(!cache_repin(handle, 1, 2, &again));
	ck_assert(cache_repin(handle, 1, 1, &again));
	ck_assert(thing_is(again.object, 1, 1));
	cache_unpin(cache, again);
	cache_drop_file(cache, 1);
	ck_assert(!cache_repin(handle, 1, 1, &again));
	/* Soon the handle belongs to others. */
	for (i = 0; i < 1000; i++) {
		add_unpinned(cache, 2, i, 100);
		ck_assert(!cache_repin(handle, 1, 1, &again));
	}
	cache_end(cache);
}
END_TEST

/* ---- Threads ---- */

enum { THREADS = 4, STEPS = 30000, FILES = 4, OFFSETS = 60, HELD = 6 };

struct worker {
	struct cache *cache;
	uint64_t seed;
	pthread_t thread;
	/* Pins that it keeps for a while. */
	struct cache_ref held[HELD];
	uint64_t held_file[HELD], held_offset[HELD];
};

/* One pin by any of the ways there are. */
static bool
worker_pin(struct worker *w, uint64_t *state, uint64_t file, uint64_t offset,
	   void *handle, struct cache_ref *out)
{
	uint64_t way = suite_random(state) % 8;

	if (way < 4)
		return cache_lookup(w->cache, file, offset, out);
	if (way < 6)
		return cache_repin(handle, file, offset, out);
	*out = add(w->cache, file, offset, suite_random(state) % 200);
	return true;
}

static void *
worker_run(void *arg)
{
	struct worker *w = arg;
	uint64_t state = w->seed;
	int i, at;

	for (i = 0; i < STEPS; i++) {
		uint64_t file = suite_random(&state) % FILES;
		uint64_t offset = suite_random(&state) % OFFSETS;
		struct cache_ref ref, old;

		at = (int)(suite_random(&state) % HELD);
		old = w->held[at];
		if (old.handle)
			ck_assert(thing_is(old.object, w->held_file[at],
					   w->held_offset[at]));
		if (!worker_pin(w, &state, file, offset, old.handle, &ref))
			continue;
		ck_assert(thing_is(ref.object, file, offset));
		cache_pin(ref);
		cache_unpin(w->cache, ref);
		cache_unpin(w->cache, old);
		w->held[at] = ref;
		w->held_file[at] = file;
		w->held_offset[at] = offset;
		if (suite_random(&state) % 500 == 0)
			cache_drop_file(w->cache, file);
		if (suite_random(&state) % 500 == 0)
			cache_set_capacity(w->cache,
					   suite_random(&state) % 10000);
		if (suite_random(&state) % 500 == 0)
			(void)stats(w->cache);
	}
	for (at = 0; at < HELD; at++)
		cache_unpin(w->cache, w->held[at]);
	return NULL;
}

START_TEST(many_threads_see_only_what_was_put_in)
{
	struct worker workers[THREADS] = { 0 };
	uint64_t seed = suite_seed();
	struct cache *cache = cache_make(5000);
	int i;

	for (i = 0; i < THREADS; i++) {
		workers[i].cache = cache;
		workers[i].seed = seed + (uint64_t)i;
		ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
						worker_run, &workers[i]),
				 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	ck_assert_uint_eq(stats(cache).pinned_bytes, 0);
	ck_assert_uint_eq(stats(cache).entries, (uint64_t)atomic_load(&things));
	cache_set_capacity(cache, 0);
	ck_assert_uint_eq(stats(cache).used_bytes, 0);
	cache_end(cache);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cache");
	TCase *one = tcase_create("one thread");
	TCase *many = tcase_create("many threads");

	tcase_add_test(one, what_was_inserted_is_found);
	tcase_add_test(one, the_capacity_holds);
	tcase_add_test(one, a_pinned_entry_is_not_evicted);
	tcase_add_test(one, a_used_entry_outlives_unused_ones);
	tcase_add_test(one, each_pin_counts);
	tcase_add_test(one, a_second_insert_gives_the_first_object);
	tcase_add_test(one, without_room_an_entry_lives_until_its_unpin);
	tcase_add_test(one, what_cannot_fit_pushes_nothing_out);
	tcase_add_test(one, a_dropped_file_is_forgotten);
	tcase_add_test(one, a_handle_finds_its_entry_and_no_other);
	suite_add_tcase(suite, one);
	tcase_add_test(many, many_threads_see_only_what_was_put_in);
	tcase_set_timeout(many, 60);
	suite_add_tcase(suite, many);
	return suite_main(suite);
}
