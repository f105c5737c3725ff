/* SPDX-License-Identifier: Apache-2.0 */
/* usage.h - the clock, and what the calling process took of memory and disk. */
#ifndef TESTS_BENCH_USAGE_H
#define TESTS_BENCH_USAGE_H

#include <stdint.h>

/* Nanoseconds on a clock that nobody sets. */
uint64_t usage_now_ns(void);

/* Seconds since a time that usage_now_ns() gave. */
double usage_since(uint64_t start_ns);

/* Processor time of all threads of the process, in nanoseconds. */
uint64_t usage_cpu_ns(void);

/* Bytes of pages that the process made dirty: what reaches the disk if each is
 * written back once, through write() and through mappings alike.  0 where the
 * kernel does not count (tmpfs). */
uint64_t usage_written_bytes(void);

/* The largest resident set since the last usage_reset_peak(), in bytes; mapped
 * files that were touched are in it. */
uint64_t usage_peak_bytes(void);
void usage_reset_peak(void);

/* Bytes of disk that the files below `dir` take; what is allocated counts, used or
 * not. */
uint64_t usage_disk_bytes(const char *dir);

/* Removes `dir` and everything in it.  Returns 0 or a negative errno value. */
int usage_remove_tree(const char *dir);

#endif
