/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - where the store says what went wrong, and the one door for damage.
 *
 * A reporter is shared by everything that belongs to one open store.  Any thread
 * may report; the callback decides where a line goes. */
#ifndef STORE_ERROR_H
#define STORE_ERROR_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/* Whether an error passes by itself: room, memory and descriptors come back. */
static inline bool
error_passes(int error)
{
	return error == -ENOSPC || error == -ENOMEM || error == -EMFILE ||
	       error == -ENFILE;
}

struct reporter {
	/* Constant while the store is open.  NULL: nobody listens. */
	void (*log)(void *arg, enum keyfs_log_level level, const char *line);
	void *arg;
};

/* Formats one line and hands it to the callback; longer ones are cut.  `reporter`
 * may be NULL. */
void report(const struct reporter *reporter, enum keyfs_log_level level,
	    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The door: every damaged byte found anywhere is raised here, with the file's
 * name, the offset in it and why.  Logs one line, returns -EUCLEAN. */
int corrupt(const struct reporter *reporter, const char *file, uint64_t offset,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
