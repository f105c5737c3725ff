/* SPDX-License-Identifier: Apache-2.0 */
/* table_fixture.c - one table on a simulated disk; see table_fixture.h. */
#include <config.h>

#include "tests/table_fixture.h"

#include <check.h>
#include <stdio.h>

#include "store/bloom.h"

static void
log_line(void *arg, enum keyfs_log_level level, const char *line)
{
	struct table_fixture *f = arg;

	ck_assert_int_eq(level, KEYFS_LOG_ERROR);
	f->lines++;
	snprintf(f->line, sizeof(f->line), "%s", line);
}

struct reporter table_fixture_reporter = { .log = log_line };

int
table_fixture_open(struct table_fixture *f)
{
	table_fixture_reporter.arg = f;
	return table_open(f->dir, TABLE_FIXTURE_NUMBER, f->file_bytes, f->cache,
			  &table_fixture_reporter, &f->table);
}

void
table_fixture_close(struct table_fixture *f)
{
	table_unref(f->table);
	f->table = NULL;
	cache_drop_file(f->cache, TABLE_FIXTURE_NUMBER);
}

static void
fixture_write(struct table_fixture *f, const struct table_options *options,
	      struct table_info *out)
{
	struct table_builder *builder;
	struct env_file *file;
	size_t i;

	ck_assert_int_eq(env_file_open(f->dir, TABLE_FIXTURE_FILE,
				       ENV_WRITE | ENV_CREATE, &file),
			 0);
	ck_assert_int_eq(table_builder_new(file, TABLE_FIXTURE_NUMBER, options,
					   &builder),
			 0);
	for (i = 0; i < f->entries.count; i++)
		table_builder_add(builder, &f->entries.at[i]);
	ck_assert_uint_eq(table_builder_entries(builder), f->entries.count);
	ck_assert_int_eq(table_builder_finish(builder, out), 0);
	ck_assert_uint_eq(table_builder_bytes(builder), out->file_bytes);
	ck_assert(key_equal(out->smallest, f->entries.at[0].key));
	ck_assert(key_equal(out->largest,
			    f->entries.at[f->entries.count - 1].key));
	table_builder_free(builder);
	env_file_close(file);
	f->file_bytes = out->file_bytes;
}

void
table_fixture_init(struct table_fixture *f, struct entries entries,
		   size_t cache_bytes, const struct table_options *options)
{
	struct table_info info;

	memset(f, 0, sizeof(*f));
	f->entries = entries;
	f->disk = fault_env_new(1);
	ck_assert_int_eq(env_dir_open(fault_env(f->disk), "/store",
				      ENV_DIR_CREATE, &f->dir),
			 0);
	ck_assert_int_eq(cache_new(cache_bytes, &f->cache), 0);
	fixture_write(f, options, &info);
	ck_assert_int_eq(table_fixture_open(f), 0);
}

void
table_fixture_fini(struct table_fixture *f)
{
	table_unref(f->table);
	cache_free(f->cache);
	env_dir_close(f->dir);
	fault_env_free(f->disk);
	entries_free(&f->entries);
}

int
table_fixture_get(struct table_fixture *f, struct keyfs_slice key, uint64_t seq,
		  bool nowait, struct table_result *out)
{
	return table_get(f->table, key, bloom_hash(key), seq, nowait, out);
}

void
table_fixture_check_at(const struct iter *it, const struct table_fixture *f,
		       size_t i)
{
	ck_assert_int_eq(it->status, 0);
	ck_assert_int_eq(it->valid, i < f->entries.count);
	if (it->valid)
		ck_assert(entry_equal(&it->entry, &f->entries.at[i]));
}

void
table_fixture_small(struct table_fixture *f, uint64_t *state, bool compress)
{
	struct table_options options = { 256, 10, compress };

	table_fixture_init(f, entries_random(state, 24, 20), 1 << 20, &options);
	ck_assert_uint_lt(f->file_bytes, 2048);
}
