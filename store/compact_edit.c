/* SPDX-License-Identifier: Apache-2.0 */
/* compact_edit.c - from a pick to its merged input, and from the result to an
 * edit; see compact.h. */
#include <config.h>

#include "store/compact.h"

#include <errno.h>
#include <stdlib.h>

#include "store/merge_iter.h"

int
compact_pick_iter(const struct compact_pick *pick, struct damage_list *lost,
		  struct iter **out)
{
	struct table_meta *const *second = pick->inputs + pick->first_count;
	size_t second_count = pick->count - pick->first_count;
	struct iter **children;
	size_t count = 0, i, run = pick->level ? pick->first_count : 1;
	int r = 0;

	children = calloc(pick->first_count + 1, sizeof(struct iter *));
	if (!children)
		return -ENOMEM;
	for (i = 0; i < pick->first_count && !r; i += run) {
		r = version_level_salvage(pick->inputs + i, run, lost,
					  &children[count]);
		count += !r;
	}
	if (!r && second_count) {
		r = version_level_salvage(second, second_count, lost,
					  &children[count]);
		count += !r;
	}
	if (!r)
		r = merge_iter_new(children, count, out);
	while (r && count)
		iter_free(children[--count]);
	free(children);
	return r;
}

void
compact_edit(const struct compact_pick *pick, const struct compact_job *job,
	     struct version_edit *edit)
{
	unsigned output_level = pick ? pick->output_level : 0;
	size_t i;

	for (i = 0; pick && i < pick->count; i++) {
		unsigned level =
			i < pick->first_count ? pick->level : output_level;

		version_edit_delete_table(edit, level, pick->inputs[i]->number);
	}
	if (pick && pick->trivial_move)
		version_edit_add_table(edit, output_level, pick->inputs[0]);
	for (i = 0; job && i < job->output_count; i++)
		version_edit_add_table(edit, output_level, job->outputs[i]);
	for (i = 0; job && i < job->lost.count; i++)
		version_edit_add_damage(edit, job->lost.at[i]);
}

void
compact_retire_inputs(const struct compact_pick *pick,
		      const struct compact_job *job)
{
	size_t i;

	for (i = 0; i < pick->count && !pick->trivial_move; i++)
		if (damage_list_names(&job->lost, pick->inputs[i]->number))
			table_meta_set_aside(pick->inputs[i]);
		else
			table_meta_retire(pick->inputs[i]);
}
