/* SPDX-License-Identifier: Apache-2.0 */
/* rot_world.c - see rot_world.h. */
#include <config.h>

#include "tests/rot_world.h"

#include <stdlib.h>
#include <string.h>

#include "store/db.h"
#include "store/manifest_format.h"
#include "store/wal_reader.h"
#include "tests/rot_impl.h"
#include "tests/suite.h"

/* ---- Which bytes are live ---- */

/* Past the last batch of a log; *out_marked: past the last one that is known to be
 * durable; *out_last: where the last one begins. */
static uint64_t
log_live(struct rot_world *world, uint64_t number, uint64_t *out_marked,
	 uint64_t *out_last)
{
	struct keyfs_slice payload;
	struct wal_reader *reader;
	struct wal_record record;
	struct wal_header header;
	struct env_dir *dir;
	uint64_t end = 0, at = WAL_HEADER_BYTES;

	*out_marked = *out_last = 0;
	ck_assert_int_eq(env_dir_open(fault_env(world->disk), ROT_DIR, 0, &dir),
			 0);
	ck_assert_int_eq(wal_reader_open(dir, number, &reader), 0);
	if (!wal_reader_header(reader, &header))
		while (!wal_reader_next(reader, &record, &payload)) {
			if (wal_position_number(record.durable) == number)
				*out_marked =
					wal_position_offset(record.durable);
			if (record.type == WAL_BATCH) {
				end = wal_reader_offset(reader);
				*out_last = at;
			}
			at = wal_reader_offset(reader);
		}
	wal_reader_close(reader);
	env_dir_close(dir);
	return end;
}

/* Past the last record; a mark of 16 bytes follows it. */
static uint64_t
manifest_live(const struct rot_file *file)
{
	uint64_t end = file->size;

	while (end > 0 && !file->data[end - 1])
		end--;
	end = (end + 7) / 8 * 8;
	return end - MANIFEST_FRAME_BYTES;
}

static void
find_live(struct rot_world *world, struct rot_file *file)
{
	const char *name = file->name + sizeof(ROT_DIR);
	uint64_t marked, last;

	if (strstr(name, ".sst") || !strcmp(name, "CURRENT")) {
		file->live = file->size;
	} else if (!strncmp(name, "MANIFEST-", 9)) {
		file->live = manifest_live(file);
	} else if (strstr(name, ".log")) {
		file->live = log_live(world, strtoull(name, NULL, 10), &marked,
				      &last);
	}
}

/* Of the logs with records all but the last were ended. */
static void
find_tail(struct rot_world *world)
{
	struct rot_file *tail = NULL;

	for (size_t i = 0; i < world->now.count; i++) {
		struct rot_file *file = &world->now.files[i];

		if (strstr(file->name, ".log") && file->live &&
		    (!tail || strcmp(file->name, tail->name) > 0))
			tail = file;
	}
	ck_assert_ptr_nonnull(tail);
	(void)log_live(world, strtoull(tail->name + sizeof(ROT_DIR), NULL, 10),
		       &world->tail, &world->tail_last);
	tail->live = world->tail;
	world->tail_log = tail;
}

/* ---- The whole ---- */

int
rot_kv_open(struct fault_env *disk, const struct keyfs_options *options,
	    struct keyfs_store **out_store, struct kv **out)
{
	int r = db_open(fault_env(disk), ROT_DIR, options, out_store);

	if (r == 0)
		ck_assert_int_eq(kv_lsm_new(*out_store, "/", options, out), 0);
	return r;
}

void
rot_world_init(struct rot_world *world, bool closed)
{
	memset(world, 0, sizeof(*world));
	world->closed = closed;
	world->options = rot_options(world);
	world->disk = fault_env_new(ROT_SEED);
	rot_build(world);
	for (size_t i = 0; i < world->now.count; i++)
		find_live(world, &world->now.files[i]);
	if (!closed)
		find_tail(world);
	world->options.create = false;
	world->options.read_only = true;
	if (closed) {
		/* Closing stores the totals. */
		struct keyfs_store *store;
		struct kv *kv;

		ck_assert_int_eq(rot_kv_open(world->disk, &world->options,
					     &store, &kv),
				 0);
		model_free(world->states[0]);
		world->state_count = 0;
		rot_note_state(world, kv, store);
		ck_assert_int_eq(kv_close(kv), 0);
	}
	rot_note_paths(world);
}

void
rot_world_fini(struct rot_world *world)
{
	fault_env_free(world->disk);
	rot_image_fini(&world->now);
	rot_image_fini(&world->older);
	for (size_t i = 0; i < world->state_count; i++)
		model_free(world->states[i]);
}

/* ---- Mending ---- */

void
rot_world_mend(struct rot_world *world, size_t file)
{
	rot_file_plant(world->disk, &world->now.files[file]);
}

static int
remove_stranger(void *arg, const char *name)
{
	struct rot_world *world = arg;

	if (!rot_image_find(&world->now, name))
		ck_assert_int_eq(fault_env_remove(world->disk, name), 0);
	return 0;
}

void
rot_world_mend_all(struct rot_world *world)
{
	ck_assert_int_eq(fault_env_each(world->disk, remove_stranger, world),
			 0);
	for (size_t i = 0; i < world->now.count; i++)
		rot_world_mend(world, i);
}
