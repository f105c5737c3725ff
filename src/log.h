/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - where messages go: standard error, and syslog once the process is a
 * daemon.
 *
 * A message is one line, `keyfs: WHAT: FILE: REASON`, and says what to do where
 * that is not plain.  Standard output holds nothing but answers.  Any thread may
 * log; log_to_syslog() is called while there is one. */
#ifndef SRC_LOG_H
#define SRC_LOG_H

#include "store/store.h"

/* Writes one line; the format has neither the name of the program nor a line
 * break. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Takes the lines of the layers below: `log` of keyfs_options and of
 * session_options.  `arg` points to the least level that is written. */
void log_line(void *arg, enum keyfs_log_level level, const char *line);

/* The next lines go to syslog, facility "daemon". */
void log_to_syslog(void);

#endif
