/* SPDX-License-Identifier: Apache-2.0 */
/* version_apply.c - makes a version from an older one and an edit, and refuses
 * edits that do not fit; see version_edit.h.
 *
 * The same checks run when a manifest is replayed and before an edit is written
 * to it, so that a bug of ours is found before it reaches the disk. */
#include <config.h>

#include "store/version_edit.h"

#include <errno.h>
#include <stdlib.h>

/* What is being made, from what. */
struct apply {
	const struct version *base;
	const struct version_edit *edit;
	struct version *version;
	const char *why; /* the edit does not fit */
	/* Copies, to search in: deleted by level and number, added by number.
	 */
	struct version_edit_table *deleted, *added; /* owned */
	size_t deletions_matched;
};

static int
by_place(const void *a, const void *b)
{
	const struct version_edit_table *x = a, *y = b;

	if (x->level != y->level)
		return x->level < y->level ? -1 : 1;
	return (x->number > y->number) - (x->number < y->number);
}

static int
by_number(const void *a, const void *b)
{
	const struct version_edit_table *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* Newest first. */
static int
by_age(const void *a, const void *b)
{
	const struct table_meta *x = *(struct table_meta *const *)a;
	const struct table_meta *y = *(struct table_meta *const *)b;

	if (x->max_seq != y->max_seq)
		return x->max_seq > y->max_seq ? -1 : 1;
	return (x->number < y->number) - (x->number > y->number);
}

static int
by_key(const void *a, const void *b)
{
	const struct table_meta *x = *(struct table_meta *const *)a;
	const struct table_meta *y = *(struct table_meta *const *)b;

	return key_compare(x->smallest, y->smallest);
}

static int
misfit(struct apply *apply, const char *why)
{
	apply->why = why;
	return -EUCLEAN;
}

/* ---- Numbers and logs ---- */

static int
apply_numbers(struct apply *apply)
{
	const struct version *base = apply->base;
	const struct version_edit *edit = apply->edit;
	struct version *v = apply->version;

	v->log_floor = edit->log_floor ? edit->log_floor : base->log_floor;
	v->next_number =
		edit->next_number ? edit->next_number : base->next_number;
	v->last_seq = edit->last_seq ? edit->last_seq : base->last_seq;
	if (v->log_floor < base->log_floor)
		return misfit(apply, "the oldest log needed goes back");
	if (v->next_number < base->next_number)
		return misfit(apply, "the next file number goes back");
	if (v->last_seq < base->last_seq)
		return misfit(apply, "the last sequence number goes back");
	if (v->last_seq >= SEQ_MAX)
		return misfit(apply, "the last sequence number is too large");
	return 0;
}

static int
apply_log_item(struct apply *apply, const struct version_log *item)
{
	struct version *v = apply->version;
	struct version_log *last =
		v->log_count ? &v->logs[v->log_count - 1] : NULL;
	size_t i;

	if (!item->ended) {
		if (!item->number || item->number >= v->next_number)
			return misfit(apply, "a log's number is out of range");
		if (last && last->number >= item->number)
			return misfit(apply, "logs are not in order");
		v->logs[v->log_count++] = *item;
		return 0;
	}
	for (i = 0; i < v->log_count; i++) {
		if (v->logs[i].number != item->number)
			continue;
		if (v->logs[i].ended)
			return misfit(apply, "a log is ended twice");
		v->logs[i] = *item;
		return 0;
	}
	return misfit(apply, "a log is ended that is not there");
}

static int
apply_logs(struct apply *apply)
{
	const struct version *base = apply->base;
	const struct version_edit *edit = apply->edit;
	struct version *v = apply->version;
	size_t i, kept = 0;
	int r = 0;

	v->logs =
		calloc(base->log_count + edit->log_count + 1, sizeof(*v->logs));
	if (!v->logs)
		return -ENOMEM;
	if (base->log_count)
		memcpy(v->logs, base->logs, base->log_count * sizeof(*v->logs));
	v->log_count = base->log_count;
	for (i = 0; i < edit->log_count && !r; i++)
		r = apply_log_item(apply, &edit->logs[i]);
	for (i = 0; i < v->log_count; i++)
		if (v->logs[i].number >= v->log_floor)
			v->logs[kept++] = v->logs[i];
	v->log_count = kept;
	return r;
}

/* ---- Damage ---- */

static int
check_damage(struct apply *apply, const struct damage *damage)
{
	const struct version *v = apply->version;

	if (!damage->number || damage->number >= v->next_number)
		return misfit(apply, "a damage range's file is out of range");
	if (!damage->bytes || key_compare(damage->first, damage->last) > 0)
		return misfit(apply, "a damage range's keys are the wrong way "
				     "round");
	if (!damage->min_seq || damage->min_seq > damage->max_seq ||
	    damage->max_seq > v->last_seq || damage->first_seq > SEQ_MAX)
		return misfit(apply, "a damage range's sequence numbers are "
				     "out of range");
	return 0;
}

static int
apply_damages(struct apply *apply)
{
	const struct damage_list *base = &apply->base->damages;
	const struct damage_list *more = &apply->edit->damages;
	struct damage_list *to = &apply->version->damages;
	size_t i;
	int r = 0;

	for (i = 0; i < base->count && !r; i++)
		r = damage_list_add(to, base->at[i]);
	for (i = 0; i < more->count && !r; i++) {
		r = check_damage(apply, more->at[i]);
		if (!r)
			r = damage_list_add(to, more->at[i]);
	}
	return r ? r : damage_list_sort(to);
}

/* ---- Tables ---- */

static int
check_table(struct apply *apply, const struct table_meta *meta)
{
	const struct version *v = apply->version;

	if (!meta->number || meta->number >= v->next_number)
		return misfit(apply, "a table's number is out of range");
	if (!meta->entries || meta->tombstones > meta->entries ||
	    !meta->file_bytes)
		return misfit(apply, "a table is empty");
	if (key_compare(meta->smallest, meta->largest) > 0)
		return misfit(apply, "a table's keys are the wrong way round");
	if (!meta->min_seq || meta->min_seq > meta->max_seq)
		return misfit(apply, "a table's sequence numbers are the wrong "
				     "way round");
	if (meta->max_seq > v->last_seq)
		return misfit(apply, "a table's sequence numbers are above the "
				     "last one");
	return 0;
}

/* Sorts copies of what is deleted and added, and checks the latter. */
static int
sort_edit(struct apply *apply)
{
	const struct version_edit *edit = apply->edit;
	size_t i;
	int r = 0;

	apply->deleted =
		calloc(edit->deleted_count + 1, sizeof(*apply->deleted));
	apply->added = calloc(edit->added_count + 1, sizeof(*apply->added));
	if (!apply->deleted || !apply->added)
		return -ENOMEM;
	for (i = 0; i < edit->deleted_count; i++)
		apply->deleted[i] = edit->deleted[i];
	for (i = 0; i < edit->added_count && !r; i++) {
		apply->added[i] = edit->added[i];
		r = check_table(apply, edit->added[i].meta);
	}
	if (r)
		return r;
	qsort(apply->deleted, edit->deleted_count, sizeof(*apply->deleted),
	      by_place);
	qsort(apply->added, edit->added_count, sizeof(*apply->added),
	      by_number);
	for (i = 1; i < edit->added_count; i++)
		if (apply->added[i - 1].number == apply->added[i].number)
			return misfit(apply, "a table is added twice");
	return 0;
}

/* Takes over a level's tables, but those deleted. */
static int
keep_tables(struct apply *apply, unsigned level)
{
	const struct version_level *from = &apply->base->levels[level];
	struct version_level *to = &apply->version->levels[level];
	size_t i;

	for (i = 0; i < from->count; i++) {
		struct table_meta *meta = from->tables[i];
		struct version_edit_table place = { .level = level,
						    .number = meta->number };

		if (bsearch(&place, apply->deleted, apply->edit->deleted_count,
			    sizeof(place), by_place)) {
			apply->deletions_matched++;
			continue;
		}
		if (bsearch(&place, apply->added, apply->edit->added_count,
			    sizeof(place), by_number))
			return misfit(apply, "a table is added that is there");
		to->tables[to->count++] = table_meta_ref(meta);
		to->bytes += meta->file_bytes;
	}
	return 0;
}

static void
add_tables(struct apply *apply, unsigned level)
{
	struct version_level *to = &apply->version->levels[level];
	size_t i;

	for (i = 0; i < apply->edit->added_count; i++) {
		const struct version_edit_table *added = &apply->edit->added[i];

		if (added->level != level)
			continue;
		to->tables[to->count++] = table_meta_ref(added->meta);
		to->bytes += added->meta->file_bytes;
	}
}

static size_t
count_added(const struct version_edit *edit, unsigned level)
{
	size_t i, count = 0;

	for (i = 0; i < edit->added_count; i++)
		count += edit->added[i].level == level;
	return count;
}

static int
sort_level(struct apply *apply, unsigned level)
{
	struct version_level *l = &apply->version->levels[level];
	size_t i;

	qsort(l->tables, l->count, sizeof(struct table_meta *), by_key);
	for (i = 1; i < l->count; i++)
		if (key_compare(l->tables[i - 1]->largest,
				l->tables[i]->smallest) >= 0)
			return misfit(apply, "tables of a level overlap");
	return 0;
}

static bool
keys_overlap(const struct table_meta *a, const struct table_meta *b)
{
	return key_compare(a->smallest, b->largest) <= 0 &&
	       key_compare(b->smallest, a->largest) <= 0;
}

/* Newest first decides a lookup only if tables that share keys do not share
 * sequence numbers.  Counts, too, how many lie above each other. */
static int
sort_level0(struct apply *apply)
{
	struct version *v = apply->version;
	struct version_level *l = &v->levels[0];
	size_t i, j;

	qsort(l->tables, l->count, sizeof(struct table_meta *), by_age);
	v->level0_depth = 0;
	for (i = 0; i < l->count; i++) {
		const struct table_meta *a = l->tables[i];
		size_t depth = 1;

		for (j = 0; j < l->count; j++) {
			const struct table_meta *b = l->tables[j];

			if (i == j || !keys_overlap(a, b))
				continue;
			if (i < j && a->min_seq <= b->max_seq)
				return misfit(apply, "tables of level 0 share "
						     "sequence numbers");
			depth += key_compare(b->smallest, a->smallest) <= 0;
		}
		if (depth > v->level0_depth)
			v->level0_depth = depth;
	}
	return 0;
}

static int
apply_level(struct apply *apply, unsigned level)
{
	struct version_level *to = &apply->version->levels[level];
	size_t added = count_added(apply->edit, level);
	int r;

	to->tables = calloc(apply->base->levels[level].count + added + 1,
			    sizeof(struct table_meta *));
	if (!to->tables)
		return -ENOMEM;
	r = keep_tables(apply, level);
	if (r)
		return r;
	add_tables(apply, level);
	if (level == 0)
		return sort_level0(apply);
	return added ? sort_level(apply, level) : 0;
}

static int
apply_all(struct apply *apply)
{
	unsigned level;
	int r;

	r = apply_numbers(apply);
	if (!r)
		r = apply_logs(apply);
	if (!r)
		r = apply_damages(apply);
	if (!r)
		r = sort_edit(apply);
	for (level = 0; level < KEYFS_LEVELS && !r; level++)
		r = apply_level(apply, level);
	if (!r && apply->deletions_matched != apply->edit->deleted_count)
		r = misfit(apply, "a table is deleted that is not there");
	return r;
}

int
version_apply(struct version *base, const struct version_edit *edit,
	      const char **out_why, struct version **out)
{
	struct apply apply = { .base = base, .edit = edit };
	int r;

	if (edit->error)
		return edit->error;
	r = version_new(base->set, &apply.version);
	if (r)
		return r;
	r = apply_all(&apply);
	free(apply.deleted);
	free(apply.added);
	if (r) {
		version_unref(apply.version);
		if (r == -EUCLEAN)
			*out_why = apply.why;
		return r;
	}
	*out = apply.version;
	return 0;
}
