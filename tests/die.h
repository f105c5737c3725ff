/* SPDX-License-Identifier: Apache-2.0 */
/* die.h - how the programs that test scripts run give up: one line, which the script
 * shows, and a status that fails it. */
#ifndef TESTS_DIE_H
#define TESTS_DIE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static inline void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(EXIT_FAILURE);
}

#endif
