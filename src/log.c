/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - messages for people; see log.h. */
#include <config.h>

#include "src/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static bool use_syslog; /* set before other threads start */

static void
log_write(int priority, const char *line)
{
	if (use_syslog)
		syslog(priority, "%s", line);
	else
		/* One call, so that lines of several threads do not mix. */
		fprintf(stderr, "keyfs: %s\n", line);
}

void
log_error(const char *format, ...)
{
	char line[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_write(LOG_ERR, line);
}

void
log_line(void *arg, enum keyfs_log_level level, const char *line)
{
	const enum keyfs_log_level *least = arg;

	if (level < *least)
		return;
	switch (level) {
	case KEYFS_LOG_INFO:
		log_write(LOG_INFO, line);
		break;
	case KEYFS_LOG_WARNING:
		log_write(LOG_WARNING, line);
		break;
	case KEYFS_LOG_ERROR:
		log_write(LOG_ERR, line);
		break;
	}
}

void
log_to_syslog(void)
{
	openlog("keyfs", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}
