/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/db.h"
#include "store/db_iter.h"
#include "store/merge_iter.h"

struct keyfs_iter {
	struct keyfs_store *store;
	struct view *view;      /* holds a reference */
	struct db_iter *inside; /* owned; reads from the view */
};

static void
free_all(struct iter **children, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		iter_free(children[i]);
	free(children);
}

/* One child for each memtable, then those of the version. */
static int
make_children(const struct view *view, const struct keyfs_iter_options *options,
	      struct iter ***out, size_t *out_count)
{
	unsigned flags = options->flags & KEYFS_NOWAIT ? TABLE_ITER_NOWAIT : 0;
	size_t room = view->memtable_count + version_iters_max(view->version);
	struct iter **children = calloc(room + 1, sizeof(children[0]));
	size_t count = 0, added = 0;
	int r = 0;

	if (!children)
		return -ENOMEM;
	while (r == 0 && count < view->memtable_count) {
		r = memtable_iter(view->memtables[count], &children[count]);
		if (r == 0)
			count++;
	}
	if (r == 0)
		r = version_iters(view->version, options->lower, options->upper,
				  flags, children + count, &added);
	if (r < 0) {
		free_all(children, count);
		return r;
	}
	*out = children;
	*out_count = count + added;
	return 0;
}

static int
make_inside(const struct view *view, uint64_t seq,
	    const struct keyfs_iter_options *options, struct db_iter **out)
{
	struct iter **children, *merged;
	size_t count;
	int r = make_children(view, options, &children, &count);

	if (r < 0)
		return r;
	r = merge_iter_new(children, count, &merged);
	if (r < 0) {
		free_all(children, count);
		return r;
	}
	free(children);
	r = db_iter_new(merged, seq, options->lower, options->upper, out);
	if (r < 0) {
		iter_free(merged);
		return r;
	}
	db_iter_set_damages(*out, &view->version->damages,
			    options->flags & KEYFS_SKIP_DAMAGE);
	return 0;
}

static int
make_iter(struct keyfs_store *db, const struct keyfs_iter_options *options,
	  struct keyfs_iter **out)
{
	struct keyfs_iter *iter = calloc(1, sizeof(*iter));
	uint64_t seq;
	int r;

	if (!iter)
		return -ENOMEM;
	iter->store = db;
	iter->view = db_view_pin(db, &seq);
	if (options->snapshot)
		seq = options->snapshot->seq;
	r = make_inside(iter->view, seq, options, &iter->inside);
	if (r < 0) {
		view_unref(iter->view);
		free(iter);
		return r;
	}
	atomic_fetch_add_explicit(&db->counters.iterators, 1,
				  memory_order_relaxed);
	*out = iter;
	return 0;
}

int
keyfs_iter_new(struct keyfs_store *db, struct keyfs_family *family,
	       const struct keyfs_iter_options *options,
	       struct keyfs_iter **out)
{
	struct keyfs_iter_options all = { 0 };
	int r = db_check(db, false);

	if (r < 0)
		return r;
	if (options)
		memcpy(&all, options,
		       options->size < sizeof(all) ? options->size
						   : sizeof(all));
	if (family || (all.snapshot && all.snapshot->store != db))
		return -EINVAL;
	return make_iter(db, &all, out);
}

void
keyfs_iter_free(struct keyfs_iter *iter)
{
	if (!iter)
		return;
	db_iter_free(iter->inside);
	view_unref(iter->view);
	/* Release: a close that sees it frees what was used here. */
	atomic_fetch_sub_explicit(&iter->store->counters.iterators, 1,
				  memory_order_release);
	free(iter);
}

/* After a move: damage is raised once more for each reader that it stops. */
static bool
moved(struct keyfs_iter *iter)
{
	const struct damage *damage = db_iter_damage(iter->inside);

	if (damage)
		(void)damage_raise(damage, &iter->store->reporter);
	return db_iter_valid(iter->inside);
}

bool
keyfs_iter_first(struct keyfs_iter *iter)
{
	db_iter_first(iter->inside);
	return moved(iter);
}

bool
keyfs_iter_last(struct keyfs_iter *iter)
{
	db_iter_last(iter->inside);
	return moved(iter);
}

bool
keyfs_iter_seek(struct keyfs_iter *iter, struct keyfs_slice key)
{
	db_iter_seek(iter->inside, key);
	return moved(iter);
}

bool
keyfs_iter_seek_prev(struct keyfs_iter *iter, struct keyfs_slice key)
{
	db_iter_seek_prev(iter->inside, key);
	return moved(iter);
}

bool
keyfs_iter_next(struct keyfs_iter *iter)
{
	db_iter_next(iter->inside);
	return moved(iter);
}

bool
keyfs_iter_prev(struct keyfs_iter *iter)
{
	db_iter_prev(iter->inside);
	return moved(iter);
}

bool
keyfs_iter_valid(const struct keyfs_iter *iter)
{
	return db_iter_valid(iter->inside);
}

int
keyfs_iter_status(const struct keyfs_iter *iter)
{
	return db_iter_status(iter->inside);
}

int
keyfs_iter_damage(const struct keyfs_iter *iter, struct keyfs_slice *first,
		  struct keyfs_slice *last)
{
	struct keyfs_slice begin, end;

	if (db_iter_status(iter->inside) != -EUCLEAN)
		return -ENOENT;
	db_iter_place(iter->inside, &begin, &end);
	if (!end.data)
		return -ENOENT;
	*first = begin;
	*last = end;
	return 0;
}

struct keyfs_slice
keyfs_iter_key(const struct keyfs_iter *iter)
{
	return db_iter_entry(iter->inside)->key;
}

struct keyfs_slice
keyfs_iter_value(const struct keyfs_iter *iter)
{
	return db_iter_entry(iter->inside)->value;
}

uint64_t
keyfs_iter_seq(const struct keyfs_iter *iter)
{
	return db_iter_entry(iter->inside)->seq;
}
