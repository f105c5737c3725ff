/* SPDX-License-Identifier: Apache-2.0 */
/* version_edit.h - the difference between two versions, and its bytes.
 *
 * What a manifest record holds:
 *
 *	edit := item*        (in this order; order has no meaning on reading)
 *	item := 1 log floor        number
 *	      | 2 next number      number
 *	      | 3 last sequence    seq
 *	      | 4 log added        number
 *	      | 5 log ended        number, end offset
 *	      | 6 table deleted    family, level, number
 *	      | 7 table added      family, level, number, file bytes, entries,
 *	                           tombstones, raw bytes, min seq, max seq,
 *	                           key length, smallest key,
 *	                           key length, largest key
 *	      | 8 damage range     file number, offset, bytes, min seq, max seq,
 *	                           first seq, key length, first key,
 *	                           key length, last key
 *
 * Every tag and number is a varint of coding.h; the family is 0, the default
 * one.  Unknown tags are refused: whoever adds one raises the manifest's format
 * or sets a feature bit there, as tag 8 does (manifest.h).  For example, table 5 of 300 bytes with "a".."c"
 * in level 0, made from log 3, which is no longer needed:
 *
 *	01 04   02 06   03 09   07 00 00 05 ac 02 09 00 1b 01 09 01 'a' 01 'c'
 *
 * and 130 bytes lost at offset 40 of file 5, with numbers from 2 to 8, of the
 * keys behind "a" up to "b":
 *
 *	08 05 28 82 01 02 08 00 01 'a' 01 'b'
 *
 * A table that moves is deleted from one level and added to another in one
 * edit.
 *
 * The add calls keep the first error inside; applying and encoding report it.
 * One thread at a time. */
#ifndef STORE_VERSION_EDIT_H
#define STORE_VERSION_EDIT_H

#include "store/version.h"

struct version_edit_table {
	unsigned level;
	uint64_t number;
	struct table_meta *meta; /* added: one reference; deleted: NULL */
};

struct version_edit {
	int error; /* the first one */

	struct version_edit_table *added, *deleted; /* owned */
	size_t added_count, added_capacity;
	size_t deleted_count, deleted_capacity;

	struct damage_list damages; /* added */

	/* `ended`: the log ends there; else it begins. */
	struct version_log *logs; /* owned */
	size_t log_count, log_capacity;

	/* 0: as it was. */
	uint64_t log_floor;   /* logs below it are no longer needed */
	uint64_t next_number; /* set it to what the store will use next */
	uint64_t last_seq;
};

void version_edit_init(struct version_edit *edit);
void version_edit_fini(struct version_edit *edit);

/* Takes a reference of its own. */
void version_edit_add_table(struct version_edit *edit, unsigned level,
			    struct table_meta *meta);
void version_edit_delete_table(struct version_edit *edit, unsigned level,
			       uint64_t number);
void version_edit_add_damage(struct version_edit *edit, struct damage *damage);
void version_edit_add_log(struct version_edit *edit, uint64_t number);
void
version_edit_end_log(struct version_edit *edit, uint64_t number, uint64_t end);

/* The edit that makes `version` out of an empty one; init and fini as above. */
void
version_edit_snapshot(struct version_edit *edit, const struct version *version);

/* Encodes into memory of its own, which the caller frees with free(). */
int version_edit_encode(const struct version_edit *edit, uint8_t **out,
			size_t *out_len);

/* Decodes into an initialised, empty edit; its tables belong to `set`.
 * -EUCLEAN: malformed bytes; *out_why (static) then says what. */
int version_edit_decode(struct keyfs_slice bytes, struct table_set *set,
			struct version_edit *edit, const char **out_why);

/* Makes the version that `edit` turns `base` into.  One reference, the
 * caller's.  `base` is unchanged and stays the caller's.  -EUCLEAN: the edit
 * does not fit; *out_why (static) then says why:
 *
 *	a table is deleted that is not there, or added twice;
 *	tables of a level from 1 on would overlap;
 *	a table is empty, or its keys or sequence numbers are the wrong way
 *	round;
 *	a file number is not below next_number, a sequence number of a table
 *	is above last_seq; one of these or log_floor goes back;
 *	a damage range is empty, or its keys or numbers are the wrong way
 *	round or out of range;
 *	a log is added twice, or ended twice or unknown. */
int version_apply(struct version *base, const struct version_edit *edit,
		  const char **out_why, struct version **out);

#endif
