/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - tells a service manager how the daemon is doing: the protocol of
 * sd_notify(3), which is one datagram, without its library. */
#ifndef SRC_NOTIFY_H
#define SRC_NOTIFY_H

/* Sends `state`, such as "READY=1", to the socket that NOTIFY_SOCKET names; does nothing
 * without one, or if nobody listens.  For units of Type=notify. */
void notify_manager(const char *state);

#endif
