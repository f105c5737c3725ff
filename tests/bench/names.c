/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - see names.h. */
#include <config.h>

#include "tests/bench/names.h"

#include <stdio.h>
#include <string.h>

static bool
equal(const char *name, const char *item, size_t item_len)
{
	return strlen(name) == item_len && memcmp(name, item, item_len) == 0;
}

bool
names_listed(const char *list, const char *name)
{
	size_t len;

	if (!list)
		return true;
	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (equal(name, list, len))
			return true;
	}
	return false;
}

static bool
one_of(const char *item, size_t len, const char *const *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (equal(known[i], item, len))
			return true;
	return false;
}

bool
names_valid(const char *list, const char *const *known, size_t count)
{
	size_t len;

	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (one_of(list, len, known, count))
			continue;
		fprintf(stderr, "no such name: %.*s; there are:\n", (int)len,
			list);
		for (size_t i = 0; i < count; i++)
			fprintf(stderr, "\t%s\n", known[i]);
		return false;
	}
	return true;
}
