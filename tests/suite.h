/* SPDX-License-Identifier: Apache-2.0 */
/* suite.h - what every test program needs around Check: a main() in one line and
 * the seed of random tests.
 *
 * Each test runs in its own process unless CK_FORK=no is set, so what a test
 * changes in memory does not reach the next one. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <check.h>
#include <stdint.h>

/* Runs the suite, frees it, and returns the exit status for main(): 0 only if
 * at least one test ran and none failed. */
int suite_main(Suite *suite);

/* The seed of a random test: KEYFS_TEST_SEED if that is set, else a fresh one.
 * Printed, so that a failure can be run again. */
uint64_t suite_seed(void);

/* Prints `cases: N`: how many cases a test has gone through that makes its cases
 * itself.  contrib/nightly adds them up. */
void suite_cases(uint64_t count);

/* The next number of a pseudo-random sequence (splitmix64, Steele et al., 2014);
 * *state starts as the seed. */
uint64_t suite_random(uint64_t *state);

#endif
