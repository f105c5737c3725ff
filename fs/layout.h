/* SPDX-License-Identifier: Apache-2.0 */
/* layout.h - how inodes, names and contents become keys and values.
 *
 * Nothing else in fs/ knows these bytes.  Numbers in keys are big-endian, so that
 * they sort; values are little-endian or varints (7 bits a byte, low bits first, the
 * shortest form only).  Everything here is pure: no engine, no locks, any thread.
 *
 * Decoders are strict: bytes that no encoder makes are -EUCLEAN, whatever they are,
 * so a value that decodes encodes to the same bytes again. */
#ifndef FS_LAYOUT_H
#define FS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "store/store.h"

/* ---- Limits (on disk: never change for format 1) ---- */

#define LAYOUT_FORMAT 1u
#define LAYOUT_ROOT 1u
#define LAYOUT_INO_BITS 48
#define LAYOUT_INO_MAX ((UINT64_C(1) << LAYOUT_INO_BITS) - 1)
#define LAYOUT_NAME_MAX 255u
#define LAYOUT_SYMLINK_MAX 4095u
/* Extended attributes: the longest name (its namespace included) and value, and all
 * names of one object with a zero behind each: what the kernel takes (limits.h). */
#define LAYOUT_XATTR_NAME_MAX 255u
#define LAYOUT_XATTR_SIZE_MAX 65536u
#define LAYOUT_XATTR_LIST_MAX 65536u
#define LAYOUT_LINK_MAX 0x7fffffffu
#define LAYOUT_SIZE_MAX ((uint64_t)INT64_MAX)
#define LAYOUT_CHUNK_BITS 14
#define LAYOUT_CHUNK (UINT64_C(1) << LAYOUT_CHUNK_BITS) /* 16 KiB */
/* Files up to this size lie in their attributes: the value for new trees, and the
 * most that a tree may use. */
#define LAYOUT_INLINE 1024u
#define LAYOUT_INLINE_MAX LAYOUT_CHUNK
/* Chunks of the largest file. */
#define LAYOUT_CHUNKS_MAX ((LAYOUT_SIZE_MAX >> LAYOUT_CHUNK_BITS) + 1)

_Static_assert(LAYOUT_INLINE <= LAYOUT_INLINE_MAX,
	       "inline contents become the first chunk when a file grows");

/* ---- Keys ---- */

/* Room for any key. */
struct layout_key {
	uint8_t bytes[1 + 8 + 1 + LAYOUT_NAME_MAX + 1];
};

/* Each fills *key and returns it as a slice that lives as long as *key. */
struct keyfs_slice layout_key_super(struct layout_key *key);
struct keyfs_slice layout_key_inos(struct layout_key *key);
struct keyfs_slice layout_key_moves(struct layout_key *key);
struct keyfs_slice layout_key_totals(struct layout_key *key);
struct keyfs_slice layout_key_attr(struct layout_key *key, uint64_t ino);
struct keyfs_slice layout_key_link(struct layout_key *key, uint64_t ino);
/* Requires: name.len <= LAYOUT_NAME_MAX. */
struct keyfs_slice
layout_key_entry(struct layout_key *key, uint64_t ino, struct keyfs_slice name);
struct keyfs_slice
layout_key_chunk(struct layout_key *key, uint64_t ino, uint64_t chunk);
struct keyfs_slice layout_key_orphan(struct layout_key *key, uint64_t ino);
/* Requires: name.len <= LAYOUT_XATTR_NAME_MAX.  With an empty name, the key before
 * all attributes of `ino`; all lie before layout_key_xattr_end(). */
struct keyfs_slice
layout_key_xattr(struct layout_key *key, uint64_t ino, struct keyfs_slice name);
struct keyfs_slice layout_key_xattr_end(struct layout_key *key, uint64_t ino);

/* Ends of ranges.  The entries of `ino` after `name` (.data NULL: all) lie between
 * layout_key_entry_after() and layout_key_entry_end(); all that 'I' has of an inode
 * between layout_key_inode() of it and of the next. */
struct keyfs_slice layout_key_entry_after(struct layout_key *key, uint64_t ino,
					  struct keyfs_slice name);
struct keyfs_slice layout_key_entry_end(struct layout_key *key, uint64_t ino);
struct keyfs_slice layout_key_inode(struct layout_key *key, uint64_t ino);

enum layout_kind {
	LAYOUT_SUPER,
	LAYOUT_INOS,
	LAYOUT_MOVES,
	LAYOUT_TOTALS,
	LAYOUT_ATTR,
	LAYOUT_ENTRY,
	LAYOUT_LINK,
	LAYOUT_XATTR,
	LAYOUT_DATA,
	LAYOUT_ORPHAN,
};

/* A key taken apart; `name` borrows from it. */
struct layout_place {
	enum layout_kind kind;
	uint64_t ino, chunk;
	struct keyfs_slice name;
};

int layout_key_parse(struct keyfs_slice key, struct layout_place *out);

/* For people: "key " and the first bytes in hexadecimal, for what does not parse.
 * `out` has room for LAYOUT_KEY_TEXT bytes, the zero at the end included. */
#define LAYOUT_KEY_TEXT (4 + 2 * 32 + 1)
void layout_key_text(struct keyfs_slice key, char *out);

/* 0, or what is wrong with a name for a new object: -EINVAL, -ENAMETOOLONG. */
int layout_name_check(struct keyfs_slice name);
/* The same for an extended attribute: -EINVAL, -ERANGE (too long). */
int layout_xattr_check(struct keyfs_slice name);

/* ---- Values ---- */

/* What 'A' says of an inode. */
struct layout_attr {
	uint32_t mode; /* type and permissions */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t rdev;
	uint64_t size; /* directories: 0 */
	uint64_t
		stored; /* bytes of contents that are stored, holes not counted */
	struct timespec atime, mtime, ctime, btime;
	/* Directories. */
	uint64_t parent;  /* of the root: itself */
	uint64_t entries; /* without the dots */
	/* Chunks that a truncation cut off and nobody has deleted yet; they read as
	 * holes.  From the first to before the second; equal: none. */
	uint64_t stale_from, stale_to;
	/* What the names of its extended attributes take in a list: their lengths
	 * and one more for each.  0: it has none. */
	uint32_t xattrs;
	/* Contents of a file no longer than the inline limit, from its beginning;
	 * what is missing is zeros.  Borrowed from the value.  .data NULL: the
	 * file is longer, its contents lie in chunks. */
	struct keyfs_slice contents;
};

/* Bytes that any attributes without their contents take at most. */
#define LAYOUT_ATTR_MAX 176u

/* Encodes with the contents; returns the length.  `out` has room for LAYOUT_ATTR_MAX
 * + contents.len bytes. */
size_t layout_attr_encode(const struct layout_attr *attr, uint8_t *out);

int layout_attr_decode(struct keyfs_slice value, uint32_t inline_max,
		       struct layout_attr *out);

/* A directory entry: what a name stands for. */
struct layout_entry {
	uint64_t ino;  /* never the root's */
	uint32_t type; /* S_IFMT bits */
};

#define LAYOUT_ENTRY_MAX 16u
size_t layout_entry_encode(const struct layout_entry *entry, uint8_t *out);
int layout_entry_decode(struct keyfs_slice value, struct layout_entry *out);

/* Work owed for an inode; on disk: never renumber. */
enum layout_orphan {
	LAYOUT_ORPHAN_REMOVE = 1, /* no name is left: everything goes */
	LAYOUT_ORPHAN_TRIM = 2,   /* only the stale chunks go */
};

#define LAYOUT_ORPHAN_SIZE 1u
size_t layout_orphan_encode(enum layout_orphan what, uint8_t *out);
int layout_orphan_decode(struct keyfs_slice value, enum layout_orphan *out);

/* Numbers of 'S' 'N' and 'S' 'R'. */
#define LAYOUT_NUMBER_SIZE 8u
size_t layout_number_encode(uint64_t number, uint8_t *out);
int layout_number_decode(struct keyfs_slice value, uint64_t *out);

struct layout_totals {
	uint64_t inodes, bytes;
};

#define LAYOUT_TOTALS_SIZE 16u
size_t layout_totals_encode(const struct layout_totals *totals, uint8_t *out);
int layout_totals_decode(struct keyfs_slice value, struct layout_totals *out);

/* Features, on disk: never renumber.  A tree has the bit of what it uses, so that
 * a program which does not know that refuses the tree. */
#define LAYOUT_FEATURE_XATTR 1u /* 'X' keys, and the field for them in 'A' */
#define LAYOUT_FEATURES_KNOWN LAYOUT_FEATURE_XATTR

struct layout_super {
	uint32_t features;
	uint32_t inline_max;
	uint32_t chunk_size;
	uint8_t uuid[16];
	struct timespec created;
};

#define LAYOUT_SUPER_SIZE 56u
size_t layout_super_encode(const struct layout_super *super, uint8_t *out);
/* -EPROTONOSUPPORT: a newer format, or a feature that is not known here. */
int layout_super_decode(struct keyfs_slice value, struct layout_super *out);

#endif
