/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - tables for tests; see tables.h. */
#include <config.h>

#include "tests/tables.h"

#include <stdlib.h>

#include "store/table_builder.h"
#include "tests/suite.h"

struct table_meta *
tables_meta(struct table_set *set, uint64_t number, const char *smallest,
	    const char *largest, uint64_t min_seq, uint64_t max_seq)
{
	struct table_info info = {
		.file_bytes = 1000,
		.entries = 10,
		.tombstones = 2,
		.raw_bytes = 2000,
		.min_seq = min_seq,
		.max_seq = max_seq,
		.smallest = keyfs_str(smallest),
		.largest = keyfs_str(largest),
	};
	struct table_meta *meta;

	ck_assert_int_eq(table_meta_new(set, number, &info, &meta), 0);
	return meta;
}

void
tables_add(struct version_edit *edit, struct table_set *set, unsigned level,
	   uint64_t number, const char *smallest, const char *largest,
	   uint64_t seq)
{
	struct table_meta *meta =
		tables_meta(set, number, smallest, largest, seq, seq);

	version_edit_add_table(edit, level, meta);
	table_meta_unref(meta);
}

void
tables_encode(const struct version *version, uint8_t **out, size_t *len)
{
	struct version_edit edit;

	version_edit_init(&edit);
	version_edit_snapshot(&edit, version);
	ck_assert_int_eq(version_edit_encode(&edit, out, len), 0);
	version_edit_fini(&edit);
}

void
tables_check_same(const struct version *got, const struct version *want)
{
	uint8_t *a, *b;
	size_t a_len, b_len;

	tables_encode(got, &a, &a_len);
	tables_encode(want, &b, &b_len);
	ck_assert_uint_eq(a_len, b_len);
	ck_assert_mem_eq(a, b, a_len);
	free(a);
	free(b);
}

struct version *
tables_apply(struct version *base, struct version_edit *edit)
{
	const char *why = "";
	struct version *next;
	int r = version_apply(base, edit, &why, &next);

	if (r)
		ck_abort_msg("an edit does not fit: %d %s", r, why);
	version_unref(base);
	return next;
}
