/* SPDX-License-Identifier: Apache-2.0 */
/* versions.c - a sorted array of versions; see versions.h. */
#include <config.h>

#include "tests/versions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/suite.h"

/* Unlike ck_assert(), which writes to a pipe each time, nearly free while it
 * holds. */
static void
require(bool holds, const char *what)
{
	if (!holds)
		ck_abort_msg("%s", what);
}

void
versions_init(struct versions *versions)
{
	*versions = (struct versions){ 0 };
}

void
versions_fini(struct versions *versions)
{
	size_t i;

	for (i = 0; i < versions->count; i++)
		free((void *)versions->entries[i].key.data);
	free(versions->entries);
}

void
versions_add(struct versions *versions, const struct entry *entry)
{
	size_t bytes = entry->key.len + entry->value.len;
	uint8_t *copy = malloc(bytes ? bytes : 1);
	struct entry *to;

	if (versions->count == versions->capacity) {
		versions->capacity = versions->capacity * 2 + 64;
		versions->entries = realloc(versions->entries,
					    versions->capacity * sizeof(*to));
	}
	ck_assert_ptr_nonnull(versions->entries);
	ck_assert_ptr_nonnull(copy);
	if (entry->key.len)
		memcpy(copy, entry->key.data, entry->key.len);
	if (entry->value.len)
		memcpy(copy + entry->key.len, entry->value.data,
		       entry->value.len);
	to = &versions->entries[versions->count++];
	*to = *entry;
	to->key = keyfs_bytes(copy, entry->key.len);
	to->value = keyfs_bytes(copy + entry->key.len, entry->value.len);
}

static int
compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return version_compare(x->key, x->seq, y->key, y->seq);
}

void
versions_sort(struct versions *versions)
{
	if (versions->count)
		qsort(versions->entries, versions->count,
		      sizeof(*versions->entries), compare);
}

size_t
versions_seek(const struct versions *versions, struct keyfs_slice key,
	      uint64_t seq)
{
	size_t low = 0, high = versions->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct entry *e = &versions->entries[mid];

		if (version_compare(e->key, e->seq, key, seq) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Digits with a long common beginning, a letter and a big-endian number, one
 * byte, and keys that are beginnings of others. */
struct keyfs_slice
versions_random_key(uint64_t *random, uint64_t keys, uint8_t *buf)
{
	uint64_t n = suite_random(random) % keys;
	unsigned i;

	switch (n % 8) {
	case 0:
		buf[0] = (uint8_t)n;
		return keyfs_bytes(buf, 1);
	case 1:
	case 2:
	case 3:
		buf[0] = 'I';
		for (i = 0; i < 8; i++)
			buf[1 + i] = (uint8_t)(n / 8 >> (8 * (7 - i)));
		buf[9] = 'A';
		return keyfs_bytes(buf, n % 8 == 3 ? 10 : 9);
	case 4:
		memset(buf, 0xff, 12);
		buf[n / 8 % 12] = (uint8_t)(n / 96);
		return keyfs_bytes(buf, 12);
	default:
		return keyfs_bytes(buf, (size_t)snprintf((char *)buf,
							 VERSIONS_KEY_MAX,
							 "%016u", (unsigned)n));
	}
}

void
versions_random(struct versions *versions, uint64_t *random, size_t count,
		uint64_t first_seq, uint64_t keys)
{
	uint8_t key[VERSIONS_KEY_MAX], value[300];
	size_t i;

	for (i = 0; i < count; i++) {
		struct entry e = { .seq = first_seq + i };

		e.key = versions_random_key(random, keys, key);
		e.kind = suite_random(random) % 4 ? ENTRY_PUT : ENTRY_DELETE;
		if (e.kind == ENTRY_PUT) {
			e.value = keyfs_bytes(value, suite_random(random) %
							     sizeof(value));
			memset(value, (int)suite_random(random), e.value.len);
		}
		versions_add(versions, &e);
	}
	versions_sort(versions);
}

/* ---- The iterator ---- */

struct versions_iter {
	struct iter iter;
	const struct versions *versions;
	size_t at;
	long left;
};

static void
stand_on(struct iter *iter, size_t at)
{
	struct versions_iter *it = (struct versions_iter *)iter;

	it->at = at;
	iter->status = 0;
	iter->valid = at < it->versions->count;
	if (it->left == 0) {
		iter->valid = false;
		iter->status = -EIO;
		return;
	}
	if (it->left > 0)
		it->left--;
	if (iter->valid)
		iter->entry = it->versions->entries[at];
}

static void
op_first(struct iter *iter)
{
	stand_on(iter, 0);
}

static void
op_last(struct iter *iter)
{
	stand_on(iter, ((struct versions_iter *)iter)->versions->count - 1);
}

static void
op_seek(struct iter *iter, struct keyfs_slice key, uint64_t seq)
{
	stand_on(iter, versions_seek(((struct versions_iter *)iter)->versions,
				     key, seq));
}

static void
op_next(struct iter *iter)
{
	require(iter->valid, "a move from nowhere");
	stand_on(iter, ((struct versions_iter *)iter)->at + 1);
}

static void
op_prev(struct iter *iter)
{
	require(iter->valid, "a move from nowhere");
	stand_on(iter, ((struct versions_iter *)iter)->at - 1);
}

static void
op_free(struct iter *iter)
{
	free(iter);
}

static const struct iter_ops versions_iter_ops = {
	.first = op_first,
	.last = op_last,
	.seek = op_seek,
	.next = op_next,
	.prev = op_prev,
	.free = op_free,
};

struct iter *
versions_iter(const struct versions *versions, long fail_after)
{
	struct versions_iter *it = calloc(1, sizeof(*it));

	ck_assert_ptr_nonnull(it);
	it->iter.ops = &versions_iter_ops;
	it->versions = versions;
	it->left = fail_after;
	return &it->iter;
}

/* ---- Checks ---- */

void
versions_check_same(const struct entry *got, const struct entry *want)
{
	require(key_equal(got->key, want->key), "another key");
	require(got->seq == want->seq, "another sequence number");
	require(got->kind == want->kind, "another kind");
	require(key_equal(got->value, want->value), "another value");
}

static void
check_at(const struct versions *versions, struct iter *iter, size_t at)
{
	require(iter->status == 0, "an error");
	require(iter->valid == (at < versions->count), "an end or none");
	if (iter->valid)
		versions_check_same(&iter->entry, &versions->entries[at]);
}

void
versions_check_iter(const struct versions *versions, struct iter *iter,
		    uint64_t *random, uint64_t keys)
{
	uint8_t key[VERSIONS_KEY_MAX];
	size_t at, round;

	iter_first(iter);
	for (at = 0; at < versions->count; at++) {
		check_at(versions, iter, at);
		iter_next(iter);
	}
	check_at(versions, iter, at);
	iter_last(iter);
	while (at-- > 0) {
		check_at(versions, iter, at);
		iter_prev(iter);
	}
	check_at(versions, iter, at);
	for (round = 0; round < 200; round++) {
		struct keyfs_slice k = versions_random_key(random, keys, key);
		uint64_t seq = suite_random(random) % 3
				       ? SEQ_MAX
				       : suite_random(random) % 1000;
		unsigned steps = (unsigned)(suite_random(random) % 12);

		at = versions_seek(versions, k, seq);
		iter_seek(iter, k, seq);
		check_at(versions, iter, at);
		while (steps-- > 0 && at < versions->count) {
			if (suite_random(random) % 2) {
				at++;
				iter_next(iter);
			} else {
				at--;
				iter_prev(iter);
			}
			check_at(versions, iter, at);
		}
	}
}
