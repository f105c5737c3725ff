/* SPDX-License-Identifier: Apache-2.0 */
/* fault_disk_test.c - what a power cut leaves on the simulated disk, and stores
 * through mappings. */
#include <config.h>

#include <errno.h>

#include "tests/fault_fixture.h"

/* ---- What a crash leaves ---- */

START_TEST(unsynced_bytes_are_lost_or_kept_as_told)
{
	struct env_file *file = create_durable("a", "old", 3);

	ck_assert_int_eq(env_file_write(file, 0, "new and more", 12), 0);
	ck_assert(!fault_env_synced(disk, "a"));
	check_contents("a", "new and more");
	fault_env_crash(disk);
	for (int kind = 0; kind < 2; kind++) {
		struct fault_env *after =
			fault_env_after(disk, (enum fault_crash)kind, 1);
		struct fault_env *before = disk;

		disk = after;
		check_contents("a",
			       kind == FAULT_DROP_ALL ? "old" : "new and more");
		disk = before;
		fault_env_free(after);
	}
	env_file_close(file);
}
END_TEST

START_TEST(contents_and_names_are_durable_apart)
{
	struct env_file *synced = create("synced"), *named = create("named");

	ck_assert_int_eq(env_file_write(named, 0, "x", 1), 0);
	ck_assert_int_eq(env_unlink(dir, "synced"), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	env_file_close(synced);
	synced = create("synced");
	ck_assert_int_eq(env_file_write(synced, 0, "x", 1), 0);
	ck_assert_int_eq(env_file_sync(synced), 0);
	ck_assert(!fault_env_synced(disk, "synced"));
	ck_assert(!fault_env_name_synced(disk, "synced"));
	ck_assert_uint_eq(fault_env_unsynced_bytes(disk, "synced"), 0);
	ck_assert(fault_env_name_synced(disk, "named"));
	ck_assert_uint_eq(fault_env_unsynced_bytes(disk, "named"), 1);
	ck_assert(!fault_env_name_synced(disk, "absent"));
	ck_assert(!fault_env_synced(disk, "named"));
	env_file_close(synced);
	env_file_close(named);
	reboot(FAULT_DROP_ALL, 1);
	ck_assert(!exists("synced"));
	check_contents("named", "");
}
END_TEST

START_TEST(unsynced_renames_and_removals_are_undone)
{
	env_file_close(create_durable("a", "a", 1));
	env_file_close(create_durable("b", "b", 1));
	env_file_close(create_durable("c", "c", 1));
	ck_assert_int_eq(env_rename(dir, "a", "b"), 0);
	ck_assert_int_eq(env_unlink(dir, "c"), 0);
	ck_assert(!fault_env_synced(disk, "b"));
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "a");
	check_contents("b", "b");
	check_contents("c", "c");
	ck_assert_int_eq(env_rename(dir, "a", "b"), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	reboot(FAULT_DROP_ALL, 1);
	ck_assert(!exists("a"));
	check_contents("b", "a");
}
END_TEST

START_TEST(names_can_be_lost_while_contents_stay)
{
	struct env_file *file = create_durable("a", "old", 3);

	ck_assert_int_eq(env_file_write(file, 0, "new", 3), 0);
	env_file_close(file);
	file = create("b");
	env_file_close(file);
	ck_assert_int_eq(env_rename(dir, "a", "c"), 0);
	reboot(FAULT_LOSE_NAMES, 1);
	check_contents("a", "new");
	ck_assert(!exists("b") && !exists("c"));
}
END_TEST

/* The next process sees it all, and a power cut takes away what was not synced. */
START_TEST(the_death_of_a_process_makes_nothing_durable)
{
	struct env_file *file = create_durable("a", "old", 3);
	struct env_file *mapped = create_durable("m", "0123456789", 10);
	uint8_t *memory = map(mapped, 4096);

	ck_assert_int_eq(env_file_write(file, 0, "new", 3), 0);
	env_file_close(create("b"));
	memory[0] = 'x';
	fault_env_crash(disk);
	memory[1] = 'y';
	env_file_unmap(mapped, memory, 4096);
	env_file_close(mapped);
	env_file_close(file);
	reboot(FAULT_PROCESS_DIED, 1);
	check_contents("a", "new");
	check_contents("m", "x123456789");
	ck_assert(exists("b"));
	ck_assert(!fault_env_synced(disk, "a"));
	ck_assert(!fault_env_synced(disk, "m"));
	ck_assert(!fault_env_name_synced(disk, "b"));
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "old");
	check_contents("m", "0123456789");
	ck_assert(!exists("b"));
}
END_TEST

START_TEST(a_removed_file_lives_while_a_handle_is_open)
{
	struct env_file *file = create_durable("a", "abc", 3);
	char buf[3];
	size_t len;

	ck_assert_int_eq(env_unlink(dir, "a"), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert_int_eq(env_file_read(file, 0, buf, 3, false, &len), 0);
	ck_assert_mem_eq(buf, "abc", 3);
	ck_assert_uint_eq(fault_env_used(disk), DISK_PAGE);
	env_file_close(file);
	ck_assert_uint_eq(fault_env_used(disk), 0);
}
END_TEST

/* Over many seeds each write of a file is there and not there, alone and with
 * others, and nothing but old and new bytes is seen. */
START_TEST(a_subset_keeps_writes_in_any_order)
{
	unsigned seen = 0;
	char sector[DISK_SECTOR * 3], c[3];

	memset(sector, 'o', sizeof(sector));
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct env_file *file =
			create_durable("a", sector, sizeof(sector));
		unsigned state = 0;

		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(env_file_write(file, i * DISK_SECTOR,
							"n", 1),
					 0);
		env_file_close(file);
		reboot(FAULT_SUBSET, seed);
		for (unsigned i = 0; i < 3; i++) {
			ck_assert_int_eq(fault_env_peek(disk, "a",
							i * DISK_SECTOR, &c[i],
							1),
					 0);
			ck_assert(c[i] == 'o' || c[i] == 'n');
			state |= c[i] == 'n' ? 1u << i : 0;
		}
		seen |= 1u << state;
		ck_assert_int_eq(fault_env_remove(disk, "a"), 0);
	}
	ck_assert_uint_eq(seen, 0xff);
}
END_TEST

START_TEST(a_subset_never_puts_an_older_write_over_a_newer)
{
	char c;

	for (uint64_t seed = 0; seed < 50; seed++) {
		struct env_file *file = create_durable("a", "0000", 4);
		char first, second;

		ck_assert_int_eq(env_file_write(file, 0, "11", 2), 0);
		ck_assert_int_eq(env_file_write(file, 1, "22", 2), 0);
		env_file_close(file);
		reboot(FAULT_SUBSET, seed);
		fault_env_peek(disk, "a", 0, &first, 1);
		fault_env_peek(disk, "a", 1, &second, 1);
		fault_env_peek(disk, "a", 2, &c, 1);
		/* 0000, 1100 or 1220: the same sector holds both. */
		ck_assert((first == '0' && second == '0' && c == '0') ||
			  (first == '1' && second == '1' && c == '0') ||
			  (first == '1' && second == '2' && c == '2'));
		ck_assert_int_eq(fault_env_remove(disk, "a"), 0);
	}
}
END_TEST

START_TEST(a_subset_keeps_a_prefix_of_what_happened_to_a_name)
{
	unsigned seen = 0;

	for (uint64_t seed = 0; seed < 100; seed++) {
		env_file_close(create("tmp"));
		ck_assert_int_eq(env_rename(dir, "tmp", "a"), 0);
		ck_assert_int_eq(env_unlink(dir, "a"), 0);
		env_file_close(create("other"));
		reboot(FAULT_SUBSET, seed);
		ck_assert(!(exists("tmp") && exists("a")));
		seen |= 1u << (exists("tmp") + exists("a") * 2 +
			       exists("other") * 4);
		(void)fault_env_remove(disk, "tmp");
		(void)fault_env_remove(disk, "a");
		(void)fault_env_remove(disk, "other");
	}
	/* Nothing, tmp or a; each with and without the other file. */
	ck_assert_uint_eq(seen, 0x77);
}
END_TEST

START_TEST(the_last_write_is_torn_at_a_sector)
{
	char data[DISK_SECTOR * 4], found[sizeof(data)];
	unsigned seen = 0;

	for (uint64_t seed = 0; seed < 50; seed++) {
		struct env_file *file;
		unsigned sectors = 0;

		memset(data, 'o', sizeof(data));
		file = create_durable("a", data, sizeof(data));
		memset(data, 'n', sizeof(data));
		ck_assert_int_eq(env_file_write(file, 0, data, sizeof(data)),
				 0);
		env_file_close(file);
		reboot(FAULT_TEAR_LAST, seed);
		fault_env_peek(disk, "a", 0, found, sizeof(found));
		while (sectors < 4 && found[sectors * DISK_SECTOR] == 'n')
			sectors++;
		for (size_t i = 0; i < sizeof(found); i++)
			ck_assert_int_eq(found[i],
					 i < sectors * DISK_SECTOR ? 'n' : 'o');
		seen |= 1u << sectors;
		ck_assert_int_eq(fault_env_remove(disk, "a"), 0);
	}
	ck_assert_uint_eq(seen, 0xf); /* never the whole */
}
END_TEST

START_TEST(a_lost_extension_shows_zeros)
{
	struct env_file *file = create_durable("a", "abc", 3);
	char buf[5];

	ck_assert_int_eq(env_file_write(file, 2, "CDE", 3), 0);
	env_file_close(file);
	reboot(FAULT_ZERO_TAIL, 1);
	ck_assert_int_eq(fault_env_peek(disk, "a", 0, buf, 5), 0);
	ck_assert_mem_eq(buf, "abC\0\0", 5);
}
END_TEST

START_TEST(a_lost_extension_shows_a_removed_file)
{
	struct env_file *file;
	char buf[8];

	env_file_close(create_durable("gone", "SECRETS!", 8));
	ck_assert_int_eq(env_unlink(dir, "gone"), 0);
	file = create_durable("a", "abc", 3);
	ck_assert_int_eq(env_file_write(file, 3, "defgh", 5), 0);
	env_file_close(file);
	reboot(FAULT_GARBAGE_TAIL, 1);
	ck_assert_int_eq(fault_env_peek(disk, "a", 0, buf, 8), 0);
	ck_assert_mem_eq(buf, "abcRETS!", 8);
}
END_TEST

START_TEST(a_truncation_is_durable_with_the_sync)
{
	struct env_file *file = create_durable("a", "abcdef", 6);
	char buf[5];

	ck_assert_int_eq(env_file_truncate(file, 2), 0);
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "abcdef");
	env_file_close(file);
	ck_assert_int_eq(env_file_open(dir, "a", ENV_WRITE, &file), 0);
	ck_assert_int_eq(env_file_truncate(file, 2), 0);
	ck_assert_int_eq(env_file_write(file, 4, "E", 1), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	env_file_close(file);
	reboot(FAULT_DROP_ALL, 1);
	ck_assert_int_eq(fault_env_peek(disk, "a", 0, buf, 5), 0);
	ck_assert_mem_eq(buf, "ab\0\0E", 5);
}
END_TEST

START_TEST(an_unsynced_truncation_leaves_zeros_behind_it)
{
	struct env_file *file = create_durable("a", "abcdef", 6);
	char buf[5];

	ck_assert_int_eq(env_file_truncate(file, 2), 0);
	ck_assert_int_eq(env_file_write(file, 4, "E", 1), 0);
	env_file_close(file);
	reboot(FAULT_KEEP_ALL, 1);
	ck_assert_int_eq(fault_env_peek(disk, "a", 0, buf, 5), 0);
	ck_assert_mem_eq(buf, "ab\0\0E", 5);
}
END_TEST

START_TEST(a_lost_rename_keeps_its_file_from_being_replaced)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		char a = 0, b = 0;

		env_file_close(create_durable("a", "o", 1));
		ck_assert_int_eq(env_rename(dir, "a", "b"), 0);
		env_file_close(create("a"));
		reboot(FAULT_SUBSET, seed);
		(void)fault_env_peek(disk, "a", 0, &a, 1);
		(void)fault_env_peek(disk, "b", 0, &b, 1);
		ck_assert((a == 'o') != (b == 'o'));
		(void)fault_env_remove(disk, "a");
		(void)fault_env_remove(disk, "b");
	}
}
END_TEST

START_TEST(the_same_seed_finds_the_same_disk)
{
	char page[DISK_PAGE], a[sizeof(page)], b[sizeof(page)];
	struct env_file *file = create_durable("a", "", 0);
	uint64_t state = 7, size;

	for (int i = 0; i < 20; i++) {
		memset(page, 'a' + i, sizeof(page));
		ck_assert_int_eq(env_file_write(file,
						suite_random(&state) % 3000,
						page,
						suite_random(&state) % 1000),
				 0);
	}
	fault_env_crash(disk);
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct fault_env *one =
			fault_env_after(disk, FAULT_SUBSET, seed);
		struct fault_env *two =
			fault_env_after(disk, FAULT_SUBSET, seed);

		ck_assert_int_eq(fault_env_size(one, "a", &size), 0);
		ck_assert_int_eq(fault_env_peek(one, "a", 0, a, size), 0);
		ck_assert_int_eq(fault_env_peek(two, "a", 0, b, size), 0);
		ck_assert_mem_eq(a, b, size);
		fault_env_free(one);
		fault_env_free(two);
	}
	env_file_close(file);
}
END_TEST

/* ---- Mappings ---- */

START_TEST(stores_through_a_mapping_are_durable_after_a_sync)
{
	struct env_file *file = create_durable("a", "abcd", 4);
	uint8_t *memory = map(file, DISK_PAGE);

	memory[0] = 'A';
	check_contents("a", "Abcd");
	ck_assert(!fault_env_synced(disk, "a"));
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert(fault_env_synced(disk, "a"));
	memory[1] = 'B';
	env_file_unmap(file, memory, DISK_PAGE);
	env_file_close(file);
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "Abcd");
}
END_TEST

START_TEST(stores_after_the_power_went_do_not_count)
{
	struct env_file *file = create_durable("a", "abcd", 4);
	uint8_t *memory = map(file, DISK_PAGE);

	memory[0] = 'A';
	fault_env_crash_at(disk, fault_env_calls(disk));
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	memory[1] = 'B';
	fault_env_reboot(disk, FAULT_KEEP_ALL, 1);
	memory[2] = 'C';
	check_contents("a", "Abcd");
	env_file_unmap(file, memory, DISK_PAGE);
	env_file_close(file);
}
END_TEST

START_TEST(mapped_pages_are_lost_one_by_one)
{
	unsigned seen = 0;
	uint8_t c[2];

	for (uint64_t seed = 0; seed < 100; seed++) {
		struct env_file *file = create("a");
		uint8_t *memory;

		ck_assert_int_eq(env_file_allocate(file, 0, 2 * DISK_PAGE), 0);
		ck_assert_int_eq(env_file_sync(file), 0);
		ck_assert_int_eq(env_dir_sync(dir), 0);
		memory = map(file, 2 * DISK_PAGE);
		memory[0] = 1;
		memory[DISK_PAGE] = 1;
		fault_env_reboot(disk, FAULT_SUBSET, seed);
		env_file_unmap(file, memory, 2 * DISK_PAGE);
		env_file_close(file);
		env_dir_close(dir);
		open_dir();
		fault_env_peek(disk, "a", 0, &c[0], 1);
		fault_env_peek(disk, "a", DISK_PAGE, &c[1], 1);
		seen |= 1u << (c[0] + 2 * c[1]);
		ck_assert_int_eq(fault_env_remove(disk, "a"), 0);
	}
	ck_assert_uint_eq(seen, 0xf);
}
END_TEST

START_TEST(a_mapping_stays_in_place_while_the_file_grows)
{
	struct env_file *file = create("a");
	uint8_t *memory = map(file, 1 << 20), *again;
	char c = 0;
	size_t len;

	ck_assert_int_eq(env_file_allocate(file, 0, 100000), 0);
	memory[99999] = 'x';
	again = map(file, 1 << 20);
	ck_assert_int_eq(again[99999], 'x');
	ck_assert_int_eq(env_file_read(file, 99999, &c, 1, false, &len), 0);
	ck_assert_int_eq(c, 'x');
	ck_assert_int_eq(env_file_write(file, 0, "y", 1), 0);
	ck_assert_int_eq(memory[0], 'y');
	env_file_unmap(file, memory, 1 << 20);
	env_file_unmap(file, again, 1 << 20);
	env_file_close(file);
}
END_TEST

static TCase *
crash_cases(void)
{
	TCase *tcase = tcase_create("crashes");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, unsynced_bytes_are_lost_or_kept_as_told);
	tcase_add_test(tcase, contents_and_names_are_durable_apart);
	tcase_add_test(tcase, unsynced_renames_and_removals_are_undone);
	tcase_add_test(tcase, names_can_be_lost_while_contents_stay);
	tcase_add_test(tcase, the_death_of_a_process_makes_nothing_durable);
	tcase_add_test(tcase, a_removed_file_lives_while_a_handle_is_open);
	tcase_add_test(tcase, a_subset_keeps_writes_in_any_order);
	tcase_add_test(tcase, a_subset_never_puts_an_older_write_over_a_newer);
	tcase_add_test(tcase,
		       a_subset_keeps_a_prefix_of_what_happened_to_a_name);
	tcase_add_test(tcase, the_last_write_is_torn_at_a_sector);
	tcase_add_test(tcase, a_lost_extension_shows_zeros);
	tcase_add_test(tcase, a_lost_extension_shows_a_removed_file);
	tcase_add_test(tcase, a_truncation_is_durable_with_the_sync);
	tcase_add_test(tcase, an_unsynced_truncation_leaves_zeros_behind_it);
	tcase_add_test(tcase, a_lost_rename_keeps_its_file_from_being_replaced);
	tcase_add_test(tcase, the_same_seed_finds_the_same_disk);
	tcase_add_test(tcase,
		       stores_through_a_mapping_are_durable_after_a_sync);
	tcase_add_test(tcase, stores_after_the_power_went_do_not_count);
	tcase_add_test(tcase, mapped_pages_are_lost_one_by_one);
	tcase_add_test(tcase, a_mapping_stays_in_place_while_the_file_grows);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("fault_disk");

	suite_add_tcase(suite, crash_cases());
	return suite_main(suite);
}
