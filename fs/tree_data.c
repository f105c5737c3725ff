/* SPDX-License-Identifier: Apache-2.0 */
/* tree_data.c - reading and writing contents.
 *
 * A file up to the inline limit lies in its attributes, a longer one in chunks of
 * LAYOUT_CHUNK bytes; the size alone decides.  A chunk that is absent or short is
 * filled up with zeros, so a hole takes no space. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/tree_impl.h"

/* Chunks fetched in one call: a read of 1 MiB at any offset. */
#define READ_CHUNKS 65u

int
chunk_peek(struct op *op, const struct inode *inode, uint64_t chunk,
	   struct keyfs_slice *out)
{
	struct layout_key key;
	int rc;

	*out = keyfs_bytes("", 0);
	if (chunk_is_stale(&inode->a, chunk))
		return 0;
	rc = txn_peek(op->txn, layout_key_chunk(&key, inode->ino, chunk), out,
		      NULL);
	if (rc == -ENOENT)
		return 0;
	return !rc && out->len > LAYOUT_CHUNK ? -EUCLEAN : rc;
}

void
chunk_put(struct op *op, uint64_t ino, uint64_t chunk, struct keyfs_slice data)
{
	struct layout_key key;

	txn_put(op->txn, layout_key_chunk(&key, ino, chunk), data);
}

int
inode_check_regular(const struct inode *inode)
{
	if (S_ISDIR(inode->a.mode))
		return -EISDIR;
	return S_ISREG(inode->a.mode) ? 0 : -EINVAL;
}

/* ---- Reading ---- */

struct read {
	uint64_t ino, offset;
	uint8_t *buf;
	size_t len;
	size_t done;
};

/* `s` from `skip` on, filled up with zeros. */
static void
copy_padded(uint8_t *out, size_t len, struct keyfs_slice s, size_t skip)
{
	size_t n = s.len > skip ? s.len - skip : 0;

	if (n > len)
		n = len;
	if (n)
		memcpy(out, (const uint8_t *)s.data + skip, n);
	memset(out + n, 0, len - n);
}

static int
read_chunks(struct op *op, const struct inode *inode, uint64_t offset,
	    uint8_t *buf, size_t len)
{
	uint64_t first = chunk_of(offset);
	size_t count = chunk_of(offset + len - 1) - first + 1;
	struct layout_key bytes[READ_CHUNKS];
	struct keyfs_slice keys[READ_CHUNKS] = { 0 };
	const struct kv_value *values;
	int rc;

	for (size_t i = 0; i < count; i++)
		keys[i] = layout_key_chunk(&bytes[i], inode->ino, first + i);
	rc = txn_peek_many(op->txn, count, keys, &values);
	for (size_t i = 0; i < count && !rc; i++) {
		size_t skip = offset & (LAYOUT_CHUNK - 1);
		size_t n = LAYOUT_CHUNK - skip;
		struct keyfs_slice data = values[i].data;

		if (data.len > LAYOUT_CHUNK)
			return -EUCLEAN;
		if (chunk_is_stale(&inode->a, first + i))
			data.len = 0;
		if (n > len)
			n = len;
		copy_padded(buf, n, data, skip);
		offset += n;
		buf += n;
		len -= n;
	}
	return rc;
}

int
inode_read(struct op *op, const struct inode *inode, uint64_t offset,
	   size_t len, uint8_t *buf, size_t *out_len)
{
	const size_t batch_max = (READ_CHUNKS - 1) * LAYOUT_CHUNK;
	size_t done = 0;
	int rc = 0;

	*out_len = 0;
	if (offset >= inode->a.size)
		return 0;
	if (len > inode->a.size - offset)
		len = inode->a.size - offset;
	if (inode_is_inline(op, inode)) {
		copy_padded(buf, len, inode->a.contents, offset);
		done = len;
	}
	while (!rc && done < len) {
		size_t n = len - done;

		if (n > batch_max)
			n = batch_max;
		rc = read_chunks(op, inode, offset + done, buf + done, n);
		done += n;
	}
	*out_len = done;
	return rc;
}

static int
read_step(struct op *op, void *arg)
{
	struct read *r = arg;
	struct inode inode;
	int rc = inode_peek(op, r->ino, &inode);

	if (!rc)
		rc = inode_check_regular(&inode);
	return rc ? rc
		  : inode_read(op, &inode, r->offset, r->len, r->buf, &r->done);
}

int
tree_read(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	  uint64_t offset, size_t len, void *buf, size_t *out_len)
{
	struct read r = { ino, offset, buf, len, 0 };
	int rc = op_run(tree, caller, OP_READ, read_step, &r);

	if (!rc)
		*out_len = r.done;
	return rc;
}

/* ---- Writing ---- */

static int
write_inline(struct op *op, struct inode *inode, uint64_t offset,
	     struct keyfs_slice data)
{
	struct keyfs_slice old = inode->a.contents;
	size_t end = offset + data.len;
	size_t len = end > old.len ? end : old.len;
	uint8_t *buf = txn_alloc(op->txn, len);

	if (!buf)
		return -ENOMEM;
	copy_padded(buf, len, old, 0);
	memcpy(buf + offset, data.data, data.len);
	inode->a.contents = keyfs_bytes(buf, len);
	inode->a.stored = len;
	return 0;
}

/* Bytes that chunk `chunk` can hold at most, given the size before the write. */
static size_t
chunk_reach(uint64_t size, uint64_t chunk)
{
	uint64_t base = chunk << LAYOUT_CHUNK_BITS;

	if (size <= base)
		return 0;
	return size - base < LAYOUT_CHUNK ? size - base : LAYOUT_CHUNK;
}

/* What was in a chunk before the write. */
static int
chunk_before(struct op *op, const struct inode *before, uint64_t chunk,
	     struct keyfs_slice *out)
{
	if (!before->a.contents.data)
		return chunk_peek(op, before, chunk, out);
	*out = chunk == 0 ? before->a.contents : keyfs_bytes("", 0);
	return 0;
}

/* One chunk of a write: `from` within the chunk.  Without holes the old length is
 * known, so a chunk that is replaced whole is not read. */
static int
write_chunk(struct op *op, struct inode *inode, const struct inode *before,
	    uint64_t chunk, size_t from, struct keyfs_slice data)
{
	size_t reach = chunk_reach(before->a.size, chunk);
	bool whole = from == 0 && data.len >= reach;
	struct keyfs_slice old = { "", 0 };
	size_t len;
	uint8_t *buf;
	int rc = 0;

	if (whole && before->a.stored == before->a.size)
		old.len = reach;
	else if (reach)
		rc = chunk_before(op, before, chunk, &old);
	if (rc)
		return rc;
	len = old.len > from + data.len ? old.len : from + data.len;
	inode->a.stored += len - old.len;
	if (from == 0 && data.len == len) {
		chunk_put(op, inode->ino, chunk, data);
		return 0;
	}
	buf = txn_alloc(op->txn, len);
	if (!buf)
		return -ENOMEM;
	copy_padded(buf, len, old, 0);
	memcpy(buf + from, data.data, data.len);
	chunk_put(op, inode->ino, chunk, keyfs_bytes(buf, len));
	return 0;
}

static int
write_chunks(struct op *op, struct inode *inode, uint64_t offset,
	     struct keyfs_slice all)
{
	const struct inode before = *inode;
	uint64_t first = chunk_of(offset);
	uint64_t last = chunk_of(offset + all.len - 1);
	const uint8_t *data = all.data;
	size_t left = all.len, from = offset & (LAYOUT_CHUNK - 1);
	int rc = inode_spill(op, inode);

	if (!rc)
		rc = stale_reclaim(op, inode, first, last + 1);
	for (uint64_t chunk = first; chunk <= last && !rc; chunk++) {
		size_t n = LAYOUT_CHUNK - from;

		if (n > left)
			n = left;
		rc = write_chunk(op, inode, &before, chunk, from,
				 keyfs_bytes(data, n));
		data += n;
		left -= n;
		from = 0;
	}
	return rc;
}

int
inode_write(struct op *op, struct inode *inode, uint64_t offset,
	    struct keyfs_slice data)
{
	uint64_t end = offset + data.len, size;
	int rc = inode_drop_privs(op, inode, op_clears_setid(op));

	if (rc)
		return rc;
	size = inode->a.size > end ? inode->a.size : end;
	rc = size <= op->tree->inline_max
		     ? write_inline(op, inode, offset, data)
		     : write_chunks(op, inode, offset, data);
	if (rc)
		return rc;
	inode->a.size = size;
	inode_touch(op, inode);
	inode_put(op, inode);
	return 0;
}

struct write {
	uint64_t ino, offset;
	struct keyfs_slice data;
};

static int
write_step(struct op *op, void *arg)
{
	const struct write *w = arg;
	struct inode inode;
	int rc = inode_edit(op, w->ino, &inode);

	if (!rc)
		rc = inode_check_regular(&inode);
	return rc ? rc : inode_write(op, &inode, w->offset, w->data);
}

int
tree_write(struct tree *tree, const struct tree_caller *caller, uint64_t ino,
	   uint64_t offset, struct keyfs_slice data)
{
	struct write w = { ino, offset, data };
	int rc = -EFBIG;

	if (!data.len)
		return 0;
	if (offset <= LAYOUT_SIZE_MAX && data.len <= LAYOUT_SIZE_MAX - offset)
		rc = op_run(tree, caller, 0, write_step, &w);
	/* The truncation before it has been answered and stands (P3). */
	if (rc && rc != -EAGAIN)
		(void)hold_log(tree, caller, ino);
	return rc;
}
