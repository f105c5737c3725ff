/* SPDX-License-Identifier: Apache-2.0 */
/* table_damage_test.c - no damaged byte of a table goes unnoticed. */
#include <config.h>

#include "store/table.h"

#include <errno.h>
#include <stdlib.h>

#include "store/checksum.h"
#include "store/damage.h"
#include "store/table_format.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/table_fixture.h"

struct damages {
	int count, stop_after;
	uint64_t offset;
	const char *why;
};

static int
damage_note(void *arg, const char *file, uint64_t offset, const char *why)
{
	struct damages *d = arg;

	ck_assert_str_eq(file, TABLE_FIXTURE_FILE);
	d->offset = offset;
	d->why = why;
	return ++d->count == d->stop_after;
}

/* Looks at everything; each entry that comes out must be one that went in, and
 * each version that is there must be found or be an error. */
static void
check_never_wrong(struct table_fixture *f)
{
	struct table_result found;
	struct iter *it;
	size_t i, step = f->entries.count / 8 + 1;

	for (i = 0; i < f->entries.count; i += step) {
		const struct entry *e = &f->entries.at[i];
		int r = table_fixture_get(f, e->key, e->seq, false, &found);

		ck_assert(r == 0 || r == -EUCLEAN);
		if (r < 0)
			continue;
		ck_assert(entry_equal(&found.entry, e));
		cache_unpin(f->cache, found.pin);
	}
	ck_assert_int_eq(table_iter(f->table, TABLE_ITER_NOFILL, &it), 0);
	iter_first(it);
	for (i = 0; it->valid; i++, iter_next(it))
		ck_assert(i < f->entries.count &&
			  entry_equal(&it->entry, &f->entries.at[i]));
	ck_assert(it->status == -EUCLEAN || i == f->entries.count);
	iter_free(it);
}

START_TEST(every_flipped_bit_is_noticed)
{
	uint64_t state = suite_seed(), bit;
	struct table_fixture f;

	table_fixture_small(&f, &state, _i);
	for (bit = 0; bit < f.file_bytes * 8; bit++) {
		struct damages d = { .count = 0 };
		int r;

		/* It is open already when the bit flips. */
		ck_assert_int_eq(fault_env_flip(f.disk, TABLE_FIXTURE_FILE,
						bit),
				 0);
		f.lines = 0;
		r = table_verify(f.table, damage_note, &d);
		/* A header with another version never has a good sum. */
		ck_assert_int_eq(r, -EUCLEAN);
		ck_assert_int_eq(d.count, 1);
		ck_assert_int_eq(f.lines, 1);
		if (bit % 8 == (uint64_t)_i) {
			cache_drop_file(f.cache, TABLE_FIXTURE_NUMBER);
			check_never_wrong(&f);
		}
		ck_assert_int_eq(fault_env_flip(f.disk, TABLE_FIXTURE_FILE,
						bit),
				 0);
	}
	cache_drop_file(f.cache, TABLE_FIXTURE_NUMBER);
	check_never_wrong(&f);
	ck_assert_int_eq(table_verify(f.table, NULL, NULL), 0);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_bit_flipped_before_opening_is_noticed)
{
	uint64_t state = suite_seed(), byte;
	struct table_fixture f;

	table_fixture_small(&f, &state, false);
	for (byte = 0; byte < f.file_bytes; byte++) {
		uint64_t bit = byte * 8 + suite_random(&state) % 8;
		int r;

		table_fixture_close(&f);
		ck_assert_int_eq(fault_env_flip(f.disk, TABLE_FIXTURE_FILE,
						bit),
				 0);
		r = table_fixture_open(&f);
		ck_assert(r == 0 || r == -EUCLEAN);
		if (byte < TABLE_HEADER_BYTES ||
		    byte >= f.file_bytes - TABLE_FOOTER_BYTES)
			ck_assert_int_eq(r, -EUCLEAN);
		if (r == 0)
			check_never_wrong(&f);
		ck_assert_int_eq(fault_env_flip(f.disk, TABLE_FIXTURE_FILE,
						bit),
				 0);
		if (r < 0)
			ck_assert_int_eq(table_fixture_open(&f), 0);
	}
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_file_of_another_size_is_refused)
{
	uint64_t state = suite_seed(), len, whole;
	struct table_fixture f;
	uint8_t *bytes;

	table_fixture_small(&f, &state, false);
	whole = f.file_bytes;
	bytes = must_alloc(whole + 1);
	ck_assert_int_eq(fault_env_peek(f.disk, TABLE_FIXTURE_FILE, 0, bytes,
					whole),
			 0);
	table_fixture_close(&f);
	for (len = 0; len <= whole + 1; len++) {
		if (len == whole)
			continue;
		ck_assert_int_eq(fault_env_plant(f.disk, TABLE_FIXTURE_FILE,
						 bytes, len),
				 0);
		f.file_bytes = whole;
		ck_assert_int_eq(table_fixture_open(&f), -EUCLEAN);
		/* Nor does a manifest with that size make it a table. */
		f.file_bytes = len;
		ck_assert_int_eq(table_fixture_open(&f), -EUCLEAN);
	}
	free(bytes);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_file_cut_after_opening_gives_an_error)
{
	uint64_t state = suite_seed(), whole, len;
	struct table_fixture f;
	struct env_file *file;

	table_fixture_small(&f, &state, false);
	whole = f.file_bytes;
	ck_assert_int_eq(env_file_open(f.dir, TABLE_FIXTURE_FILE, ENV_WRITE,
				       &file),
			 0);
	for (len = whole; len-- > 0;) {
		ck_assert_int_eq(env_file_truncate(file, len), 0);
		cache_drop_file(f.cache, TABLE_FIXTURE_NUMBER);
		check_never_wrong(&f);
		ck_assert_int_eq(table_verify(f.table, NULL, NULL), -EUCLEAN);
	}
	env_file_close(file);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(damage_is_raised_with_file_and_offset)
{
	uint64_t state = suite_seed();
	struct table_result found;
	const struct entry *e;
	struct table_fixture f;

	table_fixture_small(&f, &state, false);
	e = &f.entries.at[0];
	ck_assert_int_eq(fault_env_flip(f.disk, TABLE_FIXTURE_FILE,
					8 * (TABLE_HEADER_BYTES + 3)),
			 0);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 -EUCLEAN);
	ck_assert_str_eq(f.line, "000007.sst: damaged at offset 40: block does "
				 "not match its checksum");
	/* The other blocks are as good as before. */
	e = &f.entries.at[f.entries.count - 1];
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	ck_assert_int_eq(f.lines, 1);
	table_fixture_fini(&f);
}
END_TEST

START_TEST(a_good_block_in_the_wrong_place_is_noticed)
{
	uint64_t state = suite_seed(), size;
	uint8_t *bytes;
	struct table_fixture f;
	struct table *other;

	table_fixture_small(&f, &state, false);
	size = f.file_bytes;
	bytes = must_alloc(size);
	ck_assert_int_eq(fault_env_peek(f.disk, TABLE_FIXTURE_FILE, 0, bytes,
					size),
			 0);
	/* The whole file under another number. */
	ck_assert_int_eq(fault_env_plant(f.disk, "000008.sst", bytes, size), 0);
	ck_assert_int_eq(table_open(f.dir, 8, size, f.cache,
				    &table_fixture_reporter, &other),
			 -EUCLEAN);
	ck_assert_str_eq(f.line, "000008.sst: damaged at offset 0: table "
				 "header of another file");
	free(bytes);
	table_fixture_fini(&f);
}
END_TEST

static void
flip_byte(struct table_fixture *f, uint64_t offset)
{
	ck_assert_int_eq(fault_env_flip(f->disk, TABLE_FIXTURE_FILE,
					offset * 8),
			 0);
}

START_TEST(verify_reports_each_damage_and_can_be_ended)
{
	uint64_t state = suite_seed();
	struct damages d = { .count = 0 };
	struct table_fixture f;
	uint64_t last;

	table_fixture_small(&f, &state, false);
	ck_assert_int_eq(table_offset_of(f.table,
					 f.entries.at[f.entries.count - 1].key,
					 &last),
			 0);
	/* The first block, the last block, the end of the properties. */
	flip_byte(&f, TABLE_HEADER_BYTES);
	flip_byte(&f, last);
	flip_byte(&f, f.file_bytes - TABLE_FOOTER_BYTES - 1);
	ck_assert_int_eq(table_verify(f.table, damage_note, &d), -EUCLEAN);
	ck_assert_int_eq(d.count, 3);
	d = (struct damages){ .stop_after = 1 };
	ck_assert_int_eq(table_verify(f.table, damage_note, &d), -EUCLEAN);
	ck_assert_int_eq(d.count, 1);
	ck_assert_uint_eq(d.offset, TABLE_HEADER_BYTES);
	table_fixture_fini(&f);
}
END_TEST

/* Puts the checksum of a block right again. */
static void
block_sign(struct table_fixture *f, uint64_t offset, uint64_t end)
{
	size_t len = end - offset;
	uint8_t *bytes = must_alloc(len);

	ck_assert_int_eq(fault_env_peek(f->disk, TABLE_FIXTURE_FILE, offset,
					bytes, len),
			 0);
	put_le64(bytes + len - 8,
		 checksum(bytes, len - 8, TABLE_FIXTURE_NUMBER, offset));
	ck_assert_int_eq(fault_env_poke(f->disk, TABLE_FIXTURE_FILE, offset,
					bytes, len),
			 0);
	free(bytes);
}

/* The end of the first block, and the properties. */
static void
parts_find(struct table_fixture *f, uint64_t *block_end, uint64_t *properties)
{
	uint8_t footer[TABLE_FOOTER_BYTES];
	size_t i;

	ck_assert_int_eq(fault_env_peek(f->disk, TABLE_FIXTURE_FILE,
					f->file_bytes - TABLE_FOOTER_BYTES,
					footer, sizeof(footer)),
			 0);
	*properties = get_le64(footer + 16);
	*block_end = TABLE_HEADER_BYTES;
	for (i = 0; *block_end == TABLE_HEADER_BYTES; i++)
		ck_assert_int_eq(table_offset_of(f->table, f->entries.at[i].key,
						 block_end),
				 0);
}

START_TEST(verify_knows_what_good_checksums_hide)
{
	static const struct {
		unsigned at; /* in the first block or the properties */
		bool properties;
		uint8_t byte;
		const char *why;
	} cases[] = {
		/* The first key's first byte: 00 shared, lengths, key. */
		{ 3, false, 0xff, "filter denies a key of the table" },
		/* The count of entries: id, length, number. */
		{ 2, true, 99, "properties with wrong counts" },
		{ 0, true, 77, "properties with wrong counts" },
		{ 1, true, 127, "properties cannot be decoded" },
	};
	/* Not a random one: a filter may admit the changed key. */
	uint64_t state = 1, block_end, properties, offset, end;
	struct damages d = { .count = 0 };
	struct table_fixture f;

	table_fixture_small(&f, &state, false);
	parts_find(&f, &block_end, &properties);
	offset = cases[_i].properties ? properties : TABLE_HEADER_BYTES;
	end = cases[_i].properties ? f.file_bytes - TABLE_FOOTER_BYTES
				   : block_end;
	ck_assert_int_eq(fault_env_poke(f.disk, TABLE_FIXTURE_FILE,
					offset + cases[_i].at, &cases[_i].byte,
					1),
			 0);
	block_sign(&f, offset, end);
	ck_assert_int_eq(table_verify(f.table, damage_note, &d), -EUCLEAN);
	ck_assert_int_eq(d.count, 1);
	ck_assert_uint_eq(d.offset, offset);
	ck_assert_str_eq(d.why, cases[_i].why);
	table_fixture_fini(&f);
}
END_TEST

/* A table without a filter, whose second key comes before the first. */
START_TEST(verify_notices_entries_out_of_order)
{
	struct entry list[] = {
		{ keyfs_str("b"), 3, ENTRY_PUT, keyfs_str("1") },
		{ keyfs_str("c"), 5, ENTRY_PUT, keyfs_str("2") },
	};
	struct entries entries = { must_alloc(sizeof(list)), 2 };
	struct table_options options = { 4096, 0, false };
	struct damages d = { .count = 0 };
	struct table_fixture f;
	size_t i;

	for (i = 0; i < 2; i++) {
		entries.at[i] = list[i];
		entries.at[i].key.data = must_copy(list[i].key.data, 1);
		entries.at[i].value.data = must_copy(list[i].value.data, 1);
	}
	table_fixture_init(&f, entries, 1 << 20, &options);
	/* 00 01 02 'b' tag '1'   00 01 02 'c' ... */
	ck_assert_int_eq(fault_env_poke(f.disk, TABLE_FIXTURE_FILE,
					TABLE_HEADER_BYTES + 6 + 3, "a", 1),
			 0);
	block_sign(&f, TABLE_HEADER_BYTES,
		   TABLE_HEADER_BYTES + 12 + 4 + 12 + TABLE_TRAILER_BYTES);
	ck_assert_int_eq(table_verify(f.table, damage_note, &d), -EUCLEAN);
	ck_assert_str_eq(d.why, "entries out of order");
	table_fixture_fini(&f);
}
END_TEST

/* Header and footer as a newer program would write them. */
START_TEST(a_newer_version_is_refused_by_name)
{
	static const struct {
		unsigned at;
		const char *says;
	} cases[] = {
		{ 8, "000007.sst: made by a newer version of keyfs: format "
		     "version 0x9 is not known here" },
		{ 12, "000007.sst: made by a newer version of keyfs: feature "
		      "bits 0x9 is not known here" },
		{ 24, "000007.sst: made by a newer version of keyfs: family "
		      "0x9 is not known here" },
	};
	uint64_t state = suite_seed();
	uint8_t header[TABLE_HEADER_BYTES];
	struct table_fixture f;

	table_fixture_small(&f, &state, false);
	table_fixture_close(&f);
	ck_assert_int_eq(fault_env_peek(f.disk, TABLE_FIXTURE_FILE, 0, header,
					sizeof(header)),
			 0);
	put_le32(header + cases[_i].at, 9);
	put_le64(header + 32, checksum(header, 32, TABLE_FIXTURE_NUMBER, 0));
	ck_assert_int_eq(fault_env_poke(f.disk, TABLE_FIXTURE_FILE, 0, header,
					sizeof(header)),
			 0);
	ck_assert_int_eq(table_fixture_open(&f), -EPROTONOSUPPORT);
	ck_assert_str_eq(f.line, cases[_i].says);
	table_fixture_fini(&f);
}
END_TEST

/* ---- Salvage ---- */

enum { LOSSES_MAX = 64 };

struct losses {
	struct damage *at[LOSSES_MAX];
	unsigned count;
};

static int
loss_note(void *arg, const struct table_loss *loss)
{
	static uint8_t least[1], most[KEYFS_KEY_MAX];
	struct losses *losses = arg;
	struct damage like = {
		.number = TABLE_FIXTURE_NUMBER,
		.offset = loss->offset,
		.bytes = loss->bytes,
		.max_seq = loss->max_seq,
		.first_seq = loss->first.data ? loss->first_seq : SEQ_MAX,
		.first = loss->first.data ? loss->first : keyfs_bytes(least, 1),
		.last = loss->last.data ? loss->last
					: keyfs_bytes(most, sizeof(most)),
	};

	memset(most, 255, sizeof(most));
	ck_assert_uint_lt(losses->count, LOSSES_MAX);
	ck_assert_int_eq(damage_new(&like, &losses->at[losses->count++]), 0);
	return 0;
}

/* A lost entry lies in a loss, and no loss is newer than all that it took. */
static void
check_told(const struct losses *losses, const struct entry *e, bool *newest)
{
	unsigned i;

	for (i = 0; i < losses->count; i++) {
		if (damage_bound(losses->at[i], e->key) < e->seq)
			continue;
		newest[i] |= losses->at[i]->max_seq == e->seq;
		return;
	}
	ck_abort_msg("a lost entry is in no range");
}

static void
check_salvage(struct table_fixture *f)
{
	struct losses losses = { .count = 0 };
	bool newest[LOSSES_MAX] = { false };
	struct iter *it;
	size_t i = 0;
	unsigned n;

	ck_assert_int_eq(table_iter_salvage(f->table, loss_note, &losses, &it),
			 0);
	for (iter_first(it); i < f->entries.count; i++) {
		const struct entry *e = &f->entries.at[i];

		if (it->valid && entry_equal(&it->entry, e))
			iter_next(it);
		else
			check_told(&losses, e, newest);
	}
	ck_assert(!it->valid);
	ck_assert_int_eq(it->status, 0);
	iter_free(it);
	ck_assert_uint_ge(losses.count, 1);
	for (n = 0; n < losses.count; n++) {
		ck_assert(newest[n]);
		damage_unref(losses.at[n]);
	}
}

/* Some blocks of a table with several versions of many keys, _i of them. */
START_TEST(salvage_tells_of_all_that_it_passes_over)
{
	uint64_t state = suite_seed(), offset;
	struct table_options options = { 128, 10, false };
	struct table_fixture f;
	size_t round, n, i;

	for (round = 0; round < 40; round++) {
		table_fixture_init(&f, entries_random(&state, 200, 30), 1 << 20,
				   &options);
		for (n = 0; n < (size_t)_i; n++) {
			i = suite_random(&state) % f.entries.count;
			ck_assert_int_eq(table_offset_of(f.table,
							 f.entries.at[i].key,
							 &offset),
					 0);
			flip_byte(&f, offset + suite_random(&state) % 8);
		}
		cache_drop_file(f.cache, TABLE_FIXTURE_NUMBER);
		if (table_verify(f.table, NULL, NULL) < 0)
			check_salvage(&f);
		table_fixture_fini(&f);
	}
}
END_TEST

START_TEST(a_failing_disk_is_an_error_and_no_damage)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_READ),
				   .error = -EIO,
				   .forever = true };
	uint64_t state = suite_seed();
	struct table_result found;
	const struct entry *e;
	struct table_fixture f;

	table_fixture_small(&f, &state, false);
	e = &f.entries.at[0];
	fault_env_fail(f.disk, &rule);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 -EIO);
	ck_assert_int_eq(f.lines, 1);
	ck_assert_int_eq(table_verify(f.table, NULL, NULL), -EIO);
	fault_env_heal(f.disk);
	ck_assert_int_eq(table_fixture_get(&f, e->key, e->seq, false, &found),
			 0);
	cache_unpin(f.cache, found.pin);
	table_fixture_fini(&f);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("table damage");
	TCase *tcase = tcase_create("damage");

	tcase_add_loop_test(tcase, every_flipped_bit_is_noticed, 0, 2);
	tcase_add_test(tcase, a_bit_flipped_before_opening_is_noticed);
	tcase_add_test(tcase, a_file_of_another_size_is_refused);
	tcase_add_test(tcase, a_file_cut_after_opening_gives_an_error);
	tcase_add_test(tcase, damage_is_raised_with_file_and_offset);
	tcase_add_test(tcase, a_good_block_in_the_wrong_place_is_noticed);
	tcase_add_test(tcase, verify_reports_each_damage_and_can_be_ended);
	tcase_add_loop_test(tcase, a_newer_version_is_refused_by_name, 0, 3);
	tcase_add_loop_test(tcase, verify_knows_what_good_checksums_hide, 0, 4);
	tcase_add_test(tcase, verify_notices_entries_out_of_order);
	tcase_add_loop_test(tcase, salvage_tells_of_all_that_it_passes_over, 1,
			    6);
	tcase_add_test(tcase, a_failing_disk_is_an_error_and_no_damage);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
