/* SPDX-License-Identifier: Apache-2.0 */
/* wal_writer.h - appends checksummed records to one log file.
 *
 * A synced record survives a crash; a later one may be lost, but is never reordered
 * and never half visible.  The bytes are drawn in wal_format.h.
 *
 * One appender at a time (the store's write mutex); beside it one thread may sync and
 * one may make room.  Records go through a shared mapping where the filesystem keeps
 * its promise of space, else through writes; the bytes are the same.  Space is
 * allocated and zeroed a step ahead, because a sync of bytes that lie in allocated,
 * written blocks changes no metadata and so costs one flush of the disk. */
#ifndef STORE_WAL_WRITER_H
#define STORE_WAL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "store/env.h"
#include "store/wal_format.h"

struct wal_writer;

/* Makes log `number` in `dir` (borrowed): allocated, synced, its name synced
 * (rule R3), without a header.  It can hold `capacity` bytes.  One reference. */
int wal_writer_new(struct env_dir *dir, uint64_t number, uint64_t capacity,
		   struct wal_writer **out);
struct wal_writer *wal_writer_ref(struct wal_writer *writer);
/* Closes the file with the last reference; does not sync.  NULL is allowed. */
void wal_writer_unref(struct wal_writer *writer);

uint64_t wal_writer_number(const struct wal_writer *writer);
/* Where the next record goes.  Any thread. */
uint64_t wal_writer_end(const struct wal_writer *writer);

/* Writes the header.  Requires: no record yet; the appender's. */
int wal_writer_begin(struct wal_writer *writer, uint64_t predecessor,
		     uint64_t first_seq);

/* Whether a record of so many bytes of payload fits the capacity. */
bool wal_writer_fits(const struct wal_writer *writer, uint32_t payload_bytes);

/* Appends a record.  After an error (-ENOSPC, -EIO) the end is where it was.  The
 * appender's. */
int wal_writer_append(struct wal_writer *writer,
		      const struct wal_record *record, const void *payload);

/* Whether the last append failed so that its record may be in the file all the same,
 * whole.  The appender's. */
bool wal_writer_is_soiled(const struct wal_writer *writer);

/* Whether the space made ahead is running short: time to call extend. */
bool wal_writer_wants_room(const struct wal_writer *writer);
/* Makes a step of room.  Any thread, beside the appender. */
int wal_writer_extend(struct wal_writer *writer);

/* Makes every record appended before the call durable; *out_end is where they end.
 * After an error: never again (rule R10). */
int wal_writer_sync(struct wal_writer *writer, uint64_t *out_end);

#endif
