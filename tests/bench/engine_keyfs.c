/* SPDX-License-Identifier: Apache-2.0 */
/* engine_keyfs.c - libkeyfs, through its public header alone; see engine.h. */
#include <config.h>

#include "tests/bench/engine_list.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/must.h"

/* The others never sync their log unasked, so it must not do so either while it is
 * measured. */
#define NO_COMMIT_INTERVAL_MS (24u * 3600u * 1000u)

struct engine {
	struct keyfs_store *store;
	unsigned flags;
};

static int
checked(const char *call, int r)
{
	return r < 0 && r != -ENOENT ? engine_error_code("keyfs", call, r) : r;
}

static void
print_line(void *arg, enum keyfs_log_level level, const char *line)
{
	(void)arg;
	if (level != KEYFS_LOG_INFO)
		engine_error("keyfs", line);
}

/* memory_bytes is the budget for everything: the two memtables and the cache that
 * the other engines are given apart. */
static int
keyfs_engine_open(const char *dir, const struct engine_options *options,
		  struct engine **out)
{
	struct keyfs_options o = {
		.size = sizeof(o),
		.create = true,
		.commit_interval_ms = NO_COMMIT_INTERVAL_MS,
		.memory_bytes =
			options->cache_bytes + 2 * options->memtable_bytes,
		.memtable_bytes = options->memtable_bytes,
		.bloom_bits = (uint32_t)options->bloom_bits,
		.compression = KEYFS_COMPRESSION_LZ4,
		.log = print_line,
	};
	struct engine *engine = must_alloc(sizeof(*engine));
	int r = keyfs_open(dir, &o, &engine->store);

	if (r < 0) {
		free(engine);
		return checked("open", r);
	}
	engine->flags = options->sync ? KEYFS_SYNC : 0;
	*out = engine;
	return 0;
}

static int
keyfs_engine_close(struct engine *engine)
{
	int r = keyfs_close(engine->store);

	free(engine);
	return checked("close", r);
}

static int
keyfs_engine_put(struct engine *engine, struct keyfs_slice key,
		 struct keyfs_slice value)
{
	return checked("put", keyfs_put(engine->store, NULL, key, value,
					engine->flags));
}

static int
keyfs_engine_remove(struct engine *engine, struct keyfs_slice key)
{
	return checked("delete",
		       keyfs_delete(engine->store, NULL, key, engine->flags));
}

static int
keyfs_engine_get(struct engine *engine, struct keyfs_slice key,
		 engine_found_fn found, void *arg)
{
	struct keyfs_value value;
	int r = keyfs_get(engine->store, NULL, NULL, key, 0, &value);

	if (r < 0)
		return checked("get", r);
	found(arg, value.data);
	keyfs_value_release(&value);
	return 0;
}

/* A cursor is the iterator itself. */
static struct keyfs_iter *
iter_of(struct engine_cursor *cursor)
{
	return (struct keyfs_iter *)cursor;
}

static int
keyfs_cursor_new(struct engine *engine, struct engine_cursor **out)
{
	struct keyfs_iter *iter;
	int r = keyfs_iter_new(engine->store, NULL, NULL, &iter);

	if (r < 0)
		return checked("iterator", r);
	*out = (struct engine_cursor *)iter;
	return 0;
}

static int
keyfs_cursor_end(struct engine_cursor *cursor)
{
	int r = keyfs_iter_status(iter_of(cursor));

	keyfs_iter_free(iter_of(cursor));
	return checked("iterator", r);
}

static bool
keyfs_cursor_first(struct engine_cursor *cursor)
{
	return keyfs_iter_first(iter_of(cursor));
}

static bool
keyfs_cursor_seek(struct engine_cursor *cursor, struct keyfs_slice key)
{
	return keyfs_iter_seek(iter_of(cursor), key);
}

static bool
keyfs_cursor_next(struct engine_cursor *cursor)
{
	return keyfs_iter_next(iter_of(cursor));
}

static struct keyfs_slice
keyfs_cursor_key(struct engine_cursor *cursor)
{
	return keyfs_iter_key(iter_of(cursor));
}

static struct keyfs_slice
keyfs_cursor_value(struct engine_cursor *cursor)
{
	return keyfs_iter_value(iter_of(cursor));
}

static int
keyfs_engine_wait(struct engine *engine)
{
	return checked("wait", keyfs_wait_idle(engine->store));
}

static int
keyfs_engine_compact(struct engine *engine)
{
	struct keyfs_slice none = { NULL, 0 };

	return checked("compact",
		       keyfs_compact_range(engine->store, NULL, none, none));
}

const struct engine_ops engine_keyfs = {
	.name = "keyfs",
	.open = keyfs_engine_open,
	.close = keyfs_engine_close,
	.put = keyfs_engine_put,
	.remove = keyfs_engine_remove,
	.get = keyfs_engine_get,
	.cursor_new = keyfs_cursor_new,
	.cursor_end = keyfs_cursor_end,
	.cursor_first = keyfs_cursor_first,
	.cursor_seek = keyfs_cursor_seek,
	.cursor_next = keyfs_cursor_next,
	.cursor_key = keyfs_cursor_key,
	.cursor_value = keyfs_cursor_value,
	.wait = keyfs_engine_wait,
	.compact = keyfs_engine_compact,
};
