/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.h - which stores the kernel has mounted, as this process sees it. */
#ifndef SRC_MOUNTS_H
#define SRC_MOUNTS_H

/* The store that is mounted on the absolute path `mountpoint`, the caller's to
 * free(); NULL: none, or something else lies over it. */
char *mounts_store_at(const char *mountpoint);

#endif
