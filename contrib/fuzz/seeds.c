/* SPDX-License-Identifier: Apache-2.0 */
/* seeds.c - makes the inputs that fuzzing begins with, from what the real encoders
 * write: `seeds DIRECTORY` fills DIRECTORY/TARGET/.  The same ones each time, but for
 * what a tree has of chance. */
#include <config.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "contrib/fuzz/fuzz.h"
#include "fs/tree.h"
#include "store/coding.h"
#include "store/db.h"
#include "tests/fault_env.h"
#include "tests/kv_mem.h"
#include "tests/must.h"

static const struct tree_caller user = { .uid = 1000, .gid = 1000 };
static const char *top;

static void
write_seed(const char *target, const char *name, const void *data, size_t len)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", top, target);
	(void)mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/%s", top, target, name);
	file = fopen(path, "wb");
	if (!file || fwrite(data, 1, len, file) != len || fclose(file))
		abort();
}

/* One byte that chooses, then the bytes. */
static void
write_chosen(const char *target, uint8_t choice, const char *name,
	     const void *data, size_t len)
{
	uint8_t *all = must_alloc(len + 1);

	all[0] = choice;
	if (len > 0)
		memcpy(all + 1, data, len);
	write_seed(target, name, all, len + 1);
	free(all);
}

/* ---- Files of a store ---- */

struct archive {
	struct fault_env *disk;
	uint8_t *data;
	size_t len;
};

static void
archive_add(struct archive *a, const char *name, const uint8_t *data,
	    size_t len)
{
	size_t name_len = strlen(name);
	uint8_t *at;

	a->data = must_realloc(a->data, a->len + 1 + name_len + 4 + len);
	at = a->data + a->len;
	*at++ = (uint8_t)name_len;
	memcpy(at, name, name_len);
	put_le32(at + name_len, (uint32_t)len);
	memcpy(at + name_len + 4, data, len);
	a->len += 1 + name_len + 4 + len;
}

static int
each_file(void *arg, const char *path)
{
	struct archive *a = arg;
	const char *name = strchr(path, '/') + 1;
	uint64_t size;
	uint8_t *data;

	if (!strncmp(name, "LO", 2) || !strcmp(name, "RESERVE") ||
	    fault_env_size(a->disk, name, &size) < 0)
		return 0;
	data = must_alloc(size);
	if (size > 0 && fault_env_peek(a->disk, name, 0, data, size) < 0)
		abort();
	if (strstr(name, ".sst")) {
		write_seed("table", name, data, size);
	} else {
		/* Room made ahead. */
		while (size > 64 && !data[size - 1] && !data[size - 65])
			size--;
		if (strstr(name, ".log"))
			write_seed("log", name, data, size);
		else if (strstr(name, "MANIFEST-"))
			write_seed("manifest", name, data, size);
	}
	archive_add(a, name, data, size);
	free(data);
	return 0;
}

static void
fill_store(struct keyfs_store *store)
{
	char key[16], value[64];
	int i, round;

	for (round = 0; round < 3; round++) {
		for (i = round; i < 60; i += round + 1) {
			snprintf(key, sizeof(key), "key%06d", i);
			snprintf(value, sizeof(value), "%d in round %d", i,
				 round);
			fuzz_expect(keyfs_put(store, NULL, keyfs_str(key),
					      keyfs_str(value), 0) == 0);
		}
		fuzz_expect(keyfs_delete(store, NULL, keyfs_str("key000004"),
					 0) == 0);
		if (round < 2)
			fuzz_expect(keyfs_flush(store) == 0);
	}
	fuzz_expect(keyfs_sync(store) == 0);
}

static void
make_store_seeds(void)
{
	struct keyfs_options options = { .size = sizeof(options),
					 .create = true,
					 .memory_bytes = 1 << 20,
					 .block_bytes = 256,
					 .reserve_bytes = 4096 };
	struct archive a = { .disk = fault_env_new(1) };
	struct keyfs_store *store;

	fuzz_expect(db_open(fault_env(a.disk), "store", &options, &store) == 0);
	fill_store(store);
	fuzz_expect(keyfs_close(store) == 0);
	(void)fault_env_each(a.disk, each_file, &a);
	write_seed("store", "three-rounds", a.data, a.len);
	free(a.data);
	fault_env_free(a.disk);
}

/* ---- A tree ---- */

struct pairs {
	uint8_t *data;
	size_t len;
	unsigned count;
};

static int
each_pair(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct pairs *p = arg;
	const uint8_t *bytes = key.data;
	char name[32];
	uint8_t *at;

	(void)version;
	p->data = must_realloc(p->data, p->len + 3 + key.len + value.len);
	at = p->data + p->len;
	*at = (uint8_t)key.len;
	memcpy(at + 1, key.data, key.len);
	at += 1 + key.len;
	at[0] = (uint8_t)value.len;
	at[1] = (uint8_t)(value.len >> 8);
	memcpy(at + 2, value.data, value.len);
	p->len += 3 + key.len + value.len;
	snprintf(name, sizeof(name), "value-%u", p->count);
	if (bytes[0] == 'I' && key.len > 9 && bytes[9] == 'A')
		write_chosen("layout", 0, name, value.data, value.len);
	else if (bytes[0] == 'I' && key.len > 9 && bytes[9] == 'E')
		write_chosen("layout", 1, name, value.data, value.len);
	else if (bytes[0] == 'S')
		write_chosen("layout", key.len == 1 ? 2 : 3, name, value.data,
			     value.len);
	snprintf(name, sizeof(name), "key-%u", p->count++);
	write_chosen("layout", 4, name, key.data, key.len);
	return 0;
}

static void
make_tree_seeds(void)
{
	struct keyfs_slice begin = keyfs_bytes("\0", 1), end = { 0 };
	struct pairs p = { .count = 0 };
	struct kv *kv = kv_mem_new();
	struct tree_options options = { .root_uid = 1000 };
	struct tree_attr attr = { 0 }, dir;
	struct kv_view *view;
	struct tree *tree;
	char text[3000];

	memset(text, 'x', sizeof(text));
	fuzz_expect(tree_open(kv, &options, &tree) == 0);
	fuzz_expect(tree_mkdir(tree, &user, TREE_ROOT, keyfs_str("d"), 0755,
			       &dir) == 0);
	(void)tree_mknod(tree, &user, dir.ino, keyfs_str("long"),
			 S_IFREG | 0644, 0, &attr);
	(void)tree_write(tree, &user, attr.ino, 0,
			 keyfs_bytes(text, sizeof(text)));
	(void)tree_symlink(tree, &user, dir.ino, keyfs_str("link"),
			   keyfs_str("../a"), &attr);
	(void)tree_mknod(tree, &user, TREE_ROOT, keyfs_str("a"), S_IFREG | 0644,
			 0, &attr);
	(void)tree_write(tree, &user, attr.ino, 0, keyfs_str("some text"));
	(void)tree_link(tree, &user, attr.ino, dir.ino, keyfs_str("again"),
			&attr);
	fuzz_expect(tree_close(tree) == 0);
	fuzz_expect(kv_view_open(kv, &view) == 0);
	fuzz_expect(kv_scan(kv, view, begin, end, 0, each_pair, &p) == 0);
	kv_view_close(kv, view);
	write_seed("tree", "small", p.data, p.len);
	free(p.data);
	fuzz_expect(kv_close(kv) == 0);
}

/* ---- The rest ---- */

static void
make_other_seeds(void)
{
	static const uint8_t batch[] = { 2,   1,   0, 1, 'a', 2,
					 'x', 'y', 2, 0, 1,   'b' };
	static const uint8_t edit[] = { 1,    4, 2, 6,    3,   9, 7,
					0,    0, 5, 0xac, 2,   9, 0,
					0x1b, 1, 9, 1,    'a', 1, 'c' };
	uint8_t ops[300];
	size_t i;

	for (i = 0; i < sizeof(ops); i++)
		ops[i] = (uint8_t)(i * 37 + i / 7);
	write_seed("ops", "mixed", ops, sizeof(ops));
	write_chosen("codes", 0, "batch", batch, sizeof(batch));
	write_chosen("codes", 1, "edit", edit, sizeof(edit));
	write_seed("text", "options", "ro,memory=64M,commit_interval=2.5", 33);
	write_seed("text", "path", "/a//b/./c/", 10);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return EXIT_FAILURE;
	top = argv[1];
	make_store_seeds();
	make_tree_seeds();
	make_other_seeds();
	return EXIT_SUCCESS;
}
