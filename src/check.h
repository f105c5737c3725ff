/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - what `keyfs check`, `keyfs repair` and fsck.keyfs share.  One thread. */
#ifndef SRC_CHECK_H
#define SRC_CHECK_H

#include <stdbool.h>

#include "store/store.h"

/* Reads everything in a store and says nothing.  0: no damage.  -EUCLEAN: damage, or it
 * cannot be opened for that.  Other errors as of keyfs_open(). */
int check_quietly(const char *store);

/* Whether an error says that a store is damaged, the disk's own errors included. */
bool check_is_damage(int r);

/* What `keyfs check [--json] STORE` and `keyfs repair STORE` do; the exit status of each. */
int check_command(const char *store, bool json);
int repair_command(const char *store);

#endif
