/* SPDX-License-Identifier: Apache-2.0 */
/* compact_output.h - the tables that a merge writes, and where one ends and the
 * next begins.
 *
 * A table is ended, always between two user keys, when it has reached
 * table_bytes, and with a view to the level below the output (of a flush: the
 * first sorted level):
 *
 *	below     [a..d]   [e..h]   [i..l]   [m..p]   [q..t]
 *	output    a b c                           n o
 *	                cut: else this one table would overlap four below,
 *	                and each later merge of it rewrite them, though it
 *	                holds nothing there
 *
 * when the next key jumps over a whole table there, if the output is not tiny
 * or the jump is far; or when it would overlap more than a few of them.  A
 * flush makes at most a few tables.  One thread. */
#ifndef STORE_COMPACT_OUTPUT_H
#define STORE_COMPACT_OUTPUT_H

#include "store/compact.h"

struct compact_output {
	struct compact_job *job; /* borrowed; finished tables go there */

	/* The table being written. */
	uint64_t number;
	struct env_file *file;         /* owned; NULL: none */
	struct table_builder *builder; /* owned */

	/* The level below, and how far the output has come over it. */
	const struct version_level *below; /* NULL: there is none */
	size_t cursor; /* the first table there not before the last key */
	bool inside;   /* the last key lies in its range */
	uint64_t overlap_bytes; /* below the table being written */
};

void
compact_output_init(struct compact_output *output, struct compact_job *job);

/* Adds an entry.  `new_key`: it is the first with its key; before it a table
 * may be ended. */
int compact_output_add(struct compact_output *output, const struct entry *entry,
		       bool new_key);

/* Ends the last table and makes all names durable. */
int compact_output_finish(struct compact_output *output);

/* Removes what is unfinished; finished tables stay with the job. */
void compact_output_abort(struct compact_output *output);

#endif
