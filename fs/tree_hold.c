/* SPDX-License-Identifier: Apache-2.0 */
/* tree_hold.c - truncations that wait for the write that follows them (P3).
 *
 * `echo x > f` sends "size 0", then a write.  If each were logged as it comes, a crash
 * between them would leave an empty file where there was a good one.  So the
 * truncation is answered and only remembered here:
 *
 *	{ ino, base }     "the attributes of `ino` as of version `base` are to be read
 *	                   as truncated"
 *
 * Said that way it stays true for ever, in every view: a view either sees that
 * version, and shows it truncated, or another one, which was made from it.  Whoever
 * changes the inode folds the truncation into the same transaction (inode_edit) and
 * takes the hold out after the commit.  A reader whose view is older than that commit
 * and who looks here after it would find nothing and show the old contents, so each
 * bucket keeps the version of the last commit that took a hold out of it: a reader
 * with an older view starts again.
 *
 * A hold is put in and taken out under the latch of its inode, so a writer that has
 * the latch and finds none may rely on it. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>

#include "fs/tree_impl.h"

#define HOLD_NS ((uint64_t)TREE_HOLD_MS * 1000000u)

int
hold_table_init(struct hold_table *table)
{
	return -pthread_mutex_init(&table->lock, NULL);
}

static size_t
bucket_of(uint64_t ino)
{
	return ino % HOLD_BUCKETS;
}

static struct hold **
find_locked(struct hold_table *table, uint64_t ino)
{
	struct hold **at = &table->buckets[bucket_of(ino)];

	while (*at && (*at)->ino != ino)
		at = &(*at)->bucket_next;
	return at;
}

static void
queue_locked(struct hold_table *table, struct hold *hold)
{
	hold->older = table->newest;
	hold->newer = NULL;
	if (table->newest)
		table->newest->newer = hold;
	else
		table->oldest = hold;
	table->newest = hold;
}

static void
unqueue_locked(struct hold_table *table, struct hold *hold)
{
	if (hold->older)
		hold->older->newer = hold->newer;
	else
		table->oldest = hold->newer;
	if (hold->newer)
		hold->newer->older = hold->older;
	else
		table->newest = hold->older;
}

static void
remove_locked(struct hold_table *table, struct hold **at)
{
	struct hold *hold = *at;

	*at = hold->bucket_next;
	unqueue_locked(table, hold);
	free(hold);
	atomic_fetch_sub(&table->count, 1);
}

void
hold_table_fini(struct hold_table *table)
{
	while (table->oldest)
		remove_locked(table, find_locked(table, table->oldest->ino));
	pthread_mutex_destroy(&table->lock);
}

bool
hold_find(struct hold_table *table, uint64_t ino, uint64_t version,
	  struct hold *out)
{
	const struct hold *hold;
	bool found;

	/* Sequentially consistent, with the stores of hold_logged(): who sees a hold
	 * gone here sees the version that logged it in hold_missed(). */
	if (!atomic_load(&table->count))
		return false;
	pthread_mutex_lock(&table->lock);
	hold = *find_locked(table, ino);
	found = hold && hold->base == version;
	if (found)
		*out = *hold;
	pthread_mutex_unlock(&table->lock);
	return found;
}

bool
hold_has(struct hold_table *table, uint64_t ino)
{
	bool has;

	if (!atomic_load(&table->count))
		return false;
	pthread_mutex_lock(&table->lock);
	has = *find_locked(table, ino) != NULL;
	pthread_mutex_unlock(&table->lock);
	return has;
}

bool
hold_missed(struct hold_table *table, uint64_t ino, uint64_t view)
{
	return atomic_load(&table->logged[bucket_of(ino)]) > view;
}

void
hold_insert(struct tree *tree, struct hold *hold)
{
	struct hold_table *table = &tree->holds;
	struct hold **at;
	bool first;

	hold->due_ns = clock_now_ns() + HOLD_NS;
	pthread_mutex_lock(&table->lock);
	/* One that other hands made obsolete without taking it out. */
	at = find_locked(table, hold->ino);
	if (*at)
		remove_locked(table, at);
	first = !table->oldest;
	hold->id = ++table->last_id;
	hold->bucket_next = table->buckets[bucket_of(hold->ino)];
	table->buckets[bucket_of(hold->ino)] = hold;
	queue_locked(table, hold);
	atomic_fetch_add(&table->count, 1);
	pthread_mutex_unlock(&table->lock);
	if (first)
		worker_wake(tree);
}

void
hold_again(struct hold_table *table, uint64_t ino, struct timespec time)
{
	struct hold *hold;

	pthread_mutex_lock(&table->lock);
	hold = *find_locked(table, ino);
	if (hold)
		hold->time = time;
	pthread_mutex_unlock(&table->lock);
}

void
hold_logged(struct hold_table *table, uint64_t ino, uint64_t id,
	    uint64_t version)
{
	_Atomic uint64_t *logged = &table->logged[bucket_of(ino)];
	struct hold **at;

	pthread_mutex_lock(&table->lock);
	if (atomic_load(logged) < version)
		atomic_store(logged, version);
	at = find_locked(table, ino);
	if (*at && (*at)->id == id)
		remove_locked(table, at);
	pthread_mutex_unlock(&table->lock);
}

bool
hold_due(struct hold_table *table, uint64_t now_ns, struct hold *out)
{
	bool due = false;

	pthread_mutex_lock(&table->lock);
	out->due_ns = UINT64_MAX;
	if (table->oldest) {
		*out = *table->oldest;
		due = out->due_ns <= now_ns;
	}
	pthread_mutex_unlock(&table->lock);
	return due;
}

void
hold_postpone(struct hold_table *table, uint64_t ino, uint64_t id)
{
	struct hold *hold;

	pthread_mutex_lock(&table->lock);
	hold = *find_locked(table, ino);
	if (hold && hold->id == id) {
		unqueue_locked(table, hold);
		hold->due_ns = clock_now_ns() + HOLD_NS;
		queue_locked(table, hold);
	}
	pthread_mutex_unlock(&table->lock);
}

/* Takes out a hold that no longer fits what is stored; else logging all of them would
 * wait for it for ever. */
static void
hold_drop(struct hold_table *table, uint64_t ino)
{
	struct hold **at;

	pthread_mutex_lock(&table->lock);
	at = find_locked(table, ino);
	if (*at)
		remove_locked(table, at);
	pthread_mutex_unlock(&table->lock);
}

static int
log_step(struct op *op, void *arg)
{
	uint64_t ino = *(uint64_t *)arg;
	struct inode inode;
	int rc = inode_edit(op, ino, &inode);

	if (rc == -ENOENT)
		rc = 0;
	if (!rc && !op->logged_count)
		hold_drop(&op->tree->holds, ino);
	return rc;
}

int
hold_log(struct tree *tree, const struct tree_caller *caller, uint64_t ino)
{
	if (!atomic_load(&tree->holds.count))
		return 0;
	return op_run(tree, caller, OP_RESERVE, log_step, &ino);
}

static uint64_t
oldest_before(struct hold_table *table, uint64_t last_id)
{
	const struct hold *hold;
	uint64_t ino = 0;

	pthread_mutex_lock(&table->lock);
	for (hold = table->oldest; hold && !ino; hold = hold->newer)
		if (hold->id <= last_id)
			ino = hold->ino;
	pthread_mutex_unlock(&table->lock);
	return ino;
}

/* Those of this moment: files truncated later are not waited for. */
int
hold_log_all(struct tree *tree)
{
	struct hold_table *table = &tree->holds;
	uint64_t last_id, ino;
	int rc = 0;

	pthread_mutex_lock(&table->lock);
	last_id = table->last_id;
	pthread_mutex_unlock(&table->lock);
	while (!rc && (ino = oldest_before(table, last_id)) != 0)
		rc = hold_log(tree, NULL, ino);
	return rc;
}
