/* SPDX-License-Identifier: Apache-2.0 */
/* history.c - see history.h.
 *
 * The search is that of Wing and Gong (1993) with the memory of Lowe (2017): an
 * operation may come next if it was called before any other that is left was answered;
 * what was tried from one set of operations and one state is not tried again. */
#include <config.h>

#include "tests/history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/must.h"

const char *const history_names[HISTORY_NAMES] = { "a", "b", "c", "d" };

static _Atomic uint64_t clock_now;

/* Sequentially consistent: an operation that is answered before another is called has
 * the lower number. */
void
history_begin(struct history_op *op)
{
	op->called = atomic_fetch_add(&clock_now, 1);
}

void
history_end(struct history_op *op)
{
	op->answered = atomic_fetch_add(&clock_now, 1);
}

/* ---- What one operation does ---- */

static unsigned
links_of(const struct history_state *s, uint64_t ino)
{
	unsigned count = 0;

	for (unsigned i = 0; i < HISTORY_NAMES; i++)
		count += s->inos[i] == ino;
	return count;
}

/* A name was taken from `ino`: whether that is what was told. */
static bool
taken_fits(const struct history_op *op, const struct history_state *after,
	   uint64_t ino)
{
	if (!op->ino)
		return true;
	return op->ino == ino && op->gone == (links_of(after, ino) == 0);
}

static bool
link_fits(const struct history_op *op, struct history_state *s)
{
	uint64_t *to = &s->inos[op->to];

	/* With both wrong, the tree looks at the inode first, the kernel at the
	 * name. */
	if (!links_of(s, op->target))
		return op->error == -ENOENT || (*to && op->error == -EEXIST);
	if (*to)
		return op->error == -EEXIST;
	*to = op->target;
	return op->error == 0;
}

static bool
rename_fits(const struct history_op *op, struct history_state *s)
{
	uint64_t *from = &s->inos[op->name], *to = &s->inos[op->to];
	uint64_t moved = *from, other = *to;

	if (!moved || (op->kind == HISTORY_EXCHANGE && !other))
		return op->error == -ENOENT;
	if (op->kind == HISTORY_NOREPLACE && other)
		return op->error == -EEXIST;
	if (op->error)
		return false;
	if (moved == other)
		return op->ino == 0;
	*from = op->kind == HISTORY_EXCHANGE ? other : 0;
	*to = moved;
	if (op->kind == HISTORY_EXCHANGE || !other)
		return op->ino == 0;
	return taken_fits(op, s, other);
}

/* Does the operation; false if it would have ended otherwise. */
static bool
apply(const struct history_op *op, struct history_state *s)
{
	uint64_t *at = &s->inos[op->name], was = *at;

	switch (op->kind) {
	case HISTORY_CREATE:
		if (was)
			return op->error == -EEXIST;
		*at = op->ino;
		return op->error == 0;
	case HISTORY_LOOKUP:
		if (!was)
			return op->error == -ENOENT;
		return !op->error && op->ino == was &&
		       (!op->nlink || op->nlink == links_of(s, was));
	case HISTORY_UNLINK:
		if (!was)
			return op->error == -ENOENT;
		*at = 0;
		return !op->error && taken_fits(op, s, was);
	case HISTORY_LINK:
		return link_fits(op, s);
	case HISTORY_RENAME:
	case HISTORY_NOREPLACE:
	case HISTORY_EXCHANGE:
		return rename_fits(op, s);
	case HISTORY_LIST:
		return !op->error && !memcmp(s, &op->state, sizeof(*s));
	}
	return false;
}

/* ---- The search ---- */

/* What has been tried without success: operations done, and the state after them. */
struct tried {
	uint64_t done;
	struct history_state state;
};

struct search {
	const struct history_op *ops;
	size_t count;
	struct history_state end;
	struct tried *tried; /* owned; an open hash table, done 0: free */
	size_t tried_count, tried_cap;
};

static size_t
place_of(const struct search *s, const struct tried *t)
{
	uint64_t h = t->done;
	size_t i;

	for (i = 0; i < HISTORY_NAMES; i++)
		h = (h ^ t->state.inos[i]) * UINT64_C(0x9e3779b97f4a7c15);
	for (i = (size_t)(h >> 20) % s->tried_cap;
	     s->tried[i].done && memcmp(&s->tried[i], t, sizeof(*t)) != 0;
	     i = (i + 1) % s->tried_cap)
		;
	return i;
}

static void
tried_grow(struct search *s)
{
	struct search bigger = *s;

	if (s->tried_cap && s->tried_count < s->tried_cap / 2)
		return;
	bigger.tried_cap = s->tried_cap ? s->tried_cap * 2 : 256;
	bigger.tried = must_alloc(bigger.tried_cap * sizeof(*s->tried));
	for (size_t i = 0; i < s->tried_cap; i++)
		if (s->tried[i].done)
			bigger.tried[place_of(&bigger, &s->tried[i])] =
				s->tried[i];
	free(s->tried);
	*s = bigger;
}

/* False if it has been tried before. */
static bool
tried_add(struct search *s, uint64_t done, const struct history_state *state)
{
	struct tried t = { done, *state };
	size_t i;

	if (!done)
		return true;
	tried_grow(s);
	i = place_of(s, &t);
	if (s->tried[i].done)
		return false;
	s->tried[i] = t;
	s->tried_count++;
	return true;
}

static bool
search(struct search *s, uint64_t done, const struct history_state *state)
{
	uint64_t answered = UINT64_MAX;
	size_t left = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (done >> i & 1)
			continue;
		left++;
		if (s->ops[i].answered < answered)
			answered = s->ops[i].answered;
	}
	if (!left)
		return !memcmp(state, &s->end, sizeof(*state));
	if (!tried_add(s, done, state))
		return false;
	for (size_t i = 0; i < s->count; i++) {
		struct history_state next = *state;

		if (!(done >> i & 1) && s->ops[i].called < answered &&
		    apply(&s->ops[i], &next) &&
		    search(s, done | UINT64_C(1) << i, &next))
			return true;
	}
	return false;
}

bool
history_explain(const struct history_op *ops, size_t count,
		const struct history_state *start,
		const struct history_state *end)
{
	struct search s = { .ops = ops, .count = count, .end = *end };
	bool explained = search(&s, 0, start);

	free(s.tried);
	return explained;
}

/* ---- For people ---- */

static void
print_state(const char *what, const struct history_state *s)
{
	printf("%s:", what);
	for (unsigned i = 0; i < HISTORY_NAMES; i++)
		printf(" %s=%" PRIu64, history_names[i], s->inos[i]);
	printf("\n");
}

/* Whether all is explained once operation `i` is left out: it is the one to look at. */
static bool
is_odd(const struct history_op *ops, size_t count, size_t i,
       const struct history_state *start, const struct history_state *end)
{
	struct history_op others[HISTORY_MAX];

	memcpy(others, ops, i * sizeof(*ops));
	memcpy(others + i, ops + i + 1, (count - i - 1) * sizeof(*ops));
	return history_explain(others, count - 1, start, end);
}

void
history_print(const struct history_op *ops, size_t count,
	      const struct history_state *start,
	      const struct history_state *end)
{
	static const char *const kinds[HISTORY_KINDS] = {
		"create", "lookup",    "unlink",   "link",
		"rename", "noreplace", "exchange", "list"
	};

	print_state("start", start);
	for (size_t i = 0; i < count; i++) {
		const struct history_op *op = &ops[i];

		printf("%" PRIu64 "-%" PRIu64 " %s %s %s of %" PRIu64
		       ": error %d, inode %" PRIu64 ", links %u%s%s\n",
		       op->called, op->answered, kinds[op->kind],
		       history_names[op->name], history_names[op->to],
		       op->target, op->error, op->ino, op->nlink,
		       op->gone ? ", gone" : "",
		       is_odd(ops, count, i, start, end) ? " <--" : "");
		if (op->kind == HISTORY_LIST)
			print_state("  it", &op->state);
	}
	print_state("end", end);
	fflush(stdout);
}
