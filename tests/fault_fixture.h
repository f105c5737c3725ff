/* SPDX-License-Identifier: Apache-2.0 */
/* fault_fixture.h - a simulated disk with one directory, for the tests of it.
 *
 * Each program that includes it has its own. */
#ifndef TESTS_FAULT_FIXTURE_H
#define TESTS_FAULT_FIXTURE_H

#include <string.h>

#include "tests/fault_env.h"
#include "tests/suite.h"

static struct fault_env *disk;
static struct env_dir *dir;

static inline void
open_dir(void)
{
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
}

static inline void
setup(void)
{
	disk = fault_env_new(1);
	open_dir();
}

static inline void
teardown(void)
{
	env_dir_close(dir);
	fault_env_free(disk);
}

static inline void
reboot(enum fault_crash kind, uint64_t seed)
{
	fault_env_reboot(disk, kind, seed);
	env_dir_close(dir);
	open_dir();
}

static inline struct env_file *
create(const char *name)
{
	struct env_file *file;

	ck_assert_int_eq(env_file_open(dir, name, ENV_WRITE | ENV_CREATE,
				       &file),
			 0);
	return file;
}

static inline struct env_file *
create_durable(const char *name, const void *data, size_t len)
{
	struct env_file *file = create(name);

	ck_assert_int_eq(env_file_write(file, 0, data, len), 0);
	ck_assert_int_eq(env_file_sync(file), 0);
	ck_assert_int_eq(env_dir_sync(dir), 0);
	ck_assert(fault_env_synced(disk, name));
	return file;
}

static inline void
check_contents(const char *name, const char *expected)
{
	char buf[64] = { 0 };
	uint64_t size;

	ck_assert_int_eq(fault_env_size(disk, name, &size), 0);
	ck_assert_uint_eq(size, strlen(expected));
	ck_assert_int_eq(fault_env_peek(disk, name, 0, buf, size), 0);
	ck_assert_mem_eq(buf, expected, size);
}

static inline bool
exists(const char *name)
{
	uint64_t size;

	return fault_env_size(disk, name, &size) == 0;
}

static inline uint8_t *
map(struct env_file *file, size_t len)
{
	void *memory;

	ck_assert_int_eq(env_file_map(file, len, &memory), 0);
	return memory;
}

#endif
