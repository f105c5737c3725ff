/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "store/db.h"

/* A manifest that has grown past this is written anew. */
#define MANIFEST_BYTES_MAX (UINT64_C(4) << 20)

/* Removes the logs that `from` needed and `to` does not. */
static void
remove_logs(struct keyfs_store *db, const struct version *from,
	    const struct version *to)
{
	char name[ENV_NAME_MAX + 1];
	size_t i;

	for (i = 0; i < from->log_count; i++) {
		if (from->logs[i].number >= to->log_floor)
			continue;
		wal_file_name(from->logs[i].number, name);
		/* A leftover is removed at the next opening. */
		(void)env_unlink(db->dir, name);
	}
}

static void
remove_manifest(struct keyfs_store *db, uint64_t number)
{
	char name[ENV_NAME_MAX + 1];

	manifest_file_name(number, name);
	(void)env_unlink(db->dir, name);
}

/* Starts a new manifest when the old one has grown (R8).  If it cannot, the old one
 * goes on, or is poisoned: what was appended to it stands in both cases. */
static void
renew_manifest(struct keyfs_store *db, const struct version *version)
	REQUIRES(&db->manifest_lock)
{
	uint64_t old = manifest_number(db->manifest), number;
	int r;

	if (manifest_bytes(db->manifest) < MANIFEST_BYTES_MAX)
		return;
	r = db_new_number(db, &number);
	if (r == 0)
		r = manifest_renew(db->manifest, number, version);
	if (r < 0)
		return;
	remove_manifest(db, old);
}

/* Lets go of the oldest sealed memtables.  Memory and log stay for the moment: the
 * flush that wrote them holds both. */
static void
drop_sealed_locked(struct keyfs_store *db, size_t gone) REQUIRES(&db->lock)
{
	size_t i;

	for (i = 0; i < gone; i++) {
		memtable_unref(db->sealed[i].memtable);
		wal_writer_unref(db->sealed[i].log);
	}
	db->sealed_count -= gone;
	for (i = 0; i < db->sealed_count; i++)
		db->sealed[i] = db->sealed[i + gone];
}

static void
swap_view(struct keyfs_store *db, struct view *view, struct version *version,
	  size_t sealed_gone)
{
	struct memtable *active = NULL;
	struct view *before;

	mutex_lock(&db->lock);
	if (db->view->memtable_count > db->sealed_count)
		active = memtable_ref(db->view->memtables[0]);
	drop_sealed_locked(db, sealed_gone);
	before = db_view_install_locked(db, view, active, version,
					sealed_gone ? version->last_seq
						    : db->view->flushed_seq);
	memtable_unref(active);
	db_pressure_update_locked(db);
	cond_broadcast(&db->work);
	mutex_unlock(&db->lock);
	view_unref(before);
}

/* Makes an edit durable, in the manifest or, if that must not hold what it says,
 * with the whole `version` in a new one. */
static int
record_locked(struct keyfs_store *db, const struct version_edit *edit,
	      const struct version *version) REQUIRES(&db->manifest_lock)
{
	uint64_t old = manifest_number(db->manifest), number;
	int r;

	if (manifest_takes(db->manifest, edit))
		return manifest_append(db->manifest, edit);
	r = db_new_number(db, &number);
	if (r == 0)
		r = manifest_renew(db->manifest, number, version);
	if (r == 0)
		remove_manifest(db, old);
	return r;
}

static int
write_locked(struct keyfs_store *db, struct version *base,
	     struct version_edit *edit, struct version **out)
	REQUIRES(&db->manifest_lock)
{
	const char *why;
	int r = atomic_load_explicit(&db->error, memory_order_acquire);

	if (r < 0)
		return r;
	edit->next_number =
		atomic_load_explicit(&db->next_file, memory_order_relaxed);
	r = version_apply(base, edit, &why, out);
	if (r == -EUCLEAN)
		(void)corrupt(&db->reporter, MANIFEST_CURRENT, 0, "%s", why);
	if (r < 0)
		return r;
	r = record_locked(db, edit, *out);
	if (r < 0) {
		version_unref(*out);
		*out = NULL;
	}
	return r;
}

static int
install_locked(struct keyfs_store *db, struct version_edit *edit,
	       size_t sealed_gone) REQUIRES(&db->manifest_lock)
{
	struct version *base, *version = NULL;
	struct view *view = db_view_alloc(db);
	int r;

	if (!view)
		return -ENOMEM;
	mutex_lock(&db->lock);
	base = version_ref(db->view->version);
	mutex_unlock(&db->lock);
	r = write_locked(db, base, edit, &version);
	if (r == 0) {
		swap_view(db, view, version, sealed_gone);
		if (edit->log_floor)
			db_durable_raise(db, version->last_seq,
					 wal_position(edit->log_floor, 0));
		remove_logs(db, base, version);
		renew_manifest(db, version);
	} else {
		free(view);
	}
	version_unref(version);
	version_unref(base);
	return r;
}

int
db_install(struct keyfs_store *db, struct version_edit *edit,
	   size_t sealed_gone)
{
	int r, poisoned;

	mutex_lock(&db->manifest_lock);
	r = install_locked(db, edit, sealed_gone);
	poisoned = manifest_error(db->manifest);
	mutex_unlock(&db->manifest_lock);
	if (poisoned)
		(void)db_fail(db, poisoned, "writing the manifest");
	else if (r < 0 && r != -ENOSPC && r != -ENOMEM)
		r = db_fail(db, r, "writing the manifest");
	return r;
}

/* ---- Jobs ---- */

int
db_seen_locked(struct keyfs_store *db, struct seen *out)
{
	const struct keyfs_snapshot *s, *head = &db->snapshots;
	uint64_t *seqs = calloc(db->snapshot_count + 1, sizeof(*seqs));
	size_t count = 0;

	if (!seqs)
		return -ENOMEM;
	for (s = head->next; s != head; s = s->next)
		if (count == 0 || seqs[count - 1] != s->seq)
			seqs[count++] = s->seq;
	out->seqs = seqs;
	out->count = count;
	out->visible =
		atomic_load_explicit(&db->last_seq, memory_order_acquire);
	return 0;
}

void
db_job_init(struct keyfs_store *db, const struct seen *seen,
	    struct compact_job *out)
{
	*out = (struct compact_job){
		.set = &db->tables,
		.options = &db->options,
		.snapshots = seen->seqs,
		.snapshot_count = seen->count,
		.visible_seq = seen->visible,
		.next_number = db_new_number,
		.next_number_arg = db,
		.cancel = &db->cancel,
	};
}
