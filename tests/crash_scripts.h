/* SPDX-License-Identifier: Apache-2.0 */
/* crash_scripts.h - what stores live through in the crash tests: scripts of some
 * hundred calls on the disk, which together pass through every kind of work (enum
 * crash_work). */
#ifndef TESTS_CRASH_SCRIPTS_H
#define TESTS_CRASH_SCRIPTS_H

#include "tests/crash_run.h"

struct crash_script {
	const char *name;
	void (*run)(struct crash_run *run);
	bool heavy; /* so many bytes that fewer of its calls are tried */
};

extern const struct crash_script crash_scripts[];
extern const unsigned crash_script_count;

#endif
