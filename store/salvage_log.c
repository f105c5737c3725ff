/* SPDX-License-Identifier: Apache-2.0 */
/* salvage_log.c - the good records of the logs, behind damage too; see salvage.h. */
#include <config.h>

#include "store/salvage.h"

#include <errno.h>

#include "store/batch.h"
#include "store/bloom.h"
#include "store/version.h"
#include "store/wal_reader.h"

#define MEMTABLE_BYTES ((size_t)1 << 20)

struct walk {
	struct keyfs_salvage *salvage;
	const struct version_log *log;
	struct wal_reader *reader;
	char name[ENV_NAME_MAX + 1];
	uint64_t durable;  /* highest position that any good record names */
	uint64_t next_seq; /* expected; 0: not known */
	bool torn;  /* the tail of a crash begins: nothing behind counts */
	bool noted; /* a loss explains that records are missing */
};

/* Which keys lay in a record that cannot be read nobody knows. */
static int
lose_records(struct walk *walk, uint64_t offset, const char *why)
{
	const struct salvage_keys any = { .max_seq = SEQ_MAX };

	walk->noted = true;
	return salvage_lose(walk->salvage, walk->name, offset, why, &any);
}

static int
insert(struct walk *walk, const struct wal_record *record,
       struct keyfs_slice payload)
{
	struct memtable **memtable = &walk->salvage->memtable;
	struct batch_reader reader;
	struct entry entry;
	uint64_t seq = record->seq;
	int r = 0;

	if (!*memtable)
		r = memtable_new(MEMTABLE_BYTES, NULL, memtable);
	if (r == 0)
		r = memtable_reserve(*memtable, record->count, payload.len);
	if (r < 0)
		return r;
	batch_reader_init(&reader, payload, record->count);
	while (batch_reader_next(&reader, &entry) == 0) {
		entry.seq = seq++;
		memtable_add(*memtable, &entry, bloom_hash(entry.key));
	}
	walk->next_seq = seq;
	walk->noted = false;
	return 0;
}

static int
take_record(struct walk *walk, uint64_t offset, const struct wal_record *record,
	    struct keyfs_slice payload)
{
	int r = 0;

	if (record->type == WAL_MARK)
		return 0;
	if (!batch_is_well_formed(payload, record->count, record->seq))
		return lose_records(walk, offset, "malformed batch");
	/* A crafted one: versions must stay in order. */
	if (record->seq < walk->next_seq)
		return lose_records(walk, offset, "sequence numbers go back");
	if (walk->next_seq && record->seq > walk->next_seq && !walk->noted)
		r = lose_records(walk, offset, "records before it are missing");
	return r < 0 ? r : insert(walk, record, payload);
}

/* Something at `offset` is no record.  *out_end: the log ends here. */
static int
meet_bad(struct walk *walk, uint64_t offset, const char *why, bool *out_end)
{
	const struct version_log *log = walk->log;
	int r;

	*out_end = true;
	if (!log->ended) {
		/* Nothing was begun.  That records are missing the next log tells. */
		if (wal_reader_rest_is_zero(walk->reader))
			return 0;
		walk->torn = walk->durable <= wal_position(log->number, offset);
		if (walk->torn)
			return 0;
	}
	r = lose_records(walk, offset, why);
	*out_end = !wal_reader_skip(walk->reader);
	return r;
}

static int
walk_log(struct walk *walk)
{
	const struct version_log *log = walk->log;
	struct wal_header header;
	struct wal_record record;
	struct keyfs_slice payload;
	const char *why = wal_reader_header(walk->reader, &header);
	bool end = false;
	int r = 0;

	/* The header alone holds no keys, but what follows it may be bad too. */
	if (why)
		r = meet_bad(walk, 0, why, &end);
	while (r == 0 && !end) {
		uint64_t offset = wal_reader_offset(walk->reader);

		if (log->ended && offset >= log->end)
			break;
		why = wal_reader_next(walk->reader, &record, &payload);
		r = why ? meet_bad(walk, offset, why, &end)
			: take_record(walk, offset, &record, payload);
	}
	return r;
}

/* 1: it cannot be read, which is noted. */
static int
open_log(struct walk *walk)
{
	int r = wal_reader_open(walk->salvage->dir, walk->log->number,
				&walk->reader);

	wal_file_name(walk->log->number, walk->name);
	if (r == -ENOENT)
		r = lose_records(walk, 0, "the log is missing");
	else if (r == -EIO || r == -EFBIG)
		r = lose_records(walk, 0, "the log cannot be read");
	else
		return r;
	return r ? r : 1;
}

/* A log that was dropped whole has no bytes to replay. */
static bool
is_dropped(const struct version_log *log)
{
	return log->ended && log->end == 0;
}

static int
find_durable(struct walk *walk, const struct version_log *logs, size_t count)
{
	struct wal_header header;
	uint64_t durable;
	size_t i;
	int r;

	for (i = 0; i < count; i++) {
		if (is_dropped(&logs[i]))
			continue;
		r = wal_reader_open(walk->salvage->dir, logs[i].number,
				    &walk->reader);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			continue; /* said when it is its turn */
		(void)wal_reader_header(walk->reader, &header);
		durable = wal_reader_scan(walk->reader);
		if (durable > walk->durable)
			walk->durable = durable;
		wal_reader_close(walk->reader);
	}
	return 0;
}

/* Without a manifest nobody knows that an earlier opening ended a log at its tear; the
 * log after it does: it begins with the next number. */
static bool
was_ended(const struct walk *walk, const struct version_log *next)
{
	struct wal_reader *reader;
	struct wal_header header;
	bool was;

	if (walk->salvage->has_manifest ||
	    wal_reader_open(walk->salvage->dir, next->number, &reader) < 0)
		return false;
	was = !wal_reader_header(reader, &header) &&
	      header.first_seq == walk->next_seq;
	wal_reader_close(reader);
	return was;
}

int
salvage_logs(struct keyfs_salvage *salvage, const struct version_log *logs,
	     size_t count)
{
	struct walk walk = { .salvage = salvage };
	size_t i;
	int r = find_durable(&walk, logs, count);

	if (salvage->has_manifest)
		walk.next_seq = salvage->last_seq + 1;
	for (i = 0; i < count && r == 0 && !walk.torn; i++) {
		if (is_dropped(&logs[i]))
			continue;
		walk.log = &logs[i];
		r = open_log(&walk);
		if (r == 0) {
			r = walk_log(&walk);
			wal_reader_close(walk.reader);
		}
		r = r == 1 ? 0 : r;
		if (walk.torn && i + 1 < count)
			walk.torn = !was_ended(&walk, &logs[i + 1]);
	}
	if (walk.next_seq > salvage->last_seq + 1)
		salvage->last_seq = walk.next_seq - 1;
	return r;
}
