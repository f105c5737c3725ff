/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.c - writes the durable record of which tables and logs are live; see
 * manifest.h.  manifest_load.c reads it. */
#include <config.h>

#include "store/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/checksum.h"
#include "store/manifest_format.h"

/* Room is made in such steps. */
enum { ROOM_BYTES = 64 << 10 };

struct manifest {
	/* Constant. */
	struct env_dir *dir;             /* borrowed */
	const struct reporter *reporter; /* borrowed */

	uint64_t number;
	uint32_t features;
	struct env_file *file; /* owned */
	uint64_t end;          /* past the last record */
	uint64_t room;         /* the file's size where room was made */
	bool no_room_ahead;    /* the filesystem cannot promise any */
	int error;             /* what poisoned it */
};

void
manifest_file_name(uint64_t number, char *out)
{
	(void)snprintf(out, ENV_NAME_MAX + 1, MANIFEST_PREFIX "%06" PRIu64,
		       number);
}

uint64_t
manifest_number(const struct manifest *manifest)
{
	return manifest->number;
}

uint64_t
manifest_bytes(const struct manifest *manifest)
{
	return manifest->end;
}

bool
manifest_takes(const struct manifest *manifest, const struct version_edit *edit)
{
	return !edit->damages.count ||
	       manifest->features & MANIFEST_FEATURE_DAMAGE;
}

int
manifest_error(const struct manifest *manifest)
{
	return manifest->error;
}

void
manifest_close(struct manifest *manifest)
{
	if (!manifest)
		return;
	env_file_close(manifest->file);
	free(manifest);
}

/* ---- Records ---- */

static void
header_encode(uint64_t number, uint32_t features, uint8_t *out)
{
	memset(out, 0, MANIFEST_HEADER_BYTES);
	memcpy(out, MANIFEST_MAGIC, 8);
	put_le32(out + 8, MANIFEST_VERSION);
	put_le32(out + 12, features);
	put_le64(out + 16, number);
	put_le32(out + 24, KEYFS_LEVELS);
	put_le32(out + 28, KEYFS_KEY_MAX);
	put_le64(out + 32, KEYFS_VALUE_MAX);
	put_le64(out + 56, checksum(out, 56, number, 0));
}

/* Puts the frame around a payload, for the place `offset`; of 0 bytes: a mark.
 * `out` is zeroed and holds manifest_record_bytes(). */
static void
record_encode(const uint8_t *payload, size_t len, uint64_t number,
	      uint64_t offset, uint8_t *out)
{
	put_le32(out + 8, (uint32_t)len);
	if (len)
		memcpy(out + MANIFEST_FRAME_BYTES, payload, len);
	put_le64(out, checksum(out + 8, manifest_record_bytes(len) - 8, number,
			       offset));
}

/* Encodes an edit into a record, which the caller frees; NULL with 0 bytes if
 * it is empty. */
static int
edit_encode(const struct manifest *m, const struct version_edit *edit,
	    uint8_t **out, size_t *out_bytes)
{
	uint8_t *payload, *record = NULL;
	size_t len, bytes = 0;
	int r;

	r = version_edit_encode(edit, &payload, &len);
	if (r)
		return r;
	if (len > MANIFEST_RECORD_MAX) {
		r = -EFBIG;
	} else if (len) {
		bytes = manifest_record_bytes(len);
		record = calloc(1, bytes);
		if (!record)
			r = -ENOMEM;
		else
			record_encode(payload, len, m->number, m->end, record);
	}
	free(payload);
	*out = record;
	*out_bytes = bytes;
	return r;
}

/* Makes sure that `bytes` fit behind the end.  -ENOSPC and others: nothing that
 * counts was changed; zeros behind the end are allowed. */
static int
make_room(struct manifest *m, size_t bytes)
{
	uint64_t want = m->end + bytes;
	int r;

	if (want <= m->room || m->no_room_ahead)
		return 0;
	want = (want + ROOM_BYTES - 1) / ROOM_BYTES * ROOM_BYTES;
	r = env_file_allocate(m->file, m->room, want - m->room);
	if (r == -EOPNOTSUPP) {
		m->no_room_ahead = true;
		return 0;
	}
	if (!r)
		m->room = want;
	return r;
}

/* Says that what lies before it was synced.  Not synced itself: it need not be
 * there: its failure may be passed over. */
static int
write_mark(struct manifest *m)
{
	uint8_t mark[MANIFEST_FRAME_BYTES] = { 0 };

	record_encode(NULL, 0, m->number, m->end, mark);
	return env_file_write(m->file, m->end, mark, sizeof(mark));
}

/* What is on disk is unknown from here on.  Not -ENOSPC and not -ENOMEM: they say
 * that nothing was written. */
static int
poison(struct manifest *m, int error)
{
	m->error = error == -ENOSPC || error == -ENOMEM ? -EIO : error;
	return m->error;
}

int
manifest_append(struct manifest *manifest, const struct version_edit *edit)
{
	uint8_t *record;
	size_t bytes;
	int r;

	if (manifest->error)
		return manifest->error;
	r = edit_encode(manifest, edit, &record, &bytes);
	if (r || !bytes)
		return r;
	r = make_room(manifest, bytes + MANIFEST_FRAME_BYTES);
	if (r) {
		free(record);
		return r;
	}
	r = env_file_write(manifest->file, manifest->end, record, bytes);
	free(record);
	/* Where no room could be made ahead.  The part that was written could lack
	 * only the zeros at its end, and be a record: the mark that stood there
	 * takes its place again. */
	if (r == -ENOSPC && !write_mark(manifest))
		return r;
	if (!r)
		r = env_file_sync(manifest->file);
	if (r)
		return poison(manifest, r);
	manifest->end += bytes;
	(void)write_mark(manifest);
	return 0;
}

/* ---- A new file ---- */

/* Makes the file, with header and whole state, durable. */
static int
write_file(struct manifest *m, const struct version *version)
{
	uint8_t header[MANIFEST_HEADER_BYTES];
	struct version_edit edit;
	int r;

	m->features = version->damages.count ? MANIFEST_FEATURE_DAMAGE : 0;
	header_encode(m->number, m->features, header);
	version_edit_init(&edit);
	version_edit_snapshot(&edit, version);
	r = make_room(m, sizeof(header));
	if (!r)
		r = env_file_write(m->file, 0, header, sizeof(header));
	m->end = sizeof(header);
	if (!r)
		r = manifest_append(m, &edit);
	version_edit_fini(&edit);
	return r ? r : env_dir_sync(m->dir);
}

/* Opens and fills file `number`; on failure it is removed again. */
static int
make_file(struct env_dir *dir, const struct reporter *reporter, uint64_t number,
	  const struct version *version, struct manifest **out)
{
	struct manifest *m = calloc(1, sizeof(*m));
	char name[ENV_NAME_MAX + 1];
	int r;

	if (!m)
		return -ENOMEM;
	m->dir = dir;
	m->reporter = reporter;
	m->number = number;
	manifest_file_name(number, name);
	r = env_file_open(dir, name, ENV_WRITE | ENV_READ | ENV_CREATE,
			  &m->file);
	if (!r) {
		r = write_file(m, version);
		if (r)
			(void)env_unlink(dir, name);
	}
	if (r) {
		manifest_close(m);
		return r;
	}
	*out = m;
	return 0;
}

static void
remove_file(struct manifest *m)
{
	char name[ENV_NAME_MAX + 1];

	manifest_file_name(m->number, name);
	(void)env_unlink(m->dir, name);
	manifest_close(m);
}

/* Writes CURRENT.tmp, durable but for its name. */
static int
write_current_tmp(struct env_dir *dir, uint64_t number)
{
	char line[MANIFEST_CURRENT_MAX];
	struct env_file *file;
	int len = manifest_current_encode(number, line);
	int r;

	r = env_unlink(dir, MANIFEST_CURRENT_TMP);
	if (r && r != -ENOENT)
		return r;
	r = env_file_open(dir, MANIFEST_CURRENT_TMP, ENV_WRITE | ENV_CREATE,
			  &file);
	if (r)
		return r;
	r = env_file_write(file, 0, line, (size_t)len);
	if (!r)
		r = env_file_sync(file);
	env_file_close(file);
	return r;
}

/* Makes a new file the live one.  *out_touched: CURRENT may have changed. */
static int
make_current(struct manifest *m, bool *out_touched)
{
	int r = write_current_tmp(m->dir, m->number);

	*out_touched = false;
	if (r)
		return r;
	*out_touched = true;
	r = env_rename(m->dir, MANIFEST_CURRENT_TMP, MANIFEST_CURRENT);
	return r ? r : env_dir_sync(m->dir);
}

int
manifest_create(struct env_dir *dir, const struct reporter *reporter,
		uint64_t number, const struct version *version,
		bool *out_touched, struct manifest **out)
{
	struct manifest *m = NULL;
	bool touched = false;
	int r;

	r = make_file(dir, reporter, number, version, &m);
	if (!r)
		r = make_current(m, &touched);
	if (out_touched)
		*out_touched = touched;
	if (!r) {
		*out = m;
		return 0;
	}
	/* What make_file() could not make it has removed itself. */
	if (touched)
		manifest_close(m);
	else if (m)
		remove_file(m);
	return r;
}

int
manifest_renew(struct manifest *manifest, uint64_t number,
	       const struct version *version)
{
	struct manifest *m;
	bool touched;
	int r;

	if (manifest->error)
		return manifest->error;
	r = make_file(manifest->dir, manifest->reporter, number, version, &m);
	if (r)
		return r;
	r = make_current(m, &touched);
	if (!r) {
		struct manifest old = *manifest;

		*manifest = *m;
		*m = old;
		manifest_close(m);
		return 0;
	}
	if (!touched) {
		remove_file(m);
		return r;
	}
	manifest_close(m);
	return poison(manifest, r);
}
