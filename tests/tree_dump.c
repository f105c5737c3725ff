/* SPDX-License-Identifier: Apache-2.0 */
/* tree_dump.c - see tree_dump.h. */
#include <config.h>

#include "tests/tree_dump.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "tests/suite.h"
#include "tests/tree_kit.h"

void
dump_line(FILE *to, const char *path, uint32_t mode, unsigned nlink,
	  const void *data, size_t size)
{
	fprintf(to, "%s %o %u %zu %016" PRIx64 "\n", path, mode, nlink, size,
		(uint64_t)XXH3_64bits(data ? data : "", size));
}

void
dump_xattr(FILE *to, const char *path, const char *name, const void *data,
	   size_t size)
{
	fprintf(to, "%s: %s %zu %016" PRIx64 "\n", path, name, size,
		(uint64_t)XXH3_64bits(data ? data : "", size));
}

struct dump {
	FILE *to;
	struct tree *tree;
	const char *path;
};

static void tree_dump_node(FILE *to, struct tree *tree, const char *path,
			   const struct tree_attr *attr);

static int
dump_each(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	const struct dump *d = arg;
	char path[256];

	snprintf(path, sizeof(path), "%s/%.*s", d->path, (int)name.len,
		 (const char *)name.data);
	tree_dump_node(d->to, d->tree, path, attr);
	return 0;
}

static void
tree_dump_xattrs(FILE *to, struct tree *tree, const char *path, uint64_t ino)
{
	static char list[TREE_XATTR_SIZE_MAX], value[TREE_XATTR_SIZE_MAX];
	size_t len, size;

	ck_assert_int_eq(tree_listxattr(tree, &kit_user, ino, list,
					sizeof(list), &len),
			 0);
	for (const char *name = list; name < list + len;
	     name += strlen(name) + 1) {
		ck_assert_int_eq(tree_getxattr(tree, &kit_user, ino,
					       keyfs_str(name), value,
					       sizeof(value), &size),
				 0);
		dump_xattr(to, path, name, value, size);
	}
}

static void
tree_dump_node(FILE *to, struct tree *tree, const char *path,
	       const struct tree_attr *attr)
{
	struct dump d = { to, tree, path };
	char *data = NULL;
	size_t len = 0;

	if (S_ISLNK(attr->mode)) {
		ck_assert_int_eq(tree_readlink(tree, &kit_user, attr->ino,
					       &data, &len),
				 0);
	} else if (S_ISREG(attr->mode)) {
		data = malloc(attr->size + 1);
		ck_assert_int_eq(tree_read(tree, &kit_user, attr->ino, 0,
					   attr->size + 1, data, &len),
				 0);
	}
	dump_line(to, path, attr->mode, attr->nlink, data, len);
	free(data);
	tree_dump_xattrs(to, tree, path, attr->ino);
	if (S_ISDIR(attr->mode))
		ck_assert_int_eq(tree_readdir(tree, &kit_user, attr->ino,
					      (struct keyfs_slice){ 0 }, true,
					      dump_each, &d),
				 0);
}

char *
tree_dump(struct tree *tree)
{
	struct tree_attr root = kit_attr(tree, TREE_ROOT);
	char *out;
	size_t len;
	FILE *to = open_memstream(&out, &len);

	tree_dump_node(to, tree, "", &root);
	fclose(to);
	return out;
}

void
dump_expect(const char *got, const char *want)
{
	size_t line = 0, at = 0;

	for (; got[at] && got[at] == want[at]; at++)
		if (got[at] == '\n')
			line = at + 1;
	if (got[at] != want[at])
		ck_abort_msg("got \"%.*s\", want \"%.*s\"",
			     (int)strcspn(got + line, "\n"), got + line,
			     (int)strcspn(want + line, "\n"), want + line);
}
