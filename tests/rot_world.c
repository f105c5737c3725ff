/* SPDX-License-Identifier: Apache-2.0 */
/* rot_world.c - see rot_world.h. */
#include <config.h>

#include "tests/rot_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree_repair.h"
#include "store/checksum.h"
#include "store/db.h"
#include "store/manifest_format.h"
#include "store/repair.h"
#include "store/wal_reader.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define CHUNK 16384u
#define ROT_SEED 0x726f74

/* ---- Images ---- */

struct taking {
	struct rot_image *image;
	struct fault_env *disk;
};

static int
take_file(void *arg, const char *name)
{
	struct taking *taking = arg;
	struct rot_file *file;

	if (strncmp(name, ROT_DIR "/", sizeof(ROT_DIR)))
		return 0;
	ck_assert_uint_lt(taking->image->count, ROT_FILES_MAX);
	file = &taking->image->files[taking->image->count++];
	snprintf(file->name, sizeof(file->name), "%s", name);
	ck_assert_int_eq(fault_env_size(taking->disk, name, &file->size), 0);
	file->data = must_alloc(file->size);
	ck_assert_int_eq(fault_env_peek(taking->disk, name, 0, file->data,
					file->size),
			 0);
	return 0;
}

void
rot_image_take(struct rot_image *image, struct fault_env *disk)
{
	struct taking taking = { image, disk };

	memset(image, 0, sizeof(*image));
	ck_assert_int_eq(fault_env_each(disk, take_file, &taking), 0);
}

void
rot_image_fini(struct rot_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->files[i].data);
	image->count = 0;
}

const struct rot_file *
rot_image_find(const struct rot_image *image, const char *name)
{
	for (size_t i = 0; i < image->count; i++)
		if (!strcmp(image->files[i].name, name))
			return &image->files[i];
	return NULL;
}

static void
plant(struct fault_env *disk, const struct rot_file *file)
{
	ck_assert_int_eq(fault_env_plant(disk, file->name, file->data,
					 file->size),
			 0);
}

struct fault_env *
rot_disk_new(const struct rot_image *image)
{
	struct fault_env *disk = fault_env_new(ROT_SEED);
	struct env_dir *dir;

	ck_assert_int_eq(env_dir_open(fault_env(disk), ROT_DIR, ENV_DIR_CREATE,
				      &dir),
			 0);
	env_dir_close(dir);
	for (size_t i = 0; i < image->count; i++)
		plant(disk, &image->files[i]);
	return disk;
}

void
rot_world_mend(struct rot_world *world, size_t file)
{
	plant(world->disk, &world->now.files[file]);
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

/* ---- Building ---- */

static void
note_line(void *arg, enum keyfs_log_level level, const char *line)
{
	struct rot_world *world = arg;

	if (getenv("KEYFS_TEST_LOG"))
		fprintf(stderr, "%s\n", line);
	if (level < KEYFS_LOG_ERROR || !strstr(line, ": damaged at offset "))
		return;
	world->lines++;
	snprintf(world->line, sizeof(world->line), "%s", line);
}

static struct keyfs_options
small_options(struct rot_world *world)
{
	return (struct keyfs_options){ .size = sizeof(struct keyfs_options),
				       .create = true,
				       .commit_interval_ms = 86400000,
				       .memory_bytes = 1 << 20,
				       .memtable_bytes = 64 << 10,
				       .compaction_threads = 1,
				       .block_bytes = 512,
				       .table_bytes = 8 << 10,
				       .level0_tables = 4,
				       .level_ratio = 2,
				       .level_bytes = 8 << 10,
				       .reserve_bytes = 64 << 10,
				       .log = note_line,
				       .log_arg = world };
}

/* Text that hardly compresses. */
static void
write_noise(struct tree *tree, uint64_t ino, uint64_t offset, size_t len,
	    uint64_t seed)
{
	char *text = must_alloc(len + 1);
	uint64_t state = seed + ino;

	for (size_t i = 0; i < len; i++)
		text[i] = (char)('!' + suite_random(&state) % 90);
	kit_write(tree, ino, offset, text);
	free(text);
}

static void
make_files(struct tree *tree, uint64_t dir, const char *prefix, int count,
	   size_t len)
{
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%02d", prefix, i);
		write_noise(tree, kit_create(tree, dir, name), 0, len, 1);
	}
}

static void
rewrite_files(struct tree *tree, uint64_t dir, const char *prefix, int count,
	      size_t len)
{
	char name[32];

	for (int i = 0; i < count; i += 2) {
		snprintf(name, sizeof(name), "%s%02d", prefix, i);
		write_noise(tree, kit_find(tree, dir, name), 0, len, 2);
	}
}

static void
make_odd_ones(struct tree *tree)
{
	struct tree_attr attr;
	uint64_t ino;

	ino = kit_create(tree, TREE_ROOT, "inline");
	kit_write(tree, ino, 0, "a small file");
	ino = kit_create(tree, TREE_ROOT, "chunks");
	write_noise(tree, ino, 0, 2 * CHUNK + 700, 3);
	ino = kit_create(tree, TREE_ROOT, "holes");
	kit_write(tree, ino, 3 * CHUNK + 5, "far behind");
	ck_assert_int_eq(tree_symlink(tree, &kit_user, TREE_ROOT,
				      keyfs_str("symlink"), keyfs_str("chunks"),
				      &attr),
			 0);
	ck_assert_int_eq(tree_mknod(tree, &kit_user, TREE_ROOT,
				    keyfs_str("fifo"), S_IFIFO | 0600, 0,
				    &attr),
			 0);
	ino = kit_find(tree, TREE_ROOT, "inline");
	ck_assert_int_eq(tree_link(tree, &kit_user, ino, TREE_ROOT,
				   keyfs_str("hardlink"), &attr),
			 0);
}

/* An object that is still in use when its last name goes: it stays. */
static bool
in_use(void *arg, uint64_t ino)
{
	(void)arg;
	(void)ino;
	return true;
}

/* The state now, as one that may be found. */
static int
state_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	(void)version;
	model_put(arg, key, value);
	return 0;
}

static void
note_state(struct rot_world *world, struct kv *kv, struct keyfs_store *store)
{
	struct model *state = model_new();
	struct kv_view *view;

	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, keyfs_bytes("\0", 1),
				 (struct keyfs_slice){ 0 }, 0, state_each,
				 state),
			 0);
	kv_view_close(kv, view);
	model_commit(state);
	ck_assert_uint_lt(world->state_count, ROT_STATES_MAX);
	world->seqs[world->state_count] = keyfs_last_seq(store);
	world->states[world->state_count++] = state;
}

static void
build_tables(struct tree *tree, struct keyfs_store *store)
{
	struct keyfs_slice all = { 0 };
	uint64_t dir;

	dir = kit_mkdir(tree, TREE_ROOT, "dir");
	make_files(tree, dir, "f", 24, 300);
	make_odd_ones(tree);
	ck_assert_int_eq(keyfs_compact_range(store, NULL, all, all), 0);
	rewrite_files(tree, dir, "f", 12, 300);
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	kit_unlink(tree, dir, "f07");
	ck_assert_int_eq(keyfs_flush(store), 0);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
}

/* What is in logs at the end: synced, then not. */
static void
build_logs(struct rot_world *world, struct kv *kv, struct tree *tree,
	   struct keyfs_store *store)
{
	uint64_t dir = kit_find(tree, TREE_ROOT, "dir");

	make_files(tree, dir, "g", 4, 200);
	ck_assert_int_eq(tree_sync(tree), 0);
	rot_image_take(&world->older, world->disk);
	rewrite_files(tree, dir, "g", 4, 900);
	kit_rename(tree, dir, "g01", TREE_ROOT, "moved");
	ck_assert_int_eq(tree_sync(tree), 0);
	make_files(tree, dir, "h", 2, 100);
	ck_assert_int_eq(tree_sync(tree), 0);
	note_state(world, kv, store);
	for (int i = 0; i < 3 && !world->closed; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%d", i);
		(void)kit_create(tree, dir, name);
		note_state(world, kv, store);
	}
}

/* One session of the store: opens it, builds, and closes it or lets it die. */
struct session {
	struct keyfs_store *store;
	struct kv *kv;
	struct tree *tree;
};

static void
session_open(struct rot_world *world, struct session *session)
{
	struct tree_options options = { .in_use = in_use };

	ck_assert_int_eq(db_open(fault_env(world->disk), ROT_DIR,
				 &world->options, &session->store),
			 0);
	ck_assert_int_eq(kv_lsm_new(session->store, "/", &world->options,
				    &session->kv),
			 0);
	ck_assert_int_eq(tree_open(session->kv, &options, &session->tree), 0);
}

static void
session_close(struct session *session)
{
	(void)tree_close(session->tree);
	(void)kv_close(session->kv);
}

/* Runs the life of the store and leaves its files in world->now.  A second session
 * leaves what the first had not flushed in its log. */
static void
build(struct rot_world *world)
{
	struct session session;
	struct fault_env *left;

	session_open(world, &session);
	build_tables(session.tree, session.store);
	make_files(session.tree, TREE_ROOT, "first", 3, 150);
	session_close(&session);
	session_open(world, &session);
	build_logs(world, session.kv, session.tree, session.store);
	if (!world->closed)
		fault_env_crash(world->disk);
	session_close(&session);
	left = fault_env_after(world->disk, FAULT_KEEP_ALL, 1);
	rot_image_take(&world->now, left);
	fault_env_free(left);
	fault_env_free(world->disk);
	world->disk = rot_disk_new(&world->now);
}

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

static void note_paths(struct rot_world *world);

void
rot_world_init(struct rot_world *world, bool closed)
{
	memset(world, 0, sizeof(*world));
	world->closed = closed;
	world->options = small_options(world);
	world->disk = fault_env_new(ROT_SEED);
	build(world);
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

		ck_assert_int_eq(db_open(fault_env(world->disk), ROT_DIR,
					 &world->options, &store),
				 0);
		ck_assert_int_eq(kv_lsm_new(store, "/", &world->options, &kv),
				 0);
		model_free(world->states[0]);
		world->state_count = 0;
		note_state(world, kv, store);
		ck_assert_int_eq(kv_close(kv), 0);
	}
	note_paths(world);
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

/* ---- Looking ---- */

static void
wrong(const struct rot_world *world, const char *what, long n)
{
	ck_abort_msg("%s: %s (%ld); last line: %s", world->about, what, n,
		     world->line);
}

/* An error is in order if it says where. */
static void
expect_named(const struct rot_world *world, int r, const char *what)
{
	if (r != -EUCLEAN || world->lines == 0)
		wrong(world, what, r);
}

/* Each key by itself: its value or an error; *bad is set at an error. */
static void
look_gets(struct rot_world *world, struct keyfs_store *store,
	  const struct model *state, const struct model *keys, bool *bad)
{
	struct keyfs_slice want;

	for (size_t i = 0; i < model_count(keys); i++) {
		struct keyfs_slice key = model_key(keys, i);
		bool there = model_get(state, key, &want);
		struct keyfs_value value;
		int r = keyfs_get(store, NULL, NULL, key, 0, &value);

		if (r == -ENOENT && there)
			wrong(world, "a key is silently lost", (long)i);
		if (r == 0 && (!there || value.data.len != want.len ||
			       memcmp(value.data.data, want.data, want.len)))
			wrong(world, "a key has a wrong value", (long)i);
		if (r == 0)
			keyfs_value_release(&value);
		else if (r != -ENOENT)
			expect_named(world, r, "an error of a get");
		*bad |= r < 0 && r != -ENOENT;
	}
}

static void
look_scan(struct rot_world *world, struct keyfs_store *store,
	  const struct model *state, bool forward, bool *bad)
{
	size_t count = model_count(state), i = 0;
	struct keyfs_iter *iter;
	int r;

	ck_assert_int_eq(keyfs_iter_new(store, NULL, NULL, &iter), 0);
	if (forward)
		keyfs_iter_first(iter);
	else
		keyfs_iter_last(iter);
	while (keyfs_iter_valid(iter)) {
		size_t at = forward ? i : count - 1 - i;
		struct keyfs_slice key = keyfs_iter_key(iter);
		struct keyfs_slice value = keyfs_iter_value(iter);

		if (i >= count || key.len != model_key(state, at).len ||
		    memcmp(key.data, model_key(state, at).data, key.len) ||
		    value.len != model_value(state, at).len ||
		    memcmp(value.data, model_value(state, at).data, value.len))
			wrong(world, "a scan shows something wrong", (long)i);
		i++;
		if (forward)
			keyfs_iter_next(iter);
		else
			keyfs_iter_prev(iter);
	}
	r = keyfs_iter_status(iter);
	if (r < 0)
		expect_named(world, r, "an error of a scan");
	else if (i != count)
		wrong(world, "a scan ends early", (long)i);
	*bad |= r < 0;
	keyfs_iter_free(iter);
}

/* The state that was found: by its sequence number, which each has its own. */
static const struct model *
state_found(struct rot_world *world, uint64_t seq, bool may_lose,
	    bool all_synced)
{
	size_t last = world->state_count - 1;

	for (size_t i = 0; i <= last; i++)
		if (world->seqs[i] == seq && (i == last || may_lose))
			return world->states[i];
	/* A prefix that nobody noted: all that can be said is that it is one. */
	if (may_lose && !all_synced && seq < world->seqs[0])
		return NULL;
	wrong(world, "records are silently lost; the last is", (long)seq);
	return NULL;
}

bool
rot_world_look(struct rot_world *world, bool may_lose, bool all_synced)
{
	const struct model *keys = world->states[world->state_count - 1];
	const struct model *state;
	struct keyfs_store *store;
	bool bad = false;
	int r;

	world->lines = 0;
	world->line[0] = '\0';
	r = db_open(fault_env(world->disk), ROT_DIR, &world->options, &store);
	if (r < 0) {
		expect_named(world, r, "an error of opening");
		return true;
	}
	state = state_found(world, keyfs_last_seq(store), may_lose, all_synced);
	if (state) {
		look_gets(world, store, state, keys, &bad);
		look_scan(world, store, state, true, &bad);
		look_scan(world, store, state, false, &bad);
		r = keyfs_verify(store, NULL, NULL);
		if (r < 0)
			expect_named(world, r, "an error of verifying");
		else if (bad)
			wrong(world, "damage is not found by verifying", 0);
		bad |= r < 0;
	}
	ck_assert_int_eq(keyfs_close(store), 0);
	return bad;
}

/* ---- Writing ---- */

static bool
is_notes(const char *name)
{
	return strstr(name, "/LOG") || strstr(name, "/LOCK");
}

static void
expect_unchanged(struct rot_world *world, const struct rot_image *before,
		 const struct rot_image *after)
{
	for (size_t i = 0; i < before->count; i++) {
		const struct rot_file *a = &before->files[i];
		const struct rot_file *b = rot_image_find(after, a->name);

		if (is_notes(a->name))
			continue;
		if (!b || a->size != b->size ||
		    memcmp(a->data, b->data, a->size))
			wrong(world, "a refused opening changed a file",
			      (long)i);
	}
}

void
rot_world_try_write(struct rot_world *world)
{
	struct keyfs_options options = world->options;
	struct rot_image before, after;
	struct keyfs_store *store;
	struct fault_env *disk;
	int r;

	rot_image_take(&before, world->disk);
	disk = rot_disk_new(&before);
	options.read_only = false;
	options.create = true;
	world->lines = 0;
	r = db_open(fault_env(disk), ROT_DIR, &options, &store);
	if (r < 0) {
		expect_named(world, r, "an error of opening for writing");
		rot_image_take(&after, disk);
		expect_unchanged(world, &before, &after);
		rot_image_fini(&after);
	} else {
		r = keyfs_put(store, NULL, keyfs_str("~"), keyfs_str("1"), 0);
		if (r < 0)
			wrong(world, "it opens and takes nothing", r);
		/* A flush or compaction may have met the damage. */
		(void)keyfs_close(store);
	}
	rot_image_fini(&before);
	fault_env_free(disk);
}

/* ---- Repairing ---- */

#define KEPT_DIR ROT_DIR ".damaged-1"
/* How many keys one damaged record of a log may take with it. */
#define RECORD_KEYS_MAX 8u

struct losses {
	struct rot_world *world;
	struct model *lower; /* lower bound to upper bound */
	bool unbounded, whole_log;
	size_t count;
};

static void
note_loss(void *arg, const struct keyfs_loss *loss)
{
	struct losses *losses = arg;

	losses->count++;
	if (!loss->has_keys)
		return;
	if (!loss->lower.len || !loss->upper.len) {
		losses->unbounded = true;
		return;
	}
	model_put(losses->lower, loss->lower, loss->upper);
	model_commit(losses->lower);
}

static int
compare_slices(struct keyfs_slice a, struct keyfs_slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int r = memcmp(a.data, b.data, n);

	return r ? r : (a.len > b.len) - (a.len < b.len);
}

static bool
is_covered(const struct losses *losses, struct keyfs_slice key)
{
	for (size_t i = 0; i < model_count(losses->lower); i++)
		if (compare_slices(model_key(losses->lower, i), key) <= 0 &&
		    compare_slices(key, model_value(losses->lower, i)) <= 0)
			return true;
	return false;
}

/* Whether a key is as in some state that may be found. */
static bool
is_as_known(const struct rot_world *world, struct keyfs_slice key,
	    const struct keyfs_value *value, bool may_lose)
{
	struct keyfs_slice want;

	for (size_t i = may_lose ? 0 : world->state_count - 1;
	     i < world->state_count; i++) {
		bool there = model_get(world->states[i], key, &want);

		if (there == (value != NULL) &&
		    (!there ||
		     (want.len == value->data.len &&
		      !memcmp(want.data, value->data.data, want.len))))
			return true;
	}
	return false;
}

static void
look_at_repaired(struct rot_world *world, struct keyfs_store *store,
		 const struct losses *losses, bool may_lose)
{
	const struct model *keys = world->states[world->state_count - 1];
	size_t missing = 0;

	for (size_t i = 0; i < model_count(keys); i++) {
		struct keyfs_slice key = model_key(keys, i);
		struct keyfs_value value;
		int r = keyfs_get(store, NULL, NULL, key, 0, &value);

		if (r < 0 && r != -ENOENT)
			wrong(world, "a repaired store has a damaged key", r);
		if (!is_as_known(world, key, r ? NULL : &value, may_lose) &&
		    !is_covered(losses, key)) {
			missing++;
			if (!losses->unbounded)
				wrong(world, "an undamaged key is not saved",
				      (long)i);
		}
		if (r == 0)
			keyfs_value_release(&value);
	}
	if (missing > RECORD_KEYS_MAX && !losses->whole_log)
		wrong(world, "more is lost than was damaged", (long)missing);
	if (keyfs_verify(store, NULL, NULL) != 0)
		wrong(world, "the repaired store is damaged", 0);
}

static int
note_problem(void *arg, const char *where, const char *what)
{
	struct rot_world *world = arg;

	snprintf(world->line, sizeof(world->line), "%.200s: %.300s", where,
		 what);
	return 0;
}

/* The tree in the repaired store becomes whole. */
static void
look_at_repaired_tree(struct rot_world *world, struct fault_env *disk)
{
	struct tree_repair_options options = { .problem = note_problem,
					       .arg = world };
	struct keyfs_options writing = world->options;
	struct tree_options tree_options = { .root_uid = 0 };
	struct keyfs_store *store;
	struct tree *tree;
	struct kv *kv;

	writing.read_only = false;
	ck_assert_int_eq(db_open(fault_env(disk), ROT_DIR, &writing, &store),
			 0);
	ck_assert_int_eq(kv_lsm_new(store, "/", &writing, &kv), 0);
	if (tree_repair(kv, &options) != 0 ||
	    tree_open(kv, &tree_options, &tree) != 0)
		wrong(world, "the tree cannot be repaired", 0);
	if (tree_check(tree, note_problem, world) != 0)
		wrong(world, "the repaired tree is not whole", 0);
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(kv_close(kv), 0);
}

/* The damaged files, under the name of the kept directory. */
static void
expect_kept(struct rot_world *world, const struct rot_image *before,
	    struct fault_env *disk)
{
	char name[160];
	uint64_t size;

	for (size_t i = 0; i < before->count; i++) {
		const struct rot_file *file = &before->files[i];
		uint8_t *bytes = must_alloc(file->size);

		snprintf(name, sizeof(name), "%s%s", KEPT_DIR,
			 file->name + sizeof(ROT_DIR) - 1);
		if (fault_env_size(disk, name, &size) < 0 ||
		    size != file->size ||
		    fault_env_peek(disk, name, 0, bytes, size) < 0 ||
		    memcmp(bytes, file->data, size))
			wrong(world, "the damaged store is not kept", (long)i);
		free(bytes);
	}
}

void
rot_world_try_repair(struct rot_world *world, bool may_lose, bool found)
{
	struct losses losses = { .world = world,
				 .lower = model_new(),
				 .whole_log = strstr(world->about, ".log ") &&
					      !strstr(world->about, "bit") };
	struct keyfs_repair_options options = { .size = sizeof(options),
						.lost = note_loss,
						.arg = &losses };
	struct keyfs_store *store;
	struct rot_image before;
	struct fault_env *disk;
	char *kept;
	int r;

	rot_image_take(&before, world->disk);
	disk = rot_disk_new(&before);
	r = repair_store(fault_env(disk), ROT_DIR, &world->options, &options,
			 &kept);
	if (r < 0)
		wrong(world, "it cannot be repaired", r);
	if (found != (losses.count > 0))
		wrong(world, "reading and salvaging disagree on the damage",
		      (long)losses.count);
	ck_assert_str_eq(kept, KEPT_DIR);
	free(kept);
	r = db_open(fault_env(disk), ROT_DIR, &world->options, &store);
	if (r < 0)
		wrong(world, "the repaired store cannot be opened", r);
	look_at_repaired(world, store, &losses, may_lose);
	ck_assert_int_eq(keyfs_close(store), 0);
	look_at_repaired_tree(world, disk);
	expect_kept(world, &before, disk);
	rot_image_fini(&before);
	model_free(losses.lower);
	fault_env_free(disk);
}

/* ---- Through the tree ---- */

static uint64_t
hash_of(uint64_t hash, const void *data, size_t len)
{
	return hash * 31 + checksum_hash(data, len);
}

static int
hash_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	uint64_t *hash = arg;

	*hash = hash_of(*hash, name.data, name.len);
	*hash = hash_of(*hash, &attr->ino, sizeof(attr->ino));
	return 0;
}

static int
look_at_object(struct tree *tree, const struct tree_attr *attr, uint64_t *out)
{
	struct keyfs_slice none = { 0 };
	static char bytes[4 * CHUNK];
	size_t len;
	char *target;
	int r;

	*out = 0;
	if (S_ISDIR(attr->mode))
		return tree_readdir(tree, &kit_user, attr->ino, none, false,
				    hash_each, out);
	if (S_ISLNK(attr->mode)) {
		r = tree_readlink(tree, &kit_user, attr->ino, &target, &len);
		if (r < 0)
			return r;
		*out = hash_of(0, target, len);
		free(target);
		return 0;
	}
	if (!S_ISREG(attr->mode))
		return 0;
	r = tree_read(tree, &kit_user, attr->ino, 0, sizeof(bytes), bytes,
		      &len);
	if (r == 0)
		*out = hash_of(0, bytes, len);
	return r;
}

static int
open_tree(struct rot_world *world, struct kv **out_kv, struct tree **out)
{
	struct tree_options options = { .read_only = true };
	struct keyfs_store *store;
	int r = db_open(fault_env(world->disk), ROT_DIR, &world->options,
			&store);

	if (r < 0)
		return r;
	ck_assert_int_eq(kv_lsm_new(store, "/", &world->options, out_kv), 0);
	r = tree_open(*out_kv, &options, out);
	if (r < 0)
		ck_assert_int_eq(kv_close(*out_kv), 0);
	return r;
}

static void
close_tree(struct kv *kv, struct tree *tree)
{
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
add_path(struct rot_world *world, struct tree *tree, const char *path)
{
	struct rot_path *p = &world->paths[world->path_count];

	ck_assert_uint_lt(world->path_count, ROT_PATHS_MAX);
	snprintf(p->path, sizeof(p->path), "%s", path);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, path, &p->attr), 0);
	ck_assert_int_eq(look_at_object(tree, &p->attr, &p->hash), 0);
	world->path_count++;
}

static void
note_paths(struct rot_world *world)
{
	static const char *const odd[] = { "",       "dir",     "inline",
					   "chunks", "holes",   "symlink",
					   "fifo",   "hardlink" };
	struct tree *tree;
	struct kv *kv;
	char path[32];

	ck_assert_int_eq(open_tree(world, &kv, &tree), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		add_path(world, tree, odd[i]);
	for (int i = 0; i < 24; i++) {
		snprintf(path, sizeof(path), "dir/f%02d", i);
		if (i != 7)
			add_path(world, tree, path);
	}
	close_tree(kv, tree);
}

void
rot_world_look_tree(struct rot_world *world)
{
	struct tree_attr attr;
	struct tree *tree;
	struct kv *kv;
	uint64_t hash;
	int r;

	world->lines = 0;
	r = open_tree(world, &kv, &tree);
	if (r < 0) {
		expect_named(world, r, "an error of opening the tree");
		return;
	}
	for (size_t i = 0; i < world->path_count; i++) {
		const struct rot_path *p = &world->paths[i];

		r = tree_resolve(tree, &kit_user, p->path, &attr);
		if (r == 0 &&
		    (attr.ino != p->attr.ino || attr.size != p->attr.size ||
		     attr.nlink != p->attr.nlink))
			wrong(world, "a path has wrong attributes", (long)i);
		if (r == 0)
			r = look_at_object(tree, &attr, &hash);
		if (r == 0 && hash != p->hash)
			wrong(world, "a path has wrong contents", (long)i);
		if (r < 0)
			expect_named(world, r, "an error of a path");
	}
	close_tree(kv, tree);
}
