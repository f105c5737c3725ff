/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "tests/db_kit.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/db.h"

struct fault_env *disk;
struct keyfs_store *store;

struct keyfs_options
db_kit_small(void)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 4096,
				       .block_bytes = 256,
				       .table_bytes = 4096,
				       .level_bytes = 16384,
				       .reserve_bytes = 1 << 20 };
}

int
db_kit_open_with(const struct keyfs_options *options)
{
	return db_open(fault_env(disk), "store", options, &store);
}

void
db_kit_reopen(void)
{
	struct keyfs_options options = db_kit_small();

	ck_assert_int_eq(keyfs_close(store), 0);
	store = NULL;
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

void
db_kit_crash(enum fault_crash kind)
{
	fault_env_crash(disk);
	(void)keyfs_close(store);
	store = NULL;
	fault_env_reboot(disk, kind, 1);
}

void
db_kit_setup(void)
{
	struct keyfs_options options = db_kit_small();

	disk = fault_env_new(1);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
}

void
db_kit_teardown(void)
{
	(void)keyfs_close(store);
	fault_env_free(disk);
}

int
db_kit_put(const char *key, const char *value)
{
	return keyfs_put(store, NULL, keyfs_str(key), keyfs_str(value), 0);
}

/* What a key holds, in static memory; "-" if it is absent, "!" on an error. */
const char *
db_kit_get_at(const struct keyfs_snapshot *snapshot, const char *key)
{
	static char text[4096];
	struct keyfs_value value;
	int r = keyfs_get(store, NULL, snapshot, keyfs_str(key), 0, &value);

	if (r < 0)
		return r == -ENOENT ? "-" : "!";
	memcpy(text, value.data.data, value.data.len);
	text[value.data.len] = '\0';
	keyfs_value_release(&value);
	return text;
}

const char *
db_kit_get(const char *key)
{
	return db_kit_get_at(NULL, key);
}

void
db_kit_fill(unsigned count, const char *value)
{
	char key[32];
	unsigned i;

	for (i = 0; i < count; i++) {
		(void)snprintf(key, sizeof(key), "key%06u", i);
		ck_assert_int_eq(db_kit_put(key, value), 0);
	}
}

struct keyfs_stats
db_kit_stats(void)
{
	struct keyfs_stats s = { .size = sizeof(s) };

	ck_assert_int_eq(keyfs_stats_get(store, &s), 0);
	return s;
}
