/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_spoils_store.c - what the whole tree goes by, which lies: its
 * root, counters and superblock. */
#include <config.h>

#include "tests/hostile_spoils.h"
#include "tests/tree_kit.h"

static void
numbers_begin_again(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_put_number(t, layout_key_inos(&key), 2);
}

static void
numbers_begin_at_zero(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_put_number(t, layout_key_inos(&key), 0);
}

static void
numbers_are_used_up(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_put_number(t, layout_key_inos(&key), UINT64_MAX);
}

static void
numbers_are_missing(struct hostile_tree *t)
{
	struct layout_key key;

	kit_drop(t->kv, layout_key_inos(&key));
}

static void
moves_overflow(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_put_number(t, layout_key_moves(&key), UINT64_MAX);
}

static void
totals_overflow(struct hostile_tree *t)
{
	struct layout_totals totals = { UINT64_MAX, UINT64_MAX };
	uint8_t value[LAYOUT_TOTALS_SIZE];
	struct layout_key key;

	kit_put(t->kv, layout_key_totals(&key),
		keyfs_bytes(value, layout_totals_encode(&totals, value)));
}

static void
strange_keys(struct hostile_tree *t)
{
	kit_put(t->kv, keyfs_str("X"), keyfs_str("x"));
	kit_put(t->kv, keyfs_str("SZ"), keyfs_str("x"));
	kit_put(t->kv, keyfs_str("I"), keyfs_str("x"));
	kit_put(t->kv, keyfs_bytes("O\0\0\0\0\0\0\0\2\0", 10), keyfs_str("\1"));
	kit_put(t->kv, keyfs_bytes("\0", 1), keyfs_str("x"));
}

static void
root_is_missing(struct hostile_tree *t)
{
	struct layout_key key;

	kit_drop(t->kv, layout_key_attr(&key, TREE_ROOT));
}

static void
root_is_a_file(struct hostile_tree *t)
{
	hostile_take_attr(t, t->foo);
	hostile_put_attr(t, TREE_ROOT);
}

/* The superblock: fields by their place in layout.c. */
static void
super_byte(struct hostile_tree *t, size_t at, uint8_t byte)
{
	struct layout_key key;

	hostile_set_byte(t, layout_key_super(&key), at, byte);
}

static void
super_has_other_magic(struct hostile_tree *t)
{
	super_byte(t, 0, 'K');
}

static void
super_is_newer(struct hostile_tree *t)
{
	super_byte(t, 8, 2);
}

static void
super_is_of_format_0(struct hostile_tree *t)
{
	super_byte(t, 8, 0);
}

static void
super_has_an_unknown_feature(struct hostile_tree *t)
{
	super_byte(t, 15, 0x80);
}

static void
super_has_an_absurd_inline_limit(struct hostile_tree *t)
{
	super_byte(t, 19, 0xff);
}

/* Contents lie in the attributes up to 256 bytes less than before. */
static void
super_has_a_lower_inline_limit(struct hostile_tree *t)
{
	super_byte(t, 17, 0);
}

static void
super_has_other_chunks(struct hostile_tree *t)
{
	super_byte(t, 22, 1);
}

static void
super_was_created_between_seconds(struct hostile_tree *t)
{
	super_byte(t, 51, 0x7f);
}

static void
super_has_a_tail(struct hostile_tree *t)
{
	super_byte(t, 55, 1);
}

static void
super_is_short(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_resize(t, layout_key_super(&key), LAYOUT_SUPER_SIZE - 1);
}

static void
super_is_long(struct hostile_tree *t)
{
	struct layout_key key;

	hostile_resize(t, layout_key_super(&key), LAYOUT_SUPER_SIZE + 1);
}

static void
super_is_missing(struct hostile_tree *t)
{
	struct layout_key key;

	kit_drop(t->kv, layout_key_super(&key));
}

static const struct hostile_spoil spoils[] = {
	HOSTILE_SPOIL(numbers_begin_again, HOSTILE_FOUND),
	HOSTILE_SPOIL(numbers_begin_at_zero, HOSTILE_FOUND),
	HOSTILE_SPOIL(numbers_are_used_up, HOSTILE_CLEAN),
	HOSTILE_SPOIL(numbers_are_missing, HOSTILE_FOUND),
	HOSTILE_SPOIL(moves_overflow, HOSTILE_CLEAN),
	HOSTILE_SPOIL(totals_overflow, HOSTILE_CLEAN),
	HOSTILE_SPOIL(strange_keys, HOSTILE_FOUND),
	HOSTILE_SPOIL(root_is_missing, HOSTILE_REFUSED),
	HOSTILE_SPOIL(root_is_a_file, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_has_other_magic, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_is_newer, HOSTILE_NEWER),
	HOSTILE_SPOIL(super_is_of_format_0, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_has_an_unknown_feature, HOSTILE_NEWER),
	HOSTILE_SPOIL(super_has_an_absurd_inline_limit, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_has_a_lower_inline_limit, HOSTILE_FOUND),
	HOSTILE_SPOIL(super_has_other_chunks, HOSTILE_NEWER),
	HOSTILE_SPOIL(super_was_created_between_seconds, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_has_a_tail, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_is_short, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_is_long, HOSTILE_REFUSED),
	HOSTILE_SPOIL(super_is_missing, HOSTILE_REFUSED),
};

const struct hostile_spoils hostile_store = {
	spoils, sizeof(spoils) / sizeof(spoils[0])
};
