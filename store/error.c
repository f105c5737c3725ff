/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_BYTES = 512, WHY_BYTES = 256 };

void
report(const struct reporter *reporter, enum keyfs_log_level level,
       const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	if (!reporter || !reporter->log)
		return;
	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	reporter->log(reporter->arg, level, line);
}

int
corrupt(const struct reporter *reporter, const char *file, uint64_t offset,
	const char *format, ...)
{
	char why[WHY_BYTES];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	report(reporter, KEYFS_LOG_ERROR,
	       "%s: damaged at offset %" PRIu64 ": %s", file, offset, why);
	return -EUCLEAN;
}
