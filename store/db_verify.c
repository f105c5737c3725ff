/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/db.h"

/* Counts what is found, and passes it on. */
struct search {
	keyfs_damage_fn damage;
	void *arg;
	int ended; /* what the caller's function ended it with */
};

static int
found(void *arg, const char *file, uint64_t offset, const char *why)
{
	struct search *search = arg;

	if (search->damage)
		search->ended = search->damage(search->arg, file, offset, why);
	return search->ended;
}

static int
verify_table(struct table_meta *meta, struct search *search)
{
	char name[ENV_NAME_MAX + 1];
	struct table *table;
	int r = table_meta_open(meta, false, &table);

	if (r == -EUCLEAN) {
		table_file_name(meta->number, name);
		(void)found(search, name, 0, "the table cannot be opened");
		return r;
	}
	return r < 0 ? r : table_verify(table, found, search);
}

/* What was lost already; each is one damage. */
static int
list_lost(const struct version *version, struct search *search)
{
	char name[ENV_NAME_MAX + 1];
	size_t i;

	for (i = 0; i < version->damages.count && !search->ended; i++) {
		const struct damage *d = version->damages.at[i];

		table_damaged_name(d->number, name);
		(void)found(search, name, d->offset,
			    "a part of the store was lost here");
	}
	return version->damages.count ? -EUCLEAN : 0;
}

int
keyfs_verify(struct keyfs_store *db, keyfs_damage_fn damage, void *arg)
{
	struct search search = { damage, arg, 0 };
	struct view *view;
	unsigned level;
	uint64_t seq;
	size_t i;
	int r = db_check(db, false), result = 0;

	if (r < 0)
		return r;
	view = db_view_pin(db, &seq);
	result = list_lost(view->version, &search);
	for (level = 0; level < KEYFS_LEVELS; level++) {
		const struct version_level *l = &view->version->levels[level];

		for (i = 0; i < l->count && !search.ended; i++) {
			r = verify_table(l->tables[i], &search);
			/* Damage does not hide the rest; a dead disk does. */
			if (r < 0 && (result == 0 || r != -EUCLEAN))
				result = r;
		}
	}
	view_unref(view);
	return result;
}

int
keyfs_damages(struct keyfs_store *db, keyfs_damage_range_fn each, void *arg)
{
	const struct damage_list *list;
	char name[ENV_NAME_MAX + 1];
	struct view *view;
	uint64_t seq;
	size_t i;
	int r = db_check(db, false);

	if (r < 0)
		return r;
	view = db_view_pin(db, &seq);
	list = &view->version->damages;
	for (i = 0; i < list->count && r == 0; i++) {
		const struct damage *d = list->at[i];
		struct keyfs_damage_range range = {
			.size = sizeof(range),
			.file = name,
			.offset = d->offset,
			.bytes = d->bytes,
			.first = d->first,
			.last = d->last,
			.first_seq = d->first_seq,
			.min_seq = d->min_seq,
			.max_seq = d->max_seq,
		};

		table_damaged_name(d->number, name);
		r = each(arg, &range);
	}
	view_unref(view);
	return r;
}

int
keyfs_approximate_size(struct keyfs_store *db, struct keyfs_family *family,
		       struct keyfs_slice lower, struct keyfs_slice upper,
		       uint64_t *out)
{
	struct view *view;
	uint64_t seq;
	int r = family ? -EINVAL : db_check(db, false);

	if (r < 0)
		return r;
	view = db_view_pin(db, &seq);
	r = version_approximate_size(view->version, lower, upper, out);
	view_unref(view);
	return r;
}
