/* SPDX-License-Identifier: Apache-2.0 */
/* tree_kit.c - see tree_kit.h. */
#include <config.h>

#include "tests/tree_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/layout.h"
#include "tests/suite.h"
#include "tests/tmpdir.h"

const struct tree_caller kit_user = { .uid = 1000, .gid = 1000 };

static char *lsm_dir;

struct kv *
kit_lsm(void)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 8u << 20,
					 .memtable_bytes = 256u << 10,
					 .table_bytes = 64u << 10,
					 .reserve_bytes = 1u << 20 };
	struct kv *kv;

	lsm_dir = tmpdir_new();
	ck_assert_int_eq(kv_open(lsm_dir, &options, &kv), 0);
	return kv;
}

void
kit_lsm_close(struct kv *kv)
{
	ck_assert_int_eq(kv_close(kv), 0);
	tmpdir_free(lsm_dir);
}

static int
count_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	   uint64_t version)
{
	(void)key;
	(void)value;
	(void)version;
	++*(size_t *)arg;
	return 0;
}

size_t
kit_count(struct kv *kv)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct kv_view *view;
	size_t count = 0;

	ck_assert_int_eq(kv_view_open(kv, &view), 0);
	ck_assert_int_eq(kv_scan(kv, view, begin, end, KV_KEYS_ONLY, count_each,
				 &count),
			 0);
	kv_view_close(kv, view);
	return count;
}

static void
change(struct kv *kv, enum kv_change_kind kind, struct keyfs_slice key,
       struct keyfs_slice value)
{
	struct kv_change change = { kind, key, value };
	struct kv_batch batch = { .changes = &change, .change_count = 1 };

	ck_assert_int_eq(kv_commit(kv, &batch, 0, NULL), 0);
}

void
kit_put(struct kv *kv, struct keyfs_slice key, struct keyfs_slice value)
{
	change(kv, KV_PUT, key, value);
}

void
kit_drop(struct kv *kv, struct keyfs_slice key)
{
	change(kv, KV_DELETE, key, (struct keyfs_slice){ 0 });
}

void
kit_put_entry(struct kv *kv, uint64_t parent, const char *name, uint64_t ino,
	      uint32_t type)
{
	struct layout_entry entry = { ino, type };
	uint8_t value[LAYOUT_ENTRY_MAX];
	struct layout_key key;

	kit_put(kv, layout_key_entry(&key, parent, keyfs_str(name)),
		keyfs_bytes(value, layout_entry_encode(&entry, value)));
}

struct tree *
kit_open(struct kv *kv)
{
	struct tree_options options = { .root_uid = 1000, .root_gid = 1000 };
	struct tree *tree;

	ck_assert_int_eq(tree_open(kv, &options, &tree), 0);
	return tree;
}

void
kit_close(struct tree *tree)
{
	ck_assert_int_eq(tree_close(tree), 0);
}

uint64_t
kit_create(struct tree *tree, uint64_t parent, const char *name)
{
	struct tree_attr attr;

	ck_assert_int_eq(tree_mknod(tree, &kit_user, parent, keyfs_str(name),
				    S_IFREG | 0644, 0, &attr),
			 0);
	return attr.ino;
}

uint64_t
kit_mkdir(struct tree *tree, uint64_t parent, const char *name)
{
	struct tree_attr attr;

	ck_assert_int_eq(tree_mkdir(tree, &kit_user, parent, keyfs_str(name),
				    0755, &attr),
			 0);
	return attr.ino;
}

uint64_t
kit_find(struct tree *tree, uint64_t parent, const char *name)
{
	struct tree_attr attr;

	ck_assert_int_eq(tree_lookup(tree, &kit_user, parent, keyfs_str(name),
				     &attr),
			 0);
	return attr.ino;
}

struct tree_attr
kit_attr(struct tree *tree, uint64_t ino)
{
	struct tree_attr attr;

	ck_assert_int_eq(tree_getattr(tree, &kit_user, ino, &attr), 0);
	return attr;
}

void
kit_write(struct tree *tree, uint64_t ino, uint64_t offset, const char *text)
{
	ck_assert_int_eq(tree_write(tree, &kit_user, ino, offset,
				    keyfs_str(text)),
			 0);
}

/* In pieces, as the kernel sends them. */
void
kit_fill(struct tree *tree, uint64_t ino, uint64_t offset, size_t len, char c)
{
	static char bytes[1 << 20];

	memset(bytes, c, sizeof(bytes));
	while (len > 0) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);

		ck_assert_int_eq(tree_write(tree, &kit_user, ino, offset,
					    keyfs_bytes(bytes, n)),
				 0);
		offset += n;
		len -= n;
	}
}

static void
resize(struct tree *tree, uint64_t ino, uint64_t size, unsigned how)
{
	struct tree_attr attr = { .size = size };

	ck_assert_int_eq(tree_setattr(tree, &kit_user, ino, TREE_SET_SIZE | how,
				      &attr, &attr),
			 0);
	ck_assert_uint_eq(attr.size, size);
}

void
kit_truncate(struct tree *tree, uint64_t ino, uint64_t size)
{
	resize(tree, ino, size, TREE_SET_BY_HANDLE);
}

void
kit_empty(struct tree *tree, uint64_t ino)
{
	resize(tree, ino, 0, 0);
}

void
kit_unlink(struct tree *tree, uint64_t parent, const char *name)
{
	uint64_t ino;
	bool gone;

	ck_assert_int_eq(tree_unlink(tree, &kit_user, parent, keyfs_str(name),
				     &ino, &gone),
			 0);
}

void
kit_rename(struct tree *tree, uint64_t parent, const char *name,
	   uint64_t new_parent, const char *new_name)
{
	uint64_t ino;
	bool gone;

	ck_assert_int_eq(tree_rename(tree, &kit_user, parent, keyfs_str(name),
				     new_parent, keyfs_str(new_name), 0, &ino,
				     &gone),
			 0);
}

void
kit_setxattr(struct tree *tree, uint64_t ino, const char *name,
	     const char *value)
{
	ck_assert_int_eq(tree_setxattr(tree, &kit_user, ino, keyfs_str(name),
				       keyfs_str(value), 0),
			 0);
}

const char *
kit_read(struct tree *tree, uint64_t ino)
{
	static char bytes[1 << 16];
	size_t len;

	ck_assert_int_eq(tree_read(tree, &kit_user, ino, 0, sizeof(bytes) - 1,
				   bytes, &len),
			 0);
	bytes[len] = '\0';
	return bytes;
}

void
kit_expect(struct tree *tree, uint64_t ino, uint64_t offset, size_t len, char c)
{
	char *bytes = malloc(len);
	size_t got;

	ck_assert_int_eq(tree_read(tree, &kit_user, ino, offset, len, bytes,
				   &got),
			 0);
	ck_assert_uint_eq(got, len);
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != c)
			ck_abort_msg("byte %zu is %d, not %d",
				     (size_t)offset + i, bytes[i], c);
	free(bytes);
}

static int
print_problem(void *arg, const char *where, const char *what)
{
	(void)arg;
	printf("%s: %s\n", where, what);
	fflush(stdout);
	return 0;
}

void
kit_check(struct tree *tree)
{
	ck_assert_int_eq(tree_check(tree, print_problem, NULL), 0);
}
