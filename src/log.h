/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - where messages go: standard error.
 *
 * A message is one line, `keyfs: WHAT: FILE: REASON`, and says what to do where
 * that is not plain.  Standard output holds nothing but answers.  Any thread. */
#ifndef SRC_LOG_H
#define SRC_LOG_H

/* Writes one line; the format has neither the name of the program nor a line
 * break. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
