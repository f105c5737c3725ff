/* SPDX-License-Identifier: Apache-2.0 */
/* history.h - whether what several threads saw of one directory can have happened,
 * one operation after the other, each at some moment between its call and its
 * answer.
 *
 *	thread 1   |--create a: 7--|    |---lookup b: 7---|
 *	thread 2        |---rename a to b: done---|
 *
 * Every name is a register: absent, or an inode number.  A rename changes two of them
 * at one moment and a listing reads all, so the registers are looked at together,
 * which asks for more than each by itself.
 *
 * history_begin(), the operation, history_end(): any thread, each with an operation of
 * its own.  history_explain(): when all are done. */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_NAMES 4u
/* Operations of one history: their set is one word. */
#define HISTORY_MAX 64u

extern const char *const history_names[HISTORY_NAMES];

/* What the names stand for; 0: nothing. */
struct history_state {
	uint64_t inos[HISTORY_NAMES];
};

enum history_kind {
	HISTORY_CREATE, /* result: ino */
	HISTORY_LOOKUP, /* result: ino */
	HISTORY_UNLINK, /* result: ino (0: not told), gone */
	HISTORY_LINK,   /* of `target` */
	HISTORY_RENAME, /* result: ino that was replaced, gone (0: not told) */
	HISTORY_NOREPLACE,
	HISTORY_EXCHANGE,
	HISTORY_LIST, /* result: state */
};

#define HISTORY_KINDS 8u

struct history_op {
	enum history_kind kind;
	unsigned name, to; /* index of names */
	uint64_t target;
	/* What came back. */
	int error; /* 0 or negative errno */
	uint64_t ino;
	unsigned nlink; /* of a lookup; 0: not told */
	bool gone;
	struct history_state state;
	/* When; of one clock for all threads. */
	uint64_t called, answered;
};

void history_begin(struct history_op *op);
void history_end(struct history_op *op);

/* Whether some order explains all that came back, from `start` to `end`.
 * Requires: count <= HISTORY_MAX. */
bool history_explain(const struct history_op *ops, size_t count,
		     const struct history_state *start,
		     const struct history_state *end);

/* Prints the operations, for people, with an arrow at each without which the others
 * can be explained. */
void history_print(const struct history_op *ops, size_t count,
		   const struct history_state *start,
		   const struct history_state *end);

#endif
