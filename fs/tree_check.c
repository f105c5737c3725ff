/* SPDX-License-Identifier: Apache-2.0 */
/* tree_check.c - reads every key and compares what the parts say of each other.
 *
 * Three passes over one view: all attributes into an array, in order of inode number;
 * every other key against that array; then the array itself.  It takes some 120 bytes
 * an inode. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/tree_impl.h"

/* What the attributes say, and what was counted. */
struct node {
	uint64_t ino;
	struct layout_attr a; /* without contents */
	uint64_t names, subdirs, entries, stored, xattrs;
	uint64_t named_in;       /* the last directory with a name for it */
	enum layout_orphan owed; /* 0: nothing */
	bool has_target;
	enum { PATH_UNKNOWN, PATH_WALKED, PATH_ROOTED, PATH_NONE } path;
};

struct check {
	struct op *op;
	tree_problem_fn problem;
	void *arg;
	struct node *nodes; /* owned, by inode number */
	size_t count, capacity;
	uint64_t bound; /* of 'S' 'N' */
	uint64_t bytes;
	bool bad;
	int stop; /* what `problem` returned */
};

/* ---- Reporting ---- */

static int
report(struct check *c, const char *what, const char *where)
{
	c->bad = true;
	if (c->problem)
		c->stop = c->problem(c->arg, where, what);
	return c->stop;
}

static int
report_inode(struct check *c, uint64_t ino, const char *what)
{
	char where[64];

	snprintf(where, sizeof(where), "inode %" PRIu64, ino);
	return report(c, what, where);
}

static int
report_count(struct check *c, uint64_t ino, const char *what, uint64_t is,
	     uint64_t counted)
{
	char text[128];

	snprintf(text, sizeof(text), "%s is %" PRIu64 ", should be %" PRIu64,
		 what, is, counted);
	return report_inode(c, ino, text);
}

static int
report_entry(struct check *c, const struct layout_place *at, const char *what)
{
	char where[64 + LAYOUT_NAME_MAX];

	snprintf(where, sizeof(where), "inode %" PRIu64 ", name %.*s", at->ino,
		 (int)at->name.len, (const char *)at->name.data);
	return report(c, what, where);
}

static int
report_key(struct check *c, struct keyfs_slice key)
{
	char where[LAYOUT_KEY_TEXT];

	layout_key_text(key, where);
	return report(c, "no key of a tree looks like this", where);
}

/* ---- The array ---- */

static struct node *
node_find(struct check *c, uint64_t ino)
{
	size_t lo = 0, hi = c->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->nodes[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->count && c->nodes[lo].ino == ino ? &c->nodes[lo] : NULL;
}

static int
node_add(struct check *c, uint64_t ino, const struct layout_attr *a)
{
	if (c->count == c->capacity) {
		size_t capacity = c->capacity ? 2 * c->capacity : 256;
		struct node *nodes =
			realloc(c->nodes, capacity * sizeof(*nodes));

		if (!nodes)
			return -ENOMEM;
		c->nodes = nodes;
		c->capacity = capacity;
	}
	c->nodes[c->count] = (struct node){ .ino = ino, .a = *a };
	c->nodes[c->count].stored = a->contents.len;
	c->nodes[c->count].a.contents.data = NULL;
	c->count++;
	return 0;
}

static int
attr_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct check *c = arg;
	struct layout_place at;
	struct layout_attr a;

	(void)version;
	if (layout_key_parse(key, &at) || at.kind != LAYOUT_ATTR)
		return 0; /* the second pass looks at it */
	if (layout_attr_decode(value, c->op->tree->inline_max, &a))
		return report_inode(c, at.ino, "attributes are damaged");
	c->bytes += a.stored;
	return node_add(c, at.ino, &a);
}

/* ---- Every other key ---- */

static int
check_entry(struct check *c, const struct layout_place *at,
	    struct keyfs_slice value)
{
	struct node *dir = node_find(c, at->ino), *node;
	struct layout_entry entry;

	if (!dir || !S_ISDIR(dir->a.mode))
		return report_entry(c, at, "is in no directory");
	if (layout_entry_decode(value, &entry))
		return report_entry(c, at, "is damaged");
	dir->entries++;
	node = node_find(c, entry.ino);
	if (!node)
		return report_entry(c, at, "its inode is missing");
	if ((node->a.mode & S_IFMT) != entry.type)
		return report_entry(c, at, "its inode has another type");
	node->names++;
	node->named_in = at->ino;
	dir->subdirs += entry.type == S_IFDIR;
	return 0;
}

static int
check_chunk(struct check *c, const struct layout_place *at,
	    struct keyfs_slice value)
{
	struct node *node = node_find(c, at->ino);
	uint64_t base = at->chunk << LAYOUT_CHUNK_BITS;

	if (!node || !S_ISREG(node->a.mode))
		return report_inode(c, at->ino, "has contents but is no file");
	if (chunk_is_stale(&node->a, at->chunk))
		return 0;
	/* Those of an orphan go in batches. */
	if (node->owed == LAYOUT_ORPHAN_REMOVE || node->a.nlink == 0)
		return 0;
	if (node->a.size <= c->op->tree->inline_max)
		return report_inode(c, at->ino,
				    "has chunks besides its contents");
	if (base >= node->a.size || value.len > node->a.size - base)
		return report_inode(c, at->ino, "has contents beyond its size");
	if (value.len > LAYOUT_CHUNK)
		return report_inode(c, at->ino, "a chunk is too long");
	node->stored += value.len;
	return 0;
}

static int
check_link(struct check *c, const struct layout_place *at,
	   struct keyfs_slice value)
{
	struct node *node = node_find(c, at->ino);

	if (!node || !S_ISLNK(node->a.mode))
		return report_inode(c, at->ino, "has a target but is no link");
	if (value.len != node->a.size)
		return report_count(c, at->ino, "size", node->a.size,
				    value.len);
	if (memchr(value.data, 0, value.len))
		return report_inode(c, at->ino, "its target has a zero byte");
	node->has_target = true;
	return 0;
}

static int
check_xattr(struct check *c, const struct layout_place *at,
	    struct keyfs_slice value)
{
	struct node *node = node_find(c, at->ino);

	if (!node)
		return report_inode(c, at->ino,
				    "has extended attributes but is missing");
	if (value.len > LAYOUT_XATTR_SIZE_MAX)
		return report_inode(c, at->ino,
				    "an extended attribute is too long");
	if (acl_is_name(at->name) && acl_check(value))
		return report_inode(c, at->ino,
				    "an access control list is damaged");
	node->xattrs += at->name.len + 1;
	return 0;
}

static int
check_orphan(struct check *c, const struct layout_place *at,
	     struct keyfs_slice value)
{
	struct node *node = node_find(c, at->ino);

	if (!node)
		return report_inode(c, at->ino,
				    "is to be removed but is missing");
	if (layout_orphan_decode(value, &node->owed))
		return report_inode(c, at->ino, "what it is owed is damaged");
	return 0;
}

static int
check_global(struct check *c, const struct layout_place *at,
	     struct keyfs_slice value)
{
	struct layout_totals totals;
	uint64_t number;

	if (at->kind == LAYOUT_INOS && layout_number_decode(value, &c->bound))
		return report(c, "is damaged", "inode numbers");
	if (at->kind == LAYOUT_MOVES && layout_number_decode(value, &number))
		return report(c, "is damaged", "count of moves");
	if (at->kind == LAYOUT_TOTALS && layout_totals_decode(value, &totals))
		return report(c, "are damaged", "totals");
	return 0;
}

static int
key_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	 uint64_t version)
{
	struct check *c = arg;
	struct layout_place at;

	(void)version;
	if (layout_key_parse(key, &at))
		return report_key(c, key);
	switch (at.kind) {
	case LAYOUT_ATTR:
		return 0;
	case LAYOUT_ENTRY:
		return check_entry(c, &at, value);
	case LAYOUT_DATA:
		return check_chunk(c, &at, value);
	case LAYOUT_LINK:
		return check_link(c, &at, value);
	case LAYOUT_XATTR:
		return check_xattr(c, &at, value);
	case LAYOUT_ORPHAN:
		return check_orphan(c, &at, value);
	default:
		return check_global(c, &at, value);
	}
}

/* ---- The inodes ---- */

/* Whether the parents of a directory lead to the root.  Each is walked over once, also
 * where they lead nowhere: a walk that comes to itself again has gone round. */
static bool
dir_rooted(struct check *c, struct node *node)
{
	struct node *at = node;
	bool rooted;

	while (at && at->path == PATH_UNKNOWN && at->ino != LAYOUT_ROOT) {
		at->path = PATH_WALKED;
		at = node_find(c, at->a.parent);
	}
	rooted = at && (at->ino == LAYOUT_ROOT || at->path == PATH_ROOTED);
	for (at = node; at && at->path == PATH_WALKED;
	     at = node_find(c, at->a.parent))
		at->path = rooted ? PATH_ROOTED : PATH_NONE;
	return rooted;
}

static int
check_dir(struct check *c, struct node *node)
{
	bool root = node->ino == LAYOUT_ROOT;
	int rc = 0;

	if (node->a.entries != node->entries)
		rc = report_count(c, node->ino, "number of entries",
				  node->a.entries, node->entries);
	if (!rc && node->a.nlink && node->a.nlink != 2 + node->subdirs)
		rc = report_count(c, node->ino, "link count", node->a.nlink,
				  2 + node->subdirs);
	if (!rc && !node->a.nlink && node->names)
		rc = report_inode(c, node->ino, "is removed but has a name");
	if (rc || !node->a.nlink)
		return rc;
	if (node->names != !root)
		return report_count(c, node->ino, "number of names",
				    node->names, !root);
	if (node->a.parent != (root ? LAYOUT_ROOT : node->named_in))
		return report_count(c, node->ino, "parent", node->a.parent,
				    node->named_in);
	if (!dir_rooted(c, node))
		return report_inode(c, node->ino,
				    "no path leads to it from the root");
	return 0;
}

static int
check_owed(struct check *c, const struct node *node)
{
	bool stale = node->a.stale_to != 0;

	if (node->owed == LAYOUT_ORPHAN_REMOVE && node->a.nlink)
		return report_inode(c, node->ino,
				    "is to be removed but has a name");
	if (node->owed != LAYOUT_ORPHAN_REMOVE && !node->a.nlink)
		return report_inode(c, node->ino,
				    "has no name and nobody removes it");
	if (node->a.nlink && stale != (node->owed == LAYOUT_ORPHAN_TRIM))
		return report_inode(c, node->ino,
				    "stale chunks and work owed differ");
	return 0;
}

static int
check_node(struct check *c, struct node *node)
{
	int rc = check_owed(c, node);

	if (!rc && node->ino >= c->bound)
		rc = report_inode(c, node->ino,
				  "its number was never reserved");
	/* Those of an orphan go in batches. */
	if (!rc && node->a.nlink && node->xattrs != node->a.xattrs)
		rc = report_count(c, node->ino,
				  "length of the list of extended attributes",
				  node->a.xattrs, node->xattrs);
	if (!rc && S_ISDIR(node->a.mode))
		return check_dir(c, node);
	if (!rc && node->names != node->a.nlink)
		rc = report_count(c, node->ino, "link count", node->a.nlink,
				  node->names);
	if (!rc && node->a.nlink && node->stored != node->a.stored)
		rc = report_count(c, node->ino, "stored bytes", node->a.stored,
				  node->stored);
	if (!rc && S_ISLNK(node->a.mode) && !node->has_target && node->a.nlink)
		rc = report_inode(c, node->ino, "has no target");
	return rc;
}

static int
check_step(struct op *op, void *arg)
{
	struct check *c = arg;
	struct keyfs_slice end = { 0 }, begin = keyfs_bytes("\0", 1);
	struct layout_key from, to;
	int rc;

	c->op = op;
	rc = txn_scan(op->txn, layout_key_inode(&from, LAYOUT_ROOT),
		      layout_key_inode(&to, LAYOUT_INO_MAX + 1), 0, attr_each,
		      c);
	if (!rc)
		rc = txn_scan(op->txn, begin, end, 0, key_each, c);
	for (size_t i = 0; i < c->count && !rc; i++)
		rc = check_node(c, &c->nodes[i]);
	if (!rc && !node_find(c, LAYOUT_ROOT))
		rc = report_inode(c, LAYOUT_ROOT, "is missing");
	return rc;
}

/* What a crash left of the totals is put right, as far as they still are what they
 * were when the check began. */
static void
totals_correct(struct tree *tree, const struct check *c, uint64_t inodes,
	       uint64_t bytes)
{
	atomic_fetch_add(&tree->inodes, c->count - inodes);
	atomic_fetch_add(&tree->bytes, c->bytes - bytes);
}

int
tree_check(struct tree *tree, tree_problem_fn problem, void *arg)
{
	struct check c = { .problem = problem, .arg = arg };
	uint64_t inodes, bytes;
	int rc = tree->options.read_only ? 0 : hold_log_all(tree);

	if (rc)
		return rc;
	inodes = atomic_load(&tree->inodes);
	bytes = atomic_load(&tree->bytes);
	rc = op_run(tree, NULL, OP_READ, check_step, &c);
	if (!rc && !c.bad)
		totals_correct(tree, &c, inodes, bytes);
	free(c.nodes);
	if (rc < 0 && !c.stop)
		return rc;
	return c.bad ? -EUCLEAN : 0;
}
