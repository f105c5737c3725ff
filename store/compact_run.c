/* SPDX-License-Identifier: Apache-2.0 */
/* compact_run.c - merges: decides for each version whether it survives; see
 * compact.h. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdlib.h>

#include "store/buf.h"
#include "store/compact_output.h"

/* Entries between two looks at the cancel flag. */
enum { CANCEL_EVERY = 64 };

struct run {
	struct compact_job *job;
	struct compact_output output;

	/* The key being merged. */
	struct buf key;
	bool has_key;
	bool key_written; /* an entry of it is in the output */
	uint64_t
		last_seq; /* of the version before this one; UINT64_MAX: none */

	/* Per deeper level, the first table not before the key. */
	size_t cursors[KEYFS_LEVELS];
};

/* ---- What survives ---- */

/* The lowest sequence number at which somebody reads that is not below `seq`.
 */
static uint64_t
reader_at(const struct compact_job *job, uint64_t seq)
{
	size_t low = 0, high = job->snapshot_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (job->snapshots[mid] < seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low < job->snapshot_count ? job->snapshots[low]
					 : job->visible_seq;
}

static uint64_t
oldest_reader(const struct compact_job *job)
{
	return job->snapshot_count ? job->snapshots[0] : job->visible_seq;
}

/* Whether somebody sees this version and not the newer one before it. */
static bool
is_seen(const struct run *run, uint64_t seq)
{
	return seq > run->job->visible_seq ||
	       reader_at(run->job, seq) < run->last_seq;
}

static bool
level_may_hold(struct run *run, unsigned level, struct keyfs_slice key)
{
	const struct version_level *l = &run->job->version->levels[level];
	size_t *cursor = &run->cursors[level];

	while (*cursor < l->count &&
	       key_compare(l->tables[*cursor]->largest, key) < 0)
		(*cursor)++;
	return *cursor < l->count &&
	       key_compare(l->tables[*cursor]->smallest, key) <= 0;
}

/* Whether something was lost that the key may have been among. */
static bool
may_be_lost(const struct compact_job *job, struct keyfs_slice key)
{
	uint64_t bound;
	size_t i;

	if (job->version->damages.count &&
	    damage_list_find(&job->version->damages, key, SEQ_MAX, &bound))
		return true;
	for (i = 0; i < job->lost.count; i++)
		if (damage_bound(job->lost.at[i], key))
			return true;
	return false;
}

static bool
level0_may_hold(const struct version *version, struct keyfs_slice key)
{
	const struct version_level *l = &version->levels[0];
	size_t i;

	for (i = 0; i < l->count; i++)
		if (key_compare(l->tables[i]->smallest, key) <= 0 &&
		    key_compare(l->tables[i]->largest, key) >= 0)
			return true;
	return false;
}

/* Whether older versions of the key may lie below the output.  All of level 0
 * is older than what is flushed. */
static bool
below_may_hold(struct run *run, struct keyfs_slice key)
{
	unsigned level = run->job->output_level + 1;

	if (run->job->output_level == 0 &&
	    level0_may_hold(run->job->version, key))
		return true;
	for (; level < KEYFS_LEVELS; level++)
		if (level_may_hold(run, level, key))
			return true;
	return false;
}

/* A tombstone that hides nothing any more; see compact.h. */
static bool
hides_nothing(struct run *run, const struct entry *entry)
{
	return entry->kind == ENTRY_DELETE &&
	       entry->seq <= oldest_reader(run->job) &&
	       !below_may_hold(run, entry->key) &&
	       !may_be_lost(run->job, entry->key);
}

/* ---- The merge ---- */

static int
begin_key(struct run *run, struct keyfs_slice key)
{
	if (run->has_key && key_equal(key, buf_slice(&run->key)))
		return 0;
	buf_clear(&run->key);
	buf_append(&run->key, key.data, key.len);
	run->has_key = true;
	run->key_written = false;
	run->last_seq = UINT64_MAX;
	return run->key.error;
}

static int
merge_entry(struct run *run, const struct entry *entry)
{
	struct compact_job *job = run->job;
	int r = begin_key(run, entry->key);
	bool seen;

	if (r)
		return r;
	job->entries_read++;
	seen = is_seen(run, entry->seq);
	run->last_seq = entry->seq;
	if (!seen)
		return 0;
	if (hides_nothing(run, entry)) {
		if (entry->seq > job->dropped_tombstone_seq)
			job->dropped_tombstone_seq = entry->seq;
		return 0;
	}
	r = compact_output_add(&run->output, entry, !run->key_written);
	run->key_written = true;
	job->entries_written += !r;
	return r;
}

static bool
is_cancelled(const struct compact_job *job)
{
	/* Relaxed: nothing else is read on the strength of it. */
	return job->cancel &&
	       atomic_load_explicit(job->cancel, memory_order_relaxed);
}

static int
merge_all(struct run *run)
{
	struct iter *input = run->job->input;
	unsigned steps = 0;
	int r = is_cancelled(run->job) ? -ECANCELED : 0;

	if (r)
		return r;
	for (iter_first(input); input->valid; iter_next(input)) {
		r = merge_entry(run, &input->entry);
		if (r)
			return r;
		if (++steps % CANCEL_EVERY == 0 && is_cancelled(run->job))
			return -ECANCELED;
	}
	run->job->input_failed = input->status != 0;
	return input->status ? input->status
			     : compact_output_finish(&run->output);
}

int
compact_run(struct compact_job *job)
{
	struct run run = { .job = job };
	int r;

	compact_output_init(&run.output, job);
	r = merge_all(&run);
	buf_fini(&run.key);
	if (r) {
		compact_output_abort(&run.output);
		compact_abandon(job);
	}
	return r;
}

void
compact_job_fini(struct compact_job *job)
{
	size_t i;

	for (i = 0; i < job->output_count; i++)
		table_meta_unref(job->outputs[i]);
	free(job->outputs);
	damage_list_fini(&job->lost);
	job->outputs = NULL;
	job->output_count = job->output_capacity = 0;
}

void
compact_abandon(struct compact_job *job)
{
	char name[ENV_NAME_MAX + 1];
	size_t i;

	for (i = 0; i < job->output_count; i++) {
		table_file_name(job->outputs[i]->number, name);
		(void)env_unlink(job->set->dir, name);
	}
	compact_job_fini(job);
}
