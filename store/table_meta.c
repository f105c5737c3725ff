/* SPDX-License-Identifier: Apache-2.0 */
/* table_meta.c - what the manifest says of one table; see table_meta.h. */
#include <config.h>

#include "store/table_meta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/table_builder.h"

void
table_set_init(struct table_set *set, struct env_dir *dir, struct cache *cache,
	       const struct reporter *reporter)
{
	set->dir = dir;
	set->cache = cache;
	set->reporter = reporter;
	atomic_init(&set->gone, NULL);
}

static void
set_add_gone(struct table_set *set, struct table_meta *meta)
{
	/* Relaxed: it is only compared; the exchange below orders. */
	struct table_meta *head =
		atomic_load_explicit(&set->gone, memory_order_relaxed);

	do {
		meta->next_gone = head;
		/* Release: the taker sees next_gone. */
	} while (!atomic_compare_exchange_weak_explicit(&set->gone, &head, meta,
							memory_order_release,
							memory_order_relaxed));
}

uint64_t
table_set_take_gone(struct table_set *set, bool *out_aside)
{
	/* Acquire: pairs with the release that added it. */
	struct table_meta *head =
		atomic_load_explicit(&set->gone, memory_order_acquire);
	uint64_t number;

	/* Others only add, so a head that is still there is the same one. */
	do {
		if (!head)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(&set->gone, &head,
							head->next_gone,
							memory_order_acquire,
							memory_order_acquire));
	number = head->number;
	*out_aside =
		atomic_load_explicit(&head->set_aside, memory_order_relaxed);
	free(head);
	return number;
}

bool
table_set_has_gone(struct table_set *set)
{
	/* Relaxed: a hint. */
	return atomic_load_explicit(&set->gone, memory_order_relaxed) != NULL;
}

int
table_meta_new(struct table_set *set, uint64_t number,
	       const struct table_info *info, struct table_meta **out)
{
	size_t keys = info->smallest.len + info->largest.len;
	struct table_meta *meta = calloc(1, sizeof(*meta) + keys);
	uint8_t *to;

	if (!meta)
		return -ENOMEM;
	to = (uint8_t *)(meta + 1);
	if (info->smallest.len)
		memcpy(to, info->smallest.data, info->smallest.len);
	meta->smallest = keyfs_bytes(to, info->smallest.len);
	to += info->smallest.len;
	if (info->largest.len)
		memcpy(to, info->largest.data, info->largest.len);
	meta->largest = keyfs_bytes(to, info->largest.len);
	meta->set = set;
	meta->number = number;
	meta->file_bytes = info->file_bytes;
	meta->entries = info->entries;
	meta->tombstones = info->tombstones;
	meta->raw_bytes = info->raw_bytes;
	meta->min_seq = info->min_seq;
	meta->max_seq = info->max_seq;
	atomic_init(&meta->refs, 1);
	*out = meta;
	return 0;
}

struct table_meta *
table_meta_ref(struct table_meta *meta)
{
	/* Relaxed: the caller's own reference keeps it alive. */
	atomic_fetch_add_explicit(&meta->refs, 1, memory_order_relaxed);
	return meta;
}

void
table_meta_unref(struct table_meta *meta)
{
	/* Release this thread's use, acquire everybody else's. */
	if (!meta || atomic_fetch_sub_explicit(&meta->refs, 1,
					       memory_order_acq_rel) != 1)
		return;
	/* Relaxed: nobody else is left. */
	table_unref(atomic_load_explicit(&meta->table, memory_order_relaxed));
	if (atomic_load_explicit(&meta->retired, memory_order_relaxed))
		set_add_gone(meta->set, meta);
	else
		free(meta);
}

void
table_meta_retire(struct table_meta *meta)
{
	/* Relaxed: read after the last unref, which orders it. */
	atomic_store_explicit(&meta->retired, true, memory_order_relaxed);
}

void
table_meta_set_aside(struct table_meta *meta)
{
	/* Relaxed: as above. */
	atomic_store_explicit(&meta->set_aside, true, memory_order_relaxed);
	table_meta_retire(meta);
}

void
table_meta_blame(struct table_meta *meta, int error)
{
	if (error_passes(error) || error == -EAGAIN)
		return;
	/* Relaxed: it guards nothing. */
	if (atomic_exchange_explicit(&meta->unreadable, true,
				     memory_order_relaxed))
		return;
	report(meta->set->reporter, KEYFS_LOG_ERROR,
	       "table %06" PRIu64 " cannot be read (%s): it is left out of "
	       "compactions for a time",
	       meta->number, strerror(-error));
}

int
table_meta_open(struct table_meta *meta, bool nowait, struct table **out)
{
	/* Acquire: the table is seen whole. */
	struct table *table =
		atomic_load_explicit(&meta->table, memory_order_acquire);
	struct table *other = NULL;
	int r;

	if (!table) {
		if (nowait)
			return -EAGAIN;
		r = table_open(meta->set->dir, meta->number, meta->file_bytes,
			       meta->set->cache, meta->set->reporter, &table);
		if (r)
			return r;
		/* Release: it is shown whole.  Another thread may have been
		 * faster. */
		if (!atomic_compare_exchange_strong_explicit(
			    &meta->table, &other, table, memory_order_acq_rel,
			    memory_order_acquire)) {
			table_unref(table);
			table = other;
		}
	}
	*out = table;
	return 0;
}

void
table_file_name(uint64_t number, char *out)
{
	(void)snprintf(out, ENV_NAME_MAX + 1, "%06" PRIu64 ".sst", number);
}

void
table_damaged_name(uint64_t number, char *out)
{
	(void)snprintf(out, ENV_NAME_MAX + 1, "%06" PRIu64 ".sst.damaged",
		       number);
}
