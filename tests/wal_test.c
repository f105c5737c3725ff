/* SPDX-License-Identifier: Apache-2.0 */
/* wal_test.c - the log: what is appended is read back, in both ways of writing it;
 * what is damaged is noticed, and what it promised is found. */
#include <config.h>

#include "store/wal_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/checksum.h"
#include "store/wal_reader.h"
#include "tests/fault_env.h"
#include "tests/suite.h"

#define CAPACITY (UINT64_C(1) << 20)
#define LOG_NUMBER 7
#define LOG_NAME "000007.log"

static struct fault_env *disk;
static struct env_dir *dir;

static void
setup(void)
{
	disk = fault_env_new(1);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
}

static void
teardown(void)
{
	env_dir_close(dir);
	fault_env_free(disk);
}

/* Loop test 0: through a mapping; 1: the filesystem offers none. */
static struct wal_writer *
new_writer(int way)
{
	struct fault_rule no_map = { .calls = FAULT_ON(FAULT_MAP),
				     .error = -EOPNOTSUPP };
	struct wal_writer *writer;

	if (way == 1)
		fault_env_fail(disk, &no_map);
	ck_assert_int_eq(wal_writer_new(dir, LOG_NUMBER, CAPACITY, &writer), 0);
	ck_assert_int_eq(wal_writer_begin(writer, 3, 100), 0);
	return writer;
}

/* A payload of `len` bytes that differs with `seq`. */
static const void *
payload_of(uint64_t seq, size_t len)
{
	static uint8_t bytes[1 << 19];
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seq * 31 + i * 7 + 1);
	return bytes;
}

static int
append(struct wal_writer *writer, uint64_t seq, size_t len, uint64_t durable)
{
	const void *payload = payload_of(seq, len);
	struct wal_record record = { .type = WAL_BATCH,
				     .durable = durable,
				     .seq = seq,
				     .count = 1,
				     .payload_bytes = (uint32_t)len,
				     .payload_hash =
					     checksum_hash(payload, len) };

	return wal_writer_append(writer, &record, payload);
}

static struct wal_reader *
open_reader(void)
{
	struct wal_reader *reader;
	struct wal_header header;

	ck_assert_int_eq(wal_reader_open(dir, LOG_NUMBER, &reader), 0);
	ck_assert_ptr_null(wal_reader_header(reader, &header));
	ck_assert_uint_eq(header.number, LOG_NUMBER);
	ck_assert_uint_eq(header.predecessor, 3);
	ck_assert_uint_eq(header.first_seq, 100);
	return reader;
}

/* Reads records 100, 101 ... of lengths 0, 1, 2 ... times `step`; returns how many. */
static unsigned
read_all(struct wal_reader *reader, size_t step)
{
	struct keyfs_slice payload;
	struct wal_record record;
	unsigned n = 0;

	while (!wal_reader_next(reader, &record, &payload)) {
		if (record.type == WAL_MARK)
			continue;
		ck_assert_uint_eq(record.seq, 100 + n);
		ck_assert_uint_eq(payload.len, n * step);
		ck_assert_int_eq(memcmp(payload.data,
					payload_of(100 + n, payload.len),
					payload.len),
				 0);
		n++;
	}
	return n;
}

START_TEST(what_is_appended_is_read_back)
{
	struct wal_writer *writer = new_writer(_i);
	struct wal_reader *reader;
	unsigned n;

	for (n = 0; n < 200; n++)
		ck_assert_int_eq(append(writer, 100 + n, n * 13, 0), 0);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 13), 200);
	ck_assert_uint_eq(wal_reader_offset(reader), wal_writer_end(writer));
	ck_assert(wal_reader_rest_is_zero(reader));
	wal_reader_close(reader);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(a_full_log_refuses_and_stays_whole)
{
	struct wal_writer *writer = new_writer(_i);
	struct wal_reader *reader;
	unsigned n = 0;
	int r;

	while (wal_writer_fits(writer, n * 1000)) {
		ck_assert_int_eq(append(writer, 100 + n, n * 1000, 0), 0);
		n++;
	}
	r = append(writer, 100 + n, CAPACITY / 2, 0);
	ck_assert_int_eq(r, -ENOSPC);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 1000), n);
	wal_reader_close(reader);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(a_failed_append_is_overwritten_by_the_next)
{
	struct fault_rule torn = { .calls = FAULT_ON(FAULT_WRITE),
				   .error = -EIO,
				   .partial = true };
	struct wal_writer *writer = new_writer(1);
	struct wal_reader *reader;
	uint64_t end;

	ck_assert_int_eq(append(writer, 100, 0, 0), 0);
	end = wal_writer_end(writer);
	fault_env_heal(disk);
	fault_env_fail(disk, &torn);
	ck_assert_int_eq(append(writer, 101, 5000, 0), -EIO);
	ck_assert_uint_eq(wal_writer_end(writer), end);
	ck_assert_int_eq(append(writer, 101, 100, 0), 0);
	ck_assert_int_eq(append(writer, 102, 200, 0), 0);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 100), 3);
	wal_reader_close(reader);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(no_room_on_the_disk_leaves_the_end_where_it_was)
{
	struct wal_writer *writer = new_writer(_i);
	uint64_t end, n = 0;
	int r;

	fault_env_set_capacity(disk, fault_env_used(disk));
	do {
		end = wal_writer_end(writer);
		r = append(writer, 100 + n++, 4000, 0);
	} while (r == 0);
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_eq(wal_writer_end(writer), end);
	fault_env_set_capacity(disk, UINT64_C(1) << 30);
	ck_assert_int_eq(append(writer, 100 + n, 4000, 0), 0);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(a_synced_record_survives_the_loss_of_the_rest)
{
	struct wal_writer *writer = new_writer(_i);
	struct wal_reader *reader;
	uint64_t end;

	ck_assert_int_eq(append(writer, 100, 0, 0), 0);
	ck_assert_int_eq(append(writer, 101, 50, 0), 0);
	ck_assert_int_eq(wal_writer_sync(writer, &end), 0);
	ck_assert_uint_eq(end, wal_writer_end(writer));
	ck_assert_int_eq(append(writer, 102, 100, 0), 0);
	wal_writer_unref(writer);
	env_dir_close(dir);
	fault_env_reboot(disk, FAULT_DROP_ALL, 1);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", 0, &dir), 0);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 50), 2);
	wal_reader_close(reader);
}
END_TEST

/* Three records and a mark; the last record and the mark say that the first two are
 * durable. */
static uint64_t
write_promise(struct wal_writer *writer)
{
	struct wal_record mark = { .type = WAL_MARK };
	uint64_t durable;

	ck_assert_int_eq(append(writer, 100, 0, 0), 0);
	ck_assert_int_eq(append(writer, 101, 24, 0), 0);
	durable = wal_position(LOG_NUMBER, wal_writer_end(writer));
	ck_assert_int_eq(append(writer, 102, 48, durable), 0);
	mark.durable = durable;
	ck_assert_int_eq(wal_writer_append(writer, &mark, NULL), 0);
	return durable;
}

START_TEST(behind_damage_the_promises_are_found)
{
	struct wal_writer *writer = new_writer(0);
	uint64_t durable = write_promise(writer);
	struct wal_reader *reader;

	/* In the payload of the second record. */
	ck_assert_int_eq(fault_env_flip(disk, LOG_NAME,
					(64 + 40 + 40 + 3) * 8 + 5),
			 0);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 24), 1);
	ck_assert(!wal_reader_rest_is_zero(reader));
	ck_assert_uint_eq(wal_reader_scan(reader), durable);
	ck_assert_uint_lt(wal_position(LOG_NUMBER, wal_reader_offset(reader)),
			  durable);
	wal_reader_close(reader);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(every_flipped_bit_of_a_record_is_noticed)
{
	struct wal_writer *writer = new_writer(0);
	uint64_t end, bit;

	write_promise(writer);
	/* Without the mark, whose loss only ends the replay behind all records. */
	end = wal_writer_end(writer) - WAL_MARK_BYTES;
	for (bit = 64 * 8; bit < end * 8; bit++) {
		struct wal_reader *reader;
		unsigned before = bit < 104 * 8 ? 0 : bit < 168 * 8 ? 1 : 2;

		ck_assert_int_eq(fault_env_flip(disk, LOG_NAME, bit), 0);
		reader = open_reader();
		ck_assert_uint_eq(read_all(reader, 24), before);
		wal_reader_close(reader);
		ck_assert_int_eq(fault_env_flip(disk, LOG_NAME, bit), 0);
	}
	wal_writer_unref(writer);
}
END_TEST

START_TEST(a_record_of_another_log_is_no_record)
{
	struct wal_writer *writer = new_writer(0);
	struct wal_record record = { .type = WAL_MARK, .durable = 1 };
	struct wal_reader *reader;
	uint8_t bytes[WAL_MARK_BYTES];

	wal_record_encode(&record, LOG_NUMBER + 1, WAL_HEADER_BYTES, bytes);
	ck_assert_int_eq(fault_env_poke(disk, LOG_NAME, WAL_HEADER_BYTES, bytes,
					sizeof(bytes)),
			 0);
	reader = open_reader();
	ck_assert_uint_eq(read_all(reader, 0), 0);
	ck_assert_uint_eq(wal_reader_scan(reader), 0);
	wal_reader_close(reader);
	/* Nor one of this log that lies elsewhere. */
	wal_record_encode(&record, LOG_NUMBER, WAL_HEADER_BYTES, bytes);
	ck_assert_int_eq(fault_env_poke(disk, LOG_NAME, 4096, bytes,
					sizeof(bytes)),
			 0);
	reader = open_reader();
	ck_assert_uint_eq(wal_reader_scan(reader), 0);
	wal_reader_close(reader);
	wal_writer_unref(writer);
}
END_TEST

START_TEST(hostile_bytes_are_refused)
{
	uint64_t seed = suite_seed();
	unsigned round, i;

	for (round = 0; round < 2000; round++) {
		uint8_t bytes[256];
		struct wal_record record;

		for (i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)suite_random(&seed);
		if (round % 2)
			memcpy(bytes,
			       &(uint32_t){ wal_marker(LOG_NUMBER, WAL_BATCH) },
			       4);
		ck_assert_ptr_nonnull(wal_record_decode(
			bytes, suite_random(&seed) % (sizeof(bytes) + 1),
			LOG_NUMBER, 64, &record));
	}
}
END_TEST

START_TEST(positions_compare_in_log_order)
{
	ck_assert_uint_lt(wal_position(3, WAL_OFFSET_MAX - 8),
			  wal_position(4, 0));
	ck_assert_uint_lt(wal_position(4, 64), wal_position(4, 72));
	ck_assert_uint_eq(wal_position_number(wal_position(9, 4096)), 9);
	ck_assert_uint_eq(wal_position_offset(wal_position(9, 4096)), 4096);
}
END_TEST

static Suite *
wal_suite(void)
{
	Suite *suite = suite_create("wal");
	TCase *tcase = tcase_create("wal");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, what_is_appended_is_read_back, 0, 2);
	tcase_add_loop_test(tcase, a_full_log_refuses_and_stays_whole, 0, 2);
	tcase_add_test(tcase, a_failed_append_is_overwritten_by_the_next);
	tcase_add_loop_test(tcase,
			    no_room_on_the_disk_leaves_the_end_where_it_was, 0,
			    2);
	tcase_add_loop_test(tcase,
			    a_synced_record_survives_the_loss_of_the_rest, 0,
			    2);
	tcase_add_test(tcase, behind_damage_the_promises_are_found);
	tcase_add_test(tcase, every_flipped_bit_of_a_record_is_noticed);
	tcase_add_test(tcase, a_record_of_another_log_is_no_record);
	tcase_add_test(tcase, hostile_bytes_are_refused);
	tcase_add_test(tcase, positions_compare_in_log_order);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(wal_suite());
}
