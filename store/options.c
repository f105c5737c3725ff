/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - fills in defaults and checks limits; see options.h. */
#include <config.h>

#include "store/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* One number to check: the names are those of struct keyfs_options, so that the
 * sentence can be looked up in store.h. */
struct limit {
	const char *name;
	uint64_t value, least, most;
};

const char *
keyfs_version(void)
{
	return PACKAGE_VERSION;
}

/* Reads as much of `given` as both sides know; members that an older program
 * does not have stay zero, which means their default. */
static int
options_copy(const struct keyfs_options *given, struct keyfs_options *out,
	     char *why, size_t why_size)
{
	size_t size;

	memset(out, 0, sizeof(*out));
	if (given != NULL) {
		if (given->size < sizeof(given->size)) {
			snprintf(why, why_size,
				 "size is %zu; set it to "
				 "sizeof(struct keyfs_options)",
				 given->size);
			return -EINVAL;
		}
		size = given->size < sizeof(*out) ? given->size : sizeof(*out);
		memcpy(out, given, size);
	}
	out->size = sizeof(*out);
	return 0;
}

static void
default_size(size_t *value, uint64_t when_zero)
{
	if (*value == 0)
		*value = (size_t)when_zero;
}

static void
default_u32(uint32_t *value, uint64_t when_zero)
{
	if (*value == 0)
		*value = (uint32_t)when_zero;
}

static void
options_default(struct keyfs_options *o)
{
	default_u32(&o->commit_interval_ms, OPTIONS_COMMIT_INTERVAL_MS);
	default_size(&o->memory_bytes, OPTIONS_MEMORY);
	default_size(&o->memtable_bytes,
		     o->memory_bytes / OPTIONS_MEMTABLE_SHARE);
	default_u32(&o->compaction_threads, OPTIONS_COMPACTION_THREADS);
	default_u32(&o->block_bytes, OPTIONS_BLOCK);
	default_u32(&o->bloom_bits, OPTIONS_BLOOM_BITS);
	default_size(&o->table_bytes, OPTIONS_TABLE);
	default_u32(&o->level0_tables, OPTIONS_LEVEL0_TABLES);
	default_u32(&o->level_ratio, OPTIONS_LEVEL_RATIO);
	default_size(&o->level_bytes, OPTIONS_LEVEL);
	default_size(&o->reserve_bytes, OPTIONS_RESERVE);
	default_size(&o->scrub_bytes_per_second, OPTIONS_SCRUB_RATE);
	default_u32(&o->scrub_interval_s, OPTIONS_SCRUB_INTERVAL_S);
	if (o->compression == KEYFS_COMPRESSION_DEFAULT)
		o->compression = KEYFS_COMPRESSION_LZ4;
	if (o->must_create)
		o->create = true;
}

static int
options_check_numbers(const struct keyfs_options *o, char *why, size_t why_size)
{
	const struct limit limits[] = {
		{ "label's length", o->label == NULL ? 0 : strlen(o->label), 0,
		  OPTIONS_LABEL_MAX },
		{ "memory_bytes", o->memory_bytes, OPTIONS_MEMORY_MIN,
		  OPTIONS_MEMORY_MAX },
		{ "memtable_bytes", o->memtable_bytes, OPTIONS_MEMTABLE_MIN,
		  o->memory_bytes / OPTIONS_MEMTABLE_MAX_SHARE },
		{ "compaction_threads", o->compaction_threads, 1,
		  OPTIONS_COMPACTION_THREADS_MAX },
		{ "block_bytes", o->block_bytes, OPTIONS_BLOCK_MIN,
		  OPTIONS_BLOCK_MAX },
		{ "bloom_bits", o->bloom_bits, 1, OPTIONS_BLOOM_BITS_MAX },
		{ "table_bytes", o->table_bytes, OPTIONS_TABLE_MIN,
		  OPTIONS_TABLE_MAX },
		{ "level0_tables", o->level0_tables, 1,
		  OPTIONS_LEVEL0_TABLES_MAX },
		{ "level_ratio", o->level_ratio, OPTIONS_LEVEL_RATIO_MIN,
		  OPTIONS_LEVEL_RATIO_MAX },
		{ "level_bytes", o->level_bytes, OPTIONS_LEVEL_MIN,
		  OPTIONS_LEVEL_MAX },
		{ "compression", (uint64_t)o->compression,
		  KEYFS_COMPRESSION_LZ4, KEYFS_COMPRESSION_NONE },
		{ "reserve_bytes", o->reserve_bytes, 1, OPTIONS_RESERVE_MAX },
		{ "scrub_bytes_per_second", o->scrub_bytes_per_second,
		  OPTIONS_SCRUB_RATE_MIN, KEYFS_SCRUB_OFF },
	};
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct limit *l = &limits[i];

		if (l->value >= l->least && l->value <= l->most)
			continue;
		snprintf(why, why_size,
			 "%s is %" PRIu64 "; it must be from %" PRIu64
			 " to %" PRIu64,
			 l->name, l->value, l->least, l->most);
		return -EINVAL;
	}
	return 0;
}

static int
options_check_sense(const struct keyfs_options *o, char *why, size_t why_size)
{
	if (o->read_only && o->create) {
		snprintf(why, why_size,
			 "read_only is set and so is %s; a store cannot be "
			 "made without writing",
			 o->must_create ? "must_create" : "create");
		return -EINVAL;
	}
	if (o->label != NULL && strchr(o->label, '\n') != NULL) {
		snprintf(why, why_size,
			 "label holds a line break; it must be one line");
		return -EINVAL;
	}
	return 0;
}

int
options_resolve(const struct keyfs_options *given, struct keyfs_options *out,
		char *why, size_t why_size)
{
	struct keyfs_options o;
	int r;

	r = options_copy(given, &o, why, why_size);
	if (r < 0)
		return r;
	options_default(&o);
	r = options_check_numbers(&o, why, why_size);
	if (r < 0)
		return r;
	r = options_check_sense(&o, why, why_size);
	if (r < 0)
		return r;
	*out = o;
	return 0;
}
