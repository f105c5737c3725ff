/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - keys, names, and every value but the attributes (layout_attr.c). */
#include <config.h>

#include "fs/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/layout_bytes.h"

/* Keys.  The first byte is the kind; numbers are 8 bytes, big-endian.
 *
 *	'S'                        superblock
 *	'S' 'N'                    inode numbers below this one have been reserved
 *	'S' 'R'                    moves of directories so far
 *	'S' 'T'                    totals
 *	'I' ino 'A'                attributes, and contents of small files
 *	'I' ino 'E' name           directory entry
 *	'I' ino 'L'                target of a symbolic link
 *	'I' ino 'X' name           extended attribute
 *	'C' ino chunk              one chunk of contents
 *	'O' ino                    work owed
 *
 * So a directory is one range in the order of its names, with its attributes just
 * before it:
 *
 *	49 0000000000000001 41            inode 1, attributes
 *	49 0000000000000001 45 "etc"      inode 1, entry "etc"
 */

static uint8_t *
put_be64(uint8_t *out, uint64_t value)
{
	for (int i = 7; i >= 0; i--)
		*out++ = (uint8_t)(value >> (8 * i));
	return out;
}

static uint64_t
get_be64(const uint8_t *in)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | in[i];
	return value;
}

static struct keyfs_slice
key_end(const struct layout_key *key, const uint8_t *end)
{
	return keyfs_bytes(key->bytes, (size_t)(end - key->bytes));
}

static struct keyfs_slice
key_global(struct layout_key *key, char what)
{
	key->bytes[0] = 'S';
	key->bytes[1] = (uint8_t)what;
	return keyfs_bytes(key->bytes, what ? 2 : 1);
}

struct keyfs_slice
layout_key_super(struct layout_key *key)
{
	return key_global(key, 0);
}

struct keyfs_slice
layout_key_inos(struct layout_key *key)
{
	return key_global(key, 'N');
}

struct keyfs_slice
layout_key_moves(struct layout_key *key)
{
	return key_global(key, 'R');
}

struct keyfs_slice
layout_key_totals(struct layout_key *key)
{
	return key_global(key, 'T');
}

static uint8_t *
put_inode(struct layout_key *key, char kind, uint64_t ino)
{
	key->bytes[0] = (uint8_t)kind;
	return put_be64(key->bytes + 1, ino);
}

struct keyfs_slice
layout_key_inode(struct layout_key *key, uint64_t ino)
{
	return key_end(key, put_inode(key, 'I', ino));
}

static struct keyfs_slice
key_part(struct layout_key *key, uint64_t ino, char part)
{
	uint8_t *end = put_inode(key, 'I', ino);

	*end++ = (uint8_t)part;
	return key_end(key, end);
}

struct keyfs_slice
layout_key_attr(struct layout_key *key, uint64_t ino)
{
	return key_part(key, ino, 'A');
}

struct keyfs_slice
layout_key_link(struct layout_key *key, uint64_t ino)
{
	return key_part(key, ino, 'L');
}

static struct keyfs_slice
key_named(struct layout_key *key, uint64_t ino, char part,
	  struct keyfs_slice name)
{
	struct keyfs_slice out = key_part(key, ino, part);

	if (name.len)
		memcpy(key->bytes + out.len, name.data, name.len);
	out.len += name.len;
	return out;
}

struct keyfs_slice
layout_key_entry(struct layout_key *key, uint64_t ino, struct keyfs_slice name)
{
	return key_named(key, ino, 'E', name);
}

struct keyfs_slice
layout_key_xattr(struct layout_key *key, uint64_t ino, struct keyfs_slice name)
{
	return key_named(key, ino, 'X', name);
}

struct keyfs_slice
layout_key_xattr_end(struct layout_key *key, uint64_t ino)
{
	return key_part(key, ino, 'X' + 1);
}

struct keyfs_slice
layout_key_entry_after(struct layout_key *key, uint64_t ino,
		       struct keyfs_slice name)
{
	struct keyfs_slice out;

	if (!name.data)
		name.len = 0;
	out = layout_key_entry(key, ino, name);
	/* The next key in order: the same with a 0 byte behind. */
	if (name.data)
		key->bytes[out.len++] = 0;
	return out;
}

struct keyfs_slice
layout_key_entry_end(struct layout_key *key, uint64_t ino)
{
	return key_part(key, ino, 'E' + 1);
}

struct keyfs_slice
layout_key_chunk(struct layout_key *key, uint64_t ino, uint64_t chunk)
{
	return key_end(key, put_be64(put_inode(key, 'C', ino), chunk));
}

struct keyfs_slice
layout_key_orphan(struct layout_key *key, uint64_t ino)
{
	return key_end(key, put_inode(key, 'O', ino));
}

static int
parse_global(const uint8_t *at, size_t len, struct layout_place *out)
{
	out->ino = 0;
	if (len == 0)
		out->kind = LAYOUT_SUPER;
	else if (len == 1 && *at == 'N')
		out->kind = LAYOUT_INOS;
	else if (len == 1 && *at == 'R')
		out->kind = LAYOUT_MOVES;
	else if (len == 1 && *at == 'T')
		out->kind = LAYOUT_TOTALS;
	else
		return -EUCLEAN;
	return 0;
}

/* What follows 'I' ino. */
static int
parse_part(const uint8_t *at, size_t len, struct layout_place *out)
{
	if (len == 1 && *at == 'A') {
		out->kind = LAYOUT_ATTR;
	} else if (len == 1 && *at == 'L') {
		out->kind = LAYOUT_LINK;
	} else if (len > 1 && *at == 'E') {
		out->kind = LAYOUT_ENTRY;
		out->name = keyfs_bytes(at + 1, len - 1);
		return layout_name_check(out->name) ? -EUCLEAN : 0;
	} else if (len > 1 && *at == 'X') {
		out->kind = LAYOUT_XATTR;
		out->name = keyfs_bytes(at + 1, len - 1);
		return layout_xattr_check(out->name) ? -EUCLEAN : 0;
	} else {
		return -EUCLEAN;
	}
	return 0;
}

int
layout_key_parse(struct keyfs_slice key, struct layout_place *out)
{
	const uint8_t *at = key.data;

	*out = (struct layout_place){ 0 };
	if (key.len == 0)
		return -EUCLEAN;
	if (at[0] == 'S')
		return parse_global(at + 1, key.len - 1, out);
	if (key.len < 9)
		return -EUCLEAN;
	out->ino = get_be64(at + 1);
	if (out->ino < LAYOUT_ROOT || out->ino > LAYOUT_INO_MAX)
		return -EUCLEAN;
	if (at[0] == 'I')
		return parse_part(at + 9, key.len - 9, out);
	if (at[0] == 'O' && key.len == 9) {
		out->kind = LAYOUT_ORPHAN;
		return 0;
	}
	if (at[0] != 'C' || key.len != 17)
		return -EUCLEAN;
	out->kind = LAYOUT_DATA;
	out->chunk = get_be64(at + 9);
	return out->chunk < LAYOUT_CHUNKS_MAX ? 0 : -EUCLEAN;
}

void
layout_key_text(struct keyfs_slice key, char *out)
{
	const uint8_t *bytes = key.data;
	char *at = stpcpy(out, "key ");

	for (size_t i = 0; i < key.len && at + 2 < out + LAYOUT_KEY_TEXT; i++)
		at += snprintf(at, 3, "%02x", bytes[i]);
}

int
layout_name_check(struct keyfs_slice name)
{
	const char *s = name.data;

	if (name.len > LAYOUT_NAME_MAX)
		return -ENAMETOOLONG;
	if (name.len == 0 || memchr(s, '/', name.len) || memchr(s, 0, name.len))
		return -EINVAL;
	if (s[0] == '.' && (name.len == 1 || (name.len == 2 && s[1] == '.')))
		return -EINVAL;
	return 0;
}

int
layout_xattr_check(struct keyfs_slice name)
{
	if (name.len > LAYOUT_XATTR_NAME_MAX)
		return -ERANGE;
	return name.len == 0 || memchr(name.data, 0, name.len) ? -EINVAL : 0;
}

/* A directory entry: the type as in mode >> 12, then the inode number.
 *
 *	+------+------------+
 *	| type | ino varint |     08 ac 02     regular file, inode 300
 *	+------+------------+
 */

static bool
type_known(uint32_t type)
{
	switch (type) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	}
	return false;
}

size_t
layout_entry_encode(const struct layout_entry *entry, uint8_t *out)
{
	*out = (uint8_t)(entry->type >> 12);
	return (size_t)(layout_put_varint(out + 1, entry->ino) - out);
}

int
layout_entry_decode(struct keyfs_slice value, struct layout_entry *out)
{
	struct layout_reader r = layout_reader_init(value);
	struct layout_entry entry;

	entry.type = (uint32_t)layout_take_le(&r, 1) << 12;
	entry.ino = layout_take_varint(&r);
	if (r.bad || r.at != r.end || !type_known(entry.type) ||
	    entry.ino <= LAYOUT_ROOT || entry.ino > LAYOUT_INO_MAX)
		return -EUCLEAN;
	*out = entry;
	return 0;
}

/* Work owed: one byte, enum layout_orphan. */

size_t
layout_orphan_encode(enum layout_orphan what, uint8_t *out)
{
	*out = (uint8_t)what;
	return LAYOUT_ORPHAN_SIZE;
}

int
layout_orphan_decode(struct keyfs_slice value, enum layout_orphan *out)
{
	const uint8_t *what = value.data;

	if (value.len != LAYOUT_ORPHAN_SIZE || *what < LAYOUT_ORPHAN_REMOVE ||
	    *what > LAYOUT_ORPHAN_TRIM)
		return -EUCLEAN;
	*out = (enum layout_orphan) * what;
	return 0;
}

/* A number: 8 bytes.  Totals: two numbers, inodes and bytes. */

size_t
layout_number_encode(uint64_t number, uint8_t *out)
{
	layout_put_le(out, number, 8);
	return LAYOUT_NUMBER_SIZE;
}

int
layout_number_decode(struct keyfs_slice value, uint64_t *out)
{
	struct layout_reader r = layout_reader_init(value);

	if (value.len != LAYOUT_NUMBER_SIZE)
		return -EUCLEAN;
	*out = layout_take_le(&r, 8);
	return 0;
}

size_t
layout_totals_encode(const struct layout_totals *totals, uint8_t *out)
{
	layout_put_le(layout_put_le(out, totals->inodes, 8), totals->bytes, 8);
	return LAYOUT_TOTALS_SIZE;
}

int
layout_totals_decode(struct keyfs_slice value, struct layout_totals *out)
{
	struct layout_reader r = layout_reader_init(value);

	if (value.len != LAYOUT_TOTALS_SIZE)
		return -EUCLEAN;
	out->inodes = layout_take_le(&r, 8);
	out->bytes = layout_take_le(&r, 8);
	return 0;
}

/* Superblock, 56 bytes:
 *
 *	 0  8  "keyfs\n\x1a\0"
 *	 8  4  format, 1
 *	12  4  features; an unknown bit refuses the tree
 *	16  4  inline limit
 *	20  4  chunk size
 *	24 16  uuid
 *	40  8  creation time, seconds (signed)
 *	48  4  and nanoseconds
 *	52  4  zero
 */
static const uint8_t super_magic[8] = "keyfs\n\x1a";

size_t
layout_super_encode(const struct layout_super *super, uint8_t *out)
{
	uint8_t *at = out;

	memcpy(at, super_magic, sizeof(super_magic));
	at = layout_put_le(at + sizeof(super_magic), LAYOUT_FORMAT, 4);
	at = layout_put_le(at, super->features, 4);
	at = layout_put_le(at, super->inline_max, 4);
	at = layout_put_le(at, super->chunk_size, 4);
	memcpy(at, super->uuid, sizeof(super->uuid));
	at += sizeof(super->uuid);
	at = layout_put_le(at, (uint64_t)super->created.tv_sec, 8);
	at = layout_put_le(at, (uint64_t)super->created.tv_nsec, 4);
	layout_put_le(at, 0, 4);
	return LAYOUT_SUPER_SIZE;
}

static int
super_check(const struct layout_super *super, uint64_t rest)
{
	if (super->features & ~LAYOUT_FEATURES_KNOWN)
		return -EPROTONOSUPPORT;
	if (super->chunk_size != LAYOUT_CHUNK)
		return -EPROTONOSUPPORT;
	if (super->inline_max > LAYOUT_INLINE_MAX || rest != 0 ||
	    super->created.tv_nsec >= 1000000000)
		return -EUCLEAN;
	return 0;
}

int
layout_super_decode(struct keyfs_slice value, struct layout_super *out)
{
	struct layout_reader r = layout_reader_init(value);
	struct layout_super super;
	uint64_t format;
	int rc;

	if (value.len < sizeof(super_magic) + 4 ||
	    memcmp(value.data, super_magic, sizeof(super_magic)) != 0)
		return -EUCLEAN;
	r.at += sizeof(super_magic);
	format = layout_take_le(&r, 4);
	if (format > LAYOUT_FORMAT)
		return -EPROTONOSUPPORT;
	if (format == 0 || value.len != LAYOUT_SUPER_SIZE)
		return -EUCLEAN;
	super.features = (uint32_t)layout_take_le(&r, 4);
	super.inline_max = (uint32_t)layout_take_le(&r, 4);
	super.chunk_size = (uint32_t)layout_take_le(&r, 4);
	memcpy(super.uuid, r.at, sizeof(super.uuid));
	r.at += sizeof(super.uuid);
	super.created.tv_sec = (time_t)layout_take_le(&r, 8);
	super.created.tv_nsec = (long)layout_take_le(&r, 4);
	rc = super_check(&super, layout_take_le(&r, 4));
	if (!rc)
		*out = super;
	return rc;
}
