/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - messages for people; see log.h. */
#include <config.h>

#include "src/log.h"

#include <stdarg.h>
#include <stdio.h>

void
log_error(const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* One call, so that lines of several threads do not mix. */
	fprintf(stderr, "keyfs: %s\n", line);
}
