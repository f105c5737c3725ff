/* SPDX-License-Identifier: Apache-2.0 */
/* crash_steps.c - what a script may do with a store, and the model of it. */
#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/crash_impl.h"
#include "tests/must.h"
#include "tests/suite.h"

/* Batches that run_fill() tries, and how large each is. */
#define FILL_MAX 1000u
#define FILL_BYTES 30000u

enum { KEY_BYTES = 8 };

/* ---- Opening and closing ---- */

void
run_open(struct crash_run *run)
{
	if (run->store || fault_env_crashed(run->disk))
		return;
	crash_run_expect(run, "open", crash_run_open(run));
}

void
run_close(struct crash_run *run)
{
	int r;

	if (run_is_over(run))
		return;
	r = crash_run_close(run);
	crash_run_expect(run, "close", r);
	if (r == 0 && !run->options.read_only)
		run->synced = model_batches(run->model);
}

bool
run_is_over(struct crash_run *run)
{
	return !run->store || fault_env_crashed(run->disk);
}

void
run_open_read_only(struct crash_run *run)
{
	if (run->store || fault_env_crashed(run->disk))
		return;
	run->options.read_only = true;
	run->options.create = false;
	crash_run_expect(run, "read-only open", crash_run_open(run));
	run->options.read_only = false;
	run->options.create = true;
	if (!run_is_over(run) && !run->errors)
		crash_run_compare(run, model_batches(run->model));
	run->work[WORK_READ_ONLY_OPENS] += !run_is_over(run);
	(void)crash_run_close(run);
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
	run->work[WORK_DISK_FULL] += r == -ENOSPC && !run->was_full;
	run->work[WORK_DISK_FREED] += r == 0 && run->was_full;
	if (r == 0 || r == -ENOSPC)
		run->was_full = r == -ENOSPC;
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
	crash_run_expect(run, "commit", commit(run, &twin, 0));
}

void
run_put_synced(struct crash_run *run, unsigned key, size_t value_bytes)
{
	struct twin twin;

	if (run_is_over(run))
		return;
	twin_init(&twin);
	twin_put(run, &twin, key, value_bytes);
	crash_run_expect(run, "synced commit", commit(run, &twin, KEYFS_SYNC));
}

void
run_put_long_key(struct crash_run *run, unsigned number, size_t key_bytes)
{
	struct keyfs_slice value = keyfs_str("x"), key;
	struct twin twin;
	char *buf;

	if (run_is_over(run))
		return;
	buf = must_alloc(key_bytes);
	memset(buf, 'k', key_bytes);
	snprintf(buf, KEY_BYTES, "l%06u", number % 1000000);
	key = keyfs_bytes(buf, key_bytes);
	twin_init(&twin);
	keyfs_batch_put(twin.batch, NULL, key, value);
	model_put(twin.model, key, value);
	crash_run_expect(run, "commit", commit(run, &twin, 0));
	free(buf);
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
	crash_run_expect(run, "commit", commit(run, &twin, KEYFS_USE_RESERVE));
}

void
run_put_if_absent(struct crash_run *run, unsigned number)
{
	char buf[KEY_BYTES + 1];
	struct keyfs_slice key = key_of(number, buf), value;
	struct twin twin;
	size_t batches;
	int r;

	if (run_is_over(run))
		return;
	batches = model_batches(run->model);
	twin_init(&twin);
	keyfs_batch_require_absent(twin.batch, NULL, key);
	twin_put(run, &twin, number, 20);
	r = commit(run, &twin, 0);
	run->work[WORK_CONDITIONS_KEPT] += r == 0;
	run->work[WORK_CONDITIONS_FAILED] += r == -ECANCELED;
	if (r == 0 || r == -ECANCELED) {
		/* As it was before: by now the model holds the batch, unless
		 * the power went beside it. */
		struct model *before = model_at(run->model, batches);

		if (model_get(before, key, &value) != (r == -ECANCELED))
			crash_run_give_up(run,
					  "a condition was decided wrongly", r);
		model_free(before);
		return;
	}
	crash_run_expect(run, "conditional commit", r);
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
	crash_run_expect(run, "conditional commit", commit(run, &twin, 0));
}

void
run_sync(struct crash_run *run)
{
	int r;

	if (run_is_over(run))
		return;
	r = keyfs_sync(run->store);
	crash_run_expect(run, "sync", r);
	if (r == 0)
		run->synced = model_batches(run->model);
}

void
run_flush(struct crash_run *run)
{
	if (!run_is_over(run))
		crash_run_expect(run, "flush", keyfs_flush(run->store));
}

void
run_compact(struct crash_run *run)
{
	struct keyfs_slice all = { NULL, 0 };

	if (!run_is_over(run))
		crash_run_expect(run, "compaction",
				 keyfs_compact_range(run->store, NULL, all,
						     all));
}

void
run_wait_idle(struct crash_run *run)
{
	if (!run_is_over(run))
		crash_run_expect(run, "waiting", keyfs_wait_idle(run->store));
}

/* ---- Time, threads and snapshots ---- */

/* After the commit interval everything is durable by itself. */
void
run_rest(struct crash_run *run, unsigned ms)
{
	uint64_t last;

	if (run_is_over(run))
		return;
	last = keyfs_last_seq(run->store);
	if (run->threads)
		fault_env_pass(run->disk, ms * UINT64_C(1000000));
	(void)usleep((run->threads ? 1 : ms) * 1000);
	if (run_is_over(run) || run->options.commit_interval_ms >= ms ||
	    run->threads)
		return;
	if (keyfs_durable_seq(run->store) < last) {
		crash_run_expect(run, "the interval has passed, no sync", -EIO);
		return;
	}
	run->synced = model_batches(run->model);
	run->work[WORK_INTERVALS]++;
}

static void *
sync_again_and_again(void *arg)
{
	struct crash_run *run = arg;

	/* Without a sleep: no time passes as long as somebody can run. */
	for (unsigned i = 0; i < 20 && !fault_env_crashed(run->disk); i++) {
		size_t batches = model_batches(run->model);

		if (keyfs_sync(run->store) == 0 && batches > run->synced)
			run->synced = batches;
	}
	return NULL;
}

void
run_puts_while_syncing(struct crash_run *run, unsigned first, unsigned count)
{
	pthread_t thread;

	/* The model is for one thread, or for threads that take turns. */
	if (run_is_over(run) || run->threads)
		return;
	if (pthread_create(&thread, NULL, sync_again_and_again, run) != 0)
		abort();
	for (unsigned i = 0; i < count; i++) {
		run_puts(run, first + i, 4, 120);
		/* A round of the other one's may be under way. */
		if (i % 2)
			run_sync(run);
	}
	(void)pthread_join(thread, NULL);
}

void
run_snapshot_take(struct crash_run *run, struct run_snapshot *out)
{
	*out = (struct run_snapshot){ NULL, NULL };
	if (run_is_over(run) || keyfs_snapshot_new(run->store, &out->snapshot))
		return;
	out->then = model_copy(run->model);
	run->work[WORK_SNAPSHOTS]++;
}

void
run_snapshot_drop(struct crash_run *run, struct run_snapshot *snapshot)
{
	struct model *found = NULL;

	if (!snapshot->snapshot)
		return;
	if (!run_is_over(run))
		found = crash_run_read(run, snapshot->snapshot);
	if (found && !model_equal(found, snapshot->then))
		crash_run_give_up(run, "a snapshot has changed",
				  (long)model_count(found));
	model_free(found);
	model_free(snapshot->then);
	keyfs_snapshot_free(snapshot->snapshot);
}

/* ---- Disks that are full, fail, or hold strange files ---- */

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
			crash_run_expect(run, "commit", r);
	}
	if (!run_is_over(run) && !run->errors && r != -ENOSPC)
		crash_run_give_up(run, "the disk does not fill", count);
	return count;
}

void
run_fail_sync(struct crash_run *run, enum fault_call call, const char *file)
{
	const struct fault_rule rule = { .calls = FAULT_ON(call),
					 .file = file,
					 .error = -EIO,
					 .drop = true,
					 .drop_names = true };

	run->failing = run->dropped = true;
	run->failures = fault_env_failures(run->disk);
	fault_env_fail(run->disk, &rule);
}

void
run_next_process(struct crash_run *run)
{
	run->work[WORK_SYNCS_FAILED] +=
		run->failing && fault_env_failures(run->disk) > run->failures;
	run->failing = false;
	crash_run_heal(run);
	run_power_cut(run, FAULT_PROCESS_DIED);
}

/* Names that no manifest knows. */
static const char *const leftovers[] = { "900001.sst", "900002.log",
					 "MANIFEST-900003", "CURRENT.tmp" };

#define LEFTOVERS (sizeof(leftovers) / sizeof(leftovers[0]))

void
run_plant_leftovers(struct crash_run *run)
{
	/* They are durable at once.  Without it, now or after a power cut, they would
	 * be all that is left of a damaged store. */
	if (!fault_env_name_synced(run->disk, "CURRENT"))
		return;
	for (unsigned i = 0; i < LEFTOVERS; i++)
		(void)fault_env_plant(run->disk, leftovers[i], "left", 4);
}

void
run_expect_no_leftovers(struct crash_run *run)
{
	uint64_t size;

	if (run_is_over(run) || run->errors)
		return;
	for (unsigned i = 0; i < LEFTOVERS; i++) {
		if (fault_env_size(run->disk, leftovers[i], &size) == 0)
			crash_run_give_up(run, "a leftover stays", (long)i);
	}
	run->work[WORK_LEFTOVERS_REMOVED]++;
}
