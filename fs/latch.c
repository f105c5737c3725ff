/* SPDX-License-Identifier: Apache-2.0 */
/* latch.c - see latch.h. */
#include <config.h>

#include "fs/latch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct latch_table {
	pthread_mutex_t stripes[LATCH_STRIPES];
};

_Static_assert(LATCH_STRIPES == 256, "stripe_of() takes the top 8 bits");

/* Neighbours are spread by multiplying (Knuth's multiplicative hash). */
static unsigned
stripe_of(uint64_t ino)
{
	return (unsigned)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static bool
set_has(const struct latch_set *set, unsigned stripe)
{
	return set->word[stripe / 64] >> (stripe % 64) & 1;
}

static void
set_add(struct latch_set *set, unsigned stripe)
{
	set->word[stripe / 64] |= UINT64_C(1) << (stripe % 64);
}

/* The first stripe of the set from `stripe` on, or LATCH_STRIPES. */
static unsigned
set_next(const struct latch_set *set, unsigned stripe)
{
	while (stripe < LATCH_STRIPES) {
		uint64_t rest = set->word[stripe / 64] >> (stripe % 64);

		if (rest)
			return stripe + (unsigned)__builtin_ctzll(rest);
		stripe = (stripe / 64 + 1) * 64;
	}
	return LATCH_STRIPES;
}

int
latch_table_new(struct latch_table **out)
{
	struct latch_table *table = malloc(sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (unsigned i = 0; i < LATCH_STRIPES; i++)
		pthread_mutex_init(&table->stripes[i], NULL);
	*out = table;
	return 0;
}

void
latch_table_free(struct latch_table *table)
{
	if (!table)
		return;
	for (unsigned i = 0; i < LATCH_STRIPES; i++)
		pthread_mutex_destroy(&table->stripes[i]);
	free(table);
}

void
latch_set_add(struct latch_set *set, uint64_t ino)
{
	set_add(set, stripe_of(ino));
}

static int
stripe_lock(struct latch_table *table, struct latch_set *held, unsigned stripe,
	    bool wait)
{
	pthread_mutex_t *latch = &table->stripes[stripe];
	bool in_order = set_next(held, stripe + 1) == LATCH_STRIPES;

	if (in_order && wait)
		pthread_mutex_lock(latch);
	else if (pthread_mutex_trylock(latch))
		return wait ? -ECANCELED : -EAGAIN;
	set_add(held, stripe);
	return 0;
}

int
latch_lock(struct latch_table *table, struct latch_set *held,
	   const struct latch_set *set, bool wait)
{
	int rc = 0;

	for (unsigned s = set_next(set, 0); s < LATCH_STRIPES && !rc;
	     s = set_next(set, s + 1))
		if (!set_has(held, s))
			rc = stripe_lock(table, held, s, wait);
	return rc;
}

void
latch_unlock(struct latch_table *table, struct latch_set *held)
{
	for (unsigned s = set_next(held, 0); s < LATCH_STRIPES;
	     s = set_next(held, s + 1))
		pthread_mutex_unlock(&table->stripes[s]);
	*held = (struct latch_set){ 0 };
}
