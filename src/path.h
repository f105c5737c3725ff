/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - the two kinds of paths on the command line: places in the system, and
 * names inside a store.
 *
 * A clean path has no leading, trailing or double '/', no "." and no ".."; the
 * root is "".  Both doors to the files take clean paths, so that they agree on
 * what a path means.  No state. */
#ifndef SRC_PATH_H
#define SRC_PATH_H

#include <stddef.h>
#include <stdint.h>

/* An absolute path without symbolic links; the last component may be absent, or
 * a mountpoint whose daemon has died.  The caller frees *out. */
int path_absolute(const char *path, char **out);

/* The same, but the last component is left as it is if it is a symbolic link, for
 * those who refuse one. */
int path_absolute_nofollow(const char *path, char **out);

/* Cleans a path inside a store; the caller frees *out.  -EINVAL: it holds "..".
 * -ENAMETOOLONG: a component is longer than 255 bytes. */
int path_clean(const char *path, char **out);

/* `parent`/`name`, or `name` alone below the root.  The caller frees *out. */
int
path_join(const char *parent, const char *name, size_t name_len, char **out);

/* The last component of a clean path, in the same string; what is before it has
 * *out_parent_len bytes. */
const char *path_base(const char *path, size_t *out_parent_len);

#endif
