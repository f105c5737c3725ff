/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the store's files: a log, a table, a manifest, and a whole store from an
 * archive, on the simulated disk.  What is read twice must be the same twice.
 *
 * An archive is a row of files:  name length u8, name, length le32, bytes. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "store/bloom.h"
#include "store/coding.h"
#include "store/db.h"
#include "store/manifest_format.h"
#include "store/wal_reader.h"
#include "tests/fault_env.h"

#define DIR_NAME "store"

enum { ENTRIES_MAX = 100000, CACHE_BYTES = 1 << 20 };

static struct env_dir *
dir_open(struct fault_env *disk)
{
	struct env_dir *dir;

	fuzz_expect(env_dir_open(fault_env(disk), DIR_NAME, ENV_DIR_CREATE,
				 &dir) == 0);
	return dir;
}

/* The number in a file's header, so that a checksum may fit; small. */
static uint64_t
number_at(const uint8_t *data, size_t size, size_t at)
{
	uint64_t number = size >= at + 8 ? get_le64(data + at) : 0;

	return number > 0 && number <= WAL_NUMBER_MAX ? number : 1;
}

static void
plant(struct fault_env *disk, const char *name, const void *data, size_t size)
{
	char path[ENV_NAME_MAX + sizeof(DIR_NAME) + 2];

	(void)snprintf(path, sizeof(path), DIR_NAME "/%s", name);
	(void)fault_env_plant(disk, path, data, size);
}

/* ---- A log ---- */

static void
log_read(struct wal_reader *reader)
{
	struct keyfs_slice payload;
	struct wal_record record;
	struct wal_header header;
	uint64_t offset = 0;

	if (!wal_reader_header(reader, &header))
		while (!wal_reader_next(reader, &record, &payload)) {
			fuzz_expect(wal_reader_offset(reader) > offset);
			offset = wal_reader_offset(reader);
		}
	(void)wal_reader_scan(reader);
	(void)wal_reader_rest_is_zero(reader);
	(void)wal_reader_taken(reader, 0);
}

void
fuzz_log(const uint8_t *data, size_t size)
{
	uint64_t number = number_at(data, size, 16);
	struct fault_env *disk = fault_env_new(1);
	struct env_dir *dir = dir_open(disk);
	char name[ENV_NAME_MAX + 1];
	struct wal_reader *reader;

	(void)snprintf(name, sizeof(name), "%06" PRIu64 ".log", number);
	plant(disk, name, data, size);
	if (wal_reader_open(dir, number, &reader) == 0) {
		log_read(reader);
		wal_reader_close(reader);
	}
	env_dir_close(dir);
	fault_env_free(disk);
}

/* ---- A table ---- */

static size_t
table_walk(struct table *table, unsigned flags, bool backward, int *status)
{
	struct iter *iter;
	size_t count = 0;

	fuzz_expect(table_iter(table, flags, &iter) == 0);
	if (backward)
		iter_last(iter);
	else
		iter_first(iter);
	while (iter->valid && count < ENTRIES_MAX) {
		count++;
		if (backward)
			iter_prev(iter);
		else
			iter_next(iter);
	}
	*status = iter->status;
	iter_free(iter);
	return count;
}

static void
table_read(struct table *table, struct cache *cache, struct keyfs_slice key)
{
	struct table_result found;
	int forward, backward;
	size_t count = table_walk(table, 0, false, &forward);

	if (table_walk(table, 0, true, &backward) != count &&
	    table_verify(table, NULL, NULL) == 0)
		fuzz_expect(forward != 0 || backward != 0);
	fuzz_expect(table_walk(table, TABLE_ITER_NOFILL, false, &backward) ==
			    count ||
		    forward != 0 || backward != 0);
	(void)table_verify(table, NULL, NULL);
	if (table_get(table, key, bloom_hash(key), SEQ_MAX, false, &found) == 0)
		cache_unpin(cache, found.pin);
}

void
fuzz_table(const uint8_t *data, size_t size)
{
	uint64_t number = number_at(data, size, 16);
	struct fault_env *disk = fault_env_new(1);
	struct env_dir *dir = dir_open(disk);
	char name[ENV_NAME_MAX + 1];
	struct cache *cache;
	struct table *table;

	table_file_name(number, name);
	plant(disk, name, data, size);
	fuzz_expect(cache_new(CACHE_BYTES, &cache) == 0);
	if (table_open(dir, number, size, cache, NULL, &table) == 0) {
		table_read(table, cache, keyfs_str("key000003"));
		table_unref(table);
	}
	cache_free(cache);
	env_dir_close(dir);
	fault_env_free(disk);
}

/* ---- A manifest ---- */

void
fuzz_manifest(const uint8_t *data, size_t size)
{
	uint64_t number = number_at(data, size, 16), found;
	struct fault_env *disk = fault_env_new(1);
	struct env_dir *dir = dir_open(disk);
	char name[ENV_NAME_MAX + 1], line[MANIFEST_CURRENT_MAX];
	struct version *version;
	struct table_set set;
	struct cache *cache;

	manifest_file_name(number, name);
	plant(disk, name, data, size);
	plant(disk, MANIFEST_CURRENT, line,
	      (size_t)manifest_current_encode(number, line));
	fuzz_expect(cache_new(CACHE_BYTES, &cache) == 0);
	table_set_init(&set, dir, cache, NULL);
	if (manifest_load(dir, NULL, &set, &found, &version) == 0) {
		fuzz_expect(found == number);
		version_unref(version);
	}
	cache_free(cache);
	env_dir_close(dir);
	fault_env_free(disk);
}

/* ---- A whole store ---- */

static void
unpack(struct fault_env *disk, struct fuzz_input *in)
{
	char name[ENV_NAME_MAX + 1];
	const uint8_t *bytes;
	size_t len;

	while (in->at < in->end) {
		bytes = fuzz_take_bytes(in, fuzz_take(in, 1) % ENV_NAME_MAX,
					&len);
		memcpy(name, bytes, len);
		name[len] = '\0';
		bytes = fuzz_take_bytes(in, fuzz_take(in, 4), &len);
		if (name[0] && !strchr(name, '/') && strlen(name) > 0)
			plant(disk, name, bytes, len);
	}
}

static size_t
store_walk(struct keyfs_store *store, bool backward, int *status)
{
	struct keyfs_iter *iter;
	size_t count = 0;
	bool ok;

	fuzz_expect(keyfs_iter_new(store, NULL, NULL, &iter) == 0);
	ok = backward ? keyfs_iter_last(iter) : keyfs_iter_first(iter);
	while (ok && count < ENTRIES_MAX) {
		count++;
		ok = backward ? keyfs_iter_prev(iter) : keyfs_iter_next(iter);
	}
	*status = keyfs_iter_status(iter);
	keyfs_iter_free(iter);
	return count;
}

static void
store_read(struct keyfs_store *store)
{
	struct keyfs_slice key = keyfs_str("key000003");
	struct keyfs_value value;
	int forward, backward;
	bool whole;

	(void)store_walk(store, false, &forward);
	(void)store_walk(store, true, &backward);
	whole = keyfs_verify(store, NULL, NULL) == 0;
	/* What is whole by its own account can be read to the end. */
	if (whole)
		fuzz_expect(forward == 0 && backward == 0);
	if (keyfs_get(store, NULL, NULL, key, 0, &value) == 0)
		keyfs_value_release(&value);
	(void)keyfs_put(store, NULL, key, keyfs_str("value"), 0);
	(void)keyfs_flush(store);
}

void
fuzz_store(const uint8_t *data, size_t size)
{
	/* An archive holds no LOCK: it is made. */
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 1 << 20,
					 .memtable_bytes = 16 << 10,
					 .compaction_threads = 1,
					 .reserve_bytes = 64 << 10 };
	struct fuzz_input in = { data, data + size };
	struct fault_env *disk = fault_env_new(1);
	struct env_dir *dir = dir_open(disk);
	struct keyfs_store *store;

	env_dir_close(dir);
	unpack(disk, &in);
	if (db_open(fault_env(disk), DIR_NAME, &options, &store) == 0) {
		store_read(store);
		(void)keyfs_close(store);
	}
	fault_env_free(disk);
}
