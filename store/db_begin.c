/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

uint64_t
db_log_capacity(const struct keyfs_store *db)
{
	/* Records are longer than entries in a memtable only by their headers: twice
	 * the memtable, and the largest batch behind it. */
	return (uint64_t)db->options.memtable_bytes * 2 +
	       db->options.memory_bytes / 4 + (UINT64_C(1) << 20);
}

/* The last log that holds records, or 0. */
static uint64_t
last_log(const struct version *version)
{
	size_t i = version->log_count;

	while (i-- > 0)
		if (!version->logs[i].ended || version->logs[i].end > 0)
			return version->logs[i].number;
	return 0;
}

/* The recovered version with the new log in it. */
static int
add_log(struct keyfs_store *db, uint64_t number, struct version **out)
{
	struct version_edit edit;
	const char *why;
	int r;

	version_edit_init(&edit);
	version_edit_add_log(&edit, number);
	/* Nothing was replayed: the old logs are not needed. */
	if (db->sealed_count == 0)
		edit.log_floor = number;
	edit.next_number =
		atomic_load_explicit(&db->next_file, memory_order_relaxed);
	r = version_apply(db->view->version, &edit, &why, out);
	version_edit_fini(&edit);
	if (r == -EUCLEAN)
		return corrupt(&db->reporter, MANIFEST_CURRENT, 0, "%s", why);
	return r;
}

static void
remove_log(struct keyfs_store *db, uint64_t number)
{
	char name[ENV_NAME_MAX + 1];

	wal_file_name(number, name);
	(void)env_unlink(db->dir, name);
}

static int
make_log(struct keyfs_store *db)
{
	uint64_t number;
	int r = db_new_number(db, &number);

	if (r < 0)
		return r;
	r = wal_writer_new(db->dir, number, db_log_capacity(db), &db->log);
	/* No manifest names it: a full disk must not fill up with them. */
	if (r < 0)
		remove_log(db, number);
	return r;
}

static int
begin_log(struct keyfs_store *db, struct version **out)
{
	uint64_t number, last = keyfs_last_seq(db);
	int r = db->log ? 0 : make_log(db);

	if (r < 0)
		return r;
	number = wal_writer_number(db->log);
	r = wal_writer_begin(db->log, last_log(db->view->version), last + 1);
	if (r < 0)
		return r;
	atomic_store_explicit(&db->durable_pos, wal_position(number, 0),
			      memory_order_relaxed);
	return add_log(db, number, out);
}

static int
install(struct keyfs_store *db, struct version *version)
{
	struct view *view = db_view_alloc(db), *before;
	const struct memtable *like =
		db->sealed_count ? db->sealed[db->sealed_count - 1].memtable
				 : NULL;
	int r = view ? memtable_new(db->options.memtable_bytes, like,
				    &db->active)
		     : -ENOMEM;

	if (r < 0) {
		free(view);
		return r;
	}
	mutex_lock(&db->lock);
	before = db_view_install_locked(db, view, db->active, version,
					db->view->flushed_seq);
	db_pressure_update_locked(db);
	mutex_unlock(&db->lock);
	view_unref(before);
	return 0;
}

/* ---- Leftovers ---- */

struct sweep {
	struct keyfs_store *db;
	const struct version *version;
};

static bool
log_is_needed(const struct version *version, uint64_t number)
{
	size_t i;

	for (i = 0; i < version->log_count; i++)
		if (version->logs[i].number == number)
			return !version->logs[i].ended ||
			       version->logs[i].end > 0;
	return false;
}

/* Whether a name is one of ours that no manifest record needs. */
static bool
is_leftover(const struct sweep *sweep, const char *name)
{
	bool manifest = !strncmp(name, "MANIFEST-", 9);
	const char *digits = manifest ? name + 9 : name;
	uint64_t number;
	unsigned level;
	char *suffix;

	if (!strcmp(name, MANIFEST_CURRENT_TMP))
		return true;
	if (*digits < '0' || *digits > '9')
		return false;
	number = strtoull(digits, &suffix, 10);
	if (manifest)
		return !*suffix &&
		       number != manifest_number(sweep->db->manifest);
	if (!strcmp(suffix, ".log"))
		return !log_is_needed(sweep->version, number);
	return !strcmp(suffix, ".sst") &&
	       !version_find(sweep->version, number, &level);
}

/* R12: a crash came between the record that set a damaged table aside and the
 * change of its name. */
static bool
keep_aside(const struct sweep *sweep, const char *name)
{
	const struct damage_list *damages = &sweep->version->damages;
	uint64_t number = strtoull(name, NULL, 10);
	char table[ENV_NAME_MAX + 1], aside[ENV_NAME_MAX + 1];

	table_file_name(number, table);
	if (strcmp(name, table) != 0 || !damage_list_names(damages, number))
		return false;
	table_damaged_name(number, aside);
	(void)env_rename(sweep->db->dir, table, aside);
	return true;
}

static int
sweep_file(void *arg, const char *name)
{
	struct sweep *sweep = arg;

	/* What cannot be removed now is a leftover at the next opening too. */
	if (is_leftover(sweep, name) && !keep_aside(sweep, name))
		(void)env_unlink(sweep->db->dir, name);
	return 0;
}

/* The log and the manifest; *out_version is the caller's, NULL on failure.  Sets *touched
 * if the manifest that names the log may be the live one; it stays set, for the log is
 * the same at a second try. */
static int
begin(struct keyfs_store *db, struct version **out_version, bool *touched)
{
	uint64_t number;
	bool live = false;
	int r = begin_log(db, out_version);

	if (r == 0)
		r = db_new_number(db, &number);
	if (r == 0)
		r = manifest_create(db->dir, &db->reporter, number,
				    *out_version, &live, &db->manifest);
	*touched |= live;
	if (r < 0) {
		version_unref(*out_version);
		*out_version = NULL;
	}
	return r;
}

int
db_begin(struct keyfs_store *db)
{
	struct version *version = NULL;
	struct sweep sweep = { .db = db };
	bool touched = false;
	int r;

	db_reserve_find(db);
	r = begin(db, &version, &touched);
	/* Whoever opens a store on a full disk has come to delete. */
	if (r == -ENOSPC && db_reserve_release_all(db))
		r = begin(db, &version, &touched);
	/* The logs of openings that fail must not pile up. */
	if (r < 0 && db->log && !touched)
		remove_log(db, wal_writer_number(db->log));
	if (r == 0)
		r = install(db, version);
	if (r == 0) {
		sweep.version = version;
		(void)env_dir_list(db->dir, sweep_file, &sweep);
		db_reserve_restore(db);
		db_space_refresh(db);
	}
	version_unref(version);
	return r;
}
