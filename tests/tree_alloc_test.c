/* SPDX-License-Identifier: Apache-2.0 */
/* tree_alloc_test.c - the tree without memory: the n-th allocation of every operation
 * over the embedded engine fails, once and from then on, until the operation passes
 * untouched.  A failed one has changed nothing; one that succeeds did what it does on
 * a tree that never lacks memory, which lies beside it.
 *
 * Each attempt has a thread of its own, as threads keep memory for the next time.
 * With KEYFS_TEST_POINTS=0 every n is tried, else the first few and ever fewer. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/alloc_fault.h"
#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tmpdir.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"

#define TIMEOUT_S 300
#define BIG_BYTES ((size_t)1200 << 10) /* its truncation leaves stale chunks */

/* One of the two trees, and the numbers that its objects have. */
struct side {
	struct tree *tree;
	uint64_t dir, other, file, big, link; /* 0: not there */
};

static uint64_t
find(struct tree *tree, const char *path)
{
	struct tree_attr attr;
	int r = tree_resolve(tree, &kit_user, path, &attr);

	return r ? 0 : attr.ino;
}

static void
side_look(struct side *s)
{
	s->dir = find(s->tree, "dir");
	s->other = find(s->tree, "other");
	s->file = find(s->tree, "dir/file");
	s->big = find(s->tree, "dir/big");
	s->link = find(s->tree, "dir/link");
}

static void
side_fill(struct side *s)
{
	char name[16];
	int i;

	s->dir = kit_mkdir(s->tree, TREE_ROOT, "dir");
	s->other = kit_mkdir(s->tree, TREE_ROOT, "other");
	s->file = kit_create(s->tree, s->dir, "file");
	kit_write(s->tree, s->file, 0, "some text");
	s->big = kit_create(s->tree, s->dir, "big");
	kit_fill(s->tree, s->big, 0, BIG_BYTES, 'b');
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "many%d", i);
		(void)kit_create(s->tree, s->other, name);
	}
}

/* ---- The operations ---- */

static int
op_mknod(struct side *s)
{
	struct tree_attr attr;

	return tree_mknod(s->tree, &kit_user, s->dir, keyfs_str("new"),
			  S_IFREG | 0644, 0, &attr);
}

static int
op_mkdir(struct side *s)
{
	struct tree_attr attr;

	return tree_mkdir(s->tree, &kit_user, s->dir, keyfs_str("sub"), 0755,
			  &attr);
}

static int
op_symlink(struct side *s)
{
	struct tree_attr attr;

	return tree_symlink(s->tree, &kit_user, s->dir, keyfs_str("link"),
			    keyfs_str("to/nowhere"), &attr);
}

static int
op_readlink(struct side *s)
{
	char *target;
	size_t len;
	int r = tree_readlink(s->tree, &kit_user, s->link, &target, &len);

	if (r == 0) {
		alloc_fault_expect(len == strlen("to/nowhere"), "a target");
		free(target);
	}
	return r;
}

static int
op_link(struct side *s)
{
	struct tree_attr attr;

	return tree_link(s->tree, &kit_user, s->file, s->other,
			 keyfs_str("second"), &attr);
}

static int
op_lookup(struct side *s)
{
	struct tree_attr attr;

	return tree_lookup(s->tree, &kit_user, s->dir, keyfs_str("big"), &attr);
}

static int
op_resolve(struct side *s)
{
	struct tree_attr attr;

	return tree_resolve(s->tree, &kit_user, "dir/big", &attr);
}

static int
op_getattr(struct side *s)
{
	struct tree_attr attr;

	return tree_getattr(s->tree, &kit_user, s->big, &attr);
}

static int
op_chmod(struct side *s)
{
	struct tree_attr attr = { .mode = 0600 };

	return tree_setattr(s->tree, &kit_user, s->file, TREE_SET_MODE, &attr,
			    &attr);
}

static int
op_setxattr(struct side *s)
{
	return tree_setxattr(s->tree, &kit_user, s->file, keyfs_str("user.a"),
			     keyfs_str("a value"), 0);
}

static int
op_getxattr(struct side *s)
{
	char value[16];
	size_t len;

	return tree_getxattr(s->tree, &kit_user, s->file, keyfs_str("user.a"),
			     value, sizeof(value), &len);
}

static int
op_listxattr(struct side *s)
{
	char list[16];
	size_t len;

	return tree_listxattr(s->tree, &kit_user, s->file, list, sizeof(list),
			      &len);
}

static int
op_removexattr(struct side *s)
{
	return tree_removexattr(s->tree, &kit_user, s->file,
				keyfs_str("user.a"));
}

static int
op_write(struct side *s)
{
	return tree_write(s->tree, &kit_user, s->file, 3,
			  keyfs_str("other text"));
}

static int
op_write_long(struct side *s)
{
	static char bytes[300 << 10];

	memset(bytes, 'w', sizeof(bytes));
	return tree_write(s->tree, &kit_user, s->big, 5000,
			  keyfs_bytes(bytes, sizeof(bytes)));
}

static int
op_read(struct side *s)
{
	static char bytes[400 << 10];
	size_t len;
	int r = tree_read(s->tree, &kit_user, s->big, 100, sizeof(bytes), bytes,
			  &len);

	if (r == 0)
		alloc_fault_expect(len == sizeof(bytes), "a full read");
	return r;
}

static int
resize(struct side *s, uint64_t ino, uint64_t size, unsigned how)
{
	struct tree_attr attr = { .size = size };

	return tree_setattr(s->tree, &kit_user, ino, TREE_SET_SIZE | how, &attr,
			    &attr);
}

static int
op_truncate(struct side *s)
{
	return resize(s, s->big, 5000, TREE_SET_BY_HANDLE);
}

static int
op_extend(struct side *s)
{
	return resize(s, s->big, 3 * BIG_BYTES, TREE_SET_BY_HANDLE);
}

static int
op_empty(struct side *s)
{
	return resize(s, s->file, 0, 0);
}

static int
count_entry(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	(void)name;
	(void)attr;
	++*(size_t *)arg;
	return 0;
}

static int
op_readdir(struct side *s)
{
	struct keyfs_slice all = { 0 };
	size_t count = 0;
	int r = tree_readdir(s->tree, &kit_user, s->other, all, true,
			     count_entry, &count);

	if (r == 0)
		alloc_fault_expect(count >= 40, "every entry");
	return r;
}

static int
move(struct side *s, uint64_t from, const char *name, uint64_t to,
     const char *new_name)
{
	uint64_t ino;
	bool gone;

	return tree_rename(s->tree, &kit_user, from, keyfs_str(name), to,
			   keyfs_str(new_name), 0, &ino, &gone);
}

static int
op_rename_over(struct side *s)
{
	return move(s, s->dir, "new", s->other, "many1");
}

static int
op_rename_dir(struct side *s)
{
	return move(s, s->dir, "sub", s->other, "sub");
}

static int
op_unlink(struct side *s)
{
	uint64_t ino;
	bool gone;

	return tree_unlink(s->tree, &kit_user, s->dir, keyfs_str("big"), &ino,
			   &gone);
}

static int
op_rmdir(struct side *s)
{
	uint64_t ino;
	bool gone;

	return tree_rmdir(s->tree, &kit_user, s->other, keyfs_str("sub"), &ino,
			  &gone);
}

static int
op_sync(struct side *s)
{
	return tree_sync(s->tree);
}

static int
op_check(struct side *s)
{
	return tree_check(s->tree, NULL, NULL);
}

/* In an order in which each finds what it needs. */
static const struct call {
	const char *name;
	int (*run)(struct side *s);
	bool reads; /* may be done any number of times */
} calls[] = {
	{ "mknod", op_mknod, false },
	{ "mkdir", op_mkdir, false },
	{ "symlink", op_symlink, false },
	{ "readlink", op_readlink, true },
	{ "link", op_link, false },
	{ "lookup", op_lookup, true },
	{ "resolve", op_resolve, true },
	{ "getattr", op_getattr, true },
	{ "chmod", op_chmod, false },
	{ "setxattr", op_setxattr, false },
	{ "getxattr", op_getxattr, true },
	{ "listxattr", op_listxattr, true },
	{ "removexattr", op_removexattr, false },
	{ "write", op_write, false },
	{ "write_long", op_write_long, false },
	{ "read", op_read, true },
	{ "truncate", op_truncate, false },
	{ "write into stale chunks", op_write_long, false },
	{ "extend", op_extend, false },
	{ "empty", op_empty, false },
	{ "empty again", op_empty, false },
	{ "write behind a held truncation", op_write, false },
	{ "empty once more", op_empty, false },
	{ "sync with a held truncation", op_sync, false },
	{ "readdir", op_readdir, true },
	{ "rename_over", op_rename_over, false },
	{ "rename_dir", op_rename_dir, false },
	{ "unlink", op_unlink, false },
	{ "rmdir", op_rmdir, false },
	{ "sync", op_sync, true },
	{ "check", op_check, true },
};

/* ---- The sweep ---- */

struct attempt {
	const struct call *call;
	struct side *side;
	uint64_t nth, failed;
	bool forever;
	int result;
};

static void *
attempt_main(void *arg)
{
	struct attempt *a = arg;

	alloc_fault_start(ALLOC_FAULT_MINE, a->nth, a->forever);
	a->result = a->call->run(a->side);
	a->failed = alloc_fault_stop();
	return NULL;
}

static void
attempt_run(struct attempt *a)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, attempt_main, a), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	if (a->result && (a->result != -ENOMEM || !a->failed))
		ck_abort_msg("%s answers %d without allocation %" PRIu64 "%s",
			     a->call->name, a->result, a->nth,
			     a->forever ? " and all later ones" : "");
}

static void
expect_dump(struct side *poor, const char *want)
{
	char *got = tree_dump(poor->tree);

	dump_expect(got, want);
	free(got);
}

/* Until nothing has failed, or the call has succeeded all the same: then it is
 * done. */
static void
sweep(const struct call *call, struct side *poor, struct side *rich,
      bool forever, uint64_t *random)
{
	const char *given = getenv("KEYFS_TEST_POINTS");
	bool all = given && strtoul(given, NULL, 0) == 0;
	char *want;
	struct attempt a = { .call = call, .side = poor, .forever = forever };

	side_look(poor);
	side_look(rich);
	want = tree_dump(rich->tree);
	do {
		attempt_run(&a);
		a.nth += 1 + (all ? 0 : suite_random(random) % (1 + a.nth / 3));
		if (a.result && !call->reads)
			expect_dump(poor, want);
	} while (a.failed && (a.result || call->reads));
	free(want);
	ck_assert_int_eq(call->run(rich), 0);
	want = tree_dump(rich->tree);
	expect_dump(poor, want);
	free(want);
}

START_TEST(no_memory_changes_nothing)
{
	struct kv *lsm = kit_lsm(), *mem = kv_mem_new();
	struct side poor = { .tree = kit_open(lsm) };
	struct side rich = { .tree = kit_open(mem) };
	uint64_t random = suite_seed();
	size_t i;

	side_fill(&poor);
	side_fill(&rich);
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		sweep(&calls[i], &poor, &rich, _i, &random);
	kit_check(poor.tree);
	kit_close(poor.tree);
	kit_close(rich.tree);
	kit_lsm_close(lsm);
	ck_assert_int_eq(kv_close(mem), 0);
}
END_TEST

/* ---- Opening and closing ---- */

struct opening {
	char *path;
	uint64_t nth, failed;
	bool forever;
	int result;
};

static void *
opening_main(void *arg)
{
	struct tree_options options = { .root_uid = 1000, .root_gid = 1000 };
	struct opening *o = arg;
	struct keyfs_options store = { .size = sizeof(store),
				       .create = true,
				       .memory_bytes = 1 << 20,
				       .reserve_bytes = 1 << 20 };
	struct tree *tree;
	struct kv *kv;
	int r;

	alloc_fault_start(ALLOC_FAULT_MINE, o->nth, o->forever);
	o->result = kv_open(o->path, &store, &kv);
	if (!o->result) {
		tree = NULL;
		o->result = tree_open(kv, &options, &tree);
		if (!o->result)
			o->result = tree_start(tree);
		r = tree_close(tree);
		o->result = o->result ? o->result : r;
		r = kv_close(kv);
		o->result = o->result ? o->result : r;
	}
	o->failed = alloc_fault_stop();
	return NULL;
}

static void
open_again(struct opening o)
{
	o.nth = UINT64_MAX;
	(void)opening_main(&o);
	ck_assert_int_eq(o.result, 0);
}

START_TEST(a_tree_that_could_not_be_opened_can_be_opened)
{
	struct opening o = { .failed = 1, .forever = _i };
	pthread_t thread;

	for (; o.failed; o.nth++) {
		o.path = tmpdir_new();
		ck_assert_int_eq(pthread_create(&thread, NULL, opening_main,
						&o),
				 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		if (o.result != -ENOMEM)
			ck_assert_int_eq(o.result, 0);
		ck_assert(!o.result || o.failed);
		if (o.result)
			open_again(o);
		tmpdir_free(o.path);
	}
}
END_TEST

/* ---- The worker ---- */

static bool
everything_in_use(void *arg, uint64_t ino)
{
	(void)arg;
	(void)ino;
	return true;
}

/* An object without a name that an earlier run has left. */
static void
leave_orphan(struct kv *kv)
{
	struct tree_options options = { .in_use = everything_in_use };
	struct tree *tree;
	uint64_t ino;

	ck_assert_int_eq(tree_open(kv, &options, &tree), 0);
	ino = kit_create(tree, TREE_ROOT, "orphan");
	kit_fill(tree, ino, 0, 100000, 'o');
	kit_unlink(tree, TREE_ROOT, "orphan");
	kit_close(tree);
}

START_TEST(the_worker_without_memory_tries_again)
{
	struct kv *kv = kit_lsm();
	struct tree *tree = kit_open(kv);
	size_t before = kit_count(kv);
	uint64_t ino;
	int i;

	kit_close(tree);
	leave_orphan(kv);
	tree = kit_open(kv);
	ino = kit_create(tree, TREE_ROOT, "unlinked");
	alloc_fault_start(ALLOC_FAULT_OTHERS, 0, true);
	ck_assert_int_eq(tree_start(tree), 0);
	kit_unlink(tree, TREE_ROOT, "unlinked");
	tree_forget_orphan(tree, ino);
	usleep(200000);
	ck_assert_uint_gt(alloc_fault_stop(), 0);
	ck_assert_uint_gt(kit_count(kv), before);
	/* The root's totals are one key more. */
	for (i = 0; i < 3000 && kit_count(kv) > before + 1; i++)
		usleep(10000);
	ck_assert_uint_le(kit_count(kv), before + 1);
	kit_check(tree);
	kit_close(tree);
	kit_lsm_close(kv);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tree_alloc");
	TCase *tcase = tcase_create("alloc");

	tcase_set_timeout(tcase, TIMEOUT_S);
	tcase_add_loop_test(tcase, no_memory_changes_nothing, 0, 2);
	tcase_add_loop_test(tcase,
			    a_tree_that_could_not_be_opened_can_be_opened, 0,
			    2);
	tcase_add_test(tcase, the_worker_without_memory_tries_again);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
