/* SPDX-License-Identifier: Apache-2.0 */
/* dirstream.c - one open directory; see dirstream.h. */
#include <config.h>

#include "fs/dirstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET_FIRST UINT64_C(3)
#define OFFSET_MASK ((UINT64_C(1) << 62) - 1)
#define REPLIES 3 /* two that are remembered, one that is being made */

struct entry {
	uint64_t offset;
	uint32_t name_at, name_len; /* in names */
};

struct reply {
	struct entry *entries; /* owned */
	size_t count, capacity;
	char *names; /* owned */
	size_t names_len, names_capacity;
	/* Hash table over the offsets: an index of entries plus one, 0 is free.
	 * Twice as many places as `capacity`, a power of two. */
	uint32_t *index; /* owned */
};

struct dirstream {
	struct reply replies[REPLIES];
	unsigned making; /* the others are remembered */
};

uint64_t
dirstream_offset(struct keyfs_slice name)
{
	const unsigned char *p = name.data;
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	/* FNV-1a, then the mixing steps of splitmix64.  Offsets outlive the
	 * daemon in NFS clients: never change this. */
	for (i = 0; i < name.len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	h = (h ^ (h >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ (h >> 27)) * UINT64_C(0x94d049bb133111eb);
	return OFFSET_FIRST + ((h ^ (h >> 31)) & OFFSET_MASK);
}

static uint64_t
offset_after(uint64_t offset)
{
	return offset < OFFSET_FIRST + OFFSET_MASK ? offset + 1 : OFFSET_FIRST;
}

int
dirstream_new(struct dirstream **out)
{
	struct dirstream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return -ENOMEM;
	*out = stream;
	return 0;
}

void
dirstream_free(struct dirstream *stream)
{
	unsigned i;

	if (!stream)
		return;
	for (i = 0; i < REPLIES; i++) {
		free(stream->replies[i].entries);
		free(stream->replies[i].names);
		free(stream->replies[i].index);
	}
	free(stream);
}

/* The place of `offset` in the index, or the free one where it would go. */
static size_t
index_place(const struct reply *reply, uint64_t offset)
{
	size_t mask = reply->capacity * 2 - 1, i = (size_t)offset & mask;

	while (reply->index[i] != 0 &&
	       reply->entries[reply->index[i] - 1].offset != offset)
		i = (i + 1) & mask;
	return i;
}

static const struct entry *
reply_find(const struct reply *reply, uint64_t offset)
{
	size_t i;

	if (reply->count == 0)
		return NULL;
	i = reply->index[index_place(reply, offset)];
	return i != 0 ? &reply->entries[i - 1] : NULL;
}

static int
reply_grow_entries(struct reply *reply)
{
	size_t capacity = reply->capacity ? reply->capacity * 2 : 32, i;
	struct entry *entries;
	uint32_t *index;

	entries = realloc(reply->entries, capacity * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	reply->entries = entries;
	index = calloc(capacity * 2, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(reply->index);
	reply->index = index;
	reply->capacity = capacity;
	for (i = 0; i < reply->count; i++)
		index[index_place(reply, entries[i].offset)] = (uint32_t)i + 1;
	return 0;
}

static int
reply_grow_names(struct reply *reply, size_t len)
{
	size_t capacity = reply->names_capacity ? reply->names_capacity : 512;
	char *names;

	while (capacity < reply->names_len + len)
		capacity *= 2;
	if (capacity == reply->names_capacity)
		return 0;
	names = realloc(reply->names, capacity);
	if (!names)
		return -ENOMEM;
	reply->names = names;
	reply->names_capacity = capacity;
	return 0;
}

static int
reply_add(struct reply *reply, struct keyfs_slice name, uint64_t offset)
{
	struct entry *e;
	int r = reply_grow_names(reply, name.len);

	if (r == 0 && reply->count == reply->capacity)
		r = reply_grow_entries(reply);
	if (r != 0)
		return r;
	e = &reply->entries[reply->count];
	*e = (struct entry){ offset, (uint32_t)reply->names_len,
			     (uint32_t)name.len };
	memcpy(reply->names + reply->names_len, name.data, name.len);
	reply->names_len += name.len;
	reply->index[index_place(reply, offset)] = (uint32_t)++reply->count;
	return 0;
}

static void
reply_clear(struct reply *reply)
{
	reply->count = 0;
	reply->names_len = 0;
	if (reply->index)
		memset(reply->index, 0,
		       reply->capacity * 2 * sizeof(*reply->index));
}

void
dirstream_begin(struct dirstream *stream)
{
	reply_clear(&stream->replies[stream->making]);
}

static struct keyfs_slice
entry_name(const struct reply *reply, const struct entry *e)
{
	return keyfs_bytes(reply->names + e->name_at, e->name_len);
}

/* Whether another name than `name` has `offset`. A rewound stream lists the
 * same names again, and they keep their offsets. */
static bool
taken(const struct dirstream *stream, uint64_t offset, struct keyfs_slice name)
{
	unsigned i;

	for (i = 0; i < REPLIES; i++) {
		const struct reply *reply = &stream->replies[i];
		const struct entry *e = reply_find(reply, offset);

		if (e && (e->name_len != name.len ||
			  memcmp(entry_name(reply, e).data, name.data,
				 name.len) != 0))
			return true;
	}
	return false;
}

int
dirstream_add(struct dirstream *stream, struct keyfs_slice name, uint64_t *out)
{
	uint64_t offset = dirstream_offset(name);
	int r;

	while (taken(stream, offset, name))
		offset = offset_after(offset);
	r = reply_add(&stream->replies[stream->making], name, offset);
	if (r == 0)
		*out = offset;
	return r;
}

void
dirstream_drop_last(struct dirstream *stream)
{
	struct reply *reply = &stream->replies[stream->making];
	struct entry *e = &reply->entries[reply->count - 1];

	/* It was the last to go into the index, so no search passes its place
	 * on the way to another. */
	reply->index[index_place(reply, e->offset)] = 0;
	reply->names_len = e->name_at;
	reply->count--;
}

void
dirstream_end(struct dirstream *stream)
{
	stream->making = (stream->making + 1) % REPLIES;
	reply_clear(&stream->replies[stream->making]);
}

bool
dirstream_find(const struct dirstream *stream, uint64_t offset,
	       struct keyfs_slice *out)
{
	unsigned i;

	for (i = 1; i < REPLIES; i++) {
		const struct reply *reply =
			&stream->replies[(stream->making + i) % REPLIES];
		const struct entry *e = reply_find(reply, offset);

		if (e) {
			*out = entry_name(reply, e);
			return true;
		}
	}
	return false;
}

bool
dirstream_match(struct dirstream_search *search, struct keyfs_slice name)
{
	uint64_t hash = dirstream_offset(name);
	unsigned bumps;

	/* The names with one hash got the numbers from it upwards, in the order
	 * of the listing. */
	for (bumps = 0; bumps < DIRSTREAM_BUMPS; bumps++) {
		if (hash == search->offset)
			return search->seen[bumps]++ == bumps;
		hash = offset_after(hash);
	}
	return false;
}
