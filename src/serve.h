/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - one mounted store from opening to closing: the layers put together.
 *
 * Opens the store and its tree, mounts, serves, and takes it all down in the
 * opposite order.  Runs in the process that stays: threads are started here, so
 * a fork comes before. */
#ifndef SRC_SERVE_H
#define SRC_SERVE_H

#include "src/mount_options.h"

struct serve {
	const char *store;      /* absolute; borrowed */
	const char *mountpoint; /* absolute; borrowed */
	struct mount_options *options;
	/* Called once, when the mount answers. */
	void (*ready)(void *arg);
	void *arg;
};

/* Returns when the mount is gone and the store is closed: an exit status, after a
 * message if it is not CMD_OK. */
int serve_run(const struct serve *serve);

#endif
