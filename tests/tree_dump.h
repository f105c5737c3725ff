/* SPDX-License-Identifier: Apache-2.0 */
/* tree_dump.h - all of a tree as text, to be compared: a line an object, with path, type
 * and permissions, links, size, hash of the contents, then a line for each of its
 * extended attributes; each directory before what is in it, in the order of the
 * names. */
#ifndef TESTS_TREE_DUMP_H
#define TESTS_TREE_DUMP_H

#include <stdio.h>

#include "fs/tree.h"

/* The caller frees it. */
char *tree_dump(struct tree *tree);

/* One line of a dump. */
void dump_line(FILE *to, const char *path, uint32_t mode, unsigned nlink,
	       const void *data, size_t size);

/* One line of an extended attribute of what is at `path`. */
void dump_xattr(FILE *to, const char *path, const char *name, const void *data,
		size_t size);

/* Aborts the test at the first line that differs. */
void dump_expect(const char *got, const char *want);

#endif
