/* SPDX-License-Identifier: Apache-2.0 */
/* protect.h - a daemon that dies is a mount that dies: what the kernel can be asked to
 * do about that. */
#ifndef SRC_PROTECT_H
#define SRC_PROTECT_H

/* Says, where this process may (CAP_SYS_RESOURCE), that memory is not to be freed by
 * writing to the mount that it serves, which would be waiting for itself, and that
 * others are to be killed first when there is none left.  A preference that somebody
 * has given the process stays.  Call before there are threads: they inherit it. */
void protect_daemon(void);

#endif
