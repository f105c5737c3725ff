/* SPDX-License-Identifier: Apache-2.0 */
/* engine_leveldb.c - LevelDB through its C interface; see engine.h.
 *
 * Everything that is not named here is LevelDB's default; its compressor is
 * Snappy, and its one background thread cannot be made two. */
#include <config.h>

#include "tests/bench/engine_list.h"

#include <errno.h>
#include <leveldb/c.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/usage.h"
#include "tests/must.h"

#define WAIT_STEP_US 20000
#define WAIT_QUIET_STEPS 25
#define WAIT_QUIET_CPU_NS 500000

struct engine {
	leveldb_t *db;
	leveldb_options_t *options;
	leveldb_filterpolicy_t *filter;
	leveldb_cache_t *cache;
	leveldb_writeoptions_t *write;
	leveldb_readoptions_t *read;
};

static int
checked(char *error)
{
	int r;

	if (!error)
		return 0;
	r = engine_error("leveldb", error);
	leveldb_free(error);
	return r;
}

static void
set_options(struct engine *e, const struct engine_options *options)
{
	e->options = leveldb_options_create();
	e->filter = leveldb_filterpolicy_create_bloom(options->bloom_bits);
	e->cache = leveldb_cache_create_lru(options->cache_bytes);
	e->write = leveldb_writeoptions_create();
	e->read = leveldb_readoptions_create();

	leveldb_options_set_create_if_missing(e->options, 1);
	leveldb_options_set_filter_policy(e->options, e->filter);
	leveldb_options_set_cache(e->options, e->cache);
	leveldb_options_set_write_buffer_size(e->options,
					      options->memtable_bytes);
	leveldb_options_set_compression(e->options, leveldb_snappy_compression);
	leveldb_writeoptions_set_sync(e->write, options->sync);
}

static void
engine_free(struct engine *e)
{
	leveldb_readoptions_destroy(e->read);
	leveldb_writeoptions_destroy(e->write);
	leveldb_options_destroy(e->options);
	leveldb_cache_destroy(e->cache);
	leveldb_filterpolicy_destroy(e->filter);
	free(e);
}

static int
level_open(const char *dir, const struct engine_options *options,
	   struct engine **out)
{
	struct engine *e = must_alloc(sizeof(*e));
	char *error = NULL;

	set_options(e, options);
	e->db = leveldb_open(e->options, dir, &error);
	if (error) {
		engine_free(e);
		return checked(error);
	}
	*out = e;
	return 0;
}

static int
level_close(struct engine *e)
{
	leveldb_close(e->db);
	engine_free(e);
	return 0;
}

static int
level_put(struct engine *e, struct keyfs_slice key, struct keyfs_slice value)
{
	char *error = NULL;

	leveldb_put(e->db, e->write, key.data, key.len, value.data, value.len,
		    &error);
	return checked(error);
}

static int
level_remove(struct engine *e, struct keyfs_slice key)
{
	char *error = NULL;

	leveldb_delete(e->db, e->write, key.data, key.len, &error);
	return checked(error);
}

static int
level_get(struct engine *e, struct keyfs_slice key, engine_found_fn found,
	  void *arg)
{
	char *error = NULL;
	size_t len;
	char *value =
		leveldb_get(e->db, e->read, key.data, key.len, &len, &error);

	if (error)
		return checked(error);
	if (!value)
		return -ENOENT;
	found(arg, keyfs_bytes(value, len));
	leveldb_free(value);
	return 0;
}

/* A cursor is the iterator itself. */
static leveldb_iterator_t *
iter_of(struct engine_cursor *cursor)
{
	return (leveldb_iterator_t *)cursor;
}

static int
level_cursor_new(struct engine *e, struct engine_cursor **out)
{
	*out = (struct engine_cursor *)leveldb_create_iterator(e->db, e->read);
	return 0;
}

static int
level_cursor_end(struct engine_cursor *cursor)
{
	char *error = NULL;

	leveldb_iter_get_error(iter_of(cursor), &error);
	leveldb_iter_destroy(iter_of(cursor));
	return checked(error);
}

static bool
level_cursor_first(struct engine_cursor *cursor)
{
	leveldb_iter_seek_to_first(iter_of(cursor));
	return leveldb_iter_valid(iter_of(cursor));
}

static bool
level_cursor_seek(struct engine_cursor *cursor, struct keyfs_slice key)
{
	leveldb_iter_seek(iter_of(cursor), key.data, key.len);
	return leveldb_iter_valid(iter_of(cursor));
}

static bool
level_cursor_next(struct engine_cursor *cursor)
{
	leveldb_iter_next(iter_of(cursor));
	return leveldb_iter_valid(iter_of(cursor));
}

static struct keyfs_slice
level_cursor_key(struct engine_cursor *cursor)
{
	struct keyfs_slice key;

	key.data = leveldb_iter_key(iter_of(cursor), &key.len);
	return key;
}

static struct keyfs_slice
level_cursor_value(struct engine_cursor *cursor)
{
	struct keyfs_slice value;

	value.data = leveldb_iter_value(iter_of(cursor), &value.len);
	return value;
}

/* LevelDB does not tell whether it compacts.  Nothing else runs in this process
 * while it waits, so half a second without processor time is the end of it; a
 * single sync does not take as long. */
static int
level_wait(struct engine *e)
{
	uint64_t before, used;

	(void)e;
	for (unsigned quiet = 0; quiet < WAIT_QUIET_STEPS; quiet++) {
		before = usage_cpu_ns();
		usleep(WAIT_STEP_US);
		used = usage_cpu_ns() - before;
		if (used > WAIT_QUIET_CPU_NS)
			quiet = 0;
	}
	return 0;
}

static int
level_compact(struct engine *e)
{
	leveldb_compact_range(e->db, NULL, 0, NULL, 0);
	return 0;
}

const struct engine_ops engine_leveldb = {
	.name = "leveldb",
	.open = level_open,
	.close = level_close,
	.put = level_put,
	.remove = level_remove,
	.get = level_get,
	.cursor_new = level_cursor_new,
	.cursor_end = level_cursor_end,
	.cursor_first = level_cursor_first,
	.cursor_seek = level_cursor_seek,
	.cursor_next = level_cursor_next,
	.cursor_key = level_cursor_key,
	.cursor_value = level_cursor_value,
	.wait = level_wait,
	.compact = level_compact,
};
