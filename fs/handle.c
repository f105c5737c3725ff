/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - how often the kernel has been told of each inode; see handle.h.
 *
 * Open addressing with linear probing; a removal moves the entries behind it
 * back (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so there
 * are no tombstones and a search ends at the first free place. */
#include <config.h>

#include "fs/handle.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "fs/session.h"

/* A resize copies one stripe under its lock: with a million inodes that is
 * 65,536 entries, well under a millisecond. */
#define STRIPE_BITS 4
#define STRIPES (1u << STRIPE_BITS)
#define CAPACITY_BITS_MIN 6

/* The top bit of a count: the inode has no name any more. */
#define ORPHAN (UINT64_C(1) << 63)

struct entry {
	uint64_t ino;   /* 0: a free place */
	uint64_t count; /* of answers, and ORPHAN */
};

_Static_assert(sizeof(struct entry) == 16, "what fs/session.h promises");

struct stripe {
	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct entry *entries; /* owned; 1 << bits of them */
	unsigned bits;
	size_t used;
};

struct handle_table {
	struct stripe stripes[STRIPES];
};

/* Inode numbers come in runs; the multiplication spreads them (Fibonacci
 * hashing). Its top bits choose the stripe, the next ones the place. */
static uint64_t
hash(uint64_t ino)
{
	return ino * UINT64_C(0x9e3779b97f4a7c15);
}

static struct stripe *
stripe_of(struct handle_table *table, uint64_t ino)
{
	return &table->stripes[hash(ino) >> (64 - STRIPE_BITS)];
}

static size_t
home(const struct stripe *s, uint64_t ino)
{
	return (size_t)((hash(ino) << STRIPE_BITS) >> (64 - s->bits));
}

/* The place of `ino`, or the free one where it would go. */
static size_t
find(const struct stripe *s, uint64_t ino)
{
	size_t mask = ((size_t)1 << s->bits) - 1, i = home(s, ino);

	while (s->entries[i].ino != 0 && s->entries[i].ino != ino)
		i = (i + 1) & mask;
	return i;
}

static int
resize(struct stripe *s, unsigned bits)
{
	struct stripe bigger = { .bits = bits };
	size_t i;

	bigger.entries = calloc((size_t)1 << bits, sizeof(struct entry));
	if (!bigger.entries)
		return -ENOMEM;
	for (i = 0; i < (size_t)1 << s->bits; i++)
		if (s->entries[i].ino != 0)
			bigger.entries[find(&bigger, s->entries[i].ino)] =
				s->entries[i];
	free(s->entries);
	s->entries = bigger.entries;
	s->bits = bits;
	return 0;
}

/* Makes room for one more. When memory is short the table may fill up to its
 * last free place, which searches need. */
static int
reserve(struct stripe *s)
{
	size_t capacity = (size_t)1 << s->bits;

	if (s->used + 1 <= capacity / 4 * 3)
		return 0;
	if (resize(s, s->bits + 1) == 0 || s->used + 1 < capacity)
		return 0;
	return -ENOMEM;
}

static void
remove_at(struct stripe *s, size_t hole)
{
	size_t mask = ((size_t)1 << s->bits) - 1, i = hole;

	for (;;) {
		i = (i + 1) & mask;
		if (s->entries[i].ino == 0)
			break;
		/* An entry may move back to the hole unless its home lies
		 * behind the hole: searches would then miss it. */
		if (((i - home(s, s->entries[i].ino)) & mask) <
		    ((i - hole) & mask))
			continue;
		s->entries[hole] = s->entries[i];
		hole = i;
	}
	s->entries[hole] = (struct entry){ 0 };
	s->used--;
	/* Half empty after shrinking, so that it does not grow again at once.
	 * Failing to shrink costs nothing but memory. */
	if (s->bits > CAPACITY_BITS_MIN && s->used < ((size_t)1 << s->bits) / 8)
		(void)resize(s, s->bits - 1);
}

int
handle_table_new(struct handle_table **out)
{
	struct handle_table *table = calloc(1, sizeof(*table));
	unsigned i;

	if (!table)
		return -ENOMEM;
	for (i = 0; i < STRIPES; i++) {
		struct stripe *s = &table->stripes[i];

		pthread_mutex_init(&s->lock, NULL);
		s->bits = CAPACITY_BITS_MIN;
		s->entries = calloc((size_t)1 << s->bits, sizeof(struct entry));
	}
	for (i = 0; i < STRIPES; i++) {
		if (!table->stripes[i].entries) {
			handle_table_free(table);
			return -ENOMEM;
		}
	}
	*out = table;
	return 0;
}

void
handle_table_free(struct handle_table *table)
{
	unsigned i;

	if (!table)
		return;
	for (i = 0; i < STRIPES; i++) {
		free(table->stripes[i].entries);
		pthread_mutex_destroy(&table->stripes[i].lock);
	}
	free(table);
}

int
handle_ref(struct handle_table *table, uint64_t ino)
{
	struct stripe *s = stripe_of(table, ino);
	int r = 0;
	size_t i;

	pthread_mutex_lock(&s->lock);
	i = find(s, ino);
	if (s->entries[i].ino == 0) {
		r = reserve(s);
		if (r == 0) {
			i = find(s, ino);
			s->entries[i].ino = ino;
			s->used++;
		}
	}
	if (r == 0)
		s->entries[i].count++;
	pthread_mutex_unlock(&s->lock);
	return r;
}

bool
handle_unref(struct handle_table *table, uint64_t ino, uint64_t count)
{
	struct stripe *s = stripe_of(table, ino);
	bool orphan = false;
	struct entry *e;
	size_t i;

	pthread_mutex_lock(&s->lock);
	i = find(s, ino);
	e = &s->entries[i];
	if (e->ino != 0) {
		if ((e->count & ~ORPHAN) > count) {
			e->count -= count;
		} else {
			orphan = e->count & ORPHAN;
			remove_at(s, i);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return orphan;
}

bool
handle_mark_orphan(struct handle_table *table, uint64_t ino)
{
	struct stripe *s = stripe_of(table, ino);
	struct entry *e;
	bool held;

	pthread_mutex_lock(&s->lock);
	e = &s->entries[find(s, ino)];
	held = e->ino != 0;
	if (held)
		e->count |= ORPHAN;
	pthread_mutex_unlock(&s->lock);
	return held;
}

bool
handle_table_in_use(void *table, uint64_t ino)
{
	struct stripe *s = stripe_of(table, ino);
	bool held;

	pthread_mutex_lock(&s->lock);
	held = s->entries[find(s, ino)].ino != 0;
	pthread_mutex_unlock(&s->lock);
	return held;
}

void
handle_table_usage(struct handle_table *table, struct handle_usage *out)
{
	unsigned i;

	*out = (struct handle_usage){ .bytes = sizeof(*table) };
	for (i = 0; i < STRIPES; i++) {
		struct stripe *s = &table->stripes[i];

		pthread_mutex_lock(&s->lock);
		out->inodes += s->used;
		out->bytes += sizeof(struct entry) << s->bits;
		pthread_mutex_unlock(&s->lock);
	}
}
