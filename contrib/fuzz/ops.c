/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c - a sequence of operations on a store and on the model of one: each takes
 * two bytes, what to do and with which key. */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "store/db.h"
#include "tests/fault_env.h"
#include "tests/model.h"

enum { VALUE_BYTES = 300 };

static const struct keyfs_slice no_bound;

struct pair {
	struct fault_env *disk;
	struct keyfs_store *store;
	struct model *model;
	uint8_t step; /* so that values differ */
};

static void
pair_open(struct pair *p)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 1 << 20,
					 .memtable_bytes = 4 << 10,
					 .compaction_threads = 1,
					 .block_bytes = 256,
					 .table_bytes = 2 << 10,
					 .level0_tables = 2,
					 .level_bytes = 8 << 10,
					 .reserve_bytes = 64 << 10 };

	fuzz_expect(db_open(fault_env(p->disk), "store", &options, &p->store) ==
		    0);
}

static void
op_put(struct pair *p, struct keyfs_slice key)
{
	char value[VALUE_BYTES];

	memset(value, p->step, sizeof(value));
	fuzz_expect(keyfs_put(p->store, NULL, key,
			      keyfs_bytes(value, p->step + 20u), 0) == 0);
	model_put(p->model, key, keyfs_bytes(value, p->step + 20u));
	model_commit(p->model);
}

static void
op_delete(struct pair *p, struct keyfs_slice key)
{
	fuzz_expect(keyfs_delete(p->store, NULL, key, 0) == 0);
	model_delete(p->model, key);
	model_commit(p->model);
}

static void
op_get(struct pair *p, struct keyfs_slice key)
{
	struct keyfs_slice want;
	struct keyfs_value value;
	bool has = model_get(p->model, key, &want);
	int r = keyfs_get(p->store, NULL, NULL, key, 0, &value);

	fuzz_expect(r == (has ? 0 : -ENOENT));
	if (!has)
		return;
	fuzz_expect(value.data.len == want.len &&
		    !memcmp(value.data.data, want.data, want.len));
	keyfs_value_release(&value);
}

/* From `key` on, some steps to either side. */
static void
op_seek(struct pair *p, struct keyfs_slice key)
{
	struct keyfs_iter *iter;
	size_t at = model_seek(p->model, key);
	unsigned steps = p->step % 7;
	bool ok;

	fuzz_expect(keyfs_iter_new(p->store, NULL, NULL, &iter) == 0);
	ok = keyfs_iter_seek(iter, key);
	while (ok && at != MODEL_NONE && steps-- > 0) {
		struct keyfs_slice want = model_key(p->model, at);

		fuzz_expect(keyfs_iter_key(iter).len == want.len &&
			    !memcmp(keyfs_iter_key(iter).data, want.data,
				    want.len));
		at = p->step & 8 ? model_prev(p->model, at)
				 : model_next(p->model, at);
		ok = p->step & 8 ? keyfs_iter_prev(iter)
				 : keyfs_iter_next(iter);
	}
	fuzz_expect(ok == (at != MODEL_NONE));
	fuzz_expect(keyfs_iter_status(iter) == 0);
	keyfs_iter_free(iter);
}

static void
op_maintain(struct pair *p, struct keyfs_slice key)
{
	(void)key;
	if (p->step % 3 == 0)
		fuzz_expect(keyfs_flush(p->store) == 0);
	else if (p->step % 3 == 1)
		fuzz_expect(keyfs_compact_range(p->store, NULL, no_bound,
						no_bound) == 0);
	else
		fuzz_expect(keyfs_sync(p->store) == 0);
}

static void
op_reopen(struct pair *p, struct keyfs_slice key)
{
	(void)key;
	fuzz_expect(keyfs_close(p->store) == 0);
	pair_open(p);
}

void
fuzz_ops(const uint8_t *data, size_t size)
{
	static void (*const ops[])(struct pair * p, struct keyfs_slice key) = {
		op_put,    op_put,  op_put,  op_put,      op_delete, op_delete,
		op_get,    op_get,  op_seek, op_seek,     op_seek,   op_get,
		op_delete, op_seek, op_put,  op_maintain, op_reopen,
	};
	struct fuzz_input in = { data, data + size };
	struct pair p = { .disk = fault_env_new(1), .model = model_new() };
	char key[16];

	pair_open(&p);
	while (in.at < in.end && p.step < 250) {
		uint64_t op = fuzz_take(&in, 1);

		(void)snprintf(key, sizeof(key), "key%03u",
			       (unsigned)fuzz_take(&in, 1));
		ops[op % (sizeof(ops) / sizeof(ops[0]))](&p, keyfs_str(key));
		p.step++;
	}
	fuzz_expect(keyfs_verify(p.store, NULL, NULL) == 0);
	fuzz_expect(keyfs_close(p.store) == 0);
	model_free(p.model);
	fault_env_free(p.disk);
}
