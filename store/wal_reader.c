/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/wal_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/coding.h"

struct wal_reader {
	uint8_t *bytes; /* owned */
	uint64_t size;
	uint64_t number;
	uint64_t offset;
};

static int
read_file(struct wal_reader *reader, struct env_file *file)
{
	uint64_t size;
	size_t len;
	int r = env_file_size(file, &size);

	if (r < 0)
		return r;
	if (size > WAL_OFFSET_MAX)
		return -EFBIG;
	reader->bytes = malloc(size ? size : 1);
	if (!reader->bytes)
		return -ENOMEM;
	r = env_file_read(file, 0, reader->bytes, size, false, &len);
	if (r < 0)
		return r;
	reader->size = len;
	return 0;
}

int
wal_reader_open(struct env_dir *dir, uint64_t number, struct wal_reader **out)
{
	struct wal_reader *reader = calloc(1, sizeof(*reader));
	struct env_file *file = NULL;
	char name[ENV_NAME_MAX + 1];
	int r;

	if (!reader)
		return -ENOMEM;
	reader->number = number;
	wal_file_name(number, name);
	r = env_file_open(dir, name, ENV_READ, &file);
	if (r == 0)
		r = read_file(reader, file);
	env_file_close(file);
	if (r < 0) {
		wal_reader_close(reader);
		return r;
	}
	*out = reader;
	return 0;
}

void
wal_reader_close(struct wal_reader *reader)
{
	if (!reader)
		return;
	free(reader->bytes);
	free(reader);
}

const char *
wal_reader_header(struct wal_reader *reader, struct wal_header *out)
{
	const char *why;

	reader->offset = 0;
	if (reader->size < WAL_HEADER_BYTES)
		return "file is shorter than a log header";
	why = wal_header_decode(reader->bytes, reader->number, out);
	if (!why)
		reader->offset = WAL_HEADER_BYTES;
	return why;
}

const char *
wal_reader_next(struct wal_reader *reader, struct wal_record *out,
		struct keyfs_slice *out_payload)
{
	const uint8_t *at = reader->bytes + reader->offset;
	const char *why =
		wal_record_decode(at, reader->size - reader->offset,
				  reader->number, reader->offset, out);

	if (why)
		return why;
	*out_payload =
		keyfs_bytes(at + WAL_BATCH_HEADER_BYTES, out->payload_bytes);
	reader->offset += wal_record_bytes(out->type, out->payload_bytes);
	return NULL;
}

int
wal_reader_has_records(struct env_dir *dir, uint64_t number, bool *out)
{
	struct keyfs_slice payload;
	struct wal_reader *reader;
	struct wal_header header;
	struct wal_record record;
	int r = wal_reader_open(dir, number, &reader);

	*out = false;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*out = !wal_reader_header(reader, &header) &&
	       !wal_reader_next(reader, &record, &payload);
	wal_reader_close(reader);
	return 0;
}

uint64_t
wal_reader_offset(const struct wal_reader *reader)
{
	return reader->offset;
}

uint64_t
wal_reader_rest_bytes(const struct wal_reader *reader)
{
	uint64_t end = reader->size;

	/* Mostly there is nothing but room made ahead: by words first. */
	while (end - reader->offset >= 8 && !get_le64(reader->bytes + end - 8))
		end -= 8;
	while (end > reader->offset && !reader->bytes[end - 1])
		end--;
	return end - reader->offset;
}

bool
wal_reader_rest_is_zero(const struct wal_reader *reader)
{
	return wal_reader_rest_bytes(reader) == 0;
}

struct keyfs_slice
wal_reader_taken(const struct wal_reader *reader, uint64_t from)
{
	if (from >= reader->offset)
		return keyfs_bytes(NULL, 0);
	return keyfs_bytes(reader->bytes + from, reader->offset - from);
}

/* Whether a good record lies at `at`; a look at the marker spares the checksum. */
static bool
record_at(const struct wal_reader *reader, uint64_t at, struct wal_record *out)
{
	uint32_t word = get_le32(reader->bytes + at);

	if (word != wal_marker(reader->number, WAL_BATCH) &&
	    word != wal_marker(reader->number, WAL_MARK))
		return false;
	return !wal_record_decode(reader->bytes + at, reader->size - at,
				  reader->number, at, out);
}

bool
wal_reader_skip(struct wal_reader *reader)
{
	struct wal_record record;
	uint64_t at = reader->offset + WAL_ALIGN;

	for (; at + WAL_MARK_BYTES <= reader->size; at += WAL_ALIGN) {
		if (!record_at(reader, at, &record))
			continue;
		reader->offset = at;
		return true;
	}
	return false;
}

uint64_t
wal_reader_scan(const struct wal_reader *reader)
{
	uint64_t durable = 0, at = reader->offset;
	struct wal_record record;

	for (; at + WAL_MARK_BYTES <= reader->size; at += WAL_ALIGN)
		if (record_at(reader, at, &record) && record.durable > durable)
			durable = record.durable;
	return durable;
}
