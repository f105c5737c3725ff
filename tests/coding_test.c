/* SPDX-License-Identifier: Apache-2.0 */
/* coding_test.c - integers, growing bytes, checksums and compression. */
#include <config.h>

#include "store/coding.h"

#include <errno.h>
#include <stdlib.h>

#include "store/buf.h"
#include "store/checksum.h"
#include "store/compress.h"
#include "tests/suite.h"

START_TEST(fixed_integers_lie_low_byte_first)
{
	uint8_t b[8];

	put_le32(b, 0x01020304);
	ck_assert_mem_eq(b, "\x04\x03\x02\x01", 4);
	ck_assert_uint_eq(get_le32(b), 0x01020304);
	put_le64(b, UINT64_C(0x0102030405060708));
	ck_assert_mem_eq(b, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	ck_assert_uint_eq(get_le64(b), UINT64_C(0x0102030405060708));
}
END_TEST

START_TEST(key_integers_sort_by_value)
{
	uint64_t state = suite_seed();
	uint8_t x[8], y[8];
	int i;

	for (i = 0; i < 1000; i++) {
		uint64_t a = suite_random(&state) >> (i % 64);
		uint64_t b = suite_random(&state) >> (i % 61);
		int r;

		put_be64(x, a);
		put_be64(y, b);
		r = memcmp(x, y, 8);
		ck_assert_int_eq((r > 0) - (r < 0), (a > b) - (a < b));
		ck_assert_uint_eq(get_be64(x), a);
		put_be32(x, (uint32_t)a);
		ck_assert_uint_eq(get_be32(x), (uint32_t)a);
	}
}
END_TEST

/* Every length, both ends of it. */
START_TEST(varints_come_back)
{
	uint64_t low = _i ? UINT64_C(1) << (7 * _i) : 0;
	uint64_t high =
		_i < 9 ? (UINT64_C(1) << (7 * (_i + 1))) - 1 : UINT64_MAX;
	uint64_t values[] = { low, high }, v;
	uint8_t b[VARINT64_MAX];
	uint32_t v32;
	size_t i, cut;

	for (i = 0; i < 2; i++) {
		const uint8_t *end = put_varint(b, values[i]);

		ck_assert_int_eq(end - b, _i + 1);
		ck_assert_ptr_eq(get_varint64(b, end, &v), end);
		ck_assert_uint_eq(v, values[i]);
		for (cut = 0; cut < (size_t)(end - b); cut++)
			ck_assert_ptr_null(get_varint64(b, b + cut, &v));
		if (values[i] <= UINT32_MAX) {
			ck_assert_ptr_eq(get_varint32(b, end, &v32), end);
			ck_assert_uint_eq(v32, values[i]);
		} else {
			ck_assert_ptr_null(get_varint32(b, end, &v32));
		}
	}
}
END_TEST

START_TEST(a_varint_beyond_64_bits_is_refused)
{
	uint8_t b[12];
	uint64_t v;

	memset(b, 0xff, sizeof(b));
	ck_assert_ptr_null(get_varint64(b, b + sizeof(b), &v));
	b[9] = 0x02;
	ck_assert_ptr_null(get_varint64(b, b + sizeof(b), &v));
	b[9] = 0x01;
	ck_assert_ptr_eq(get_varint64(b, b + sizeof(b), &v), b + 10);
	ck_assert_uint_eq(v, UINT64_MAX);
	/* Zeros in front of the end do not make it longer than it may be. */
	memset(b, 0x80, sizeof(b));
	b[10] = 0;
	ck_assert_ptr_null(get_varint64(b, b + sizeof(b), &v));
}
END_TEST

START_TEST(zigzag_keeps_small_differences_small)
{
	static const int64_t values[] = { 0,  -1,  1,         -2,
					  63, -64, INT64_MAX, INT64_MIN };
	size_t i;

	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		ck_assert_int_eq((int64_t)unzigzag(zigzag((uint64_t)values[i])),
				 values[i]);
	ck_assert_uint_eq(zigzag((uint64_t)-64), 127);
	ck_assert_uint_eq(zigzag(63), 126);
}
END_TEST

START_TEST(a_buffer_holds_what_was_appended)
{
	struct buf buf;
	struct keyfs_slice s;
	int i;

	buf_init(&buf);
	buf_append(&buf, NULL, 0);
	ck_assert_uint_eq(buf.len, 0);
	buf_append_u8(&buf, 7);
	buf_append_le32(&buf, 0x0a0b0c0d);
	buf_append_le64(&buf, 1);
	buf_append_varint(&buf, 300);
	buf_append_slice(&buf, keyfs_str("xyz"));
	s = buf_slice(&buf);
	ck_assert_uint_eq(s.len, 19);
	ck_assert_mem_eq(s.data,
			 "\x07\x0d\x0c\x0b\x0a\x01\0\0\0\0\0\0\0\xac\x02\x03"
			 "xyz",
			 19);
	buf_clear(&buf);
	for (i = 0; i < 1000; i++)
		buf_append_le32(&buf, (uint32_t)i);
	ck_assert_uint_eq(buf.len, 4000);
	for (i = 0; i < 1000; i++)
		ck_assert_uint_eq(get_le32(buf.data + 4 * i), (uint32_t)i);
	ck_assert_int_eq(buf.error, 0);
	buf_fini(&buf);
}
END_TEST

START_TEST(a_buffer_keeps_its_first_error)
{
	struct buf buf;

	buf_init(&buf);
	buf_append(&buf, "abc", 3);
	ck_assert_ptr_null(buf_reserve(&buf, SIZE_MAX - 1));
	ck_assert_int_eq(buf.error, -ENOMEM);
	buf_append(&buf, "def", 3);
	ck_assert_int_eq(buf.error, -ENOMEM);
	ck_assert_uint_eq(buf.len, 3);
	buf_clear(&buf);
	buf_append(&buf, "def", 3);
	ck_assert_int_eq(buf.error, 0);
	ck_assert_mem_eq(buf.data, "def", 3);
	buf_fini(&buf);
}
END_TEST

/* On disk: these numbers hold for ever. */
START_TEST(checksums_never_change)
{
	ck_assert_uint_eq(checksum_hash("", 0), UINT64_C(0x2d06800538d394c2));
	ck_assert_uint_eq(checksum("keyfs", 5, 7, 4096),
			  UINT64_C(0x7b3a2c5a1a505852));
}
END_TEST

START_TEST(a_checksum_covers_bytes_and_place)
{
	uint64_t good = checksum("bytes", 5, 1, 2);

	ck_assert_uint_eq(checksum("bytes", 5, 1, 2), good);
	ck_assert_uint_ne(checksum("bytez", 5, 1, 2), good);
	ck_assert_uint_ne(checksum("bytes", 4, 1, 2), good);
	ck_assert_uint_ne(checksum("bytes", 5, 2, 2), good);
	ck_assert_uint_ne(checksum("bytes", 5, 1, 1), good);
	ck_assert_uint_ne(checksum("bytes", 5, 2, 1), good);
}
END_TEST

START_TEST(compressed_bytes_come_back)
{
	uint8_t raw[4096], small[4096], back[4096];
	size_t i, n;

	for (i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i % 16);
	n = compress(raw, sizeof(raw), small, sizeof(small));
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_lt(n, 200);
	ck_assert_int_eq(decompress(small, n, back, sizeof(back)), 0);
	ck_assert_mem_eq(back, raw, sizeof(raw));
	ck_assert_int_eq(decompress(small, n, back, 4095), -EUCLEAN);
	ck_assert_int_eq(decompress(small, n - 1, back, 4096), -EUCLEAN);
	ck_assert_uint_eq(compress(raw, sizeof(raw), small, n - 1), 0);
}
END_TEST

/* Under the address sanitizer this also shows that nothing is overrun. */
START_TEST(decompressing_garbage_is_refused_or_harmless)
{
	uint64_t state = suite_seed();
	int i;

	for (i = 0; i < 2000; i++) {
		size_t len = suite_random(&state) % 100 + 1, j;
		size_t raw_len = suite_random(&state) % 300 + 1;
		uint8_t *from = malloc(len), *to = malloc(raw_len);
		int r;

		for (j = 0; j < len; j++)
			from[j] = (uint8_t)suite_random(&state);
		r = decompress(from, len, to, raw_len);
		ck_assert(r == 0 || r == -EUCLEAN);
		free(from);
		free(to);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("coding");
	TCase *integers = tcase_create("integers");
	TCase *bytes = tcase_create("bytes");

	tcase_add_test(integers, fixed_integers_lie_low_byte_first);
	tcase_add_test(integers, key_integers_sort_by_value);
	tcase_add_loop_test(integers, varints_come_back, 0, VARINT64_MAX);
	tcase_add_test(integers, a_varint_beyond_64_bits_is_refused);
	tcase_add_test(integers, zigzag_keeps_small_differences_small);
	suite_add_tcase(suite, integers);
	tcase_add_test(bytes, a_buffer_holds_what_was_appended);
	tcase_add_test(bytes, a_buffer_keeps_its_first_error);
	tcase_add_test(bytes, checksums_never_change);
	tcase_add_test(bytes, a_checksum_covers_bytes_and_place);
	tcase_add_test(bytes, compressed_bytes_come_back);
	tcase_add_test(bytes, decompressing_garbage_is_refused_or_harmless);
	suite_add_tcase(suite, bytes);
	return suite_main(suite);
}
