/* SPDX-License-Identifier: Apache-2.0 */
/* fault_env_test.c - the simulated disk fails, counts and can be looked at as it
 * says. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/fault_fixture.h"

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

START_TEST(a_failed_sync_may_leave_a_size_without_its_bytes)
{
	struct env_file *file = create_durable("a", "old", 3);
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
					 .error = -EIO,
					 .drop = true };
	char buf[5];

	ck_assert_int_eq(env_file_write(file, 3, "er", 2), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_file_sync(file), -EIO);
	ck_assert_int_eq(env_file_sync(file), 0);
	env_file_close(file);
	reboot(FAULT_KEEP_ALL, 1);
	ck_assert_int_eq(fault_env_peek(disk, "a", 0, buf, 5), 0);
	ck_assert_mem_eq(buf, "old\0\0", 5);
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

START_TEST(a_failed_sync_may_forget_names)
{
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_DIR_SYNC),
					 .error = -EIO,
					 .drop_names = true };

	env_file_close(create_durable("a", "a", 1));
	env_file_close(create("b"));
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(env_dir_sync(dir), -EIO);
	ck_assert(exists("b"));
	/* The next process: an open directory does not forget the error. */
	env_dir_close(dir);
	open_dir();
	env_file_close(create("c"));
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert(fault_env_name_synced(disk, "c"));
	ck_assert(!fault_env_name_synced(disk, "b"));
	reboot(FAULT_DROP_ALL, 1);
	ck_assert(exists("a") && exists("c"));
	ck_assert(!exists("b"));
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
fault_cases(void)
{
	TCase *tcase = tcase_create("faults");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_nth_call_fails_once);
	tcase_add_test(tcase, a_rule_may_hold_for_ever_and_for_one_file);
	tcase_add_test(tcase, a_failing_write_may_have_written_a_part);
	tcase_add_test(tcase, a_failed_sync_may_forget_what_it_had_to_write);
	tcase_add_test(tcase, a_failed_sync_may_leave_a_size_without_its_bytes);
	tcase_add_test(tcase, a_failed_sync_may_forget_mapped_pages);
	tcase_add_test(tcase, a_failed_sync_may_forget_names);
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

	suite_add_tcase(suite, fault_cases());
	suite_add_tcase(suite, other_cases());
	return suite_main(suite);
}
