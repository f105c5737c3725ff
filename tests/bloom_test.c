/* SPDX-License-Identifier: Apache-2.0 */
/* bloom_test.c - a filter never denies a member and seldom admits a
 * stranger. */
#include <config.h>

#include "store/bloom.h"

#include <stdlib.h>

#include "store/coding.h"
#include "tests/suite.h"

static uint64_t
hash_of(uint64_t n)
{
	uint8_t key[8];

	put_be64(key, n);
	return bloom_hash(keyfs_bytes(key, sizeof(key)));
}

static uint8_t *
filter_new(size_t keys, uint32_t bits, size_t *out_bytes)
{
	uint8_t *filter;
	size_t i;

	*out_bytes = bloom_bytes(keys, bits);
	filter = calloc(1, *out_bytes);
	ck_assert_ptr_nonnull(filter);
	for (i = 0; i < keys; i++)
		bloom_add(filter, *out_bytes, bloom_probes(bits), hash_of(i));
	return filter;
}

START_TEST(members_are_never_denied)
{
	static const size_t sizes[] = { 1, 2, 50, 51, 52, 1000, 20000 };
	size_t keys = sizes[_i], bytes, i;
	uint32_t bits;

	for (bits = 1; bits <= 32; bits += 3) {
		uint8_t *filter = filter_new(keys, bits, &bytes);

		for (i = 0; i < keys; i++)
			ck_assert(bloom_may_contain(filter, bytes,
						    bloom_probes(bits),
						    hash_of(i)));
		free(filter);
	}
}
END_TEST

/* Per mille.  An unblocked filter of 10 bits has 8.2, a blocked one 9.5. */
static const struct {
	uint32_t bits, most;
} rates[] = { { 5, 130 }, { 8, 28 }, { 10, 12 }, { 16, 2 }, { 32, 1 } };

START_TEST(strangers_seldom_pass)
{
	enum { KEYS = 50000, STRANGERS = 100000 };
	uint32_t bits = rates[_i].bits;
	size_t bytes, i, passed = 0;
	uint8_t *filter = filter_new(KEYS, bits, &bytes);

	for (i = 0; i < STRANGERS; i++)
		passed += bloom_may_contain(filter, bytes, bloom_probes(bits),
					    hash_of((UINT64_C(1) << 40) + i));
	ck_assert_uint_le(passed * 1000, (size_t)rates[_i].most * STRANGERS);
	free(filter);
}
END_TEST

START_TEST(sizes_are_whole_lines)
{
	ck_assert_uint_eq(bloom_bytes(0, 10), 0);
	ck_assert_uint_eq(bloom_bytes(10, 0), 0);
	ck_assert_uint_eq(bloom_bytes(1, 10), 64);
	ck_assert_uint_eq(bloom_bytes(51, 10), 64);
	ck_assert_uint_eq(bloom_bytes(52, 10), 128);
	ck_assert_uint_eq(bloom_bytes(SIZE_MAX, 10), 0);
	ck_assert_uint_eq(bloom_probes(0), 1);
	ck_assert_uint_eq(bloom_probes(10), 6);
	ck_assert_uint_eq(bloom_probes(UINT32_MAX), 16);
}
END_TEST

START_TEST(an_unfit_filter_says_perhaps)
{
	uint8_t filter[64] = { 0 };

	ck_assert(bloom_may_contain(NULL, 0, 6, 1));
	ck_assert(bloom_may_contain(filter, 63, 6, 1));
	ck_assert(bloom_may_contain(filter, 64, 17, 1));
	ck_assert(!bloom_may_contain(filter, 64, 6, 1));
}
END_TEST

/* On disk: the hash and the bits hold for ever. */
START_TEST(filters_never_change)
{
	uint8_t filter[128] = { 0 };
	uint64_t sum = 0;
	size_t i;

	ck_assert_uint_eq(bloom_hash(keyfs_str("key")),
			  UINT64_C(0xbbea0d63a05165e3));
	for (i = 0; i < 10; i++)
		bloom_add(filter, sizeof(filter), 6, hash_of(i));
	for (i = 0; i < sizeof(filter); i += 8)
		sum = sum * 31 + get_le64(filter + i);
	ck_assert_uint_eq(sum, UINT64_C(0xb9ea40a0d4e97f16));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("bloom");
	TCase *tcase = tcase_create("filter");

	tcase_add_loop_test(tcase, members_are_never_denied, 0, 7);
	tcase_add_loop_test(tcase, strangers_seldom_pass, 0,
			    sizeof(rates) / sizeof(rates[0]));
	tcase_add_test(tcase, sizes_are_whole_lines);
	tcase_add_test(tcase, an_unfit_filter_says_perhaps);
	tcase_add_test(tcase, filters_never_change);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
