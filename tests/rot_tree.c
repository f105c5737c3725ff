/* SPDX-License-Identifier: Apache-2.0 */
/* rot_tree.c - reads the tree in the store of rot_world.h, object by object. */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "store/checksum.h"
#include "tests/rot_impl.h"
#include "tests/suite.h"
#include "tests/tree_kit.h"

static uint64_t
hash_of(uint64_t hash, const void *data, size_t len)
{
	return hash * 31 + checksum_hash(data, len);
}

static int
hash_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	uint64_t *hash = arg;

	*hash = hash_of(*hash, name.data, name.len);
	*hash = hash_of(*hash, &attr->ino, sizeof(attr->ino));
	return 0;
}

static int
hash_xattrs(struct tree *tree, uint64_t ino, uint64_t *hash)
{
	char list[256], value[256];
	size_t len, size;
	int r = tree_listxattr(tree, &kit_user, ino, list, sizeof(list), &len);

	for (const char *name = list; r == 0 && name < list + len;
	     name += strlen(name) + 1) {
		r = tree_getxattr(tree, &kit_user, ino, keyfs_str(name), value,
				  sizeof(value), &size);
		if (r == 0) {
			*hash = hash_of(*hash, name, strlen(name));
			*hash = hash_of(*hash, value, size);
		}
	}
	return r;
}

static int
look_at_object(struct tree *tree, const struct tree_attr *attr, uint64_t *out)
{
	struct keyfs_slice none = { 0 };
	static char bytes[4 * LAYOUT_CHUNK];
	size_t len;
	char *target;
	int r;

	*out = 0;
	if (S_ISDIR(attr->mode))
		return tree_readdir(tree, &kit_user, attr->ino, none, false,
				    hash_each, out);
	if (S_ISLNK(attr->mode)) {
		r = tree_readlink(tree, &kit_user, attr->ino, &target, &len);
		if (r < 0)
			return r;
		*out = hash_of(0, target, len);
		free(target);
		return 0;
	}
	if (!S_ISREG(attr->mode))
		return 0;
	r = tree_read(tree, &kit_user, attr->ino, 0, sizeof(bytes), bytes,
		      &len);
	if (r == 0)
		*out = hash_of(0, bytes, len);
	return r == 0 ? hash_xattrs(tree, attr->ino, out) : r;
}

static int
open_tree(struct rot_world *world, struct kv **out_kv, struct tree **out)
{
	struct tree_options options = { .read_only = true };
	struct keyfs_store *store;
	int r = rot_kv_open(world->disk, &world->options, &store, out_kv);

	if (r < 0)
		return r;
	r = tree_open(*out_kv, &options, out);
	if (r < 0)
		ck_assert_int_eq(kv_close(*out_kv), 0);
	return r;
}

static void
close_tree(struct kv *kv, struct tree *tree)
{
	ck_assert_int_eq(tree_close(tree), 0);
	ck_assert_int_eq(kv_close(kv), 0);
}

static void
add_path(struct rot_world *world, struct tree *tree, const char *path)
{
	struct rot_path *p = &world->paths[world->path_count];

	ck_assert_uint_lt(world->path_count, ROT_PATHS_MAX);
	snprintf(p->path, sizeof(p->path), "%s", path);
	ck_assert_int_eq(tree_resolve(tree, &kit_user, path, &p->attr), 0);
	ck_assert_int_eq(look_at_object(tree, &p->attr, &p->hash), 0);
	world->path_count++;
}

void
rot_note_paths(struct rot_world *world)
{
	static const char *const odd[] = { "",       "dir",     "inline",
					   "chunks", "holes",   "symlink",
					   "fifo",   "hardlink" };
	struct tree *tree;
	struct kv *kv;
	char path[32];

	ck_assert_int_eq(open_tree(world, &kv, &tree), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		add_path(world, tree, odd[i]);
	for (int i = 0; i < 24; i++) {
		snprintf(path, sizeof(path), "dir/f%02d", i);
		if (i != 7)
			add_path(world, tree, path);
	}
	close_tree(kv, tree);
}

void
rot_world_look_tree(struct rot_world *world)
{
	struct tree_attr attr;
	struct tree *tree;
	struct kv *kv;
	uint64_t hash;
	int r;

	world->lines = 0;
	r = open_tree(world, &kv, &tree);
	if (r < 0) {
		rot_expect_named(world, r, "an error of opening the tree");
		return;
	}
	for (size_t i = 0; i < world->path_count; i++) {
		const struct rot_path *p = &world->paths[i];

		r = tree_resolve(tree, &kit_user, p->path, &attr);
		if (r == 0 &&
		    (attr.ino != p->attr.ino || attr.size != p->attr.size ||
		     attr.nlink != p->attr.nlink))
			rot_wrong(world, "a path has wrong attributes",
				  (long)i);
		if (r == 0)
			r = look_at_object(tree, &attr, &hash);
		if (r == 0 && hash != p->hash)
			rot_wrong(world, "a path has wrong contents", (long)i);
		if (r < 0)
			rot_expect_named(world, r, "an error of a path");
	}
	close_tree(kv, tree);
}
