/* SPDX-License-Identifier: Apache-2.0 */
/* engine_list.h - the engines by name, for the list in engine.c and the files that
 * define them.  Those whose library is absent are not built. */
#ifndef TESTS_BENCH_ENGINE_LIST_H
#define TESTS_BENCH_ENGINE_LIST_H

#include "tests/bench/engine.h"

extern const struct engine_ops engine_keyfs;
extern const struct engine_ops engine_rocksdb;
extern const struct engine_ops engine_leveldb;
extern const struct engine_ops engine_lmdb;        /* 1000 puts a transaction */
extern const struct engine_ops engine_lmdb_single; /* one */

#endif
