/* SPDX-License-Identifier: Apache-2.0 */
/* tables.h - descriptions of tables for tests of versions and manifests, and
 * real tables on a simulated disk. */
#ifndef TESTS_TABLES_H
#define TESTS_TABLES_H

#include "store/compact.h"
#include "tests/versions.h"

/* A description without a file: keys are strings, `seq` both ends of its
 * sequence numbers.  One reference. */
struct table_meta *
tables_meta(struct table_set *set, uint64_t number, const char *smallest,
	    const char *largest, uint64_t min_seq, uint64_t max_seq);

/* Writes the versions from `begin` to before `end` into table file `number`.
 * One reference. */
struct table_meta *
tables_write(struct table_set *set, uint64_t number,
	     const struct versions *versions, size_t begin, size_t end);

/* Appends every entry of a table to `out`. */
void tables_read(struct table_meta *meta, struct versions *out);

/* Options in which every member is set, for small tables. */
struct keyfs_options tables_options(void);

/* Adds such a table to an edit. */
void tables_add(struct version_edit *edit, struct table_set *set,
		unsigned level, uint64_t number, const char *smallest,
		const char *largest, uint64_t seq);

/* Everything that a version says, encoded; the caller frees *out. */
void tables_encode(const struct version *version, uint8_t **out, size_t *len);

/* Aborts the test unless both say the same. */
void tables_check_same(const struct version *got, const struct version *want);

/* Applies, which must succeed, and lets go of the base: the new version. */
struct version *tables_apply(struct version *base, struct version_edit *edit);

#endif
