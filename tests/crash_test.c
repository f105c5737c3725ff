/* SPDX-License-Identifier: Apache-2.0 */
/* crash_test.c - scripts of what a store does, with the power cut at every call
 * that reaches the disk, and with every call failing.
 *
 * KEYFS_TEST_POINTS is how many of a script's calls are tried, spread over it from
 * a random first one; 0 means all.  KEYFS_TEST_SCRIPT is the name of the only one
 * to run.  A failure names its KEYFS_TEST_CASE, which runs
 * it alone, and exactly as before: the store's threads take turns by the seed
 * (turns.h).  KEYFS_TEST_LOG=1 shows what the stores reported and the calls before
 * the fault.  One test has the system's threads instead, for what a seed's turns
 * do not show; its cases repeat mostly. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash_run.h"
#include "tests/crash_scripts.h"
#include "tests/suite.h"

#define POINTS 6
/* Of a heavy script's calls this part is tried. */
#define HEAVY_PART 8
/* Cases with the system's threads, for each script. */
#define THREADED_POINTS 1
#define TIMEOUT_S 1800

/* ---- Which calls ---- */

/* The calls of one script at which something goes wrong. */
struct points {
	uint64_t next, step, end;
};

static struct points
spread(uint64_t calls, uint64_t wanted, uint64_t *random)
{
	struct points points = { 0, 1, calls };

	if (wanted && calls > wanted) {
		points.step = calls / wanted;
		points.next = suite_random(random) % points.step;
	}
	return points;
}

static uint64_t
points_wanted(int script, unsigned part)
{
	const char *given = getenv("KEYFS_TEST_POINTS");
	uint64_t wanted = given ? strtoull(given, NULL, 0) : POINTS;

	if (crash_scripts[script].heavy)
		part *= HEAVY_PART;
	return wanted > part ? wanted / part : wanted != 0;
}

static void
begin(struct crash_run *run, int script, uint64_t seed)
{
	crash_run_init(run, crash_scripts[script].name, seed);
}

static uint64_t
calls_of(int script, uint64_t seed)
{
	struct crash_run run;
	uint64_t calls;

	begin(&run, script, seed);
	crash_scripts[script].run(&run);
	ck_assert_ptr_null(run.store);
	calls = fault_env_calls(run.disk);
	/* Undisturbed, it ends with everything durable. */
	crash_run_check(&run, FAULT_DROP_ALL, seed);
	crash_run_fini(&run);
	return calls;
}

/* ---- Power cuts ---- */

static void
cut_power_at(int script, uint64_t point, uint64_t seed, bool threads)
{
	struct crash_run run;

	begin(&run, script, seed);
	run.threads = threads;
	snprintf(run.replay, sizeof(run.replay), "%d,%" PRIu64 ",%" PRIu64,
		 script, point, seed);
	fault_env_crash_at(run.disk, point);
	crash_scripts[script].run(&run);
	crash_run_end(&run);
	for (int kind = 0; kind < FAULT_CRASH_KINDS; kind++)
		crash_run_check(&run, (enum fault_crash)kind,
				suite_random(&seed));
	crash_run_check(&run, FAULT_SUBSET, suite_random(&seed));
	crash_run_fini(&run);
}

START_TEST(every_power_cut_leaves_a_prefix)
{
	uint64_t random = suite_seed();
	uint64_t calls = calls_of(_i, random);
	struct points points = spread(calls, points_wanted(_i, 1), &random);

	for (; points.next < points.end; points.next += points.step)
		cut_power_at(_i, points.next, suite_random(&random), false);
}
END_TEST

START_TEST(so_it_does_with_the_system_s_threads)
{
	uint64_t random = suite_seed();
	uint64_t calls = calls_of(_i, random);
	struct points points = spread(calls, THREADED_POINTS, &random);

	for (; points.next < points.end; points.next += points.step)
		cut_power_at(_i, points.next, suite_random(&random), true);
}
END_TEST

/* ---- Failing calls ---- */

static const struct {
	const char *name;
	struct fault_rule rule;
} faults[] = {
	{ "EIO once", { .calls = FAULT_ANY, .error = -EIO, .drop = true } },
	{ "EIO for ever",
	  { .calls = FAULT_ANY, .error = -EIO, .forever = true } },
	{ "ENOSPC once",
	  { .calls = FAULT_CHANGES, .error = -ENOSPC, .partial = true } },
	{ "EIO once, in a part of a write",
	  { .calls = FAULT_ON(FAULT_WRITE), .error = -EIO, .partial = true } },
	{ "a failing sync",
	  { .calls = FAULT_ON(FAULT_SYNC), .error = -EIO, .drop = true } },
	{ "a failing sync of names",
	  { .calls = FAULT_ON(FAULT_DIR_SYNC), .error = -EIO } },
	{ "ENOSPC for ever, in a part of a write",
	  { .calls = FAULT_ON(FAULT_WRITE),
	    .error = -ENOSPC,
	    .forever = true,
	    .partial = true } },
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void
fail_call(int script, unsigned fault, uint64_t point, uint64_t seed)
{
	static const enum fault_crash kinds[] = {
		FAULT_PROCESS_DIED, FAULT_KEEP_ALL, FAULT_DROP_ALL, FAULT_SUBSET
	};
	struct fault_rule rule = faults[fault].rule;
	struct crash_run run;

	rule.skip = point;
	begin(&run, script, seed);
	snprintf(run.replay, sizeof(run.replay),
		 "%d,%" PRIu64 ",%" PRIu64 ",%u", script, point, seed, fault);
	run.errors = true;
	run.drops = rule.drop;
	fault_env_fail(run.disk, &rule);
	crash_scripts[script].run(&run);
	crash_run_end(&run);
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		crash_run_check(&run, kinds[i], suite_random(&seed));
	crash_run_fini(&run);
}

/* How many of each call a script makes. */
static void
count_calls(int script, uint64_t seed, uint64_t counts[FAULT_CALLS])
{
	struct crash_run run;

	begin(&run, script, seed);
	crash_scripts[script].run(&run);
	for (unsigned call = 0; call < FAULT_CALLS; call++)
		counts[call] = fault_env_count(run.disk, call);
	crash_run_fini(&run);
}

static uint64_t
calls_that_fit(const struct fault_rule *rule,
	       const uint64_t counts[FAULT_CALLS])
{
	uint64_t fit = 0;

	for (unsigned call = 0; call < FAULT_CALLS; call++) {
		if (rule->calls & FAULT_ON(call))
			fit += counts[call];
	}
	return fit;
}

START_TEST(no_failing_call_loses_what_was_synced)
{
	uint64_t random = suite_seed(), counts[FAULT_CALLS];

	count_calls(_i, suite_random(&random), counts);
	for (unsigned fault = 0; fault < FAULTS; fault++) {
		struct points points =
			spread(calls_that_fit(&faults[fault].rule, counts),
			       points_wanted(_i, FAULTS), &random);

		for (; points.next < points.end; points.next += points.step)
			fail_call(_i, fault, points.next,
				  suite_random(&random));
	}
}
END_TEST

/* ---- Tests of the test ---- */

static const char *const work_names[WORK_KINDS] = {
	[WORK_OPENS] = "opened",
	[WORK_READ_ONLY_OPENS] = "opened for reading",
	[WORK_COMMITS] = "commits",
	[WORK_CONDITIONS_KEPT] = "conditions kept",
	[WORK_CONDITIONS_FAILED] = "conditions failed",
	[WORK_SNAPSHOTS] = "snapshots",
	[WORK_FLUSHES] = "flushes",
	[WORK_COMPACTIONS] = "compactions",
	[WORK_MOVES] = "trivial moves",
	[WORK_TABLES_DELETED] = "tables deleted",
	[WORK_STOPS] = "writers stopped",
	[WORK_OLDER_LOGS_SYNCED] = "syncs of an older log",
	[WORK_INTERVALS] = "syncs of the interval",
	[WORK_MANIFESTS_RENEWED] = "manifests renewed",
	[WORK_RECORDS_REPLAYED] = "records replayed",
	[WORK_TAILS_DROPPED] = "torn tails dropped",
	[WORK_LEFTOVERS_REMOVED] = "leftovers removed",
	[WORK_DISK_FULL] = "disks full",
	[WORK_DISK_FREED] = "disks freed",
	[WORK_RESERVES_GIVEN] = "reserves given back",
	[WORK_RESERVES_TAKEN] = "reserves taken",
	[WORK_SYNCS_FAILED] = "failed syncs survived",
	[WORK_RECOVERIES_CUT] = "recoveries cut short",
};

/* A script that stops doing what it is for would go unnoticed. */
START_TEST(the_scripts_pass_through_every_kind_of_work)
{
	uint64_t seed = suite_seed(), work[WORK_KINDS] = { 0 };
	uint64_t looked = 0;
	struct crash_run run;

	for (unsigned i = 0; i < crash_script_count * 2; i++) {
		begin(&run, (int)(i / 2), suite_random(&seed));
		crash_scripts[i / 2].run(&run);
		crash_run_check(&run, FAULT_SUBSET, suite_random(&seed));
		for (unsigned kind = 0; kind < WORK_KINDS; kind++)
			work[kind] += run.work[kind];
		looked += run.order.looked;
		crash_run_fini(&run);
	}
	for (unsigned kind = 0; kind < WORK_KINDS; kind++) {
		printf("%s: %" PRIu64 "\n", work_names[kind], work[kind]);
		ck_assert_msg(work[kind] > 0, "no script passes through: %s",
			      work_names[kind]);
	}
	ck_assert_uint_ge(crash_script_count, 30);
	ck_assert_uint_gt(looked, 100);
}
END_TEST

/* The calls of one case as text. */
static char *
trace_of(int script, uint64_t seed)
{
	struct crash_run run;
	size_t size;
	char *text;
	FILE *out = open_memstream(&text, &size);

	begin(&run, script, seed);
	fault_env_crash_at(run.disk, 150 + seed % 100);
	crash_scripts[script].run(&run);
	crash_run_end(&run);
	fault_env_trace(run.disk, out);
	fclose(out);
	crash_run_check(&run, FAULT_SUBSET, seed);
	crash_run_fini(&run);
	return text;
}

START_TEST(a_case_repeats_exactly)
{
	uint64_t seed = suite_seed();

	char *first = trace_of(_i, seed), *again = trace_of(_i, seed);

	ck_assert_str_eq(first, again);
	free(first);
	free(again);
}
END_TEST

START_TEST(one_case_again)
{
	const char *given = getenv("KEYFS_TEST_CASE");
	unsigned long long point, seed;
	unsigned script, fault;
	int n = sscanf(given, "%u,%llu,%llu,%u", &script, &point, &seed,
		       &fault);

	ck_assert_int_ge(n, 3);
	ck_assert_uint_lt(script, crash_script_count);
	if (n == 3) {
		cut_power_at((int)script, point, seed,
			     getenv("KEYFS_TEST_THREADS") != NULL);
		return;
	}
	ck_assert_uint_lt(fault, FAULTS);
	fail_call((int)script, fault, point, seed);
}
END_TEST

/* All scripts, or the one that KEYFS_TEST_SCRIPT names. */
static void
choose_scripts(int *first, int *end)
{
	const char *given = getenv("KEYFS_TEST_SCRIPT");

	*first = 0;
	*end = (int)crash_script_count;
	for (int i = 0; given && i < *end; i++) {
		if (strcmp(crash_scripts[i].name, given) == 0) {
			*first = i;
			*end = i + 1;
		}
	}
}

static void
add_tests(TCase *tcase)
{
	int first, end;

	choose_scripts(&first, &end);
	if (getenv("KEYFS_TEST_CASE")) {
		tcase_add_test(tcase, one_case_again);
		return;
	}
	if (!getenv("KEYFS_TEST_SCRIPT"))
		tcase_add_test(tcase,
			       the_scripts_pass_through_every_kind_of_work);
	tcase_add_loop_test(tcase, a_case_repeats_exactly, first, end);
	tcase_add_loop_test(tcase, every_power_cut_leaves_a_prefix, first, end);
	tcase_add_loop_test(tcase, no_failing_call_loses_what_was_synced, first,
			    end);
	tcase_add_loop_test(tcase, so_it_does_with_the_system_s_threads, first,
			    end);
}

int
main(void)
{
	Suite *suite = suite_create("crash");
	TCase *tcase = tcase_create("crash");
	int r;

	crash_run_count_states();
	tcase_set_timeout(tcase, TIMEOUT_S);
	add_tests(tcase);
	suite_add_tcase(suite, tcase);
	r = suite_main(suite);
	suite_cases(crash_run_states());
	return r;
}
