/* SPDX-License-Identifier: Apache-2.0 */
/* mount_options.h - the words after -o of `keyfs mount`.
 *
 * Three kinds: ours, those of the kernel, which are handed on, and words that
 * mean something to mount(8) or systemd only, which are accepted and dropped, so
 * that a line of fstab works.  Anything else is an error: a misspelt option must
 * not be a silent one.  No state. */
#ifndef SRC_MOUNT_OPTIONS_H
#define SRC_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/session.h"
#include "store/store.h"

/* Room for every kernel option once. */
#define MOUNT_KERNEL_OPTIONS_MAX 256

struct mount_options {
	struct keyfs_options store;
	struct session_options session;
	bool access_said; /* ro or rw was among them */
	bool nonempty; /* the mountpoint may hold files, which are then hidden */
	bool remount;  /* only flags of the kernel change: mount(8) does that */
	char kernel[MOUNT_KERNEL_OPTIONS_MAX];
};

/* Everything at its default. */
void mount_options_init(struct mount_options *options);

/* Takes one comma-separated list; may be called again.  -EINVAL: `why` has one
 * sentence that names the option. */
int mount_options_parse(struct mount_options *options, const char *list,
			char *why, size_t why_size);

/* Prints the options but for those that are dropped: ours a line each, then the
 * kernel's. */
void mount_options_print(void);

#endif
