/* SPDX-License-Identifier: Apache-2.0 */
/* acl.h - POSIX access control lists, in the bytes that Linux keeps them in.
 *
 * An access list says who may do what with an object; a default list of a directory
 * says what new objects in it get.  Both are values of extended attributes
 * (<linux/posix_acl_xattr.h>), little-endian:
 *
 *	u32   version, 2
 *	then for each entry
 *	u16   tag: USER_OBJ 1, USER 2, GROUP_OBJ 4, GROUP 8, MASK 16, OTHER 32
 *	u16   rights: read 4, write 2, execute 1
 *	u32   id of a USER or GROUP, else without a meaning
 *
 * in the order of their tags: one USER_OBJ, any USERs, one GROUP_OBJ, any GROUPs, one
 * MASK if there are USERs or GROUPs, one OTHER.  The nine bits of a mode are the same
 * as the entries of three classes: USER_OBJ, the MASK or without one GROUP_OBJ, and
 * OTHER.  What is done with them is in POSIX 1003.1e, draft 17, 23.1, and acl(5).
 *
 * Functions of bytes; nothing here knows of inodes. */
#ifndef FS_ACL_H
#define FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

bool acl_is_access(struct keyfs_slice name);
bool acl_is_default(struct keyfs_slice name);

static inline bool
acl_is_name(struct keyfs_slice name)
{
	return acl_is_access(name) || acl_is_default(name);
}

/* -EINVAL: no list as described. */
int acl_check(struct keyfs_slice list);

/* Requires, of each below: acl_check() has passed it. */

/* Whether it says more than a mode can. */
bool acl_says_more(struct keyfs_slice list);
/* The nine bits that are its classes. */
uint32_t acl_mode(struct keyfs_slice list);
/* Makes its classes those of `mode`, as chmod(2) does. */
void acl_chmod(uint8_t *list, size_t len, uint32_t mode);
/* Makes a directory's default list the access list of an object that is made with
 * `mode`, and returns the nine bits of that object. */
uint32_t acl_inherit(uint8_t *list, size_t len, uint32_t mode);

#endif
