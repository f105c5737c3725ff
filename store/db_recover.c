/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: what the disk holds becomes a view.
 *
 *	manifest      tables ... last sequence s      logs 5 (ended at 800), 6, 7
 *	log 5         s+1 ................ 800        replayed to its end, exactly
 *	log 6         .......... tear ///////         replayed to the tear
 *	log 7         ...........                     dropped: it lies behind the tear
 *
 * A tear is told from damage by what the good records behind it say was durable
 * (R5). */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/bloom.h"
#include "store/db.h"
#include "store/wal_reader.h"

/* Replaying, log by log. */
struct replay {
	struct keyfs_store *db;
	struct memtable *memtable; /* being filled; owned */
	uint64_t next_seq;         /* that the next record must begin with */
	uint64_t predecessor;      /* the log before, 0: not known */
	uint64_t predecessor_end;  /* where its records end */
	bool predecessor_ended;    /* the manifest says so */
	uint64_t durable;          /* highest position named by a good record */

	/* The first bad byte; later logs are only scanned. */
	bool torn;
	uint64_t torn_log, torn_offset, dropped_bytes;
	const char *torn_why;

	struct version_edit *edit; /* gets where each log ends */
};

static int
bad_log(struct replay *replay, uint64_t number, uint64_t offset,
	const char *why)
{
	char name[ENV_NAME_MAX + 1];

	wal_file_name(number, name);
	return corrupt(&replay->db->reporter, name, offset, "%s", why);
}

/* Remembers the first bad byte. */
static void
tear(struct replay *replay, uint64_t number, uint64_t offset, const char *why)
{
	if (replay->torn)
		return;
	replay->torn = true;
	replay->torn_log = number;
	replay->torn_offset = offset;
	replay->torn_why = why;
}

/* ---- Filling memtables ---- */

/* Hands the filled memtable to the sealed list; logs up to `last_log` are in it. */
static int
seal(struct replay *replay, uint64_t last_log)
{
	struct keyfs_store *db = replay->db;
	struct sealed *sealed;

	if (!replay->memtable)
		return 0;
	sealed = realloc(db->sealed,
			 (db->sealed_count + 1) * sizeof(db->sealed[0]));
	if (!sealed)
		return -ENOMEM;
	db->sealed = sealed;
	db->sealed[db->sealed_count++] = (struct sealed){
		.memtable = replay->memtable,
		.synced = true,
		.last_log = last_log,
		.last_seq = replay->next_seq - 1,
	};
	replay->memtable = NULL;
	return 0;
}

static int
insert(struct replay *replay, const struct wal_record *record,
       struct keyfs_slice payload)
{
	struct batch_reader reader;
	struct entry entry;
	uint64_t seq = record->seq;
	int r;

	if (!replay->memtable) {
		r = memtable_new(replay->db->options.memtable_bytes, NULL,
				 &replay->memtable);
		if (r < 0)
			return r;
	}
	r = memtable_reserve(replay->memtable, record->count, payload.len);
	if (r < 0)
		return r;
	batch_reader_init(&reader, payload, record->count);
	while ((r = batch_reader_next(&reader, &entry)) == 0) {
		entry.seq = seq++;
		memtable_add(replay->memtable, &entry, bloom_hash(entry.key));
	}
	return r == -ENOENT ? 0 : r;
}

/* Takes one good record.  A record that matches its checksum and makes no sense is
 * never a tear. */
static int
replay_record(struct replay *replay, uint64_t number, uint64_t offset,
	      const struct wal_record *record, struct keyfs_slice payload)
{
	int r;

	if (record->durable > replay->durable)
		replay->durable = record->durable;
	if (record->type == WAL_MARK)
		return 0;
	if (record->seq != replay->next_seq)
		return bad_log(replay, number, offset,
			       "sequence numbers do not continue");
	/* Before any of it goes into a memtable. */
	if (!batch_is_well_formed(payload, record->count, record->seq))
		return bad_log(replay, number, offset, "malformed batch");
	r = insert(replay, record, payload);
	if (r < 0)
		return r;
	replay->next_seq += record->count;
	atomic_fetch_add_explicit(&replay->db->counters.recovered_records, 1,
				  memory_order_relaxed);
	return 0;
}

/* ---- One log ---- */

/* Replays records up to the first bad one, or to `end` if the log was ended there. */
static int
replay_records(struct replay *replay, const struct version_log *log,
	       struct wal_reader *reader)
{
	struct wal_record record;
	struct keyfs_slice payload;
	uint64_t offset;
	const char *why;
	int r;

	for (;;) {
		offset = wal_reader_offset(reader);
		if (log->ended && offset >= log->end)
			break;
		why = wal_reader_next(reader, &record, &payload);
		if (why) {
			/* Zeros to the end: nothing was begun. */
			if (!wal_reader_rest_is_zero(reader))
				tear(replay, log->number, offset, why);
			break;
		}
		r = replay_record(replay, log->number, offset, &record,
				  payload);
		if (r < 0)
			return r;
	}
	/* R7: where the manifest says that a log ends, it ends. */
	if (log->ended && wal_reader_offset(reader) != log->end)
		return bad_log(replay, log->number, wal_reader_offset(reader),
			       "records end before the log does");
	return 0;
}

/* The header, and that this log follows the one before. */
static int
replay_header(struct replay *replay, const struct version_log *log,
	      struct wal_reader *reader, bool *out_good)
{
	struct wal_header header;
	const char *why = wal_reader_header(reader, &header);

	*out_good = !why;
	if (why && log->ended)
		return bad_log(replay, log->number, 0, why);
	if (why) {
		tear(replay, log->number, 0, why);
		return 0;
	}
	/* The end of the log before was lost in the crash, and this one was not. */
	if (header.first_seq > replay->next_seq && replay->predecessor &&
	    !replay->predecessor_ended) {
		*out_good = false;
		tear(replay, replay->predecessor, replay->predecessor_end,
		     "records are missing");
		return 0;
	}
	/* A record that failed is where another one was to be, or the header is that
	 * of a switch that failed: what came instead of them was lost in the crash. */
	if (header.first_seq < replay->next_seq && replay->predecessor &&
	    !replay->predecessor_ended && !log->ended) {
		*out_good = false;
		tear(replay, log->number, 0,
		     "the log before has gone on without it");
		return 0;
	}
	if (header.first_seq != replay->next_seq)
		return bad_log(replay, log->number, 0,
			       "sequence numbers do not continue");
	if (replay->predecessor && header.predecessor != replay->predecessor)
		return bad_log(replay, log->number, 0,
			       "another log came before it");
	return 0;
}

/* Whether the bad bytes at the end of the log before are none of a crash.  A record
 * that found no room leaves some where the filesystem promises none ahead; the log that
 * follows then begins with the very next sequence number, and nothing is missing. */
static bool
goes_on_behind(const struct replay *replay, struct wal_reader *reader)
{
	struct wal_header header;

	return !wal_reader_header(reader, &header) &&
	       replay->predecessor == replay->torn_log &&
	       header.predecessor == replay->torn_log &&
	       header.first_seq == replay->next_seq;
}

/* Looks through what lies behind the first bad byte for promises (R5). */
static void
scan(struct replay *replay, struct wal_reader *reader)
{
	uint64_t durable = wal_reader_scan(reader);

	if (durable > replay->durable)
		replay->durable = durable;
	replay->dropped_bytes += wal_reader_rest_bytes(reader);
}

/* Where the part of a log begins that nobody knows to be durable. */
static uint64_t
unproven_from(const struct replay *replay, uint64_t number)
{
	if (replay->durable <= wal_position(number, 0))
		return 0;
	return wal_position_number(replay->durable) > number
		       ? WAL_OFFSET_MAX
		       : wal_position_offset(replay->durable);
}

/* What was read from the page cache of a dead process is made durable before the
 * manifest relies on it (R7).  A sync alone would not do: if one failed in that
 * process, the kernel takes the pages for clean ever since, and would answer 0. */
static int
secure_log(struct replay *replay, uint64_t number, struct wal_reader *reader)
{
	uint64_t from = unproven_from(replay, number);
	struct keyfs_slice bytes = wal_reader_taken(reader, from);
	struct env_file *file;
	char name[ENV_NAME_MAX + 1];
	int r;

	wal_file_name(number, name);
	r = env_file_open(replay->db->dir, name, ENV_READ | ENV_WRITE, &file);
	if (r < 0)
		return r;
	if (bytes.len)
		r = env_file_write(file, from, bytes.data, bytes.len);
	if (r == 0)
		r = env_file_sync(file);
	env_file_close(file);
	return r;
}

/* Replays what is good of one log; notes where it ends.  *out_good: there is a part
 * of it to keep. */
static int
replay_good(struct replay *replay, const struct version_log *log,
	    struct wal_reader *reader, bool *out_good)
{
	int r = replay_header(replay, log, reader, out_good);

	if (r == 0 && *out_good)
		r = replay_records(replay, log, reader);
	if (r < 0 || !*out_good)
		return r;
	/* One that was ended has been through this. */
	if (!replay->db->options.read_only && !log->ended)
		r = secure_log(replay, log->number, reader);
	if (!log->ended)
		version_edit_end_log(replay->edit, log->number,
				     wal_reader_offset(reader));
	replay->predecessor = log->number;
	replay->predecessor_end = wal_reader_offset(reader);
	replay->predecessor_ended = log->ended;
	return r;
}

static int
replay_log(struct replay *replay, const struct version_log *log)
{
	struct wal_reader *reader;
	bool good = false;
	int r = wal_reader_open(replay->db->dir, log->number, &reader);

	if (r == -ENOENT)
		return bad_log(replay, log->number, 0, "the log is missing");
	if (r < 0)
		return r;
	if (replay->torn && goes_on_behind(replay, reader)) {
		replay->torn = false;
		replay->dropped_bytes = 0;
	}
	if (!replay->torn)
		r = replay_good(replay, log, reader, &good);
	if (r == 0 && replay->torn)
		scan(replay, reader);
	/* Dropped whole: it ends before it begins. */
	if (r == 0 && !good)
		version_edit_end_log(replay->edit, log->number, 0);
	wal_reader_close(reader);
	return r;
}

/* ---- All logs ---- */

/* A log that was dropped whole has no bytes to replay. */
static bool
is_dropped(const struct version_log *log)
{
	return log->ended && log->end == 0;
}

static int
replay_logs(struct replay *replay, const struct version *version)
{
	size_t limit = replay->db->options.memtable_bytes;
	const struct version_log *log;
	uint64_t last_log = 0;
	size_t i;
	int r = 0;

	for (i = 0; i < version->log_count && r == 0; i++) {
		log = &version->logs[i];
		if (is_dropped(log))
			continue;
		/* Only between logs: a log is needed until all of it is flushed. */
		if (replay->memtable &&
		    memtable_bytes(replay->memtable) >= limit / 2)
			r = seal(replay, last_log);
		if (r == 0)
			r = replay_log(replay, log);
		last_log = log->number;
	}
	/* Whatever the last one covers, the dropped logs behind it too. */
	if (r == 0 && version->log_count)
		r = seal(replay, version->logs[version->log_count - 1].number);
	return r;
}

/* Tells the torn tail of a crash from damage, when all logs were read. */
static int
judge_tear(struct replay *replay)
{
	struct keyfs_store *db = replay->db;
	char name[ENV_NAME_MAX + 1];

	if (!replay->torn)
		return 0;
	if (replay->durable >
	    wal_position(replay->torn_log, replay->torn_offset))
		return bad_log(replay, replay->torn_log, replay->torn_offset,
			       replay->torn_why);
	atomic_store_explicit(&db->counters.dropped_tail_bytes,
			      replay->dropped_bytes, memory_order_relaxed);
	if (replay->dropped_bytes == 0)
		return 0;
	wal_file_name(replay->torn_log, name);
	report(&db->reporter, KEYFS_LOG_WARNING,
	       "%s: torn tail of a crash at offset %" PRIu64 " (%s): %" PRIu64
	       " unsynced bytes dropped",
	       name, replay->torn_offset, replay->torn_why,
	       replay->dropped_bytes);
	return 0;
}

/* ---- Files ---- */

struct file_check {
	struct keyfs_store *db;
	const struct version *version;
	size_t found; /* tables of the version */
	uint64_t highest;
};

/* The number in a name of ours, or false. */
static bool
file_number(const char *name, uint64_t *out, const char **out_suffix)
{
	char *end;

	if (!strncmp(name, "MANIFEST-", 9))
		name += 9;
	if (*name < '0' || *name > '9')
		return false;
	*out = strtoull(name, &end, 10);
	*out_suffix = end;
	return *out <= WAL_NUMBER_MAX;
}

/* R3: a log is named before its first record.  One that is not named and not older than
 * what is needed has been written to under a later manifest: CURRENT, or the end of the
 * manifest, is not the newest. */
static int
check_log(struct file_check *check, const char *name, uint64_t number)
{
	const struct version *version = check->version;
	bool has;
	size_t i;
	int r;

	if (number < version->log_floor)
		return 0;
	for (i = 0; i < version->log_count; i++)
		if (version->logs[i].number == number)
			return 0;
	r = wal_reader_has_records(check->db->dir, number, &has);
	if (r < 0 || !has)
		return r;
	return corrupt(
		&check->db->reporter, MANIFEST_CURRENT, 0,
		"it leads to an old manifest, or to one without its end: "
		"%s holds records and is not in it",
		name);
}

static int
check_file(void *arg, const char *name)
{
	struct file_check *check = arg;
	const char *suffix;
	uint64_t number;
	unsigned level;

	if (!file_number(name, &number, &suffix))
		return 0;
	if (number > check->highest)
		check->highest = number;
	if (!strcmp(suffix, ".sst") &&
	    version_find(check->version, number, &level))
		check->found++;
	return strcmp(suffix, ".log") ? 0 : check_log(check, name, number);
}

static int
report_missing_table(struct keyfs_store *db, const struct version *version)
{
	struct env_file *file;
	char name[ENV_NAME_MAX + 1];
	unsigned level;
	size_t i;
	int r;

	for (level = 0; level < KEYFS_LEVELS; level++) {
		for (i = 0; i < version->levels[level].count; i++) {
			table_file_name(
				version->levels[level].tables[i]->number, name);
			r = env_file_open(db->dir, name, ENV_READ, &file);
			if (r == -ENOENT)
				return corrupt(&db->reporter, name, 0,
					       "the table is missing");
			if (r < 0)
				return r;
			env_file_close(file);
		}
	}
	return -EUCLEAN;
}

/* R9: every table that the manifest names is there.  Finds the next file number too:
 * above every file, so that a leftover's name is never used again. */
static int
check_files(struct keyfs_store *db, const struct version *version)
{
	struct file_check check = { .db = db, .version = version };
	size_t tables = 0;
	unsigned level;
	int r = env_dir_list(db->dir, check_file, &check);

	if (r < 0)
		return r;
	for (level = 0; level < KEYFS_LEVELS; level++)
		tables += version->levels[level].count;
	if (check.found != tables)
		return report_missing_table(db, version);
	if (check.highest < version->next_number)
		check.highest = version->next_number;
	atomic_store_explicit(&db->next_file, check.highest + 1,
			      memory_order_relaxed);
	return 0;
}

/* ---- The whole ---- */

/* The version with the ends of the replayed logs in it. */
static int
end_logs(struct keyfs_store *db, struct version *version,
	 struct version_edit *edit, struct version **out)
{
	const char *why;
	int r;

	edit->next_number =
		atomic_load_explicit(&db->next_file, memory_order_relaxed);
	r = version_apply(version, edit, &why, out);
	if (r == -EUCLEAN)
		return corrupt(&db->reporter, MANIFEST_CURRENT, 0, "%s", why);
	return r;
}

static int
install(struct keyfs_store *db, struct version *version, uint64_t last_seq)
{
	struct sealed *sealed;
	struct view *view;

	db->sealed_room = db->sealed_count + DB_SEALED_MAX + 1;
	sealed = realloc(db->sealed, db->sealed_room * sizeof(db->sealed[0]));
	if (!sealed)
		return -ENOMEM;
	db->sealed = sealed;
	db->sync.logs = calloc(db->sealed_room + 1, sizeof(db->sync.logs[0]));
	if (!db->sync.logs)
		return -ENOMEM;
	view = db_view_alloc(db);
	if (!view)
		return -ENOMEM;
	atomic_store_explicit(&db->last_seq, last_seq, memory_order_relaxed);
	atomic_store_explicit(&db->durable_seq, last_seq, memory_order_relaxed);
	mutex_lock(&db->lock);
	/* The first: there is none before it. */
	(void)db_view_install_locked(db, view, NULL, version,
				     version->last_seq);
	mutex_unlock(&db->lock);
	return 0;
}

static int
recover_version(struct keyfs_store *db, struct version *version)
{
	struct version_edit edit;
	struct version *ended = NULL;
	struct replay replay = { .db = db,
				 .next_seq = version->last_seq + 1,
				 .edit = &edit };
	int r;

	version_edit_init(&edit);
	r = check_files(db, version);
	if (r == 0)
		r = replay_logs(&replay, version);
	if (r == 0)
		r = judge_tear(&replay);
	if (r == 0)
		r = end_logs(db, version, &edit, &ended);
	if (r == 0)
		r = install(db, ended, replay.next_seq - 1);
	version_unref(ended);
	memtable_unref(replay.memtable);
	version_edit_fini(&edit);
	return r;
}

int
db_recover(struct keyfs_store *db, bool is_new)
{
	struct version *version;
	uint64_t number;
	int r;

	if (is_new)
		r = version_new(&db->tables, &version);
	else
		r = manifest_load(db->dir, &db->reporter, &db->tables, &number,
				  &version);
	if (r < 0)
		return r;
	r = recover_version(db, version);
	version_unref(version);
	return r;
}
