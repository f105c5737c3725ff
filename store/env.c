/* SPDX-License-Identifier: Apache-2.0 */
/* env.c - the door's own checks, the same in front of every environment.
 *
 * An implementation may rely on them: names are plain, flags are known ones, and
 * ranges end below 2^63.  The only state is that a failed sync of a directory is final;
 * any thread may call. */
#include <config.h>

#include "store/env.h"

#include <errno.h>
#include <string.h>

/* A name from the disk must not lead out of the directory (P6). */
static bool
name_is_plain(const char *name)
{
	size_t len = strnlen(name, ENV_NAME_MAX + 1);

	if (len == 0 || len > ENV_NAME_MAX)
		return false;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	return memchr(name, '/', len) == NULL;
}

/* off_t is signed: a larger end would come back from the system as a negative
 * offset, or not at all. */
static bool
range_is_sane(uint64_t offset, uint64_t len)
{
	return offset <= INT64_MAX && len <= INT64_MAX - offset;
}

int
env_dir_open(struct env *env, const char *path, unsigned flags,
	     struct env_dir **out)
{
	int r;

	if (path[0] == '\0')
		return -ENOENT;
	if (flags & ~ENV_DIR_CREATE)
		return -EINVAL;
	r = env->ops->dir_open(env, path, flags, out);
	if (r == 0)
		atomic_init(&(*out)->sync_error, 0);
	return r;
}

void
env_dir_close(struct env_dir *dir)
{
	if (dir)
		dir->ops->dir_close(dir);
}

int
env_dir_list(struct env_dir *dir, int (*each)(void *arg, const char *name),
	     void *arg)
{
	return dir->ops->dir_list(dir, each, arg);
}

int
env_dir_sync(struct env_dir *dir)
{
	int r = atomic_load_explicit(&dir->sync_error, memory_order_relaxed);
	int none = 0;

	if (r == 0)
		r = dir->ops->dir_sync(dir);
	if (r == 0)
		/* The error of a sync that ran beside this one may speak of this
		 * caller's names. */
		return atomic_load_explicit(&dir->sync_error,
					    memory_order_relaxed);
	/* Later on -ENOSPC would promise that it can be tried again. */
	(void)atomic_compare_exchange_strong_explicit(&dir->sync_error, &none,
						      r == -ENOSPC ? -EIO : r,
						      memory_order_relaxed,
						      memory_order_relaxed);
	return r;
}

int
env_dir_space(struct env_dir *dir, struct env_space *out)
{
	return dir->ops->dir_space(dir, out);
}

int
env_dir_exchange(struct env *env, const char *path, const char *other)
{
	return env->ops->dir_exchange(env, path, other);
}

int
env_dir_rename(struct env *env, const char *from, const char *to)
{
	return env->ops->dir_rename(env, from, to);
}

int
env_dir_remove(struct env *env, const char *path)
{
	return env->ops->dir_remove(env, path);
}

int
env_rename(struct env_dir *dir, const char *from, const char *to)
{
	if (!name_is_plain(from) || !name_is_plain(to))
		return -EINVAL;
	return dir->ops->rename(dir, from, to);
}

int
env_unlink(struct env_dir *dir, const char *name)
{
	if (!name_is_plain(name))
		return -EINVAL;
	return dir->ops->unlink(dir, name);
}

int
env_file_open(struct env_dir *dir, const char *name, unsigned flags,
	      struct env_file **out)
{
	if (!name_is_plain(name))
		return -EINVAL;
	if (flags & ~(ENV_READ | ENV_WRITE | ENV_CREATE))
		return -EINVAL;
	if (!(flags & (ENV_READ | ENV_WRITE)))
		return -EINVAL;
	return dir->ops->file_open(dir, name, flags, out);
}

void
env_file_close(struct env_file *file)
{
	if (file)
		file->ops->file_close(file);
}

int
env_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len,
	      bool nowait, size_t *out_len)
{
	if (!range_is_sane(offset, len))
		return -EINVAL;
	return file->ops->file_read(file, offset, buf, len, nowait, out_len);
}

int
env_file_write(struct env_file *file, uint64_t offset, const void *data,
	       size_t len)
{
	if (!range_is_sane(offset, len))
		return -EINVAL;
	return file->ops->file_write(file, offset, data, len);
}

int
env_file_sync(struct env_file *file)
{
	return file->ops->file_sync(file);
}

int
env_file_size(struct env_file *file, uint64_t *out)
{
	return file->ops->file_size(file, out);
}

int
env_file_truncate(struct env_file *file, uint64_t size)
{
	if (!range_is_sane(0, size))
		return -EINVAL;
	return file->ops->file_truncate(file, size);
}

int
env_file_allocate(struct env_file *file, uint64_t offset, uint64_t len)
{
	if (len == 0 || !range_is_sane(offset, len))
		return -EINVAL;
	return file->ops->file_allocate(file, offset, len);
}

int
env_file_map(struct env_file *file, size_t len, void **out)
{
	if (len == 0)
		return -EINVAL;
	return file->ops->file_map(file, len, out);
}

void
env_file_unmap(struct env_file *file, void *map, size_t len)
{
	if (map)
		file->ops->file_unmap(file, map, len);
}

int
env_file_lock(struct env_file *file, bool exclusive)
{
	return file->ops->file_lock(file, exclusive);
}

uint64_t
env_now_ns(struct env *env)
{
	return env->ops->now_ns(env);
}

uint64_t
env_wall_ns(struct env *env)
{
	return env->ops->wall_ns(env);
}

void
env_sleep_ns(struct env *env, uint64_t ns)
{
	env->ops->sleep_ns(env, ns);
}

int
env_random(struct env *env, void *buf, size_t len)
{
	return env->ops->random(env, buf, len);
}
