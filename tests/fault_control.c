/* SPDX-License-Identifier: Apache-2.0 */
/* fault_control.c - the test's side of the simulated disk: faults to come, power
 * cuts, and looking at files at rest. */
#include <config.h>

#include "tests/fault_env.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tests/fault_impl.h"
#include "tests/must.h"

#define FIRST_CAPACITY (UINT64_C(4) << 30)
#define FIRST_NOW_NS UINT64_C(1000000000)
#define FIRST_STEP_NS 1000

static struct fault_env *
new_env(uint64_t seed, struct disk *disk)
{
	struct fault_env *fault = must_alloc(sizeof(*fault));

	fault->base.ops = &fault_env_ops;
	pthread_mutex_init(&fault->lock, NULL);
	fault->disk = disk;
	fault->generation = 1;
	fault->random = seed;
	fault->crash_at = UINT64_MAX;
	fault->now_ns = FIRST_NOW_NS;
	fault->step_ns = FIRST_STEP_NS;
	return fault;
}

struct fault_env *
fault_env_new(uint64_t seed)
{
	return new_env(seed, disk_new(FIRST_CAPACITY));
}

void
fault_env_free(struct fault_env *fault)
{
	if (!fault)
		return;
	if (fault->handles > 0) {
		fprintf(stderr, "fault_env: %u handles are still open\n",
			fault->handles);
		abort();
	}
	disk_free(fault->disk);
	pthread_mutex_destroy(&fault->lock);
	free(fault->trace);
	free(fault);
}

struct env *
fault_env(struct fault_env *fault)
{
	return &fault->base;
}

/* ---- Faults ---- */

void
fault_env_fail(struct fault_env *fault, const struct fault_rule *rule)
{
	pthread_mutex_lock(&fault->lock);
	if (fault->rule_count == FAULT_RULES)
		abort();
	fault->rules[fault->rule_count++] =
		(struct fault_active_rule){ .rule = *rule };
	pthread_mutex_unlock(&fault->lock);
}

void
fault_env_heal(struct fault_env *fault)
{
	pthread_mutex_lock(&fault->lock);
	fault->rule_count = 0;
	pthread_mutex_unlock(&fault->lock);
}

uint64_t
fault_env_failures(struct fault_env *fault)
{
	uint64_t failures;

	pthread_mutex_lock(&fault->lock);
	failures = fault->failures;
	pthread_mutex_unlock(&fault->lock);
	return failures;
}

void
fault_env_crash_at(struct fault_env *fault, uint64_t call)
{
	pthread_mutex_lock(&fault->lock);
	fault->crash_at = call;
	pthread_mutex_unlock(&fault->lock);
}

void
fault_env_crash(struct fault_env *fault)
{
	pthread_mutex_lock(&fault->lock);
	if (!fault->crashed)
		fault_env_cut_power(fault);
	pthread_mutex_unlock(&fault->lock);
}

bool
fault_env_crashed(struct fault_env *fault)
{
	bool crashed;

	pthread_mutex_lock(&fault->lock);
	crashed = fault->crashed;
	pthread_mutex_unlock(&fault->lock);
	return crashed;
}

void
fault_env_reboot(struct fault_env *fault, enum fault_crash kind, uint64_t seed)
{
	struct disk *found;

	pthread_mutex_lock(&fault->lock);
	if (!fault->crashed)
		fault_env_cut_power(fault);
	found = disk_found(fault->disk, kind, seed);
	disk_free(fault->disk);
	fault->disk = found;
	fault->generation++;
	fault->crashed = false;
	pthread_mutex_unlock(&fault->lock);
}

struct fault_env *
fault_env_after(struct fault_env *fault, enum fault_crash kind, uint64_t seed)
{
	struct disk *found;

	pthread_mutex_lock(&fault->lock);
	if (!fault->crashed)
		fault_env_cut_power(fault);
	found = disk_found(fault->disk, kind, seed);
	pthread_mutex_unlock(&fault->lock);
	return new_env(seed, found);
}

void
fault_env_set_capacity(struct fault_env *fault, uint64_t bytes)
{
	pthread_mutex_lock(&fault->lock);
	fault->disk->capacity = bytes;
	pthread_mutex_unlock(&fault->lock);
}

uint64_t
fault_env_used(struct fault_env *fault)
{
	uint64_t used;

	pthread_mutex_lock(&fault->lock);
	used = disk_used(fault->disk);
	pthread_mutex_unlock(&fault->lock);
	return used;
}

void
fault_env_set_cold(struct fault_env *fault, bool cold)
{
	pthread_mutex_lock(&fault->lock);
	fault->cold = cold;
	pthread_mutex_unlock(&fault->lock);
}

void
fault_env_set_clock(struct fault_env *fault, uint64_t now_ns, uint64_t step_ns)
{
	pthread_mutex_lock(&fault->lock);
	fault->now_ns = now_ns;
	fault->step_ns = step_ns;
	pthread_mutex_unlock(&fault->lock);
}

void
fault_env_pass(struct fault_env *fault, uint64_t ns)
{
	pthread_mutex_lock(&fault->lock);
	fault->now_ns += ns;
	pthread_mutex_unlock(&fault->lock);
}

/* ---- Counters and order ---- */

uint64_t
fault_env_calls(struct fault_env *fault)
{
	uint64_t calls;

	pthread_mutex_lock(&fault->lock);
	calls = fault->calls;
	pthread_mutex_unlock(&fault->lock);
	return calls;
}

uint64_t
fault_env_count(struct fault_env *fault, enum fault_call call)
{
	uint64_t count;

	pthread_mutex_lock(&fault->lock);
	count = fault->counts[call];
	pthread_mutex_unlock(&fault->lock);
	return count;
}

unsigned
fault_env_handles(struct fault_env *fault)
{
	unsigned handles;

	pthread_mutex_lock(&fault->lock);
	handles = fault->handles;
	pthread_mutex_unlock(&fault->lock);
	return handles;
}

void
fault_env_watch(struct fault_env *fault,
		void (*watch)(void *arg, enum fault_call call, const char *name,
			      const char *to),
		void *arg)
{
	fault->watch = watch;
	fault->watch_arg = arg;
}

/* Where a name of this interface leads: its directory, and the plain name. */
static struct disk_dir *
find_dir(const struct fault_env *fault, const char *name, const char **plain)
{
	const struct disk *disk = fault->disk;
	const char *slash = strrchr(name, '/');
	size_t len = slash ? (size_t)(slash - name) : 0;

	*plain = slash ? slash + 1 : name;
	for (size_t i = 0; i < disk->dir_count; i++) {
		const char *path = disk->dirs[i]->path;

		if (!slash ||
		    (strlen(path) == len && memcmp(path, name, len) == 0))
			return disk->dirs[i];
	}
	return NULL;
}

static struct disk_inode *
find_file(const struct fault_env *fault, const char *name)
{
	const char *plain;
	struct disk_dir *dir = find_dir(fault, name, &plain);

	return dir ? disk_name_find(&dir->now, plain) : NULL;
}

static bool
name_is_synced(const struct fault_env *fault, const char *name)
{
	const char *plain;
	struct disk_dir *dir = find_dir(fault, name, &plain);
	struct disk_inode *inode =
		dir ? disk_name_find(&dir->now, plain) : NULL;

	return inode && disk_name_find(&dir->durable, plain) == inode;
}

bool
fault_env_name_synced(struct fault_env *fault, const char *name)
{
	bool synced;

	pthread_mutex_lock(&fault->lock);
	synced = name_is_synced(fault, name);
	pthread_mutex_unlock(&fault->lock);
	return synced;
}

uint64_t
fault_env_unsynced_bytes(struct fault_env *fault, const char *name)
{
	struct disk_inode *inode;
	uint64_t bytes;

	pthread_mutex_lock(&fault->lock);
	inode = find_file(fault, name);
	bytes = inode ? disk_unsynced_bytes(inode) : UINT64_MAX;
	pthread_mutex_unlock(&fault->lock);
	return bytes;
}

bool
fault_env_synced(struct fault_env *fault, const char *name)
{
	bool synced;

	pthread_mutex_lock(&fault->lock);
	synced = name_is_synced(fault, name) &&
		 disk_is_clean(find_file(fault, name));
	pthread_mutex_unlock(&fault->lock);
	return synced;
}

/* ---- Files at rest ---- */

/* The names, copied: `each` may change the directories. */
static char **
copy_names(const struct disk *disk, size_t *count)
{
	char **names = NULL;
	size_t cap = 0;

	*count = 0;
	for (size_t i = 0; i < disk->dir_count; i++) {
		const struct disk_dir *dir = disk->dirs[i];

		for (size_t j = 0; j < dir->now.count; j++) {
			names = must_grow(names, *count, &cap, sizeof(*names));
			if (asprintf(&names[(*count)++], "%s/%s", dir->path,
				     dir->now.items[j].name) < 0)
				abort();
		}
	}
	return names;
}

int
fault_env_each(struct fault_env *fault,
	       int (*each)(void *arg, const char *name), void *arg)
{
	char **names;
	size_t count;
	int r = 0;

	pthread_mutex_lock(&fault->lock);
	names = copy_names(fault->disk, &count);
	pthread_mutex_unlock(&fault->lock);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = each(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return r;
}

int
fault_env_size(struct fault_env *fault, const char *name, uint64_t *out)
{
	struct disk_inode *inode;

	pthread_mutex_lock(&fault->lock);
	inode = find_file(fault, name);
	if (inode)
		*out = inode->size;
	pthread_mutex_unlock(&fault->lock);
	return inode ? 0 : -ENOENT;
}

int
fault_env_peek(struct fault_env *fault, const char *name, uint64_t offset,
	       void *buf, size_t len)
{
	struct disk_inode *inode;
	int r = -ENOENT;

	pthread_mutex_lock(&fault->lock);
	inode = find_file(fault, name);
	if (inode)
		r = disk_read(inode, offset, buf, len) == len ? 0 : -EINVAL;
	pthread_mutex_unlock(&fault->lock);
	return r;
}

static uint8_t *
copy_contents(const struct disk_inode *inode, bool durable, uint64_t *out_len)
{
	*out_len = durable ? inode->durable_size : inode->size;
	return must_copy(durable ? inode->durable : inode->data, *out_len);
}

int
fault_env_load(struct fault_env *fault, const char *name, bool durable,
	       uint8_t **out, uint64_t *out_len)
{
	struct disk_inode *inode = NULL;
	struct disk_dir *dir;
	const char *plain;

	pthread_mutex_lock(&fault->lock);
	dir = find_dir(fault, name, &plain);
	if (dir)
		inode = disk_name_find(durable ? &dir->durable : &dir->now,
				       plain);
	if (inode)
		*out = copy_contents(inode, durable, out_len);
	pthread_mutex_unlock(&fault->lock);
	return inode ? 0 : -ENOENT;
}

int
fault_env_poke(struct fault_env *fault, const char *name, uint64_t offset,
	       const void *data, size_t len)
{
	struct disk_inode *inode;
	int r = -ENOENT;

	pthread_mutex_lock(&fault->lock);
	inode = find_file(fault, name);
	if (inode) {
		r = -EINVAL;
		if (offset <= inode->size && len <= inode->size - offset) {
			disk_poke(inode, offset, data, len);
			r = 0;
		}
	}
	pthread_mutex_unlock(&fault->lock);
	return r;
}

int
fault_env_flip(struct fault_env *fault, const char *name, uint64_t bit)
{
	uint8_t byte;
	int r = fault_env_peek(fault, name, bit / 8, &byte, 1);

	if (r < 0)
		return r;
	byte ^= (uint8_t)(1u << (bit % 8));
	return fault_env_poke(fault, name, bit / 8, &byte, 1);
}

int
fault_env_plant(struct fault_env *fault, const char *name, const void *data,
		size_t len)
{
	struct disk_dir *dir;
	const char *plain;

	pthread_mutex_lock(&fault->lock);
	dir = find_dir(fault, name, &plain);
	if (dir) {
		disk_remove(fault->disk, dir, plain);
		disk_add(fault->disk, dir, plain, data, len);
	}
	pthread_mutex_unlock(&fault->lock);
	return dir ? 0 : -ENOENT;
}

int
fault_env_remove(struct fault_env *fault, const char *name)
{
	struct disk_dir *dir;
	const char *plain;
	int r = -ENOENT;

	pthread_mutex_lock(&fault->lock);
	dir = find_dir(fault, name, &plain);
	if (dir && disk_name_find(&dir->now, plain)) {
		disk_remove(fault->disk, dir, plain);
		r = 0;
	}
	pthread_mutex_unlock(&fault->lock);
	return r;
}

/* ---- The trace ---- */

static const char *const call_names[FAULT_CALLS] = {
	[FAULT_DIR_OPEN] = "dir_open", [FAULT_DIR_LIST] = "dir_list",
	[FAULT_DIR_SYNC] = "dir_sync", [FAULT_DIR_SPACE] = "dir_space",
	[FAULT_RENAME] = "rename",     [FAULT_UNLINK] = "unlink",
	[FAULT_OPEN] = "open",         [FAULT_CREATE] = "create",
	[FAULT_READ] = "read",         [FAULT_WRITE] = "write",
	[FAULT_SYNC] = "sync",         [FAULT_SIZE] = "size",
	[FAULT_TRUNCATE] = "truncate", [FAULT_ALLOCATE] = "allocate",
	[FAULT_MAP] = "map",           [FAULT_LOCK] = "lock",
};

static void
print_line(const struct fault_trace_line *line, FILE *out)
{
	fprintf(out, "%6" PRIu64 " %-9s %s%s%s", line->number,
		call_names[line->call], line->name, line->to[0] ? " -> " : "",
		line->to);
	if (line->offset || line->len)
		fprintf(out, " at %" PRIu64 " len %" PRIu64, line->offset,
			line->len);
	fprintf(out, " = %d\n", line->result);
}

void
fault_env_trace(struct fault_env *fault, FILE *out)
{
	uint64_t i = 0;

	pthread_mutex_lock(&fault->lock);
	if (fault->trace_count > FAULT_TRACE_CALLS)
		i = fault->trace_count - FAULT_TRACE_CALLS;
	for (; i < fault->trace_count; i++)
		print_line(&fault->trace[i % FAULT_TRACE_CALLS], out);
	pthread_mutex_unlock(&fault->lock);
}
