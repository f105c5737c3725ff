/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - the durable record of which tables and logs are live.
 *
 * CURRENT holds one line: the name of the live manifest, a blank, and the
 * XXH3-64 of the name in 16 hexadecimal digits.  MANIFEST-nnnnnn:
 *
 *	 0  8  magic "KEYFSMAN"
 *	 8  4  format version (1)
 *	12  4  feature bits; an unknown one is refused by number:
 *	         1  there may be damage ranges (version_edit.h)
 *	16  8  number of this file
 *	24  4  levels            \
 *	28  4  longest key        | settings that the format depends on: a
 *	32  8  longest value     /  store made with larger ones is refused
 *	40 16  zeros
 *	56  8  checksum of bytes 0-55 (checksum.h), with the number and offset 0
 *	64     records, each at a multiple of 8:
 *
 *	 0  8  checksum of all that follows, with number and record offset
 *	 8  4  bytes of payload; 0: a mark
 *	12  4  zeros
 *	16  n  payload: one edit (version_edit.h)
 *	       zeros to a multiple of 8
 *
 * A file without bit 1 holds none: the first one needs a new file, so that an
 * older program refuses the store by the bit's name, and reads the others.
 *
 * The first record is the whole state when the file was made, the rest are
 * edits.  After the last one comes a mark, then zeros, where room was made
 * ahead, or nothing.
 *
 * A record is appended and synced; then a mark is written behind it, unsynced,
 * which the next record overwrites.  So the bytes of a crash can only be the
 * last record, without its mark: something that is no record, and no good
 * record or mark anywhere behind it, is dropped with one log line; with one
 * behind it, it is damage.  Nothing is ever appended behind such a tear,
 * because every opening for writing makes a new manifest (rules R8 and R9 in
 * README.md).
 *
 * One thread at a time. */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include "store/version_edit.h"

struct manifest;

#define MANIFEST_CURRENT "CURRENT"
#define MANIFEST_CURRENT_TMP "CURRENT.tmp"

/* One record, longest: the whole state with ten million tables of short keys.
 */
#define MANIFEST_RECORD_MAX (UINT32_C(1) << 30)

/* Longest file read.  A manifest is renewed when it has grown, long before. */
#define MANIFEST_FILE_MAX (UINT64_C(1) << 32)

/* Makes manifest `number` with the whole of `version` in it, durable, and makes
 * it the live one: new file, sync, directory sync, CURRENT.tmp, sync, rename,
 * directory sync.  On failure what was made is removed unless CURRENT may name
 * it already; whether it does is then unknown.  *out_touched (may be NULL) says in
 * any case whether CURRENT may name it. */
int manifest_create(struct env_dir *dir, const struct reporter *reporter,
		    uint64_t number, const struct version *version,
		    bool *out_touched, struct manifest **out);

/* Goes on in a new file, `number`, which starts with the whole of `version`:
 * the caller does it when manifest_bytes() has grown, and deletes the old file
 * after.  On failure before CURRENT was touched (-ENOSPC most likely) the old
 * file goes on; later failures poison. */
int manifest_renew(struct manifest *manifest, uint64_t number,
		   const struct version *version);

/* Closes the file.  NULL is allowed. */
void manifest_close(struct manifest *manifest);

/* Appends an edit and makes it durable; an empty one is not written.  Room is
 * made first, so a full disk gives -ENOSPC (and a lack of memory -ENOMEM) with
 * nothing written, and a later call may succeed.  After a failed write or sync
 * what is on disk is unknown: the manifest is poisoned, manifest_error() tells,
 * and each later call returns that error, never -ENOSPC or -ENOMEM. */
int manifest_append(struct manifest *manifest, const struct version_edit *edit);

/* Whether its feature bits allow such an edit to be appended; if not, the caller
 * puts it into a new file by manifest_renew(). */
bool manifest_takes(const struct manifest *manifest,
		    const struct version_edit *edit);

/* 0, or the error that poisoned it. */
int manifest_error(const struct manifest *manifest);

uint64_t manifest_number(const struct manifest *manifest);
/* Up to the end of the last record. */
uint64_t manifest_bytes(const struct manifest *manifest);

/* Reads CURRENT and replays its manifest to the end into a version of `set`;
 * one reference, the caller's.  `out_number`: the manifest's.  -ENOENT: there
 * is no CURRENT.  -EUCLEAN: damage.  -EPROTONOSUPPORT: made by a newer version.
 */
int manifest_load(struct env_dir *dir, const struct reporter *reporter,
		  struct table_set *set, uint64_t *out_number,
		  struct version **out);

/* The same from manifest `number`, whatever CURRENT says: to save what can be saved. */
int manifest_load_number(struct env_dir *dir, const struct reporter *reporter,
			 struct table_set *set, uint64_t number,
			 struct version **out);

/* Writes the file name of manifest `number`, at most ENV_NAME_MAX bytes and a
 * zero. */
void manifest_file_name(uint64_t number, char *out);

#endif
