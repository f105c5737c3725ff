/* SPDX-License-Identifier: Apache-2.0 */
/* unmount.h - takes a mount away, as root or as the user whose it is. */
#ifndef SRC_UNMOUNT_H
#define SRC_UNMOUNT_H

struct cmd;

/* Unmounts what is on the absolute path `mountpoint`; `flags` are those of umount2(2).
 * Returns an exit status, after a message in the name of `cmd` if it is not CMD_OK. */
int unmount(const struct cmd *cmd, const char *mountpoint, int flags);

#endif
