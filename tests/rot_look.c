/* SPDX-License-Identifier: Apache-2.0 */
/* rot_look.c - reads the store of rot_world.h in every way, and judges. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "store/db.h"
#include "tests/rot_impl.h"
#include "tests/suite.h"

void
rot_wrong(const struct rot_world *world, const char *what, long n)
{
	ck_abort_msg("%s: %s (%ld); last line: %s", world->about, what, n,
		     world->line);
}

void
rot_expect_named(const struct rot_world *world, int r, const char *what)
{
	if (r != -EUCLEAN || world->lines == 0)
		rot_wrong(world, what, r);
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
			rot_wrong(world, "a key is silently lost", (long)i);
		if (r == 0 && (!there || value.data.len != want.len ||
			       memcmp(value.data.data, want.data, want.len)))
			rot_wrong(world, "a key has a wrong value", (long)i);
		if (r == 0)
			keyfs_value_release(&value);
		else if (r != -ENOENT)
			rot_expect_named(world, r, "an error of a get");
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
			rot_wrong(world, "a scan shows something wrong",
				  (long)i);
		i++;
		if (forward)
			keyfs_iter_next(iter);
		else
			keyfs_iter_prev(iter);
	}
	r = keyfs_iter_status(iter);
	if (r < 0)
		rot_expect_named(world, r, "an error of a scan");
	else if (i != count)
		rot_wrong(world, "a scan ends early", (long)i);
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
	rot_wrong(world, "records are silently lost; the last is", (long)seq);
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
		rot_expect_named(world, r, "an error of opening");
		return true;
	}
	state = state_found(world, keyfs_last_seq(store), may_lose, all_synced);
	if (state) {
		look_gets(world, store, state, keys, &bad);
		look_scan(world, store, state, true, &bad);
		look_scan(world, store, state, false, &bad);
		r = keyfs_verify(store, NULL, NULL);
		if (r < 0)
			rot_expect_named(world, r, "an error of verifying");
		else if (bad)
			rot_wrong(world, "damage is not found by verifying", 0);
		bad |= r < 0;
	}
	ck_assert_int_eq(keyfs_close(store), 0);
	return bad;
}
