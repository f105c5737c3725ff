/* SPDX-License-Identifier: Apache-2.0 */
/* rot_test.c - what the disk forgets or invents is noticed (P4).
 *
 * A small store with everything in it is damaged in one place at a time: each bit
 * flipped, each sector zeroed or as it was before, files cut short, missing, under
 * another number, in each other's place, with garbage behind.  Then everything is read.
 * Allowed are the same answers, or errors that say where.
 *
 * KEYFS_TEST_ROT says how many places of each file and kind are tried; "full": all. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/wal_format.h"
#include "tests/db_kit.h"
#include "tests/must.h"
#include "tests/rot_world.h"
#include "tests/suite.h"

#define SECTOR 512u
#define POINTS_DEFAULT 25u
/* The zeros made ahead in logs are no part of the store: one place in so many. */
#define UNUSED_STEP 4099u
/* Every so many cases the tree is read too, and the store is opened for writing. */
#define TREE_EVERY 7u
#define WRITE_EVERY 31u
#define REPAIR_EVERY 5u

static struct rot_world world;
static uint64_t cases, found;

static uint64_t
points(void)
{
	const char *given = getenv("KEYFS_TEST_ROT");

	if (!given)
		return POINTS_DEFAULT;
	return strcmp(given, "full") ? strtoull(given, NULL, 0) : UINT64_MAX;
}

static void
setup_closed(void)
{
	rot_world_init(&world, true);
}

static void
setup_died(void)
{
	rot_world_init(&world, false);
}

static void
teardown(void)
{
	rot_world_fini(&world);
	printf("in %" PRIu64 " of the cases damage was found\n", found);
	suite_cases(cases);
}

static const struct rot_file *
file_at(size_t i)
{
	return &world.now.files[i];
}

static bool
is_kind(const struct rot_file *file, const char *part)
{
	return strstr(file->name + sizeof(ROT_DIR), part) != NULL;
}

/* ---- One case ---- */

/* What was damaged: bytes from `from` to before `to` of a file. */
struct harm {
	const struct rot_file *file;
	uint64_t from, to;
};

/* Whether a crash could have left the same: the damage reaches into records that
 * nobody had synced. */
static bool
could_be_crash(const struct harm *harm)
{
	return harm->file == world.tail_log && harm->to > world.tail;
}

/* Whether it did not touch what was synced, or left a record behind it that says that
 * it was. */
static bool
tells(const struct harm *harm)
{
	return harm->from >= world.tail || harm->to <= world.tail_last;
}

/* Whether it must be found: it touched what the store depends on, and left what tells
 * that there was more.  The manifest without its last records is one that may have been
 * left by a crash; that it is harmless the answers show. */
static bool
must_be_found(const struct harm *harm)
{
	if (harm->from >= harm->file->live)
		return false;
	if (is_kind(harm->file, "MANIFEST-"))
		return harm->to <= harm->file->live;
	return harm->file != world.tail_log || tells(harm);
}

static void
try_case(const struct harm *harm, const char *what, uint64_t where)
{
	bool may_lose = could_be_crash(harm), bad;

	snprintf(world.about, sizeof(world.about), "%s %s at %" PRIu64,
		 harm->file->name, what, where);
	cases++;
	bad = rot_world_look(&world, may_lose, tells(harm));
	found += bad;
	if (!bad && must_be_found(harm))
		ck_abort_msg("%s: is not found", world.about);
	if (!may_lose && cases % TREE_EVERY == 0)
		rot_world_look_tree(&world);
	if (cases % WRITE_EVERY == 0)
		rot_world_try_write(&world);
	/* Of a log without its end nobody knows that there was more. */
	if (cases % REPAIR_EVERY == 0 && (!may_lose || tells(harm)))
		rot_world_try_repair(&world, may_lose, bad);
}

/* ---- Places ---- */

/* The next place after `at`, of so many that `limit` of them are tried in the live
 * part, which ends at `live`. */
static uint64_t
place_after(uint64_t at, uint64_t live, uint64_t step_min, uint64_t unused_step)
{
	uint64_t step = live / points();

	if (at >= live)
		return at + unused_step;
	return at + (step > step_min ? step | 1 : step_min);
}

/* Of the whole file, unused parts too. */
static uint64_t
used(const struct rot_file *file)
{
	uint64_t end = file->size;

	while (end > file->live && !file->data[end - 1])
		end--;
	return end;
}

/* ---- Kinds of damage ---- */

static void
flip_bits(size_t i)
{
	const struct rot_file *file = file_at(i);
	uint64_t live = used(file) * 8, bit = 0;

	while (bit < file->size * 8) {
		struct harm harm = { file, bit / 8, bit / 8 + 1 };

		ck_assert_int_eq(fault_env_flip(world.disk, file->name, bit),
				 0);
		try_case(&harm, "bit flipped", bit);
		ck_assert_int_eq(fault_env_flip(world.disk, file->name, bit),
				 0);
		bit = place_after(bit, live, 1, UNUSED_STEP * 8 + 1);
	}
}

static void
cut_short(size_t i)
{
	const struct rot_file *file = file_at(i);
	uint64_t len = 0;

	while (len < file->size) {
		struct harm harm = { file, len, file->size };

		ck_assert_int_eq(fault_env_plant(world.disk, file->name,
						 file->data, len),
				 0);
		try_case(&harm, "cut short", len);
		len = place_after(len, used(file), 1, UNUSED_STEP * 8);
	}
	rot_world_mend(&world, i);
}

/* Writes a sector and tries it, unless it is what is there. */
static void
try_sector(const struct rot_file *file, uint64_t at, const uint8_t *sector,
	   size_t len, const char *what)
{
	struct harm harm = { file, at, at + len };

	while (len > 0 && sector[len - 1] == file->data[at + len - 1])
		len--;
	if (len == 0)
		return;
	harm.to = at + len;
	while (sector[harm.from - at] == file->data[harm.from])
		harm.from++;
	ck_assert_int_eq(fault_env_poke(world.disk, file->name, at, sector,
					len),
			 0);
	try_case(&harm, what, at);
	ck_assert_int_eq(fault_env_poke(world.disk, file->name, at,
					file->data + at, len),
			 0);
}

static void
zero_sectors(size_t i)
{
	static const uint8_t zeros[SECTOR];
	const struct rot_file *file = file_at(i);
	uint64_t at, left;

	for (at = 0; at < file->size; at += SECTOR) {
		left = file->size - at;
		try_sector(file, at, zeros, left < SECTOR ? left : SECTOR,
			   "sector zeroed");
	}
}

static void
age_sectors(size_t i)
{
	const struct rot_file *file = file_at(i);
	const struct rot_file *old = rot_image_find(&world.older, file->name);
	uint64_t at, left;

	if (!old)
		return;
	for (at = 0; at < file->size && at < old->size; at += SECTOR) {
		left = file->size < old->size ? file->size - at
					      : old->size - at;
		try_sector(file, at, old->data + at,
			   left < SECTOR ? left : SECTOR, "older sector");
	}
}

static void
lose(size_t i)
{
	struct harm harm = { file_at(i), 0, file_at(i)->size };

	ck_assert_int_eq(fault_env_remove(world.disk, harm.file->name), 0);
	try_case(&harm, "missing", 0);
	rot_world_mend(&world, i);
}

static void
append_garbage(size_t i)
{
	const struct rot_file *file = file_at(i);
	struct harm harm = { file, file->size, file->size + 700 };
	uint64_t state = 1;
	uint8_t *bytes = must_alloc(file->size + 700);

	memcpy(bytes, file->data, file->size);
	for (size_t j = 0; j < 700; j++)
		bytes[file->size + j] = (uint8_t)suite_random(&state);
	ck_assert_int_eq(fault_env_plant(world.disk, file->name, bytes,
					 file->size + 700),
			 0);
	try_case(&harm, "garbage behind", file->size);
	free(bytes);
	rot_world_mend(&world, i);
}

/* A copy of a file under a number that is free, above and below all others. */
static void
duplicate(size_t i)
{
	static const char *const numbers[] = { "000001", "000099", "900000" };
	const struct rot_file *file = file_at(i);
	const char *digits = strpbrk(file->name, "0123456789");
	struct harm harm = { file, file->size, file->size };
	char name[128];

	for (size_t n = 0; digits && n < 3; n++) {
		snprintf(name, sizeof(name), "%s", file->name);
		memcpy(name + (digits - file->name), numbers[n], 6);
		if (rot_image_find(&world.now, name))
			continue;
		ck_assert_int_eq(fault_env_plant(world.disk, name, file->data,
						 file->size),
				 0);
		try_case(&harm, "copied to number",
			 strtoull(numbers[n], NULL, 10));
		ck_assert_int_eq(fault_env_remove(world.disk, name), 0);
	}
}

/* The name's end says what a file is: ".sst", ".log". */
static bool
is_alike(const struct rot_file *a, const struct rot_file *b)
{
	const char *dot = strrchr(a->name, '.');

	return dot && strrchr(b->name, '.') &&
	       !strcmp(dot, strrchr(b->name, '.'));
}

static void
swap_with_next(size_t i)
{
	const struct rot_file *a = file_at(i), *b;
	struct harm harm = { a, 0, a->size };
	size_t j = i + 1;

	while (j < world.now.count && !is_alike(a, file_at(j)))
		j++;
	if (j == world.now.count)
		return;
	b = file_at(j);
	ck_assert_int_eq(fault_env_plant(world.disk, a->name, b->data, b->size),
			 0);
	ck_assert_int_eq(fault_env_plant(world.disk, b->name, a->data, a->size),
			 0);
	/* One of two logs may hold only what nobody had synced. */
	if (a->live || !b->live)
		try_case(&harm, "swapped with file", j);
	rot_world_mend_all(&world);
}

/* The whole file as it was before. */
static void
age_file(size_t i)
{
	const struct rot_file *file = file_at(i);
	const struct rot_file *old = rot_image_find(&world.older, file->name);
	struct harm harm = { file, file->size, file->size };
	uint64_t at = 0;

	if (!old)
		return;
	while (at < file->size && at < old->size &&
	       file->data[at] == old->data[at])
		at++;
	if (at < file->size)
		harm.from = at;
	ck_assert_int_eq(fault_env_plant(world.disk, file->name, old->data,
					 old->size),
			 0);
	try_case(&harm, "older file", at);
	rot_world_mend(&world, i);
}

static void (*const kinds[])(size_t i) = {
	flip_bits, cut_short,      zero_sectors, age_sectors,    lose,
	age_file,  append_garbage, duplicate,    swap_with_next,
};

#define KINDS (int)(sizeof(kinds) / sizeof(kinds[0]))

START_TEST(rot_is_noticed_or_harmless)
{
	for (size_t i = 0; i < world.now.count; i++)
		kinds[_i](i);
}
END_TEST

/* A test that finds nothing to damage would prove nothing. */
START_TEST(the_store_has_a_bit_of_everything)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };
	struct keyfs_store *opened;
	size_t logs = 0, tables = 0;

	for (size_t i = 0; i < world.now.count; i++) {
		logs += is_kind(file_at(i), ".log") && file_at(i)->live;
		tables += is_kind(file_at(i), ".sst") != 0;
	}
	ck_assert_uint_ge(logs, 2);
	ck_assert_uint_ge(tables, 4);
	ck_assert(rot_image_find(&world.now, ROT_DIR "/CURRENT"));
	ck_assert(rot_image_find(&world.now, ROT_DIR "/RESERVE"));
	ck_assert_int_eq(db_open(fault_env(world.disk), ROT_DIR, &world.options,
				 &opened),
			 0);
	ck_assert_int_eq(keyfs_stats_get(opened, &stats), 0);
	ck_assert_uint_gt(stats.level_tables[0], 0);
	ck_assert_uint_gt(stats.level_tables[KEYFS_LEVELS - 1], 0);
	ck_assert_int_eq(keyfs_close(opened), 0);
	ck_assert(!rot_world_look(&world, false, true));
	rot_world_look_tree(&world);
	rot_world_try_write(&world);
}
END_TEST

/* ---- One by one ---- */

/* Closes the store and takes its files. */
static void
close_and_take(struct rot_image *out)
{
	struct fault_env *left;

	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	left = fault_env_after(disk, FAULT_KEEP_ALL, 1);
	fault_env_free(disk);
	disk = left;
	rot_image_take(out, disk);
}

static int
open_again(void)
{
	struct keyfs_options options = db_kit_small();

	return db_kit_open_with(&options);
}

START_TEST(a_clean_close_says_where_the_logs_end)
{
	struct rot_image image;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	close_and_take(&image);
	for (size_t i = 0; i < image.count; i++) {
		struct rot_file *file = &image.files[i];

		/* Records and marks: all that tells that they were synced. */
		if (!is_kind(file, ".log"))
			continue;
		memset(file->data + WAL_HEADER_BYTES, 0,
		       file->size - WAL_HEADER_BYTES);
		ck_assert_int_eq(fault_env_plant(disk, file->name, file->data,
						 file->size),
				 0);
	}
	ck_assert_int_eq(open_again(), -EUCLEAN);
	rot_image_fini(&image);
}
END_TEST

START_TEST(an_old_manifest_is_told_from_the_live_one)
{
	struct rot_image old, new;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	close_and_take(&old);
	ck_assert_int_eq(open_again(), 0);
	ck_assert_int_eq(db_kit_put("b", "2"), 0);
	close_and_take(&new);
	for (size_t i = 0; i < old.count; i++)
		if (is_kind(&old.files[i], "CURRENT") ||
		    is_kind(&old.files[i], "MANIFEST"))
			ck_assert_int_eq(fault_env_plant(disk,
							 old.files[i].name,
							 old.files[i].data,
							 old.files[i].size),
					 0);
	ck_assert_int_eq(open_again(), -EUCLEAN);
	rot_image_fini(&old);
	rot_image_fini(&new);
}
END_TEST

START_TEST(a_store_without_its_lock_file_is_no_new_store)
{
	struct rot_image image;

	ck_assert_int_eq(db_kit_put("a", "1"), 0);
	close_and_take(&image);
	ck_assert_int_eq(fault_env_remove(disk, ROT_DIR "/LOCK"), 0);
	ck_assert_int_eq(open_again(), -EUCLEAN);
	ck_assert_int_eq(fault_env_plant(disk, ROT_DIR "/LOCK", "", 0), 0);
	ck_assert_int_eq(open_again(), 0);
	ck_assert_str_eq(db_kit_get("a"), "1");
	rot_image_fini(&image);
}
END_TEST

static TCase *
one_case(void)
{
	TCase *tcase = tcase_create("one by one");

	tcase_add_checked_fixture(tcase, db_kit_setup, db_kit_teardown);
	tcase_add_test(tcase, a_clean_close_says_where_the_logs_end);
	tcase_add_test(tcase, an_old_manifest_is_told_from_the_live_one);
	tcase_add_test(tcase, a_store_without_its_lock_file_is_no_new_store);
	return tcase;
}

static TCase *
rot_case(const char *name, void (*setup)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_set_timeout(tcase, 7200);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_store_has_a_bit_of_everything);
	tcase_add_loop_test(tcase, rot_is_noticed_or_harmless, 0, KINDS);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("rot");

	suite_add_tcase(suite, one_case());
	suite_add_tcase(suite, rot_case("closed", setup_closed));
	suite_add_tcase(suite, rot_case("died", setup_died));
	return suite_main(suite);
}
