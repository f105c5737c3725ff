/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model_test.c - random operations against a model of a POSIX tree: every result,
 * and now and then everything there is. */
#include <config.h>

#include <stdlib.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"
#include "tests/tree_dump.h"
#include "tests/tree_kit.h"
#include "tests/tree_model.h"

static void
compare(struct tree_model *model, struct tree *tree)
{
	char *want = tree_model_dump(model, false), *got = tree_dump(tree);

	dump_expect(got, want);
	free(want);
	free(got);
	kit_check(tree);
	tree_model_synced(model); /* the check has logged what was held */
}

static void
run(struct kv *kv, uint64_t seed, int steps, bool big)
{
	struct tree_model *model = tree_model_new(seed);
	struct tree *tree = kit_open(kv);

	for (int i = 1; i <= steps; i++) {
		tree_model_step(model, tree, big);
		if (i % 100 == 0)
			compare(model, tree);
		if (i % 500 == 0) {
			kit_close(tree);
			tree_model_synced(model);
			tree = kit_open(kv);
		}
	}
	compare(model, tree);
	kit_close(tree);
	tree_model_free(model);
}

START_TEST(the_tree_does_what_the_model_does)
{
	struct kv *kv = kv_mem_new();

	run(kv, suite_seed(), 3000, _i);
	ck_assert_int_eq(kv_close(kv), 0);
}
END_TEST

START_TEST(so_it_does_over_the_embedded_engine)
{
	struct kv *kv = kit_lsm();

	run(kv, suite_seed(), 1000, true);
	kit_lsm_close(kv);
}
END_TEST

START_TEST(ten_conflicts_before_each_commit_change_nothing)
{
	struct kv *kv = kv_mem_new();

	atomic_store(&kv_mem_faults(kv)->conflicts, 10);
	run(kv, suite_seed(), 1000, false);
	ck_assert_int_eq(kv_close(kv), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tree_model");
	TCase *tcase = tcase_create("model");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, the_tree_does_what_the_model_does, 0, 2);
	tcase_add_test(tcase, so_it_does_over_the_embedded_engine);
	tcase_add_test(tcase, ten_conflicts_before_each_commit_change_nothing);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
