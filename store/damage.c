/* SPDX-License-Identifier: Apache-2.0 */
/* damage.c - damage ranges, and which of them a key or a gap lies in; see
 * damage.h. */
#include <config.h>

#include "store/damage.h"

#include <errno.h>
#include <stdlib.h>

#include "store/table_meta.h"

int
damage_new(const struct damage *like, struct damage **out)
{
	size_t keys = like->first.len + like->last.len;
	struct damage *d = malloc(sizeof(*d) + keys);
	uint8_t *to;

	if (!d)
		return -ENOMEM;
	*d = *like;
	to = (uint8_t *)(d + 1);
	memcpy(to, like->first.data, like->first.len);
	d->first.data = to;
	to += like->first.len;
	memcpy(to, like->last.data, like->last.len);
	d->last.data = to;
	atomic_init(&d->refs, 1);
	*out = d;
	return 0;
}

struct damage *
damage_ref(struct damage *damage)
{
	/* Relaxed: the caller's own reference keeps it alive. */
	atomic_fetch_add_explicit(&damage->refs, 1, memory_order_relaxed);
	return damage;
}

void
damage_unref(struct damage *damage)
{
	/* Release this thread's use, acquire everybody else's. */
	if (damage && atomic_fetch_sub_explicit(&damage->refs, 1,
						memory_order_acq_rel) == 1)
		free(damage);
}

uint64_t
damage_bound(const struct damage *damage, struct keyfs_slice key)
{
	int r = key_compare(key, damage->first);

	if (r < 0 || key_compare(key, damage->last) > 0)
		return 0;
	if (r > 0 || damage->first_seq > damage->max_seq)
		return damage->max_seq;
	return damage->first_seq ? damage->first_seq - 1 : 0;
}

int
damage_raise(const struct damage *damage, const struct reporter *reporter)
{
	char name[ENV_NAME_MAX + 1];

	table_damaged_name(damage->number, name);
	return corrupt(reporter, name, damage->offset,
		       "what was asked for may have been lost here");
}

/* ---- Lists ---- */

void
damage_list_fini(struct damage_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		damage_unref(list->at[i]);
	free(list->at);
	free(list->reach);
	*list = (struct damage_list){ 0 };
}

int
damage_list_add(struct damage_list *list, struct damage *damage)
{
	size_t capacity = list->capacity * 2 + 4;
	struct damage **grown;

	if (list->count == list->capacity) {
		grown = realloc(list->at, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		list->at = grown;
		list->capacity = capacity;
	}
	list->at[list->count++] = damage_ref(damage);
	return 0;
}

static int
by_first(const void *a, const void *b)
{
	const struct damage *x = *(struct damage *const *)a;
	const struct damage *y = *(struct damage *const *)b;

	return key_compare(x->first, y->first);
}

int
damage_list_sort(struct damage_list *list)
{
	size_t i, best = 0;

	if (!list->count)
		return 0;
	free(list->reach);
	list->reach = calloc(list->count, sizeof(*list->reach));
	if (!list->reach)
		return -ENOMEM;
	qsort(list->at, list->count, sizeof(struct damage *), by_first);
	for (i = 0; i < list->count; i++) {
		if (key_compare(list->at[i]->last, list->at[best]->last) > 0)
			best = i;
		list->reach[i] = best;
	}
	return 0;
}

/* How many ranges begin at `key` or before; `before`: only before it. */
static size_t
count_begun(const struct damage_list *list, struct keyfs_slice key, bool before)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = key_compare(list->at[middle]->first, key);

		if (before ? r < 0 : r <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct damage *
damage_list_find(const struct damage_list *list, struct keyfs_slice key,
		 uint64_t seq, uint64_t *out_bound)
{
	const struct damage *found = NULL;
	uint64_t most = 0, bound;
	size_t i = count_begun(list, key, false);

	while (i-- > 0 &&
	       key_compare(list->at[list->reach[i]]->last, key) >= 0) {
		if (list->at[i]->min_seq > seq)
			continue;
		bound = damage_bound(list->at[i], key);
		if (bound > most) {
			most = bound;
			found = list->at[i];
		}
	}
	if (found)
		*out_bound = most;
	return found;
}

static bool
ends_behind(const struct damage *damage, const struct damage_edge *lower)
{
	return !lower->key.data || key_compare(damage->last, lower->key) >=
					   (lower->included ? 0 : 1);
}

const struct damage *
damage_list_between(const struct damage_list *list, struct damage_edge lower,
		    struct damage_edge upper, uint64_t seq)
{
	const struct damage *found = NULL;
	size_t i = list->count;

	/* Nothing lies between a key and itself. */
	if (lower.key.data && upper.key.data &&
	    !(lower.included && upper.included) &&
	    key_equal(lower.key, upper.key))
		return NULL;
	if (upper.key.data)
		i = count_begun(list, upper.key, !upper.included);
	while (i-- > 0 && ends_behind(list->at[list->reach[i]], &lower)) {
		const struct damage *d = list->at[i];

		if (d->min_seq > seq || !ends_behind(d, &lower))
			continue;
		/* Nothing of its first key is lost, and that is the end. */
		if (upper.key.data && !d->first_seq &&
		    key_equal(d->first, upper.key))
			continue;
		found = d;
	}
	return found;
}

bool
damage_list_names(const struct damage_list *list, uint64_t number)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (list->at[i]->number == number)
			return true;
	return false;
}

size_t
damage_list_files(const struct damage_list *list)
{
	size_t i, j, count = 0;

	for (i = 0; i < list->count; i++) {
		for (j = 0; j < i; j++)
			if (list->at[j]->number == list->at[i]->number)
				break;
		count += j == i;
	}
	return count;
}
