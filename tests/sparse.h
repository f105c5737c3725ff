/* SPDX-License-Identifier: Apache-2.0 */
/* sparse.h - what a file must hold: its size, and bytes that take memory only where
 * something was written; for fs_exercise.c.
 *
 * One thread. */
#ifndef TESTS_SPARSE_H
#define TESTS_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SPARSE_MAX (UINT64_C(5) << 30) /* bytes of the longest */

struct sparse {
	uint64_t size;
	/* SPARSE_MAX of them, to be read in place; zeros from `size` on. */
	uint8_t *bytes;
	/* By blocks: false, all zeros. */
	bool *used;
};

void sparse_init(struct sparse *s);
void sparse_fini(struct sparse *s);

/* Grows it if need be.  Requires: from + len <= SPARSE_MAX. */
void
sparse_write(struct sparse *s, uint64_t from, const void *data, size_t len);
/* Leaves the size; what lies behind it is zeros anyway. */
void sparse_zero(struct sparse *s, uint64_t from, uint64_t to);
void sparse_resize(struct sparse *s, uint64_t size);

/* The first byte that is not zero, from `from` to before `to`; `to`: there is none. */
uint64_t sparse_find(const struct sparse *s, uint64_t from, uint64_t to);

/* To a file and from it; false: that did not work. */
bool sparse_save(const struct sparse *s, FILE *to);
/* Requires: *s is as after sparse_init(). */
bool sparse_load(struct sparse *s, FILE *from);

#endif
