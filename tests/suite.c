/* SPDX-License-Identifier: Apache-2.0 */
/* suite.c - running a suite, and seeds; see suite.h. */
#include <config.h>

#include "tests/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int
suite_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int ran, failed;

	srunner_run_all(runner, CK_ENV);
	ran = srunner_ntests_run(runner);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return ran > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

uint64_t
suite_seed(void)
{
	const char *given = getenv("KEYFS_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	if (given != NULL) {
		seed = strtoull(given, NULL, 0);
	} else {
		clock_gettime(CLOCK_REALTIME, &now);
		seed = (uint64_t)now.tv_sec * 1000000000u +
		       (uint64_t)now.tv_nsec;
	}
	printf("KEYFS_TEST_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	return seed;
}

void
suite_cases(uint64_t count)
{
	printf("cases: %" PRIu64 "\n", count);
	fflush(stdout);
}

uint64_t
suite_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
