/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_fault.c - see alloc_fault.h.
 *
 * With --wrap=malloc the linker takes a call of malloc() for one of __wrap_malloc(),
 * and of __real_malloc() for the real one: a sanitizer's, if there is one. */
#include <config.h>

#include "tests/alloc_fault.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/must.h"

/* Constant while `on`. */
static enum alloc_fault_who whose;
static uint64_t first;
static bool all_later;

static _Atomic bool on;
static _Atomic uint64_t counted, failures;
static _Thread_local bool is_mine; /* of the thread that started it */

void
alloc_fault_start(enum alloc_fault_who who, uint64_t nth, bool forever)
{
	whose = who;
	first = nth;
	all_later = forever;
	is_mine = true;
	atomic_store(&counted, 0);
	atomic_store(&failures, 0);
	/* Release: who sees it on sees the rest. */
	atomic_store_explicit(&on, true, memory_order_release);
}

uint64_t
alloc_fault_stop(void)
{
	atomic_store(&on, false);
	is_mine = false;
	return atomic_load(&failures);
}

uint64_t
alloc_fault_count(void)
{
	return atomic_load(&counted);
}

void
alloc_fault_expect(bool ok, const char *what)
{
	if (ok)
		return;
	(void)alloc_fault_stop();
	ck_abort_msg("not so: %s", what);
}

static bool
fails(void)
{
	uint64_t n;

	if (!atomic_load_explicit(&on, memory_order_acquire) || must_allocates)
		return false;
	if (is_mine != (whose == ALLOC_FAULT_MINE))
		return false;
	n = atomic_fetch_add(&counted, 1);
	if (n < first || (n > first && !all_later))
		return false;
	atomic_fetch_add(&failures, 1);
	errno = ENOMEM;
	return true;
}

/* ---- What the linker puts in place of the real ones ---- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t len);
FILE *__real_open_memstream(char **text, size_t *len);
DIR *__real_fdopendir(int fd);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*main)(void *), void *arg);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t len);
int __wrap_asprintf(char **out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
FILE *__wrap_open_memstream(char **text, size_t *len);
DIR *__wrap_fdopendir(int fd);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*main)(void *), void *arg);

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	return fails() ? NULL : __real_realloc(old, size);
}

void *
__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

char *
__wrap_strdup(const char *string)
{
	return fails() ? NULL : __real_strdup(string);
}

char *
__wrap_strndup(const char *string, size_t len)
{
	return fails() ? NULL : __real_strndup(string, len);
}

int
__wrap_asprintf(char **out, const char *format, ...)
{
	va_list args;
	int n;

	if (fails())
		return -1;
	va_start(args, format);
	n = vasprintf(out, format, args);
	va_end(args);
	return n;
}

FILE *
__wrap_open_memstream(char **text, size_t *len)
{
	return fails() ? NULL : __real_open_memstream(text, len);
}

DIR *
__wrap_fdopendir(int fd)
{
	return fails() ? NULL : __real_fdopendir(fd);
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		      void *(*main)(void *), void *arg)
{
	return fails() ? EAGAIN
		       : __real_pthread_create(thread, attr, main, arg);
}
