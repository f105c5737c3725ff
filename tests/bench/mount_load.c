/* SPDX-License-Identifier: Apache-2.0 */
/* mount_load.c - the phases by name, what comes between them; see mount_load.h. */
#include <config.h>

#include "tests/bench/mount_load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tests/bench/mount_client.h"
#include "tests/bench/names.h"
#include "tests/bench/usage.h"
#include "tests/must.h"

/* What a phase is, besides its work. */
#define PREPARES 1u /* later ones need it */
#define SYNCS 2u    /* followed by a sync, which has a row of its own */
#define COLD 4u     /* the kernel's caches are dropped before it */
#define BYTES 8u    /* counts bytes; the sync is part of its time */

struct phase {
	const char *name;
	mount_work_fn work;
	unsigned flags;
};

static const struct phase phases[] = {
	{ "mkdir", mount_mkdir, PREPARES },
	{ "create", mount_create, PREPARES | SYNCS },
	{ "stat", mount_stat, 0 },
	{ "read", mount_read, 0 },
	{ "read-again", mount_read, 0 },
	{ "list", mount_list, 0 },
	{ "stat-cold", mount_stat, COLD },
	{ "read-cold", mount_read, COLD },
	{ "list-cold", mount_list, COLD },
	{ "replace", mount_replace, SYNCS },
	{ "rewrite", mount_rewrite, SYNCS },
	{ "create-fsync", mount_create_sync, 0 },
	{ "append", mount_append, SYNCS },
	{ "append-fdatasync", mount_append_sync, 0 },
	{ "write-large", mount_write_large, PREPARES | BYTES | SYNCS },
	{ "read-large", mount_read_large, BYTES },
	{ "read-large-cold", mount_read_large, BYTES | COLD },
	{ "unlink", mount_unlink, PREPARES | SYNCS },
	{ "rmdir", mount_rmdir, 0 },
};

#define PHASE_COUNT (sizeof(phases) / sizeof(phases[0]))

bool
mount_names_valid(const char *only)
{
	const char *names[PHASE_COUNT];

	for (size_t i = 0; i < PHASE_COUNT; i++)
		names[i] = phases[i].name;
	return names_valid(only, names, PHASE_COUNT);
}

/* syncfs() does not reach a daemon behind FUSE; there an fsync of the root makes
 * everything durable. */
static int
sync_all(const char *root)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) ||
	    (fs.f_type == FUSE_SUPER_MAGIC ? fsync(fd) : syncfs(fd)))
		r = -errno;
	(void)close(fd);
	return r;
}

static int
drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "3", 1) != 1)
		r = -errno;
	(void)close(fd);
	return r;
}

/* `sync` is what the sync after the phase took, in seconds. */
static void
sample(const struct mount_load *load, const struct phase *phase, uint64_t done,
       double seconds, double sync)
{
	char row[64];

	if (phase->flags & BYTES) {
		load->sample(load->sample_arg, phase->name,
			     REPORT_BYTES_PER_SECOND,
			     (double)done / (seconds + sync));
		return;
	}
	load->sample(load->sample_arg, phase->name, REPORT_MICROSECONDS,
		     seconds * 1e6 / (double)done);
	if (!(phase->flags & SYNCS))
		return;
	snprintf(row, sizeof(row), "%s: sync", phase->name);
	load->sample(load->sample_arg, row, REPORT_SECONDS, sync);
}

static int
sync_after(const struct mount_load *load, const struct phase *phase,
	   double *seconds)
{
	uint64_t start = usage_now_ns();
	int r = phase->flags & SYNCS ? sync_all(load->root) : 0;

	*seconds = usage_since(start);
	return r;
}

/* A cache is dropped only of what is on disk. */
static int
go_cold(const struct mount_load *load)
{
	int r = sync_all(load->root);

	return r ? r : drop_caches();
}

static int
run_phase(const struct mount_load *load, struct mount_client *clients,
	  const struct phase *phase)
{
	bool wanted = names_listed(load->only, phase->name);
	double seconds, sync;
	uint64_t done;
	int r = 0;

	if (!wanted && !(phase->flags & PREPARES))
		return 0;
	if (phase->flags & COLD)
		r = load->cold ? go_cold(load) : -ECANCELED;
	if (r)
		return r == -ECANCELED ? 0 : r;
	r = mount_clients_run(clients, phase->work, &done, &seconds);
	if (r == 0)
		r = sync_after(load, phase, &sync);
	if (r == 0 && wanted)
		sample(load, phase, done, seconds, sync);
	return r;
}

static void
clients_init(struct mount_client *clients, const struct mount_load *load,
	     char *content)
{
	static const char text[] = "{ \"host\": \"10.0.0.1\", \"port\": 80 }\n";

	for (size_t i = 0; i < load->size; i++)
		content[i] = text[i % (sizeof(text) - 1)];
	for (unsigned i = 0; i < load->clients; i++) {
		clients[i].load = load;
		clients[i].number = i;
		clients[i].content = content;
		clients[i].buffer = must_alloc(load->size + 1);
	}
}

int
mount_load_run(const struct mount_load *load)
{
	struct mount_client *clients =
		must_alloc(load->clients * sizeof(*clients));
	char *content = must_alloc(load->size);
	int r = 0;

	clients_init(clients, load, content);
	for (size_t i = 0; i < PHASE_COUNT && r == 0; i++) {
		r = run_phase(load, clients, &phases[i]);
		if (r)
			fprintf(stderr, "mount_bench: %s: %s: %s\n", load->root,
				phases[i].name, strerror(-r));
	}
	for (unsigned i = 0; i < load->clients; i++)
		free(clients[i].buffer);
	free(clients);
	free(content);
	return r;
}
