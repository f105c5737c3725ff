/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_spoils.h - what somebody may have made of the tree of hostile_tree.h, each
 * with what has to be said of it.
 *
 * A spoil changes a whole tree in one way, so that only what it names is wrong; its
 * name is a claim about the tree.  It touches nothing but the keys.  One thread. */
#ifndef TESTS_HOSTILE_SPOILS_H
#define TESTS_HOSTILE_SPOILS_H

#include "tests/hostile_tree.h"

/* What tree_check() says of it, or what opening says. */
enum hostile_finding {
	HOSTILE_CLEAN,
	HOSTILE_FOUND,
	HOSTILE_REFUSED,
	HOSTILE_NEWER
};

struct hostile_spoil {
	const char *name;
	void (*spoil)(struct hostile_tree *t);
	enum hostile_finding finding;
};

struct hostile_spoils {
	const struct hostile_spoil *spoils;
	size_t count;
};

/* One line of a table. */
#define HOSTILE_SPOIL(name, finding)                                           \
	{                                                                      \
#name, name, finding                                           \
	}

/* By what they spoil: names, links, parents and numbers; contents, targets and work
 * that is owed; root, counters and superblock. */
extern const struct hostile_spoils hostile_names, hostile_files, hostile_store;

#endif
