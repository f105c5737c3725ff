/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "store/db.h"

/* keyfs_value.pin: a cache handle, or a memtable with this bit set. */
#define PIN_MEMTABLE ((uintptr_t)1)

struct stripe *
db_stripe(struct keyfs_store *db)
{
	static _Atomic unsigned next;
	static _Thread_local unsigned mine;

	if (!mine)
		mine = 1 + atomic_fetch_add_explicit(&next, 1,
						     memory_order_relaxed) %
				   DB_STRIPES;
	return &db->stripes[mine - 1];
}

static void
count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void
value_pin(struct keyfs_store *db, const struct entry *entry, void *pin,
	  struct keyfs_value *out)
{
	atomic_fetch_add_explicit(&db_stripe(db)->pins, 1,
				  memory_order_relaxed);
	out->data = entry->value;
	out->seq = entry->seq;
	out->pin = pin;
	out->store = db;
}

void
keyfs_value_release(struct keyfs_value *value)
{
	uintptr_t pin = (uintptr_t)value->pin;
	struct keyfs_store *db = value->store;

	*value = (struct keyfs_value){ 0 };
	if (!db)
		return;
	if (pin & PIN_MEMTABLE)
		memtable_unref((struct memtable *)(pin & ~PIN_MEMTABLE));
	else
		cache_unpin(db->cache, (struct cache_ref){ (void *)pin, NULL });
	/* Release: a close that sees it frees what was used here. */
	atomic_fetch_sub_explicit(&db_stripe(db)->pins, 1,
				  memory_order_release);
}

/* Looks into the memtables, newest first. */
static int
get_from_memory(struct keyfs_store *db, const struct view *view, uint64_t seq,
		struct keyfs_slice key, uint64_t hash, struct keyfs_value *out,
		uint64_t *out_seq)
{
	struct memtable *memtable = NULL;
	struct entry entry;
	size_t i;

	for (i = 0; i < view->memtable_count; i++) {
		memtable = view->memtables[i];
		if (memtable_get(memtable, key, hash, seq, &entry))
			break;
	}
	if (i == view->memtable_count)
		return -ENOENT;
	*out_seq = entry.seq;
	if (entry.kind == ENTRY_DELETE)
		return -ENOENT;
	value_pin(db, &entry,
		  (void *)((uintptr_t)memtable_ref(memtable) | PIN_MEMTABLE),
		  out);
	return 0;
}

static int
get_from_tables(struct keyfs_store *db, const struct view *view, uint64_t seq,
		struct keyfs_slice key, uint64_t hash, unsigned flags,
		struct keyfs_value *out, uint64_t *out_seq)
{
	struct version_result result = { 0 };
	int r = version_get(view->version, key, hash, seq, flags & KEYFS_NOWAIT,
			    &result);

	if (result.filtered)
		atomic_fetch_add_explicit(&db_stripe(db)->bloom_negatives,
					  result.filtered,
					  memory_order_relaxed);
	if (r < 0)
		return r;
	*out_seq = result.entry.seq;
	if (result.entry.kind == ENTRY_DELETE) {
		cache_unpin(db->cache, result.pin);
		return -ENOENT;
	}
	value_pin(db, &result.entry, result.pin.handle, out);
	return 0;
}

/* Whether what was found, or that nothing was, can be trusted: it cannot if a
 * newer version may have been lost. */
static int
check_lost(struct keyfs_store *db, const struct view *view, uint64_t seq,
	   struct keyfs_slice key, uint64_t found)
{
	uint64_t bound;
	const struct damage *damage =
		damage_list_find(&view->version->damages, key, seq, &bound);

	if (!damage || found > bound)
		return 0;
	return damage_raise(damage, &db->reporter);
}

int
db_get(struct keyfs_store *db, const struct view *view, uint64_t seq,
       struct keyfs_slice key, unsigned flags, struct keyfs_value *out,
       uint64_t *out_seq)
{
	uint64_t hash = bloom_hash(key), found = 0;
	int r = get_from_memory(db, view, seq, key, hash, out, &found);

	/* A tombstone in memory is an answer too. */
	if (r == -ENOENT && found == 0)
		r = get_from_tables(db, view, seq, key, hash, flags, out,
				    &found);
	if (view->version->damages.count && (r == 0 || r == -ENOENT)) {
		int lost = check_lost(db, view, seq, key, found);

		if (lost && r == 0)
			keyfs_value_release(out);
		r = lost ? lost : r;
	}
	count(&db_stripe(db)->gets);
	if (r == 0)
		count(&db_stripe(db)->gets_found);
	if (out_seq)
		*out_seq = found;
	return r;
}

static int
check_key(struct keyfs_slice key)
{
	return key.len == 0 || key.len > KEYFS_KEY_MAX || !key.data ? -EINVAL
								    : 0;
}

static int
check_read(const struct keyfs_store *db, const struct keyfs_family *family,
	   const struct keyfs_snapshot *snapshot)
{
	int r = db_check(db, false);

	if (r < 0)
		return r;
	return family || (snapshot && snapshot->store != db) ? -EINVAL : 0;
}

int
keyfs_get(struct keyfs_store *db, struct keyfs_family *family,
	  const struct keyfs_snapshot *snapshot, struct keyfs_slice key,
	  unsigned flags, struct keyfs_value *out)
{
	struct view *view;
	uint64_t seq;
	int r = check_read(db, family, snapshot);

	if (r == 0)
		r = check_key(key);
	if (r < 0)
		return r;
	view = db_view_pin(db, &seq);
	r = db_get(db, view, snapshot ? snapshot->seq : seq, key, flags, out,
		   NULL);
	view_unref(view);
	return r;
}

int
keyfs_mget(struct keyfs_store *db, struct keyfs_family *family,
	   const struct keyfs_snapshot *snapshot, size_t count_,
	   const struct keyfs_slice *keys, unsigned flags,
	   struct keyfs_value *values, int *results)
{
	struct view *view;
	uint64_t seq;
	size_t i;
	int r = check_read(db, family, snapshot);

	for (i = 0; r == 0 && i < count_; i++)
		r = check_key(keys[i]);
	if (r < 0)
		return r;
	view = db_view_pin(db, &seq);
	for (i = 0; i < count_; i++) {
		values[i] = (struct keyfs_value){ 0 };
		results[i] = db_get(db, view, snapshot ? snapshot->seq : seq,
				    keys[i], flags, &values[i], NULL);
		if (results[i] == -EAGAIN)
			break;
	}
	view_unref(view);
	if (i == count_)
		return 0;
	while (i-- > 0)
		keyfs_value_release(&values[i]);
	return -EAGAIN;
}

/* ---- Snapshots ---- */

int
keyfs_snapshot_new(struct keyfs_store *db, struct keyfs_snapshot **out)
{
	struct keyfs_snapshot *snapshot, *head = &db->snapshots;
	int r = db_check(db, false);

	if (r < 0)
		return r;
	snapshot = malloc(sizeof(*snapshot));
	if (!snapshot)
		return -ENOMEM;
	snapshot->store = db;
	mutex_lock(&db->lock);
	/* Under the lock, so that a compaction that lists the snapshots either sees
	 * this one or keeps what it sees.  At the end: the ring stays in order. */
	snapshot->seq =
		atomic_load_explicit(&db->last_seq, memory_order_acquire);
	snapshot->prev = head->prev;
	snapshot->next = head;
	head->prev->next = snapshot;
	head->prev = snapshot;
	db->snapshot_count++;
	mutex_unlock(&db->lock);
	*out = snapshot;
	return 0;
}

void
keyfs_snapshot_free(struct keyfs_snapshot *snapshot)
{
	struct keyfs_store *db;

	if (!snapshot)
		return;
	db = snapshot->store;
	mutex_lock(&db->lock);
	snapshot->prev->next = snapshot->next;
	snapshot->next->prev = snapshot->prev;
	db->snapshot_count--;
	mutex_unlock(&db->lock);
	free(snapshot);
}

uint64_t
keyfs_snapshot_seq(const struct keyfs_snapshot *snapshot)
{
	return snapshot->seq;
}
