/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - which engines are there; see engine.h. */
#include <config.h>

#include "tests/bench/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/engine_list.h"

const struct engine_ops *const engine_list[] = {
	&engine_keyfs,
#ifdef HAVE_ROCKSDB
	&engine_rocksdb,
#endif
#ifdef HAVE_LEVELDB
	&engine_leveldb,
#endif
#ifdef HAVE_LMDB
	&engine_lmdb,
	&engine_lmdb_single,
#endif
	NULL,
};

const struct engine_ops *
engine_find(const char *name)
{
	for (size_t i = 0; engine_list[i]; i++)
		if (strcmp(engine_list[i]->name, name) == 0)
			return engine_list[i];
	return NULL;
}

void
engine_print_missing(void)
{
	static const char *const packages[][2] = {
		{ "rocksdb", "librocksdb-dev" },
		{ "leveldb", "libleveldb-dev" },
		{ "lmdb", "liblmdb-dev" },
	};

	for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++)
		if (!engine_find(packages[i][0]))
			printf("%s is left out: install the package %s, then "
			       "run configure again\n",
			       packages[i][0], packages[i][1]);
}

int
engine_error(const char *engine, const char *why)
{
	fprintf(stderr, "%s: %s\n", engine, why);
	return -EIO;
}

int
engine_error_code(const char *engine, const char *call, int code)
{
	fprintf(stderr, "%s: %s: %s\n", engine, call,
		strerror(code < 0 ? -code : code));
	return code < 0 ? code : -code;
}
