/* SPDX-License-Identifier: Apache-2.0 */
/* db_kit.h - one store on one simulated disk, for tests of the database: limits so
 * small that flush and compaction happen, and calls in one line.  Failures inside are
 * the test's. */
#ifndef TESTS_DB_KIT_H
#define TESTS_DB_KIT_H

#include "store/store.h"
#include "tests/fault_env.h"

extern struct fault_env *disk;
extern struct keyfs_store *store;

/* A memtable of 4 KiB, tables of 4 KiB, a budget of 1 MiB. */
struct keyfs_options db_kit_small(void);
int db_kit_open_with(const struct keyfs_options *options);
void db_kit_reopen(void);

/* The power goes, or only the process, with the store open; the disk comes back with
 * what `kind` leaves of it.  The store is closed then. */
void db_kit_crash(enum fault_crash kind);

/* The fixture: an open, empty store. */
void db_kit_setup(void);
void db_kit_teardown(void);

int db_kit_put(const char *key, const char *value);
/* What a key holds, in static memory; "-" if it is absent, "!" on an error. */
const char *
db_kit_get_at(const struct keyfs_snapshot *snapshot, const char *key);
const char *db_kit_get(const char *key);
/* Puts key000000, key000001 ... */
void db_kit_fill(unsigned count, const char *value);
struct keyfs_stats db_kit_stats(void);

#endif
