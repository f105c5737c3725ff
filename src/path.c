/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - makes paths absolute, clean, and longer; see path.h. */
#include <config.h>

#include "src/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree.h"

/* The part of path_absolute() for a last component that cannot be looked at. */
static int
absolute_parent(const char *path, char **out)
{
	size_t len = strlen(path), base;
	char *copy, *parent;
	int r;

	while (len > 1 && path[len - 1] == '/')
		len--;
	copy = strndup(path, len);
	if (copy == NULL)
		return -ENOMEM;
	for (base = len; base > 0 && copy[base - 1] != '/'; base--)
		;
	if (strcmp(copy + base, "..") == 0 || strcmp(copy + base, ".") == 0) {
		free(copy);
		return -ENOENT;
	}
	if (base > 0)
		copy[base - 1] = '\0';
	parent = realpath(base == 0 ? "." : base == 1 ? "/" : copy, NULL);
	if (parent == NULL)
		r = -errno;
	else if (asprintf(out, "%s/%s", strcmp(parent, "/") ? parent : "",
			  copy + base) < 0)
		r = -ENOMEM;
	else
		r = 0;
	free(parent);
	free(copy);
	return r;
}

int
path_absolute(const char *path, char **out)
{
	char *real;

	if (path[0] == '\0')
		return -ENOENT;
	real = realpath(path, NULL);
	if (real == NULL && (errno == ENOENT || errno == ENOTCONN))
		return absolute_parent(path, out);
	if (real == NULL)
		return -errno;
	*out = real;
	return 0;
}

int
path_absolute_nofollow(const char *path, char **out)
{
	size_t len = strlen(path);
	struct stat st;
	char *plain;
	int r;

	/* With a slash at its end the link would be followed. */
	while (len > 1 && path[len - 1] == '/')
		len--;
	plain = strndup(path, len);
	if (plain == NULL)
		return -ENOMEM;
	if (lstat(plain, &st) == 0 && S_ISLNK(st.st_mode))
		r = absolute_parent(plain, out);
	else
		r = path_absolute(plain, out);
	free(plain);
	return r;
}

int
path_clean(const char *path, char **out)
{
	char *clean = malloc(strlen(path) + 1);
	size_t len = 0;

	if (clean == NULL)
		return -ENOMEM;
	while (*path != '\0') {
		size_t n = strcspn(path, "/");

		if (n > TREE_NAME_MAX ||
		    (n == 2 && memcmp(path, "..", 2) == 0)) {
			free(clean);
			return n == 2 ? -EINVAL : -ENAMETOOLONG;
		}
		if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (len > 0)
				clean[len++] = '/';
			memcpy(clean + len, path, n);
			len += n;
		}
		path += n;
		path += strspn(path, "/");
	}
	clean[len] = '\0';
	*out = clean;
	return 0;
}

int
path_join(const char *parent, const char *name, size_t name_len, char **out)
{
	size_t len = strlen(parent);
	char *joined = malloc(len + 1 + name_len + 1);

	if (joined == NULL)
		return -ENOMEM;
	memcpy(joined, parent, len);
	if (len > 0)
		joined[len++] = '/';
	memcpy(joined + len, name, name_len);
	joined[len + name_len] = '\0';
	*out = joined;
	return 0;
}

const char *
path_base(const char *path, size_t *out_parent_len)
{
	const char *slash = strrchr(path, '/');

	*out_parent_len = slash == NULL ? 0 : (size_t)(slash - path);
	return slash == NULL ? path : slash + 1;
}
