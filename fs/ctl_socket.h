/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_socket.h - where the socket of a store is, for both its ends.
 *
 * The path of a Unix socket has at most 107 bytes and that of a store any
 * number, so the socket is named through an open descriptor of the directory.
 */
#ifndef FS_CTL_SOCKET_H
#define FS_CTL_SOCKET_H

#include <sys/un.h>

/* Opens the directory for the sake of ctl_socket_address(); *out is -1 on an
 * error, else the caller's to close.  -EPERM: it is a symbolic link, belongs to
 * another user, or its group or others may write to it. */
int ctl_socket_dir(const char *store, int *out);

void ctl_socket_address(int dir_fd, struct sockaddr_un *out);

#endif
