/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - what libFuzzer calls: the target that FUZZ_TARGET in the environment
 * names. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "contrib/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *
find_target(void)
{
	const char *name = getenv("FUZZ_TARGET");

	for (int i = 0; name && i < FUZZ_TARGETS; i++)
		if (!strcmp(fuzz_targets[i].name, name))
			return &fuzz_targets[i];
	fprintf(stderr, "FUZZ_TARGET must name a target\n");
	exit(EXIT_FAILURE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct fuzz_target *target;

	if (!target)
		target = find_target();
	target->run(data, size);
	return 0;
}
