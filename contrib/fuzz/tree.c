/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - a tree that somebody made up: a row of keys and values,
 *
 *	key length u8, key, value length le16, value
 *
 * is put into an engine in memory, opened, checked, read and changed. */
#include <config.h>

#include <string.h>
#include <sys/stat.h>

#include "contrib/fuzz/fuzz.h"
#include "fs/tree.h"
#include "tests/kv_mem.h"

enum { DEPTH_MAX = 4, ENTRIES_MAX = 64, READ_BYTES = 40000 };

static const struct tree_caller user = { .uid = 1000, .gid = 1000 };

struct walk {
	struct tree *tree;
	unsigned depth, entries;
};

static void look(struct walk *w, uint64_t ino, uint32_t mode);

static int
each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct walk *w = arg;

	fuzz_expect(name.len > 0 && name.len <= TREE_NAME_MAX &&
		    !memchr(name.data, '/', name.len) &&
		    !memchr(name.data, '\0', name.len));
	if (w->entries++ >= ENTRIES_MAX)
		return 1;
	look(w, attr->ino, attr->mode);
	return 0;
}

static void
look(struct walk *w, uint64_t ino, uint32_t mode)
{
	static uint8_t bytes[READ_BYTES];
	struct keyfs_slice all = { 0 };
	struct tree_attr attr;
	char *target;
	size_t len;

	(void)tree_getattr(w->tree, &user, ino, &attr);
	(void)tree_read(w->tree, &user, ino, 10, sizeof(bytes), bytes, &len);
	if (tree_readlink(w->tree, &user, ino, &target, &len) == 0)
		free(target);
	if (!S_ISDIR(mode) || w->depth == DEPTH_MAX)
		return;
	w->depth++;
	(void)tree_readdir(w->tree, &user, ino, all, true, each, w);
	w->depth--;
}

static void
change(struct tree *tree)
{
	struct tree_attr attr = { .size = 70000 };
	struct keyfs_slice name = keyfs_str("a");
	uint64_t ino;
	bool gone;

	if (tree_lookup(tree, &user, TREE_ROOT, name, &attr) == 0) {
		ino = attr.ino;
		attr.size = 70000;
		(void)tree_write(tree, &user, ino, 5, keyfs_str("text"));
		(void)tree_setattr(tree, &user, ino, TREE_SET_SIZE, &attr,
				   &attr);
	}
	(void)tree_rename(tree, &user, TREE_ROOT, name, TREE_ROOT,
			  keyfs_str("b"), 0, &ino, &gone);
	(void)tree_unlink(tree, &user, TREE_ROOT, keyfs_str("b"), &ino, &gone);
	(void)tree_mknod(tree, &user, TREE_ROOT, name, S_IFREG | 0644, 0,
			 &attr);
}

static void
plant(struct kv *kv, struct fuzz_input *in)
{
	struct kv_change put = { .kind = KV_PUT };
	struct kv_batch batch = { .changes = &put, .change_count = 1 };
	const uint8_t *bytes;
	size_t len;

	while (in->at < in->end) {
		bytes = fuzz_take_bytes(in, fuzz_take(in, 1), &len);
		put.key = keyfs_bytes(bytes, len);
		bytes = fuzz_take_bytes(in, fuzz_take(in, 2), &len);
		put.value = keyfs_bytes(bytes, len);
		if (put.key.len > 0)
			fuzz_expect(kv_commit(kv, &batch, 0, NULL) == 0);
	}
}

void
fuzz_tree(const uint8_t *data, size_t size)
{
	struct tree_options options = { .root_uid = 1000 };
	struct fuzz_input in = { data, data + size };
	struct kv *kv = kv_mem_new();
	struct walk w = { 0 };

	plant(kv, &in);
	if (tree_open(kv, &options, &w.tree) == 0) {
		(void)tree_check(w.tree, NULL, NULL);
		look(&w, TREE_ROOT, S_IFDIR);
		change(w.tree);
		(void)tree_check(w.tree, NULL, NULL);
		(void)tree_close(w.tree);
	}
	fuzz_expect(kv_close(kv) == 0);
}
