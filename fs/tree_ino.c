/* SPDX-License-Identifier: Apache-2.0 */
/* tree_ino.c - inode numbers that were never used before.
 *
 * 'S' 'N' is the bound below which numbers have been reserved; it is raised a block at
 * a time, so that most new files do not write it.  A crash leaves the rest of the
 * block unused.  A block is handed to directories in runs, so that the keys of one
 * directory's children lie side by side. */
#include <config.h>

#include <errno.h>

#include "fs/tree_impl.h"

#define INO_BLOCK 4096u
#define INO_RUN 32u

_Static_assert(INO_BLOCK % INO_RUN == 0, "a block is cut into whole runs");

int
ino_source_init(struct ino_source *source)
{
	return -pthread_mutex_init(&source->lock, NULL);
}

void
ino_source_fini(struct ino_source *source)
{
	pthread_mutex_destroy(&source->lock);
}

static int
used_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	(void)arg;
	(void)key;
	(void)value;
	(void)version;
	return -EUCLEAN;
}

/* Nothing may be stored under a number that was never reserved: where the bound is
 * damaged, new objects would take the place of old ones. */
static int
unused_check(struct kv *kv, struct kv_view *view, unsigned flags,
	     uint64_t bound)
{
	const uint64_t end = LAYOUT_INO_MAX + 1;
	struct layout_key from, to;
	int rc;

	flags |= KV_KEYS_ONLY;
	rc = kv_scan(kv, view, layout_key_inode(&from, bound),
		     layout_key_inode(&to, end), flags, used_each, NULL);
	if (!rc)
		rc = kv_scan(kv, view, layout_key_chunk(&from, bound, 0),
			     layout_key_chunk(&to, end, 0), flags, used_each,
			     NULL);
	if (!rc)
		rc = kv_scan(kv, view, layout_key_orphan(&from, bound),
			     layout_key_orphan(&to, end), flags, used_each,
			     NULL);
	return rc;
}

static int
bound_raise(struct kv *kv, struct kv_view *view, unsigned flags,
	    uint64_t *out_bound)
{
	struct layout_key buf;
	struct keyfs_slice key = layout_key_inos(&buf);
	struct kv_condition unchanged = { key, 0, view->version };
	uint8_t number[LAYOUT_NUMBER_SIZE];
	struct kv_change raise = { KV_PUT, key,
				   keyfs_bytes(number, sizeof(number)) };
	struct kv_batch batch = { &unchanged, 1, &raise, 1 };
	struct kv_value value;
	uint64_t bound = 0;
	int rc = kv_get(kv, view, key, flags, &value);

	if (rc)
		return rc;
	unchanged.version = value.version;
	rc = layout_number_decode(value.data, &bound);
	kv_value_release(&value);
	if (rc)
		return rc;
	if (bound > LAYOUT_INO_MAX - INO_BLOCK)
		return -ENOSPC;
	rc = unused_check(kv, view, flags, bound);
	if (rc)
		return rc;
	layout_number_encode(bound + INO_BLOCK, number);
	*out_bound = bound;
	return kv_commit(kv, &batch, flags, NULL);
}

/* A commit of its own, before that of the operation: a number that a crash may hand
 * out twice must never be seen. */
static int
block_reserve_locked(struct op *op, struct ino_source *source)
{
	struct kv *kv = op->tree->kv;
	unsigned flags = op->nowait ? KV_NOWAIT : 0;
	uint64_t bound = 0;
	int rc;

	do {
		struct kv_view *view;

		rc = kv_view_open(kv, &view);
		if (rc)
			return rc;
		rc = bound_raise(kv, view, flags, &bound);
		kv_view_close(kv, view);
	} while (rc == -ECANCELED);
	if (rc)
		return rc;
	source->next = bound;
	source->end = bound + INO_BLOCK;
	return 0;
}

static int
take_locked(struct op *op, uint64_t parent, uint64_t *out)
{
	struct ino_source *source = &op->tree->inos;
	struct ino_run *run = &source->runs[parent % INO_RUNS];
	int rc = 0;

	if (run->parent != parent || run->next == run->end) {
		if (source->next == source->end)
			rc = block_reserve_locked(op, source);
		if (rc)
			return rc;
		*run = (struct ino_run){ parent, source->next,
					 source->next + INO_RUN };
		source->next += INO_RUN;
	}
	*out = run->next++;
	return 0;
}

int
ino_take(struct op *op, uint64_t parent, uint64_t *out)
{
	pthread_mutex_t *lock = &op->tree->inos.lock;
	int rc;

	if (!op->nowait)
		pthread_mutex_lock(lock);
	else if (pthread_mutex_trylock(lock))
		return -EAGAIN;
	rc = take_locked(op, parent, out);
	pthread_mutex_unlock(lock);
	return rc;
}
