/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h - what any key-value engine must offer to the filesystem.
 *
 * The calls are few and shaped so that an embedded engine (microseconds a call)
 * and a remote one (a millisecond a call) both fit: reads can be batched, every
 * read returns a version, and commit is the only write.  Optimistic transactions
 * are built once, above all engines, in fs/txn.
 *
 * Results are 0 or -errno.  Any thread may call.  Keys and values are bytes;
 * slices are borrowed. */
#ifndef FS_KV_H
#define FS_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct kv_ops;

/* An engine puts its own members behind. */
struct kv {
	const struct kv_ops *ops;
};

/* A state fixed for reading; an engine puts its own members behind. */
struct kv_view {
	/* The version of the newest commit that this view sees. */
	uint64_t version;
};

/* Capabilities are data: the layers above obey them, or fail with -E2BIG before
 * anything is sent.  Nothing is ever split silently. */
#define KV_REMOTE 1u  /* a call costs a round trip */
#define KV_SHARED 2u  /* others may write too */
#define KV_DURABLE 4u /* commit is durable by itself, sync does nothing */

struct kv_caps {
	size_t key_bytes_max, value_bytes_max;
	size_t commit_changes_max, commit_bytes_max;
	unsigned flags;
};

/* Flags of reads and commits. */
#define KV_NOWAIT 1u /* -EAGAIN rather than wait for a disk or for anything */
#define KV_USE_RESERVE 2u /* commit: it frees space; allowed on a full disk */
#define KV_KEYS_ONLY 4u   /* scan: the values are not needed */

/* A value, pinned until kv_value_release().  `version` is that of the commit which
 * wrote it; an absent key has version 0. */
struct kv_value {
	struct keyfs_slice data;
	uint64_t version;
	void *pin, *owner;                       /* the engine's own */
	void (*release)(struct kv_value *value); /* NULL: nothing to do */
};

/* A condition of a commit: the key has still the `version` that was read (0: still
 * absent) through a view of version `as_of`. */
struct kv_condition {
	struct keyfs_slice key;
	uint64_t version;
	uint64_t as_of;
};

enum kv_change_kind { KV_PUT, KV_DELETE };

struct kv_change {
	enum kv_change_kind kind;
	struct keyfs_slice key;
	struct keyfs_slice value;
};

/* One atomic step.  Arrays and bytes are borrowed. */
struct kv_batch {
	const struct kv_condition *conditions;
	size_t condition_count;
	const struct kv_change *changes;
	size_t change_count;
};

struct kv_space {
	uint64_t total_bytes, available_bytes;
};

/* Called for each key of a scan, in order; a value other than 0 ends it. */
typedef int (*kv_each_fn)(void *arg, struct keyfs_slice key,
			  struct keyfs_slice value, uint64_t version);

struct kv_ops {
	const struct kv_caps *(*caps)(struct kv *kv);
	int (*view_open)(struct kv *kv, struct kv_view **out);
	void (*view_close)(struct kv *kv, struct kv_view *view);
	int (*get)(struct kv *kv, struct kv_view *view, struct keyfs_slice key,
		   unsigned flags, struct kv_value *out);
	int (*mget)(struct kv *kv, struct kv_view *view, size_t count,
		    const struct keyfs_slice *keys, unsigned flags,
		    struct kv_value *out);
	int (*scan)(struct kv *kv, struct kv_view *view,
		    struct keyfs_slice begin, struct keyfs_slice end,
		    unsigned flags, kv_each_fn each, void *arg);
	int (*commit)(struct kv *kv, const struct kv_batch *batch,
		      unsigned flags, uint64_t *out_version);
	int (*sync)(struct kv *kv);
	int (*space)(struct kv *kv, struct kv_space *out);
	int (*stats)(struct kv *kv, bool json, char **out);
	int (*close)(struct kv *kv);
};

static inline const struct kv_caps *
kv_caps(struct kv *kv)
{
	return kv->ops->caps(kv);
}

/* Fixes the latest state.  The caller closes it. */
static inline int
kv_view_open(struct kv *kv, struct kv_view **out)
{
	return kv->ops->view_open(kv, out);
}

/* NULL is allowed. */
static inline void
kv_view_close(struct kv *kv, struct kv_view *view)
{
	if (view)
		kv->ops->view_close(kv, view);
}

/* Reads one key.  An absent key is 0 with out->version 0 and no data.  The caller
 * releases *out. */
static inline int
kv_get(struct kv *kv, struct kv_view *view, struct keyfs_slice key,
       unsigned flags, struct kv_value *out)
{
	return kv->ops->get(kv, view, key, flags, out);
}

/* Reads `count` keys at once, each as kv_get().  On an error nothing is pinned. */
static inline int
kv_mget(struct kv *kv, struct kv_view *view, size_t count,
	const struct keyfs_slice *keys, unsigned flags, struct kv_value *out)
{
	return kv->ops->mget(kv, view, count, keys, flags, out);
}

/* Calls `each` for the keys from `begin` to before `end` (.data NULL: to the last).
 * Returns 0 at the end, what `each` returned, or an error.  With KV_NOWAIT -EAGAIN may
 * come after some calls of `each`: begin again. */
static inline int
kv_scan(struct kv *kv, struct kv_view *view, struct keyfs_slice begin,
	struct keyfs_slice end, unsigned flags, kv_each_fn each, void *arg)
{
	return kv->ops->scan(kv, view, begin, end, flags, each, arg);
}

/* Applies a batch, all or nothing.  *out_version (may be NULL) is that of the commit.
 * -ECANCELED: a condition did not hold, nothing was done.  -EAGAIN (KV_NOWAIT): it
 * would have waited, nothing was done.  -ENOSPC: nothing was done.  -E2BIG: over the
 * capabilities.  -EINPROGRESS: unknown, it may have been done (a remote engine
 * only). */
static inline int
kv_commit(struct kv *kv, const struct kv_batch *batch, unsigned flags,
	  uint64_t *out_version)
{
	return kv->ops->commit(kv, batch, flags, out_version);
}

/* Makes every commit so far durable. */
static inline int
kv_sync(struct kv *kv)
{
	return kv->ops->sync(kv);
}

/* The space of the disk behind, or the quota. */
static inline int
kv_space(struct kv *kv, struct kv_space *out)
{
	return kv->ops->space(kv, out);
}

/* Statistics as text or JSON; the caller frees *out with free(). */
static inline int
kv_stats(struct kv *kv, bool json, char **out)
{
	return kv->ops->stats(kv, json, out);
}

/* Makes all durable and frees the engine.  Requires: no view or value is out.
 * NULL is allowed. */
static inline int
kv_close(struct kv *kv)
{
	return kv ? kv->ops->close(kv) : 0;
}

/* A released or empty value is allowed. */
static inline void
kv_value_release(struct kv_value *value)
{
	if (value->release)
		value->release(value);
	*value = (struct kv_value){ 0 };
}

/* Opens the engine that `address` names: "lsm:DIR", or a bare directory.  `options`
 * are those of the embedded engine (may be NULL).  -EPROTONOSUPPORT: no such
 * engine. */
int kv_open(const char *address, const struct keyfs_options *options,
	    struct kv **out);

/* The embedded engine over a store that is open already, and that it takes on success;
 * `path` and `options` are those that it was opened with. */
int kv_lsm_new(struct keyfs_store *store, const char *path,
	       const struct keyfs_options *options, struct kv **out);

#endif
