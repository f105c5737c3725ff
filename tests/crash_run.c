/* SPDX-License-Identifier: Apache-2.0 */
/* crash_run.c - see crash_run.h. */
#include <config.h>

#include "tests/crash_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "store/db.h"
#include "tests/crash_impl.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/turns.h"

#define STORE_PATH "store"
/* Longer than any test: syncs happen where the script has them. */
#define NEVER_MS (24u * 60 * 60 * 1000)
/* Of a disk that was full, after somebody made room. */
#define ROOM_BYTES (UINT64_C(1) << 30)
/* Calls that a recovery makes, about. */
#define RECOVERY_CALLS 60u
/* What was recovered is written to in this part of the checks. */
#define WRITE_ON_ONE_IN 3u

static const char *const crash_names[FAULT_CRASH_KINDS] = {
	[FAULT_DROP_ALL] = "all unsynced lost",
	[FAULT_KEEP_ALL] = "nothing lost",
	[FAULT_SUBSET] = "some unsynced lost",
	[FAULT_TEAR_LAST] = "last write torn",
	[FAULT_LOSE_NAMES] = "unsynced names lost",
	[FAULT_ZERO_TAIL] = "files end in zeros",
	[FAULT_GARBAGE_TAIL] = "files end in garbage",
	[FAULT_PROCESS_DIED] = "only the process died",
};

/* ---- Counting over all processes ---- */

/* Each test runs in a process of its own: the counter is shared with them. */
static _Atomic uint64_t *states;

void
crash_run_count_states(void)
{
	states = mmap(NULL, sizeof(*states), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (states == MAP_FAILED)
		abort();
}

uint64_t
crash_run_states(void)
{
	return atomic_load_explicit(states, memory_order_relaxed);
}

static void
count_state(void)
{
	if (states)
		atomic_fetch_add_explicit(states, 1, memory_order_relaxed);
}

/* ---- A store and its model ---- */

/* With KEYFS_TEST_LOG set, what the stores report. */
static void
print_line(void *arg, enum keyfs_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	if (getenv("KEYFS_TEST_LOG"))
		fprintf(stderr, "%s\n", line);
}

static void
look(void *arg, enum fault_call call, const char *name, const char *to)
{
	struct crash_run *run = arg;

	crash_order_look(&run->order, call, name, to);
	if (!name || strcmp(name, "RESERVE") != 0)
		return;
	run->work[WORK_RESERVES_GIVEN] += call == FAULT_TRUNCATE;
	run->work[WORK_RESERVES_TAKEN] += call == FAULT_ALLOCATE;
}

static void
watch_disk(struct crash_run *run)
{
	run->order = (struct crash_order){ .disk = run->disk };
	fault_env_watch(run->disk, look, run);
}

void
crash_run_init(struct crash_run *run, const char *workload, uint64_t seed)
{
	*run = (struct crash_run){
		.workload = workload,
		.found = "before the end",
		.seed = seed,
		.options = {
			.size = sizeof(run->options),
			.create = true,
			.commit_interval_ms = NEVER_MS,
			.memory_bytes = 1 << 20,
			.memtable_bytes = 4 << 10,
			.compaction_threads = 1,
			.block_bytes = 256,
			.table_bytes = 2 << 10,
			.level0_tables = 2,
			.level_ratio = 2,
			.level_bytes = 4 << 10,
			.reserve_bytes = 64 << 10,
			.log = print_line,
		},
		.disk = fault_env_new(seed),
		.model = model_new(),
		.no_maps = seed % 3 == 0,
	};
	crash_run_heal(run);
	watch_disk(run);
}

void
crash_run_heal(struct crash_run *run)
{
	const struct fault_rule rule = { .calls = FAULT_ON(FAULT_MAP) |
						  FAULT_ON(FAULT_ALLOCATE),
					 .error = -EOPNOTSUPP,
					 .forever = true };

	fault_env_heal(run->disk);
	if (run->no_maps)
		fault_env_fail(run->disk, &rule);
}

void
crash_run_fini(struct crash_run *run)
{
	(void)crash_run_close(run);
	model_free(run->model);
	model_free(run->maybe);
	fault_env_free(run->disk);
}

void
crash_run_give_up(struct crash_run *run, const char *what, long n)
{
	fprintf(stderr, "the calls on the disk up to the failure:\n");
	fault_env_trace(run->disk, stderr);
	ck_abort_msg("%s, KEYFS_TEST_CASE=%s, %s: %s (%ld)", run->workload,
		     run->replay, run->found, what, n);
}

void
crash_run_expect(struct crash_run *run, const char *what, int r)
{
	if (r < 0 && !run->errors && !run->failing &&
	    !fault_env_crashed(run->disk))
		crash_run_give_up(run, what, r);
}

/* ---- Opening and closing ---- */

static void
pass_time(void *arg, uint64_t ns)
{
	struct crash_run *run = arg;

	fault_env_pass(run->disk, ns);
}

int
crash_run_open(struct crash_run *run)
{
	int r;

	run->renames = fault_env_count(run->disk, FAULT_RENAME);
	if (!run->threads)
		turns_begin(suite_random(&run->seed), pass_time, run);
	r = db_open(fault_env(run->disk), STORE_PATH, &run->options,
		    &run->store);
	if (r < 0 && !run->threads)
		turns_end();
	if (r == 0)
		run->work[WORK_OPENS]++;
	return r;
}

/* What the store did since it was opened. */
static void
note_work(struct crash_run *run)
{
	struct keyfs_stats s = { .size = sizeof(s) };
	uint64_t *work = run->work;

	if (keyfs_stats_get(run->store, &s) < 0)
		return;
	work[WORK_COMMITS] += s.commits;
	work[WORK_FLUSHES] += s.flushes;
	work[WORK_COMPACTIONS] += s.compactions;
	work[WORK_MOVES] += s.trivial_moves;
	work[WORK_TABLES_DELETED] += s.tables_deleted;
	work[WORK_STOPS] += s.stops;
	work[WORK_RECORDS_REPLAYED] += s.recovered_records;
	work[WORK_TAILS_DROPPED] += s.dropped_tail_bytes > 0;
	/* A round that found an older log unsynced. */
	work[WORK_OLDER_LOGS_SYNCED] +=
		s.log_syncs > s.syncs ? s.log_syncs - s.syncs : 0;
	/* The first is the opening's. */
	if (fault_env_count(run->disk, FAULT_RENAME) > run->renames + 1)
		work[WORK_MANIFESTS_RENEWED]++;
}

int
crash_run_close(struct crash_run *run)
{
	int r;

	if (!run->store)
		return 0;
	note_work(run);
	r = keyfs_close(run->store);
	run->store = NULL;
	if (!run->threads)
		turns_end();
	if (run->order.violation[0])
		crash_run_give_up(run, run->order.violation, 0);
	return r;
}

/* ---- Comparing ---- */

static int
report_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	(void)arg;
	fprintf(stderr, "damage in %s at %" PRIu64 ": %s\n", file, offset, why);
	return 0;
}

struct model *
crash_run_read(struct crash_run *run, struct keyfs_snapshot *snapshot)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .snapshot = snapshot };
	struct model *model = model_new();
	struct keyfs_iter *iter;
	int r = keyfs_iter_new(run->store, NULL, &options, &iter);

	if (r < 0) {
		crash_run_expect(run, "no iterator", r);
		model_free(model);
		return NULL;
	}
	for (bool ok = keyfs_iter_first(iter); ok; ok = keyfs_iter_next(iter))
		model_put(model, keyfs_iter_key(iter), keyfs_iter_value(iter));
	r = keyfs_iter_status(iter);
	keyfs_iter_free(iter);
	if (r == 0)
		return model;
	crash_run_expect(run, "reading in order", r);
	model_free(model);
	return NULL;
}

/* Point reads must agree with reading in order. */
static void
check_gets(struct crash_run *run, const struct model *found)
{
	struct keyfs_value value;

	for (size_t i = 0; i < model_count(found); i++) {
		struct keyfs_slice expected = model_value(found, i);
		int r = keyfs_get(run->store, NULL, NULL, model_key(found, i),
				  0, &value);

		if (r < 0)
			crash_run_give_up(run, "a key that the iterator showed",
					  r);
		if (value.data.len != expected.len ||
		    memcmp(value.data.data, expected.data, expected.len) != 0)
			crash_run_give_up(run,
					  "a value differs from the iterator's",
					  (long)i);
		keyfs_value_release(&value);
	}
}

/* Makes the model what was found: the state after `low` batches or more. */
void
crash_run_compare(struct crash_run *run, size_t low)
{
	struct model *found = crash_run_read(run, NULL), *state;

	/* Power or disk failed in between. */
	if (!found)
		return;
	state = model_at(run->model, low);
	while (!model_equal(found, state) && model_advance(state, run->model))
		;
	if (!model_equal(found, state) && run->maybe)
		model_replay(state, run->maybe, 0);
	if (!model_equal(found, state)) {
		fprintf(stderr,
			"%zu keys found; %zu batches were answered, %zu of "
			"them must be there, and then they hold %zu keys\n",
			model_count(found), model_batches(run->model), low,
			model_count(run->model));
		crash_run_give_up(
			run, "no prefix of the batches gives what was found",
			(long)low);
	}
	check_gets(run, found);
	model_free(found);
	model_free(run->model);
	model_free(run->maybe);
	run->model = state;
	run->maybe = NULL;
	run->synced = model_batches(state);
}

/* How many batches must be there. */
static size_t
promised(const struct crash_run *run, enum fault_crash kind)
{
	if (kind == FAULT_PROCESS_DIED ||
	    (kind == FAULT_KEEP_ALL && !run->drops && !run->dropped))
		return model_batches(run->model);
	return run->synced;
}

static void
open_and_settle(struct crash_run *run, size_t low)
{
	int r = crash_run_open(run);

	if (r < 0)
		crash_run_give_up(run, "the store does not open", r);
	crash_run_compare(run, low);
	r = keyfs_verify(run->store, report_damage, NULL);
	if (r < 0)
		crash_run_give_up(run, "the store is damaged", r);
}

static void
reboot(struct crash_run *run, enum fault_crash kind)
{
	fault_env_crash(run->disk);
	(void)crash_run_close(run);
	fault_env_reboot(run->disk, kind, suite_random(&run->seed));
}

/* ---- Checking what a crash left ---- */

/* A run on the disk as it is found: it owns all but the history. */
static void
run_after(struct crash_run *run, enum fault_crash kind, uint64_t seed,
	  struct crash_run *out)
{
	*out = *run;
	out->seed = seed;
	out->errors = out->failing = false;
	out->found = crash_names[kind];
	out->disk = fault_env_after(run->disk, kind, seed);
	crash_run_heal(out);
	watch_disk(out);
	out->store = NULL;
	out->model = model_copy(run->model);
	out->maybe = run->maybe ? model_copy(run->maybe) : NULL;
}

/* What is found is looked at on a copy of the disk, where nothing fails; then the
 * run goes on with the same disk and whatever is to happen on it. */
void
run_power_cut(struct crash_run *run, enum fault_crash kind)
{
	uint64_t seed = suite_random(&run->seed);
	size_t low = promised(run, kind);
	struct crash_run after;

	if (fault_env_crashed(run->disk))
		return;
	fault_env_crash(run->disk);
	(void)crash_run_close(run);
	run_after(run, kind, seed, &after);
	open_and_settle(&after, low);
	model_free(run->model);
	model_free(run->maybe);
	run->model = model_copy(after.model);
	run->maybe = NULL;
	if (kind != FAULT_PROCESS_DIED)
		run->synced = after.synced;
	crash_run_fini(&after);
	fault_env_reboot(run->disk, kind, seed);
	run_open(run);
	if (run_is_over(run))
		return;
	/* What the last process has left is durable when a store is open. */
	run->synced = model_batches(run->model);
	run->dropped = false;
}

/* The recovery of what a crash of that kind left is cut short too.  Returns how
 * many batches must be there after it. */
static size_t
crash_in_recovery(struct crash_run *run, enum fault_crash kind, size_t low)
{
	enum fault_crash next = suite_random(&run->seed) % FAULT_CRASH_KINDS;

	fault_env_crash_at(run->disk,
			   suite_random(&run->seed) % RECOVERY_CALLS);
	(void)crash_run_open(run);
	reboot(run, next);
	run->work[WORK_RECOVERIES_CUT]++;
	count_state();
	fault_env_crash_at(run->disk, UINT64_MAX);
	/* What only the dead process had seen dies with the machine. */
	return kind == FAULT_PROCESS_DIED && next != FAULT_PROCESS_DIED
		       ? run->synced
		       : low;
}

/* A store that was recovered takes writes like any other. */
static void
write_on(struct crash_run *run)
{
	size_t batches;

	run_puts(run, 0, 3, 30);
	run_sync(run);
	run_put(run, 1, 30);
	batches = promised(run, FAULT_DROP_ALL);
	reboot(run, FAULT_DROP_ALL);
	open_and_settle(run, batches);
}

/* What was found stays, however often it is recovered, and is built upon. */
static void
check_again(struct crash_run *run)
{
	size_t batches = model_batches(run->model);
	enum fault_crash kind = suite_random(&run->seed) % FAULT_CRASH_KINDS;

	reboot(run, kind);
	open_and_settle(run, batches);
	if (model_batches(run->model) != batches)
		crash_run_give_up(run, "a second recovery found more",
				  (long)batches);
	if (suite_random(&run->seed) % WRITE_ON_ONE_IN == 0)
		write_on(run);
	if (crash_run_close(run) < 0)
		crash_run_give_up(run, "closing", 0);
}

void
crash_run_end(struct crash_run *run)
{
	fault_env_crash(run->disk);
	(void)crash_run_close(run);
	crash_run_heal(run);
	if (!getenv("KEYFS_TEST_LOG"))
		return;
	fprintf(stderr, "the calls on the disk up to the crash:\n");
	fault_env_trace(run->disk, stderr);
}

void
crash_run_check(struct crash_run *run, enum fault_crash kind, uint64_t seed)
{
	struct crash_run after;
	size_t low = promised(run, kind);

	count_state();
	run_after(run, kind, seed, &after);
	/* And now and then in the recovery of that. */
	while (suite_random(&after.seed) % 4 == 0)
		low = crash_in_recovery(&after, kind, low);
	open_and_settle(&after, low);
	fault_env_set_capacity(after.disk, ROOM_BYTES);
	check_again(&after);
	memcpy(run->work, after.work, sizeof(run->work));
	crash_run_fini(&after);
}
