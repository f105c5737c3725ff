/* SPDX-License-Identifier: Apache-2.0 */
/* crash_test.c - scripts of what a store does, with the power cut at every call
 * that reaches the disk, and with every call failing.
 *
 * KEYFS_TEST_POINTS is how many of a script's calls are tried, spread over it from
 * a random first one; 0 means all.  A failure names its KEYFS_TEST_CASE, which runs
 * it alone; KEYFS_TEST_LOG=1 shows what the stores reported and the calls before
 * the fault.  The store's threads make the order of the calls differ a little
 * between runs, so a case repeats mostly, not always. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash_run.h"
#include "tests/suite.h"

#define POINTS 3
#define TIMEOUT_S 600
/* What the store keeps free of a disk beyond its reserve, and a little. */
#define FULL_BYTES (UINT64_C(6) << 20)
#define ROOM_BYTES (UINT64_C(1) << 30)
#define MARK_BYTES_MAX 24

/* ---- The scripts ---- */

static void
new_store(struct crash_run *run)
{
	run_open(run);
	run_close(run);
	run_open(run);
	run_close(run);
}

static void
puts_and_syncs(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 12; i++) {
		run_put(run, i % 7, 40);
		if (i % 3 == 2)
			run_sync(run);
	}
	run_close(run);
}

/* No sync and no flush asked for: the memtables fill, one log follows the other. */
static void
log_switches(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 12; i++)
		run_puts(run, i * 5, 8, 150);
	run_sync(run);
	for (unsigned i = 0; i < 12; i++)
		run_puts(run, i * 3, 8, 150);
	run_close(run);
}

static void
sync_reaches_older_logs(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 10, 300);
		run_puts(run, i + 20, 10, 300);
		run_put(run, 100 + i, 10);
		run_sync(run);
	}
	run_put(run, 50, 10);
	run_close(run);
}

static void
flushes(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 6, 60);
		run_flush(run);
		run_put(run, 100 + i, 60);
	}
	run_sync(run);
	run_close(run);
}

static void
compactions(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i * 4, 12, 100);
		run_flush(run);
		run_puts(run, 100 - i * 4, 6, 100);
	}
	run_compact(run);
	run_puts(run, 0, 10, 50);
	run_deletes(run, 20, 30);
	run_compact(run);
	run_wait_idle(run);
	run_put(run, 1, 20);
	run_close(run);
}

static void
clean_reopens(struct crash_run *run)
{
	for (unsigned i = 0; i < 4; i++) {
		run_open(run);
		run_puts(run, i * 2, 3, 50);
		run_put(run, i, 30);
		run_close(run);
	}
}

static void
crashes_and_more_crashes(struct crash_run *run)
{
	static const enum fault_crash kinds[] = { FAULT_SUBSET, FAULT_DROP_ALL,
						  FAULT_KEEP_ALL,
						  FAULT_TEAR_LAST };

	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 4, 60);
		run_sync(run);
		run_puts(run, i + 10, 4, 60);
		run_put(run, i + 20, 10);
		run_power_cut(run, kinds[i]);
		run_put(run, i + 30, 10);
		run_sync(run);
	}
	run_close(run);
}

static void
deletes(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 30, 60);
	run_flush(run);
	run_deletes(run, 0, 20);
	run_sync(run);
	run_flush(run);
	run_puts(run, 5, 5, 30);
	run_deletes(run, 0, 40);
	run_compact(run);
	run_put(run, 7, 20);
	run_close(run);
}

static void
conditions(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 6; i++) {
		run_put_if_absent(run, i % 4);
		run_put_if_unchanged(run, i);
		if (i == 2)
			run_flush(run);
		if (i % 2)
			run_deletes(run, i, 1);
	}
	run_sync(run);
	run_put_if_absent(run, 3);
	run_close(run);
}

static void
full_memtables(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 60; i++)
		run_puts(run, i * 7 % 50, 4, 180);
	run_wait_idle(run);
	run_puts(run, 0, 4, 50);
	run_close(run);
}

static void
full_disk(struct crash_run *run)
{
	unsigned tried;

	fault_env_set_capacity(run->disk, FULL_BYTES);
	run_open(run);
	run_put(run, 0, 100);
	run_sync(run);
	tried = run_fill(run, 1);
	run_deletes(run, 1, tried);
	run_sync(run);
	fault_env_set_capacity(run->disk, ROOM_BYTES);
	run_wait_idle(run);
	run_put(run, 0, 50);
	run_sync(run);
	run_close(run);
}

static void
large_values(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_put(run, i, 3000 + i * 9000);
		run_put(run, i + 10, 10);
		if (i == 2)
			run_sync(run);
	}
	run_flush(run);
	run_put(run, 2, 20000);
	run_close(run);
}

static void
every_commit_synced(struct crash_run *run)
{
	run->options.commit_interval_ms = KEYFS_COMMIT_ALWAYS;
	run_open(run);
	for (unsigned i = 0; i < 15; i++)
		run_puts(run, i, 2, 120);
	run_close(run);
}

static void
a_snapshot_through_compaction(struct crash_run *run)
{
	struct keyfs_snapshot *snapshot = NULL;

	run_open(run);
	run_puts(run, 0, 15, 80);
	if (!run_is_over(run))
		(void)keyfs_snapshot_new(run->store, &snapshot);
	run_flush(run);
	run_puts(run, 0, 10, 80);
	run_deletes(run, 5, 5);
	run_compact(run);
	keyfs_snapshot_free(snapshot);
	run_puts(run, 3, 5, 30);
	run_compact(run);
	run_close(run);
}

static const struct {
	const char *name;
	void (*run)(struct crash_run *run);
} workloads[] = {
	{ "new_store", new_store },
	{ "puts_and_syncs", puts_and_syncs },
	{ "log_switches", log_switches },
	{ "sync_reaches_older_logs", sync_reaches_older_logs },
	{ "flushes", flushes },
	{ "compactions", compactions },
	{ "clean_reopens", clean_reopens },
	{ "crashes_and_more_crashes", crashes_and_more_crashes },
	{ "deletes", deletes },
	{ "conditions", conditions },
	{ "full_memtables", full_memtables },
	{ "full_disk", full_disk },
	{ "large_values", large_values },
	{ "every_commit_synced", every_commit_synced },
	{ "a_snapshot_through_compaction", a_snapshot_through_compaction },
};

#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

/* ---- Which calls ---- */

/* The calls of one script at which something goes wrong. */
struct points {
	uint64_t next, step, end;
};

static struct points
spread(uint64_t calls, uint64_t *random)
{
	const char *given = getenv("KEYFS_TEST_POINTS");
	uint64_t wanted = given ? strtoull(given, NULL, 0) : POINTS;
	struct points points = { 0, 1, calls };

	if (wanted && calls > wanted) {
		points.step = calls / wanted;
		points.next = suite_random(random) % points.step;
	}
	return points;
}

static uint64_t
calls_of(int workload, uint64_t seed)
{
	struct crash_run run;
	uint64_t calls;

	crash_run_init(&run, workloads[workload].name, seed);
	workloads[workload].run(&run);
	ck_assert_ptr_null(run.store);
	calls = fault_env_calls(run.disk);
	/* Undisturbed, it ends with everything durable. */
	crash_run_check(&run, FAULT_DROP_ALL, seed);
	crash_run_fini(&run);
	return calls;
}

/* Before a case is looked at. */
static void
show_calls(struct crash_run *run)
{
	if (!getenv("KEYFS_TEST_LOG"))
		return;
	fprintf(stderr, "the calls on the disk up to the crash:\n");
	fault_env_trace(run->disk, stderr);
}

/* ---- Power cuts ---- */

static void
cut_power_at(int workload, uint64_t point, uint64_t seed)
{
	struct crash_run run;

	crash_run_init(&run, workloads[workload].name, seed);
	snprintf(run.replay, sizeof(run.replay), "%d,%" PRIu64 ",%" PRIu64,
		 workload, point, seed);
	fault_env_crash_at(run.disk, point);
	workloads[workload].run(&run);
	fault_env_crash(run.disk);
	(void)keyfs_close(run.store);
	run.store = NULL;
	show_calls(&run);
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
	struct points points = spread(calls, &random);

	for (; points.next < points.end; points.next += points.step)
		cut_power_at(_i, points.next, suite_random(&random));
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
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void
fail_call(int workload, unsigned fault, uint64_t point, uint64_t seed)
{
	struct fault_rule rule = faults[fault].rule;
	struct crash_run run;

	rule.skip = point;
	crash_run_init(&run, workloads[workload].name, seed);
	snprintf(run.replay, sizeof(run.replay),
		 "%d,%" PRIu64 ",%" PRIu64 ",%u", workload, point, seed, fault);
	run.errors = true;
	run.dropped = rule.drop;
	fault_env_fail(run.disk, &rule);
	workloads[workload].run(&run);
	(void)keyfs_close(run.store);
	run.store = NULL;
	show_calls(&run);
	crash_run_heal(&run);
	fault_env_crash(run.disk);
	crash_run_check(&run, FAULT_KEEP_ALL, suite_random(&seed));
	crash_run_check(&run, FAULT_DROP_ALL, suite_random(&seed));
	crash_run_fini(&run);
}

START_TEST(no_failing_call_loses_what_was_synced)
{
	uint64_t random = suite_seed();
	uint64_t calls = calls_of(_i, random);

	for (unsigned fault = 0; fault < FAULTS; fault++) {
		struct points points = spread(calls, &random);

		points.step *= 2;
		for (; points.next < points.end; points.next += points.step)
			fail_call(_i, fault, points.next,
				  suite_random(&random));
	}
}
END_TEST

/* ---- The order of syncs ---- */

struct order {
	struct fault_env *disk;
	char manifest[64]; /* that CURRENT or its successor names */
	char violation[256];
};

static void
note_violation(struct order *order, const char *what, const char *name)
{
	if (order->violation[0] == '\0')
		snprintf(order->violation, sizeof(order->violation), "%s %s",
			 what, name);
}

/* The manifest that a file like CURRENT names: the word before the blank. */
static bool
named_manifest(struct order *order, const char *current)
{
	char text[64] = { 0 };
	uint64_t size;

	if (fault_env_size(order->disk, current, &size) < 0 || size == 0 ||
	    size >= sizeof(text) ||
	    fault_env_peek(order->disk, current, 0, text, size) < 0)
		return false;
	text[strcspn(text, " \n")] = '\0';
	memcpy(order->manifest, text, sizeof(order->manifest));
	return true;
}

/* Behind its last record a manifest may have an unsynced mark. */
static bool
is_durable(struct order *order, const char *name)
{
	return fault_env_name_synced(order->disk, name) &&
	       fault_env_unsynced_bytes(order->disk, name) <= MARK_BYTES_MAX;
}

static void
watch_order(void *arg, enum fault_call call, const char *name, const char *to)
{
	struct order *order = arg;

	if (call == FAULT_RENAME && strcmp(to, "CURRENT") == 0) {
		if (fault_env_unsynced_bytes(order->disk, name) > 0)
			note_violation(order, "renamed unsynced", name);
		if (!named_manifest(order, name))
			note_violation(order, "names no manifest:", name);
		else if (!is_durable(order, order->manifest))
			note_violation(order, "CURRENT names unsynced",
				       order->manifest);
	}
	if (call == FAULT_UNLINK && strstr(name, "MANIFEST") &&
	    !fault_env_synced(order->disk, "CURRENT"))
		note_violation(order, "CURRENT is unsynced, removed", name);
	if (call == FAULT_UNLINK && strcmp(name, "CURRENT") == 0)
		note_violation(order, "removed", name);
}

/* Nothing is named before it is durable, nothing removed before what replaces it
 * is. */
START_TEST(names_follow_syncs)
{
	struct order order = { 0 };
	struct crash_run run;

	crash_run_init(&run, workloads[_i].name, suite_seed());
	order.disk = run.disk;
	fault_env_watch(run.disk, watch_order, &order);
	workloads[_i].run(&run);
	if (order.violation[0]) {
		fault_env_trace(run.disk, stderr);
		ck_abort_msg("%s: %s", workloads[_i].name, order.violation);
	}
	crash_run_fini(&run);
}
END_TEST

START_TEST(one_case_again)
{
	const char *given = getenv("KEYFS_TEST_CASE");
	unsigned long long point, seed;
	unsigned workload, fault;
	int n = sscanf(given, "%u,%llu,%llu,%u", &workload, &point, &seed,
		       &fault);

	ck_assert_int_ge(n, 3);
	ck_assert_uint_lt(workload, WORKLOADS);
	if (n == 3) {
		cut_power_at((int)workload, point, seed);
		return;
	}
	ck_assert_uint_lt(fault, FAULTS);
	fail_call((int)workload, fault, point, seed);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("crash");
	TCase *tcase = tcase_create("crash");

	tcase_set_timeout(tcase, TIMEOUT_S);
	if (getenv("KEYFS_TEST_CASE")) {
		tcase_add_test(tcase, one_case_again);
	} else {
		tcase_add_loop_test(tcase, names_follow_syncs, 0, WORKLOADS);
		tcase_add_loop_test(tcase, every_power_cut_leaves_a_prefix, 0,
				    WORKLOADS);
		tcase_add_loop_test(tcase,
				    no_failing_call_loses_what_was_synced, 0,
				    WORKLOADS);
	}
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
