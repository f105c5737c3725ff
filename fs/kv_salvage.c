/* SPDX-License-Identifier: Apache-2.0 */
/* kv_salvage.c - kv.h over what can still be read of a damaged store: for looking at it
 * without changing it.
 *
 * Only scans are offered, which is all that tree_repair() needs for a dry run; each reads
 * the whole store. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tree_repair.h"

struct kv_salvage {
	struct kv kv;
	struct keyfs_salvage *salvage; /* borrowed */
	struct kv_view view;
};

struct scan {
	struct keyfs_slice begin, end;
	kv_each_fn each;
	void *arg;
};

static const struct kv_caps salvage_caps = { .key_bytes_max = KEYFS_KEY_MAX,
					     .value_bytes_max =
						     KEYFS_VALUE_MAX };

static struct kv_salvage *
salvage_of(struct kv *kv)
{
	return (struct kv_salvage *)kv;
}

static const struct kv_caps *
caps(struct kv *kv)
{
	(void)kv;
	return &salvage_caps;
}

static int
view_open(struct kv *kv, struct kv_view **out)
{
	*out = &salvage_of(kv)->view;
	return 0;
}

static void
view_close(struct kv *kv, struct kv_view *view)
{
	(void)kv;
	(void)view;
}

static int
compare(struct keyfs_slice a, struct keyfs_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = n ? memcmp(a.data, b.data, n) : 0;

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static int
scan_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  bool doubtful)
{
	struct scan *scan = arg;

	(void)doubtful;
	if (compare(key, scan->begin) < 0 ||
	    (scan->end.data && compare(key, scan->end) >= 0))
		return 0;
	return scan->each(scan->arg, key, value, 1);
}

static int
scan(struct kv *kv, struct kv_view *view, struct keyfs_slice begin,
     struct keyfs_slice end, unsigned flags, kv_each_fn each, void *arg)
{
	struct scan scan = { begin, end, each, arg };

	(void)view;
	(void)flags;
	return keyfs_salvage_scan(salvage_of(kv)->salvage, scan_each, &scan);
}

static int
close_kv(struct kv *kv)
{
	free(salvage_of(kv));
	return 0;
}

static int
refuse_get(struct kv *kv, struct kv_view *view, struct keyfs_slice key,
	   unsigned flags, struct kv_value *out)
{
	(void)kv;
	(void)view;
	(void)key;
	(void)flags;
	(void)out;
	return -EOPNOTSUPP;
}

static int
refuse_mget(struct kv *kv, struct kv_view *view, size_t count,
	    const struct keyfs_slice *keys, unsigned flags,
	    struct kv_value *out)
{
	(void)count;
	return refuse_get(kv, view, *keys, flags, out);
}

static int
refuse_commit(struct kv *kv, const struct kv_batch *batch, unsigned flags,
	      uint64_t *out_version)
{
	(void)kv;
	(void)batch;
	(void)flags;
	(void)out_version;
	return -EROFS;
}

static int
do_nothing(struct kv *kv)
{
	(void)kv;
	return 0;
}

static int
refuse_space(struct kv *kv, struct kv_space *out)
{
	(void)kv;
	(void)out;
	return -EOPNOTSUPP;
}

static int
refuse_stats(struct kv *kv, bool json, char **out)
{
	(void)kv;
	(void)json;
	(void)out;
	return -EOPNOTSUPP;
}

static const struct kv_ops salvage_ops = {
	.caps = caps,
	.view_open = view_open,
	.view_close = view_close,
	.get = refuse_get,
	.mget = refuse_mget,
	.scan = scan,
	.commit = refuse_commit,
	.sync = do_nothing,
	.space = refuse_space,
	.stats = refuse_stats,
	.close = close_kv,
};

int
kv_salvage_new(struct keyfs_salvage *salvage, struct kv **out)
{
	struct kv_salvage *kv = calloc(1, sizeof(*kv));

	if (!kv)
		return -ENOMEM;
	kv->kv.ops = &salvage_ops;
	kv->salvage = salvage;
	*out = &kv->kv;
	return 0;
}
