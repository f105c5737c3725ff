/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - writes strings as JSON. */
#ifndef SRC_JSON_H
#define SRC_JSON_H

#include <stddef.h>
#include <stdio.h>

/* Writes `len` bytes as a JSON string with its quotes.  A byte that is not part
 * of valid UTF-8 becomes the lone surrogate U+DC00 + byte, which readers that
 * know the convention (Python's "surrogateescape") turn back into the byte. */
void json_string(FILE *out, const char *bytes, size_t len);

#endif
