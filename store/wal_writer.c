/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "store/wal_writer.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store/lock.h"

/* How much room is made at once: a quarter of what the log holds, between these.  Small
 * steps keep the zeros that a sync must write few, large ones keep a fast writer from
 * waiting for room.  A log that cannot grow large begins with a small part of that. */
#define STEP_BYTES_FIRST (UINT64_C(128) << 10)
#define STEP_BYTES_MAX (UINT64_C(1) << 20)
#define STEPS_IN_SMALL_LOG 64u

struct wal_writer {
	/* Constant. */
	struct env_file *file; /* owned */
	uint64_t number;
	uint64_t capacity;
	uint8_t *map; /* NULL: records are written */

	/* The appender's: a record being put together for a write. */
	uint8_t *scratch; /* owned */
	size_t scratch_bytes;
	bool soiled; /* the last record failed and may be there all the same */

	/* Serialises making room; taken by the appender only when it has none. */
	struct mutex room_lock;

	/* Atomic. */
	_Atomic uint64_t end; /* written by the appender */
	_Atomic uint64_t
		ready; /* room made up to here; written under room_lock */
	_Atomic unsigned refs;
};

static uint64_t
step_bytes(const struct wal_writer *writer)
{
	uint64_t step =
		atomic_load_explicit(&writer->ready, memory_order_relaxed) / 4;
	uint64_t first = writer->capacity / STEPS_IN_SMALL_LOG;

	if (first > STEP_BYTES_FIRST)
		first = STEP_BYTES_FIRST;
	if (step < first)
		step = first;
	return step > STEP_BYTES_MAX ? STEP_BYTES_MAX
				     : (step + 4095) & ~UINT64_C(4095);
}

/* Makes room for `need` bytes at least, if the capacity allows it. */
static int
make_room_locked(struct wal_writer *writer, uint64_t need)
	REQUIRES(&writer->room_lock)
{
	uint64_t ready =
		atomic_load_explicit(&writer->ready, memory_order_relaxed);
	uint64_t step = step_bytes(writer);
	int r;

	if (need > ready && need - ready > step)
		step = (need - ready + 4095) & ~UINT64_C(4095);
	if (ready + step > writer->capacity)
		step = writer->capacity - ready;
	if (step == 0)
		return 0;
	r = env_file_allocate(writer->file, ready, step);
	if (r < 0 && !(r == -EOPNOTSUPP && !writer->map))
		return r;
	/* Nobody else touches bytes past `ready` before it is published below. */
	r = writer->map ? env_map_store(writer->map + ready,
					&(struct env_part){ NULL, step }, 1)
			: 0;
	if (r < 0)
		return r;
	/* Release: who sees the room sees the zeros. */
	atomic_store_explicit(&writer->ready, ready + step,
			      memory_order_release);
	return 0;
}

static int
make_room(struct wal_writer *writer, uint64_t need)
{
	int r;

	mutex_lock(&writer->room_lock);
	r = make_room_locked(writer, need);
	mutex_unlock(&writer->room_lock);
	return r;
}

static int
open_file(struct wal_writer *writer, struct env_dir *dir)
{
	char name[ENV_NAME_MAX + 1];
	void *map;
	int r;

	wal_file_name(writer->number, name);
	r = env_file_open(dir, name, ENV_READ | ENV_WRITE | ENV_CREATE,
			  &writer->file);
	if (r < 0)
		return r;
	r = env_file_map(writer->file, writer->capacity, &map);
	if (r == 0)
		writer->map = map;
	else if (r != -EOPNOTSUPP)
		return r;
	r = make_room(writer, 0);
	if (r < 0)
		return r;
	r = env_file_sync(writer->file);
	return r < 0 ? r : env_dir_sync(dir);
}

int
wal_writer_new(struct env_dir *dir, uint64_t number, uint64_t capacity,
	       struct wal_writer **out)
{
	struct wal_writer *writer = calloc(1, sizeof(*writer));
	int r;

	if (!writer)
		return -ENOMEM;
	mutex_init(&writer->room_lock);
	atomic_init(&writer->refs, 1);
	atomic_init(&writer->end, WAL_HEADER_BYTES);
	atomic_init(&writer->ready, 0);
	writer->number = number;
	writer->capacity = (capacity + 4095) & ~UINT64_C(4095);
	if (writer->capacity > WAL_OFFSET_MAX)
		writer->capacity = WAL_OFFSET_MAX;
	r = number > WAL_NUMBER_MAX ? -EOVERFLOW : open_file(writer, dir);
	if (r < 0) {
		wal_writer_unref(writer);
		return r;
	}
	*out = writer;
	return 0;
}

struct wal_writer *
wal_writer_ref(struct wal_writer *writer)
{
	/* Relaxed: the caller holds a reference already. */
	atomic_fetch_add_explicit(&writer->refs, 1, memory_order_relaxed);
	return writer;
}

void
wal_writer_unref(struct wal_writer *writer)
{
	/* Acquire-release: the last one sees what the others did before. */
	if (!writer || atomic_fetch_sub_explicit(&writer->refs, 1,
						 memory_order_acq_rel) > 1)
		return;
	if (writer->map)
		env_file_unmap(writer->file, writer->map, writer->capacity);
	env_file_close(writer->file);
	mutex_fini(&writer->room_lock);
	free(writer->scratch);
	free(writer);
}

uint64_t
wal_writer_number(const struct wal_writer *writer)
{
	return writer->number;
}

uint64_t
wal_writer_end(const struct wal_writer *writer)
{
	/* Acquire: pairs with the release in advance(). */
	return atomic_load_explicit(&writer->end, memory_order_acquire);
}

int
wal_writer_begin(struct wal_writer *writer, uint64_t predecessor,
		 uint64_t first_seq)
{
	struct wal_header header = { writer->number, predecessor, first_seq };
	uint8_t bytes[WAL_HEADER_BYTES];

	wal_header_encode(&header, bytes);
	if (!writer->map)
		return env_file_write(writer->file, 0, bytes, sizeof(bytes));
	return env_map_store(writer->map,
			     &(struct env_part){ bytes, sizeof(bytes) }, 1);
}

bool
wal_writer_fits(const struct wal_writer *writer, uint32_t payload_bytes)
{
	/* A mark may follow any record. */
	return wal_writer_end(writer) +
		       wal_record_bytes(WAL_BATCH, payload_bytes) +
		       WAL_MARK_BYTES <=
	       writer->capacity;
}

static int
scratch_reserve(struct wal_writer *writer, uint64_t bytes)
{
	uint8_t *scratch;

	if (bytes <= writer->scratch_bytes)
		return 0;
	scratch = realloc(writer->scratch, bytes);
	if (!scratch)
		return -ENOMEM;
	writer->scratch = scratch;
	writer->scratch_bytes = bytes;
	return 0;
}

/* A record as the log holds it: header, payload, zeros up to the next boundary.
 * Only the header is copied. */
struct record_image {
	uint8_t header[WAL_BATCH_HEADER_BYTES];
	struct env_part parts[3];
};

_Static_assert(WAL_MARK_BYTES <= WAL_BATCH_HEADER_BYTES, "a mark fits too");

static void
record_image(const struct wal_writer *writer, const struct wal_record *record,
	     const void *payload, uint64_t offset, struct record_image *out)
{
	uint64_t bytes = wal_record_bytes(record->type, record->payload_bytes);
	bool batch = record->type == WAL_BATCH;
	uint64_t header = batch ? WAL_BATCH_HEADER_BYTES : WAL_MARK_BYTES;
	uint64_t payload_bytes = batch ? record->payload_bytes : 0;

	wal_record_encode(record, writer->number, offset, out->header);
	out->parts[0] = (struct env_part){ out->header, header };
	out->parts[1] = (struct env_part){ payload, payload_bytes };
	out->parts[2] =
		(struct env_part){ NULL, bytes - header - payload_bytes };
}

static int
append_by_write(struct wal_writer *writer, const struct record_image *image,
		uint64_t end, uint64_t bytes)
{
	int r = scratch_reserve(writer, bytes);

	if (r == 0)
		r = env_map_store(writer->scratch, image->parts, 3);
	if (r < 0)
		return r;
	return env_file_write(writer->file, end, writer->scratch, bytes);
}

int
wal_writer_append(struct wal_writer *writer, const struct wal_record *record,
		  const void *payload)
{
	uint64_t end = atomic_load_explicit(&writer->end, memory_order_relaxed);
	uint64_t bytes = wal_record_bytes(record->type, record->payload_bytes);
	struct record_image image;
	int r = 0;

	if (end + bytes > writer->capacity)
		return -ENOSPC;
	/* Acquire: see make_room_locked(). */
	if (end + bytes >
	    atomic_load_explicit(&writer->ready, memory_order_acquire))
		r = make_room(writer, end + bytes);
	if (r < 0)
		return r;
	record_image(writer, record, payload, end, &image);
	if (writer->map)
		r = env_map_store(writer->map + end, image.parts, 3);
	else
		r = append_by_write(writer, &image, end, bytes);
	/* Where there was no room its last bytes are missing. */
	writer->soiled = r < 0 && r != -ENOSPC && r != -ENOMEM;
	if (r < 0)
		return r;
	/* Release: who reads the end may sync or read what lies before it. */
	atomic_store_explicit(&writer->end, end + bytes, memory_order_release);
	return 0;
}

bool
wal_writer_is_soiled(const struct wal_writer *writer)
{
	return writer->soiled;
}

bool
wal_writer_wants_room(const struct wal_writer *writer)
{
	uint64_t ready =
		atomic_load_explicit(&writer->ready, memory_order_relaxed);

	return ready < writer->capacity &&
	       wal_writer_end(writer) + step_bytes(writer) / 2 > ready;
}

int
wal_writer_extend(struct wal_writer *writer)
{
	return make_room(writer, 0);
}

int
wal_writer_sync(struct wal_writer *writer, uint64_t *out_end)
{
	uint64_t end = wal_writer_end(writer);
	int r = env_file_sync(writer->file);

	if (r < 0)
		return r;
	*out_end = end;
	return 0;
}
