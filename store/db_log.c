/* SPDX-License-Identifier: Apache-2.0 */
/* The LOG file: what the store did, a line each, for people.  It is no part of the
 * store's state: that it cannot be written never fails anything. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/db.h"

#define LOG_NAME "LOG"
#define LOG_OLD_NAME "LOG.old"
/* At this size LOG becomes LOG.old: twice as much is kept at most. */
#define LOG_BYTES_MAX (UINT64_C(1) << 20)

struct info_log {
	/* Constant. */
	struct env *env;
	struct env_dir *dir;
	struct reporter fallback;

	struct mutex lock;
	/* Guarded by lock. */
	struct env_file *file; /* owned; NULL: could not be made */
	uint64_t end;
};

static int
open_file(struct info_log *log)
{
	unsigned flags = ENV_READ | ENV_WRITE;
	int r = env_file_open(log->dir, LOG_NAME, flags, &log->file);

	if (r == -ENOENT)
		r = env_file_open(log->dir, LOG_NAME, flags | ENV_CREATE,
				  &log->file);
	if (r < 0) {
		log->file = NULL;
		return r;
	}
	return env_file_size(log->file, &log->end);
}

static void
rotate_locked(struct info_log *log) REQUIRES(&log->lock)
{
	env_file_close(log->file);
	log->file = NULL;
	if (env_rename(log->dir, LOG_NAME, LOG_OLD_NAME) == 0)
		(void)open_file(log);
}

int
info_log_open(struct env *env, struct env_dir *dir,
	      const struct reporter *fallback, struct info_log **out)
{
	struct info_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->env = env;
	log->dir = dir;
	log->fallback = *fallback;
	mutex_init(&log->lock);
	(void)open_file(log);
	*out = log;
	return 0;
}

void
info_log_close(struct info_log *log)
{
	if (!log)
		return;
	env_file_close(log->file);
	mutex_fini(&log->lock);
	free(log);
}

static size_t
format_line(struct info_log *log, enum keyfs_log_level level, const char *line,
	    char *out, size_t size)
{
	static const char *const levels[] = { "info", "warning", "error" };
	uint64_t now = env_wall_ns(log->env);
	time_t seconds = (time_t)(now / 1000000000);
	struct tm tm;
	char when[32];
	int n;

	if (!gmtime_r(&seconds, &tm))
		memset(&tm, 0, sizeof(tm));
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(out, size, "%s.%03uZ %s %s\n", when,
		     (unsigned)(now / 1000000 % 1000), levels[level], line);
	if (n < 0)
		return 0;
	return (size_t)n < size ? (size_t)n : size - 1;
}

void
info_log_line(void *arg, enum keyfs_log_level level, const char *line)
{
	struct info_log *log = arg;
	char text[640];
	size_t len = format_line(log, level, line, text, sizeof(text));

	mutex_lock(&log->lock);
	if (log->file && log->end > LOG_BYTES_MAX)
		rotate_locked(log);
	if (log->file && env_file_write(log->file, log->end, text, len) == 0)
		log->end += len;
	mutex_unlock(&log->lock);
	if (log->fallback.log)
		log->fallback.log(log->fallback.arg, level, line);
}
