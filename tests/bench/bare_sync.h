/* SPDX-License-Identifier: Apache-2.0 */
/* bare_sync.h - the floor of durable puts: what the disk takes without an engine. */
#ifndef TESTS_BENCH_BARE_SYNC_H
#define TESTS_BENCH_BARE_SYNC_H

#include <stddef.h>
#include <stdint.h>

/* Writes `syncs` records of `bytes` to a new file in `dir` that is sized and
 * zeroed, and calls fdatasync() after each.  Returns 0 and the syncs a second in
 * *rate, or a negative errno value, printed. */
int bare_sync_run(const char *dir, uint64_t syncs, size_t bytes, double *rate);

#endif
