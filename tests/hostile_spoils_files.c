/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_spoils_files.c - contents, targets and work that is owed, which lie. */
#include <config.h>

#include "tests/hostile_spoils.h"
#include "tests/must.h"
#include "tests/tree_kit.h"

static void
size_is_the_largest(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, LAYOUT_SIZE_MAX, HOSTILE_BAR_BYTES);
}

/* All of it stored, it says: whoever goes by numbers never ends. */
static void
size_is_the_largest_and_stored(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, LAYOUT_SIZE_MAX, LAYOUT_SIZE_MAX);
}

static void
size_is_2_to_63(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, UINT64_C(1) << 63, UINT64_C(1) << 63);
}

static void
size_is_2_to_64(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, UINT64_MAX, UINT64_MAX);
}

static void
more_is_stored_than_the_size(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, HOSTILE_BAR_BYTES, 0);
}

static void
small_file_has_chunks(struct hostile_tree *t)
{
	hostile_put_chunk(t, t->foo, 0, 100);
}

static void
chunk_lies_beyond_the_size(struct hostile_tree *t)
{
	hostile_put_chunk(t, t->bar, 3, 100);
	hostile_put_chunk(t, t->bar, LAYOUT_CHUNKS_MAX - 1, LAYOUT_CHUNK);
}

static void
chunk_has_an_impossible_number(struct hostile_tree *t)
{
	hostile_put_chunk(t, t->bar, LAYOUT_CHUNKS_MAX, 100);
	hostile_put_chunk(t, t->bar, UINT64_MAX, 100);
}

static void
chunk_is_too_long(struct hostile_tree *t)
{
	hostile_put_chunk(t, t->bar, 0, LAYOUT_CHUNK + 1);
	hostile_put_chunk(t, t->bar, 1, 1u << 20);
}

static void
dir_has_chunks(struct hostile_tree *t)
{
	hostile_put_chunk(t, t->dir_a, 0, 100);
}

static void
all_chunks_are_stale(struct hostile_tree *t)
{
	hostile_set_stale(t, t->bar, 0, LAYOUT_CHUNKS_MAX);
	hostile_put_orphan(t, t->bar, LAYOUT_ORPHAN_TRIM);
}

static void
stale_without_a_record(struct hostile_tree *t)
{
	hostile_set_stale(t, t->bar, 1, 1000000);
}

static void
live_file_is_to_be_removed(struct hostile_tree *t)
{
	hostile_put_orphan(t, t->foo, LAYOUT_ORPHAN_REMOVE);
}

static void
root_is_to_be_removed(struct hostile_tree *t)
{
	hostile_put_orphan(t, TREE_ROOT, LAYOUT_ORPHAN_REMOVE);
}

static void
missing_is_to_be_removed(struct hostile_tree *t)
{
	hostile_put_orphan(t, 5000000, LAYOUT_ORPHAN_REMOVE);
}

static void
named_dir_without_links_is_to_be_removed(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->dir_a, 0);
	hostile_put_orphan(t, t->dir_a, LAYOUT_ORPHAN_REMOVE);
}

static void
largest_file_is_to_be_removed(struct hostile_tree *t)
{
	hostile_set_size(t, t->bar, LAYOUT_SIZE_MAX, LAYOUT_SIZE_MAX);
	hostile_take_attr(t, t->bar);
	t->spoilt.nlink = 0;
	hostile_put_attr(t, t->bar);
	hostile_drop_entry(t, t->dir_a, "bar");
	hostile_set_entries(t, t->dir_a, 2);
	hostile_put_orphan(t, t->bar, LAYOUT_ORPHAN_REMOVE);
}

static void
nothing_is_to_be_trimmed(struct hostile_tree *t)
{
	hostile_put_orphan(t, t->foo, LAYOUT_ORPHAN_TRIM);
	hostile_put_orphan(t, t->dir_a, LAYOUT_ORPHAN_TRIM);
}

static void
unknown_work_is_owed(struct hostile_tree *t)
{
	hostile_put_orphan(t, t->foo, 0);
	hostile_put_orphan(t, t->bar, 3);
}

static void
link_has_no_target(struct hostile_tree *t)
{
	struct layout_key key;

	kit_drop(t->kv, layout_key_link(&key, t->link_ino));
}

static void
target_is_longer(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_resize(t, layout_key_link(&key, t->link_ino), 100000);
}

static void
target_has_nul(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_set_byte(t, layout_key_link(&key, t->link_ino), 1, 0);
}

static void
file_has_a_target(struct hostile_tree *t)
{
	struct layout_key key;

	kit_put(t->kv, layout_key_link(&key, t->foo), keyfs_str("elsewhere"));
}

static void
mode_has_no_type(struct hostile_tree *t)
{
	hostile_take_attr(t, t->pipe_ino);
	t->spoilt.mode = 0644;
	hostile_put_attr(t, t->pipe_ino);
}

/* ---- Extended attributes ---- */

static void
put_xattr(struct hostile_tree *t, uint64_t ino, size_t len)
{
	uint8_t *bytes = must_alloc(len);
	struct layout_key key;

	kit_put(t->kv, layout_key_xattr(&key, ino, keyfs_str("user.a")),
		keyfs_bytes(bytes, len));
	free(bytes);
}

static void
list_is_said_to_be(struct hostile_tree *t, uint32_t bytes)
{
	hostile_take_attr(t, t->foo);
	t->spoilt.xattrs = bytes;
	hostile_put_attr(t, t->foo);
}

static void
xattr_is_not_counted(struct hostile_tree *t)
{
	put_xattr(t, t->foo, 3);
}

static void
xattrs_are_counted_but_missing(struct hostile_tree *t)
{
	list_is_said_to_be(t, 100);
}

static void
more_xattrs_than_a_list_holds(struct hostile_tree *t)
{
	list_is_said_to_be(t, UINT32_MAX);
}

static void
xattr_is_too_long(struct hostile_tree *t)
{
	put_xattr(t, t->foo, LAYOUT_XATTR_SIZE_MAX + 1);
	list_is_said_to_be(t, sizeof("user.a"));
}

static void
xattr_of_nothing(struct hostile_tree *t)
{
	put_xattr(t, 4999999, 3);
}

static const struct hostile_spoil spoils[] = {
	HOSTILE_SPOIL(size_is_the_largest, HOSTILE_CLEAN),
	HOSTILE_SPOIL(size_is_the_largest_and_stored, HOSTILE_FOUND),
	HOSTILE_SPOIL(size_is_2_to_63, HOSTILE_FOUND),
	HOSTILE_SPOIL(size_is_2_to_64, HOSTILE_FOUND),
	HOSTILE_SPOIL(more_is_stored_than_the_size, HOSTILE_FOUND),
	HOSTILE_SPOIL(small_file_has_chunks, HOSTILE_FOUND),
	HOSTILE_SPOIL(chunk_lies_beyond_the_size, HOSTILE_FOUND),
	HOSTILE_SPOIL(chunk_has_an_impossible_number, HOSTILE_FOUND),
	HOSTILE_SPOIL(chunk_is_too_long, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_has_chunks, HOSTILE_FOUND),
	HOSTILE_SPOIL(all_chunks_are_stale, HOSTILE_FOUND),
	HOSTILE_SPOIL(stale_without_a_record, HOSTILE_FOUND),
	HOSTILE_SPOIL(live_file_is_to_be_removed, HOSTILE_FOUND),
	HOSTILE_SPOIL(root_is_to_be_removed, HOSTILE_FOUND),
	HOSTILE_SPOIL(missing_is_to_be_removed, HOSTILE_FOUND),
	HOSTILE_SPOIL(named_dir_without_links_is_to_be_removed, HOSTILE_FOUND),
	HOSTILE_SPOIL(largest_file_is_to_be_removed, HOSTILE_CLEAN),
	HOSTILE_SPOIL(nothing_is_to_be_trimmed, HOSTILE_FOUND),
	HOSTILE_SPOIL(unknown_work_is_owed, HOSTILE_FOUND),
	HOSTILE_SPOIL(link_has_no_target, HOSTILE_FOUND),
	HOSTILE_SPOIL(target_is_longer, HOSTILE_FOUND),
	HOSTILE_SPOIL(target_has_nul, HOSTILE_FOUND),
	HOSTILE_SPOIL(file_has_a_target, HOSTILE_FOUND),
	HOSTILE_SPOIL(mode_has_no_type, HOSTILE_FOUND),
	HOSTILE_SPOIL(xattr_is_not_counted, HOSTILE_FOUND),
	HOSTILE_SPOIL(xattrs_are_counted_but_missing, HOSTILE_FOUND),
	HOSTILE_SPOIL(more_xattrs_than_a_list_holds, HOSTILE_FOUND),
	HOSTILE_SPOIL(xattr_is_too_long, HOSTILE_FOUND),
	HOSTILE_SPOIL(xattr_of_nothing, HOSTILE_FOUND),
};

const struct hostile_spoils hostile_files = {
	spoils, sizeof(spoils) / sizeof(spoils[0])
};
