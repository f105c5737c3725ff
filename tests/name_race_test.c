/* SPDX-License-Identifier: Apache-2.0 */
/* name_race_test.c - eight threads on the names of one directory: all that they see
 * can be told as one operation after the other (history.h).  On the tree over both
 * engines, and through the kernel on a real mount, where in the end no inode may be
 * counted that the kernel has given back.
 *
 * KEYFS_TEST_RACE_SECONDS is how long each of the three goes on; without it they do a
 * number of rounds. */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/history.h"
#include "tests/kv_mem.h"
#include "tests/mounted.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define THREADS 8u
#define OPS 6u
#define ROUNDS 150u
/* The engine in memory keeps every version: it is made anew after so many rounds. */
#define ROUNDS_PER_STORE 500u
/* Superblock, numbers, totals, and the root's attributes. */
#define KEYS_OF_AN_EMPTY_TREE 4u

_Static_assert(THREADS *OPS <= HISTORY_MAX, "a round is one history");

/* ---- The checker itself ---- */

static const struct history_state empty;

static struct history_op
op_at(enum history_kind kind, unsigned name, uint64_t ino, uint64_t called,
      uint64_t answered)
{
	return (struct history_op){ .kind = kind,
				    .name = name,
				    .ino = ino,
				    .called = called,
				    .answered = answered };
}

START_TEST(an_order_is_found_where_there_is_one)
{
	struct history_state end = { .inos = { 0, 7 } };
	struct history_op ops[] = { op_at(HISTORY_CREATE, 0, 7, 1, 2),
				    op_at(HISTORY_RENAME, 0, 0, 3, 8),
				    op_at(HISTORY_LOOKUP, 0, 7, 4, 5),
				    op_at(HISTORY_LOOKUP, 1, 7, 6, 7) };

	ops[1].to = 1;
	ck_assert(history_explain(ops, 4, &empty, &end));
	ck_assert(!history_explain(ops, 4, &empty, &empty));
}
END_TEST

START_TEST(a_name_that_comes_back_is_not_explained)
{
	struct history_op ops[] = { op_at(HISTORY_CREATE, 0, 7, 1, 2),
				    op_at(HISTORY_UNLINK, 0, 7, 3, 9),
				    op_at(HISTORY_LOOKUP, 0, 0, 4, 5),
				    op_at(HISTORY_LOOKUP, 0, 7, 6, 7) };

	ops[1].gone = true;
	ops[2].error = -ENOENT;
	ck_assert(!history_explain(ops, 4, &empty, &empty));
	ops[3].called = 4;
	ck_assert(history_explain(ops, 4, &empty, &empty));
}
END_TEST

START_TEST(a_rename_seen_by_halves_is_not_explained)
{
	struct history_state start = { .inos = { 7 } },
			     end = { .inos = { 0, 7 } };
	struct history_op ops[] = { op_at(HISTORY_RENAME, 0, 0, 1, 9),
				    op_at(HISTORY_LIST, 0, 0, 2, 3) };

	ops[0].to = 1;
	ops[1].state = start;
	ck_assert(history_explain(ops, 2, &start, &end));
	ops[1].state.inos[1] = 7;
	ck_assert(!history_explain(ops, 2, &start, &end));
}
END_TEST

START_TEST(two_creators_of_one_name_are_not_explained)
{
	struct history_state end = { .inos = { 8 } };
	struct history_op ops[] = { op_at(HISTORY_CREATE, 0, 7, 1, 3),
				    op_at(HISTORY_CREATE, 0, 8, 2, 4) };

	ck_assert(!history_explain(ops, 2, &empty, &end));
}
END_TEST

/* ---- Rounds ---- */

static void (*do_op)(struct history_op *op);
static struct history_op round_ops[THREADS * OPS];
static uint64_t round_seed;

static void *
race_thread(void *arg)
{
	struct history_op *ops = arg;
	uint64_t seed = round_seed + (uint64_t)(ops - round_ops);

	for (unsigned i = 0; i < OPS; i++) {
		ops[i].kind = suite_random(&seed) % HISTORY_KINDS;
		ops[i].name = suite_random(&seed) % HISTORY_NAMES;
		ops[i].to = suite_random(&seed) % HISTORY_NAMES;
		do_op(&ops[i]);
	}
	return NULL;
}

static struct history_state
state_now(void)
{
	struct history_op list = { .kind = HISTORY_LIST };

	do_op(&list);
	ck_assert_int_eq(list.error, 0);
	return list.state;
}

static void
one_round(void)
{
	struct history_state start = state_now(), end;
	pthread_t threads[THREADS];

	memset(round_ops, 0, sizeof(round_ops));
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, race_thread,
						&round_ops[i * OPS]),
				 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	end = state_now();
	if (history_explain(round_ops, THREADS * OPS, &start, &end))
		return;
	history_print(round_ops, THREADS * OPS, &start, &end);
	ck_abort_msg("no order of these operations explains what they saw");
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
seconds_asked(void)
{
	const char *given = getenv("KEYFS_TEST_RACE_SECONDS");

	return given ? strtod(given, NULL) : 0;
}

/* Rounds on one store after the other. */
static void
race(void (*begin)(void), void (*end)(void))
{
	double seconds = seconds_asked(), until = now_s() + seconds;
	unsigned max = seconds > 0 ? ROUNDS_PER_STORE : ROUNDS;
	uint64_t seed = suite_seed(), rounds = 0;

	do {
		begin();
		for (unsigned i = 0; i < max; i++, rounds++) {
			round_seed = suite_random(&seed);
			one_round();
		}
		end();
	} while (now_s() < until);
	suite_cases(rounds * THREADS * OPS);
}

/* ---- On the tree ---- */

static struct kv *kv;
static struct tree *tree;
static uint64_t dir;

static int
list_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct history_state *state = arg;

	for (unsigned i = 0; i < HISTORY_NAMES; i++)
		if (name.len == 1 &&
		    !memcmp(name.data, history_names[i], name.len))
			state->inos[i] = attr->ino;
	return 0;
}

static void
tree_look(struct history_op *op)
{
	struct keyfs_slice name = keyfs_str(history_names[op->name]);
	struct tree_attr attr = { 0 };

	op->error = tree_lookup(tree, &kit_user, dir, name, &attr);
	op->ino = attr.ino;
	op->nlink = attr.nlink;
}

static void
tree_change(struct history_op *op)
{
	struct keyfs_slice name = keyfs_str(history_names[op->name]);
	struct keyfs_slice to = keyfs_str(history_names[op->to]);
	unsigned flags = op->kind == HISTORY_NOREPLACE  ? RENAME_NOREPLACE
			 : op->kind == HISTORY_EXCHANGE ? RENAME_EXCHANGE
							: 0;
	struct tree_attr attr = { 0 };

	switch (op->kind) {
	case HISTORY_CREATE:
		op->error = tree_mknod(tree, &kit_user, dir, name,
				       S_IFREG | 0644, 0, &attr);
		op->ino = attr.ino;
		break;
	case HISTORY_UNLINK:
		op->error = tree_unlink(tree, &kit_user, dir, name, &op->ino,
					&op->gone);
		break;
	case HISTORY_LINK:
		op->error =
			tree_link(tree, &kit_user, op->target, dir, to, &attr);
		break;
	default:
		op->error = tree_rename(tree, &kit_user, dir, name, dir, to,
					flags, &op->ino, &op->gone);
	}
}

static void
tree_do(struct history_op *op)
{
	struct keyfs_slice all = { 0 };

	if (op->kind == HISTORY_LINK) {
		struct history_op look = *op;

		tree_look(&look);
		op->target = look.ino;
		if (!op->target)
			op->kind = HISTORY_LOOKUP;
	}
	history_begin(op);
	if (op->kind == HISTORY_LOOKUP)
		tree_look(op);
	else if (op->kind == HISTORY_LIST)
		op->error = tree_readdir(tree, &kit_user, dir, all, op->to % 2,
					 list_each, &op->state);
	else
		tree_change(op);
	history_end(op);
}

static void
tree_begin(void)
{
	do_op = tree_do;
	tree = kit_open(kv);
	ck_assert_int_eq(tree_start(tree), 0);
	dir = kit_mkdir(tree, TREE_ROOT, "d");
}

static void
tree_end(void)
{
	kit_check(tree);
	kit_close(tree);
}

static void
mem_begin(void)
{
	kv = kv_mem_new();
	tree_begin();
	atomic_store(&kv_mem_faults(kv)->dither, 8);
}

static void
mem_end(void)
{
	atomic_store(&kv_mem_faults(kv)->dither, 0);
	tree_end();
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
lsm_begin(void)
{
	kv = kit_lsm();
	tree_begin();
}

static void
lsm_end(void)
{
	tree_end();
	kit_lsm_close(kv);
}

START_TEST(names_on_the_tree_have_one_history)
{
	race(mem_begin, mem_end);
}
END_TEST

START_TEST(names_over_the_embedded_engine_have_one_history)
{
	race(lsm_begin, lsm_end);
}
END_TEST

/* ---- Through the kernel ---- */

static pid_t daemon_pid;
static int mount_dir; /* open on the directory */

static uint64_t
ino_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static int
result_of(int rc)
{
	return rc < 0 ? -errno : 0;
}

static void
mount_create(struct history_op *op)
{
	int fd = openat(mount_dir, history_names[op->name],
			O_RDWR | O_CREAT | O_EXCL, 0644);

	op->error = result_of(fd);
	if (fd < 0)
		return;
	op->ino = ino_of(fd);
	close(fd);
}

static void
mount_look(struct history_op *op)
{
	struct stat st;

	op->error = result_of(fstatat(mount_dir, history_names[op->name], &st,
				      AT_SYMLINK_NOFOLLOW));
	op->ino = op->error ? 0 : st.st_ino;
}

/* With one getdents64(2), which is one request: readdir(3) asks until nothing comes any
 * more, and may be given what was added behind its place meanwhile. */
static void
mount_list(struct history_op *op)
{
	_Alignas(struct dirent64) char buf[4096];
	int fd = openat(mount_dir, ".", O_RDONLY | O_DIRECTORY);
	ssize_t len = fd < 0 ? -1 : getdents64(fd, buf, sizeof(buf));

	op->error = len < 0 ? -errno : 0;
	for (ssize_t at = 0; at < len;) {
		const struct dirent64 *entry = (const void *)(buf + at);

		for (unsigned i = 0; i < HISTORY_NAMES; i++)
			if (!strcmp(entry->d_name, history_names[i]))
				op->state.inos[i] = entry->d_ino;
		at += entry->d_reclen;
	}
	if (fd >= 0)
		close(fd);
}

/* By an open file, so that it is clear which.  The kernel refuses to link what has no
 * links, and counts those itself: a LOOKUP that sees a file after an UNLINK, and is
 * answered before the kernel is done with that UNLINK, makes it subtract one twice.
 * What it says then is not ours; asked for again, the count is right. */
static int
mount_link(int target, const char *to)
{
	struct statx st;
	char path[64];
	int error;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	error = result_of(
		linkat(AT_FDCWD, path, mount_dir, to, AT_SYMLINK_FOLLOW));
	if (error != -ENOENT)
		return error;
	(void)statx(target, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
		    STATX_NLINK, &st);
	return result_of(
		linkat(AT_FDCWD, path, mount_dir, to, AT_SYMLINK_FOLLOW));
}

static void
mount_change(struct history_op *op, int target)
{
	const char *name = history_names[op->name], *to = history_names[op->to];
	unsigned flags = op->kind == HISTORY_NOREPLACE  ? RENAME_NOREPLACE
			 : op->kind == HISTORY_EXCHANGE ? RENAME_EXCHANGE
							: 0;

	if (op->kind == HISTORY_UNLINK) {
		op->error = result_of(unlinkat(mount_dir, name, 0));
	} else if (op->kind == HISTORY_LINK) {
		op->error = mount_link(target, to);
	} else {
		op->error = result_of(
			renameat2(mount_dir, name, mount_dir, to, flags));
	}
}

static void
mount_do(struct history_op *op)
{
	int target = -1;

	if (op->kind == HISTORY_LINK) {
		target = openat(mount_dir, history_names[op->name], O_PATH);
		op->target = target < 0 ? 0 : ino_of(target);
		if (target < 0)
			op->kind = HISTORY_LOOKUP;
	}
	history_begin(op);
	if (op->kind == HISTORY_CREATE)
		mount_create(op);
	else if (op->kind == HISTORY_LOOKUP)
		mount_look(op);
	else if (op->kind == HISTORY_LIST)
		mount_list(op);
	else
		mount_change(op, target);
	history_end(op);
	if (target >= 0)
		close(target);
}

static void
mount_begin(void)
{
	static struct mounted_options options = { .keys_max =
							  KEYS_OF_AN_EMPTY_TREE,
						  .none_held = true };

	do_op = mount_do;
	daemon_pid = mounted_start(&options);
	ck_assert_int_eq(mkdir(mounted_path("d"), 0755), 0);
	mount_dir = open(mounted_path("d"), O_RDONLY | O_DIRECTORY);
	ck_assert_int_ge(mount_dir, 0);
}

/* Without names and open files the kernel gives back every inode, and the daemon has
 * counted as it has. */
static void
mount_end(void)
{
	for (unsigned i = 0; i < HISTORY_NAMES; i++)
		(void)unlinkat(mount_dir, history_names[i], 0);
	close(mount_dir);
	ck_assert_int_eq(rmdir(mounted_path("d")), 0);
	mounted_settle();
	ck_assert_int_eq(mounted_stop(daemon_pid), 0);
}

START_TEST(names_on_a_mount_have_one_history)
{
	race(mount_begin, mount_end);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("name_race");
	TCase *checker = tcase_create("checker"),
	      *races = tcase_create("races");
	TCase *mount = tcase_create("mount");

	tcase_add_test(checker, an_order_is_found_where_there_is_one);
	tcase_add_test(checker, a_name_that_comes_back_is_not_explained);
	tcase_add_test(checker, a_rename_seen_by_halves_is_not_explained);
	tcase_add_test(checker, two_creators_of_one_name_are_not_explained);
	suite_add_tcase(suite, checker);
	tcase_set_timeout(races, 120 + 2 * seconds_asked());
	tcase_add_test(races, names_on_the_tree_have_one_history);
	tcase_add_test(races, names_over_the_embedded_engine_have_one_history);
	suite_add_tcase(suite, races);
	tcase_set_timeout(mount, 120 + 2 * seconds_asked());
	tcase_add_unchecked_fixture(mount, mounted_setup, mounted_teardown);
	tcase_add_test(mount, names_on_a_mount_have_one_history);
	suite_add_tcase(suite, mount);
	return suite_main(suite);
}
