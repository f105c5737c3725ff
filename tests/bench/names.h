/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - lists of names divided by commas, as options give them. */
#ifndef TESTS_BENCH_NAMES_H
#define TESTS_BENCH_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `list` holds `name`; NULL holds every name. */
bool names_listed(const char *list, const char *name);

/* Whether every name in `list` is one of `known`; if not, prints which is not and
 * what there is. */
bool names_valid(const char *list, const char *const *known, size_t count);

#endif
