/* SPDX-License-Identifier: Apache-2.0 */
/* ops_lookup.c - LOOKUP and FORGET; see ops.h. */
#include <config.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/ops.h"
#include "fs/session.h"

/* Above every inode number: its view number is never given out. */
#define PROBE_INO (UINT64_C(0xffff) << 48)

/* The kernel may keep "there is no such name" too: only it makes names. */
static void
reply_absent(fuse_req_t req)
{
	struct fuse_entry_param e = { .entry_timeout = ops_of(req)->timeout_s };

	fuse_reply_entry(req, &e);
}

/* The file that the mounting thread opens. It has attributes for a minute and a
 * name for no time at all, and is never counted. */
static void
reply_probe(fuse_req_t req)
{
	struct fuse_entry_param e = { .ino = PROBE_INO, .attr_timeout = 60 };

	e.attr.st_ino = PROBE_INO;
	e.attr.st_mode = S_IFREG | 0444;
	e.attr.st_nlink = 1;
	fuse_reply_entry(req, &e);
}

/* Acquire: the name was written before. */
static bool
is_probe(const struct ops *ops, fuse_ino_t parent, const char *name)
{
	return parent == TREE_ROOT &&
	       atomic_load_explicit(&ops->probing, memory_order_acquire) &&
	       strcmp(name, ops->probe_name) == 0;
}

void
ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct ops *ops = ops_of(req);
	struct tree_caller caller = ops_reader(req);
	struct tree_attr attr;
	int r;

	if (is_probe(ops, parent, name)) {
		reply_probe(req);
		return;
	}
	/* "." asks for an object by its number, a file too
	 * (open_by_handle_at). */
	if (strcmp(name, ".") == 0)
		r = tree_getattr(ops->tree, &caller, parent, &attr);
	else
		r = tree_lookup(ops->tree, &caller, parent, keyfs_str(name),
				&attr);
	/* An orphan that nobody holds may vanish at any time. */
	if (r == 0 && attr.nlink == 0 &&
	    !handle_table_in_use(ops->handles, attr.ino))
		r = -ENOENT;
	if (r == -ENOENT)
		reply_absent(req);
	else if (r != 0)
		ops_reply_result(req, r);
	else
		ops_reply_object(req, &attr, NULL);
}

void
ops_forget_one(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	ops_forget(ops_of(req), ino, count);
	fuse_reply_none(req);
}

void
ops_forget_many(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	size_t i;

	for (i = 0; i < count; i++)
		ops_forget(ops_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}
