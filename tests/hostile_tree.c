/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_tree.c - see hostile_tree.h. */
#include <config.h>

#include "tests/hostile_tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/kv_mem.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

void
hostile_tree_init(struct hostile_tree *t)
{
	struct tree_attr attr;
	struct tree *tree;

	memset(t, 0, sizeof(*t));
	t->kv = kv_mem_new();
	tree = kit_open(t->kv);
	t->dir_a = kit_mkdir(tree, TREE_ROOT, "A");
	t->dir_b = kit_mkdir(tree, TREE_ROOT, "B");
	t->foo = kit_create(tree, t->dir_a, "foo");
	t->bar = kit_create(tree, t->dir_a, "bar");
	t->sub = kit_mkdir(tree, t->dir_a, "sub");
	t->deep = kit_create(tree, t->sub, "deep");
	kit_fill(tree, t->foo, 0, 300, 'f');
	kit_fill(tree, t->bar, 0, HOSTILE_BAR_BYTES, 'b');
	ck_assert_int_eq(tree_symlink(tree, &kit_user, t->dir_b,
				      keyfs_str("link"), keyfs_str("foo"),
				      &attr),
			 0);
	t->link_ino = attr.ino;
	ck_assert_int_eq(tree_mknod(tree, &kit_user, t->dir_b,
				    keyfs_str("pipe"), S_IFIFO | 0600, 0,
				    &attr),
			 0);
	t->pipe_ino = attr.ino;
	kit_close(tree);
}

void
hostile_tree_fini(struct hostile_tree *t)
{
	ck_assert_int_eq(kv_close(t->kv), 0);
}

/* ---- Values ---- */

struct keyfs_slice
hostile_value(struct hostile_tree *t, struct keyfs_slice key)
{
	struct kv_value value;
	struct kv_view *view;
	struct keyfs_slice copy;

	ck_assert_int_eq(kv_view_open(t->kv, &view), 0);
	ck_assert_int_eq(kv_get(t->kv, view, key, 0, &value), 0);
	copy = keyfs_bytes(must_copy(value.data.data, value.data.len),
			   value.data.len);
	kv_value_release(&value);
	kv_view_close(t->kv, view);
	return copy;
}

void
hostile_resize(struct hostile_tree *t, struct keyfs_slice key, size_t len)
{
	struct keyfs_slice old = hostile_value(t, key);
	uint8_t *bytes = must_alloc(len);

	if (len)
		memcpy(bytes, old.data, old.len < len ? old.len : len);
	kit_put(t->kv, key, keyfs_bytes(bytes, len));
	free(bytes);
	free((void *)(uintptr_t)old.data);
}

void
hostile_set_byte(struct hostile_tree *t, struct keyfs_slice key, size_t at,
		 uint8_t byte)
{
	struct keyfs_slice old = hostile_value(t, key);
	uint8_t *bytes = must_copy(old.data, old.len);

	bytes[at] = byte;
	kit_put(t->kv, key, keyfs_bytes(bytes, old.len));
	free(bytes);
	free((void *)(uintptr_t)old.data);
}

void
hostile_put_number(struct hostile_tree *t, struct keyfs_slice key,
		   uint64_t number)
{
	uint8_t value[LAYOUT_NUMBER_SIZE];

	kit_put(t->kv, key,
		keyfs_bytes(value, layout_number_encode(number, value)));
}

/* ---- Entries, contents, work that is owed ---- */

void
hostile_drop_entry(struct hostile_tree *t, uint64_t parent, const char *name)
{
	struct layout_key key;

	kit_drop(t->kv, layout_key_entry(&key, parent, keyfs_str(name)));
}

void
hostile_put_name(struct hostile_tree *t, const void *name, size_t len)
{
	struct layout_entry entry = { t->foo, S_IFREG };
	uint8_t value[LAYOUT_ENTRY_MAX], *bytes = must_alloc(10 + len);
	struct layout_key key;
	struct keyfs_slice none = { "", 0 };

	memcpy(bytes, layout_key_entry(&key, t->dir_a, none).data, 10);
	memcpy(bytes + 10, name, len);
	kit_put(t->kv, keyfs_bytes(bytes, 10 + len),
		keyfs_bytes(value, layout_entry_encode(&entry, value)));
	free(bytes);
}

void
hostile_put_orphan(struct hostile_tree *t, uint64_t ino, unsigned what)
{
	uint8_t value = (uint8_t)what;
	struct layout_key key;

	kit_put(t->kv, layout_key_orphan(&key, ino), keyfs_bytes(&value, 1));
}

void
hostile_put_chunk(struct hostile_tree *t, uint64_t ino, uint64_t chunk,
		  size_t len)
{
	uint8_t *bytes = must_alloc(len);
	struct layout_key key;

	kit_put(t->kv, layout_key_chunk(&key, ino, chunk),
		keyfs_bytes(bytes, len));
	free(bytes);
}

/* ---- Attributes ---- */

void
hostile_take_attr(struct hostile_tree *t, uint64_t ino)
{
	struct layout_key key;
	struct keyfs_slice value = hostile_value(t, layout_key_attr(&key, ino));

	memcpy(t->attr_bytes, value.data, value.len);
	ck_assert_int_eq(layout_attr_decode(keyfs_bytes(t->attr_bytes,
							value.len),
					    LAYOUT_INLINE, &t->spoilt),
			 0);
	free((void *)(uintptr_t)value.data);
}

void
hostile_put_attr(struct hostile_tree *t, uint64_t ino)
{
	uint8_t value[LAYOUT_ATTR_MAX + LAYOUT_INLINE];
	struct layout_key key;

	kit_put(t->kv, layout_key_attr(&key, ino),
		keyfs_bytes(value, layout_attr_encode(&t->spoilt, value)));
}

void
hostile_set_nlink(struct hostile_tree *t, uint64_t ino, uint32_t nlink)
{
	hostile_take_attr(t, ino);
	t->spoilt.nlink = nlink;
	hostile_put_attr(t, ino);
}

static void
set_two(struct hostile_tree *t, uint64_t ino, uint64_t *field_a, uint64_t a,
	uint64_t *field_b, uint64_t b)
{
	hostile_take_attr(t, ino);
	*field_a = a;
	*field_b = b;
	hostile_put_attr(t, ino);
}

static void
set_one(struct hostile_tree *t, uint64_t ino, uint64_t *field, uint64_t value)
{
	set_two(t, ino, field, value, field, value);
}

void
hostile_set_entries(struct hostile_tree *t, uint64_t ino, uint64_t entries)
{
	set_one(t, ino, &t->spoilt.entries, entries);
}

void
hostile_set_parent(struct hostile_tree *t, uint64_t ino, uint64_t parent)
{
	set_one(t, ino, &t->spoilt.parent, parent);
}

void
hostile_set_size(struct hostile_tree *t, uint64_t ino, uint64_t size,
		 uint64_t stored)
{
	set_two(t, ino, &t->spoilt.size, size, &t->spoilt.stored, stored);
}

void
hostile_set_stale(struct hostile_tree *t, uint64_t ino, uint64_t from,
		  uint64_t to)
{
	set_two(t, ino, &t->spoilt.stale_from, from, &t->spoilt.stale_to, to);
}
