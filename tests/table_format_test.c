/* SPDX-License-Identifier: Apache-2.0 */
/* table_format_test.c - the parts of a table around its data: what is encoded
 * comes back, an index leads to the right block, and hostile bytes lead
 * nowhere. */
#include <config.h>

#include "store/table_format.h"

#include <errno.h>
#include <stdlib.h>

#include "store/checksum.h"
#include "store/table_index.h"
#include "tests/entries.h"
#include "tests/must.h"
#include "tests/suite.h"

/* Bytes in memory of exactly their size, so that reading past them is
 * noticed. */
static uint8_t *
exact(struct buf *buf)
{
	uint8_t *bytes = must_copy(buf->data, buf->len);

	ck_assert_int_eq(buf->error, 0);
	buf_fini(buf);
	return bytes;
}

/* ---- Header, footer ---- */

/* On disk: a table written today must be read for ever. */
START_TEST(a_header_looks_as_drawn)
{
	uint8_t bytes[TABLE_HEADER_BYTES];
	struct table_header header;

	table_header_encode(0x0102, bytes);
	ck_assert_mem_eq(bytes,
			 "keyfsSST"
			 "\1\0\0\0"
			 "\0\0\0\0"
			 "\2\1\0\0\0\0\0\0"
			 "\0\0\0\0"
			 "\0\0\0\0",
			 32);
	ck_assert_uint_eq(get_le64(bytes + 32), checksum(bytes, 32, 0x0102, 0));
	ck_assert_ptr_null(table_header_decode(bytes, 0x0102, &header));
	ck_assert_uint_eq(header.version, 1);
	ck_assert_str_eq(table_header_decode(bytes, 0x0103, &header),
			 "table header of another file");
}
END_TEST

START_TEST(a_footer_with_impossible_offsets_is_refused)
{
	static const struct table_footer bad[] = {
		{ 48, 100, 200 }, /* no room for a block */
		{ 100, 99, 200 },
		{ 100, 200, 199 },
		{ 100, 200, 1001 },
	};
	struct table_footer good = { 100, 100, 200 }, out;
	uint8_t bytes[TABLE_FOOTER_BYTES];
	size_t i;

	table_footer_encode(&good, 7, 1000, bytes);
	ck_assert_ptr_null(table_footer_decode(bytes, 7, 1000, &out));
	ck_assert_mem_eq(&out, &good, sizeof(out));
	ck_assert_ptr_nonnull(table_footer_decode(bytes, 8, 1000, &out));
	ck_assert_ptr_nonnull(table_footer_decode(bytes, 7, 1001, &out));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		table_footer_encode(&bad[i], 7, 1000, bytes);
		ck_assert_str_eq(table_footer_decode(bytes, 7, 1000, &out),
				 "table footer with impossible offsets");
	}
}
END_TEST

/* ---- Stored blocks ---- */

START_TEST(a_stored_block_of_any_bytes_is_refused_or_harmless)
{
	uint64_t state = suite_seed();
	int i;

	for (i = 0; i < 3000; i++) {
		struct table_stored stored;
		struct buf buf = { .len = 0 };
		size_t len = suite_random(&state) % 60, j;
		enum table_block_type type = suite_random(&state) % 3;
		uint8_t *bytes, *raw;

		for (j = 0; j < len; j++)
			buf_append_u8(&buf, (uint8_t)suite_random(&state));
		/* A raw length that may be true. */
		if (len >= 4)
			put_le32(buf.data,
				 (uint32_t)(suite_random(&state) % 400));
		table_trailer_append(&buf, 0, type, 7, 40);
		len = buf.len;
		bytes = exact(&buf);
		if (!table_stored_decode(bytes, len, 7, 40, 300, &stored)) {
			ck_assert_uint_le(stored.raw_len, 300);
			raw = must_alloc(stored.raw_len);
			(void)table_stored_unpack(&stored, raw);
			free(raw);
		}
		ck_assert_ptr_nonnull(
			table_stored_decode(bytes, len, 7, 41, 300, &stored));
		ck_assert_ptr_nonnull(table_stored_decode(bytes, len - 1, 7, 40,
							  300, &stored));
		free(bytes);
	}
}
END_TEST

/* ---- Properties ---- */

START_TEST(properties_come_back_and_unknown_ones_are_skipped)
{
	struct table_properties in = { 1,
				       2,
				       3,
				       4,
				       5,
				       6,
				       UINT64_MAX,
				       keyfs_str("a"),
				       keyfs_str("zz"),
				       keyfs_str("ages") };
	struct table_properties out;
	struct buf buf = { .len = 0 };

	buf_append_varint(&buf, 1000);
	buf_append_slice(&buf, keyfs_str("from the future"));
	table_properties_encode(&in, &buf);
	ck_assert_ptr_null(table_properties_decode(buf.data, buf.len, &out));
	ck_assert_uint_eq(out.entries, 1);
	ck_assert_uint_eq(out.tombstones, 2);
	ck_assert_uint_eq(out.keys, 3);
	ck_assert_uint_eq(out.blocks, 4);
	ck_assert_uint_eq(out.raw_bytes, 5);
	ck_assert_uint_eq(out.min_seq, 6);
	ck_assert_uint_eq(out.max_seq, UINT64_MAX);
	ck_assert(key_equal(out.smallest, in.smallest));
	ck_assert(key_equal(out.largest, in.largest));
	ck_assert(key_equal(out.block_ages, in.block_ages));
	buf_fini(&buf);
}
END_TEST

START_TEST(properties_of_any_bytes_are_refused_or_harmless)
{
	uint64_t state = suite_seed();
	int i;

	for (i = 0; i < 5000; i++) {
		size_t len = suite_random(&state) % 30, j;
		uint8_t *bytes = must_alloc(len);
		struct table_properties out;

		for (j = 0; j < len; j++)
			bytes[j] = (uint8_t)(suite_random(&state) %
					     (i % 2 ? 256 : 12));
		(void)table_properties_decode(bytes, len, &out);
		free(bytes);
	}
}
END_TEST

/* ---- Index ---- */

enum { BLOCK_BYTES = 100 };

/* The index of a table with `per_block` entries in each block of
 * BLOCK_BYTES. */
static uint8_t *
index_make(const struct entries *e, size_t per_block, size_t *out_len)
{
	struct table_index_builder builder = { .keys = { .len = 0 } };
	struct buf buf = { .len = 0 };
	uint64_t offset = TABLE_HEADER_BYTES;
	size_t i;

	for (i = 0; i < e->count; i += per_block, offset += BLOCK_BYTES) {
		size_t last = i + per_block - 1;
		struct keyfs_slice next = { NULL, 0 };

		if (last + 1 < e->count)
			next = e->at[last + 1].key;
		else
			last = e->count - 1;
		table_index_builder_add(&builder, offset, e->at[last].key,
					next);
	}
	table_index_builder_finish(&builder, &buf);
	table_index_builder_fini(&builder);
	*out_len = buf.len;
	return exact(&buf);
}

static uint64_t
data_end(const struct entries *e, size_t per_block)
{
	return TABLE_HEADER_BYTES +
	       (e->count + per_block - 1) / per_block * BLOCK_BYTES;
}

/* Without versions the block is the one that holds the first entry not before
 * the key; between two blocks it may be either. */
static void
check_find(const struct table_index *index, const struct entries *e,
	   size_t per_block, struct keyfs_slice key)
{
	size_t at = entries_seek(e, key, SEQ_MAX);
	uint32_t found = table_index_find(index, key);
	size_t block = at / per_block;

	if (at == e->count) {
		ck_assert_uint_eq(found, index->count);
		return;
	}
	if (found != block) {
		/* In the gap between the last key of one and the next. */
		ck_assert_uint_eq(found + 1, block);
		ck_assert_uint_eq(at % per_block, 0);
		ck_assert(!key_equal(e->at[at].key, key) ||
			  key_equal(e->at[at - 1].key, key));
	}
}

START_TEST(an_index_leads_to_the_block)
{
	uint64_t state = suite_seed();
	int i, j;

	for (i = 0; i < 20; i++) {
		struct entries e =
			entries_random(&state, suite_random(&state) % 300 + 1,
				       0);
		size_t per_block = suite_random(&state) % 5 + 1, len;
		uint8_t *bytes = index_make(&e, per_block, &len);
		struct table_index index;
		const char *why = NULL;
		uint8_t space[64];

		ck_assert_int_eq(table_index_open(bytes, len,
						  TABLE_HEADER_BYTES,
						  data_end(&e, per_block),
						  &index, &why),
				 0);
		for (j = 0; j < 200; j++)
			check_find(&index, &e, per_block,
				   entries_probe(&e, &state, space));
		table_index_fini(&index);
		free(bytes);
		entries_free(&e);
	}
}
END_TEST

static const struct {
	const char *last, *next, *separator;
} separators[] = {
	{ "abcdef", "abf", "abd" },
	{ "abcdef", "abdgh", "abd" },
	{ "abcdef", "abd", "abce" },
	{ "abc", "abcd", "abc" },
	{ "abc\xff\xff", "abd", "abc\xff\xff" },
	{ "a\xff"
	  "b",
	  "b",
	  "a\xff"
	  "c" },
	{ "same", "same", "same" },
	{ "a", "c", "b" },
	{ "a", "b", "a" },
};

START_TEST(separators_are_short)
{
	struct table_index_builder builder = { .keys = { .len = 0 } };
	struct keyfs_slice last = keyfs_str(separators[_i].last);
	struct keyfs_slice next = keyfs_str(separators[_i].next);
	struct keyfs_slice s;

	table_index_builder_add(&builder, 40, last, next);
	s = buf_slice(&builder.keys);
	ck_assert(key_equal(s, keyfs_str(separators[_i].separator)));
	ck_assert_int_ge(key_compare(s, last), 0);
	ck_assert(key_compare(s, next) < 0 || key_equal(last, next));
	table_index_builder_fini(&builder);
}
END_TEST

START_TEST(an_index_of_any_bytes_is_refused_or_harmless)
{
	uint64_t state = suite_seed();
	struct entries e = entries_random(&state, 30, 0);
	size_t len, cut;
	uint8_t *bytes = index_make(&e, 2, &len);
	int i, opened = 0;

	for (i = 0; i < 5000; i++) {
		struct table_index index;
		const char *why = NULL;
		uint8_t *copy;
		int r;

		cut = i % 4 ? len : suite_random(&state) % len;
		copy = must_copy(bytes, cut);
		if (cut)
			copy[suite_random(&state) % cut] =
				(uint8_t)suite_random(&state);
		r = table_index_open(copy, cut, TABLE_HEADER_BYTES,
				     data_end(&e, 2), &index, &why);
		if (r == 0) {
			opened++;
			(void)table_index_find(&index, e.at[i % 30].key);
			table_index_fini(&index);
		} else {
			ck_assert_int_eq(r, -EUCLEAN);
			ck_assert_ptr_nonnull(why);
		}
		free(copy);
	}
	/* A changed letter of a separator may well be another good index. */
	ck_assert_int_gt(opened, 0);
	free(bytes);
	entries_free(&e);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("table format");
	TCase *tcase = tcase_create("format");

	tcase_add_test(tcase, a_header_looks_as_drawn);
	tcase_add_test(tcase, a_footer_with_impossible_offsets_is_refused);
	tcase_add_test(tcase,
		       a_stored_block_of_any_bytes_is_refused_or_harmless);
	tcase_add_test(tcase,
		       properties_come_back_and_unknown_ones_are_skipped);
	tcase_add_test(tcase, properties_of_any_bytes_are_refused_or_harmless);
	tcase_add_test(tcase, an_index_leads_to_the_block);
	tcase_add_loop_test(tcase, separators_are_short, 0,
			    sizeof(separators) / sizeof(separators[0]));
	tcase_add_test(tcase, an_index_of_any_bytes_is_refused_or_harmless);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
