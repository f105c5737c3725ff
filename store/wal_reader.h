/* SPDX-License-Identifier: Apache-2.0 */
/* wal_reader.h - reads one log file back, and tells where its good records end.
 *
 * Replay goes record by record with next() to the first bad one; then scan() looks
 * through the rest of the file for the highest durable position that any good record
 * names, which is what tells a torn tail from damage (rule R5).  One thread. */
#ifndef STORE_WAL_READER_H
#define STORE_WAL_READER_H

#include <stdint.h>

#include "store/env.h"
#include "store/error.h"
#include "store/wal_format.h"

struct wal_reader;

/* Reads log `number` of `dir` into memory.  -ENOENT: no such file.  -EIO: the disk
 * failed. */
int
wal_reader_open(struct env_dir *dir, uint64_t number, struct wal_reader **out);
void wal_reader_close(struct wal_reader *reader); /* NULL is allowed */

/* Whether log `number` begins with a good header and a good record; one that is not
 * there has none.  Errors: wal_reader_open(); then nobody knows. */
int wal_reader_has_records(struct env_dir *dir, uint64_t number, bool *out);

/* The header.  NULL, or why it is bad; then nothing can be replayed. */
const char *
wal_reader_header(struct wal_reader *reader, struct wal_header *out);

/* Reads the next record; *out_payload (borrowed) lives as long as the reader.
 * NULL, or why there is no good record at wal_reader_offset(). */
const char *wal_reader_next(struct wal_reader *reader, struct wal_record *out,
			    struct keyfs_slice *out_payload);

/* Goes on behind a bad record to the next good one; false: there is none. */
bool wal_reader_skip(struct wal_reader *reader);

/* Where the next record would begin; after a bad one, where that begins. */
uint64_t wal_reader_offset(const struct wal_reader *reader);

/* Whether all bytes from there to the end of the file are zero: no record was begun. */
bool wal_reader_rest_is_zero(const struct wal_reader *reader);

/* Bytes of the file from there on that are not zero at its end, for the report. */
uint64_t wal_reader_rest_bytes(const struct wal_reader *reader);

/* The bytes before there, from `from` on; borrowed.  Empty if `from` is not before it. */
struct keyfs_slice
wal_reader_taken(const struct wal_reader *reader, uint64_t from);

/* The highest durable position named by a good record from there on; 0: none. */
uint64_t wal_reader_scan(const struct wal_reader *reader);

#endif
