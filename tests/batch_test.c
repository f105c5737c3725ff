/* SPDX-License-Identifier: Apache-2.0 */
/* batch_test.c - what goes into a batch comes out of its payload, and nothing
 * else is taken for one. */
#include <config.h>

#include "store/batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "tests/suite.h"
#include "tests/versions.h"

static struct keyfs_batch *batch;

static void
setup(void)
{
	ck_assert_int_eq(keyfs_batch_new(&batch), 0);
}

static void
teardown(void)
{
	keyfs_batch_free(batch);
}

/* Reads all of a payload; 0 if it is good to its end. */
static int
read_all(struct keyfs_slice payload, uint32_t count)
{
	struct batch_reader reader;
	struct entry entry;
	int r;

	batch_reader_init(&reader, payload, count);
	while ((r = batch_reader_next(&reader, &entry)) == 0)
		if (!entry.key.len || entry.value.len > payload.len)
			ck_abort_msg("a change larger than the payload");
	return r == -ENOENT ? 0 : r;
}

START_TEST(the_bytes_are_those_drawn)
{
	static const uint8_t want[] = {
		1, 0, 1, 'a', 2, 'x', 'y', 2, 0, 1, 'b'
	};

	keyfs_batch_put(batch, NULL, keyfs_str("a"), keyfs_str("xy"));
	keyfs_batch_delete(batch, NULL, keyfs_str("b"));
	ck_assert_int_eq(batch_error(batch), 0);
	ck_assert_uint_eq(batch_count(batch), 2);
	ck_assert_uint_eq(keyfs_batch_count(batch), 2);
	ck_assert_uint_eq(keyfs_batch_bytes(batch), sizeof(want));
	ck_assert_mem_eq(batch_payload(batch).data, want, sizeof(want));
}
END_TEST

static void
add(const struct entry *e)
{
	if (e->kind == ENTRY_PUT)
		keyfs_batch_put(batch, NULL, e->key, e->value);
	else
		keyfs_batch_delete(batch, NULL, e->key);
}

START_TEST(the_reader_gives_back_every_change)
{
	uint64_t random = suite_seed();
	struct batch_reader reader;
	struct versions changes;
	struct entry got;
	size_t i;

	versions_init(&changes);
	versions_random(&changes, &random, 2000, 1, 500);
	for (i = 0; i < changes.count; i++)
		add(&changes.entries[i]);
	ck_assert_int_eq(batch_error(batch), 0);
	batch_reader_init(&reader, batch_payload(batch), batch_count(batch));
	for (i = 0; i < changes.count; i++) {
		ck_assert_int_eq(batch_reader_next(&reader, &got), 0);
		ck_assert_uint_eq(got.seq, 0);
		got.seq = changes.entries[i].seq;
		versions_check_same(&got, &changes.entries[i]);
	}
	ck_assert_int_eq(batch_reader_next(&reader, &got), -ENOENT);
	versions_fini(&changes);
}
END_TEST

START_TEST(the_largest_change_fits)
{
	void *key = calloc(1, KEYFS_KEY_MAX);
	void *value = calloc(1, KEYFS_VALUE_MAX);
	unsigned i;

	ck_assert(key && value);
	for (i = 0; i < 3; i++)
		keyfs_batch_put(batch, NULL, keyfs_bytes(key, KEYFS_KEY_MAX),
				keyfs_bytes(value, KEYFS_VALUE_MAX));
	ck_assert_int_eq(batch_error(batch), 0);
	ck_assert_uint_le(batch_payload(batch).len, 3 * BATCH_CHANGE_MAX);
	ck_assert_int_eq(read_all(batch_payload(batch), 3), 0);
	free(key);
	free(value);
}
END_TEST

START_TEST(the_first_error_is_kept)
{
	static char big[KEYFS_KEY_MAX + 1];
	static char huge[KEYFS_VALUE_MAX + 1];
	struct keyfs_family *family = (struct keyfs_family *)big;
	struct keyfs_slice key = keyfs_str("k");

	switch (_i) {
	case 0:
		keyfs_batch_put(batch, NULL, keyfs_str(""), key);
		break;
	case 1:
		keyfs_batch_delete(batch, NULL, keyfs_bytes(big, sizeof(big)));
		break;
	case 2:
		keyfs_batch_put(batch, NULL, key,
				keyfs_bytes(huge, sizeof(huge)));
		break;
	case 3:
		keyfs_batch_put(batch, family, key, key);
		break;
	case 4:
		keyfs_batch_require_absent(batch, family, key);
		break;
	default:
		keyfs_batch_require_unchanged(batch, NULL, keyfs_str(""), 1);
	}
	ck_assert_int_eq(batch_error(batch), -EINVAL);
	keyfs_batch_put(batch, NULL, key, key);
	keyfs_batch_require_absent(batch, NULL, key);
	ck_assert_uint_eq(batch_count(batch), 0);
	ck_assert_uint_eq(batch_condition_count(batch), 0);
	ck_assert_int_eq(batch_error(batch), -EINVAL);
	keyfs_batch_clear(batch);
	ck_assert_int_eq(batch_error(batch), 0);
}
END_TEST

START_TEST(conditions_are_kept_apart)
{
	char key[24];
	unsigned i;

	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		if (i % 2)
			keyfs_batch_require_absent(batch, NULL, keyfs_str(key));
		else
			keyfs_batch_require_unchanged(batch, NULL,
						      keyfs_str(key), i);
	}
	ck_assert_uint_eq(batch_payload(batch).len, 0);
	ck_assert_uint_eq(batch_condition_count(batch), 100);
	for (i = 0; i < 100; i++) {
		struct batch_condition c = batch_condition(batch, i);

		snprintf(key, sizeof(key), "key %u", i);
		ck_assert(key_equal(c.key, keyfs_str(key)));
		ck_assert_uint_eq(c.hash, bloom_hash(keyfs_str(key)));
		ck_assert_int_eq(c.absent, i % 2);
		ck_assert_uint_eq(c.since, i % 2 ? 0 : i);
	}
	keyfs_batch_clear(batch);
	ck_assert_uint_eq(batch_condition_count(batch), 0);
}
END_TEST

START_TEST(a_batch_on_the_stack_grows)
{
	struct keyfs_batch b;
	char value[BATCH_INLINE_BYTES] = { 0 };

	batch_init(&b);
	keyfs_batch_put(&b, NULL, keyfs_str("a"), keyfs_str("1"));
	ck_assert_ptr_eq(batch_payload(&b).data, b.small);
	keyfs_batch_put(&b, NULL, keyfs_str("b"),
			keyfs_bytes(value, sizeof(value)));
	ck_assert_int_eq(read_all(batch_payload(&b), 2), 0);
	batch_fini(&b);
}
END_TEST

/* A copy at the end of its own allocation, so that reading past it is seen. */
static int
read_copy(struct keyfs_slice payload, size_t len, uint32_t count)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, payload.data, len);
	r = read_all(keyfs_bytes(copy, len), count);
	free(copy);
	return r;
}

START_TEST(another_count_or_length_is_damage)
{
	struct keyfs_slice payload;
	size_t len;

	keyfs_batch_put(batch, NULL, keyfs_str("abc"), keyfs_str("12345"));
	keyfs_batch_delete(batch, NULL, keyfs_str("d"));
	payload = batch_payload(batch);
	ck_assert_int_eq(read_copy(payload, payload.len, 2), 0);
	ck_assert_int_eq(read_copy(payload, payload.len, 1), -EUCLEAN);
	ck_assert_int_eq(read_copy(payload, payload.len, 3), -EUCLEAN);
	for (len = 0; len < payload.len; len++)
		ck_assert_int_eq(read_copy(payload, len, 2), -EUCLEAN);
}
END_TEST

START_TEST(malformed_bytes_are_damage)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\x00\x00\x01k", 4 },                /* kind 0 */
		{ "\x03\x00\x01k", 4 },                /* kind 3 */
		{ "\x02\x01\x01k", 4 },                /* family 1 */
		{ "\x02\x00\x00", 3 },                 /* empty key */
		{ "\x02\x00\x81\x80\x04k", 6 },        /* key of 65537 */
		{ "\x02\x00\xff\xff\xff\xff\xff", 7 }, /* endless varint */
		{ "\x01\x00\x01k\x81\x80\x80\x08v",
		  9 },                       /* value of 16 MiB + 1 */
		{ "\x01\x00\x01k\x02v", 6 }, /* value cut off */
	};

	ck_assert_int_eq(read_copy(keyfs_bytes(bad[_i].bytes, bad[_i].len),
				   bad[_i].len, 1),
			 -EUCLEAN);
}
END_TEST

START_TEST(random_damage_is_never_read_past)
{
	uint64_t random = suite_seed();
	struct keyfs_slice payload;
	uint8_t bytes[512];
	unsigned i;

	for (i = 0; i < 20; i++)
		keyfs_batch_put(batch, NULL, keyfs_str("key"),
				keyfs_str("value"));
	payload = batch_payload(batch);
	ck_assert_uint_le(payload.len, sizeof(bytes));
	for (i = 0; i < 20000; i++) {
		memcpy(bytes, payload.data, payload.len);
		bytes[suite_random(&random) % payload.len] =
			(uint8_t)suite_random(&random);
		(void)read_copy(keyfs_bytes(bytes, payload.len), payload.len,
				20);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("batch");
	TCase *tcase = tcase_create("batch");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_bytes_are_those_drawn);
	tcase_add_test(tcase, the_reader_gives_back_every_change);
	tcase_add_test(tcase, the_largest_change_fits);
	tcase_add_loop_test(tcase, the_first_error_is_kept, 0, 6);
	tcase_add_test(tcase, conditions_are_kept_apart);
	tcase_add_test(tcase, a_batch_on_the_stack_grows);
	tcase_add_test(tcase, another_count_or_length_is_damage);
	tcase_add_loop_test(tcase, malformed_bytes_are_damage, 0, 8);
	tcase_add_test(tcase, random_damage_is_never_read_past);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
