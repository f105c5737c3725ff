/* SPDX-License-Identifier: Apache-2.0 */
/* version_edit.c - the difference between two versions, and its bytes; see
 * version_edit.h. */
#include <config.h>

#include "store/version_edit.h"

#include <errno.h>
#include <stdlib.h>

#include "store/buf.h"
#include "store/coding.h"
#include "store/table_builder.h"

/* On disk: never renumber. */
enum edit_tag {
	TAG_LOG_FLOOR = 1,
	TAG_NEXT_NUMBER = 2,
	TAG_LAST_SEQ = 3,
	TAG_LOG_ADDED = 4,
	TAG_LOG_ENDED = 5,
	TAG_TABLE_DELETED = 6,
	TAG_TABLE_ADDED = 7,
	TAG_DAMAGE = 8,
};

/* The only family there is. */
enum { FAMILY_DEFAULT = 0 };

void
version_edit_init(struct version_edit *edit)
{
	*edit = (struct version_edit){ 0 };
}

void
version_edit_fini(struct version_edit *edit)
{
	size_t i;

	for (i = 0; i < edit->added_count; i++)
		table_meta_unref(edit->added[i].meta);
	free(edit->added);
	free(edit->deleted);
	damage_list_fini(&edit->damages);
	free(edit->logs);
}

/* ---- Building ---- */

/* Returns `array`, moved if need be, with room for one more member; NULL: no
 * memory, and `array` is as it was. */
static void *
room_for_one(struct version_edit *edit, void *array, size_t count,
	     size_t *capacity, size_t member)
{
	size_t more = *capacity * 2 + 4;

	if (edit->error)
		return NULL;
	if (count < *capacity)
		return array;
	array = realloc(array, more * member);
	if (!array)
		edit->error = -ENOMEM;
	else
		*capacity = more;
	return array;
}

void
version_edit_add_table(struct version_edit *edit, unsigned level,
		       struct table_meta *meta)
{
	struct version_edit_table *added =
		room_for_one(edit, edit->added, edit->added_count,
			     &edit->added_capacity, sizeof(*added));

	if (!added)
		return;
	edit->added = added;
	added[edit->added_count++] = (struct version_edit_table){
		.level = level,
		.number = meta->number,
		.meta = table_meta_ref(meta),
	};
}

void
version_edit_delete_table(struct version_edit *edit, unsigned level,
			  uint64_t number)
{
	struct version_edit_table *deleted =
		room_for_one(edit, edit->deleted, edit->deleted_count,
			     &edit->deleted_capacity, sizeof(*deleted));

	if (!deleted)
		return;
	edit->deleted = deleted;
	deleted[edit->deleted_count++] = (struct version_edit_table){
		.level = level,
		.number = number,
	};
}

void
version_edit_add_damage(struct version_edit *edit, struct damage *damage)
{
	if (!edit->error)
		edit->error = damage_list_add(&edit->damages, damage);
}

static void
add_log_item(struct version_edit *edit, struct version_log log)
{
	struct version_log *logs =
		room_for_one(edit, edit->logs, edit->log_count,
			     &edit->log_capacity, sizeof(*logs));

	if (!logs)
		return;
	edit->logs = logs;
	logs[edit->log_count++] = log;
}

void
version_edit_add_log(struct version_edit *edit, uint64_t number)
{
	add_log_item(edit, (struct version_log){ .number = number });
}

void
version_edit_end_log(struct version_edit *edit, uint64_t number, uint64_t end)
{
	add_log_item(edit, (struct version_log){ .number = number,
						 .ended = true,
						 .end = end });
}

void
version_edit_snapshot(struct version_edit *edit, const struct version *version)
{
	unsigned level;
	size_t i;

	edit->log_floor = version->log_floor;
	edit->next_number = version->next_number;
	edit->last_seq = version->last_seq;
	for (i = 0; i < version->log_count; i++) {
		const struct version_log *log = &version->logs[i];

		version_edit_add_log(edit, log->number);
		if (log->ended)
			version_edit_end_log(edit, log->number, log->end);
	}
	for (i = 0; i < version->damages.count; i++)
		version_edit_add_damage(edit, version->damages.at[i]);
	for (level = 0; level < KEYFS_LEVELS; level++)
		for (i = 0; i < version->levels[level].count; i++)
			version_edit_add_table(
				edit, level, version->levels[level].tables[i]);
}

/* ---- Encoding ---- */

static void
put_number(struct buf *buf, enum edit_tag tag, uint64_t number)
{
	if (!number)
		return;
	buf_append_varint(buf, (uint64_t)tag);
	buf_append_varint(buf, number);
}

static void
put_log(struct buf *buf, const struct version_log *log)
{
	if (!log->ended) {
		put_number(buf, TAG_LOG_ADDED, log->number);
		return;
	}
	buf_append_varint(buf, TAG_LOG_ENDED);
	buf_append_varint(buf, log->number);
	buf_append_varint(buf, log->end);
}

static void
put_table_place(struct buf *buf, enum edit_tag tag,
		const struct version_edit_table *table)
{
	buf_append_varint(buf, (uint64_t)tag);
	buf_append_varint(buf, FAMILY_DEFAULT);
	buf_append_varint(buf, table->level);
	buf_append_varint(buf, table->number);
}

static void
put_table(struct buf *buf, const struct version_edit_table *table)
{
	const struct table_meta *meta = table->meta;

	put_table_place(buf, TAG_TABLE_ADDED, table);
	buf_append_varint(buf, meta->file_bytes);
	buf_append_varint(buf, meta->entries);
	buf_append_varint(buf, meta->tombstones);
	buf_append_varint(buf, meta->raw_bytes);
	buf_append_varint(buf, meta->min_seq);
	buf_append_varint(buf, meta->max_seq);
	buf_append_slice(buf, meta->smallest);
	buf_append_slice(buf, meta->largest);
}

static void
put_damage(struct buf *buf, const struct damage *damage)
{
	buf_append_varint(buf, TAG_DAMAGE);
	buf_append_varint(buf, damage->number);
	buf_append_varint(buf, damage->offset);
	buf_append_varint(buf, damage->bytes);
	buf_append_varint(buf, damage->min_seq);
	buf_append_varint(buf, damage->max_seq);
	buf_append_varint(buf, damage->first_seq);
	buf_append_slice(buf, damage->first);
	buf_append_slice(buf, damage->last);
}

int
version_edit_encode(const struct version_edit *edit, uint8_t **out,
		    size_t *out_len)
{
	struct buf buf;
	size_t i;

	if (edit->error)
		return edit->error;
	buf_init(&buf);
	put_number(&buf, TAG_LOG_FLOOR, edit->log_floor);
	put_number(&buf, TAG_NEXT_NUMBER, edit->next_number);
	put_number(&buf, TAG_LAST_SEQ, edit->last_seq);
	for (i = 0; i < edit->log_count; i++)
		put_log(&buf, &edit->logs[i]);
	for (i = 0; i < edit->deleted_count; i++)
		put_table_place(&buf, TAG_TABLE_DELETED, &edit->deleted[i]);
	for (i = 0; i < edit->added_count; i++)
		put_table(&buf, &edit->added[i]);
	for (i = 0; i < edit->damages.count; i++)
		put_damage(&buf, edit->damages.at[i]);
	if (buf.error) {
		buf_fini(&buf);
		return -ENOMEM;
	}
	*out = buf.data;
	*out_len = buf.len;
	return 0;
}

/* ---- Decoding ---- */

/* A place in the bytes; `at` becomes NULL at the first malformed one. */
struct cursor {
	const uint8_t *at, *end;
};

static uint64_t
take_number(struct cursor *cursor)
{
	uint64_t number = 0;

	if (cursor->at)
		cursor->at = get_varint64(cursor->at, cursor->end, &number);
	return number;
}

static struct keyfs_slice
take_key(struct cursor *cursor)
{
	uint64_t len = take_number(cursor);
	struct keyfs_slice key = { NULL, 0 };

	if (!cursor->at)
		return key;
	if (len < 1 || len > KEYFS_KEY_MAX ||
	    len > (uint64_t)(cursor->end - cursor->at)) {
		cursor->at = NULL;
		return key;
	}
	key = keyfs_bytes(cursor->at, len);
	cursor->at += len;
	return key;
}

/* Reads family, level and number; NULL, or what is wrong with them. */
static const char *
take_table_place(struct cursor *cursor, struct version_edit_table *out)
{
	uint64_t family = take_number(cursor);
	uint64_t level = take_number(cursor);

	out->number = take_number(cursor);
	if (!cursor->at)
		return "a table is cut off";
	if (family != FAMILY_DEFAULT)
		return "a table of an unknown family";
	if (level >= KEYFS_LEVELS)
		return "a table of an unknown level";
	out->level = (unsigned)level;
	return NULL;
}

static const char *
take_added(struct cursor *cursor, struct table_set *set,
	   struct version_edit *edit)
{
	struct version_edit_table place;
	const char *why = take_table_place(cursor, &place);
	struct table_info info;
	struct table_meta *meta;

	if (why)
		return why;
	info.file_bytes = take_number(cursor);
	info.entries = take_number(cursor);
	info.tombstones = take_number(cursor);
	info.raw_bytes = take_number(cursor);
	info.min_seq = take_number(cursor);
	info.max_seq = take_number(cursor);
	info.smallest = take_key(cursor);
	info.largest = take_key(cursor);
	if (!cursor->at)
		return "a table is cut off";
	if (table_meta_new(set, place.number, &info, &meta)) {
		edit->error = -ENOMEM;
		return NULL;
	}
	version_edit_add_table(edit, place.level, meta);
	table_meta_unref(meta);
	return NULL;
}

static const char *
take_damage(struct cursor *cursor, struct version_edit *edit)
{
	struct damage like = { .number = take_number(cursor) };
	struct damage *damage;

	like.offset = take_number(cursor);
	like.bytes = take_number(cursor);
	like.min_seq = take_number(cursor);
	like.max_seq = take_number(cursor);
	like.first_seq = take_number(cursor);
	like.first = take_key(cursor);
	like.last = take_key(cursor);
	if (!cursor->at)
		return "a damage range is cut off";
	if (damage_new(&like, &damage)) {
		edit->error = -ENOMEM;
		return NULL;
	}
	version_edit_add_damage(edit, damage);
	damage_unref(damage);
	return NULL;
}

static const char *
take_deleted(struct cursor *cursor, struct version_edit *edit)
{
	struct version_edit_table place;
	const char *why = take_table_place(cursor, &place);

	if (!why)
		version_edit_delete_table(edit, place.level, place.number);
	return why;
}

/* A number that stands at most once in an edit and is not 0. */
static const char *
take_once(struct cursor *cursor, uint64_t *number)
{
	if (*number)
		return "a number is given twice";
	*number = take_number(cursor);
	return *number ? NULL : "a number is missing";
}

static const char *
take_log(struct cursor *cursor, struct version_edit *edit, bool ended)
{
	uint64_t number = take_number(cursor);
	uint64_t end = ended ? take_number(cursor) : 0;

	if (!cursor->at)
		return "a log is cut off";
	if (ended)
		version_edit_end_log(edit, number, end);
	else
		version_edit_add_log(edit, number);
	return NULL;
}

static const char *
take_item(struct cursor *cursor, struct table_set *set,
	  struct version_edit *edit)
{
	switch (take_number(cursor)) {
	case TAG_LOG_FLOOR:
		return take_once(cursor, &edit->log_floor);
	case TAG_NEXT_NUMBER:
		return take_once(cursor, &edit->next_number);
	case TAG_LAST_SEQ:
		return take_once(cursor, &edit->last_seq);
	case TAG_LOG_ADDED:
		return take_log(cursor, edit, false);
	case TAG_LOG_ENDED:
		return take_log(cursor, edit, true);
	case TAG_TABLE_DELETED:
		return take_deleted(cursor, edit);
	case TAG_TABLE_ADDED:
		return take_added(cursor, set, edit);
	case TAG_DAMAGE:
		return take_damage(cursor, edit);
	default:
		return "an unknown tag";
	}
}

int
version_edit_decode(struct keyfs_slice bytes, struct table_set *set,
		    struct version_edit *edit, const char **out_why)
{
	struct cursor cursor = { bytes.data,
				 (const uint8_t *)bytes.data + bytes.len };
	const char *why = NULL;

	while (!why && !edit->error && cursor.at != cursor.end)
		why = take_item(&cursor, set, edit);
	if (!why)
		return edit->error;
	*out_why = why;
	return -EUCLEAN;
}
