/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_spoils_names.c - names, links, parents and numbers of inodes that lie. */
#include <config.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/hostile_spoils.h"
#include "tests/must.h"
#include "tests/tree_kit.h"

static void
nothing(struct hostile_tree *t)
{
	(void)t;
}

static void
dir_holds_itself(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->sub, "self", t->sub, S_IFDIR);
	hostile_set_entries(t, t->sub, 2);
	hostile_set_nlink(t, t->sub, 3);
}

/* A lies in sub, and sub in A; the root knows of neither. */
static void
dirs_hold_each_other(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->sub, "A", t->dir_a, S_IFDIR);
	hostile_set_entries(t, t->sub, 2);
	hostile_set_nlink(t, t->sub, 3);
	hostile_set_parent(t, t->dir_a, t->sub);
	hostile_drop_entry(t, TREE_ROOT, "A");
	hostile_set_entries(t, TREE_ROOT, 1);
	hostile_set_nlink(t, TREE_ROOT, 3);
}

/* The same, and the root still has A. */
static void
cycle_is_reached(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->sub, "A", t->dir_a, S_IFDIR);
	hostile_set_entries(t, t->sub, 2);
	hostile_set_nlink(t, t->sub, 3);
	hostile_set_parent(t, t->dir_a, t->sub);
}

static void
dir_has_two_parents(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_b, "sub", t->sub, S_IFDIR);
	hostile_set_entries(t, t->dir_b, 3);
	hostile_set_nlink(t, t->dir_b, 3);
}

static void
root_is_an_entry(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_b, "root", TREE_ROOT, S_IFDIR);
	hostile_set_entries(t, t->dir_b, 3);
	hostile_set_nlink(t, t->dir_b, 3);
}

static void
empty_root_is_an_entry(struct hostile_tree *t)
{
	root_is_an_entry(t);
	hostile_set_entries(t, TREE_ROOT, 0);
}

static void
name_is_empty(struct hostile_tree *t)
{
	hostile_put_name(t, "", 0);
}

static void
name_is_dot(struct hostile_tree *t)
{
	hostile_put_name(t, ".", 1);
}

static void
name_is_dots(struct hostile_tree *t)
{
	hostile_put_name(t, "..", 2);
}

static void
name_is_slash(struct hostile_tree *t)
{
	hostile_put_name(t, "/", 1);
}

static void
name_leaves_the_tree(struct hostile_tree *t)
{
	hostile_put_name(t, "../../etc/passwd", 16);
}

static void
name_has_nul(struct hostile_tree *t)
{
	hostile_put_name(t, "foo\0bar", 7);
}

static void
name_of_256(struct hostile_tree *t)
{
	char name[256];

	memset(name, 'n', sizeof(name));
	hostile_put_name(t, name, sizeof(name));
}

static void
name_of_60000(struct hostile_tree *t)
{
	char *name = must_alloc(60000);

	memset(name, 'n', 60000);
	hostile_put_name(t, name, 60000);
	free(name);
}

static void
file_without_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->foo, 0);
}

static void
file_with_many_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->foo, LAYOUT_LINK_MAX);
}

static void
file_with_more_links_than_any(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->foo, LAYOUT_LINK_MAX + 1u);
}

static void
dir_without_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->dir_a, 0);
}

static void
dir_with_one_link(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->dir_a, 1);
}

static void
dir_with_two_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->dir_a, 2);
}

static void
dir_with_all_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, t->dir_a, LAYOUT_LINK_MAX);
}

static void
root_without_links(struct hostile_tree *t)
{
	hostile_set_nlink(t, TREE_ROOT, 0);
}

static void
dir_says_it_is_empty(struct hostile_tree *t)
{
	hostile_set_entries(t, t->dir_a, 0);
}

static void
dir_has_all_entries(struct hostile_tree *t)
{
	hostile_set_entries(t, t->dir_a, LAYOUT_INO_MAX);
	hostile_set_entries(t, t->dir_b, LAYOUT_INO_MAX);
}

static void
inode_zero(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "zero", 0, S_IFREG);
	hostile_take_attr(t, t->foo);
	hostile_put_attr(t, 0);
	hostile_put_orphan(t, 0, LAYOUT_ORPHAN_REMOVE);
}

static void
inode_beyond_the_last(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "beyond", LAYOUT_INO_MAX + 1, S_IFREG);
	hostile_take_attr(t, t->foo);
	hostile_put_attr(t, LAYOUT_INO_MAX + 1);
	hostile_put_orphan(t, LAYOUT_INO_MAX + 1, LAYOUT_ORPHAN_REMOVE);
}

static void
inode_of_all_ones(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "ones", UINT64_MAX, S_IFREG);
	hostile_take_attr(t, t->foo);
	hostile_put_attr(t, UINT64_MAX);
}

static void
inode_is_missing(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "missing", 5000000, S_IFREG);
}

static void
entry_says_dir_of_a_file(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "foo", t->foo, S_IFDIR);
}

static void
entry_says_file_of_a_dir(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->dir_a, "sub", t->sub, S_IFREG);
}

static void
file_has_entries(struct hostile_tree *t)
{
	kit_put_entry(t->kv, t->foo, "below", t->bar, S_IFREG);
}

static void
parent_is_a_file(struct hostile_tree *t)
{
	hostile_set_parent(t, t->sub, t->foo);
}

static void
parent_is_missing(struct hostile_tree *t)
{
	hostile_set_parent(t, t->sub, 5000000);
}

static void
parent_is_itself(struct hostile_tree *t)
{
	hostile_set_parent(t, t->sub, t->sub);
}

static void
parent_is_another(struct hostile_tree *t)
{
	hostile_set_parent(t, t->sub, t->dir_b);
}

static void
root_has_a_parent(struct hostile_tree *t)
{
	hostile_set_parent(t, TREE_ROOT, t->dir_a);
}

static const struct hostile_spoil spoils[] = {
	HOSTILE_SPOIL(nothing, HOSTILE_CLEAN),
	HOSTILE_SPOIL(dir_holds_itself, HOSTILE_FOUND),
	HOSTILE_SPOIL(dirs_hold_each_other, HOSTILE_FOUND),
	HOSTILE_SPOIL(cycle_is_reached, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_has_two_parents, HOSTILE_FOUND),
	HOSTILE_SPOIL(root_is_an_entry, HOSTILE_FOUND),
	HOSTILE_SPOIL(empty_root_is_an_entry, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_is_empty, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_is_dot, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_is_dots, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_is_slash, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_leaves_the_tree, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_has_nul, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_of_256, HOSTILE_FOUND),
	HOSTILE_SPOIL(name_of_60000, HOSTILE_FOUND),
	HOSTILE_SPOIL(file_without_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(file_with_many_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(file_with_more_links_than_any, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_without_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_with_one_link, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_with_two_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_with_all_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(root_without_links, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_says_it_is_empty, HOSTILE_FOUND),
	HOSTILE_SPOIL(dir_has_all_entries, HOSTILE_FOUND),
	HOSTILE_SPOIL(inode_zero, HOSTILE_FOUND),
	HOSTILE_SPOIL(inode_beyond_the_last, HOSTILE_FOUND),
	HOSTILE_SPOIL(inode_of_all_ones, HOSTILE_FOUND),
	HOSTILE_SPOIL(inode_is_missing, HOSTILE_FOUND),
	HOSTILE_SPOIL(entry_says_dir_of_a_file, HOSTILE_FOUND),
	HOSTILE_SPOIL(entry_says_file_of_a_dir, HOSTILE_FOUND),
	HOSTILE_SPOIL(file_has_entries, HOSTILE_FOUND),
	HOSTILE_SPOIL(parent_is_a_file, HOSTILE_FOUND),
	HOSTILE_SPOIL(parent_is_missing, HOSTILE_FOUND),
	HOSTILE_SPOIL(parent_is_itself, HOSTILE_FOUND),
	HOSTILE_SPOIL(parent_is_another, HOSTILE_FOUND),
	HOSTILE_SPOIL(root_has_a_parent, HOSTILE_FOUND),
};

const struct hostile_spoils hostile_names = {
	spoils, sizeof(spoils) / sizeof(spoils[0])
};
