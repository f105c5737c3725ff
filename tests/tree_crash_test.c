/* SPDX-License-Identifier: Apache-2.0 */
/* tree_crash_test.c - what a crash leaves is what some prefix of the operations made
 * (P2), each whole or not at all, and `echo x > f` counts as one (P3). */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"
#include "tests/tree_model.h"

#define CHUNK 16384u

static struct kv *kv;
static struct tree *tree;

static void
setup(void)
{
	kv = kv_mem_new();
	tree = kit_open(kv);
}

static void
teardown(void)
{
	kit_check(tree);
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
}

static char *
dump_after_crash(uint64_t version)
{
	struct kv *left = kv_mem_crash(kv, version);
	struct tree *after = kit_open(left);
	char *out = tree_dump(after);

	kit_check(after);
	kit_close(after);
	ck_assert_int_eq(kv_close(left), 0);
	return out;
}

/* Each commit of one operation leaves what was before it or what is after it; the
 * last one what is after. */
static void
check_prefixes(uint64_t from, const char *before, const char *after)
{
	uint64_t to = kv_mem_version(kv);
	bool done = false;

	for (uint64_t v = from + 1; v <= to; v++) {
		char *got = dump_after_crash(v);

		done = done || strcmp(got, before);
		dump_expect(got, done ? after : before);
		free(got);
	}
	if (!done)
		dump_expect(before, after);
}

START_TEST(every_crash_leaves_a_prefix_of_the_operations)
{
	struct tree_model *model = tree_model_new(suite_seed());
	char *before = tree_model_dump(model, true);

	for (int i = 0; i < 400; i++) {
		uint64_t from = kv_mem_version(kv);
		char *after;

		/* A sync logs what is held file by file, each of them a prefix of
		 * its own. */
		if (tree_model_step(model, tree, i % 8 == 0))
			from = kv_mem_version(kv) - 1;
		after = tree_model_dump(model, true);
		check_prefixes(from, before, after);
		free(before);
		before = after;
	}
	free(before);
	tree_model_free(model);
}
END_TEST

/* ---- Held truncations ---- */

/* What a crash now would leave in "f". */
static void
expect_after_crash(const char *text)
{
	struct kv *left = kv_mem_crash(kv, kv_mem_version(kv));
	struct tree *after = kit_open(left);

	ck_assert_str_eq(kit_read(after, kit_find(after, TREE_ROOT, "f")),
			 text);
	kit_close(after);
	ck_assert_int_eq(kv_close(left), 0);
}

static uint64_t
held_file(void)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	kit_write(tree, ino, 0, "old");
	kit_empty(tree, ino);
	return ino;
}

static int
size_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	(void)name;
	*(uint64_t *)arg = attr->size;
	return 0;
}

START_TEST(a_held_truncation_is_seen_everywhere_at_once)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), version, size = 7;
	struct tree_attr attr;

	kit_write(tree, ino, 0, "old");
	version = kv_mem_version(kv);
	kit_empty(tree, ino);
	ck_assert_uint_eq(kv_mem_version(kv), version);
	ck_assert_str_eq(kit_read(tree, ino), "");
	ck_assert_uint_eq(kit_attr(tree, ino).size, 0);
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 0);
	ck_assert_int_eq(tree_lookup(tree, &kit_user, TREE_ROOT, keyfs_str("f"),
				     &attr),
			 0);
	ck_assert_uint_eq(attr.size, 0);
	ck_assert_int_eq(tree_readdir(tree, &kit_user, TREE_ROOT,
				      (struct keyfs_slice){ 0 }, true,
				      size_each, &size),
			 0);
	ck_assert_uint_eq(size, 0);
	expect_after_crash("old");
}
END_TEST

START_TEST(a_truncation_and_the_write_after_it_are_one)
{
	uint64_t ino = held_file(), version = kv_mem_version(kv);

	kit_empty(tree, ino);
	kit_write(tree, ino, 0, "n");
	ck_assert_uint_eq(kv_mem_version(kv), version + 1);
	ck_assert_str_eq(kit_read(tree, ino), "n");
	expect_after_crash("n");
}
END_TEST

START_TEST(other_operations_pass_a_held_truncation)
{
	uint64_t ino = held_file(), g = kit_create(tree, TREE_ROOT, "g");

	kit_write(tree, g, 0, "other");
	expect_after_crash("old");
	ck_assert_str_eq(kit_read(tree, ino), "");
}
END_TEST

static void
change_chmod(uint64_t ino)
{
	struct tree_attr attr = { .mode = 0600 };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_MODE,
				      &attr, &attr),
			 0);
}

static void
change_rename(uint64_t ino)
{
	(void)ino;
	kit_rename(tree, TREE_ROOT, "f", TREE_ROOT, "g");
	kit_rename(tree, TREE_ROOT, "g", TREE_ROOT, "f");
}

static void
change_link(uint64_t ino)
{
	struct tree_attr attr;

	ck_assert_int_eq(tree_link(tree, &kit_user, ino, TREE_ROOT,
				   keyfs_str("g"), &attr),
			 0);
}

static void
change_sync(uint64_t ino)
{
	(void)ino;
	ck_assert_int_eq(tree_sync(tree), 0);
}

static void
change_truncate(uint64_t ino)
{
	kit_truncate(tree, ino, 0);
}

static void
change_reopen(uint64_t ino)
{
	(void)ino;
	kit_close(tree);
	tree = kit_open(kv);
}

START_TEST(any_other_change_logs_a_held_truncation)
{
	static void (*const changes[])(uint64_t ino) = {
		change_chmod, change_rename,   change_link,
		change_sync,  change_truncate, change_reopen
	};
	uint64_t ino = held_file();

	changes[_i](ino);
	ck_assert_str_eq(kit_read(tree, ino), "");
	expect_after_crash("");
}
END_TEST

START_TEST(a_write_that_fails_leaves_the_truncation_logged)
{
	uint64_t ino = held_file();

	atomic_store(&kv_mem_faults(kv)->full, true);
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, 0, keyfs_str("n")),
			 -ENOSPC);
	atomic_store(&kv_mem_faults(kv)->full, false);
	expect_after_crash("");
	ck_assert_str_eq(kit_read(tree, ino), "");
}
END_TEST

START_TEST(the_worker_logs_what_is_held_too_long)
{
	uint64_t ino;

	ck_assert_int_eq(tree_start(tree), 0);
	ino = held_file();
	expect_after_crash("old");
	nanosleep(&(struct timespec){ 0, 400000000 }, NULL);
	expect_after_crash("");
	ck_assert_str_eq(kit_read(tree, ino), "");
}
END_TEST

START_TEST(a_truncation_through_a_handle_is_not_held)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f");

	kit_write(tree, ino, 0, "old");
	kit_truncate(tree, ino, 0);
	expect_after_crash("");
}
END_TEST

START_TEST(truncating_what_is_empty_is_logged)
{
	struct tree_attr old = { .mtime = { 5, 0 } };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), version;

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_MTIME,
				      &old, &old),
			 0);
	version = kv_mem_version(kv);
	kit_empty(tree, ino);
	ck_assert_uint_eq(kv_mem_version(kv), version + 1);
	ck_assert_int_gt(kit_attr(tree, ino).mtime.tv_sec, 5);
}
END_TEST

/* ---- Large files ---- */

START_TEST(a_large_file_is_replaced_in_one_step)
{
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), version;

	kit_fill(tree, ino, 0, 700 * CHUNK, 'x');
	kit_empty(tree, ino);
	version = kv_mem_version(kv);
	kit_write(tree, ino, 0, "new");
	for (uint64_t v = version + 1; v <= kv_mem_version(kv); v++) {
		struct kv *left = kv_mem_crash(kv, v);
		struct tree *after = kit_open(left);
		uint64_t f = kit_find(after, TREE_ROOT, "f");

		kit_check(after);
		ck_assert_str_eq(kit_read(after, f), "new");
		/* What it was must not shine through. */
		kit_truncate(after, f, 700 * CHUNK);
		kit_expect(after, f, 3, 700 * CHUNK - 3, 0);
		kit_close(after);
		ck_assert_int_eq(kv_close(left), 0);
	}
	kit_check(tree);
	ck_assert_uint_lt(kit_count(kv), 20);
}
END_TEST

START_TEST(writes_take_stale_chunks_over)
{
	/* Where the first write after the truncation falls, in chunks. */
	static const unsigned at[] = { 0, 1, 63, 64, 65, 66, 150, 299, 300 };
	uint64_t ino = kit_create(tree, TREE_ROOT, "f"), version;
	struct kv *left;

	kit_fill(tree, ino, 0, 300 * CHUNK, 'x');
	version = kv_mem_version(kv);
	kit_truncate(tree, ino, 0);
	/* A crash before the chunks that were cut off are deleted. */
	left = kv_mem_crash(kv, version + 1);
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
	kv = left;
	tree = kit_open(kv);
	ck_assert_uint_gt(kit_count(kv), 300);
	kit_fill(tree, ino, at[_i] * CHUNK, CHUNK, 'y');
	kit_fill(tree, ino, (at[_i] + 2) * CHUNK + 5, 10, 'z');
	if (at[_i])
		kit_expect(tree, ino, 0, at[_i] * CHUNK, 0);
	kit_expect(tree, ino, at[_i] * CHUNK, CHUNK, 'y');
	kit_expect(tree, ino, (at[_i] + 1) * CHUNK, CHUNK + 5, 0);
	kit_truncate(tree, ino, 400 * CHUNK);
	kit_expect(tree, ino, (at[_i] + 3) * CHUNK, 90 * CHUNK, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tree_crash");
	TCase *tcase = tcase_create("crash");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, every_crash_leaves_a_prefix_of_the_operations);
	tcase_add_test(tcase, a_held_truncation_is_seen_everywhere_at_once);
	tcase_add_test(tcase, a_truncation_and_the_write_after_it_are_one);
	tcase_add_test(tcase, other_operations_pass_a_held_truncation);
	tcase_add_loop_test(tcase, any_other_change_logs_a_held_truncation, 0,
			    6);
	tcase_add_test(tcase, a_write_that_fails_leaves_the_truncation_logged);
	tcase_add_test(tcase, the_worker_logs_what_is_held_too_long);
	tcase_add_test(tcase, a_truncation_through_a_handle_is_not_held);
	tcase_add_test(tcase, truncating_what_is_empty_is_logged);
	tcase_add_test(tcase, a_large_file_is_replaced_in_one_step);
	tcase_add_loop_test(tcase, writes_take_stale_chunks_over, 0, 9);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
