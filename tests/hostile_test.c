/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c - stores whose checksums are right and whose contents somebody made
 * up: every call of tree.h answers, with a result or an error, and tree_check() tells
 * what is wrong.  Nothing crashes, nothing goes round for ever, and no name comes out
 * that a path cannot hold.
 *
 * The tree that is spoilt, before it is:
 *
 *	/ A/ foo   300 bytes        / B/ link -> foo
 *	     bar   40000 bytes           pipe
 *	     sub/ deep
 *
 * KEYFS_TEST_CASES is how many trees are spoilt at random; default 300. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/layout.h"
#include "tests/kv_mem.h"
#include "tests/must.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

#define RANDOM_CASES 300
#define RANDOM_GROUPS 10
#define BAR_BYTES 40000u
#define INOS_MAX 64
/* So long may one case take, whatever else the machine does. */
#define TIMEOUT_S 60

static struct kv *kv;
static uint64_t dir_a, dir_b, foo, bar, sub, deep, link_ino, pipe_ino;

static void
setup(void)
{
	struct tree_attr attr;
	struct tree *tree;

	kv = kv_mem_new();
	tree = kit_open(kv);
	dir_a = kit_mkdir(tree, TREE_ROOT, "A");
	dir_b = kit_mkdir(tree, TREE_ROOT, "B");
	foo = kit_create(tree, dir_a, "foo");
	bar = kit_create(tree, dir_a, "bar");
	sub = kit_mkdir(tree, dir_a, "sub");
	deep = kit_create(tree, sub, "deep");
	kit_fill(tree, foo, 0, 300, 'f');
	kit_fill(tree, bar, 0, BAR_BYTES, 'b');
	ck_assert_int_eq(tree_symlink(tree, &kit_user, dir_b, keyfs_str("link"),
				      keyfs_str("foo"), &attr),
			 0);
	link_ino = attr.ino;
	ck_assert_int_eq(tree_mknod(tree, &kit_user, dir_b, keyfs_str("pipe"),
				    S_IFIFO | 0600, 0, &attr),
			 0);
	pipe_ino = attr.ino;
	kit_close(tree);
}

static void
teardown(void)
{
	ck_assert_int_eq(kv_close(kv), 0);
}

/* ---- Spoiling ---- */

static void
change(enum kv_change_kind kind, struct keyfs_slice key,
       struct keyfs_slice value)
{
	struct kv_change one = { kind, key, value };
	struct kv_batch batch = { NULL, 0, &one, 1 };

	ck_assert_int_eq(kv_commit(kv, &batch, 0, NULL), 0);
}

static void
put(struct keyfs_slice key, struct keyfs_slice value)
{
	change(KV_PUT, key, value);
}

static void
drop(struct keyfs_slice key)
{
	change(KV_DELETE, key, (struct keyfs_slice){ 0 });
}

/* The value of a key in memory of its own, which the caller frees. */
static struct keyfs_slice
value_of(struct keyfs_slice key)
{
	struct kv_value value;
	struct kv_view *view;
	struct keyfs_slice copy;

	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_get(kv, view, key, 0, &value), 0);
	copy = keyfs_bytes(must_copy(value.data.data, value.data.len),
			   value.data.len);
	kv_value_release(&value);
	kv_view_close(kv, view);
	return copy;
}

/* The value of a key, longer or shorter, with zeros behind. */
static void
resize_value(struct keyfs_slice key, size_t len)
{
	struct keyfs_slice old = value_of(key);
	uint8_t *bytes = must_alloc(len);

	if (len)
		memcpy(bytes, old.data, old.len < len ? old.len : len);
	put(key, keyfs_bytes(bytes, len));
	free(bytes);
	free((void *)(uintptr_t)old.data);
}

static void
set_byte(struct keyfs_slice key, size_t at, uint8_t byte)
{
	struct keyfs_slice old = value_of(key);
	uint8_t *bytes = must_copy(old.data, old.len);

	bytes[at] = byte;
	put(key, keyfs_bytes(bytes, old.len));
	free(bytes);
	free((void *)(uintptr_t)old.data);
}

static void
put_number(struct keyfs_slice key, uint64_t number)
{
	uint8_t value[LAYOUT_NUMBER_SIZE];

	put(key, keyfs_bytes(value, layout_number_encode(number, value)));
}

static void
put_entry(uint64_t parent, const char *name, uint64_t ino, uint32_t type)
{
	struct layout_entry entry = { ino, type };
	uint8_t value[LAYOUT_ENTRY_MAX];
	struct layout_key key;

	put(layout_key_entry(&key, parent, keyfs_str(name)),
	    keyfs_bytes(value, layout_entry_encode(&entry, value)));
}

static void
drop_entry(uint64_t parent, const char *name)
{
	struct layout_key key;

	drop(layout_key_entry(&key, parent, keyfs_str(name)));
}

/* An entry for foo under any bytes, even such as layout_key_entry() has no room for. */
static void
put_name(const void *name, size_t len)
{
	struct layout_entry entry = { foo, S_IFREG };
	uint8_t value[LAYOUT_ENTRY_MAX], *bytes = must_alloc(10 + len);
	struct layout_key key;
	struct keyfs_slice none = { "", 0 };

	memcpy(bytes, layout_key_entry(&key, dir_a, none).data, 10);
	memcpy(bytes + 10, name, len);
	put(keyfs_bytes(bytes, 10 + len),
	    keyfs_bytes(value, layout_entry_encode(&entry, value)));
	free(bytes);
}

static void
put_orphan(uint64_t ino, unsigned what)
{
	uint8_t value = (uint8_t)what;
	struct layout_key key;

	put(layout_key_orphan(&key, ino), keyfs_bytes(&value, 1));
}

static void
put_chunk(uint64_t ino, uint64_t chunk, size_t len)
{
	uint8_t *bytes = must_alloc(len);
	struct layout_key key;

	put(layout_key_chunk(&key, ino, chunk), keyfs_bytes(bytes, len));
	free(bytes);
}

/* Attributes taken out, to be changed and put back. */
static struct layout_attr spoilt;
static uint8_t attr_bytes[LAYOUT_ATTR_MAX + LAYOUT_INLINE];

static void
take_attr(uint64_t ino)
{
	struct layout_key key;
	struct keyfs_slice value = value_of(layout_key_attr(&key, ino));

	memcpy(attr_bytes, value.data, value.len);
	ck_assert_int_eq(layout_attr_decode(keyfs_bytes(attr_bytes, value.len),
					    LAYOUT_INLINE, &spoilt),
			 0);
	free((void *)(uintptr_t)value.data);
}

static void
put_attr(uint64_t ino)
{
	uint8_t value[LAYOUT_ATTR_MAX + LAYOUT_INLINE];
	struct layout_key key;

	put(layout_key_attr(&key, ino),
	    keyfs_bytes(value, layout_attr_encode(&spoilt, value)));
}

static void
set_nlink(uint64_t ino, uint32_t nlink)
{
	take_attr(ino);
	spoilt.nlink = nlink;
	put_attr(ino);
}

static void
set_entries(uint64_t ino, uint64_t entries)
{
	take_attr(ino);
	spoilt.entries = entries;
	put_attr(ino);
}

static void
set_parent(uint64_t ino, uint64_t parent)
{
	take_attr(ino);
	spoilt.parent = parent;
	put_attr(ino);
}

/* A large file that says how long it is and how much of it is stored. */
static void
set_size(uint64_t ino, uint64_t size, uint64_t stored)
{
	take_attr(ino);
	spoilt.size = size;
	spoilt.stored = stored;
	spoilt.contents = (struct keyfs_slice){ 0 };
	put_attr(ino);
}

static void
set_stale(uint64_t ino, uint64_t from, uint64_t to)
{
	take_attr(ino);
	spoilt.stale_from = from;
	spoilt.stale_to = to;
	put_attr(ino);
}

/* ---- What is spoilt ---- */

static void
nothing(void)
{
}

static void
dir_holds_itself(void)
{
	put_entry(sub, "self", sub, S_IFDIR);
	set_entries(sub, 2);
	set_nlink(sub, 3);
}

/* A lies in sub, and sub in A; the root knows of neither. */
static void
dirs_hold_each_other(void)
{
	put_entry(sub, "A", dir_a, S_IFDIR);
	set_entries(sub, 2);
	set_nlink(sub, 3);
	set_parent(dir_a, sub);
	drop_entry(TREE_ROOT, "A");
	set_entries(TREE_ROOT, 1);
	set_nlink(TREE_ROOT, 3);
}

/* The same, and the root still has A. */
static void
cycle_is_reached(void)
{
	put_entry(sub, "A", dir_a, S_IFDIR);
	set_entries(sub, 2);
	set_nlink(sub, 3);
	set_parent(dir_a, sub);
}

static void
dir_has_two_parents(void)
{
	put_entry(dir_b, "sub", sub, S_IFDIR);
	set_entries(dir_b, 3);
	set_nlink(dir_b, 3);
}

static void
root_is_an_entry(void)
{
	put_entry(dir_b, "root", TREE_ROOT, S_IFDIR);
	set_entries(dir_b, 3);
	set_nlink(dir_b, 3);
}

static void
empty_root_is_an_entry(void)
{
	root_is_an_entry();
	set_entries(TREE_ROOT, 0);
}

static void
name_is_empty(void)
{
	put_name("", 0);
}

static void
name_is_dot(void)
{
	put_name(".", 1);
}

static void
name_is_dots(void)
{
	put_name("..", 2);
}

static void
name_is_slash(void)
{
	put_name("/", 1);
}

static void
name_leaves_the_tree(void)
{
	put_name("../../etc/passwd", 16);
}

static void
name_has_nul(void)
{
	put_name("foo\0bar", 7);
}

static void
name_of_256(void)
{
	char name[256];

	memset(name, 'n', sizeof(name));
	put_name(name, sizeof(name));
}

static void
name_of_60000(void)
{
	char *name = must_alloc(60000);

	memset(name, 'n', 60000);
	put_name(name, 60000);
	free(name);
}

static void
file_without_links(void)
{
	set_nlink(foo, 0);
}

static void
file_with_many_links(void)
{
	set_nlink(foo, LAYOUT_LINK_MAX);
}

static void
file_with_more_links_than_any(void)
{
	set_nlink(foo, LAYOUT_LINK_MAX + 1u);
}

static void
dir_without_links(void)
{
	set_nlink(dir_a, 0);
}

static void
dir_with_one_link(void)
{
	set_nlink(dir_a, 1);
}

static void
dir_with_two_links(void)
{
	set_nlink(dir_a, 2);
}

static void
dir_with_all_links(void)
{
	set_nlink(dir_a, LAYOUT_LINK_MAX);
}

static void
root_without_links(void)
{
	set_nlink(TREE_ROOT, 0);
}

static void
dir_says_it_is_empty(void)
{
	set_entries(dir_a, 0);
}

static void
dir_has_all_entries(void)
{
	set_entries(dir_a, LAYOUT_INO_MAX);
	set_entries(dir_b, LAYOUT_INO_MAX);
}

static void
size_is_the_largest(void)
{
	set_size(bar, LAYOUT_SIZE_MAX, BAR_BYTES);
}

/* All of it stored, it says: whoever goes by numbers never ends. */
static void
size_is_the_largest_and_stored(void)
{
	set_size(bar, LAYOUT_SIZE_MAX, LAYOUT_SIZE_MAX);
}

static void
size_is_2_to_63(void)
{
	set_size(bar, UINT64_C(1) << 63, UINT64_C(1) << 63);
}

static void
size_is_2_to_64(void)
{
	set_size(bar, UINT64_MAX, UINT64_MAX);
}

static void
more_is_stored_than_the_size(void)
{
	set_size(bar, BAR_BYTES, 0);
}

static void
small_file_has_chunks(void)
{
	put_chunk(foo, 0, 100);
}

static void
chunk_lies_beyond_the_size(void)
{
	put_chunk(bar, 3, 100);
	put_chunk(bar, LAYOUT_CHUNKS_MAX - 1, LAYOUT_CHUNK);
}

static void
chunk_has_an_impossible_number(void)
{
	put_chunk(bar, LAYOUT_CHUNKS_MAX, 100);
	put_chunk(bar, UINT64_MAX, 100);
}

static void
chunk_is_too_long(void)
{
	put_chunk(bar, 0, LAYOUT_CHUNK + 1);
	put_chunk(bar, 1, 1u << 20);
}

static void
dir_has_chunks(void)
{
	put_chunk(dir_a, 0, 100);
}

static void
all_chunks_are_stale(void)
{
	set_stale(bar, 0, LAYOUT_CHUNKS_MAX);
	put_orphan(bar, LAYOUT_ORPHAN_TRIM);
}

static void
stale_without_a_record(void)
{
	set_stale(bar, 1, 1000000);
}

static void
inode_zero(void)
{
	put_entry(dir_a, "zero", 0, S_IFREG);
	take_attr(foo);
	put_attr(0);
	put_orphan(0, LAYOUT_ORPHAN_REMOVE);
}

static void
inode_beyond_the_last(void)
{
	put_entry(dir_a, "beyond", LAYOUT_INO_MAX + 1, S_IFREG);
	take_attr(foo);
	put_attr(LAYOUT_INO_MAX + 1);
	put_orphan(LAYOUT_INO_MAX + 1, LAYOUT_ORPHAN_REMOVE);
}

static void
inode_of_all_ones(void)
{
	put_entry(dir_a, "ones", UINT64_MAX, S_IFREG);
	take_attr(foo);
	put_attr(UINT64_MAX);
}

static void
inode_is_missing(void)
{
	put_entry(dir_a, "missing", 5000000, S_IFREG);
}

static void
entry_says_dir_of_a_file(void)
{
	put_entry(dir_a, "foo", foo, S_IFDIR);
}

static void
entry_says_file_of_a_dir(void)
{
	put_entry(dir_a, "sub", sub, S_IFREG);
}

static void
file_has_entries(void)
{
	put_entry(foo, "below", bar, S_IFREG);
}

static void
parent_is_a_file(void)
{
	set_parent(sub, foo);
}

static void
parent_is_missing(void)
{
	set_parent(sub, 5000000);
}

static void
parent_is_itself(void)
{
	set_parent(sub, sub);
}

static void
parent_is_another(void)
{
	set_parent(sub, dir_b);
}

static void
root_has_a_parent(void)
{
	set_parent(TREE_ROOT, dir_a);
}

static void
live_file_is_to_be_removed(void)
{
	put_orphan(foo, LAYOUT_ORPHAN_REMOVE);
}

static void
root_is_to_be_removed(void)
{
	put_orphan(TREE_ROOT, LAYOUT_ORPHAN_REMOVE);
}

static void
missing_is_to_be_removed(void)
{
	put_orphan(5000000, LAYOUT_ORPHAN_REMOVE);
}

static void
named_dir_without_links_is_to_be_removed(void)
{
	set_nlink(dir_a, 0);
	put_orphan(dir_a, LAYOUT_ORPHAN_REMOVE);
}

static void
largest_file_is_to_be_removed(void)
{
	set_size(bar, LAYOUT_SIZE_MAX, LAYOUT_SIZE_MAX);
	take_attr(bar);
	spoilt.nlink = 0;
	put_attr(bar);
	drop_entry(dir_a, "bar");
	set_entries(dir_a, 2);
	put_orphan(bar, LAYOUT_ORPHAN_REMOVE);
}

static void
nothing_is_to_be_trimmed(void)
{
	put_orphan(foo, LAYOUT_ORPHAN_TRIM);
	put_orphan(dir_a, LAYOUT_ORPHAN_TRIM);
}

static void
unknown_work_is_owed(void)
{
	put_orphan(foo, 0);
	put_orphan(bar, 3);
}

static void
link_has_no_target(void)
{
	struct layout_key key;

	drop(layout_key_link(&key, link_ino));
}

static void
target_is_longer(void)
{
	struct layout_key key;

	resize_value(layout_key_link(&key, link_ino), 100000);
}

static void
target_has_nul(void)
{
	struct layout_key key;

	set_byte(layout_key_link(&key, link_ino), 1, 0);
}

static void
file_has_a_target(void)
{
	struct layout_key key;

	put(layout_key_link(&key, foo), keyfs_str("elsewhere"));
}

static void
mode_has_no_type(void)
{
	take_attr(pipe_ino);
	spoilt.mode = 0644;
	put_attr(pipe_ino);
}

static void
numbers_begin_again(void)
{
	struct layout_key key;

	put_number(layout_key_inos(&key), 2);
}

static void
numbers_begin_at_zero(void)
{
	struct layout_key key;

	put_number(layout_key_inos(&key), 0);
}

static void
numbers_are_used_up(void)
{
	struct layout_key key;

	put_number(layout_key_inos(&key), UINT64_MAX);
}

static void
numbers_are_missing(void)
{
	struct layout_key key;

	drop(layout_key_inos(&key));
}

static void
moves_overflow(void)
{
	struct layout_key key;

	put_number(layout_key_moves(&key), UINT64_MAX);
}

static void
totals_overflow(void)
{
	struct layout_totals totals = { UINT64_MAX, UINT64_MAX };
	uint8_t value[LAYOUT_TOTALS_SIZE];
	struct layout_key key;

	put(layout_key_totals(&key),
	    keyfs_bytes(value, layout_totals_encode(&totals, value)));
}

static void
strange_keys(void)
{
	put(keyfs_str("X"), keyfs_str("x"));
	put(keyfs_str("SZ"), keyfs_str("x"));
	put(keyfs_str("I"), keyfs_str("x"));
	put(keyfs_bytes("O\0\0\0\0\0\0\0\2\0", 10), keyfs_str("\1"));
	put(keyfs_bytes("\0", 1), keyfs_str("x"));
}

static void
root_is_missing(void)
{
	struct layout_key key;

	drop(layout_key_attr(&key, TREE_ROOT));
}

static void
root_is_a_file(void)
{
	take_attr(foo);
	put_attr(TREE_ROOT);
}

/* The superblock: fields by their place in layout.c. */

static void
super_byte(size_t at, uint8_t byte)
{
	struct layout_key key;

	set_byte(layout_key_super(&key), at, byte);
}

static void
super_has_other_magic(void)
{
	super_byte(0, 'K');
}

static void
super_is_newer(void)
{
	super_byte(8, 2);
}

static void
super_is_of_format_0(void)
{
	super_byte(8, 0);
}

static void
super_has_an_unknown_feature(void)
{
	super_byte(15, 0x80);
}

static void
super_has_an_absurd_inline_limit(void)
{
	super_byte(19, 0xff);
}

/* Contents lie in the attributes up to 256 bytes less than before. */
static void
super_has_a_lower_inline_limit(void)
{
	super_byte(17, 0);
}

static void
super_has_other_chunks(void)
{
	super_byte(22, 1);
}

static void
super_was_created_between_seconds(void)
{
	super_byte(51, 0x7f);
}

static void
super_has_a_tail(void)
{
	super_byte(55, 1);
}

static void
super_is_short(void)
{
	struct layout_key key;

	resize_value(layout_key_super(&key), LAYOUT_SUPER_SIZE - 1);
}

static void
super_is_long(void)
{
	struct layout_key key;

	resize_value(layout_key_super(&key), LAYOUT_SUPER_SIZE + 1);
}

static void
super_is_missing(void)
{
	struct layout_key key;

	drop(layout_key_super(&key));
}

/* What tree_check() says of it, or what opening says. */
enum finding { CLEAN, FOUND, REFUSED, NEWER };

static const struct spoil {
	const char *name;
	void (*spoil)(void);
	enum finding finding;
} spoils[] = {
#define SPOIL(name, finding)                                                   \
	{                                                                      \
#name, name, finding                                           \
	}
	SPOIL(nothing, CLEAN),
	SPOIL(dir_holds_itself, FOUND),
	SPOIL(dirs_hold_each_other, FOUND),
	SPOIL(cycle_is_reached, FOUND),
	SPOIL(dir_has_two_parents, FOUND),
	SPOIL(root_is_an_entry, FOUND),
	SPOIL(empty_root_is_an_entry, FOUND),
	SPOIL(name_is_empty, FOUND),
	SPOIL(name_is_dot, FOUND),
	SPOIL(name_is_dots, FOUND),
	SPOIL(name_is_slash, FOUND),
	SPOIL(name_leaves_the_tree, FOUND),
	SPOIL(name_has_nul, FOUND),
	SPOIL(name_of_256, FOUND),
	SPOIL(name_of_60000, FOUND),
	SPOIL(file_without_links, FOUND),
	SPOIL(file_with_many_links, FOUND),
	SPOIL(file_with_more_links_than_any, FOUND),
	SPOIL(dir_without_links, FOUND),
	SPOIL(dir_with_one_link, FOUND),
	SPOIL(dir_with_two_links, FOUND),
	SPOIL(dir_with_all_links, FOUND),
	SPOIL(root_without_links, FOUND),
	SPOIL(dir_says_it_is_empty, FOUND),
	SPOIL(dir_has_all_entries, FOUND),
	SPOIL(size_is_the_largest, CLEAN),
	SPOIL(size_is_the_largest_and_stored, FOUND),
	SPOIL(size_is_2_to_63, FOUND),
	SPOIL(size_is_2_to_64, FOUND),
	SPOIL(more_is_stored_than_the_size, FOUND),
	SPOIL(small_file_has_chunks, FOUND),
	SPOIL(chunk_lies_beyond_the_size, FOUND),
	SPOIL(chunk_has_an_impossible_number, FOUND),
	SPOIL(chunk_is_too_long, FOUND),
	SPOIL(dir_has_chunks, FOUND),
	SPOIL(all_chunks_are_stale, FOUND),
	SPOIL(stale_without_a_record, FOUND),
	SPOIL(inode_zero, FOUND),
	SPOIL(inode_beyond_the_last, FOUND),
	SPOIL(inode_of_all_ones, FOUND),
	SPOIL(inode_is_missing, FOUND),
	SPOIL(entry_says_dir_of_a_file, FOUND),
	SPOIL(entry_says_file_of_a_dir, FOUND),
	SPOIL(file_has_entries, FOUND),
	SPOIL(parent_is_a_file, FOUND),
	SPOIL(parent_is_missing, FOUND),
	SPOIL(parent_is_itself, FOUND),
	SPOIL(parent_is_another, FOUND),
	SPOIL(root_has_a_parent, FOUND),
	SPOIL(live_file_is_to_be_removed, FOUND),
	SPOIL(root_is_to_be_removed, FOUND),
	SPOIL(missing_is_to_be_removed, FOUND),
	SPOIL(named_dir_without_links_is_to_be_removed, FOUND),
	SPOIL(largest_file_is_to_be_removed, CLEAN),
	SPOIL(nothing_is_to_be_trimmed, FOUND),
	SPOIL(unknown_work_is_owed, FOUND),
	SPOIL(link_has_no_target, FOUND),
	SPOIL(target_is_longer, FOUND),
	SPOIL(target_has_nul, FOUND),
	SPOIL(file_has_a_target, FOUND),
	SPOIL(mode_has_no_type, FOUND),
	SPOIL(numbers_begin_again, FOUND),
	SPOIL(numbers_begin_at_zero, FOUND),
	SPOIL(numbers_are_used_up, CLEAN),
	SPOIL(numbers_are_missing, FOUND),
	SPOIL(moves_overflow, CLEAN),
	SPOIL(totals_overflow, CLEAN),
	SPOIL(strange_keys, FOUND),
	SPOIL(root_is_missing, REFUSED),
	SPOIL(root_is_a_file, REFUSED),
	SPOIL(super_has_other_magic, REFUSED),
	SPOIL(super_is_newer, NEWER),
	SPOIL(super_is_of_format_0, REFUSED),
	SPOIL(super_has_an_unknown_feature, NEWER),
	SPOIL(super_has_an_absurd_inline_limit, REFUSED),
	SPOIL(super_has_a_lower_inline_limit, FOUND),
	SPOIL(super_has_other_chunks, NEWER),
	SPOIL(super_was_created_between_seconds, REFUSED),
	SPOIL(super_has_a_tail, REFUSED),
	SPOIL(super_is_short, REFUSED),
	SPOIL(super_is_long, REFUSED),
	SPOIL(super_is_missing, REFUSED),
#undef SPOIL
};

#define SPOILS (int)(sizeof(spoils) / sizeof(spoils[0]))

/* ---- Everything that a caller can ask ---- */

static const struct keyfs_slice names[] = {
	{ "A", 1 },     { "B", 1 },       { "foo", 3 },   { "bar", 3 },
	{ "sub", 3 },   { "deep", 4 },    { "link", 4 },  { "pipe", 4 },
	{ "self", 4 },  { "root", 4 },    { "zero", 4 },  { "beyond", 6 },
	{ "ones", 4 },  { "missing", 7 }, { "below", 5 }, { "new-dir", 7 },
	{ "", 0 },      { ".", 1 },       { "..", 2 },    { "/", 1 },
	{ "foo\0b", 5 }
};

#define NAMES (sizeof(names) / sizeof(names[0]))

static uint64_t inos[INOS_MAX];
static size_t ino_count;

/* Errors that a caller understands; all else is our own confusion come out. */
static void
answered(const char *what, int rc)
{
	static const int errors[] = { 0,          -EUCLEAN,      -ENOENT,
				      -ENOTDIR,   -EISDIR,       -EEXIST,
				      -EINVAL,    -ENAMETOOLONG, -EPERM,
				      -ENOTEMPTY, -EMLINK,       -EFBIG,
				      -ENOSPC };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (rc == errors[i])
			return;
	ck_abort_msg("%s: %d", what, rc);
}

static int
ino_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	 uint64_t version)
{
	const uint8_t *at = key.data;
	uint64_t ino = 0;

	(void)arg;
	(void)value;
	(void)version;
	for (int i = 1; i <= 8 && key.len > 8; i++)
		ino = ino << 8 | at[i];
	if (key.len > 8 && at[0] == 'I' && ino_count < INOS_MAX &&
	    (!ino_count || inos[ino_count - 1] != ino))
		inos[ino_count++] = ino;
	return 0;
}

/* Every number that the store has something of, and some that it should not. */
static void
inos_find(void)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct kv_view *view;

	ino_count = 0;
	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, begin, end, KV_KEYS_ONLY, ino_each,
				 NULL),
			 0);
	kv_view_close(kv, view);
	for (size_t i = 0; i < 3 && ino_count < INOS_MAX; i++)
		inos[ino_count++] =
			(const uint64_t[]){ 0, 4999999, UINT64_MAX }[i];
}

static int
name_each(void *arg, struct keyfs_slice name, const struct tree_attr *a)
{
	(void)arg;
	(void)a;
	if (layout_name_check(name))
		ck_abort_msg("a listing gives out an impossible name");
	return 0;
}

static void
read_one(struct tree *tree, uint64_t ino)
{
	static const uint64_t offsets[] = { 0,
					    299,
					    16383,
					    40000,
					    (UINT64_C(1) << 62) + 5,
					    LAYOUT_SIZE_MAX - 1,
					    UINT64_MAX };
	static uint8_t buf[200000];
	struct keyfs_slice all = { 0 };
	struct tree_attr a;
	char *target = NULL;
	size_t len;

	answered("getattr", tree_getattr(tree, &kit_user, ino, &a));
	answered("readdir", tree_readdir(tree, &kit_user, ino, all, false,
					 name_each, NULL));
	answered("readdirplus", tree_readdir(tree, &kit_user, ino, all, true,
					     name_each, NULL));
	answered("readlink",
		 tree_readlink(tree, &kit_user, ino, &target, &len));
	free(target);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		answered("read", tree_read(tree, &kit_user, ino, offsets[i],
					   sizeof(buf), buf, &len));
	for (size_t i = 0; i < NAMES; i++)
		answered("lookup",
			 tree_lookup(tree, &kit_user, ino, names[i], &a));
}

static void
read_all(struct tree *tree)
{
	struct tree_space space;
	struct tree_attr a;

	for (size_t i = 0; i < ino_count; i++)
		read_one(tree, inos[i]);
	answered("space", tree_space(tree, &space));
	answered("resolve", tree_resolve(tree, &kit_user,
					 "A/sub/A/sub/self/../../B/..", &a));
}

static void
change_contents(struct tree *tree, uint64_t ino)
{
	static const uint64_t sizes[] = {
		100, 30000, UINT64_C(1) << 40, LAYOUT_SIZE_MAX, 50000, 5
	};
	static const uint64_t offsets[] = { 0, 20000, UINT64_C(1) << 45 };
	struct tree_attr a;

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		answered("write", tree_write(tree, &kit_user, ino, offsets[i],
					     keyfs_str("written")));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		a = (struct tree_attr){ .size = sizes[i], .mode = 0600 };
		answered("truncate",
			 tree_setattr(tree, &kit_user, ino,
				      TREE_SET_SIZE | TREE_SET_BY_HANDLE, &a,
				      &a));
	}
	a = (struct tree_attr){ .size = 0, .mode = 0600 };
	answered("empty",
		 tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE, &a, &a));
	a = (struct tree_attr){ .mode = 0600 };
	answered("chmod",
		 tree_setattr(tree, &kit_user, ino, TREE_SET_MODE, &a, &a));
}

static void
add_names(struct tree *tree, uint64_t dir)
{
	struct tree_attr a;
	char name[32];

	answered("mknod", tree_mknod(tree, &kit_user, dir, keyfs_str("new"),
				     S_IFREG | 0644, 0, &a));
	answered("mkdir", tree_mkdir(tree, &kit_user, dir, keyfs_str("new-dir"),
				     0755, &a));
	answered("symlink",
		 tree_symlink(tree, &kit_user, dir, keyfs_str("new-link"),
			      keyfs_str("to"), &a));
	for (size_t i = 0; i < ino_count; i++) {
		snprintf(name, sizeof(name), "link-%zu", i);
		answered("link", tree_link(tree, &kit_user, inos[i], dir,
					   keyfs_str(name), &a));
	}
}

static void
rename_names(struct tree *tree, uint64_t from, uint64_t to, unsigned flags)
{
	uint64_t ino;
	bool gone;

	for (size_t i = 0; i < NAMES; i++) {
		answered("rename", tree_rename(tree, &kit_user, from, names[i],
					       to, names[(i + 3) % NAMES],
					       flags, &ino, &gone));
		answered("rename",
			 tree_rename(tree, &kit_user, from, names[i], to,
				     names[i], flags, &ino, &gone));
	}
}

static void
remove_names(struct tree *tree, uint64_t dir)
{
	uint64_t ino;
	bool gone;

	for (size_t i = 0; i < NAMES; i++) {
		answered("unlink", tree_unlink(tree, &kit_user, dir, names[i],
					       &ino, &gone));
		answered("rmdir", tree_rmdir(tree, &kit_user, dir, names[i],
					     &ino, &gone));
	}
}

static void
change_all(struct tree *tree)
{
	for (size_t i = 0; i < ino_count; i++)
		change_contents(tree, inos[i]);
	for (size_t i = 0; i < ino_count; i++)
		add_names(tree, inos[i]);
	for (size_t i = 0; i < ino_count; i++)
		for (size_t j = 0; j < ino_count; j++) {
			rename_names(tree, inos[i], inos[j], 0);
			rename_names(tree, inos[i], inos[j], RENAME_EXCHANGE);
		}
	for (size_t i = ino_count; i > 0; i--)
		remove_names(tree, inos[i - 1]);
}

static int
count_problem(void *arg, const char *where, const char *what)
{
	ck_assert_uint_gt(strlen(where), 0);
	ck_assert_uint_gt(strlen(what), 0);
	++*(unsigned *)arg;
	return 0;
}

/* Checks, and returns whether anything was found. */
static bool
check_finds(struct tree *tree)
{
	unsigned problems = 0;
	int rc = tree_check(tree, count_problem, &problems);

	answered("check", rc);
	ck_assert_int_eq(rc != 0, problems > 0);
	return rc != 0;
}

static int
open_as(bool read_only, struct tree **out)
{
	struct tree_options options = { .read_only = read_only };

	return tree_open(kv, &options, out);
}

/* Reads all there is, then changes all that can be changed, then lets the worker at
 * it.  Returns what the check found before the changes. */
static bool
exercise(struct tree *tree)
{
	bool found = check_finds(tree);

	inos_find();
	read_all(tree);
	change_all(tree);
	answered("sync", tree_sync(tree));
	(void)check_finds(tree);
	read_all(tree);
	answered("close", tree_close(tree));
	if (open_as(false, &tree))
		return found;
	answered("start", tree_start(tree));
	(void)check_finds(tree);
	answered("close", tree_close(tree));
	return found;
}

START_TEST(a_spoilt_tree_answers_and_is_told_of)
{
	const struct spoil *s = &spoils[_i];
	int want = s->finding == REFUSED ? -EUCLEAN
		   : s->finding == NEWER ? -EPROTONOSUPPORT
					 : 0;
	struct tree *tree;

	s->spoil();
	ck_assert_msg(open_as(true, &tree) == want, "%s: not as it should be",
		      s->name);
	if (want)
		return;
	inos_find();
	read_all(tree);
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(open_as(false, &tree), 0);
	ck_assert_msg(exercise(tree) == (s->finding == FOUND),
		      "%s: the check is wrong", s->name);
}
END_TEST

/* ---- Large ones ---- */

#define CYCLE_LENGTH 20000u
#define CYCLE_FIRST UINT64_C(1000000)

/* A directory of the cycle: it holds the next one. */
static void
put_link_of_cycle(unsigned i)
{
	uint64_t before = (i + CYCLE_LENGTH - 1) % CYCLE_LENGTH;

	spoilt.parent = CYCLE_FIRST + before;
	put_attr(CYCLE_FIRST + i);
	put_entry(CYCLE_FIRST + i, "sub", CYCLE_FIRST + (i + 1) % CYCLE_LENGTH,
		  S_IFDIR);
}

/* A walk for each directory over all of them would take hours where there are a
 * million. */
START_TEST(a_long_cycle_is_walked_once)
{
	struct layout_key key;
	struct tree *tree;
	uint64_t ino;
	bool gone;

	take_attr(dir_a);
	spoilt.nlink = 3;
	spoilt.entries = 1;
	for (unsigned i = 0; i < CYCLE_LENGTH; i++)
		put_link_of_cycle(i);
	put_number(layout_key_inos(&key), CYCLE_FIRST + CYCLE_LENGTH);
	tree = kit_open(kv);
	ck_assert(check_finds(tree));
	ck_assert_int_eq(tree_rename(tree, &kit_user, TREE_ROOT, keyfs_str("A"),
				     CYCLE_FIRST + 7, keyfs_str("A"), 0, &ino,
				     &gone),
			 -EUCLEAN);
	ck_assert_int_eq(tree_rename(tree, &kit_user, CYCLE_FIRST,
				     keyfs_str("sub"), CYCLE_FIRST + 7,
				     keyfs_str("A"), 0, &ino, &gone),
			 -EINVAL);
	kit_close(tree);
}
END_TEST

/* ---- Every value, and values at random ---- */

struct pair {
	struct keyfs_slice key, value; /* owned */
};

static struct pair *pairs;
static size_t pair_count, pair_cap;

static int
pair_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct pair *pair;

	(void)arg;
	(void)version;
	pairs = must_grow(pairs, pair_count, &pair_cap, sizeof(*pairs));
	pair = &pairs[pair_count++];
	pair->key = keyfs_bytes(must_copy(key.data, key.len), key.len);
	pair->value = keyfs_bytes(must_copy(value.data, value.len), value.len);
	return 0;
}

static void
pairs_take(void)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct kv_view *view;

	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, begin, end, 0, pair_each, NULL), 0);
	kv_view_close(kv, view);
}

static void
pairs_free(void)
{
	for (size_t i = 0; i < pair_count; i++) {
		free((void *)(uintptr_t)pairs[i].key.data);
		free((void *)(uintptr_t)pairs[i].value.data);
	}
	free(pairs);
	pairs = NULL;
	pair_count = pair_cap = 0;
}

/* Whether somebody tells that the tree is spoilt, after all has been tried on it. */
static bool
is_told(void)
{
	struct tree *tree;
	int rc = open_as(false, &tree);

	answered("open", rc == -EPROTONOSUPPORT ? 0 : rc);
	return rc || exercise(tree);
}

static void
again(void)
{
	teardown();
	setup();
}

/* The times in it are those of now, so that it is not always as long. */
static size_t
length_of(struct keyfs_slice key)
{
	struct keyfs_slice value = value_of(key);

	free((void *)(uintptr_t)value.data);
	return value.len;
}

static bool
is_same(struct keyfs_slice a, struct keyfs_slice b)
{
	return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

START_TEST(a_value_that_is_cut_or_has_a_tail_is_told_of)
{
	struct layout_key small;

	pairs_take();
	for (size_t i = 0; i < pair_count; i++) {
		size_t len;

		again();
		/* What is missing of contents is zeros. */
		if (_i == 1 &&
		    is_same(pairs[i].key, layout_key_attr(&small, foo)))
			continue;
		len = length_of(pairs[i].key);
		resize_value(pairs[i].key,
			     (const size_t[]){ 0, len - 1, len + 1 }[_i]);
		if (!is_told())
			ck_abort_msg("key %zu, of %zu bytes", i, len);
	}
	pairs_free();
}
END_TEST

/* A byte, a value that belongs elsewhere, a number at its limits, or nothing. */
static void
spoil_at_random(uint64_t *seed)
{
	const struct pair *pair = &pairs[suite_random(seed) % pair_count];
	const struct pair *other = &pairs[suite_random(seed) % pair_count];
	size_t at = suite_random(seed) % (pair->value.len % 64 + 1);
	uint8_t *bytes = must_alloc(pair->value.len + 16);

	memcpy(bytes, pair->value.data, pair->value.len);
	switch (suite_random(seed) % 6) {
	case 0:
		drop(pair->key);
		break;
	case 1:
		put(pair->key, other->value);
		break;
	case 2:
		memset(bytes + at, 0xff, 8);
		bytes[at + 8] = 0x7f;
		put(pair->key, keyfs_bytes(bytes, pair->value.len));
		break;
	default:
		bytes[at] = (uint8_t)suite_random(seed);
		put(pair->key, keyfs_bytes(bytes, pair->value.len));
	}
	free(bytes);
}

START_TEST(trees_spoilt_at_random_answer)
{
	const char *given = getenv("KEYFS_TEST_CASES");
	unsigned long cases = given ? strtoul(given, NULL, 0) : RANDOM_CASES;
	uint64_t seed = suite_seed();

	pairs_take();
	for (unsigned long i = 0; i < cases / RANDOM_GROUPS; i++) {
		uint64_t case_seed = seed + i;

		again();
		for (uint64_t n = suite_random(&case_seed) % 4 + 1; n > 0; n--)
			spoil_at_random(&case_seed);
		(void)is_told();
	}
	pairs_free();
	suite_cases(cases / RANDOM_GROUPS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hostile");
	TCase *tcase = tcase_create("hostile"), *many = tcase_create("many");

	tcase_set_timeout(tcase, TIMEOUT_S);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, a_spoilt_tree_answers_and_is_told_of, 0,
			    SPOILS);
	tcase_add_test(tcase, a_long_cycle_is_walked_once);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(many, 30 * TIMEOUT_S);
	tcase_add_checked_fixture(many, setup, teardown);
	tcase_add_loop_test(many, a_value_that_is_cut_or_has_a_tail_is_told_of,
			    0, 3);
	tcase_add_loop_test(many, trees_spoilt_at_random_answer, 0,
			    RANDOM_GROUPS);
	suite_add_tcase(suite, many);
	return suite_main(suite);
}
