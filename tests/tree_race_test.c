/* SPDX-License-Identifier: Apache-2.0 */
/* tree_race_test.c - threads that get in each other's way: every operation succeeds or
 * fails as it would alone, and no conflict comes out. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define CHUNK 16384u
#define THREADS 8

static struct kv *kv;
static struct tree *tree;
static uint64_t ino;

static void
setup(void)
{
	kv = kv_mem_new();
	tree = kit_open(kv);
	ck_assert_int_eq(tree_start(tree), 0);
	atomic_store(&kv_mem_faults(kv)->dither, 8);
}

static void
teardown(void)
{
	atomic_store(&kv_mem_faults(kv)->dither, 0);
	kit_check(tree);
	kit_close(tree);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
setup_lsm(void)
{
	kv = kit_lsm();
	tree = kit_open(kv);
	ck_assert_int_eq(tree_start(tree), 0);
}

static void
teardown_lsm(void)
{
	kit_check(tree);
	kit_close(tree);
	kit_lsm_close(kv);
}

/* Check's own calls are not for several threads: a thread returns its complaint. */
typedef const char *(*racer_fn)(int thread);

struct racer {
	pthread_t id;
	racer_fn run;
	int thread;
};

static void *
racer_start(void *arg)
{
	struct racer *racer = arg;

	return (void *)racer->run(racer->thread);
}

static void
race(const racer_fn *run, int count)
{
	struct racer racers[64];

	for (int i = 0; i < count; i++) {
		racers[i].run = run[i % 2];
		racers[i].thread = i;
		ck_assert_int_eq(pthread_create(&racers[i].id, NULL,
						racer_start, &racers[i]),
				 0);
	}
	for (int i = 0; i < count; i++) {
		void *complaint;

		pthread_join(racers[i].id, &complaint);
		if (complaint)
			ck_abort_msg("thread %d: %s", i,
				     (const char *)complaint);
	}
}

static void
race_all(racer_fn run, int count)
{
	race((const racer_fn[]){ run, run }, count);
}

/* ---- One file ---- */

static const char *
write_my_chunk(int thread)
{
	char *data = malloc(CHUNK);
	const char *complaint = NULL;

	memset(data, 'a' + thread % 26, CHUNK);
	if (tree_write(tree, &kit_user, ino, (uint64_t)thread * CHUNK,
		       keyfs_bytes(data, CHUNK)))
		complaint = "the write failed";
	free(data);
	return complaint;
}

/* The kernel writes a mapped file back like this. */
START_TEST(sixty_four_writes_of_one_file_all_succeed)
{
	ino = kit_create(tree, TREE_ROOT, "f");
	race_all(write_my_chunk, 64);
	for (unsigned i = 0; i < 64; i++)
		kit_expect(tree, ino, i * CHUNK, CHUNK, (char)('a' + i % 26));
	ck_assert_uint_eq(kit_attr(tree, ino).blocks, 64 * CHUNK / 512);
}
END_TEST

START_TEST(conflicts_of_the_engine_do_not_come_out)
{
	ino = kit_create(tree, TREE_ROOT, "f");
	atomic_store(&kv_mem_faults(kv)->conflicts, _i);
	race_all(write_my_chunk, 64);
	for (unsigned i = 0; i < 64; i++)
		kit_expect(tree, ino, i * CHUNK, CHUNK, (char)('a' + i % 26));
}
END_TEST

static const char *
write_hastily(int thread)
{
	struct tree_caller hasty = { .uid = 1000, .gid = 1000, .nowait = true };
	char data[100];
	int rc = -EAGAIN;

	memset(data, 'a' + thread, sizeof(data));
	for (int i = 0; i < 50; i++) {
		uint64_t at = (uint64_t)(thread * 50 + i) * sizeof(data);

		rc = tree_write(tree, &hasty, ino, at,
				keyfs_bytes(data, sizeof(data)));
		/* As the session does it: on a thread that may wait. */
		if (rc == -EAGAIN)
			rc = tree_write(tree, &kit_user, ino, at,
					keyfs_bytes(data, sizeof(data)));
		if (rc)
			return "the write failed";
	}
	return NULL;
}

START_TEST(writes_that_may_not_wait_lose_nothing)
{
	ino = kit_create(tree, TREE_ROOT, "f");
	race_all(write_hastily, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		kit_expect(tree, ino, i * 5000, 5000, (char)('a' + i));
}
END_TEST

/* ---- Names ---- */

static _Atomic int winners;

static const char *
create_the_same(int thread)
{
	(void)thread;
	for (int i = 0; i < 100; i++) {
		struct tree_attr attr;
		char name[16];
		int rc;

		snprintf(name, sizeof(name), "%d", i);
		rc = tree_mknod(tree, &kit_user, TREE_ROOT, keyfs_str(name),
				S_IFREG, 0, &attr);
		if (!rc)
			atomic_fetch_add(&winners, 1);
		else if (rc != -EEXIST)
			return "neither made nor there";
	}
	return NULL;
}

START_TEST(of_those_who_make_one_name_one_wins)
{
	atomic_store(&winners, 0);
	race_all(create_the_same, THREADS);
	ck_assert_int_eq(atomic_load(&winners), 100);
	ck_assert_uint_eq(kit_attr(tree, TREE_ROOT).size, 100);
}
END_TEST

static uint64_t dirs[2];

/* Each moves its directory below the other's, and back.  The two change different
 * inodes: only the count of moves tells one of the other.
 *
 *	x/a/c      mv x/a y/b/c/a
 *	y/b/c      mv y/b x/a/c/b
 */
static uint64_t homes[2], depths[2];

static bool
leads_to_root(uint64_t dir)
{
	struct tree_attr attr = { .ino = dir };

	for (int i = 0; i < 16 && attr.ino != TREE_ROOT; i++)
		if (tree_lookup(tree, &kit_user, attr.ino, keyfs_str(".."),
				&attr))
			return false;
	return attr.ino == TREE_ROOT;
}

static const char *
move_below_the_other(int thread)
{
	const char *name = thread % 2 ? "b" : "a";
	uint64_t home = homes[thread % 2], other = depths[!(thread % 2)];
	uint64_t gone_ino;
	bool gone;

	for (int i = 0; i < 150; i++) {
		int rc = tree_rename(tree, &kit_user, home, keyfs_str(name),
				     other, keyfs_str(name), 0, &gone_ino,
				     &gone);

		if (rc && rc != -EINVAL)
			return "moving in";
		if (rc)
			continue;
		if (!leads_to_root(other))
			return "a cycle";
		rc = tree_rename(tree, &kit_user, other, keyfs_str(name), home,
				 keyfs_str(name), 0, &gone_ino, &gone);
		if (rc)
			return "moving back";
	}
	return NULL;
}

START_TEST(two_moves_never_make_a_cycle)
{
	static const char *const names[2][2] = { { "x", "a" }, { "y", "b" } };

	for (int i = 0; i < 2; i++) {
		homes[i] = kit_mkdir(tree, TREE_ROOT, names[i][0]);
		depths[i] =
			kit_mkdir(tree, kit_mkdir(tree, homes[i], names[i][1]),
				  "c");
	}
	race_all(move_below_the_other, 2);
	kit_check(tree);
}
END_TEST

static const char *
make_and_remove(int thread)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", thread / 2);
	for (int i = 0; i < 150; i++) {
		struct tree_attr attr;
		uint64_t out_ino;
		bool gone;
		int rc = tree_mknod(tree, &kit_user, dirs[0], keyfs_str(name),
				    S_IFREG, 0, &attr);

		if (rc && rc != -EEXIST)
			return "making";
		rc = tree_link(tree, &kit_user, rc ? 1 : attr.ino, dirs[1],
			       keyfs_str(name), &attr);
		if (rc && rc != -EEXIST && rc != -ENOENT && rc != -EPERM)
			return "linking";
		rc = tree_rename(tree, &kit_user, dirs[0], keyfs_str(name),
				 dirs[1], keyfs_str(name), 0, &out_ino, &gone);
		if (rc && rc != -ENOENT)
			return "renaming";
		rc = tree_unlink(tree, &kit_user, dirs[i % 2], keyfs_str(name),
				 &out_ino, &gone);
		if (rc && rc != -ENOENT)
			return "unlinking";
	}
	return NULL;
}

START_TEST(counts_stay_right_whatever_comes_together)
{
	dirs[0] = kit_mkdir(tree, TREE_ROOT, "a");
	dirs[1] = kit_mkdir(tree, TREE_ROOT, "b");
	race_all(make_and_remove, THREADS);
	kit_check(tree);
}
END_TEST

/* ---- Held truncations ---- */

static _Atomic long truncated; /* values below have been cut off */
static _Atomic bool finished;

static const char *
replace_again_and_again(int thread)
{
	(void)thread;
	for (long n = 1; n <= 600; n++) {
		struct tree_attr attr = { .size = 0 };
		char text[24];

		if (tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE, &attr,
				 &attr))
			return "truncating";
		atomic_store(&truncated, n);
		snprintf(text, sizeof(text), "%ld", n);
		if (tree_write(tree, &kit_user, ino, 0, keyfs_str(text)))
			return "writing";
	}
	atomic_store(&finished, true);
	return NULL;
}

/* Contents that were cut off before the read began must not be seen. */
static const char *
read_again_and_again(int thread)
{
	struct tree_attr attr;

	(void)thread;
	while (!atomic_load(&finished)) {
		long cut = atomic_load(&truncated);
		char text[24] = { 0 };
		size_t len;

		if (tree_read(tree, &kit_user, ino, 0, sizeof(text) - 1, text,
			      &len))
			return "reading";
		if (len && strtol(text, NULL, 10) < cut)
			return "read what had been cut off";
		if (tree_lookup(tree, &kit_user, TREE_ROOT, keyfs_str("f"),
				&attr))
			return "looking up";
	}
	return NULL;
}

START_TEST(nobody_reads_what_was_cut_off)
{
	ino = kit_create(tree, TREE_ROOT, "f");
	kit_write(tree, ino, 0, "0");
	atomic_store(&truncated, 0);
	atomic_store(&finished, false);
	race((const racer_fn[]){ replace_again_and_again,
				 read_again_and_again },
	     2);
}
END_TEST

static const char *
sync_again_and_again(int thread)
{
	(void)thread;
	while (!atomic_load(&finished))
		if (tree_sync(tree))
			return "syncing";
	return NULL;
}

START_TEST(syncing_meanwhile_loses_nothing)
{
	char last[] = "600";

	ino = kit_create(tree, TREE_ROOT, "f");
	kit_write(tree, ino, 0, "0");
	atomic_store(&finished, false);
	race((const racer_fn[]){ replace_again_and_again,
				 sync_again_and_again },
	     2);
	ck_assert_str_eq(kit_read(tree, ino), last);
}
END_TEST

/* The worker deletes stale chunks while they are written over. */
static const char *
rewrite_large(int thread)
{
	uint64_t mine = dirs[thread % 2];
	char *data = malloc(64 * CHUNK);
	const char *complaint = NULL;

	for (int i = 0; i < 8 && !complaint; i++) {
		struct tree_attr attr = { .size = 0 };

		memset(data, 'a' + i, 64 * CHUNK);
		if (tree_setattr(tree, &kit_user, mine, TREE_SET_SIZE, &attr,
				 &attr))
			complaint = "truncating";
		for (uint64_t at = 0; at < 4 && !complaint; at++)
			if (tree_write(tree, &kit_user, mine,
				       (at * 37 % 4) * 64 * CHUNK,
				       keyfs_bytes(data, 64 * CHUNK)))
				complaint = "writing";
	}
	free(data);
	return complaint;
}

START_TEST(large_files_are_rewritten_while_the_old_chunks_go)
{
	dirs[0] = kit_create(tree, TREE_ROOT, "f");
	dirs[1] = kit_create(tree, TREE_ROOT, "g");
	race_all(rewrite_large, 2);
	for (int i = 0; i < 2; i++) {
		kit_expect(tree, dirs[i], 0, 256 * CHUNK, 'h');
		ck_assert_uint_eq(kit_attr(tree, dirs[i]).blocks,
				  256 * CHUNK / 512);
	}
}
END_TEST

static void
add_races(TCase *tcase)
{
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, sixty_four_writes_of_one_file_all_succeed);
	tcase_add_test(tcase, writes_that_may_not_wait_lose_nothing);
	tcase_add_test(tcase, of_those_who_make_one_name_one_wins);
	tcase_add_test(tcase, two_moves_never_make_a_cycle);
	tcase_add_test(tcase, counts_stay_right_whatever_comes_together);
	tcase_add_test(tcase, nobody_reads_what_was_cut_off);
	tcase_add_test(tcase, syncing_meanwhile_loses_nothing);
	tcase_add_test(tcase,
		       large_files_are_rewritten_while_the_old_chunks_go);
}

int
main(void)
{
	Suite *suite = suite_create("tree_race");
	TCase *mem = tcase_create("mem"), *lsm = tcase_create("lsm");

	tcase_add_checked_fixture(mem, setup, teardown);
	tcase_add_checked_fixture(lsm, setup_lsm, teardown_lsm);
	add_races(mem);
	tcase_add_loop_test(mem, conflicts_of_the_engine_do_not_come_out, 0, 5);
	add_races(lsm);
	suite_add_tcase(suite, mem);
	suite_add_tcase(suite, lsm);
	return suite_main(suite);
}
