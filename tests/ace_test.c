/* SPDX-License-Identifier: Apache-2.0 */
/* ace_test.c - every short sequence of operations, with every choice of syncs, and the
 * power cut in it and after it.
 *
 * Bounded black-box testing after Mohan et al. (OSDI 2018): of the crashes that were
 * found in filesystems, nearly all need no more than two or three operations on a few
 * names.  So all of them are tried, on two directories A and B with two names each:
 *
 *	what the operations need is made and synced:   A/ B/ A/foo ...
 *	the operations, with syncs after some:         rename A/foo B/bar; sync; ...
 *	the power goes; the store is opened again:     what is found?
 *
 * What is found must be the state after some prefix of the operations (P2), not before
 * the last sync (P1), with each operation whole, and `echo x > f` one of them (P3); and
 * tree_check() finds nothing.  One call syncs the whole tree, so there is no choice of
 * what to sync.
 *
 * KEYFS_TEST_PAIRS is how many sequences of two are tried, spread over all of them (0:
 * all), KEYFS_TEST_TRIPLES how many of three, chosen at random. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/db.h"
#include "tests/ace_script.h"
#include "tests/crash_run.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"

#define PAIRS 150
#define TRIPLES 50
#define TIMEOUT_S (4 * 3600)
#define ALL_KINDS ((1u << FAULT_CRASH_KINDS) - 1)

/* ---- On the tree ---- */

struct target {
	uint64_t parent, ino; /* ino 0: not there */
	struct keyfs_slice name;
};

static int
target_find(struct tree *tree, const char *path, struct target *out)
{
	const char *slash = strchr(path, '/');
	struct tree_attr attr;
	int rc = 0;

	*out = (struct target){ .parent = TREE_ROOT };
	if (slash) {
		rc = tree_lookup(tree, &kit_user, TREE_ROOT,
				 keyfs_bytes(path, (size_t)(slash - path)),
				 &attr);
		out->parent = rc ? 0 : attr.ino;
	}
	out->name = keyfs_str(slash ? slash + 1 : path);
	if (!rc)
		rc = tree_lookup(tree, &kit_user, out->parent, out->name,
				 &attr);
	out->ino = rc ? 0 : attr.ino;
	return rc == -ENOENT ? 0 : rc;
}

static int
tree_make(struct tree *tree, const struct target *at,
	  const struct ace_step *step)
{
	struct tree_attr attr;

	if (S_ISDIR(step->mode))
		return tree_mkdir(tree, &kit_user, at->parent, at->name,
				  step->mode, &attr);
	if (S_ISLNK(step->mode))
		return tree_symlink(tree, &kit_user, at->parent, at->name,
				    keyfs_str(step->to), &attr);
	return tree_mknod(tree, &kit_user, at->parent, at->name, step->mode, 0,
			  &attr);
}

static int
tree_two(struct tree *tree, const struct target *at,
	 const struct ace_step *step)
{
	struct tree_attr attr;
	struct target to;
	uint64_t ino;
	bool gone;
	int rc = target_find(tree, step->to, &to);

	if (rc)
		return rc;
	if (step->call == CALL_LINK)
		return tree_link(tree, &kit_user, at->ino, to.parent, to.name,
				 &attr);
	return tree_rename(tree, &kit_user, at->parent, at->name, to.parent,
			   to.name, step->flags, &ino, &gone);
}

static int
tree_set(struct tree *tree, const struct target *at,
	 const struct ace_step *step)
{
	struct tree_attr attr = { .mode = step->mode,
				  .size = step->len,
				  .mtime = { 7, 0 } };
	unsigned set = step->call == CALL_CHMOD     ? TREE_SET_MODE
		       : step->call == CALL_UTIMENS ? TREE_SET_MTIME
						    : TREE_SET_SIZE;

	if (step->call == CALL_TRUNCATE)
		set |= TREE_SET_BY_HANDLE;
	return tree_setattr(tree, &kit_user, at->ino, set, &attr, &attr);
}

static int
tree_do(struct tree *tree, const struct ace_step *step)
{
	struct target at = { 0 };
	uint64_t ino;
	bool gone;
	int rc = step->from ? target_find(tree, step->from, &at) : 0;

	if (rc)
		return rc;
	switch (step->call) {
	case CALL_MAKE:
		return tree_make(tree, &at, step);
	case CALL_LINK:
	case CALL_RENAME:
		return tree_two(tree, &at, step);
	case CALL_REMOVE:
		if (S_ISDIR(step->mode))
			return tree_rmdir(tree, &kit_user, at.parent, at.name,
					  &ino, &gone);
		return tree_unlink(tree, &kit_user, at.parent, at.name, &ino,
				   &gone);
	case CALL_WRITE:
		return tree_write(tree, &kit_user, at.ino, step->offset,
				  ace_step_data(step));
	case CALL_PUNCH:
		return tree_fallocate(tree, &kit_user, at.ino,
				      FALLOC_FL_PUNCH_HOLE |
					      FALLOC_FL_KEEP_SIZE,
				      step->offset, step->len);
	case CALL_SETXATTR:
		return tree_setxattr(tree, &kit_user, at.ino,
				     keyfs_str(tree_model_xattrs[ACE_XATTR]),
				     ace_step_data(step), 0);
	case CALL_SYNC:
		return tree_sync(tree);
	default:
		return tree_set(tree, &at, step);
	}
}

/* ---- Crashes ---- */

static uint64_t workload_count, crash_count;

/* A tree on a store on the simulated disk. */
struct run {
	struct crash_run disk; /* of which the options and the disk are used */
	struct kv *kv;
	struct tree *tree;
};

static bool
some_are_in_use(void *arg, uint64_t ino)
{
	(void)arg;
	return ino % 2;
}

static int
mount_tree(struct run *run)
{
	struct tree_options options = { .in_use = some_are_in_use };
	struct keyfs_store *store;
	int rc = db_open(fault_env(run->disk.disk), "store", &run->disk.options,
			 &store);

	if (rc)
		return rc;
	ck_assert_int_eq(kv_lsm_new(store, "store", &run->disk.options,
				    &run->kv),
			 0);
	return tree_open(run->kv, &options, &run->tree);
}

static void
drop_tree(struct run *run)
{
	(void)tree_close(run->tree);
	(void)kv_close(run->kv);
}

static void
give_up(const struct ace_script *s, const char *what, long n)
{
	ck_abort_msg("%s %s (%ld)", s->text, what, n);
}

/* What may be found: the state of any step from the last durable one on to the one that
 * the crash fell into; with nothing lost, not before the last that was answered. */
static size_t
state_promised(const struct ace_script *s, size_t reached,
	       enum fault_crash kind)
{
	size_t step = reached - 1;

	while (kind != FAULT_KEEP_ALL && s->steps[step].call != CALL_SYNC)
		step--;
	return s->steps[step].state;
}

static void
compare(const struct ace_script *s, const char *found, size_t low, size_t high)
{
	for (size_t i = low; i <= high; i++)
		if (!strcmp(found, s->states[i]))
			return;
	printf("found:\n%s", found);
	for (size_t i = 0; i < s->state_count; i++)
		printf("state %zu%s:\n%s", i,
		       i < low || i > high ? "" : ", allowed", s->states[i]);
	fflush(stdout);
	give_up(s, "left none of the states allowed", (long)low);
}

/* Looks at what a crash of one kind left; `reached` is the step that it fell into. */
static void
check_crash(const struct ace_script *s, struct run *run, size_t reached,
	    enum fault_crash kind, uint64_t seed)
{
	size_t low = state_promised(s, reached, kind);
	size_t last = reached < s->count ? reached : s->count - 1;
	struct run after = { .disk = run->disk };
	char *found, *again;
	int rc;

	crash_count++;
	after.disk.disk = fault_env_after(run->disk.disk, kind, seed);
	crash_run_heal(&after.disk);
	rc = mount_tree(&after);
	if (rc)
		give_up(s, "does not open", rc);
	found = tree_dump(after.tree);
	compare(s, found, low, s->steps[last].state);
	kit_check(after.tree);
	if (seed % 4 == 0) {
		/* What was found stays. */
		fault_env_crash(after.disk.disk);
		drop_tree(&after);
		fault_env_reboot(after.disk.disk, FAULT_DROP_ALL, seed);
		rc = mount_tree(&after);
		if (rc)
			give_up(s, "does not open again", rc);
		again = tree_dump(after.tree);
		dump_expect(again, found);
		free(again);
	}
	free(found);
	drop_tree(&after);
	fault_env_free(after.disk.disk);
}

/* Does the script, with the power cut `point` calls after the base was synced.  Returns
 * the step that the cut fell into, and how many calls there were. */
static size_t
run_script(const struct ace_script *s, struct run *run, uint64_t point,
	   uint64_t *out_calls)
{
	uint64_t before = 0;
	size_t i;

	ck_assert_int_eq(mount_tree(run), 0);
	for (i = 0; i < s->count; i++) {
		int rc;

		if (i == s->base) {
			before = fault_env_calls(run->disk.disk);
			if (point != UINT64_MAX)
				fault_env_crash_at(run->disk.disk,
						   before + point);
		}
		rc = tree_do(run->tree, &s->steps[i]);
		if (fault_env_crashed(run->disk.disk))
			break;
		if (rc)
			give_up(s, "an operation failed", rc);
	}
	*out_calls = fault_env_calls(run->disk.disk) - before;
	return i;
}

static uint64_t
crash_one(const struct ace_script *s, uint64_t point, unsigned kinds_wanted,
	  uint64_t seed)
{
	struct run run;
	uint64_t calls;
	size_t reached;

	crash_run_init(&run.disk, s->text, seed);
	reached = run_script(s, &run, point, &calls);
	fault_env_crash(run.disk.disk);
	drop_tree(&run);
	for (unsigned kind = 0; kind < FAULT_CRASH_KINDS; kind++)
		if (kinds_wanted >> kind & 1)
			check_crash(s, &run, reached, kind,
				    suite_random(&seed));
	crash_run_fini(&run.disk);
	return calls;
}

static unsigned
kind_bit(uint64_t random)
{
	return 1u << random % FAULT_CRASH_KINDS;
}

/* What each workload is crashed with: what is lost at least, at most, and one more. */
static unsigned
some_kinds(uint64_t random)
{
	return 1u << FAULT_DROP_ALL | 1u << FAULT_KEEP_ALL | kind_bit(random);
}

/* At the end, with the kinds of crash that the bits of `kinds` say; and at some of the
 * calls before it, with one kind each. */
static void
crash_workload(const struct ace_workload *w, unsigned kinds, uint64_t points,
	       uint64_t seed)
{
	struct ace_script s;
	uint64_t calls, step;

	ace_script_init(&s, w);
	calls = crash_one(&s, UINT64_MAX, kinds, suite_random(&seed));
	step = calls > points ? calls / points : 1;
	for (uint64_t at = suite_random(&seed) % step; at < calls; at += step)
		crash_one(&s, at, kind_bit(suite_random(&seed)),
			  suite_random(&seed));
	workload_count++;
	ace_script_fini(&s);
}

static void
say(const char *what)
{
	printf("%s: %" PRIu64 " workloads, %" PRIu64 " crashes\n", what,
	       workload_count, crash_count);
	suite_cases(crash_count);
}

START_TEST(every_operation_survives_a_crash_whole)
{
	uint64_t seed = suite_seed();
	size_t count;
	const struct ace_op *ops = ace_ops(&count);

	for (size_t i = 0; i < count; i++) {
		struct ace_workload w = { .seq = { ops[i] }, .length = 1 };

		if (!ace_is_first_of_its_kind(&w))
			continue;
		for (unsigned variant = 0; variant < 4; variant++) {
			w.syncs = variant / 2;
			w.large = variant % 2;
			crash_workload(&w, ALL_KINDS, UINT64_MAX,
				       suite_random(&seed));
		}
	}
	say("one operation");
}
END_TEST

static unsigned long
asked(const char *name, unsigned long otherwise)
{
	const char *given = getenv(name);

	return given ? strtoul(given, NULL, 0) : otherwise;
}

/* Syncs after the first, the second, both, neither; small and large. */
#define PAIR_VARIANTS 8u

/* All pairs that can be and differ, in an array that the caller frees. */
static struct ace_workload *
pairs_make(size_t *out_count)
{
	size_t cap = 0, count = 0, op_count;
	const struct ace_op *ops = ace_ops(&op_count);
	struct ace_workload *pairs = NULL;

	for (size_t i = 0; i < op_count * op_count; i++) {
		struct ace_workload w = { .seq = { ops[i / op_count],
						   ops[i % op_count] },
					  .length = 2 };

		if (!ace_is_possible(&w) || !ace_is_first_of_its_kind(&w))
			continue;
		pairs = must_grow(pairs, count, &cap, sizeof(*pairs));
		pairs[count++] = w;
	}
	*out_count = count;
	return pairs;
}

/* What is thought possible is so in the model. */
START_TEST(every_pair_has_a_script)
{
	size_t count;
	struct ace_workload *pairs = pairs_make(&count);

	for (size_t i = 0; i < count; i++) {
		struct ace_script s;

		ace_script_init(&s, &pairs[i]);
		ace_script_fini(&s);
	}
	free(pairs);
}
END_TEST

START_TEST(two_operations_survive_a_crash_in_order)
{
	uint64_t seed = suite_seed();
	struct ace_workload *pairs;
	size_t count, total, step, wanted;

	pairs = pairs_make(&count);
	total = count * PAIR_VARIANTS;
	wanted = asked("KEYFS_TEST_PAIRS", PAIRS);
	step = wanted && wanted < total ? total / wanted | 1 : 1;
	for (size_t i = suite_random(&seed) % step; i < total; i += step) {
		struct ace_workload w = pairs[i / PAIR_VARIANTS];

		w.syncs = i % PAIR_VARIANTS / 2;
		w.large = i % 2;
		crash_workload(&w, some_kinds(suite_random(&seed)), 1,
			       suite_random(&seed));
	}
	printf("of %zu: ", total);
	say("two operations");
	free(pairs);
}
END_TEST

START_TEST(three_operations_survive_a_crash_in_order)
{
	uint64_t seed = suite_seed();
	unsigned long wanted = asked("KEYFS_TEST_TRIPLES", TRIPLES);
	size_t count;
	const struct ace_op *ops = ace_ops(&count);

	while (workload_count < wanted) {
		struct ace_workload w = { .length = 3 };

		for (unsigned i = 0; i < 3; i++)
			w.seq[i] = ops[suite_random(&seed) % count];
		w.syncs = suite_random(&seed) % 8;
		w.large = suite_random(&seed) % 2;
		if (ace_is_possible(&w))
			crash_workload(&w, some_kinds(suite_random(&seed)), 2,
				       suite_random(&seed));
	}
	say("three operations");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ace");
	TCase *tcase = tcase_create("ace");

	tcase_set_timeout(tcase, TIMEOUT_S);
	tcase_add_test(tcase, every_operation_survives_a_crash_whole);
	tcase_add_test(tcase, every_pair_has_a_script);
	tcase_add_test(tcase, two_operations_survive_a_crash_in_order);
	tcase_add_test(tcase, three_operations_survive_a_crash_in_order);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
