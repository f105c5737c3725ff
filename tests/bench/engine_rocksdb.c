/* SPDX-License-Identifier: Apache-2.0 */
/* engine_rocksdb.c - RocksDB through its C interface; see engine.h.
 *
 * Everything that is not named here is RocksDB's default. */
#include <config.h>

#include "tests/bench/engine_list.h"

#include <errno.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/must.h"

#define BACKGROUND_JOBS 2
#define WAIT_STEP_US 5000

struct engine {
	rocksdb_t *db;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *table;
	rocksdb_cache_t *cache;
	rocksdb_writeoptions_t *write;
	rocksdb_readoptions_t *read;
};

static int
checked(char *error)
{
	int r;

	if (!error)
		return 0;
	r = engine_error("rocksdb", error);
	rocksdb_free(error);
	return r;
}

static void
set_options(struct engine *e, const struct engine_options *options)
{
	e->options = rocksdb_options_create();
	e->table = rocksdb_block_based_options_create();
	e->cache = rocksdb_cache_create_lru(options->cache_bytes);
	e->write = rocksdb_writeoptions_create();
	e->read = rocksdb_readoptions_create();

	/* The table options own the filter policy. */
	rocksdb_block_based_options_set_block_cache(e->table, e->cache);
	rocksdb_block_based_options_set_filter_policy(
		e->table,
		rocksdb_filterpolicy_create_bloom_full(options->bloom_bits));
	rocksdb_options_set_block_based_table_factory(e->options, e->table);
	rocksdb_options_set_create_if_missing(e->options, 1);
	rocksdb_options_set_write_buffer_size(e->options,
					      options->memtable_bytes);
	rocksdb_options_set_compression(e->options, rocksdb_lz4_compression);
	rocksdb_options_set_max_background_jobs(e->options, BACKGROUND_JOBS);
	rocksdb_writeoptions_set_sync(e->write, options->sync);
}

static void
engine_free(struct engine *e)
{
	rocksdb_readoptions_destroy(e->read);
	rocksdb_writeoptions_destroy(e->write);
	rocksdb_options_destroy(e->options);
	rocksdb_block_based_options_destroy(e->table);
	rocksdb_cache_destroy(e->cache);
	free(e);
}

static int
rocks_open(const char *dir, const struct engine_options *options,
	   struct engine **out)
{
	struct engine *e = must_alloc(sizeof(*e));
	char *error = NULL;

	set_options(e, options);
	e->db = rocksdb_open(e->options, dir, &error);
	if (error) {
		engine_free(e);
		return checked(error);
	}
	*out = e;
	return 0;
}

static int
rocks_close(struct engine *e)
{
	rocksdb_close(e->db);
	engine_free(e);
	return 0;
}

static int
rocks_put(struct engine *e, struct keyfs_slice key, struct keyfs_slice value)
{
	char *error = NULL;

	rocksdb_put(e->db, e->write, key.data, key.len, value.data, value.len,
		    &error);
	return checked(error);
}

static int
rocks_remove(struct engine *e, struct keyfs_slice key)
{
	char *error = NULL;

	rocksdb_delete(e->db, e->write, key.data, key.len, &error);
	return checked(error);
}

static int
rocks_get(struct engine *e, struct keyfs_slice key, engine_found_fn found,
	  void *arg)
{
	struct keyfs_slice value;
	char *error = NULL;
	rocksdb_pinnableslice_t *pinned =
		rocksdb_get_pinned(e->db, e->read, key.data, key.len, &error);

	if (error)
		return checked(error);
	if (!pinned)
		return -ENOENT;
	value.data = rocksdb_pinnableslice_value(pinned, &value.len);
	found(arg, value);
	rocksdb_pinnableslice_destroy(pinned);
	return 0;
}

/* A cursor is the iterator itself. */
static rocksdb_iterator_t *
iter_of(struct engine_cursor *cursor)
{
	return (rocksdb_iterator_t *)cursor;
}

static int
rocks_cursor_new(struct engine *e, struct engine_cursor **out)
{
	*out = (struct engine_cursor *)rocksdb_create_iterator(e->db, e->read);
	return 0;
}

static int
rocks_cursor_end(struct engine_cursor *cursor)
{
	char *error = NULL;

	rocksdb_iter_get_error(iter_of(cursor), &error);
	rocksdb_iter_destroy(iter_of(cursor));
	return checked(error);
}

static bool
rocks_cursor_first(struct engine_cursor *cursor)
{
	rocksdb_iter_seek_to_first(iter_of(cursor));
	return rocksdb_iter_valid(iter_of(cursor));
}

static bool
rocks_cursor_seek(struct engine_cursor *cursor, struct keyfs_slice key)
{
	rocksdb_iter_seek(iter_of(cursor), key.data, key.len);
	return rocksdb_iter_valid(iter_of(cursor));
}

static bool
rocks_cursor_next(struct engine_cursor *cursor)
{
	rocksdb_iter_next(iter_of(cursor));
	return rocksdb_iter_valid(iter_of(cursor));
}

static struct keyfs_slice
rocks_cursor_key(struct engine_cursor *cursor)
{
	struct keyfs_slice key;

	key.data = rocksdb_iter_key(iter_of(cursor), &key.len);
	return key;
}

static struct keyfs_slice
rocks_cursor_value(struct engine_cursor *cursor)
{
	struct keyfs_slice value;

	value.data = rocksdb_iter_value(iter_of(cursor), &value.len);
	return value;
}

static bool
busy(struct engine *e)
{
	static const char *const properties[] = {
		"rocksdb.mem-table-flush-pending",
		"rocksdb.num-running-flushes",
		"rocksdb.compaction-pending",
		"rocksdb.num-running-compactions",
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(properties) / sizeof(*properties); i++)
		if (rocksdb_property_int(e->db, properties[i], &value) == 0 &&
		    value > 0)
			return true;
	return false;
}

/* Between a flush and the compaction that it causes nothing is pending for a
 * moment, so one look is not enough. */
static int
rocks_wait(struct engine *e)
{
	for (unsigned quiet = 0; quiet < 10; quiet++) {
		if (busy(e))
			quiet = 0;
		usleep(WAIT_STEP_US);
	}
	return 0;
}

static int
rocks_compact(struct engine *e)
{
	rocksdb_compact_range(e->db, NULL, 0, NULL, 0);
	return 0;
}

const struct engine_ops engine_rocksdb = {
	.name = "rocksdb",
	.open = rocks_open,
	.close = rocks_close,
	.put = rocks_put,
	.remove = rocks_remove,
	.get = rocks_get,
	.cursor_new = rocks_cursor_new,
	.cursor_end = rocks_cursor_end,
	.cursor_first = rocks_cursor_first,
	.cursor_seek = rocks_cursor_seek,
	.cursor_next = rocks_cursor_next,
	.cursor_key = rocks_cursor_key,
	.cursor_value = rocks_cursor_value,
	.wait = rocks_wait,
	.compact = rocks_compact,
};
