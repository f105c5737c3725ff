/* SPDX-License-Identifier: Apache-2.0 */
/* table_fixture.h - one table on a simulated disk, with what it should hold. */
#ifndef TESTS_TABLE_FIXTURE_H
#define TESTS_TABLE_FIXTURE_H

#include "store/table.h"
#include "store/table_builder.h"
#include "tests/entries.h"
#include "tests/fault_env.h"

#define TABLE_FIXTURE_NUMBER 7
#define TABLE_FIXTURE_FILE "000007.sst"

struct table_fixture {
	struct fault_env *disk;
	struct env_dir *dir;
	struct cache *cache;
	struct table *table;
	struct entries entries;
	uint64_t file_bytes;
	int lines; /* of the log */
	char line[600];
};

/* Fills the last fixture's lines; every line must be an error. */
extern struct reporter table_fixture_reporter;

/* Writes the entries, which it owns from here on, and opens the table. */
void
table_fixture_init(struct table_fixture *f, struct entries entries,
		   size_t cache_bytes, const struct table_options *options);
/* A table of less than 2 KiB, so that each of its bits can be tried. */
void
table_fixture_small(struct table_fixture *f, uint64_t *state, bool compress);
/* Freeing the cache checks that no pin was forgotten. */
void table_fixture_fini(struct table_fixture *f);

int table_fixture_open(struct table_fixture *f);
/* Closes the table and forgets its blocks. */
void table_fixture_close(struct table_fixture *f);

int table_fixture_get(struct table_fixture *f, struct keyfs_slice key,
		      uint64_t seq, bool nowait, struct table_result *out);

/* The iterator stands on entry i, or at the end if there is none. */
void table_fixture_check_at(const struct iter *it,
			    const struct table_fixture *f, size_t i);

#endif
