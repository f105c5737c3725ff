/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_load.c - replays the live manifest; see manifest.h. */
#include <config.h>

#include "store/manifest.h"

#include <errno.h>
#include <stdlib.h>

#include "store/manifest_format.h"

struct load {
	struct env_dir *dir;
	const struct reporter *reporter;
	struct table_set *set;

	uint64_t number;
	char name[ENV_NAME_MAX + 1];
	uint8_t *bytes; /* the whole file; owned */
	uint64_t len;
	struct version *version; /* so far */
};

/* Reads a file of at most `max` bytes into memory of its own. */
static int
read_file(struct load *load, const char *name, uint64_t max, uint8_t **out,
	  uint64_t *out_len)
{
	struct env_file *file;
	uint8_t *bytes = NULL;
	size_t got = 0;
	uint64_t len;
	int r;

	r = env_file_open(load->dir, name, ENV_READ, &file);
	if (r)
		return r;
	r = env_file_size(file, &len);
	if (!r && len > max)
		r = corrupt(load->reporter, name, max, "the file is too long");
	if (!r) {
		bytes = malloc(len + 1);
		r = bytes ? env_file_read(file, 0, bytes, len, false, &got)
			  : -ENOMEM;
	}
	env_file_close(file);
	if (r) {
		free(bytes);
		return r;
	}
	*out = bytes;
	*out_len = got;
	return 0;
}

/* ---- CURRENT ---- */

/* The number is found by reading it and writing the line that it would give. */
static int
load_current(struct load *load)
{
	char want[MANIFEST_CURRENT_MAX];
	uint8_t *line;
	uint64_t len;
	int r;

	r = read_file(load, MANIFEST_CURRENT, MANIFEST_CURRENT_MAX - 1, &line,
		      &len);
	if (r)
		return r;
	line[len] = '\0';
	if (len > strlen(MANIFEST_PREFIX))
		load->number = strtoull((char *)line + strlen(MANIFEST_PREFIX),
					NULL, 10);
	manifest_current_encode(load->number, want);
	if (strlen(want) != len || memcmp(line, want, len))
		r = corrupt(load->reporter, MANIFEST_CURRENT, 0,
			    "it does not name a manifest");
	free(line);
	manifest_file_name(load->number, load->name);
	return r;
}

/* ---- The file ---- */

static int
too_new(struct load *load, const char *what, uint64_t value)
{
	report(load->reporter, KEYFS_LOG_ERROR,
	       "%s: made by a newer version of keyfs: %s %" PRIu64, load->name,
	       what, value);
	return -EPROTONOSUPPORT;
}

static int
check_header(struct load *load)
{
	const uint8_t *h = load->bytes;

	if (load->len < MANIFEST_HEADER_BYTES)
		return corrupt(load->reporter, load->name, load->len,
			       "the header is cut off");
	if (memcmp(h, MANIFEST_MAGIC, 8))
		return corrupt(load->reporter, load->name, 0,
			       "this is not a manifest");
	if (!checksum_fits(get_le64(h + 56), checksum(h, 56, load->number, 0)))
		return corrupt(load->reporter, load->name, 0,
			       "the header does not match its checksum");
	if (get_le32(h + 8) != MANIFEST_VERSION)
		return too_new(load, "format version", get_le32(h + 8));
	if (get_le32(h + 12) & ~MANIFEST_FEATURES)
		return too_new(load, "feature bits",
			       get_le32(h + 12) & ~MANIFEST_FEATURES);
	if (get_le64(h + 16) != load->number)
		return corrupt(load->reporter, load->name, 16,
			       "it carries another file's number");
	if (get_le32(h + 24) > KEYFS_LEVELS)
		return too_new(load, "number of levels", get_le32(h + 24));
	if (get_le32(h + 28) > KEYFS_KEY_MAX)
		return too_new(load, "longest key", get_le32(h + 28));
	if (get_le64(h + 32) > KEYFS_VALUE_MAX)
		return too_new(load, "longest value", get_le64(h + 32));
	return 0;
}

/* The bytes of the good record or mark at `offset`, 0 if there is none. */
static size_t
record_at(const struct load *load, uint64_t offset,
	  struct keyfs_slice *out_payload)
{
	const uint8_t *record = load->bytes + offset;
	uint64_t left = load->len - offset;
	uint32_t payload;
	size_t bytes;

	if (left < MANIFEST_FRAME_BYTES)
		return 0;
	payload = get_le32(record + 8);
	if (payload > MANIFEST_RECORD_MAX || get_le32(record + 12) ||
	    manifest_record_bytes(payload) > left)
		return 0;
	bytes = manifest_record_bytes(payload);
	if (!checksum_fits(get_le64(record), checksum(record + 8, bytes - 8,
						      load->number, offset)))
		return 0;
	*out_payload = keyfs_bytes(record + MANIFEST_FRAME_BYTES, payload);
	return bytes;
}

/* Decodes one edit and applies it. */
static int
replay(struct load *load, uint64_t offset, struct keyfs_slice payload)
{
	struct version *next;
	struct version_edit edit;
	const char *why = "";
	int r;

	version_edit_init(&edit);
	r = version_edit_decode(payload, load->set, &edit, &why);
	if (!r)
		r = version_apply(load->version, &edit, &why, &next);
	version_edit_fini(&edit);
	if (r == -EUCLEAN)
		return corrupt(load->reporter, load->name, offset, "%s", why);
	if (r)
		return r;
	version_unref(load->version);
	load->version = next;
	return 0;
}

/* Something at `offset` is no record.  Zeros to the end: room made ahead.  Else
 * the tail of a crash, or damage if a good record follows. */
static int
check_tail(struct load *load, uint64_t offset)
{
	struct keyfs_slice payload;
	uint64_t at;

	for (at = offset; at < load->len && !load->bytes[at]; at++)
		;
	if (at == load->len)
		return 0;
	for (at = offset + MANIFEST_ALIGN; at < load->len; at += MANIFEST_ALIGN)
		if (record_at(load, at, &payload))
			return corrupt(load->reporter, load->name, offset,
				       "a record does not match its checksum, "
				       "and good ones follow");
	report(load->reporter, KEYFS_LOG_WARNING,
	       "%s: dropped the unfinished record at offset %" PRIu64
	       ", %" PRIu64 " bytes",
	       load->name, offset, load->len - offset);
	return 0;
}

static int
replay_all(struct load *load)
{
	uint64_t offset = MANIFEST_HEADER_BYTES;
	struct keyfs_slice payload;
	size_t bytes;
	int r;

	while ((bytes = record_at(load, offset, &payload)) && payload.len) {
		r = replay(load, offset, payload);
		if (r)
			return r;
		offset += bytes;
	}
	/* CURRENT named the file only after that record was durable. */
	if (offset == MANIFEST_HEADER_BYTES)
		return corrupt(load->reporter, load->name, offset,
			       "the first record does not match its checksum");
	return check_tail(load, offset + bytes); /* behind the mark */
}

static int
load_file(struct load *load)
{
	int r;

	r = read_file(load, load->name, MANIFEST_FILE_MAX, &load->bytes,
		      &load->len);
	if (r == -ENOENT)
		return corrupt(load->reporter, MANIFEST_CURRENT, 0,
			       "it names %s, which is not there", load->name);
	if (!r)
		r = version_new(load->set, &load->version);
	if (!r)
		r = check_header(load);
	return r ? r : replay_all(load);
}

static int
finish(struct load *load, int r, struct version **out)
{
	free(load->bytes);
	if (r)
		version_unref(load->version);
	else
		*out = load->version;
	return r;
}

int
manifest_load(struct env_dir *dir, const struct reporter *reporter,
	      struct table_set *set, uint64_t *out_number, struct version **out)
{
	struct load load = { .dir = dir, .reporter = reporter, .set = set };
	int r;

	r = load_current(&load);
	if (!r)
		r = load_file(&load);
	r = finish(&load, r, out);
	if (!r)
		*out_number = load.number;
	return r;
}

int
manifest_load_number(struct env_dir *dir, const struct reporter *reporter,
		     struct table_set *set, uint64_t number,
		     struct version **out)
{
	struct load load = {
		.dir = dir, .reporter = reporter, .set = set, .number = number
	};

	manifest_file_name(number, load.name);
	return finish(&load, load_file(&load), out);
}
