/* SPDX-License-Identifier: Apache-2.0 */
/* kv_mem.c - see kv_mem.h.
 *
 * Keys stand in one sorted array; each has its versions, newest first.  Nothing is
 * freed before close, so a value needs no pin. */
#include <config.h>

#include "tests/kv_mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/suite.h"

struct record {
	struct record *older;
	uint64_t version;
	bool deleted;
	size_t len;
	uint8_t data[];
};

struct key {
	struct record *newest;
	size_t len;
	uint8_t data[];
};

struct kv_mem {
	struct kv kv;
	struct kv_mem_faults faults;
	_Atomic unsigned nowait_calls;
	_Atomic size_t views;

	pthread_mutex_t lock;
	/* Guarded by lock. */
	struct key **keys;
	size_t count, capacity;
	uint64_t version, durable;
};

static _Thread_local unsigned conflicts_given;

static struct kv_mem *
mem_of(struct kv *kv)
{
	return (struct kv_mem *)kv;
}

static void *
must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static int
order(const struct key *key, struct keyfs_slice s)
{
	size_t n = key->len < s.len ? key->len : s.len;
	int c = memcmp(key->data, s.data, n);

	return c ? c : (key->len > s.len) - (key->len < s.len);
}

/* Index of the first key that is not before `s`. */
static size_t
lower_bound_locked(struct kv_mem *mem, struct keyfs_slice s)
{
	size_t lo = 0, hi = mem->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (order(mem->keys[mid], s) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct record *
visible(const struct key *key, uint64_t version)
{
	const struct record *r = key->newest;

	while (r && r->version > version)
		r = r->older;
	return r;
}

static struct key *
find_locked(struct kv_mem *mem, struct keyfs_slice s)
{
	size_t at = lower_bound_locked(mem, s);

	if (at == mem->count || order(mem->keys[at], s) != 0)
		return NULL;
	return mem->keys[at];
}

static struct key *
insert_locked(struct kv_mem *mem, struct keyfs_slice s)
{
	size_t at = lower_bound_locked(mem, s);
	struct key *key;

	if (at < mem->count && order(mem->keys[at], s) == 0)
		return mem->keys[at];
	if (mem->count == mem->capacity) {
		mem->capacity = mem->capacity ? 2 * mem->capacity : 64;
		mem->keys =
			must(realloc(mem->keys, mem->capacity * sizeof(key)));
	}
	key = must(malloc(sizeof(*key) + s.len));
	key->newest = NULL;
	key->len = s.len;
	memcpy(key->data, s.data, s.len);
	memmove(mem->keys + at + 1, mem->keys + at,
		(mem->count - at) * sizeof(key));
	mem->keys[at] = key;
	mem->count++;
	return key;
}

static void
change_locked(struct kv_mem *mem, struct keyfs_slice name,
	      struct keyfs_slice value, bool deleted)
{
	struct key *key = insert_locked(mem, name);
	struct record *r = must(malloc(sizeof(*r) + value.len));

	r->older = key->newest;
	r->version = mem->version;
	r->deleted = deleted;
	r->len = value.len;
	if (value.len)
		memcpy(r->data, value.data, value.len);
	key->newest = r;
}

static void
dither(struct kv_mem *mem)
{
	static _Thread_local uint64_t state;
	unsigned share = atomic_load(&mem->faults.dither);

	if (!share)
		return;
	if (!state)
		state = (uintptr_t)&state;
	if (suite_random(&state) % share == 0)
		nanosleep(&(struct timespec){ 0, 20000 }, NULL);
}

/* What is to fail before anything is done. */
static int
fault(struct kv_mem *mem, unsigned flags)
{
	unsigned every = atomic_load(&mem->faults.again_every);
	int error = atomic_load(&mem->faults.error);

	dither(mem);
	if ((flags & KV_NOWAIT) && every &&
	    atomic_fetch_add(&mem->nowait_calls, 1) % every == 0)
		return -EAGAIN;
	if (error && atomic_fetch_sub(&mem->faults.error_after, 1) <= 0)
		return error;
	return 0;
}

static const struct kv_caps *
mem_caps(struct kv *kv)
{
	static const struct kv_caps caps = { .key_bytes_max = KEYFS_KEY_MAX,
					     .value_bytes_max = KEYFS_VALUE_MAX,
					     .commit_changes_max = SIZE_MAX,
					     .commit_bytes_max = 64u << 20 };

	(void)kv;
	return &caps;
}

static int
mem_view_open(struct kv *kv, struct kv_view **out)
{
	struct kv_mem *mem = mem_of(kv);
	struct kv_view *view = must(malloc(sizeof(*view)));

	pthread_mutex_lock(&mem->lock);
	view->version = mem->version;
	pthread_mutex_unlock(&mem->lock);
	atomic_fetch_add(&mem->views, 1);
	dither(mem);
	*out = view;
	return 0;
}

static void
mem_view_close(struct kv *kv, struct kv_view *view)
{
	atomic_fetch_sub(&mem_of(kv)->views, 1);
	free(view);
}

static int
mem_get(struct kv *kv, struct kv_view *view, struct keyfs_slice name,
	unsigned flags, struct kv_value *out)
{
	struct kv_mem *mem = mem_of(kv);
	const struct record *r = NULL;
	const struct key *key;
	int rc = fault(mem, flags);

	if (rc)
		return rc;
	pthread_mutex_lock(&mem->lock);
	key = find_locked(mem, name);
	if (key)
		r = visible(key, view->version);
	pthread_mutex_unlock(&mem->lock);
	*out = (struct kv_value){ 0 };
	if (r && !r->deleted) {
		out->data = keyfs_bytes(r->data, r->len);
		out->version = r->version;
	}
	return 0;
}

static int
mem_mget(struct kv *kv, struct kv_view *view, size_t count,
	 const struct keyfs_slice *keys, unsigned flags, struct kv_value *out)
{
	for (size_t i = 0; i < count; i++) {
		int rc = mem_get(kv, view, keys[i], flags, &out[i]);

		if (rc)
			return rc;
	}
	return 0;
}

/* The next live key at or after index *at. */
static const struct record *
next_locked(struct kv_mem *mem, uint64_t version, size_t *at)
{
	for (; *at < mem->count; ++*at) {
		const struct record *r = visible(mem->keys[*at], version);

		if (r && !r->deleted)
			return r;
	}
	return NULL;
}

static int
mem_scan(struct kv *kv, struct kv_view *view, struct keyfs_slice begin,
	 struct keyfs_slice end, unsigned flags, kv_each_fn each, void *arg)
{
	struct kv_mem *mem = mem_of(kv);
	const struct key *key = NULL;
	int rc = fault(mem, flags);

	while (!rc) {
		const struct record *r;
		size_t at;

		pthread_mutex_lock(&mem->lock);
		at = lower_bound_locked(mem,
					key ? keyfs_bytes(key->data, key->len)
					    : begin);
		at += key != NULL;
		r = next_locked(mem, view->version, &at);
		key = r ? mem->keys[at] : NULL;
		pthread_mutex_unlock(&mem->lock);
		if (!r || (end.data && order(key, end) >= 0))
			break;
		rc = each(arg, keyfs_bytes(key->data, key->len),
			  keyfs_bytes(r->data,
				      flags & KV_KEYS_ONLY ? 0 : r->len),
			  r->version);
	}
	return rc;
}

static int
check_locked(struct kv_mem *mem, const struct kv_batch *batch)
{
	for (size_t i = 0; i < batch->condition_count; i++) {
		const struct kv_condition *c = &batch->conditions[i];
		const struct key *key = find_locked(mem, c->key);
		uint64_t newest = key ? key->newest->version : 0;

		if (key && key->newest->deleted && c->version == 0 &&
		    newest <= c->as_of)
			continue;
		if (newest != c->version)
			return -ECANCELED;
	}
	return 0;
}

static int
commit_fault(struct kv_mem *mem, unsigned flags)
{
	if (conflicts_given < atomic_load(&mem->faults.conflicts)) {
		conflicts_given++;
		return -ECANCELED;
	}
	conflicts_given = 0;
	if (atomic_load(&mem->faults.full) && !(flags & KV_USE_RESERVE))
		return -ENOSPC;
	return 0;
}

static int
mem_commit(struct kv *kv, const struct kv_batch *batch, unsigned flags,
	   uint64_t *out_version)
{
	struct kv_mem *mem = mem_of(kv);
	int rc = fault(mem, flags);

	if (!rc)
		rc = commit_fault(mem, flags);
	if (rc)
		return rc;
	pthread_mutex_lock(&mem->lock);
	rc = check_locked(mem, batch);
	if (!rc) {
		mem->version++;
		for (size_t i = 0; i < batch->change_count; i++) {
			const struct kv_change *c = &batch->changes[i];

			change_locked(mem, c->key, c->value,
				      c->kind == KV_DELETE);
		}
		if (out_version)
			*out_version = mem->version;
	}
	pthread_mutex_unlock(&mem->lock);
	dither(mem);
	return rc;
}

static int
mem_sync(struct kv *kv)
{
	struct kv_mem *mem = mem_of(kv);
	int rc = fault(mem, 0);

	if (rc)
		return rc;
	pthread_mutex_lock(&mem->lock);
	mem->durable = mem->version;
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

static int
mem_space(struct kv *kv, struct kv_space *out)
{
	(void)kv;
	out->total_bytes = 1u << 30;
	out->available_bytes = 1u << 29;
	return 0;
}

static int
mem_stats(struct kv *kv, bool json, char **out)
{
	(void)kv;
	*out = must(strdup(json ? "{}\n" : "memory\n"));
	return 0;
}

static int
mem_close(struct kv *kv)
{
	struct kv_mem *mem = mem_of(kv);
	int rc = atomic_load(&mem->views) ? -EBUSY : 0;

	for (size_t i = 0; i < mem->count; i++) {
		struct record *r = mem->keys[i]->newest;

		while (r) {
			struct record *older = r->older;

			free(r);
			r = older;
		}
		free(mem->keys[i]);
	}
	free(mem->keys);
	pthread_mutex_destroy(&mem->lock);
	free(mem);
	return rc;
}

static const struct kv_ops mem_ops = {
	.caps = mem_caps,
	.view_open = mem_view_open,
	.view_close = mem_view_close,
	.get = mem_get,
	.mget = mem_mget,
	.scan = mem_scan,
	.commit = mem_commit,
	.sync = mem_sync,
	.space = mem_space,
	.stats = mem_stats,
	.close = mem_close,
};

struct kv *
kv_mem_new(void)
{
	struct kv_mem *mem = must(calloc(1, sizeof(*mem)));

	mem->kv.ops = &mem_ops;
	pthread_mutex_init(&mem->lock, NULL);
	return &mem->kv;
}

struct kv_mem_faults *
kv_mem_faults(struct kv *kv)
{
	return &mem_of(kv)->faults;
}

uint64_t
kv_mem_version(struct kv *kv)
{
	struct kv_mem *mem = mem_of(kv);
	uint64_t version;

	pthread_mutex_lock(&mem->lock);
	version = mem->version;
	pthread_mutex_unlock(&mem->lock);
	return version;
}

uint64_t
kv_mem_durable(struct kv *kv)
{
	struct kv_mem *mem = mem_of(kv);
	uint64_t version;

	pthread_mutex_lock(&mem->lock);
	version = mem->durable;
	pthread_mutex_unlock(&mem->lock);
	return version;
}

struct kv *
kv_mem_crash(struct kv *kv, uint64_t version)
{
	struct kv_mem *from = mem_of(kv);
	struct kv *out = kv_mem_new();
	struct kv_mem *to = mem_of(out);
	size_t at = 0;

	pthread_mutex_lock(&from->lock);
	to->version = version;
	for (;; at++) {
		const struct record *r = next_locked(from, version, &at);
		const struct key *key;

		if (!r)
			break;
		key = from->keys[at];
		change_locked(to, keyfs_bytes(key->data, key->len),
			      keyfs_bytes(r->data, r->len), false);
	}
	pthread_mutex_unlock(&from->lock);
	return out;
}

size_t
kv_mem_count(struct kv *kv)
{
	struct kv_mem *mem = mem_of(kv);
	size_t count = 0;

	pthread_mutex_lock(&mem->lock);
	for (size_t at = 0; next_locked(mem, mem->version, &at); at++)
		count++;
	pthread_mutex_unlock(&mem->lock);
	return count;
}

size_t
kv_mem_open_views(struct kv *kv)
{
	return atomic_load(&mem_of(kv)->views);
}
