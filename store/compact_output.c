/* SPDX-License-Identifier: Apache-2.0 */
/* compact_output.c - the tables that a merge writes; see compact_output.h. */
#include <config.h>

#include "store/compact_output.h"

#include <errno.h>
#include <stdlib.h>

enum {
	/* A table of the output may overlap so many tables' worth below, once
	 * it has a 64th of its size: entries few and far between must not make
	 * a table each. */
	OVERLAP_TABLES_MAX = 4,
	TINY_SHARE = 64,
	/* A jump over one table below ends a table that has an eighth of its
	 * size; a jump over eight ends any: eight rewritten tables cost more
	 * than one small file. */
	SMALL_SHARE = 8,
	FAR_JUMP = 8,
	/* Every table of level 0 is one more to look into. */
	FLUSH_TABLES_MAX = 4,
};

/* The level whose tables guide the cuts. */
static const struct version_level *
level_below(const struct compact_job *job)
{
	unsigned level = job->output_level + 1;

	if (job->output_level == 0)
		while (level < KEYFS_LEVELS - 1 &&
		       !job->version->levels[level].count)
			level++;
	return level < KEYFS_LEVELS ? &job->version->levels[level] : NULL;
}

void
compact_output_init(struct compact_output *output, struct compact_job *job)
{
	*output = (struct compact_output){ .job = job,
					   .below = level_below(job) };
}

/* ---- Tables ---- */

static int
open_table(struct compact_output *out)
{
	const struct keyfs_options *options = out->job->options;
	struct table_options table = {
		.block_bytes = options->block_bytes,
		.bloom_bits = options->bloom_bits,
		.compress = options->compression != KEYFS_COMPRESSION_NONE,
	};
	char name[ENV_NAME_MAX + 1];
	int r;

	r = out->job->next_number(out->job->next_number_arg, &out->number);
	if (r)
		return r;
	table_file_name(out->number, name);
	r = env_file_open(out->job->set->dir, name,
			  ENV_READ | ENV_WRITE | ENV_CREATE, &out->file);
	if (r)
		return r;
	return table_builder_new(out->file, out->number, &table, &out->builder);
}

/* Makes room for one more output of the job. */
static int
reserve_output(struct compact_job *job)
{
	size_t capacity = job->output_capacity * 2 + 8;
	struct table_meta **grown;

	if (job->output_count < job->output_capacity)
		return 0;
	grown = realloc(job->outputs, capacity * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	job->outputs = grown;
	job->output_capacity = capacity;
	return 0;
}

static void
close_table(struct compact_output *out)
{
	table_builder_free(out->builder);
	env_file_close(out->file);
	out->builder = NULL;
	out->file = NULL;
}

static int
end_table(struct compact_output *out)
{
	struct compact_job *job = out->job;
	struct table_info info;
	struct table_meta *meta;
	int r;

	r = reserve_output(job);
	if (!r)
		r = table_builder_finish(out->builder, &info);
	if (!r)
		r = table_meta_new(job->set, out->number, &info, &meta);
	if (r)
		return r;
	job->outputs[job->output_count++] = meta;
	job->output_bytes += info.file_bytes;
	close_table(out);
	return 0;
}

void
compact_output_abort(struct compact_output *output)
{
	char name[ENV_NAME_MAX + 1];

	if (!output->file)
		return;
	close_table(output);
	table_file_name(output->number, name);
	(void)env_unlink(output->job->set->dir, name);
}

int
compact_output_finish(struct compact_output *output)
{
	int r = output->file ? end_table(output) : 0;

	if (!r && output->job->output_count)
		r = env_dir_sync(output->job->set->dir);
	return r;
}

/* ---- Cutting ---- */

/* What lies below between the last key and the next one. */
struct step {
	size_t jumped;         /* whole tables in between */
	uint64_t bytes;        /* of them, and of the one now entered */
	uint64_t inside_bytes; /* of the one that the next key lies in */
};

static struct step
step_below(struct compact_output *out, struct keyfs_slice key)
{
	const struct version_level *below = out->below;
	struct step step = { 0 };

	while (below && out->cursor < below->count &&
	       key_compare(below->tables[out->cursor]->largest, key) < 0) {
		if (!out->inside) {
			step.jumped++;
			step.bytes += below->tables[out->cursor]->file_bytes;
		}
		out->inside = false;
		out->cursor++;
	}
	if (below && out->cursor < below->count &&
	    key_compare(below->tables[out->cursor]->smallest, key) <= 0) {
		step.inside_bytes = below->tables[out->cursor]->file_bytes;
		if (!out->inside)
			step.bytes += step.inside_bytes;
		out->inside = true;
	}
	return step;
}

static bool
cuts(const struct compact_output *out, const struct step *step)
{
	uint64_t bytes = table_builder_bytes(out->builder);
	uint64_t full = out->job->options->table_bytes;

	if (out->job->output_level == 0 &&
	    out->job->output_count + 1 >= FLUSH_TABLES_MAX)
		return false;
	if (bytes >= full || step->jumped >= FAR_JUMP)
		return true;
	if (step->jumped && bytes >= full / SMALL_SHARE)
		return true;
	return out->job->output_level && bytes >= full / TINY_SHARE &&
	       out->overlap_bytes + step->bytes > OVERLAP_TABLES_MAX * full;
}

/* Before the first entry of a key: ends a table and begins one, as it is due.
 */
static int
begin_key(struct compact_output *out, struct keyfs_slice key)
{
	struct step step = step_below(out, key);
	int r = 0;

	if (out->file && cuts(out, &step))
		r = end_table(out);
	if (r)
		return r;
	if (out->file) {
		out->overlap_bytes += step.bytes;
		return 0;
	}
	out->overlap_bytes = step.inside_bytes;
	return open_table(out);
}

int
compact_output_add(struct compact_output *output, const struct entry *entry,
		   bool new_key)
{
	if (new_key) {
		int r = begin_key(output, entry->key);

		if (r)
			return r;
	}
	table_builder_add(output->builder, entry);
	return 0;
}
