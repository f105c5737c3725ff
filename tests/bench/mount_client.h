/* SPDX-License-Identifier: Apache-2.0 */
/* mount_client.h - one client of a mounted directory: a thread that makes plain
 * file calls.  Used by mount_load.c. */
#ifndef TESTS_BENCH_MOUNT_CLIENT_H
#define TESTS_BENCH_MOUNT_CLIENT_H

#include <pthread.h>

#include "tests/bench/mount_load.h"

struct mount_client;

/* Does a client's whole share of a phase.  Adds to `done`; 0 or a negative errno
 * value. */
typedef int (*mount_work_fn)(struct mount_client *client);

struct mount_client {
	const struct mount_load *load; /* borrowed */
	pthread_barrier_t *start;
	mount_work_fn work;
	unsigned number;
	char *content; /* load->size bytes, the same for all; borrowed */
	char *buffer;  /* load->size + 1 bytes; owned */

	uint64_t done; /* what the phase counts */
	int result;
	uint64_t began_ns, ended_ns;
	char path[4096]; /* of the last call; names it if it failed */
};

/* Each file of the client's directories. */
int mount_create(struct mount_client *client); /* open, write, close */
int mount_stat(struct mount_client *client);
int mount_read(struct mount_client *client); /* open, read, close */
int
mount_replace(struct mount_client *client); /* new file, rename over the old */
int mount_rewrite(struct mount_client *client); /* O_TRUNC, write, close */
int mount_unlink(struct mount_client *client);

/* Each of the client's directories. */
int mount_mkdir(struct mount_client *client);
int mount_rmdir(struct mount_client *client);
int
mount_list(struct mount_client *client); /* readdir and stat; counts files */

/* The client's share of load->syncs: a new file with open, write, fsync, close; or
 * a record of 100 bytes appended to one file, with fdatasync. */
int mount_create_sync(struct mount_client *client);
int mount_append_sync(struct mount_client *client);
int mount_append(struct mount_client *client); /* load->appends, no sync */

/* The client's large file, in calls of 1 MiB; counts bytes. */
int mount_write_large(struct mount_client *client);
int mount_read_large(struct mount_client *client);

/* Runs all clients at once.  Returns 0 with what they did together in *done and the
 * seconds that they took, or the first error, printed. */
int mount_clients_run(struct mount_client *clients, mount_work_fn work,
		      uint64_t *done, double *seconds);

#endif
