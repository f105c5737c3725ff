/* SPDX-License-Identifier: Apache-2.0 */
/* fault_env.c - the calls of store/env.h on the disk in memory: counting,
 * failing, crashing. */
#include <config.h>

#include "tests/fault_env.h"

#include <errno.h>
#include <string.h>

#include "tests/fault_impl.h"
#include "tests/must.h"
#include "tests/suite.h"

struct fault_dir {
	struct env_dir base;
	struct fault_env *fault;
	uint64_t generation;
	struct disk_dir
		*dir; /* valid while the generation is the present one */
};

struct fault_file {
	struct env_file base;
	struct fault_env *fault;
	uint64_t generation;
	struct disk_inode *inode; /* one reference */
	char name[ENV_NAME_MAX + 1];
	bool writable;
	unsigned maps;
	enum { UNLOCKED, SHARED, EXCLUSIVE } lock;
};

/* One call under way: what it is, and what was decided about it. */
struct call {
	struct fault_env *fault;
	enum fault_call call;
	const char *name, *to;
	uint64_t offset, len;
	bool counted;
	int error;                     /* decided by a rule */
	const struct fault_rule *rule; /* that rule */
};

/* ---- Before and after every call ---- */

static bool
rule_fits(const struct fault_rule *rule, const struct call *call)
{
	if (!(rule->calls & FAULT_ON(call->call)))
		return false;
	if (!rule->file)
		return true;
	if (call->name && strstr(call->name, rule->file))
		return true;
	return call->to && strstr(call->to, rule->file);
}

static void
apply_rules(struct fault_env *fault, struct call *call)
{
	for (unsigned i = 0; i < fault->rule_count; i++) {
		struct fault_active_rule *active = &fault->rules[i];

		if (active->spent || !rule_fits(&active->rule, call))
			continue;
		if (active->rule.skip > 0) {
			active->rule.skip--;
			continue;
		}
		active->spent = !active->rule.forever;
		if (!call->rule) {
			call->error = active->rule.error;
			call->rule = &active->rule;
			fault->failures++;
		}
	}
}

/* Locks, counts, decides.  0: the call goes on; it is ended by leave(), also
 * after an error.  `generation` is the handle's; 0: no handle. */
static int
enter(struct call *call, uint64_t generation)
{
	struct fault_env *fault = call->fault;

	if (fault->watch)
		fault->watch(fault->watch_arg, call->call, call->name,
			     call->to);
	pthread_mutex_lock(&fault->lock);
	if (fault->crashed || (generation && generation != fault->generation))
		return -EIO;
	call->counted = true;
	fault->counts[call->call]++;
	fault->dying = fault->calls++ == fault->crash_at;
	if (!fault->dying)
		apply_rules(fault, call);
	return call->error;
}

void
fault_env_cut_power(struct fault_env *fault)
{
	disk_power_off(fault->disk);
	fault->crashed = true;
	fault->dying = false;
}

static void
trace(struct fault_env *fault, const struct call *call, int result)
{
	struct fault_trace_line *line;

	if (fault->trace_count < FAULT_TRACE_CALLS)
		fault->trace =
			must_grow(fault->trace, fault->trace_count,
				  &fault->trace_cap, sizeof(*fault->trace));
	line = &fault->trace[fault->trace_count++ % FAULT_TRACE_CALLS];
	memset(line, 0, sizeof(*line));
	line->number = fault->calls - 1;
	line->call = call->call;
	if (call->name)
		strncpy(line->name, call->name, ENV_NAME_MAX);
	if (call->to)
		strncpy(line->to, call->to, ENV_NAME_MAX);
	line->offset = call->offset;
	line->len = call->len;
	line->result = result;
}

static int
leave(struct call *call, int result)
{
	struct fault_env *fault = call->fault;

	if (call->counted)
		trace(fault, call, result);
	if (fault->dying) {
		fault_env_cut_power(fault);
		result = -EIO;
	}
	pthread_mutex_unlock(&fault->lock);
	return result;
}

/* ---- Directories ---- */

static int
fault_dir_open(struct env *env, const char *path, unsigned flags,
	       struct env_dir **out)
{
	struct fault_env *fault = (struct fault_env *)env;
	struct call call = { .fault = fault,
			     .call = FAULT_DIR_OPEN,
			     .name = path };
	struct disk_dir *dir = NULL;
	struct fault_dir *handle;
	int r = enter(&call, 0);

	if (r == 0) {
		dir = disk_dir_find(fault->disk, path, flags & ENV_DIR_CREATE);
		r = dir ? 0 : -ENOENT;
	}
	if (r == 0 && !fault->dying) {
		handle = must_alloc(sizeof(*handle));
		handle->base.ops = &fault_env_ops;
		handle->fault = fault;
		handle->generation = fault->generation;
		handle->dir = dir;
		fault->handles++;
		*out = &handle->base;
	}
	return leave(&call, r);
}

static void
fault_dir_close(struct env_dir *base)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct fault_env *fault = dir->fault;

	pthread_mutex_lock(&fault->lock);
	fault->handles--;
	pthread_mutex_unlock(&fault->lock);
	free(dir);
}

static int
fault_dir_list(struct env_dir *base, int (*each)(void *arg, const char *name),
	       void *arg)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct call call = { .fault = dir->fault, .call = FAULT_DIR_LIST };
	struct disk_name *names = NULL;
	size_t count = 0;
	int r = enter(&call, dir->generation);

	if (r == 0) {
		count = dir->dir->now.count;
		names = must_copy(dir->dir->now.items, count * sizeof(*names));
	}
	r = leave(&call, r);
	for (size_t i = 0; i < count && r == 0; i++)
		r = each(arg, names[i].name);
	free(names);
	return r;
}

static int
fault_dir_sync(struct env_dir *base)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct fault_env *fault = dir->fault;
	struct call call = { .fault = fault, .call = FAULT_DIR_SYNC };
	int r = enter(&call, dir->generation);

	if (r == 0 && !fault->dying)
		disk_dir_sync(fault->disk, dir->dir);
	if (call.rule && call.rule->drop_names)
		disk_dir_drop(fault->disk, dir->dir);
	return leave(&call, r);
}

static int
fault_dir_space(struct env_dir *base, struct env_space *out)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct fault_env *fault = dir->fault;
	struct call call = { .fault = fault, .call = FAULT_DIR_SPACE };
	int r = enter(&call, dir->generation);
	uint64_t used;

	if (r == 0) {
		used = disk_used(fault->disk);
		out->total = fault->disk->capacity;
		out->available = used < out->total ? out->total - used : 0;
	}
	return leave(&call, r);
}

/* The names of directories are durable at once: none of these calls is counted. */
static int
fault_dir_exchange(struct env *env, const char *path, const char *other)
{
	struct fault_env *fault = (struct fault_env *)env;
	struct disk_dir *a, *b;
	char *name;

	pthread_mutex_lock(&fault->lock);
	a = disk_dir_find(fault->disk, path, false);
	b = disk_dir_find(fault->disk, other, false);
	if (a && b) {
		name = a->path;
		a->path = b->path;
		b->path = name;
	}
	pthread_mutex_unlock(&fault->lock);
	return a && b ? 0 : -ENOENT;
}

static int
fault_dir_rename(struct env *env, const char *from, const char *to)
{
	struct fault_env *fault = (struct fault_env *)env;
	struct disk_dir *dir;
	int r = -ENOENT;

	pthread_mutex_lock(&fault->lock);
	dir = disk_dir_find(fault->disk, from, false);
	if (disk_dir_find(fault->disk, to, false)) {
		r = -EEXIST;
	} else if (dir) {
		free(dir->path);
		dir->path = must_copy(to, strlen(to) + 1);
		r = 0;
	}
	pthread_mutex_unlock(&fault->lock);
	return r;
}

static int
fault_dir_remove(struct env *env, const char *path)
{
	struct fault_env *fault = (struct fault_env *)env;
	struct disk *disk = fault->disk;
	int r = -ENOENT;

	pthread_mutex_lock(&fault->lock);
	for (size_t i = 0; i < disk->dir_count && r == -ENOENT; i++) {
		if (strcmp(disk->dirs[i]->path, path))
			continue;
		r = disk->dirs[i]->now.count ? -ENOTEMPTY : 0;
		if (r)
			break;
		disk_dir_free(disk, disk->dirs[i]);
		disk->dirs[i] = disk->dirs[--disk->dir_count];
	}
	pthread_mutex_unlock(&fault->lock);
	return r;
}

static int
fault_rename(struct env_dir *base, const char *from, const char *to)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct call call = { .fault = dir->fault,
			     .call = FAULT_RENAME,
			     .name = from,
			     .to = to };
	int r = enter(&call, dir->generation);

	if (r == 0 && !disk_name_find(&dir->dir->now, from))
		r = -ENOENT;
	if (r == 0 && strcmp(from, to) != 0)
		disk_rename(dir->fault->disk, dir->dir, from, to);
	return leave(&call, r);
}

static int
fault_unlink(struct env_dir *base, const char *name)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	struct call call = { .fault = dir->fault,
			     .call = FAULT_UNLINK,
			     .name = name };
	int r = enter(&call, dir->generation);

	if (r == 0 && !disk_name_find(&dir->dir->now, name))
		r = -ENOENT;
	if (r == 0)
		disk_unlink(dir->fault->disk, dir->dir, name);
	return leave(&call, r);
}

/* ---- Opening and closing files ---- */

static int
find_or_create(struct fault_dir *dir, const char *name, bool create,
	       struct disk_inode **out)
{
	struct disk_inode *inode = disk_name_find(&dir->dir->now, name);

	if (create && inode)
		return -EEXIST;
	if (!create && !inode)
		return -ENOENT;
	if (create)
		inode = disk_create(dir->fault->disk, dir->dir, name);
	*out = inode;
	return 0;
}

static struct env_file *
new_handle(struct fault_dir *dir, struct disk_inode *inode, const char *name,
	   unsigned flags)
{
	struct fault_file *file = must_alloc(sizeof(*file));

	disk_inode_ref(inode);
	inode->handles++;
	dir->fault->handles++;
	file->base.ops = &fault_env_ops;
	file->fault = dir->fault;
	file->generation = dir->generation;
	file->inode = inode;
	strncpy(file->name, name, ENV_NAME_MAX);
	file->writable = flags & ENV_WRITE;
	return &file->base;
}

static int
fault_file_open(struct env_dir *base, const char *name, unsigned flags,
		struct env_file **out)
{
	struct fault_dir *dir = (struct fault_dir *)base;
	bool create = flags & ENV_CREATE;
	struct call call = { .fault = dir->fault,
			     .call = create ? FAULT_CREATE : FAULT_OPEN,
			     .name = name };
	struct disk_inode *inode;
	int r = enter(&call, dir->generation);

	if (r == 0)
		r = find_or_create(dir, name, create, &inode);
	if (r == 0 && !dir->fault->dying)
		*out = new_handle(dir, inode, name, flags);
	return leave(&call, r);
}

static void
unlock_file(struct fault_file *file)
{
	if (file->lock == SHARED)
		file->inode->shared_locks--;
	if (file->lock == EXCLUSIVE)
		file->inode->exclusive_lock = false;
	file->lock = UNLOCKED;
}

static void
fault_file_close(struct env_file *base)
{
	struct fault_file *file = (struct fault_file *)base;
	struct fault_env *fault = file->fault;
	bool alive;

	pthread_mutex_lock(&fault->lock);
	if (file->maps > 0) {
		fprintf(stderr, "fault_env: %s is closed but still mapped\n",
			file->name);
		abort();
	}
	alive = file->generation == fault->generation;
	unlock_file(file);
	file->inode->handles--;
	disk_inode_unref(alive ? fault->disk : NULL, file->inode);
	fault->handles--;
	pthread_mutex_unlock(&fault->lock);
	free(file);
}

static int
fault_file_lock(struct env_file *base, bool exclusive)
{
	struct fault_file *file = (struct fault_file *)base;
	struct disk_inode *inode = file->inode;
	struct call call = { .fault = file->fault,
			     .call = FAULT_LOCK,
			     .name = file->name };
	int r = enter(&call, file->generation);

	if (r == 0) {
		/* Like flock(): converting gives the old lock up first. */
		unlock_file(file);
		if (inode->exclusive_lock || (exclusive && inode->shared_locks))
			r = -EBUSY;
	}
	if (r == 0) {
		file->lock = exclusive ? EXCLUSIVE : SHARED;
		inode->exclusive_lock = exclusive;
		inode->shared_locks += !exclusive;
	}
	return leave(&call, r);
}

/* ---- Reading and writing ---- */

/* What a lying disk gives for the bytes that were asked for. */
static void
read_wrong(struct fault_file *file, enum fault_lie lie, uint64_t offset,
	   uint8_t *buf, size_t len)
{
	const struct disk_inode *inode = file->inode;
	const struct disk *disk = file->fault->disk;
	uint64_t other = offset < DISK_SECTOR ? offset + DISK_SECTOR
					      : offset - DISK_SECTOR;

	if (lie == FAULT_ELSEWHERE)
		(void)disk_read(inode, other, buf, len);
	for (size_t i = 0; lie == FAULT_STALE && i < len; i++) {
		uint64_t at = offset + i;

		if (disk->stale)
			buf[i] = at < disk->stale_len ? disk->stale[at] : 0;
		else
			buf[i] = at < inode->durable_size ? inode->durable[at]
							  : 0;
	}
}

static int
fault_file_read(struct env_file *base, uint64_t offset, void *buf, size_t len,
		bool nowait, size_t *out_len)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_READ,
			     .name = file->name,
			     .offset = offset,
			     .len = len };
	int r = enter(&call, file->generation);

	if (r == 0 && nowait && file->fault->cold)
		r = -EAGAIN;
	if (r == 0)
		*out_len = disk_read(file->inode, offset, buf, len);
	if (r == 0 && call.rule)
		read_wrong(file, call.rule->lie, offset, buf, *out_len);
	return leave(&call, r);
}

/* What a failed write has written: any part, but a full disk never lacks the room
 * for the last byte and yet took it. */
static void
write_part(struct fault_file *file, const struct call *call, const void *data,
	   int error)
{
	struct fault_env *fault = file->fault;
	uint64_t most = call->len + (error != -ENOSPC);

	if (most > 0)
		(void)disk_write(fault->disk, file->inode, call->offset, data,
				 suite_random(&fault->random) % most);
}

static int
fault_file_write(struct env_file *base, uint64_t offset, const void *data,
		 size_t len)
{
	struct fault_file *file = (struct fault_file *)base;
	struct fault_env *fault = file->fault;
	struct call call = { .fault = fault,
			     .call = FAULT_WRITE,
			     .name = file->name,
			     .offset = offset,
			     .len = len };
	int r = enter(&call, file->generation);
	enum fault_lie lie = call.rule ? call.rule->lie : FAULT_HONEST;

	if (r == 0 && !file->writable)
		r = -EBADF;
	if (r == 0 && lie == FAULT_ELSEWHERE)
		offset += DISK_SECTOR;
	if (r == 0 && lie != FAULT_LOST)
		r = disk_write(fault->disk, file->inode, offset, data, len);
	else if (r < 0 && call.rule && call.rule->partial)
		write_part(file, &call, data, r);
	return leave(&call, r);
}

static int
fault_file_sync(struct env_file *base)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_SYNC,
			     .name = file->name };
	int r = enter(&call, file->generation);

	if (r == 0 && !file->fault->dying)
		disk_sync(file->inode);
	if (call.rule && call.rule->drop)
		disk_drop_dirty(file->inode);
	return leave(&call, r);
}

static int
fault_file_size(struct env_file *base, uint64_t *out)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_SIZE,
			     .name = file->name };
	int r = enter(&call, file->generation);

	if (r == 0)
		*out = file->inode->size;
	return leave(&call, r);
}

static int
fault_file_truncate(struct env_file *base, uint64_t size)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_TRUNCATE,
			     .name = file->name,
			     .offset = size };
	int r = enter(&call, file->generation);

	if (r == 0 && !file->writable)
		r = -EBADF;
	if (r == 0)
		r = disk_set_size(file->fault->disk, file->inode, size);
	return leave(&call, r);
}

static int
fault_file_allocate(struct env_file *base, uint64_t offset, uint64_t len)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_ALLOCATE,
			     .name = file->name,
			     .offset = offset,
			     .len = len };
	int r = enter(&call, file->generation);

	if (r == 0 && !file->writable)
		r = -EBADF;
	if (r == 0 && offset + len > file->inode->size)
		r = disk_set_size(file->fault->disk, file->inode, offset + len);
	return leave(&call, r);
}

static int
fault_file_map(struct env_file *base, size_t len, void **out)
{
	struct fault_file *file = (struct fault_file *)base;
	struct call call = { .fault = file->fault,
			     .call = FAULT_MAP,
			     .name = file->name,
			     .len = len };
	int r = enter(&call, file->generation);

	if (r == 0 && !file->writable)
		r = -EACCES;
	if (r == 0)
		r = disk_map(file->inode, len, out);
	if (r == 0 && !file->fault->dying)
		file->maps++;
	return leave(&call, r);
}

static void
fault_file_unmap(struct env_file *base, void *map, size_t len)
{
	struct fault_file *file = (struct fault_file *)base;

	(void)map;
	(void)len;
	pthread_mutex_lock(&file->fault->lock);
	if (file->maps == 0)
		abort();
	file->maps--;
	pthread_mutex_unlock(&file->fault->lock);
}

/* ---- Clocks and randomness ---- */

static uint64_t
fault_now_ns(struct env *env)
{
	struct fault_env *fault = (struct fault_env *)env;
	uint64_t now;

	pthread_mutex_lock(&fault->lock);
	now = fault->now_ns;
	fault->now_ns += fault->step_ns;
	pthread_mutex_unlock(&fault->lock);
	return now;
}

static uint64_t
fault_wall_ns(struct env *env)
{
	return FAULT_WALL_BASE_NS + fault_now_ns(env);
}

/* Nobody waits: the clock is moved on. */
static void
fault_sleep_ns(struct env *env, uint64_t ns)
{
	fault_env_pass((struct fault_env *)env, ns);
}

static int
fault_random(struct env *env, void *buf, size_t len)
{
	struct fault_env *fault = (struct fault_env *)env;
	uint8_t *bytes = buf;

	pthread_mutex_lock(&fault->lock);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)suite_random(&fault->random);
	pthread_mutex_unlock(&fault->lock);
	return 0;
}

const struct env_ops fault_env_ops = {
	.dir_open = fault_dir_open,
	.dir_close = fault_dir_close,
	.dir_list = fault_dir_list,
	.dir_sync = fault_dir_sync,
	.dir_space = fault_dir_space,
	.dir_exchange = fault_dir_exchange,
	.dir_rename = fault_dir_rename,
	.dir_remove = fault_dir_remove,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.file_open = fault_file_open,
	.file_close = fault_file_close,
	.file_read = fault_file_read,
	.file_write = fault_file_write,
	.file_sync = fault_file_sync,
	.file_size = fault_file_size,
	.file_truncate = fault_file_truncate,
	.file_allocate = fault_file_allocate,
	.file_map = fault_file_map,
	.file_unmap = fault_file_unmap,
	.file_lock = fault_file_lock,
	.now_ns = fault_now_ns,
	.wall_ns = fault_wall_ns,
	.sleep_ns = fault_sleep_ns,
	.random = fault_random,
};
