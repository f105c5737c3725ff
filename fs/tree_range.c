/* SPDX-License-Identifier: Apache-2.0 */
/* tree_range.c - ranges of a file: making room, zeroing, finding data and holes, copying.
 *
 * What is zeroed is not stored: whole chunks go as a truncation lets them go
 * (tree_trunc.c), at once if they are few, else by being declared stale; the chunks at
 * either end are cut or written again with zeros in them.
 *
 *	chunks       0        1        2        3
 *	         |######## |########|########|########|
 *	zeroed        |~~~~~~~~~~~~~~~~~~~~~~~~~|
 *	after    |###      (gone)   (gone)   |....####|         . zeros that are stored
 */
#include <config.h>

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/tree_impl.h"

/* What one copy moves at most: a commit has a limit (kv.h), and it is as much as one
 * write brings. */
#define COPY_BYTES_MAX (UINT64_C(1) << 20)

/* ---- Zeroing ---- */

/* A copy of `s` with zeros from `from` to `to`, and without those at its end. */
static int
zeroed_copy(struct op *op, struct keyfs_slice s, size_t from, size_t to,
	    struct keyfs_slice *out)
{
	size_t len = to >= s.len ? from : s.len;
	uint8_t *copy = txn_alloc(op->txn, len ? len : 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, s.data, len);
	if (to < len)
		memset(copy + from, 0, to - from);
	*out = keyfs_bytes(copy, len);
	return 0;
}

static int
zero_inline(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	struct layout_attr *a = &inode->a;
	int rc;

	if (from >= a->contents.len)
		return 0;
	rc = zeroed_copy(op, a->contents, from, to, &a->contents);
	a->stored = a->contents.len;
	return rc;
}

/* Part of a chunk: `from` and `to` lie in it. */
static int
zero_in_chunk(struct op *op, struct inode *inode, uint64_t chunk, size_t from,
	      size_t to)
{
	struct keyfs_slice old, data;
	int rc = chunk_peek(op, inode, chunk, &old);

	if (rc || old.len <= from)
		return rc;
	rc = zeroed_copy(op, old, from, to, &data);
	if (rc)
		return rc;
	inode->a.stored -= old.len - data.len;
	if (data.len)
		chunk_put(op, inode->ino, chunk, data);
	else
		chunks_delete(op, inode->ino, chunk, chunk + 1);
	return 0;
}

/* What is stored in whole chunks, of a file that was `full` before: without holes. */
static int
stored_whole(struct op *op, const struct inode *inode, bool full, uint64_t from,
	     uint64_t to, uint64_t *out)
{
	const struct layout_attr *a = &inode->a;
	uint64_t end = to << LAYOUT_CHUNK_BITS;

	if (from == 0 && to == chunks_of(a->size)) {
		*out = a->stored;
		return 0;
	}
	if (!full)
		return stored_between(op, inode, from, to, out);
	*out = (end < a->size ? end : a->size) - (from << LAYOUT_CHUNK_BITS);
	return 0;
}

/* Whole chunks, from `from` to before `to`. */
static int
zero_whole(struct op *op, struct inode *inode, bool full, uint64_t from,
	   uint64_t to)
{
	uint64_t stored;
	int rc;

	if (from >= to)
		return 0;
	rc = stored_whole(op, inode, full, from, to, &stored);
	if (!rc && stored > inode->a.stored)
		rc = -EUCLEAN;
	if (!rc)
		rc = chunks_doom(op, inode, from, to);
	if (!rc)
		inode->a.stored -= stored;
	return rc;
}

static int
zero_chunks(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	const size_t mask = LAYOUT_CHUNK - 1;
	uint64_t first = chunk_of(from), last = chunk_of(to);
	bool full = inode->a.stored == inode->a.size;
	int rc = 0;

	/* Behind the end of the file there is nothing to keep. */
	if (to == inode->a.size && (to & mask)) {
		last++;
		to = last << LAYOUT_CHUNK_BITS;
	}
	if ((from & mask) && first == last)
		return zero_in_chunk(op, inode, first, from & mask, to & mask);
	if (from & mask)
		rc = zero_in_chunk(op, inode, first++, from & mask,
				   LAYOUT_CHUNK);
	if (!rc && (to & mask))
		rc = zero_in_chunk(op, inode, last, 0, to & mask);
	return rc ? rc : zero_whole(op, inode, full, first, last);
}

/* Makes bytes of the file zeros, as far as it reaches. */
static int
zero(struct op *op, struct inode *inode, uint64_t from, uint64_t to)
{
	if (to > inode->a.size)
		to = inode->a.size;
	if (from >= to)
		return 0;
	return inode_is_inline(op, inode) ? zero_inline(op, inode, from, to)
					  : zero_chunks(op, inode, from, to);
}

/* ---- fallocate(2) ---- */

struct fallocate {
	uint64_t ino;
	int mode;
	uint64_t from, to;
};

/* A log-structured store has no place that could be kept for bytes to come; that there
 * is room now is all that can be said. */
static int
check_room(struct op *op, const struct inode *inode, uint64_t to)
{
	struct kv_space space;
	int rc = kv_space(op->tree->kv, &space);

	if (!rc && to > inode->a.size &&
	    to - inode->a.size > space.available_bytes)
		rc = -ENOSPC;
	return rc;
}

static int
fallocate_step(struct op *op, void *arg)
{
	const struct fallocate *f = arg;
	bool zeroes = f->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct inode inode;
	int rc = inode_edit(op, f->ino, &inode);

	if (!rc && !S_ISREG(inode.a.mode))
		rc = S_ISDIR(inode.a.mode) ? -EISDIR : -ENODEV;
	if (!rc && !(f->mode & FALLOC_FL_PUNCH_HOLE))
		rc = check_room(op, &inode, f->to);
	if (!rc && zeroes)
		rc = zero(op, &inode, f->from, f->to);
	if (rc)
		return rc;
	if (!(f->mode & FALLOC_FL_KEEP_SIZE) && f->to > inode.a.size)
		rc = inode_resize(op, &inode, f->to);
	if (!rc)
		rc = inode_drop_privs(op, &inode, op_clears_setid(op));
	if (rc)
		return rc;
	/* Whatever came of it, as Linux does (file_modified()). */
	inode_touch(op, &inode);
	inode_put(op, &inode);
	return 0;
}

int
tree_fallocate(struct tree *tree, const struct tree_caller *caller,
	       uint64_t ino, int mode, uint64_t offset, uint64_t len)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	struct fallocate f = { ino, mode, offset, offset + len };
	unsigned flags = mode & FALLOC_FL_PUNCH_HOLE ? OP_RESERVE : 0;

	if (len == 0)
		return -EINVAL;
	if (offset > LAYOUT_SIZE_MAX || len > LAYOUT_SIZE_MAX - offset)
		return -EFBIG;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (modes[i] == mode)
			return op_run(tree, caller, flags, fallocate_step, &f);
	return -EOPNOTSUPP;
}

/* ---- lseek(2) for data and holes ---- */

struct seek {
	uint64_t ino, from;
	bool hole;
	uint64_t at; /* found */
};

/* A walk over the chunks of a file: at `at` neither of the two has been found yet. */
struct seek_walk {
	const struct layout_attr *a; /* borrowed */
	bool hole;
	uint64_t at;
};

static int
seek_each(void *arg, struct keyfs_slice key, struct keyfs_slice value,
	  uint64_t version)
{
	struct seek_walk *w = arg;
	struct layout_place place;
	uint64_t begin, end;
	int rc = layout_key_parse(key, &place);

	(void)version;
	if (rc)
		return rc;
	begin = place.chunk << LAYOUT_CHUNK_BITS;
	end = begin + value.len;
	if (chunk_is_stale(w->a, place.chunk) || end <= w->at)
		return 0;
	if (w->hole && begin <= w->at) {
		w->at = end;
		return 0;
	}
	/* Data; or what is before it is the hole. */
	if (!w->hole && begin > w->at)
		w->at = begin;
	return 1;
}

static int
seek_chunks(struct op *op, uint64_t ino, struct seek_walk *w)
{
	struct layout_key begin, end;
	int rc = txn_scan(op->txn,
			  layout_key_chunk(&begin, ino, chunk_of(w->at)),
			  layout_key_chunk(&end, ino, chunks_of(w->a->size)), 0,
			  seek_each, w);

	if (rc < 0)
		return rc;
	if (w->at > w->a->size)
		return -EUCLEAN;
	/* All was looked at: no data, or the hole that follows the last. */
	return rc == 0 && !w->hole ? -ENXIO : 0;
}

static int
seek_inline(struct seek_walk *w)
{
	uint64_t data_end = w->a->contents.len;

	if (!w->hole)
		return w->at < data_end ? 0 : -ENXIO;
	if (w->at < data_end)
		w->at = data_end;
	return 0;
}

static int
seek_step(struct op *op, void *arg)
{
	struct seek *s = arg;
	struct inode inode;
	struct seek_walk w = { &inode.a, s->hole, s->from };
	int rc = inode_peek(op, s->ino, &inode);

	if (!rc)
		rc = inode_check_regular(&inode);
	if (rc)
		return rc;
	if (w.at >= inode.a.size)
		return -ENXIO;
	if (inode_is_inline(op, &inode))
		rc = seek_inline(&w);
	else if (inode.a.stored < inode.a.size)
		rc = seek_chunks(op, s->ino, &w);
	else if (w.hole)
		w.at = inode.a.size;
	s->at = w.at;
	return rc;
}

int
tree_seek(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	  uint64_t offset, int whence, uint64_t *out)
{
	struct seek s = { .ino = ino,
			  .hole = whence == SEEK_HOLE,
			  .from = offset };
	int rc;

	if (whence != SEEK_HOLE && whence != SEEK_DATA)
		return -EINVAL;
	rc = op_run(tree, caller, OP_READ, seek_step, &s);
	if (!rc)
		*out = s.at;
	return rc;
}

/* ---- copy_file_range(2) ---- */

struct copy {
	uint64_t from, from_offset, to, to_offset;
	size_t len, done;
};

static int
copy_step(struct op *op, void *arg)
{
	struct copy *c = arg;
	struct inode from, to;
	uint8_t *buf;
	int rc = inode_edit(op, c->to, &to);

	if (!rc && c->from == c->to)
		from = to;
	else if (!rc)
		rc = inode_get(op, c->from, &from);
	if (!rc)
		rc = inode_check_regular(&from);
	if (!rc)
		rc = inode_check_regular(&to);
	if (rc)
		return rc;
	buf = txn_alloc(op->txn, c->len);
	if (!buf)
		return -ENOMEM;
	rc = inode_read(op, &from, c->from_offset, c->len, buf, &c->done);
	if (rc || !c->done)
		return rc;
	return inode_write(op, &to, c->to_offset, keyfs_bytes(buf, c->done));
}

int
tree_copy(struct tree *tree, const struct tree_caller *caller, uint64_t from,
	  uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t len,
	  size_t *out_len)
{
	struct copy c = { from,
			  from_offset,
			  to,
			  to_offset,
			  (size_t)(len < COPY_BYTES_MAX ? len : COPY_BYTES_MAX),
			  0 };
	int rc = 0;

	if (to_offset > LAYOUT_SIZE_MAX || c.len > LAYOUT_SIZE_MAX - to_offset)
		return -EFBIG;
	if (c.len)
		rc = op_run(tree, caller, 0, copy_step, &c);
	/* As of a write that fails (P3). */
	if (rc && rc != -EAGAIN)
		(void)hold_log(tree, caller, to);
	if (!rc)
		*out_len = c.done;
	return rc;
}
