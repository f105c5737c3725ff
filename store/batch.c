/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c - an atomic group of changes; see batch.h. */
#include <config.h>

#include "store/batch.h"

#include <errno.h>
#include <stdlib.h>

#include "store/bloom.h"
#include "store/coding.h"

/* The only family there is. */
enum { FAMILY_DEFAULT = 0 };

/* Kind, family, and the lengths of key and value. */
enum { HEAD_MAX = 1 + VARINT32_MAX + VARINT32_MAX + VARINT32_MAX };

_Static_assert(BATCH_CHANGE_MAX <= BATCH_PAYLOAD_MAX,
	       "the largest change fits a payload");

/* A condition, its key in require_keys, which moves as it grows. */
struct batch_require {
	size_t key_at, key_len;
	uint64_t hash, since;
	bool absent;
};

void
batch_init(struct keyfs_batch *batch)
{
	batch->data = batch->small;
	batch->len = 0;
	batch->capacity = sizeof(batch->small);
	batch->count = 0;
	batch->error = 0;
	batch->requires = NULL;
	batch->require_count = batch->require_capacity = 0;
	buf_init(&batch->require_keys);
}

void
batch_fini(struct keyfs_batch *batch)
{
	if (batch->data != batch->small)
		free(batch->data);
	free(batch->requires);
	buf_fini(&batch->require_keys);
}

int
keyfs_batch_new(struct keyfs_batch **out)
{
	struct keyfs_batch *batch = malloc(sizeof(*batch));

	if (!batch)
		return -ENOMEM;
	batch_init(batch);
	*out = batch;
	return 0;
}

void
keyfs_batch_free(struct keyfs_batch *batch)
{
	if (batch)
		batch_fini(batch);
	free(batch);
}

void
keyfs_batch_clear(struct keyfs_batch *batch)
{
	batch->len = 0;
	batch->count = 0;
	batch->error = 0;
	batch->require_count = 0;
	buf_clear(&batch->require_keys);
}

size_t
keyfs_batch_count(const struct keyfs_batch *batch)
{
	return batch->count;
}

size_t
keyfs_batch_bytes(const struct keyfs_batch *batch)
{
	return batch->len;
}

int
batch_error(const struct keyfs_batch *batch)
{
	return batch->error;
}

struct keyfs_slice
batch_payload(const struct keyfs_batch *batch)
{
	return keyfs_bytes(batch->data, batch->len);
}

uint32_t
batch_count(const struct keyfs_batch *batch)
{
	return batch->count;
}

/* ---- Adding ---- */

static bool
fail(struct keyfs_batch *batch, int error)
{
	if (!batch->error)
		batch->error = error;
	return false;
}

static bool
key_fits(struct keyfs_batch *batch, const struct keyfs_family *family,
	 struct keyfs_slice key)
{
	if (batch->error)
		return false;
	if (family || key.len == 0 || key.len > KEYFS_KEY_MAX)
		return fail(batch, -EINVAL);
	return true;
}

/* Makes room behind the payload.  -E2BIG, -ENOMEM. */
static bool
make_room(struct keyfs_batch *batch, size_t bytes)
{
	size_t want = batch->len + bytes, capacity = batch->capacity;
	bool small = batch->data == batch->small;
	uint8_t *data;

	if (want <= capacity)
		return true;
	if (want > BATCH_PAYLOAD_MAX)
		return fail(batch, -E2BIG);
	while (capacity < want)
		capacity *= 2;
	data = realloc(small ? NULL : batch->data, capacity);
	if (!data)
		return fail(batch, -ENOMEM);
	if (small)
		memcpy(data, batch->small, batch->len);
	batch->data = data;
	batch->capacity = capacity;
	return true;
}

static uint8_t *
put_bytes(uint8_t *to, struct keyfs_slice bytes)
{
	to = put_varint(to, bytes.len);
	if (bytes.len)
		memcpy(to, bytes.data, bytes.len);
	return to + bytes.len;
}

static void
add_change(struct keyfs_batch *batch, enum entry_kind kind,
	   struct keyfs_slice key, struct keyfs_slice value)
{
	uint8_t *to;

	if (!make_room(batch, HEAD_MAX + key.len + value.len))
		return;
	to = batch->data + batch->len;
	*to++ = (uint8_t)kind;
	to = put_varint(to, FAMILY_DEFAULT);
	to = put_bytes(to, key);
	if (kind == ENTRY_PUT)
		to = put_bytes(to, value);
	batch->len = (size_t)(to - batch->data);
	batch->count++;
}

void
keyfs_batch_put(struct keyfs_batch *batch, struct keyfs_family *family,
		struct keyfs_slice key, struct keyfs_slice value)
{
	if (!key_fits(batch, family, key))
		return;
	if (value.len > KEYFS_VALUE_MAX)
		(void)fail(batch, -EINVAL);
	else
		add_change(batch, ENTRY_PUT, key, value);
}

void
keyfs_batch_delete(struct keyfs_batch *batch, struct keyfs_family *family,
		   struct keyfs_slice key)
{
	if (key_fits(batch, family, key))
		add_change(batch, ENTRY_DELETE, key, keyfs_bytes(NULL, 0));
}

/* ---- Conditions ---- */

static bool
grow_requires(struct keyfs_batch *batch)
{
	size_t capacity = batch->require_capacity * 2 + 8;
	struct batch_require *grown;

	if (batch->require_count < batch->require_capacity)
		return true;
	grown = realloc(batch->requires, capacity * sizeof(*grown));
	if (!grown)
		return fail(batch, -ENOMEM);
	batch->requires = grown;
	batch->require_capacity = capacity;
	return true;
}

static void
add_condition(struct keyfs_batch *batch, struct keyfs_family *family,
	      struct keyfs_slice key, uint64_t since, bool absent)
{
	size_t key_at = batch->require_keys.len;

	if (!key_fits(batch, family, key) || !grow_requires(batch))
		return;
	buf_append(&batch->require_keys, key.data, key.len);
	if (batch->require_keys.error) {
		(void)fail(batch, batch->require_keys.error);
		return;
	}
	batch->requires[batch->require_count++] = (struct batch_require){
		.key_at = key_at,
		.key_len = key.len,
		.hash = bloom_hash(key),
		.since = since,
		.absent = absent,
	};
}

void
keyfs_batch_require_unchanged(struct keyfs_batch *batch,
			      struct keyfs_family *family,
			      struct keyfs_slice key, uint64_t since)
{
	add_condition(batch, family, key, since, false);
}

void
keyfs_batch_require_absent(struct keyfs_batch *batch,
			   struct keyfs_family *family, struct keyfs_slice key)
{
	add_condition(batch, family, key, 0, true);
}

size_t
batch_condition_count(const struct keyfs_batch *batch)
{
	return batch->require_count;
}

struct batch_condition
batch_condition(const struct keyfs_batch *batch, size_t index)
{
	const struct batch_require *r = &batch->requires[index];

	return (struct batch_condition){
		.key = keyfs_bytes(batch->require_keys.data + r->key_at,
				   r->key_len),
		.hash = r->hash,
		.since = r->since,
		.absent = r->absent,
	};
}

/* ---- Reading a payload ---- */

void
batch_reader_init(struct batch_reader *reader, struct keyfs_slice payload,
		  uint32_t count)
{
	reader->at = payload.data;
	reader->end = reader->at + payload.len;
	reader->left = count;
}

/* Reads a length and so many bytes; NULL if they are cut off or out of limits.
 */
static const uint8_t *
get_bytes(const uint8_t *at, const uint8_t *end, uint32_t min, uint32_t max,
	  struct keyfs_slice *out)
{
	uint32_t len;

	at = get_varint32(at, end, &len);
	if (!at || len < min || len > max || len > (size_t)(end - at))
		return NULL;
	*out = keyfs_bytes(at, len);
	return at + len;
}

int
batch_reader_next(struct batch_reader *reader, struct entry *out)
{
	const uint8_t *at = reader->at, *end = reader->end;
	struct entry entry = { 0 };
	uint32_t family;

	if (reader->left == 0)
		return at == end ? -ENOENT : -EUCLEAN;
	if (at == end || (*at != ENTRY_PUT && *at != ENTRY_DELETE))
		return -EUCLEAN;
	entry.kind = (enum entry_kind) * at++;
	at = get_varint32(at, end, &family);
	if (!at || family != FAMILY_DEFAULT)
		return -EUCLEAN;
	at = get_bytes(at, end, 1, KEYFS_KEY_MAX, &entry.key);
	if (at && entry.kind == ENTRY_PUT)
		at = get_bytes(at, end, 0, KEYFS_VALUE_MAX, &entry.value);
	if (!at)
		return -EUCLEAN;
	reader->at = at;
	reader->left--;
	*out = entry;
	return 0;
}

bool
batch_is_well_formed(struct keyfs_slice payload, uint32_t count, uint64_t seq)
{
	struct batch_reader reader;
	struct entry entry;
	int r;

	batch_reader_init(&reader, payload, count);
	do
		r = batch_reader_next(&reader, &entry);
	while (r == 0);
	return r == -ENOENT && count > 0 && seq < SEQ_MAX &&
	       seq + count - 1 < SEQ_MAX;
}
