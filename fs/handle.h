/* SPDX-License-Identifier: Apache-2.0 */
/* handle.h - how often the kernel has been told of each inode.
 *
 * The kernel holds an inode from the first answer that names it (LOOKUP,
 * CREATE, MKNOD, MKDIR, SYMLINK, LINK, each READDIRPLUS entry) until a FORGET
 * has given all these counts back. OPEN and RELEASE are not sent (the answer to
 * OPEN is ENOSYS), so this count is the only sign that an unlinked file is
 * still in use: an inode that loses its last name while it is held is marked as
 * an orphan here, and whoever gives back its last count tells the tree.
 *
 * The table is split into stripes, each a hash table with its own lock, of 16
 * bytes an inode and at least a quarter of the places free; it grows and
 * shrinks with what the kernel caches. Any thread; no lock is held on return,
 * and nothing is called from inside.
 *
 * handle_table_new(), handle_table_free() and handle_table_in_use() are in
 * fs/session.h: the program needs them to open the tree. */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct handle_table;

/* Counts one more answer that names `ino`; call it before the answer is sent,
 * because the kernel may forget at once. -ENOMEM: not counted, do not answer
 * with it. */
int handle_ref(struct handle_table *table, uint64_t ino);

/* Gives back `count` answers. An unknown inode is allowed. Returns true if an
 * orphan has just lost its last one: the caller then tells
 * tree_forget_orphan(). */
bool handle_unref(struct handle_table *table, uint64_t ino, uint64_t count);

/* Marks `ino`, whose last name has gone. Returns false if the kernel does not
 * hold it: nobody will ever forget it, so the caller tells tree_forget_orphan()
 * now. */
bool handle_mark_orphan(struct handle_table *table, uint64_t ino);

struct handle_usage {
	size_t inodes; /* that the kernel holds */
	size_t bytes;  /* that the table takes */
};

void handle_table_usage(struct handle_table *table, struct handle_usage *out);

#endif
