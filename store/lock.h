/* SPDX-License-Identifier: Apache-2.0 */
/* lock.h - mutex and condition variable, annotated for clang's -Wthread-safety.
 *
 * A helper that needs a lock is called x_locked and says REQUIRES(lock); clang then
 * finds a call without it and a return that keeps it.  It cannot check members in C,
 * so structs group theirs by lock for people.  The order of all locks stands in
 * store/README.md.
 *
 * Initialising cannot fail with default attributes on Linux; a failing lock is a bug
 * of ours (unlock by a stranger), so it is asserted. */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#ifdef __clang__
#define CAPABILITY(name) __attribute__((capability(name)))
#define REQUIRES(lock) __attribute__((requires_capability(lock)))
#define ACQUIRES(lock) __attribute__((acquire_capability(lock)))
#define RELEASES(lock) __attribute__((release_capability(lock)))
#define TRY_ACQUIRES(lock) __attribute__((try_acquire_capability(true, lock)))
#define UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define REQUIRES(lock)
#define ACQUIRES(lock)
#define RELEASES(lock)
#define TRY_ACQUIRES(lock)
#define UNCHECKED
#endif

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t pthread;
};

struct cond {
	pthread_cond_t pthread;
};

static inline void
mutex_init(struct mutex *mutex)
{
	(void)pthread_mutex_init(&mutex->pthread, NULL);
}

static inline void
mutex_fini(struct mutex *mutex)
{
	(void)pthread_mutex_destroy(&mutex->pthread);
}

static inline void
mutex_lock(struct mutex *mutex) ACQUIRES(mutex) UNCHECKED
{
	int r = pthread_mutex_lock(&mutex->pthread);

	assert(r == 0);
	(void)r;
}

static inline bool
mutex_trylock(struct mutex *mutex) TRY_ACQUIRES(mutex) UNCHECKED
{
	return pthread_mutex_trylock(&mutex->pthread) == 0;
}

static inline void
mutex_unlock(struct mutex *mutex) RELEASES(mutex) UNCHECKED
{
	int r = pthread_mutex_unlock(&mutex->pthread);

	assert(r == 0);
	(void)r;
}

/* Timed waits go by the monotonic clock. */
static inline void
cond_init(struct cond *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&cond->pthread, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static inline void
cond_fini(struct cond *cond)
{
	(void)pthread_cond_destroy(&cond->pthread);
}

static inline void
cond_wait(struct cond *cond, struct mutex *mutex) REQUIRES(mutex)
{
	(void)pthread_cond_wait(&cond->pthread, &mutex->pthread);
}

/* Waits at most `wait_ms`.  Returns false when the time has passed. */
static inline bool
cond_wait_ms(struct cond *cond, struct mutex *mutex, uint64_t wait_ms)
	REQUIRES(mutex)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(wait_ms / 1000);
	until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return pthread_cond_timedwait(&cond->pthread, &mutex->pthread,
				      &until) != ETIMEDOUT;
}

static inline void
cond_signal(struct cond *cond)
{
	(void)pthread_cond_signal(&cond->pthread);
}

static inline void
cond_broadcast(struct cond *cond)
{
	(void)pthread_cond_broadcast(&cond->pthread);
}

#endif
