/* SPDX-License-Identifier: Apache-2.0 */
/* fs_exercise_ops.c - the steps through descriptors; see fs_exercise.h.
 *
 * Each chooses what to do, does it to the file and to what the file must hold, and
 * compares what it has read. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fs_exercise.h"

/* Aligned, as direct calls want it. */
static uint8_t buffer[EXERCISE_LEN_MAX] __attribute__((aligned(4096)));

/* Ends the program unless all was done. */
static void
expect_count(ssize_t n, uint64_t want)
{
	if (n < 0 || (uint64_t)n != want)
		wrong("returned %zd (%s), not %" PRIu64, n,
		      n < 0 ? strerror(errno) : "no error", want);
}

/* How much of a range lies in the file. */
static uint64_t
within(const struct exercised *f, uint64_t offset, uint64_t len)
{
	uint64_t size = f->want.size;

	if (offset >= size)
		return 0;
	return len < size - offset ? len : size - offset;
}

/* ---- Writing and reading ---- */

void
step_pwrite(struct exercised *f)
{
	uint64_t offset = pick_offset(f);
	size_t len = pick_len(offset);
	const uint8_t *data = pick_data(len);

	note(f, "pwrite %zu at %" PRIu64, len, offset);
	expect_count(pwrite(f->fd, data, len, (off_t)offset), len);
	sparse_write(&f->want, offset, data, len);
}

void
step_append(struct exercised *f)
{
	uint64_t offset = f->want.size;
	const uint8_t *data;
	size_t len;

	if (offset >= size_limit())
		return;
	len = pick_len(offset);
	data = pick_data(len);
	note(f, "append %zu at %" PRIu64, len, offset);
	expect_count(write(f->append_fd, data, len), len);
	sparse_write(&f->want, offset, data, len);
}

void
step_pread(struct exercised *f)
{
	uint64_t offset = pick_offset(f);
	size_t len = pick_len(offset), n = within(f, offset, len);

	note(f, "pread %zu at %" PRIu64, len, offset);
	expect_count(pread(f->fd, buffer, len, (off_t)offset), n);
	expect_bytes(f, buffer, offset, n);
}

/* Down or up to what direct calls take. */
static uint64_t
in_units(uint64_t n)
{
	return n / direct_unit() * direct_unit();
}

void
step_direct_write(struct exercised *f)
{
	uint64_t offset = in_units(pick_offset(f));
	size_t len = in_units(pick_len(offset));
	const uint8_t *data;

	if (f->direct_fd < 0 || len == 0)
		return;
	data = pick_data(len);
	memcpy(buffer, data, len);
	note(f, "direct pwrite %zu at %" PRIu64, len, offset);
	expect_count(pwrite(f->direct_fd, buffer, len, (off_t)offset), len);
	sparse_write(&f->want, offset, data, len);
}

void
step_direct_read(struct exercised *f)
{
	uint64_t offset = in_units(pick_offset(f));
	size_t len = in_units(pick_len(offset)), n = within(f, offset, len);

	if (f->direct_fd < 0 || len == 0)
		return;
	note(f, "direct pread %zu at %" PRIu64, len, offset);
	expect_count(pread(f->direct_fd, buffer, len, (off_t)offset), n);
	expect_bytes(f, buffer, offset, n);
}

/* ---- Sizes and ranges ---- */

void
step_truncate(struct exercised *f)
{
	uint64_t size = pick_offset(f);
	bool by_path = any(4) == 0;

	note(f, "%s to %" PRIu64 " from %" PRIu64,
	     by_path ? "truncate" : "ftruncate", size, f->want.size);
	expect_count(by_path ? truncate(f->path, (off_t)size)
			     : ftruncate(f->fd, (off_t)size),
		     0);
	sparse_resize(&f->want, size);
}

/* What was cut off is not there again when the file is as long as before, even before
 * anybody has had time to remove it. */
void
step_cut_and_grow(struct exercised *f)
{
	uint64_t size = f->want.size, cut = pick_offset(f);
	uint64_t offset = pick_offset(f);
	size_t len, n;

	if (cut >= size)
		return;
	if (offset < cut || offset >= size)
		offset = cut;
	len = pick_len(offset);
	n = within(f, offset, len);
	note(f,
	     "ftruncate to %" PRIu64 " and to %" PRIu64
	     ", pread %zu at %" PRIu64,
	     cut, size, len, offset);
	expect_count(ftruncate(f->fd, (off_t)cut), 0);
	expect_count(ftruncate(f->fd, (off_t)size), 0);
	sparse_zero(&f->want, cut, size);
	expect_count(pread(f->fd, buffer, len, (off_t)offset), n);
	expect_bytes(f, buffer, offset, n);
}

void
step_fallocate(struct exercised *f)
{
	static const int modes[] = { 0,
				     FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     FALLOC_FL_ZERO_RANGE,
				     FALLOC_FL_ZERO_RANGE |
					     FALLOC_FL_KEEP_SIZE };
	int mode = modes[any(6)];
	uint64_t offset = pick_offset(f), end = offset + pick_len(offset);

	/* A hole may be of any length, as it takes no room. */
	if ((mode & FALLOC_FL_PUNCH_HOLE) && any(4) == 0)
		end = size_limit();
	note(f, "fallocate mode %#x from %" PRIu64 " to %" PRIu64,
	     (unsigned)mode, offset, end);
	expect_count(fallocate(f->fd, mode, (off_t)offset,
			       (off_t)(end - offset)),
		     0);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		sparse_zero(&f->want, offset, end);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > f->want.size)
		sparse_resize(&f->want, end);
}

/* Copies until all is there: one call may do less, but nothing only at the end. */
static void
copy(struct exercised *from, uint64_t from_offset, struct exercised *to,
     uint64_t to_offset, uint64_t len)
{
	while (len > 0) {
		off_t in = (off_t)from_offset, out = (off_t)to_offset;
		ssize_t n =
			copy_file_range(from->fd, &in, to->fd, &out, len, 0);

		if (n <= 0 || (uint64_t)n > len)
			wrong("returned %zd (%s), not up to %" PRIu64, n,
			      n < 0 ? strerror(errno) : "no error", len);
		sparse_write(&to->want, to_offset,
			     from->want.bytes + from_offset, (size_t)n);
		from_offset += (uint64_t)n;
		to_offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
}

void
step_copy(struct exercised *f)
{
	struct exercised *to = any(2) ? f : &exercised[any(EXERCISE_FILES)];
	uint64_t from_offset = pick_offset(f), to_offset = pick_offset(to);
	uint64_t len = within(f, from_offset, pick_len(to_offset));
	off_t in = (off_t)from_offset, out = (off_t)to_offset;

	note(f, "copy %" PRIu64 " from %" PRIu64 " to %" PRIu64 " of file %d",
	     len, from_offset, to_offset, to->number);
	if (f == to && len > 0 && from_offset < to_offset + len &&
	    to_offset < from_offset + len) {
		if (copy_file_range(f->fd, &in, f->fd, &out, len, 0) >= 0 ||
		    errno != EINVAL)
			wrong("overlapping ranges were not refused");
		return;
	}
	copy(f, from_offset, to, to_offset, len);
}

/* ---- Holes ---- */

/* `to` is where data was found from `from` on, or the end: all before is a hole. */
static void
expect_hole(struct exercised *f, uint64_t from, uint64_t to)
{
	uint64_t nonzero = sparse_find(&f->want, from, to);
	size_t len = to - from < 65536 ? to - from : 65536;

	if (nonzero < to)
		wrong("byte %" PRIu64 ", 0x%02x, lies in a hole from %" PRIu64
		      " to %" PRIu64,
		      nonzero, f->want.bytes[nonzero], from, to);
	expect_count(pread(f->fd, buffer, len, (off_t)from), len);
	expect_bytes(f, buffer, from, len);
}

/* SEEK_DATA from `from` on: where it begins, or the size. */
static uint64_t
seek_data(struct exercised *f, uint64_t from)
{
	off_t at = lseek(f->fd, (off_t)from, SEEK_DATA);

	if (at < 0 && errno != ENXIO)
		wrong("SEEK_DATA from %" PRIu64 ": %s", from, strerror(errno));
	if (at < 0)
		return f->want.size;
	if ((uint64_t)at < from || (uint64_t)at >= f->want.size)
		wrong("SEEK_DATA from %" PRIu64 " found %ld, size %" PRIu64,
		      from, (long)at, f->want.size);
	return (uint64_t)at;
}

static uint64_t
seek_hole(struct exercised *f, uint64_t from)
{
	off_t at = lseek(f->fd, (off_t)from, SEEK_HOLE);

	if (at < (off_t)from || (uint64_t)at > f->want.size)
		wrong("SEEK_HOLE from %" PRIu64
		      " found %ld (%s), size %" PRIu64,
		      from, (long)at, at < 0 ? strerror(errno) : "no error",
		      f->want.size);
	return (uint64_t)at;
}

void
step_seek(struct exercised *f)
{
	uint64_t from = pick_offset(f), at = from, data, hole;

	note(f, "seek from %" PRIu64, from);
	/* FUSE looks for data without writing dirty pages first. */
	exercised_write_back(f);
	if (from >= f->want.size) {
		if (lseek(f->fd, (off_t)from, any(2) ? SEEK_DATA : SEEK_HOLE) !=
			    -1 ||
		    errno != ENXIO)
			wrong("there is nothing behind the end");
		return;
	}
	for (int i = 0; i < 3 && at < f->want.size; i++) {
		data = seek_data(f, at);
		expect_hole(f, at, data);
		hole = data < f->want.size ? seek_hole(f, data) : data;
		if (data < f->want.size && hole == data)
			wrong("%" PRIu64 " is data and a hole", data);
		at = hole;
	}
}

/* ---- The rest ---- */

void
step_stat(struct exercised *f)
{
	struct stat st;
	off_t end;

	note(f, "fstat");
	expect_count(any(2) ? fstat(f->fd, &st) : stat(f->path, &st), 0);
	if ((uint64_t)st.st_size != f->want.size)
		wrong("size %ld, not %" PRIu64, (long)st.st_size, f->want.size);
	end = lseek(f->fd, 0, SEEK_END);
	if ((uint64_t)end != f->want.size)
		wrong("ends at %ld, not %" PRIu64, (long)end, f->want.size);
}

/* What is read next comes from the store and not from the page cache. */
void
step_drop_cache(struct exercised *f)
{
	note(f, "drop the cache");
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
}

void
step_sync(struct exercised *f)
{
	bool data_only = any(2);

	note(f, data_only ? "fdatasync" : "fsync");
	expect_count(data_only ? fdatasync(f->fd) : fsync(f->fd), 0);
}

/* In one case of four what the file held goes. */
void
step_reopen(struct exercised *f)
{
	bool truncates = any(4) == 0;

	note(f, truncates ? "reopen with O_TRUNC" : "reopen");
	exercised_close(f);
	exercised_open(f, truncates ? O_TRUNC : 0);
	if (truncates)
		sparse_resize(&f->want, 0);
}
