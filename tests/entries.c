/* SPDX-License-Identifier: Apache-2.0 */
/* entries.c - random sorted entries; see entries.h. */
#include <config.h>

#include "tests/entries.h"

#include <check.h>
#include <stdlib.h>

#include "tests/suite.h"

enum { KEY_MAX = 40 };

/* Few letters and a common stem, so that prefixes meet; 0 and 255 are the bytes
 * that break careless comparisons. */
static size_t
key_random(uint64_t *state, uint8_t *key)
{
	static const uint8_t letters[] = { 0, 'a', 'b', 255 };
	static const char stem[] = "directory/";
	size_t len = suite_random(state) % 8 + 1, at = 0, i;

	if (suite_random(state) % 3) {
		at = sizeof(stem) - 1;
		memcpy(key, stem, at);
	}
	for (i = 0; i < len; i++)
		key[at++] = letters[suite_random(state) % 4];
	if (suite_random(state) % 4 == 0)
		for (i = 0; i < 20; i++)
			key[at++] = (uint8_t)suite_random(state);
	return at;
}

static struct keyfs_slice
slice_copy(const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len)
		memcpy(copy, data, len);
	return keyfs_bytes(copy, len);
}

static struct keyfs_slice
value_random(uint64_t *state, size_t value_max)
{
	size_t len = suite_random(state) % (value_max + 1), i;
	bool plain = suite_random(state) % 2;
	uint8_t *value;

	if (suite_random(state) % 4 == 0)
		len = 0;
	value = malloc(len ? len : 1);
	ck_assert_ptr_nonnull(value);
	for (i = 0; i < len; i++)
		value[i] = plain ? 'v' : (uint8_t)suite_random(state);
	return keyfs_bytes(value, len);
}

static int
order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return version_compare(x->key, x->seq, y->key, y->seq);
}

struct entries
entries_random(uint64_t *state, size_t count, size_t value_max)
{
	struct entries all = { calloc(count, sizeof(*all.at)), count };
	uint64_t seq = suite_random(state) % (SEQ_MAX / 4) * 2 + 3;
	uint8_t key[KEY_MAX];
	size_t i;

	ck_assert_ptr_nonnull(all.at);
	for (i = 0; i < count; i++) {
		struct entry *e = &all.at[i];
		size_t len = key_random(state, key);

		e->seq = seq;
		seq += suite_random(state) % 50 * 2 + 2;
		if (i > 0 && suite_random(state) % 4 == 0) {
			const struct entry *old =
				&all.at[suite_random(state) % i];

			e->key = slice_copy(old->key.data, old->key.len);
		} else {
			e->key = slice_copy(key, len);
		}
		e->kind = suite_random(state) % 5 ? ENTRY_PUT : ENTRY_DELETE;
		e->value = value_random(state,
					e->kind == ENTRY_PUT ? value_max : 0);
	}
	qsort(all.at, count, sizeof(*all.at), order);
	return all;
}

void
entries_free(struct entries *entries)
{
	size_t i;

	for (i = 0; i < entries->count; i++) {
		free((void *)entries->at[i].key.data);
		free((void *)entries->at[i].value.data);
	}
	free(entries->at);
}

size_t
entries_seek(const struct entries *entries, struct keyfs_slice key,
	     uint64_t seq)
{
	size_t i = 0;

	while (i < entries->count &&
	       version_compare(entries->at[i].key, entries->at[i].seq, key,
			       seq) < 0)
		i++;
	return i;
}

struct keyfs_slice
entries_probe(const struct entries *entries, uint64_t *state, uint8_t *space)
{
	struct keyfs_slice key =
		entries->at[suite_random(state) % entries->count].key;
	size_t len = key.len;

	memcpy(space, key.data, len);
	switch (suite_random(state) % 5) {
	case 0:
		space[len++] = (uint8_t)suite_random(state);
		break;
	case 1:
		if (len > 1)
			len--;
		break;
	case 2:
		space[len - 1]++;
		break;
	case 3:
		len = key_random(state, space);
		break;
	default:
		break;
	}
	return keyfs_bytes(space, len);
}

bool
entry_equal(const struct entry *a, const struct entry *b)
{
	return key_equal(a->key, b->key) && a->seq == b->seq &&
	       a->kind == b->kind && key_equal(a->value, b->value);
}
