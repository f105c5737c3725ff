/* SPDX-License-Identifier: Apache-2.0 */
/* kv_lsm.c - the embedded engine: kv.h over libkeyfs, one store in one directory.
 *
 * A view is a snapshot, a version a sequence number.  A condition becomes "no change
 * since the view": as the view saw that version, nothing newer means unchanged.
 * Nothing here has state of its own, so the threads are the store's business. */
#include <config.h>

#include "fs/kv.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* The store refuses batches over a quarter of its memory. */
#define LSM_MEMORY_DEFAULT ((size_t)256 << 20)
#define LSM_MEMORY_SHARE 4u

/* More keys than a read of 1 MiB needs are fetched in several calls. */
#define LSM_MGET_MAX 128u

struct kv_lsm {
	struct kv kv;
	/* Constant after open. */
	struct keyfs_store *store; /* owned */
	struct kv_caps caps;
	char *path; /* owned */
};

struct lsm_view {
	struct kv_view view;
	struct keyfs_snapshot *snapshot; /* owned */
};

/* One batch a thread, kept for the next commit. */
static pthread_once_t batch_once = PTHREAD_ONCE_INIT;
static pthread_key_t batch_key;
static bool batch_key_made;

static void
batch_done(void *batch)
{
	keyfs_batch_free(batch);
}

static void
batch_init(void)
{
	batch_key_made = pthread_key_create(&batch_key, batch_done) == 0;
}

static struct kv_lsm *
lsm_of(struct kv *kv)
{
	return (struct kv_lsm *)kv;
}

static struct keyfs_snapshot *
snapshot_of(struct kv_view *view)
{
	return ((struct lsm_view *)view)->snapshot;
}

static unsigned
store_flags(unsigned flags)
{
	unsigned out = 0;

	if (flags & KV_NOWAIT)
		out |= KEYFS_NOWAIT;
	if (flags & KV_USE_RESERVE)
		out |= KEYFS_USE_RESERVE;
	return out;
}

static const struct kv_caps *
lsm_caps(struct kv *kv)
{
	return &lsm_of(kv)->caps;
}

static int
lsm_view_open(struct kv *kv, struct kv_view **out)
{
	struct lsm_view *view = malloc(sizeof(*view));
	int rc;

	if (!view)
		return -ENOMEM;
	rc = keyfs_snapshot_new(lsm_of(kv)->store, &view->snapshot);
	if (rc) {
		free(view);
		return rc;
	}
	view->view.version = keyfs_snapshot_seq(view->snapshot);
	*out = &view->view;
	return 0;
}

static void
lsm_view_close(struct kv *kv, struct kv_view *view)
{
	(void)kv;
	keyfs_snapshot_free(snapshot_of(view));
	free(view);
}

static void
lsm_release(struct kv_value *value)
{
	struct keyfs_value pinned = { .data = value->data,
				      .seq = value->version,
				      .pin = value->pin,
				      .store = value->owner };

	keyfs_value_release(&pinned);
}

static void
value_take(struct kv_value *out, const struct keyfs_value *pinned)
{
	*out = (struct kv_value){ .data = pinned->data,
				  .version = pinned->seq,
				  .pin = pinned->pin,
				  .owner = pinned->store,
				  .release = lsm_release };
}

static int
lsm_get(struct kv *kv, struct kv_view *view, struct keyfs_slice key,
	unsigned flags, struct kv_value *out)
{
	struct keyfs_value pinned = { 0 };
	int rc = keyfs_get(lsm_of(kv)->store, NULL, snapshot_of(view), key,
			   store_flags(flags), &pinned);

	if (rc == -ENOENT) {
		*out = (struct kv_value){ 0 };
		return 0;
	}
	if (!rc)
		value_take(out, &pinned);
	return rc;
}

/* Hands over the pins of one call, or drops them all at the first error. */
static int
mget_take(size_t count, struct keyfs_value *pinned, const int *results,
	  struct kv_value *out)
{
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++)
		if (results[i] && results[i] != -ENOENT)
			rc = results[i];
	for (size_t i = 0; i < count; i++) {
		out[i] = (struct kv_value){ 0 };
		if (results[i])
			continue;
		if (rc)
			keyfs_value_release(&pinned[i]);
		else
			value_take(&out[i], &pinned[i]);
	}
	return rc;
}

static int
mget_some(struct kv *kv, struct kv_view *view, size_t count,
	  const struct keyfs_slice *keys, unsigned flags, struct kv_value *out)
{
	struct keyfs_value pinned[LSM_MGET_MAX] = { 0 };
	int results[LSM_MGET_MAX];
	int rc = keyfs_mget(lsm_of(kv)->store, NULL, snapshot_of(view), count,
			    keys, store_flags(flags), pinned, results);

	return rc ? rc : mget_take(count, pinned, results, out);
}

static int
lsm_mget(struct kv *kv, struct kv_view *view, size_t count,
	 const struct keyfs_slice *keys, unsigned flags, struct kv_value *out)
{
	size_t done = 0;
	int rc = 0;

	while (done < count && !rc) {
		size_t n = count - done;

		if (n > LSM_MGET_MAX)
			n = LSM_MGET_MAX;
		rc = mget_some(kv, view, n, keys + done, flags, out + done);
		if (!rc)
			done += n;
	}
	while (rc && done > 0)
		kv_value_release(&out[--done]);
	return rc;
}

static int
lsm_scan(struct kv *kv, struct kv_view *view, struct keyfs_slice begin,
	 struct keyfs_slice end, unsigned flags, kv_each_fn each, void *arg)
{
	struct keyfs_iter_options options = { .size = sizeof(options),
					      .snapshot = snapshot_of(view),
					      .lower = begin,
					      .upper = end,
					      .flags = store_flags(flags) };
	struct keyfs_iter *iter;
	int rc = keyfs_iter_new(lsm_of(kv)->store, NULL, &options, &iter);

	if (rc)
		return rc;
	for (keyfs_iter_first(iter); keyfs_iter_valid(iter) && !rc;) {
		rc = each(arg, keyfs_iter_key(iter), keyfs_iter_value(iter),
			  keyfs_iter_seq(iter));
		if (!rc)
			keyfs_iter_next(iter);
	}
	if (!rc)
		rc = keyfs_iter_status(iter);
	keyfs_iter_free(iter);
	return rc;
}

/* This thread's batch, empty; owned by the thread. */
static struct keyfs_batch *
batch_mine(void)
{
	struct keyfs_batch *batch;

	pthread_once(&batch_once, batch_init);
	if (!batch_key_made)
		return NULL;
	batch = pthread_getspecific(batch_key);
	if (batch) {
		keyfs_batch_clear(batch);
		return batch;
	}
	if (keyfs_batch_new(&batch))
		return NULL;
	if (pthread_setspecific(batch_key, batch)) {
		keyfs_batch_free(batch);
		return NULL;
	}
	return batch;
}

static void
batch_fill(struct keyfs_batch *out, const struct kv_batch *batch)
{
	for (size_t i = 0; i < batch->condition_count; i++)
		keyfs_batch_require_unchanged(out, NULL,
					      batch->conditions[i].key,
					      batch->conditions[i].as_of);
	for (size_t i = 0; i < batch->change_count; i++) {
		const struct kv_change *change = &batch->changes[i];

		if (change->kind == KV_PUT)
			keyfs_batch_put(out, NULL, change->key, change->value);
		else
			keyfs_batch_delete(out, NULL, change->key);
	}
}

static int
lsm_commit(struct kv *kv, const struct kv_batch *batch, unsigned flags,
	   uint64_t *out_version)
{
	struct keyfs_batch *mine = batch_mine();

	if (!mine)
		return -ENOMEM;
	batch_fill(mine, batch);
	return keyfs_commit(lsm_of(kv)->store, mine, store_flags(flags),
			    out_version);
}

static int
lsm_sync(struct kv *kv)
{
	return keyfs_sync(lsm_of(kv)->store);
}

static int
lsm_space(struct kv *kv, struct kv_space *out)
{
	struct statvfs disk;

	if (statvfs(lsm_of(kv)->path, &disk))
		return -errno;
	out->total_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
	out->available_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	return 0;
}

static const char *
state_name(enum keyfs_state state)
{
	switch (state) {
	case KEYFS_STATE_OK:
		return "ok";
	case KEYFS_STATE_NO_SPACE:
		return "no space";
	case KEYFS_STATE_FAILED:
		return "failed";
	}
	return "unknown";
}

static void
json_levels(FILE *to, const char *name, const uint64_t *levels)
{
	fprintf(to, "  \"%s\": [", name);
	for (int i = 0; i < KEYFS_LEVELS; i++)
		fprintf(to, "%s%" PRIu64, i ? ", " : "", levels[i]);
	fprintf(to, "],\n");
}

/* The plain counters of struct keyfs_stats, under their own names. */
#define FIGURE(member)                                                         \
	{                                                                      \
#member, offsetof(struct keyfs_stats, member)                  \
	}
static const struct {
	const char *name;
	size_t offset;
} figures[] = {
	FIGURE(last_seq),
	FIGURE(durable_seq),
	FIGURE(entries),
	FIGURE(log_bytes),
	FIGURE(memory_budget),
	FIGURE(memtable_bytes),
	FIGURE(cache_bytes),
	FIGURE(table_index_bytes),
	FIGURE(pinned_bytes),
	FIGURE(gets),
	FIGURE(gets_found),
	FIGURE(bloom_negatives),
	FIGURE(cache_hits),
	FIGURE(cache_misses),
	FIGURE(commits),
	FIGURE(commit_bytes),
	FIGURE(syncs),
	FIGURE(log_syncs),
	FIGURE(flushes),
	FIGURE(flush_bytes),
	FIGURE(compactions),
	FIGURE(compaction_read_bytes),
	FIGURE(compaction_bytes),
	FIGURE(trivial_moves),
	FIGURE(tables_deleted),
	FIGURE(delays),
	FIGURE(delay_ns),
	FIGURE(stops),
	FIGURE(stop_ns),
	FIGURE(snapshots),
	FIGURE(iterators),
	FIGURE(recovered_records),
	FIGURE(dropped_tail_bytes),
	FIGURE(damage_ranges),
	FIGURE(damage_bytes),
	FIGURE(damage_files),
	FIGURE(scrub_bytes),
	FIGURE(scrub_passes),
	FIGURE(scrub_last_s),
	FIGURE(scrub_last_bytes),
	FIGURE(scrub_last_damages),
};
#undef FIGURE

static void
json_figures(FILE *to, const struct keyfs_stats *stats)
{
	size_t count = sizeof(figures) / sizeof(figures[0]);

	for (size_t i = 0; i < count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)stats + figures[i].offset,
		       sizeof(value));
		fprintf(to, "  \"%s\": %" PRIu64 "%s\n", figures[i].name, value,
			i + 1 < count ? "," : "");
	}
}

static int
stats_json(struct keyfs_store *store, char **out)
{
	struct keyfs_stats stats = { .size = sizeof(stats) };
	char *text = NULL;
	size_t len;
	FILE *to;
	int rc = keyfs_stats_get(store, &stats);

	if (rc)
		return rc;
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	fprintf(to, "{\n  \"state\": \"%s\",\n  \"error\": %d,\n",
		state_name(stats.state), stats.error);
	json_levels(to, "level_tables", stats.level_tables);
	json_levels(to, "level_bytes", stats.level_bytes);
	json_figures(to, &stats);
	fprintf(to, "}\n");
	/* The C library may close it with success and without the text. */
	if (fclose(to) || !text) {
		free(text);
		return -ENOMEM;
	}
	*out = text;
	return 0;
}

static int
lsm_stats(struct kv *kv, bool json, char **out)
{
	struct keyfs_store *store = lsm_of(kv)->store;

	if (json)
		return stats_json(store, out);
	return keyfs_property(store, "stats", out);
}

static int
lsm_close(struct kv *kv)
{
	struct kv_lsm *lsm = lsm_of(kv);
	int rc = keyfs_close(lsm->store);

	free(lsm->path);
	free(lsm);
	return rc;
}

static const struct kv_ops lsm_ops = {
	.caps = lsm_caps,
	.view_open = lsm_view_open,
	.view_close = lsm_view_close,
	.get = lsm_get,
	.mget = lsm_mget,
	.scan = lsm_scan,
	.commit = lsm_commit,
	.sync = lsm_sync,
	.space = lsm_space,
	.stats = lsm_stats,
	.close = lsm_close,
};

static struct kv_caps
lsm_limits(const struct keyfs_options *options)
{
	size_t memory = options ? options->memory_bytes : 0;

	if (!memory)
		memory = LSM_MEMORY_DEFAULT;
	return (struct kv_caps){
		.key_bytes_max = KEYFS_KEY_MAX,
		.value_bytes_max = KEYFS_VALUE_MAX,
		.commit_changes_max = SIZE_MAX,
		.commit_bytes_max = memory / LSM_MEMORY_SHARE,
	};
}

int
kv_lsm_new(struct keyfs_store *store, const char *path,
	   const struct keyfs_options *options, struct kv **out)
{
	struct kv_lsm *lsm = calloc(1, sizeof(*lsm));
	char *own_path = strdup(path);

	if (!lsm || !own_path) {
		free(lsm);
		free(own_path);
		return -ENOMEM;
	}
	lsm->kv.ops = &lsm_ops;
	lsm->caps = lsm_limits(options);
	lsm->path = own_path;
	lsm->store = store;
	*out = &lsm->kv;
	return 0;
}

static int
lsm_open(const char *path, const struct keyfs_options *options, struct kv **out)
{
	struct keyfs_store *store;
	int rc = keyfs_open(path, options, &store);

	if (rc)
		return rc;
	rc = kv_lsm_new(store, path, options, out);
	if (rc)
		(void)keyfs_close(store);
	return rc;
}

int
kv_open(const char *address, const struct keyfs_options *options,
	struct kv **out)
{
	static const char scheme[] = "lsm:";

	if (!strncmp(address, scheme, sizeof(scheme) - 1))
		return lsm_open(address + sizeof(scheme) - 1, options, out);
	if (strstr(address, "://"))
		return -EPROTONOSUPPORT;
	return lsm_open(address, options, out);
}
