/* SPDX-License-Identifier: Apache-2.0 */
/* layout_attr.c - the attributes of an inode as bytes. */
#include <config.h>

#include <errno.h>
#include <string.h>

#include "fs/layout.h"
#include "fs/layout_bytes.h"

/* The value of 'I' ino 'A', in this order:
 *
 *	+---------+--------+--------+------------------------------+----------+
 *	| version | mode   | fields | the fields that are present, | contents |
 *	| 1       | varint | varint | by bit, lowest first         | the rest |
 *	+---------+--------+--------+------------------------------+----------+
 *
 * A field is present only where it differs from its default:
 *
 *	bit  field   default             stored as
 *	 0   nlink   1, directory 2      varint
 *	 1   uid     0                   varint
 *	 2   gid     0                   varint
 *	 3   rdev    0                   varint
 *	 4   size    0                   varint
 *	 5   holes   0                   varint: size - stored; only of chunks
 *	 6   mtime   0                   seconds zigzag, nanoseconds
 *	 7   ctime   mtime               seconds after mtime zigzag, nanoseconds
 *	 8   atime   mtime               the same
 *	 9   btime   mtime               the same
 *	10   parent  0                   varint; directories only
 *	11   entries 0                   varint; directories only
 *	12   stale   none                varint from, varint count
 *	13   xattrs  0                   varint: bytes of the list of their names
 *
 * A file of root's, created and written at 1700000000.5, with contents "hi\n":
 *
 *	01  a4 83 02  50  03  80 c4 9f d5 0c 80 ca b5 ee 01  68 69 0a
 *	version 1, mode 0100644, fields 4 and 6, size 3, mtime, contents
 */
#define ATTR_VERSION 1u

enum attr_field {
	FIELD_NLINK = 1u << 0,
	FIELD_UID = 1u << 1,
	FIELD_GID = 1u << 2,
	FIELD_RDEV = 1u << 3,
	FIELD_SIZE = 1u << 4,
	FIELD_HOLES = 1u << 5,
	FIELD_MTIME = 1u << 6,
	FIELD_CTIME = 1u << 7,
	FIELD_ATIME = 1u << 8,
	FIELD_BTIME = 1u << 9,
	FIELD_PARENT = 1u << 10,
	FIELD_ENTRIES = 1u << 11,
	FIELD_STALE = 1u << 12,
	FIELD_XATTRS = 1u << 13,
	FIELDS_ALL = (1u << 14) - 1,
};

/* Version, mode, fields, 14 of them, nanoseconds of 4, the second number of stale. */
_Static_assert(1 + 3 + 2 + 14 * LAYOUT_VARINT_MAX + 4 * 5 + LAYOUT_VARINT_MAX <=
		       LAYOUT_ATTR_MAX,
	       "LAYOUT_ATTR_MAX holds every field at its longest");

#define NSEC_MAX 999999999

static uint32_t
nlink_default(uint32_t mode)
{
	return S_ISDIR(mode) ? 2 : 1;
}

static bool
time_same(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Seconds are taken as differences without overflow: they wrap. */
static uint8_t *
put_time(uint8_t *at, const struct timespec *t, time_t base)
{
	uint64_t diff = (uint64_t)t->tv_sec - (uint64_t)base;

	at = layout_put_varint(at, layout_zigzag((int64_t)diff));
	return layout_put_varint(at, (uint64_t)t->tv_nsec);
}

static struct timespec
take_time(struct layout_reader *r, time_t base)
{
	uint64_t diff = (uint64_t)layout_unzigzag(layout_take_varint(r));
	uint64_t nsec = layout_take_varint(r);

	r->bad |= nsec > NSEC_MAX;
	return (struct timespec){ (time_t)((uint64_t)base + diff),
				  (long)(nsec > NSEC_MAX ? 0 : nsec) };
}

static uint64_t
holes_of(const struct layout_attr *a)
{
	/* Inline contents say themselves how long they are. */
	if (!S_ISREG(a->mode) || a->contents.data || a->stored > a->size)
		return 0;
	return a->size - a->stored;
}

static unsigned
fields_of(const struct layout_attr *a)
{
	static const struct timespec zero;
	unsigned fields = 0;

	fields |= a->nlink != nlink_default(a->mode) ? FIELD_NLINK : 0;
	fields |= a->uid ? FIELD_UID : 0;
	fields |= a->gid ? FIELD_GID : 0;
	fields |= a->rdev ? FIELD_RDEV : 0;
	fields |= a->size ? FIELD_SIZE : 0;
	fields |= holes_of(a) ? FIELD_HOLES : 0;
	fields |= time_same(&a->mtime, &zero) ? 0 : FIELD_MTIME;
	fields |= time_same(&a->ctime, &a->mtime) ? 0 : FIELD_CTIME;
	fields |= time_same(&a->atime, &a->mtime) ? 0 : FIELD_ATIME;
	fields |= time_same(&a->btime, &a->mtime) ? 0 : FIELD_BTIME;
	fields |= a->parent ? FIELD_PARENT : 0;
	fields |= a->entries ? FIELD_ENTRIES : 0;
	fields |= a->stale_to > a->stale_from ? FIELD_STALE : 0;
	fields |= a->xattrs ? FIELD_XATTRS : 0;
	return fields;
}

static uint8_t *
put_field(uint8_t *at, unsigned fields, unsigned field, uint64_t value)
{
	return fields & field ? layout_put_varint(at, value) : at;
}

size_t
layout_attr_encode(const struct layout_attr *a, uint8_t *out)
{
	unsigned fields = fields_of(a);
	uint8_t *at = out;

	*at++ = ATTR_VERSION;
	at = layout_put_varint(at, a->mode);
	at = layout_put_varint(at, fields);
	at = put_field(at, fields, FIELD_NLINK, a->nlink);
	at = put_field(at, fields, FIELD_UID, a->uid);
	at = put_field(at, fields, FIELD_GID, a->gid);
	at = put_field(at, fields, FIELD_RDEV, a->rdev);
	at = put_field(at, fields, FIELD_SIZE, a->size);
	at = put_field(at, fields, FIELD_HOLES, holes_of(a));
	if (fields & FIELD_MTIME)
		at = put_time(at, &a->mtime, 0);
	if (fields & FIELD_CTIME)
		at = put_time(at, &a->ctime, a->mtime.tv_sec);
	if (fields & FIELD_ATIME)
		at = put_time(at, &a->atime, a->mtime.tv_sec);
	if (fields & FIELD_BTIME)
		at = put_time(at, &a->btime, a->mtime.tv_sec);
	at = put_field(at, fields, FIELD_PARENT, a->parent);
	at = put_field(at, fields, FIELD_ENTRIES, a->entries);
	at = put_field(at, fields, FIELD_STALE, a->stale_from);
	at = put_field(at, fields, FIELD_STALE, a->stale_to - a->stale_from);
	at = put_field(at, fields, FIELD_XATTRS, a->xattrs);
	if (a->contents.len)
		memcpy(at, a->contents.data, a->contents.len);
	return (size_t)(at - out) + a->contents.len;
}

static uint64_t
take_field(struct layout_reader *r, unsigned fields, unsigned field,
	   uint64_t absent, uint64_t max)
{
	uint64_t value;

	if (!(fields & field))
		return absent;
	value = layout_take_varint(r);
	/* The default has one form: not to be there. */
	r->bad |= value == absent || value > max;
	return value;
}

static void
take_times(struct layout_reader *r, unsigned fields, struct layout_attr *a)
{
	static const struct timespec zero;
	time_t base;

	if (fields & FIELD_MTIME)
		a->mtime = take_time(r, 0);
	r->bad |= (fields & FIELD_MTIME) && time_same(&a->mtime, &zero);
	base = a->mtime.tv_sec;
	a->ctime = a->atime = a->btime = a->mtime;
	if (fields & FIELD_CTIME) {
		a->ctime = take_time(r, base);
		r->bad |= time_same(&a->ctime, &a->mtime);
	}
	if (fields & FIELD_ATIME) {
		a->atime = take_time(r, base);
		r->bad |= time_same(&a->atime, &a->mtime);
	}
	if (fields & FIELD_BTIME) {
		a->btime = take_time(r, base);
		r->bad |= time_same(&a->btime, &a->mtime);
	}
}

static void
take_stale(struct layout_reader *r, unsigned fields, struct layout_attr *a)
{
	uint64_t count;

	if (!(fields & FIELD_STALE))
		return;
	a->stale_from = layout_take_varint(r);
	count = layout_take_varint(r);
	r->bad |= a->stale_from >= LAYOUT_CHUNKS_MAX || count == 0 ||
		  count > LAYOUT_CHUNKS_MAX - a->stale_from;
	a->stale_to = a->stale_from + (r->bad ? 0 : count);
}

/* Contents, and what is stored of them. */
static bool
contents_fit(struct layout_attr *a, unsigned fields, uint64_t holes,
	     uint32_t inline_max)
{
	bool regular = S_ISREG(a->mode);

	if (!regular || a->size > inline_max) {
		if (a->contents.len || holes > (regular ? a->size : 0))
			return false;
		a->contents.data = NULL;
		a->stored = regular ? a->size - holes : 0;
		return true;
	}
	a->stored = a->contents.len;
	return !(fields & FIELD_HOLES) && a->contents.len <= a->size;
}

static bool
type_fits(const struct layout_attr *a, unsigned fields)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
		return !(fields & (FIELD_RDEV | FIELD_PARENT | FIELD_ENTRIES));
	case S_IFDIR:
		return (fields & FIELD_PARENT) &&
		       !(fields & (FIELD_RDEV | FIELD_SIZE | FIELD_STALE));
	case S_IFCHR:
	case S_IFBLK:
		return !(fields & (FIELD_SIZE | FIELD_STALE | FIELD_PARENT |
				   FIELD_ENTRIES));
	case S_IFLNK:
		return a->size > 0 && a->size <= LAYOUT_SYMLINK_MAX &&
		       !(fields & (FIELD_RDEV | FIELD_STALE | FIELD_PARENT |
				   FIELD_ENTRIES));
	case S_IFIFO:
	case S_IFSOCK:
		return !(fields & (FIELD_RDEV | FIELD_SIZE | FIELD_STALE |
				   FIELD_PARENT | FIELD_ENTRIES));
	}
	return false;
}

int
layout_attr_decode(struct keyfs_slice value, uint32_t inline_max,
		   struct layout_attr *out)
{
	struct layout_reader r = layout_reader_init(value);
	struct layout_attr a = { 0 };
	uint64_t version = layout_take_le(&r, 1);
	uint64_t mode = layout_take_varint(&r);
	uint64_t fields = layout_take_varint(&r), holes;
	unsigned f = (unsigned)fields;

	if (r.bad || version != ATTR_VERSION || mode > 0177777 ||
	    fields > FIELDS_ALL)
		return -EUCLEAN;
	a.mode = (uint32_t)mode;
	a.nlink = (uint32_t)take_field(&r, f, FIELD_NLINK,
				       nlink_default(a.mode), LAYOUT_LINK_MAX);
	a.uid = (uint32_t)take_field(&r, f, FIELD_UID, 0, UINT32_MAX);
	a.gid = (uint32_t)take_field(&r, f, FIELD_GID, 0, UINT32_MAX);
	a.rdev = take_field(&r, f, FIELD_RDEV, 0, UINT64_MAX);
	a.size = take_field(&r, f, FIELD_SIZE, 0, LAYOUT_SIZE_MAX);
	holes = take_field(&r, f, FIELD_HOLES, 0, LAYOUT_SIZE_MAX);
	take_times(&r, f, &a);
	a.parent = take_field(&r, f, FIELD_PARENT, 0, LAYOUT_INO_MAX);
	a.entries = take_field(&r, f, FIELD_ENTRIES, 0, LAYOUT_INO_MAX);
	take_stale(&r, f, &a);
	a.xattrs = (uint32_t)take_field(&r, f, FIELD_XATTRS, 0,
					LAYOUT_XATTR_LIST_MAX);
	a.contents = keyfs_bytes(r.at, (size_t)(r.end - r.at));
	if (r.bad || !type_fits(&a, f) ||
	    !contents_fit(&a, f, holes, inline_max))
		return -EUCLEAN;
	*out = a;
	return 0;
}
