/* SPDX-License-Identifier: Apache-2.0 */
/* tree_rename.c - renaming, replacing and exchanging, in one transaction.
 *
 * Why two moves cannot make a cycle: mv a b/a and mv b a/b at once would each see the
 * other directory where it was.  So a rename that moves a directory to another parent
 * reads 'S' 'R' and counts it up: of two such renames one sees a conflict and begins
 * again, with the other's result.  While 'S' 'R' is unchanged no directory moves, so
 * the walk up from the new parent needs no conditions of its own; and what lies above
 * a directory cannot be removed, for it is not empty. */
#include <config.h>

#include <errno.h>
#include <stdio.h>

#include "fs/tree_impl.h"

struct rename {
	uint64_t from_dir, to_dir;
	struct keyfs_slice from_name, to_name;
	unsigned flags;
	uint64_t gone_ino; /* the replaced object; 0: none */
	bool gone;
};

/* What a rename changes; `to` is `from` where the directory is the same. */
struct rename_state {
	struct inode dirs[2];
	struct inode *from, *to;
	struct layout_entry moved_entry, other_entry;
	struct inode moved, other; /* `other`: replaced or exchanged */
	bool has_other;
};

static int
dirs_edit(struct op *op, const struct rename *r, struct rename_state *s)
{
	uint64_t latches[2] = { r->from_dir, r->to_dir };
	int rc = txn_latch(op->txn, latches, 2);

	if (!rc)
		rc = inode_edit_dir(op, r->from_dir, &s->dirs[0]);
	s->from = s->to = &s->dirs[0];
	if (rc || r->from_dir == r->to_dir)
		return rc;
	rc = inode_edit_dir(op, r->to_dir, &s->dirs[1]);
	s->to = &s->dirs[1];
	return rc;
}

static int
entries_get(struct op *op, const struct rename *r, struct rename_state *s)
{
	int rc = entry_get(op, r->from_dir, r->from_name, &s->moved_entry);

	if (rc)
		return rc;
	if (s->to->a.nlink == 0)
		return -ENOENT;
	rc = entry_get(op, r->to_dir, r->to_name, &s->other_entry);
	s->has_other = rc == 0;
	if (rc && rc != -ENOENT)
		return rc;
	if (s->has_other && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (!s->has_other && (r->flags & RENAME_EXCHANGE))
		return -ENOENT;
	return 0;
}

/* -EINVAL if `dir` is `below` or lies above it.  In damaged directories the walk may go
 * round: it then comes again to where it was after some power of two steps (Brent,
 * 1980). */
static int
ancestor_check(struct op *op, uint64_t dir, uint64_t below)
{
	uint64_t seen = 0, steps = 0, mark = 1;

	while (below != dir) {
		struct inode at;
		int rc;

		if (below == LAYOUT_ROOT)
			return 0;
		if (below == seen)
			return -EUCLEAN;
		if (++steps == mark) {
			seen = below;
			mark *= 2;
		}
		rc = inode_peek(op, below, &at);
		if (rc)
			return rc == -ENOENT ? -EUCLEAN : rc;
		if (!S_ISDIR(at.a.mode))
			return -EUCLEAN;
		below = at.a.parent;
	}
	return -EINVAL;
}

static int
moves_count(struct op *op)
{
	struct layout_key buf;
	struct keyfs_slice key = layout_key_moves(&buf), value;
	uint8_t *number = txn_alloc(op->txn, LAYOUT_NUMBER_SIZE);
	uint64_t moves = 0;
	int rc = txn_get(op->txn, key, &value, NULL);

	if (!number)
		return -ENOMEM;
	if (!rc)
		rc = layout_number_decode(value, &moves);
	if (rc && rc != -ENOENT)
		return rc;
	layout_number_encode(moves + 1, number);
	txn_put(op->txn, key, keyfs_bytes(number, LAYOUT_NUMBER_SIZE));
	return 0;
}

static int
cycle_check(struct op *op, const struct rename *r, const struct rename_state *s)
{
	bool moved_dir = s->moved_entry.type == S_IFDIR;
	bool other_dir = s->has_other && (r->flags & RENAME_EXCHANGE) &&
			 s->other_entry.type == S_IFDIR;
	int rc;

	if (r->from_dir == r->to_dir || (!moved_dir && !other_dir))
		return 0;
	rc = moves_count(op);
	if (!rc && moved_dir)
		rc = ancestor_check(op, s->moved_entry.ino, r->to_dir);
	if (!rc && other_dir)
		rc = ancestor_check(op, s->other_entry.ino, r->from_dir);
	return rc;
}

static int
replace_check(const struct rename *r, const struct rename_state *s)
{
	bool moved_dir = s->moved_entry.type == S_IFDIR;
	bool other_dir = s->other_entry.type == S_IFDIR;

	if (moved_dir && !other_dir)
		return -ENOTDIR;
	if (!moved_dir && other_dir)
		return -EISDIR;
	if (!other_dir)
		return 0;
	/* What is moved lies in it, whatever it says. */
	if (s->other.ino == r->from_dir)
		return -ENOTEMPTY;
	return s->other.a.entries ? -ENOTEMPTY : 0;
}

static int
children_edit(struct op *op, const struct rename *r, struct rename_state *s)
{
	uint64_t latches[2] = { s->moved_entry.ino, s->other_entry.ino };
	int rc;

	/* A directory that holds itself: one inode, which cannot be both. */
	if (s->moved_entry.ino == r->from_dir ||
	    (s->has_other && s->other_entry.ino == r->to_dir))
		return -EUCLEAN;
	rc = txn_latch(op->txn, latches, s->has_other ? 2 : 1);
	if (!rc)
		rc = entry_edit(op, &s->moved_entry, &s->moved);
	if (!rc && s->has_other)
		rc = entry_edit(op, &s->other_entry, &s->other);
	if (!rc && s->has_other && !(r->flags & RENAME_EXCHANGE))
		rc = replace_check(r, s);
	return rc;
}

/* A child goes from one directory to another. */
static int
child_move(struct inode *child, struct inode *from, struct inode *to)
{
	if (!from->a.entries || (to != from && to->a.entries >= LAYOUT_INO_MAX))
		return -EUCLEAN;
	from->a.entries--;
	to->a.entries++;
	if (!S_ISDIR(child->a.mode))
		return 0;
	if (from->a.nlink <= 2)
		return -EUCLEAN;
	if (to != from && to->a.nlink >= LAYOUT_LINK_MAX)
		return -EMLINK;
	from->a.nlink--;
	to->a.nlink++;
	child->a.parent = to->ino;
	return 0;
}

static int
replace(struct op *op, struct rename *r, struct rename_state *s)
{
	int rc = 0;

	if (s->has_other) {
		bool dir = S_ISDIR(s->other.a.mode);

		if (!s->to->a.entries || (dir && s->to->a.nlink <= 2))
			return -EUCLEAN;
		s->to->a.entries--;
		s->to->a.nlink -= dir;
		r->gone_ino = s->other.ino;
		r->gone = inode_drop(op, &s->other);
	}
	rc = child_move(&s->moved, s->from, s->to);
	entry_delete(op, r->from_dir, r->from_name);
	return rc;
}

static int
exchange(struct op *op, const struct rename *r, struct rename_state *s)
{
	int rc = child_move(&s->moved, s->from, s->to);

	if (!rc)
		rc = child_move(&s->other, s->to, s->from);
	s->other.a.ctime = op->now;
	inode_put(op, &s->other);
	entry_put(op, r->from_dir, r->from_name, s->other.ino, s->other.a.mode);
	return rc;
}

static int
rename_step(struct op *op, void *arg)
{
	struct rename *r = arg;
	struct rename_state s;
	int rc = dirs_edit(op, r, &s);

	r->gone_ino = 0;
	r->gone = false;
	if (!rc)
		rc = entries_get(op, r, &s);
	if (rc)
		return rc;
	if (s.has_other && s.moved_entry.ino == s.other_entry.ino)
		return 0; /* two names of one object: POSIX leaves both */
	rc = cycle_check(op, r, &s);
	if (!rc)
		rc = children_edit(op, r, &s);
	if (!rc)
		rc = r->flags & RENAME_EXCHANGE ? exchange(op, r, &s)
						: replace(op, r, &s);
	if (rc)
		return rc;
	s.moved.a.ctime = op->now;
	inode_put(op, &s.moved);
	entry_put(op, r->to_dir, r->to_name, s.moved.ino, s.moved.a.mode);
	inode_touch(op, s.from);
	inode_put(op, s.from);
	inode_touch(op, s.to);
	inode_put(op, s.to);
	return 0;
}

static int
rename_check(const struct rename *r)
{
	int rc = layout_name_check(r->from_name);

	if (!rc)
		rc = layout_name_check(r->to_name);
	if (rc)
		return rc;
	if (r->flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (r->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	return 0;
}

int
tree_rename(struct tree *tree, const struct tree_caller *caller,
	    uint64_t parent, struct keyfs_slice name, uint64_t new_parent,
	    struct keyfs_slice new_name, unsigned flags, uint64_t *out_ino,
	    bool *out_gone)
{
	struct rename r = { .from_dir = parent,
			    .to_dir = new_parent,
			    .from_name = name,
			    .to_name = new_name,
			    .flags = flags };
	int rc = rename_check(&r);

	if (!rc)
		rc = op_run(tree, caller, 0, rename_step, &r);
	if (rc)
		return rc;
	*out_ino = r.gone_ino;
	*out_gone = r.gone;
	if (r.gone)
		orphan_unused(tree, r.gone_ino);
	return 0;
}
