/* SPDX-License-Identifier: Apache-2.0 */
/* txn.c - see txn.h.
 *
 * The memory of a finished transaction stays with its thread for the next one, so
 * an operation of usual size allocates nothing. */
#include <config.h>

#include "fs/txn.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/latch.h"

/* Kept between transactions; what needs more takes blocks of its own. */
#define ARENA_KEPT ((size_t)64 << 10)
#define ARENA_ALIGN 16u

struct block {
	struct block *next;
	size_t size, used;
	_Alignas(ARENA_ALIGN) uint8_t bytes[];
};

/* An array that grows; elements are plain data. */
struct vec {
	void *items;
	size_t count, capacity;
};

struct txn_space {
	/* Constant after txn_space_new(). */
	struct kv *kv; /* borrowed */

	/* Shared by writers; exclusive for one that must not lose again. */
	pthread_rwlock_t lock;
	struct latch_table *latches; /* owned */
};

struct txn {
	struct txn_space *space; /* borrowed */
	unsigned flags;          /* of txn_run() */
	unsigned conflicts;
	bool locked, alone, reserve;
	int error; /* the first failure of a write */
	struct latch_set held, wanted;
	struct kv_view *view;
	struct vec conditions; /* struct kv_condition */
	struct vec changes;    /* struct kv_change */
	struct vec values;     /* struct kv_value, pinned */
	struct block *arena;   /* newest block first, the kept one last */
};

static pthread_once_t idle_once = PTHREAD_ONCE_INIT;
static pthread_key_t idle_key;
static bool idle_key_made;

/* ---- Memory ---- */

static void
txn_free(void *arg)
{
	struct txn *txn = arg;

	if (!txn)
		return;
	while (txn->arena) {
		struct block *next = txn->arena->next;

		free(txn->arena);
		txn->arena = next;
	}
	free(txn->conditions.items);
	free(txn->changes.items);
	free(txn->values.items);
	free(txn);
}

static void
idle_init(void)
{
	idle_key_made = pthread_key_create(&idle_key, txn_free) == 0;
}

static struct block *
block_new(size_t size, struct block *next)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	block->next = next;
	block->size = size;
	block->used = 0;
	return block;
}

static struct txn *
txn_new(void)
{
	struct txn *txn = calloc(1, sizeof(*txn));

	if (!txn)
		return NULL;
	txn->arena = block_new(ARENA_KEPT, NULL);
	if (!txn->arena) {
		free(txn);
		return NULL;
	}
	return txn;
}

/* This thread's idle transaction, or a new one when that is busy: a step's caller
 * may run another tree's transaction inside. */
static struct txn *
txn_take(void)
{
	struct txn *txn = NULL;

	pthread_once(&idle_once, idle_init);
	if (idle_key_made)
		txn = pthread_getspecific(idle_key);
	if (!txn)
		return txn_new();
	pthread_setspecific(idle_key, NULL);
	return txn;
}

static void
txn_give_back(struct txn *txn)
{
	if (!idle_key_made || pthread_getspecific(idle_key) ||
	    pthread_setspecific(idle_key, txn))
		txn_free(txn);
}

void *
txn_alloc(struct txn *txn, size_t size)
{
	struct block *block = txn->arena;
	void *out;

	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (size > block->size - block->used) {
		block = block_new(size > ARENA_KEPT ? size : ARENA_KEPT, block);
		if (!block) {
			txn->error = txn->error ? txn->error : -ENOMEM;
			return NULL;
		}
		txn->arena = block;
	}
	out = block->bytes + block->used;
	block->used += size;
	return out;
}

static void
arena_reset(struct txn *txn)
{
	while (txn->arena->next) {
		struct block *next = txn->arena->next;

		free(txn->arena);
		txn->arena = next;
	}
	txn->arena->used = 0;
}

/* Room for `more` elements; NULL after noting the failure. */
static void *
vec_room(struct txn *txn, struct vec *vec, size_t size, size_t more)
{
	if (vec->capacity - vec->count < more) {
		size_t capacity = vec->capacity ? 2 * vec->capacity : 16;
		void *items;

		if (capacity < vec->count + more)
			capacity = vec->count + more;
		items = realloc(vec->items, capacity * size);
		if (!items) {
			txn->error = txn->error ? txn->error : -ENOMEM;
			return NULL;
		}
		vec->items = items;
		vec->capacity = capacity;
	}
	return (char *)vec->items + vec->count * size;
}

static int
key_copy(struct txn *txn, struct keyfs_slice key, struct keyfs_slice *out)
{
	void *copy = txn_alloc(txn, key.len);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, key.data, key.len);
	*out = keyfs_bytes(copy, key.len);
	return 0;
}

/* ---- Locks and latches ---- */

static bool
may_wait(const struct txn *txn)
{
	return !(txn->flags & TXN_NOWAIT);
}

int
txn_latch(struct txn *txn, const uint64_t *inos, size_t count)
{
	struct latch_set set = { 0 };

	if (txn->alone)
		return 0;
	for (size_t i = 0; i < count; i++) {
		latch_set_add(&set, inos[i]);
		latch_set_add(&txn->wanted, inos[i]);
	}
	return latch_lock(txn->space->latches, &txn->held, &set, may_wait(txn));
}

static int
space_lock(struct txn *txn)
{
	pthread_rwlock_t *lock = &txn->space->lock;
	int busy;

	txn->alone = txn->conflicts >= TXN_CONFLICTS_MAX;
	if (!txn->alone && (txn->flags & TXN_READ_ONLY))
		return 0;
	if (txn->flags & TXN_NOWAIT)
		busy = txn->alone ? pthread_rwlock_trywrlock(lock)
				  : pthread_rwlock_tryrdlock(lock);
	else
		busy = txn->alone ? pthread_rwlock_wrlock(lock)
				  : pthread_rwlock_rdlock(lock);
	if (busy)
		return -EAGAIN;
	txn->locked = true;
	return 0;
}

static int
txn_enter(struct txn *txn)
{
	int rc = space_lock(txn);

	if (rc || txn->alone)
		return rc;
	/* What the last attempt needed is taken before the view is opened. */
	return latch_lock(txn->space->latches, &txn->held, &txn->wanted,
			  may_wait(txn));
}

/* Ends an attempt: unlocks, then forgets what it read and wrote. */
static void
txn_leave(struct txn *txn)
{
	struct kv_value *values = txn->values.items;

	latch_unlock(txn->space->latches, &txn->held);
	if (txn->locked)
		pthread_rwlock_unlock(&txn->space->lock);
	txn->locked = txn->alone = false;
	for (size_t i = 0; i < txn->values.count; i++)
		kv_value_release(&values[i]);
	kv_view_close(txn->space->kv, txn->view);
	txn->view = NULL;
	txn->conditions.count = txn->changes.count = txn->values.count = 0;
	txn->reserve = false;
	txn->error = 0;
	arena_reset(txn);
}

/* ---- Reading ---- */

static unsigned
read_flags(const struct txn *txn)
{
	return txn->flags & TXN_NOWAIT ? KV_NOWAIT : 0;
}

static int
view_need(struct txn *txn)
{
	return txn->view ? 0 : kv_view_open(txn->space->kv, &txn->view);
}

int
txn_version(struct txn *txn, uint64_t *out)
{
	int rc = view_need(txn);

	if (!rc)
		*out = txn->view->version;
	return rc;
}

static bool
same(struct keyfs_slice a, struct keyfs_slice b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

static struct kv_change *
change_find(struct txn *txn, struct keyfs_slice key)
{
	struct kv_change *changes = txn->changes.items;

	for (size_t i = txn->changes.count; i > 0; i--)
		if (same(changes[i - 1].key, key))
			return &changes[i - 1];
	return NULL;
}

static int
own_write(const struct kv_change *change, struct keyfs_slice *out,
	  uint64_t *out_version)
{
	if (change->kind == KV_DELETE)
		return -ENOENT;
	*out = change->value;
	if (out_version)
		*out_version = 0;
	return 0;
}

static int
remember(struct txn *txn, struct keyfs_slice key, uint64_t version)
{
	struct kv_condition *c = vec_room(txn, &txn->conditions, sizeof(*c), 1);
	int rc;

	if (!c)
		return -ENOMEM;
	rc = key_copy(txn, key, &c->key);
	if (rc)
		return rc;
	c->version = version;
	c->as_of = txn->view->version;
	txn->conditions.count++;
	return 0;
}

static int
read_key(struct txn *txn, struct keyfs_slice key, bool keep,
	 struct keyfs_slice *out, uint64_t *out_version)
{
	const struct kv_change *mine = change_find(txn, key);
	struct kv_value *value;
	int rc;

	if (mine)
		return own_write(mine, out, out_version);
	rc = view_need(txn);
	if (rc)
		return rc;
	value = vec_room(txn, &txn->values, sizeof(*value), 1);
	if (!value)
		return -ENOMEM;
	rc = kv_get(txn->space->kv, txn->view, key, read_flags(txn), value);
	if (rc)
		return rc;
	txn->values.count++;
	if (keep)
		rc = remember(txn, key, value->version);
	if (rc)
		return rc;
	if (!value->version)
		return -ENOENT;
	*out = value->data;
	if (out_version)
		*out_version = value->version;
	return 0;
}

int
txn_get(struct txn *txn, struct keyfs_slice key, struct keyfs_slice *out,
	uint64_t *out_version)
{
	return read_key(txn, key, true, out, out_version);
}

int
txn_peek(struct txn *txn, struct keyfs_slice key, struct keyfs_slice *out,
	 uint64_t *out_version)
{
	return read_key(txn, key, false, out, out_version);
}

int
txn_peek_many(struct txn *txn, size_t count, const struct keyfs_slice *keys,
	      const struct kv_value **out)
{
	struct kv_value *values;
	struct kv_value *copy;
	int rc = view_need(txn);

	if (rc)
		return rc;
	values = vec_room(txn, &txn->values, sizeof(*values), count);
	copy = txn_alloc(txn, count * sizeof(*copy));
	if (!values || !copy)
		return -ENOMEM;
	rc = kv_mget(txn->space->kv, txn->view, count, keys, read_flags(txn),
		     values);
	if (rc)
		return rc;
	txn->values.count += count;
	/* The array may move at the next read; the caller's view of it may not. */
	memcpy(copy, values, count * sizeof(*copy));
	*out = copy;
	return 0;
}

int
txn_scan(struct txn *txn, struct keyfs_slice begin, struct keyfs_slice end,
	 unsigned flags, kv_each_fn each, void *arg)
{
	int rc = view_need(txn);

	if (rc)
		return rc;
	return kv_scan(txn->space->kv, txn->view, begin, end,
		       flags | read_flags(txn), each, arg);
}

/* ---- Writing ---- */

static void
change_add(struct txn *txn, enum kv_change_kind kind, struct keyfs_slice key,
	   struct keyfs_slice value)
{
	struct kv_change *change = change_find(txn, key);

	if (!change) {
		change = vec_room(txn, &txn->changes, sizeof(*change), 1);
		if (!change || key_copy(txn, key, &change->key))
			return;
		txn->changes.count++;
	}
	change->kind = kind;
	change->value = value;
}

void
txn_put(struct txn *txn, struct keyfs_slice key, struct keyfs_slice value)
{
	change_add(txn, KV_PUT, key, value);
}

void
txn_delete(struct txn *txn, struct keyfs_slice key)
{
	change_add(txn, KV_DELETE, key, (struct keyfs_slice){ 0 });
}

void
txn_use_reserve(struct txn *txn)
{
	txn->reserve = true;
}

/* ---- Running ---- */

/* Refused here, before anything is sent, rather than half-way by an engine. */
static int
check_caps(struct kv *kv, const struct kv_batch *batch)
{
	const struct kv_caps *caps = kv_caps(kv);
	size_t bytes = 0;

	if (batch->change_count > caps->commit_changes_max)
		return -E2BIG;
	for (size_t i = 0; i < batch->change_count; i++) {
		const struct kv_change *c = &batch->changes[i];

		if (c->key.len > caps->key_bytes_max ||
		    c->value.len > caps->value_bytes_max)
			return -E2BIG;
		bytes += c->key.len + c->value.len;
	}
	return bytes > caps->commit_bytes_max ? -E2BIG : 0;
}

static int
txn_commit(struct txn *txn, uint64_t *out_version)
{
	struct kv_batch batch = { txn->conditions.items, txn->conditions.count,
				  txn->changes.items, txn->changes.count };
	unsigned flags = read_flags(txn);
	int rc = txn->error;

	/* Without changes what was read is consistent as it is. */
	if (rc || !batch.change_count)
		return rc;
	rc = check_caps(txn->space->kv, &batch);
	if (rc)
		return rc;
	if (txn->reserve || (txn->flags & TXN_USE_RESERVE))
		flags |= KV_USE_RESERVE;
	return kv_commit(txn->space->kv, &batch, flags, out_version);
}

static int
txn_attempt(struct txn *txn, const struct txn_body *body)
{
	uint64_t version = 0;
	int rc = txn_enter(txn);

	if (!rc)
		rc = body->step(txn, body->arg);
	if (!rc)
		rc = txn_commit(txn, &version);
	if (!rc && body->committed)
		body->committed(body->arg, version);
	txn_leave(txn);
	return rc;
}

int
txn_run(struct txn_space *space, const struct txn_body *body, unsigned flags)
{
	struct txn *txn = txn_take();
	int rc;

	if (!txn)
		return -ENOMEM;
	txn->space = space;
	txn->flags = flags;
	txn->conflicts = 0;
	txn->wanted = (struct latch_set){ 0 };
	/* Ends: alone, only writers outside this process can be in the way, and
	 * each conflict means that one of them got on. */
	while ((rc = txn_attempt(txn, body)) == -ECANCELED)
		txn->conflicts++;
	txn_give_back(txn);
	return rc;
}

static int
space_lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	int rc = pthread_rwlockattr_init(&attr);

	if (rc)
		return -rc;
	/* Or a stream of small writers would keep the one in need waiting. */
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	rc = pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return -rc;
}

int
txn_space_new(struct kv *kv, struct txn_space **out)
{
	struct txn_space *space = calloc(1, sizeof(*space));
	int rc;

	if (!space)
		return -ENOMEM;
	space->kv = kv;
	rc = latch_table_new(&space->latches);
	if (!rc)
		rc = space_lock_init(&space->lock);
	if (rc) {
		latch_table_free(space->latches);
		free(space);
		return rc;
	}
	*out = space;
	return 0;
}

void
txn_space_free(struct txn_space *space)
{
	if (!space)
		return;
	pthread_rwlock_destroy(&space->lock);
	latch_table_free(space->latches);
	free(space);
}
