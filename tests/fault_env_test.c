/* SPDX-License-Identifier: Apache-2.0 */
/* fault_env_test.c - the simulated disk loses, tears, fails and counts as it
 * says. */
#include <config.h>

#include "tests/fault_env.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/must.h"
#include "tests/suite.h"

static struct fault_env *disk;
static struct env_dir *dir;

static void
open_dir(void)
{
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
}

static void
setup(void)
{
	disk = fault_env_new(1);
	open_dir();
}

static void
teardown(void)
{
	env_dir_close(dir);
	fault_env_free(disk);
}

static void
reboot(enum fault_crash kind, uint64_t seed)
{
	fault_env_reboot(disk, kind, seed);
	env_dir_close(dir);
	open_dir();
}

static struct env_file *
create(const char *name)
{
	struct env_file *file;

	ck_assert_int_eq(env_file_open(dir, name, ENV_WRITE | ENV_CREATE,
				       &file),
			 0);
	return file;
}

static struct env_file *
create_durable(const char *name, const void *data, size_t len)
{
	struct env_file *file = create(name);

	ck_assert_int_eq(env_file_write(file, 0, data, len), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert(fault_env_synced(disk, name));
	return file;
}

static void
check_contents(const char *name, const char *expected)
{
	char buf[64] = { 0 };
	uint64_t size;

	ck_assert_int_eq(fault_env_size(disk, name, &size), 0);
	ck_assert_uint_eq(size, strlen(expected));
	ck_assert_int_eq(fault_env_peek(disk, name, 0, buf, size), 0);
	ck_assert_mem_eq(buf, expected, size);
}

static bool
exists(const char *name)
{
	uint64_t size;

	return fault_env_size(disk, name, &size) == 0;
}

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

static uint8_t *
map(struct env_file *file, size_t len)
{
	void *memory;

	ck_assert_int_eq(env_file_map(file, len, &memory), 0);
	return memory;
}

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
	fault_env_crash(disk);
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

/* ---- Faults ---- */

START_TEST(the_nth_call_fails_once)
{
	struct env_file *file = create("a");
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_WRITE),
					 .skip = 2,
					 .error = -EIO };

	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_file_write(file, 0, "a", 1), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert_int_eq(env_file_write(file, 0, "b", 1), 0);
	ck_assert_uint_eq(fault_env_failures(disk), 0);
	ck_assert_int_eq(env_file_write(file, 0, "c", 1), -EIO);
	ck_assert_uint_eq(fault_env_failures(disk), 1);
	check_contents("a", "b");
	ck_assert_int_eq(env_file_write(file, 0, "d", 1), 0);
	env_file_close(file);
}
END_TEST

START_TEST(a_rule_may_hold_for_ever_and_for_one_file)
{
	struct env_file *a = create("a.log"), *b = create("b.sst");
	const struct fault_rule rule = { .calls = FAULT_ANY,
					 .file = ".log",
					 .error = -ENOSPC,
					 .forever = true };
	struct env_file *none;

	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_file_write(a, 0, "a", 1), -ENOSPC);
	ck_assert_int_eq(env_file_sync(a), -ENOSPC);
	ck_assert_int_eq(env_file_open(dir, "a.log", ENV_READ, &none), -ENOSPC);
	ck_assert_int_eq(env_rename(dir, "b.sst", "b.log"), -ENOSPC);
	ck_assert_int_eq(env_file_write(b, 0, "a", 1), 0);
	fault_env_heal(disk);
	ck_assert_int_eq(env_file_write(a, 0, "a", 1), 0);
	env_file_close(a);
	env_file_close(b);
}
END_TEST

START_TEST(a_failing_write_may_have_written_a_part)
{
	struct env_file *file = create_durable("a", "oooooooo", 8);
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_WRITE),
					 .error = -EIO,
					 .forever = true,
					 .partial = true };
	unsigned seen = 0;
	char buf[8];

	fault_env_fail(disk, &rule);
	for (int i = 0; i < 100; i++) {
		unsigned n = 0;

		fault_env_poke(disk, "a", 0, "oooooooo", 8);
		ck_assert_int_eq(env_file_write(file, 0, "nnnnnnnn", 8), -EIO);
		fault_env_peek(disk, "a", 0, buf, 8);
		while (n < 8 && buf[n] == 'n')
			n++;
		seen |= 1u << n;
	}
	ck_assert_uint_eq(seen, 0x1ff);
	env_file_close(file);
}
END_TEST

START_TEST(a_failed_sync_may_forget_what_it_had_to_write)
{
	struct env_file *file = create_durable("a", "old", 3);
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
					 .error = -EIO,
					 .drop = true };

	ck_assert_int_eq(env_file_write(file, 0, "new", 3), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_file_sync(file), -EIO);
	ck_assert_int_eq(env_file_sync(file), 0);
	check_contents("a", "new");
	env_file_close(file);
	reboot(FAULT_KEEP_ALL, 1);
	check_contents("a", "old");
}
END_TEST

START_TEST(a_failed_sync_may_forget_mapped_pages)
{
	struct env_file *file = create_durable("a", "old", 3);
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
					 .error = -EIO,
					 .drop = true };
	uint8_t *memory = map(file, DISK_PAGE);

	memory[0] = 'O';
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_file_sync(file), -EIO);
	ck_assert_int_eq(env_file_sync(file), 0);
	env_file_unmap(file, memory, DISK_PAGE);
	env_file_close(file);
	reboot(FAULT_KEEP_ALL, 1);
	check_contents("a", "old");
}
END_TEST

START_TEST(the_power_goes_at_the_nth_call)
{
	struct env_file *file = create_durable("a", "old", 3);
	struct env_file *none;
	struct env_dir *no_dir;
	uint64_t size;

	fault_env_crash_at(disk, fault_env_calls(disk) + 1);
	ck_assert_int_eq(env_file_size(file, &size), 0);
	ck_assert(!fault_env_crashed(disk));
	ck_assert_int_eq(env_file_write(file, 0, "new", 3), -EIO);
	ck_assert(fault_env_crashed(disk));
	ck_assert_int_eq(env_file_sync(file), -EIO);
	ck_assert_int_eq(env_file_open(dir, "a", ENV_READ, &none), -EIO);
	ck_assert_int_eq(env_unlink(dir, "a"), -EIO);
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", 0, &no_dir),
			 -EIO);
	fault_env_reboot(disk, FAULT_KEEP_ALL, 1);
	check_contents("a", "new");
	ck_assert_int_eq(env_file_size(file, &size), -EIO);
	env_file_close(file);
}
END_TEST

START_TEST(the_call_that_loses_power_may_have_taken_effect)
{
	struct env_file *none;

	fault_env_crash_at(disk, fault_env_calls(disk));
	ck_assert_int_eq(env_file_open(dir, "a", ENV_WRITE | ENV_CREATE, &none),
			 -EIO);
	reboot(FAULT_KEEP_ALL, 1);
	ck_assert(exists("a"));
}
END_TEST

START_TEST(a_sync_that_loses_power_syncs_nothing)
{
	struct env_file *file = create_durable("a", "old", 3);

	ck_assert_int_eq(env_file_write(file, 0, "new", 3), 0);
	fault_env_crash_at(disk, fault_env_calls(disk));
	ck_assert_int_eq(env_file_sync(file), -EIO);
	env_file_close(file);
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "old");
}
END_TEST

START_TEST(a_full_disk_takes_what_fits)
{
	struct env_file *file = create("a"), *other = create("b");
	char page[DISK_PAGE + 1] = { 0 };
	struct env_space space;
	uint64_t size;

	fault_env_set_capacity(disk, 3 * DISK_PAGE);
	ck_assert_int_eq(env_file_write(file, 0, page, 1), 0);
	ck_assert_int_eq(env_dir_space(dir, &space), 0);
	ck_assert_uint_eq(space.total, 3 * DISK_PAGE);
	ck_assert_uint_eq(space.available, 2 * DISK_PAGE);
	ck_assert_int_eq(env_file_allocate(other, 0, 3 * DISK_PAGE), -ENOSPC);
	ck_assert_int_eq(env_file_truncate(other, 3 * DISK_PAGE), -ENOSPC);
	ck_assert_int_eq(env_file_truncate(other, 2 * DISK_PAGE), 0);
	ck_assert_int_eq(env_file_write(file, 100, page, sizeof(page)),
			 -ENOSPC);
	ck_assert_int_eq(env_file_size(file, &size), 0);
	ck_assert_uint_eq(size, DISK_PAGE);
	ck_assert_int_eq(env_file_write(file, 0, page, 100), 0);
	ck_assert_int_eq(env_unlink(dir, "b"), 0);
	env_file_close(other);
	ck_assert_int_eq(env_file_write(file, 100, page, sizeof(page)), 0);
	env_file_close(file);
}
END_TEST

/* ---- The rest ---- */

START_TEST(files_at_rest_can_be_damaged)
{
	uint8_t byte;

	env_file_close(create_durable("a", "abc", 3));
	ck_assert_int_eq(fault_env_flip(disk, "a", 8), 0);
	check_contents("a", "acc");
	reboot(FAULT_DROP_ALL, 1);
	check_contents("store/a", "acc");
	ck_assert_int_eq(fault_env_flip(disk, "a", 24), -EINVAL);
	ck_assert_int_eq(fault_env_peek(disk, "b", 0, &byte, 1), -ENOENT);
	ck_assert_int_eq(fault_env_plant(disk, "a", "planted", 7), 0);
	reboot(FAULT_DROP_ALL, 1);
	check_contents("a", "planted");
	ck_assert_int_eq(fault_env_plant(disk, "elsewhere/a", "", 0), -ENOENT);
}
END_TEST

START_TEST(locks_hold_until_closed_or_crashed)
{
	struct env_file *a = create("LOCK"), *b;

	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert_int_eq(env_file_open(dir, "LOCK", ENV_READ, &b), 0);
	ck_assert_int_eq(env_file_lock(a, true), 0);
	ck_assert_int_eq(env_file_lock(b, false), -EBUSY);
	ck_assert_int_eq(env_file_lock(a, false), 0);
	ck_assert_int_eq(env_file_lock(b, false), 0);
	ck_assert_int_eq(env_file_lock(b, true), -EBUSY);
	env_file_close(b);
	reboot(FAULT_KEEP_ALL, 1);
	ck_assert_int_eq(env_file_open(dir, "LOCK", ENV_READ, &b), 0);
	ck_assert_int_eq(env_file_lock(b, true), 0);
	env_file_close(a);
	ck_assert_int_eq(env_file_lock(b, true), 0);
	env_file_close(b);
}
END_TEST

START_TEST(the_clock_steps_and_chance_repeats)
{
	struct fault_env *twin = fault_env_new(1);
	char a[16], b[16];

	fault_env_set_clock(disk, 50, 7);
	ck_assert_uint_eq(env_now_ns(fault_env(disk)), 50);
	ck_assert_uint_eq(env_now_ns(fault_env(disk)), 57);
	ck_assert_int_eq(env_random(fault_env(disk), a, sizeof(a)), 0);
	ck_assert_int_eq(env_random(fault_env(twin), b, sizeof(b)), 0);
	ck_assert_mem_eq(a, b, sizeof(a));
	fault_env_free(twin);
}
END_TEST

START_TEST(a_cold_cache_answers_eagain)
{
	struct env_file *file = create_durable("a", "a", 1);
	size_t len;
	char c;

	ck_assert_int_eq(env_file_read(file, 0, &c, 1, true, &len), 0);
	fault_env_set_cold(disk, true);
	ck_assert_int_eq(env_file_read(file, 0, &c, 1, true, &len), -EAGAIN);
	ck_assert_int_eq(env_file_read(file, 0, &c, 1, false, &len), 0);
	env_file_close(file);
}
END_TEST

static void
watch(void *arg, enum fault_call call, const char *name, const char *to)
{
	bool *was_synced = arg;

	if (call == FAULT_UNLINK && strcmp(name, "old") == 0 && !to)
		*was_synced = fault_env_synced(disk, "new");
}

START_TEST(a_watcher_sees_what_is_durable_before_a_call)
{
	bool was_synced = true;

	env_file_close(create_durable("old", "1", 1));
	env_file_close(create("new"));
	fault_env_watch(disk, watch, &was_synced);
	ck_assert_int_eq(env_unlink(dir, "old"), 0);
	ck_assert(!was_synced);
	env_file_close(create("old"));
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert_int_eq(env_unlink(dir, "old"), 0);
	ck_assert(was_synced);
}
END_TEST

static int
count_file(void *arg, const char *name)
{
	unsigned *count = arg;

	ck_assert_int_eq(strncmp(name, "store/", 6), 0);
	(*count)++;
	return 0;
}

START_TEST(calls_are_counted_and_traced)
{
	struct env_file *file = create("a");
	uint64_t calls = fault_env_calls(disk);
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	unsigned files = 0;

	ck_assert_int_eq(env_file_write(file, 5, "abc", 3), 0);
	ck_assert_int_eq(env_rename(dir, "a", "b"), 0);
	ck_assert_uint_eq(fault_env_calls(disk), calls + 2);
	ck_assert_uint_eq(fault_env_count(disk, FAULT_RENAME), 1);
	ck_assert_uint_eq(fault_env_handles(disk), 2);
	fault_env_trace(disk, out);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "write     a at 5 len 3 = 0\n"));
	ck_assert_ptr_nonnull(strstr(text, "rename    a -> b = 0\n"));
	free(text);
	ck_assert_int_eq(fault_env_each(disk, count_file, &files), 0);
	ck_assert_uint_eq(files, 1);
	env_file_close(file);
}
END_TEST

static void *
write_a_file(void *arg)
{
	char name[2] = { *(const char *)arg, '\0' };
	struct env_file *file = create(name);
	uint8_t *memory;

	ck_assert_int_eq(env_file_allocate(file, 0, DISK_PAGE), 0);
	memory = map(file, DISK_PAGE);
	for (unsigned i = 0; i < 200; i++) {
		memory[i] = 1;
		ck_assert_int_eq(env_file_write(file, i + 200, "x", 1), 0);
		ck_assert_int_eq(env_file_sync(file), 0);
	}
	env_file_unmap(file, memory, DISK_PAGE);
	env_file_close(file);
	return NULL;
}

START_TEST(threads_may_use_it_at_once)
{
	static const char names[] = "abcd";
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_a_file,
						(void *)&names[i]),
				 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	for (int i = 0; i < 4; i++) {
		char name[2] = { names[i], '\0' };

		ck_assert(fault_env_synced(disk, name));
	}
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
	tcase_add_test(tcase, a_removed_file_lives_while_a_handle_is_open);
	tcase_add_test(tcase, a_subset_keeps_writes_in_any_order);
	tcase_add_test(tcase, a_subset_never_puts_an_older_write_over_a_newer);
	tcase_add_test(tcase,
		       a_subset_keeps_a_prefix_of_what_happened_to_a_name);
	tcase_add_test(tcase, the_last_write_is_torn_at_a_sector);
	tcase_add_test(tcase, a_lost_extension_shows_zeros);
	tcase_add_test(tcase, a_lost_extension_shows_a_removed_file);
	tcase_add_test(tcase, a_truncation_is_durable_with_the_sync);
	tcase_add_test(tcase, the_same_seed_finds_the_same_disk);
	tcase_add_test(tcase,
		       stores_through_a_mapping_are_durable_after_a_sync);
	tcase_add_test(tcase, stores_after_the_power_went_do_not_count);
	tcase_add_test(tcase, mapped_pages_are_lost_one_by_one);
	tcase_add_test(tcase, a_mapping_stays_in_place_while_the_file_grows);
	return tcase;
}

static TCase *
fault_cases(void)
{
	TCase *tcase = tcase_create("faults");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_nth_call_fails_once);
	tcase_add_test(tcase, a_rule_may_hold_for_ever_and_for_one_file);
	tcase_add_test(tcase, a_failing_write_may_have_written_a_part);
	tcase_add_test(tcase, a_failed_sync_may_forget_what_it_had_to_write);
	tcase_add_test(tcase, a_failed_sync_may_forget_mapped_pages);
	tcase_add_test(tcase, the_power_goes_at_the_nth_call);
	tcase_add_test(tcase, the_call_that_loses_power_may_have_taken_effect);
	tcase_add_test(tcase, a_sync_that_loses_power_syncs_nothing);
	tcase_add_test(tcase, a_full_disk_takes_what_fits);
	return tcase;
}

static TCase *
other_cases(void)
{
	TCase *tcase = tcase_create("looking");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, files_at_rest_can_be_damaged);
	tcase_add_test(tcase, locks_hold_until_closed_or_crashed);
	tcase_add_test(tcase, the_clock_steps_and_chance_repeats);
	tcase_add_test(tcase, a_cold_cache_answers_eagain);
	tcase_add_test(tcase, a_watcher_sees_what_is_durable_before_a_call);
	tcase_add_test(tcase, calls_are_counted_and_traced);
	tcase_add_test(tcase, threads_may_use_it_at_once);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("fault_env");

	suite_add_tcase(suite, crash_cases());
	suite_add_tcase(suite, fault_cases());
	suite_add_tcase(suite, other_cases());
	return suite_main(suite);
}
