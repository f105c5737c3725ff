/* SPDX-License-Identifier: Apache-2.0 */
/* dirstream.h - one open directory: turns names into offsets and back.
 *
 * READDIR says where it goes on by a number, the offset that went with an entry
 * before. A position would move when entries come and go, and a number kept per
 * entry would have to be stored; so the offset is a hash of the name, and the
 * listing goes on after that name, whether it still exists or not. Entries that
 * are added or removed meanwhile are neither skipped nor repeated.
 *
 *	0                  the start
 *	1, 2               after ".", after ".."
 *	3 + hash, 62 bits  after the name with that hash; the next free
 *	                   number if another name of the stream has it
 *
 * The stream remembers the names of its last two replies: the kernel may go on
 * from the middle of one. An older offset (seekdir, NFS, a listing that the
 * kernel had cached) is found by going through the directory, one struct
 * dirstream_search a search; there is never an open iterator. An older offset
 * whose name is gone cannot be placed any more.
 *
 * The kernel sends one READDIR of an open directory at a time, so a stream is
 * used by one thread at a time. */
#ifndef FS_DIRSTREAM_H
#define FS_DIRSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

#define DIRSTREAM_START 0u
#define DIRSTREAM_AFTER_DOT 1u
#define DIRSTREAM_AFTER_DOTS 2u

struct dirstream;

int dirstream_new(struct dirstream **out);
void dirstream_free(struct dirstream *stream); /* NULL is allowed */

/* Begins a reply; one that was begun and not ended is forgotten. */
void dirstream_begin(struct dirstream *stream);

/* Gives the offset of `name`, the next entry of the reply.  -ENOMEM. */
int
dirstream_add(struct dirstream *stream, struct keyfs_slice name, uint64_t *out);

/* Takes back the entry added last: it did not fit. */
void dirstream_drop_last(struct dirstream *stream);

/* The reply will be sent: remembers its names, forgets those of the reply
 * before the last one. */
void dirstream_end(struct dirstream *stream);

/* The name that had `offset` in one of the last two replies; *out is valid
 * until the next dirstream_end(). Returns false if it is not remembered. */
bool dirstream_find(const struct dirstream *stream, uint64_t offset,
		    struct keyfs_slice *out);

/* A search through the directory for an older offset. */
#define DIRSTREAM_BUMPS 8u

struct dirstream_search {
	uint64_t offset;
	unsigned seen[DIRSTREAM_BUMPS]; /* names whose offset is `i` before */
};

/* Returns whether `name`, the next one of the directory, is the one searched
 * for. Requires: *search began as zeros and the offset. */
bool dirstream_match(struct dirstream_search *search, struct keyfs_slice name);

/* The offset of `name` where nothing has it yet. */
uint64_t dirstream_offset(struct keyfs_slice name);

#endif
