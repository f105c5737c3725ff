/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/db.h"

struct view *
db_view_pin(struct keyfs_store *db, uint64_t *out_seq)
{
	struct view *view;

	mutex_lock(&db->lock);
	view = db->view;
	/* Relaxed: db->view holds a reference while the lock is held. */
	atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
	/* Under the lock, because a switch takes it: every write up to this number
	 * is in this view's memtables.  Acquire: pairs with publish() in
	 * db_write.c, so that the entries are seen with the number. */
	*out_seq = atomic_load_explicit(&db->last_seq, memory_order_acquire);
	mutex_unlock(&db->lock);
	return view;
}

void
view_unref(struct view *view)
{
	size_t i;

	/* Acquire-release: the last one frees what the others read. */
	if (!view ||
	    atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (i = 0; i < view->memtable_count; i++)
		memtable_unref(view->memtables[i]);
	version_unref(view->version);
	if (table_set_has_gone(&view->store->tables))
		db_wake_keeper(view->store);
	free(view);
}

struct view *
db_view_alloc(struct keyfs_store *db)
{
	/* sealed_room is constant once the store is open. */
	size_t room = db->sealed_room + 1;
	struct view *view =
		calloc(1, sizeof(*view) + room * sizeof(view->memtables[0]));

	if (!view)
		return NULL;
	atomic_init(&view->refs, 1);
	view->store = db;
	return view;
}

struct view *
db_view_install_locked(struct keyfs_store *db, struct view *view,
		       struct memtable *active, struct version *version,
		       uint64_t flushed_seq)
{
	struct view *before = db->view;
	size_t i = 0, s;

	view->version = version_ref(version);
	view->flushed_seq = flushed_seq;
	if (active)
		view->memtables[i++] = memtable_ref(active);
	for (s = db->sealed_count; s-- > 0;)
		view->memtables[i++] = memtable_ref(db->sealed[s].memtable);
	view->memtable_count = i;
	db->view = view;
	return before;
}

void
db_wake_keeper(struct keyfs_store *db)
{
	mutex_lock(&db->lock);
	cond_signal(&db->keep);
	mutex_unlock(&db->lock);
}
