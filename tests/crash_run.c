/* SPDX-License-Identifier: Apache-2.0 */
/* crash_run.c - see crash_run.h. */
#include <config.h>

#include "tests/crash_run.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/db.h"
#include "tests/must.h"
#include "tests/suite.h"

#define STORE_PATH "store"
/* Longer than any test: syncs happen where the script has them. */
#define NEVER_MS (24u * 60 * 60 * 1000)
/* Batches that run_fill() tries, and how large each is. */
#define FILL_MAX 1000u
#define FILL_BYTES 30000u
/* Of a disk that was full, after somebody made room. */
#define ROOM_BYTES (UINT64_C(1) << 30)

enum { KEY_BYTES = 8 };

static const char *const crash_names[FAULT_CRASH_KINDS] = {
	[FAULT_DROP_ALL] = "all unsynced lost",
	[FAULT_KEEP_ALL] = "nothing lost",
	[FAULT_SUBSET] = "some unsynced lost",
	[FAULT_TEAR_LAST] = "last write torn",
	[FAULT_LOSE_NAMES] = "unsynced names lost",
	[FAULT_ZERO_TAIL] = "files end in zeros",
	[FAULT_GARBAGE_TAIL] = "files end in garbage",
};

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
	(void)keyfs_close(run->store);
	model_free(run->model);
	model_free(run->maybe);
	fault_env_free(run->disk);
}

static void
give_up(struct crash_run *run, const char *what, long n)
{
	fprintf(stderr, "the calls on the disk up to the failure:\n");
	fault_env_trace(run->disk, stderr);
	ck_abort_msg("%s, KEYFS_TEST_CASE=%s, %s: %s (%ld)", run->workload,
		     run->replay, run->found, what, n);
}

bool
run_is_over(struct crash_run *run)
{
	return !run->store || fault_env_crashed(run->disk);
}

/* An error is in order when the power is gone or errors are being made. */
static void
expect(struct crash_run *run, const char *what, int r)
{
	if (r < 0 && !run->errors && !fault_env_crashed(run->disk))
		give_up(run, what, r);
}

void
run_open(struct crash_run *run)
{
	if (run->store || fault_env_crashed(run->disk))
		return;
	expect(run, "open",
	       db_open(fault_env(run->disk), STORE_PATH, &run->options,
		       &run->store));
}

void
run_close(struct crash_run *run)
{
	int r;

	if (run_is_over(run))
		return;
	r = keyfs_close(run->store);
	run->store = NULL;
	expect(run, "close", r);
	if (r == 0)
		run->synced = model_batches(run->model);
}

/* ---- Batches ---- */

/* A batch for the store, and the same as the one batch of a model. */
struct twin {
	struct keyfs_batch *batch;
	struct model *model;
};

static struct keyfs_slice
key_of(unsigned number, char *buf)
{
	snprintf(buf, KEY_BYTES + 1, "k%07u", number % 10000000);
	return keyfs_str(buf);
}

static void
twin_init(struct twin *twin)
{
	ck_assert_int_eq(keyfs_batch_new(&twin->batch), 0);
	twin->model = model_new();
}

/* Half text that compresses, half noise that does not. */
static void
twin_put(struct crash_run *run, struct twin *twin, unsigned number,
	 size_t value_bytes)
{
	char buf[KEY_BYTES + 1], *value = must_alloc(value_bytes);
	struct keyfs_slice key = key_of(number, buf);

	memset(value, 'v', value_bytes);
	for (size_t i = 0; i < value_bytes; i += 2)
		value[i] = (char)suite_random(&run->seed);
	keyfs_batch_put(twin->batch, NULL, key,
			keyfs_bytes(value, value_bytes));
	model_put(twin->model, key, keyfs_bytes(value, value_bytes));
	free(value);
}

static void
twin_delete(struct twin *twin, unsigned number)
{
	char buf[KEY_BYTES + 1];
	struct keyfs_slice key = key_of(number, buf);

	keyfs_batch_delete(twin->batch, NULL, key);
	model_delete(twin->model, key);
}

/* With KEYFS_SYNC or a commit interval of none an error may come from the sync,
 * after the batch was applied: the sequence numbers tell. */
static int
commit(struct crash_run *run, struct twin *twin, unsigned flags)
{
	uint64_t before = keyfs_last_seq(run->store);
	int r = keyfs_commit(run->store, twin->batch, flags, NULL);
	bool applied = r == 0 || keyfs_last_seq(run->store) > before;
	bool durable = flags & KEYFS_SYNC ||
		       run->options.commit_interval_ms == KEYFS_COMMIT_ALWAYS;

	/* Where the log is mapped, a commit needs no call: one that came after
	 * the power went was answered and is nowhere. */
	if (!(r == 0 && durable) && fault_env_crashed(run->disk))
		applied = false;
	keyfs_batch_free(twin->batch);
	model_commit(twin->model);
	model_free(run->maybe);
	run->maybe = NULL;
	if (applied) {
		model_replay(run->model, twin->model, 0);
		model_free(twin->model);
	} else if (r == -ECANCELED) {
		model_free(twin->model);
	} else {
		run->maybe = twin->model;
	}
	if (r == 0 && durable)
		run->synced = model_batches(run->model);
	return r;
}

void
run_puts(struct crash_run *run, unsigned first, unsigned count,
	 size_t value_bytes)
{
	struct twin twin;

	if (run_is_over(run))
		return;
	twin_init(&twin);
	for (unsigned i = 0; i < count; i++)
		twin_put(run, &twin, first + i, value_bytes);
	expect(run, "commit", commit(run, &twin, 0));
}

void
run_put(struct crash_run *run, unsigned key, size_t value_bytes)
{
	run_puts(run, key, 1, value_bytes);
}

void
run_deletes(struct crash_run *run, unsigned first, unsigned count)
{
	struct twin twin;

	if (run_is_over(run))
		return;
	twin_init(&twin);
	for (unsigned i = 0; i < count; i++)
		twin_delete(&twin, first + i);
	expect(run, "commit", commit(run, &twin, KEYFS_USE_RESERVE));
}

void
run_put_if_absent(struct crash_run *run, unsigned number)
{
	char buf[KEY_BYTES + 1];
	struct keyfs_slice key = key_of(number, buf), value;
	struct twin twin;
	int r;

	if (run_is_over(run))
		return;
	twin_init(&twin);
	keyfs_batch_require_absent(twin.batch, NULL, key);
	twin_put(run, &twin, number, 20);
	r = commit(run, &twin, 0);
	if (r == 0 || r == -ECANCELED) {
		/* The model holds the batch already if it was applied: look at
		 * the state before it. */
		struct model *before =
			model_at(run->model,
				 model_batches(run->model) - (r == 0));

		if (model_get(before, key, &value) != (r == -ECANCELED))
			give_up(run, "a condition was decided wrongly", r);
		model_free(before);
		return;
	}
	expect(run, "conditional commit", r);
}

void
run_put_if_unchanged(struct crash_run *run, unsigned number)
{
	char buf[KEY_BYTES + 1];
	struct keyfs_slice key = key_of(number, buf);
	struct keyfs_value value = { 0 };
	struct twin twin;
	uint64_t since;
	int r;

	if (run_is_over(run))
		return;
	since = keyfs_last_seq(run->store);
	r = keyfs_get(run->store, NULL, NULL, key, 0, &value);
	if (r == 0)
		since = value.seq;
	keyfs_value_release(&value);
	twin_init(&twin);
	keyfs_batch_require_unchanged(twin.batch, NULL, key, since);
	twin_put(run, &twin, number, 20);
	expect(run, "conditional commit", commit(run, &twin, 0));
}

void
run_sync(struct crash_run *run)
{
	int r;

	if (run_is_over(run))
		return;
	r = keyfs_sync(run->store);
	expect(run, "sync", r);
	if (r == 0)
		run->synced = model_batches(run->model);
}

void
run_flush(struct crash_run *run)
{
	if (!run_is_over(run))
		expect(run, "flush", keyfs_flush(run->store));
}

void
run_compact(struct crash_run *run)
{
	struct keyfs_slice all = { NULL, 0 };

	if (!run_is_over(run))
		expect(run, "compaction",
		       keyfs_compact_range(run->store, NULL, all, all));
}

void
run_wait_idle(struct crash_run *run)
{
	if (!run_is_over(run))
		expect(run, "waiting", keyfs_wait_idle(run->store));
}

/* ---- Comparing ---- */

static int
report_damage(void *arg, const char *file, uint64_t offset, const char *why)
{
	(void)arg;
	fprintf(stderr, "damage in %s at %" PRIu64 ": %s\n", file, offset, why);
	return 0;
}

/* Everything that the store holds, read in order. */
static struct model *
read_all(struct crash_run *run)
{
	struct model *model = model_new();
	struct keyfs_iter *iter;
	int r = keyfs_iter_new(run->store, NULL, NULL, &iter);

	if (r < 0)
		give_up(run, "no iterator", r);
	for (bool ok = keyfs_iter_first(iter); ok; ok = keyfs_iter_next(iter))
		model_put(model, keyfs_iter_key(iter), keyfs_iter_value(iter));
	r = keyfs_iter_status(iter);
	if (r < 0)
		give_up(run, "reading in order", r);
	keyfs_iter_free(iter);
	return model;
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
			give_up(run, "a key that the iterator showed", r);
		if (value.data.len != expected.len ||
		    memcmp(value.data.data, expected.data, expected.len) != 0)
			give_up(run, "a value differs from the iterator's",
				(long)i);
		keyfs_value_release(&value);
	}
}

/* Makes the model what was found: the state after `low` batches or more. */
static void
settle(struct crash_run *run, size_t low)
{
	struct model *found = read_all(run);
	struct model *state = model_at(run->model, low);

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
		give_up(run, "no prefix of the batches gives what was found",
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
	if (kind == FAULT_KEEP_ALL && !run->dropped)
		return model_batches(run->model);
	return run->synced;
}

static void
open_and_settle(struct crash_run *run, size_t low)
{
	int r = db_open(fault_env(run->disk), STORE_PATH, &run->options,
			&run->store);

	if (r < 0)
		give_up(run, "the store does not open", r);
	settle(run, low);
	r = keyfs_verify(run->store, report_damage, NULL);
	if (r < 0)
		give_up(run, "the store is damaged", r);
}

static void
reboot(struct crash_run *run, enum fault_crash kind)
{
	fault_env_crash(run->disk);
	(void)keyfs_close(run->store);
	run->store = NULL;
	fault_env_reboot(run->disk, kind, suite_random(&run->seed));
}

unsigned
run_fill(struct crash_run *run, unsigned first)
{
	unsigned count = 0;
	struct twin twin;
	int r = 0;

	while (!run_is_over(run) && r != -ENOSPC && count < FILL_MAX) {
		twin_init(&twin);
		twin_put(run, &twin, first + count++, FILL_BYTES);
		r = commit(run, &twin, 0);
		if (r != -ENOSPC)
			expect(run, "commit", r);
	}
	if (!run_is_over(run) && !run->errors && r != -ENOSPC)
		give_up(run, "the disk does not fill", count);
	return count;
}

/* ---- Checking what a crash left ---- */

/* A run on the disk as it is found: it owns all but the history. */
static void
run_after(struct crash_run *run, enum fault_crash kind, uint64_t seed,
	  struct crash_run *out)
{
	*out = *run;
	out->seed = seed;
	out->errors = false;
	out->found = crash_names[kind];
	out->disk = fault_env_after(run->disk, kind, seed);
	crash_run_heal(out);
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

	if (run_is_over(run))
		return;
	fault_env_crash(run->disk);
	(void)keyfs_close(run->store);
	run->store = NULL;
	run_after(run, kind, seed, &after);
	open_and_settle(&after, low);
	model_free(run->model);
	model_free(run->maybe);
	run->model = model_copy(after.model);
	run->maybe = NULL;
	run->synced = after.synced;
	crash_run_fini(&after);
	fault_env_reboot(run->disk, kind, seed);
	run_open(run);
}

/* The power goes in the middle of recovery. */
static void
crash_in_recovery(struct crash_run *run)
{
	enum fault_crash kind = suite_random(&run->seed) % FAULT_CRASH_KINDS;

	fault_env_crash_at(run->disk, suite_random(&run->seed) % 60);
	(void)db_open(fault_env(run->disk), STORE_PATH, &run->options,
		      &run->store);
	reboot(run, kind);
	fault_env_crash_at(run->disk, UINT64_MAX);
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
		give_up(run, "a second recovery found more", (long)batches);
	run_puts(run, 0, 3, 30);
	run_sync(run);
	run_put(run, 1, 30);
	batches = promised(run, FAULT_DROP_ALL);
	reboot(run, FAULT_DROP_ALL);
	open_and_settle(run, batches);
	if (keyfs_close(run->store) < 0)
		give_up(run, "closing", 0);
	run->store = NULL;
}

void
crash_run_check(struct crash_run *run, enum fault_crash kind, uint64_t seed)
{
	struct crash_run after;
	size_t low = promised(run, kind);

	run_after(run, kind, seed, &after);
	if (suite_random(&after.seed) % 4 == 0)
		crash_in_recovery(&after);
	open_and_settle(&after, low);
	fault_env_set_capacity(after.disk, ROOM_BYTES);
	check_again(&after);
	crash_run_fini(&after);
}
