/* SPDX-License-Identifier: Apache-2.0 */
/* block_test.c - a block gives back what was put in, however it is searched,
 * and survives any bytes. */
#include <config.h>

#include "store/block.h"

#include <errno.h>
#include <stdlib.h>

#include "store/block_builder.h"
#include "tests/entries.h"
#include "tests/suite.h"

/* A block in memory of exactly its size, so that reading past it is noticed. */
struct made {
	struct entries entries;
	uint8_t *bytes;
	size_t len;
	struct block block;
};

static void
made_build(struct made *m)
{
	struct block_builder builder = { .entries = 0 };
	struct keyfs_slice out;
	size_t i;

	for (i = 0; i < m->entries.count; i++)
		block_builder_add(&builder, &m->entries.at[i]);
	m->len = block_builder_bytes(&builder);
	ck_assert_int_eq(block_builder_finish(&builder, &out), 0);
	ck_assert_uint_eq(out.len, m->len);
	m->bytes = malloc(m->len);
	memcpy(m->bytes, out.data, m->len);
	block_builder_fini(&builder);
	ck_assert_int_eq(block_open(m->bytes, m->len, &m->block), 0);
}

static struct made
made_new(uint64_t *state, size_t count, size_t value_max)
{
	struct made m = { .entries = entries_random(state, count, value_max) };

	made_build(&m);
	return m;
}

static void
made_free(struct made *m)
{
	free(m->bytes);
	entries_free(&m->entries);
}

/* The iterator stands on entry i, or at the end if there is none. */
static void
check_at(const struct block_iter *it, const struct made *m, size_t i)
{
	ck_assert_int_eq(it->iter.status, 0);
	ck_assert_int_eq(it->iter.valid, i < m->entries.count);
	if (it->iter.valid)
		ck_assert(entry_equal(&it->iter.entry, &m->entries.at[i]));
}

static const size_t counts[] = { 1, 2, 7, 8, 9, 17, 200, 1000 };
enum { COUNTS = sizeof(counts) / sizeof(counts[0]) };

START_TEST(entries_come_back_in_both_directions)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, counts[_i], 200);
	struct block_iter it = { .iter = { .valid = false } };
	size_t i;

	ck_assert_int_eq(block_check(&m.block), 0);
	block_iter_set(&it, &m.block);
	ck_assert(!it.iter.valid);
	block_iter_first(&it);
	for (i = 0; i < m.entries.count; i++) {
		check_at(&it, &m, i);
		block_iter_next(&it);
	}
	check_at(&it, &m, i);
	block_iter_last(&it);
	while (i-- > 0) {
		check_at(&it, &m, i);
		block_iter_prev(&it);
	}
	ck_assert(!it.iter.valid && it.iter.status == 0);
	block_iter_fini(&it);
	made_free(&m);
}
END_TEST

START_TEST(a_walk_may_turn_anywhere)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, counts[_i], 20);
	struct block_iter it = { .iter = { .valid = false } };
	size_t at = 0, steps;

	block_iter_set(&it, &m.block);
	block_iter_first(&it);
	for (steps = 0; steps < 3000; steps++) {
		bool forward = suite_random(&state) % 2;

		if (forward && at + 1 < m.entries.count) {
			at++;
			block_iter_next(&it);
		} else if (!forward && at > 0) {
			at--;
			block_iter_prev(&it);
		}
		check_at(&it, &m, at);
	}
	block_iter_fini(&it);
	made_free(&m);
}
END_TEST

START_TEST(seek_finds_the_first_not_before)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, counts[_i], 20);
	struct block_iter it = { .iter = { .valid = false } };
	uint8_t space[64];
	size_t i;

	block_iter_set(&it, &m.block);
	for (i = 0; i < m.entries.count; i++) {
		const struct entry *e = &m.entries.at[i];

		block_iter_seek(&it, e->key, e->seq);
		check_at(&it, &m, i);
		block_iter_seek(&it, e->key, e->seq - 1);
		check_at(&it, &m, i + 1);
	}
	for (i = 0; i < 1000; i++) {
		struct keyfs_slice key =
			entries_probe(&m.entries, &state, space);

		block_iter_seek(&it, key, SEQ_MAX);
		check_at(&it, &m, entries_seek(&m.entries, key, SEQ_MAX));
	}
	block_iter_fini(&it);
	made_free(&m);
}
END_TEST

/* What block_get() must say, from the sorted array. */
static int
want_get(const struct made *m, struct keyfs_slice key, uint64_t seq, size_t *i)
{
	*i = entries_seek(&m->entries, key, seq);
	if (*i < m->entries.count)
		return key_equal(m->entries.at[*i].key, key) ? 0 : -ENOENT;
	return key_equal(m->entries.at[*i - 1].key, key) ? 1 : -ENOENT;
}

START_TEST(get_finds_the_newest_not_above)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, counts[_i], 20);
	uint8_t space[64];
	size_t i, at;

	for (i = 0; i < 3000; i++) {
		struct keyfs_slice key =
			entries_probe(&m.entries, &state, space);
		const struct entry *any =
			&m.entries.at[suite_random(&state) % m.entries.count];
		uint64_t seq = i % 3 == 0 ? SEQ_MAX : any->seq - i % 2;
		struct entry found;
		int want;

		if (i % 5 == 0)
			key = any->key;
		want = want_get(&m, key, seq, &at);
		ck_assert_int_eq(block_get(&m.block, key, seq, &found), want);
		if (want == 0)
			ck_assert(entry_equal(&found, &m.entries.at[at]));
	}
	made_free(&m);
}
END_TEST

START_TEST(a_block_looks_as_drawn)
{
	struct entry list[] = {
		{ keyfs_str("aa"), 7, ENTRY_DELETE, keyfs_str("") },
		{ keyfs_str("ab"), 9, ENTRY_PUT, keyfs_str("v") },
	};
	struct made m = { .entries = { list, 2 } };

	made_build(&m);
	ck_assert_uint_eq(m.len, 6 + 6 + 4 + 8 + 4);
	ck_assert_mem_eq(m.bytes,
			 "\x00\x02\x01"
			 "aa\x02"
			 "\x01\x01\x02"
			 "b\x21v"
			 "\0\0\0\0"
			 "\x07\0\0\0\0\0\0\0"
			 "\1\0\0\0",
			 m.len);
	free(m.bytes);
}
END_TEST

START_TEST(the_longest_key_and_a_large_value_fit)
{
	uint8_t *bytes = calloc(1, 1u << 20);
	struct entry list[] = {
		{ keyfs_bytes(bytes, KEYFS_KEY_MAX - 1), 5, ENTRY_PUT,
		  keyfs_bytes(bytes, 1u << 20) },
		{ keyfs_bytes(bytes, KEYFS_KEY_MAX), SEQ_MAX, ENTRY_PUT,
		  keyfs_bytes(bytes, 3) },
		{ keyfs_bytes(bytes, KEYFS_KEY_MAX), 0, ENTRY_PUT,
		  keyfs_bytes(bytes, 0) },
	};
	struct made m = { .entries = { list, 3 } };
	struct block_iter it = { .iter = { .valid = false } };
	struct entry found;
	size_t i;

	made_build(&m);
	block_iter_set(&it, &m.block);
	block_iter_first(&it);
	for (i = 0; i < 3; i++) {
		check_at(&it, &m, i);
		ck_assert_int_eq(block_get(&m.block, list[i].key, list[i].seq,
					   &found),
				 0);
		ck_assert(entry_equal(&found, &list[i]));
		block_iter_next(&it);
	}
	block_iter_fini(&it);
	free(m.bytes);
	free(bytes);
}
END_TEST

/* ---- Hostile bytes ---- */

/* Does all there is to do with a block; nothing may crash or run for ever. */
static void
poke(const struct block *block, struct keyfs_slice key, uint64_t seq)
{
	struct block_iter it = { .iter = { .valid = false } };
	struct entry found;
	size_t n = 0;
	int r;

	r = block_get(block, key, seq, &found);
	ck_assert(r == 0 || r == 1 || r == -ENOENT || r == -EUCLEAN);
	r = block_check(block);
	ck_assert(r == 0 || r == -EUCLEAN);
	block_iter_set(&it, block);
	for (block_iter_first(&it); it.iter.valid; block_iter_next(&it))
		n++;
	ck_assert_uint_le(n, block->end);
	for (block_iter_last(&it); it.iter.valid; block_iter_prev(&it))
		ck_assert(n++ <= 2 * (size_t)block->end);
	block_iter_seek(&it, key, seq);
	if (it.iter.valid)
		block_iter_prev(&it);
	block_iter_fini(&it);
}

START_TEST(garbage_is_refused_or_harmless)
{
	uint64_t state = suite_seed();
	int i;

	for (i = 0; i < 3000; i++) {
		size_t len = suite_random(&state) % 120, j;
		uint8_t *bytes = malloc(len ? len : 1);
		struct block block;

		for (j = 0; j < len; j++)
			bytes[j] = (uint8_t)(suite_random(&state) %
					     (i % 2 ? 256 : 12));
		/* Half of them get past the first check. */
		if (len >= 16 && i % 4 < 2)
			put_le32(bytes + len - 4,
				 (uint32_t)(suite_random(&state) % 4));
		if (block_open(bytes, len, &block) == 0)
			poke(&block, keyfs_str("ab"), 5);
		free(bytes);
	}
}
END_TEST

START_TEST(damaged_blocks_are_refused_or_harmless)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, 60, 20);
	int i, j;

	for (i = 0; i < 1500; i++) {
		uint8_t *copy = malloc(m.len);
		const struct entry *e =
			&m.entries.at[suite_random(&state) % m.entries.count];
		struct block block;

		memcpy(copy, m.bytes, m.len);
		for (j = 0; j <= i % 3; j++)
			copy[suite_random(&state) % m.len] =
				(uint8_t)suite_random(&state);
		if (block_open(copy, m.len, &block) == 0)
			poke(&block, e->key, e->seq);
		free(copy);
	}
	made_free(&m);
}
END_TEST

START_TEST(a_cut_block_is_refused_or_harmless)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, 40, 5);
	size_t len;

	for (len = 0; len < m.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);
		struct block block;

		memcpy(copy, m.bytes, len);
		if (block_open(copy, len, &block) == 0)
			poke(&block, m.entries.at[0].key, SEQ_MAX);
		free(copy);
	}
	made_free(&m);
}
END_TEST

START_TEST(misplaced_restarts_are_noticed)
{
	uint64_t state = suite_seed();
	struct made m = made_new(&state, 40, 5);
	uint32_t i;

	ck_assert_uint_eq(m.block.restarts, 5);
	for (i = 0; i < m.block.restarts; i++) {
		uint8_t *at = m.bytes + m.block.end + 4 * i;
		uint32_t old = get_le32(at);

		put_le32(at, old + 1);
		ck_assert_int_eq(block_check(&m.block), -EUCLEAN);
		put_le32(at, old);
		ck_assert_int_eq(block_check(&m.block), 0);
	}
	made_free(&m);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("block");
	TCase *search = tcase_create("search");
	TCase *hostile = tcase_create("hostile bytes");

	tcase_add_loop_test(search, entries_come_back_in_both_directions, 0,
			    COUNTS);
	tcase_add_loop_test(search, a_walk_may_turn_anywhere, 0, COUNTS);
	tcase_add_loop_test(search, seek_finds_the_first_not_before, 0, COUNTS);
	tcase_add_loop_test(search, get_finds_the_newest_not_above, 0, COUNTS);
	tcase_add_test(search, a_block_looks_as_drawn);
	tcase_add_test(search, the_longest_key_and_a_large_value_fit);
	suite_add_tcase(suite, search);
	tcase_add_test(hostile, garbage_is_refused_or_harmless);
	tcase_add_test(hostile, damaged_blocks_are_refused_or_harmless);
	tcase_add_test(hostile, a_cut_block_is_refused_or_harmless);
	tcase_add_test(hostile, misplaced_restarts_are_noticed);
	suite_add_tcase(suite, hostile);
	return suite_main(suite);
}
