/* SPDX-License-Identifier: Apache-2.0 */
/* table_file.c - opens and reads table files; see table_file.h. */
#include <config.h>

#include "store/table_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int
table_file_corrupt(const struct table_file *file, uint64_t offset,
		   const char *why)
{
	return corrupt(file->reporter, file->name, offset, "%s", why);
}

int
table_file_read(const struct table_file *file, uint64_t offset, size_t len,
		bool nowait, void *to, const char **why)
{
	size_t got;
	int r;

	r = env_file_read(file->file, offset, to, len, nowait, &got);
	if (r < 0) {
		if (r != -EAGAIN)
			report(file->reporter, KEYFS_LOG_ERROR,
			       "%s: cannot read %zu bytes at offset %" PRIu64
			       ": %s",
			       file->name, len, offset, strerror(-r));
		return r;
	}
	if (got < len) {
		*why = "the file ends early";
		return -EUCLEAN;
	}
	return 0;
}

/* Whether this version of the program can read that header. */
static int
header_check(const struct table_file *file, const struct table_header *header)
{
	const char *what = "format version";
	uint32_t value = header->version;

	if (header->version == TABLE_VERSION) {
		what = "feature bits";
		value = header->features & ~TABLE_FEATURES;
		if (value == 0) {
			what = "family";
			value = header->family;
			if (value == 0)
				return 0;
		}
	}
	report(file->reporter, KEYFS_LOG_ERROR,
	       "%s: made by a newer version of keyfs: %s %#" PRIx32
	       " is not known here",
	       file->name, what, value);
	return -EPROTONOSUPPORT;
}

static int
file_read_ends(const struct table_file *file, struct table_footer *out,
	       const char **why, uint64_t *at)
{
	uint8_t bytes[TABLE_FOOTER_BYTES];
	struct table_header header;
	int r;

	*at = 0;
	r = table_file_read(file, *at, TABLE_HEADER_BYTES, false, bytes, why);
	if (r < 0)
		return r;
	*why = table_header_decode(bytes, file->number, &header);
	if (*why)
		return -EUCLEAN;
	r = header_check(file, &header);
	if (r < 0)
		return r;
	*at = file->footer_offset;
	r = table_file_read(file, *at, TABLE_FOOTER_BYTES, false, bytes, why);
	if (r < 0)
		return r;
	*why = table_footer_decode(bytes, file->number, *at, out);
	return *why ? -EUCLEAN : 0;
}

int
table_file_check(const struct table_file *file, const char **why, uint64_t *at)
{
	struct table_footer footer;

	return file_read_ends(file, &footer, why, at);
}

static int
file_check_size(const struct table_file *file, uint64_t bytes)
{
	uint64_t size;
	int r = env_file_size(file->file, &size);

	if (r < 0)
		return r;
	if (size != bytes || bytes < TABLE_BYTES_MIN)
		return corrupt(file->reporter, file->name,
			       size < bytes ? size : bytes,
			       "the file has %" PRIu64 " bytes instead of "
			       "%" PRIu64,
			       size, bytes);
	return 0;
}

int
table_file_open(struct env_dir *dir, uint64_t number, uint64_t bytes,
		const struct reporter *reporter, struct table_file *out)
{
	struct table_file file = { .reporter = reporter, .number = number };
	const char *why = NULL;
	uint64_t at;
	int r;

	snprintf(file.name, sizeof(file.name), "%06" PRIu64 ".sst", number);
	r = env_file_open(dir, file.name, ENV_READ, &file.file);
	if (r < 0)
		return r;
	r = file_check_size(&file, bytes);
	file.footer_offset = bytes - TABLE_FOOTER_BYTES;
	if (r == 0)
		r = file_read_ends(&file, &file.footer, &why, &at);
	if (r < 0) {
		if (why)
			r = table_file_corrupt(&file, at, why);
		table_file_close(&file);
		return r;
	}
	*out = file;
	return 0;
}

void
table_file_close(struct table_file *file)
{
	env_file_close(file->file);
	file->file = NULL;
}
