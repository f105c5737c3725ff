/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - tables for tests; see tables.h. */
#include <config.h>

#include "tests/tables.h"

#include <stdlib.h>

#include "store/options.h"
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

struct table_meta *
tables_write(struct table_set *set, uint64_t number,
	     const struct versions *versions, size_t begin, size_t end)
{
	struct table_options options = { .block_bytes = 512, .bloom_bits = 10 };
	struct table_builder *builder;
	char name[ENV_NAME_MAX + 1];
	struct env_file *file;
	struct table_info info;
	struct table_meta *meta;

	table_file_name(number, name);
	ck_assert_int_eq(env_file_open(set->dir, name,
				       ENV_READ | ENV_WRITE | ENV_CREATE,
				       &file),
			 0);
	ck_assert_int_eq(table_builder_new(file, number, &options, &builder),
			 0);
	for (; begin < end; begin++)
		table_builder_add(builder, &versions->entries[begin]);
	ck_assert_int_eq(table_builder_finish(builder, &info), 0);
	ck_assert_int_eq(table_meta_new(set, number, &info, &meta), 0);
	table_builder_free(builder);
	env_file_close(file);
	return meta;
}

void
tables_read(struct table_meta *meta, struct versions *out)
{
	struct table *table;
	struct iter *iter;

	ck_assert_int_eq(table_meta_open(meta, false, &table), 0);
	ck_assert_int_eq(table_iter(table, 0, &iter), 0);
	for (iter_first(iter); iter->valid; iter_next(iter))
		versions_add(out, &iter->entry);
	ck_assert_int_eq(iter->status, 0);
	iter_free(iter);
}

struct keyfs_options
tables_options(void)
{
	struct keyfs_options options;
	char why[128];

	ck_assert_int_eq(options_resolve(NULL, &options, why, sizeof(why)), 0);
	options.block_bytes = 512;
	options.table_bytes = 8 << 10;
	options.level_bytes = 32 << 10;
	options.level_ratio = 4;
	return options;
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
