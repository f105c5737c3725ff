/* SPDX-License-Identifier: Apache-2.0 */
/* turns.c - see turns.h.  Each thread is a context of <ucontext.h>; the first one
 * is the test itself, on the stack that it has. */
#include <config.h>

#include "tests/turns.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/suite.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define WITH_ASAN 1

/* Hundreds of megabytes of freed memory are not kept to be looked at: fresh pages
 * for everything cost more than all the rest. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:allocator_release_to_os_interval_ms=-1";
}
#else
#define WITH_ASAN 0
#endif

#define THREADS_MAX 16u
#define STACK_BYTES ((size_t)256 << 10)
#define FIRST_NS UINT64_C(1000000000)
#define NEVER_NS UINT64_MAX

enum state { READY, LOCKING, WAITING, JOINING, DONE, JOINED };

static const char *const state_names[] = {
	[READY] = "can run",  [LOCKING] = "waits for a lock",
	[WAITING] = "waits",  [JOINING] = "waits for the end of another",
	[DONE] = "has ended", [JOINED] = "was joined",
};

struct thread {
	ucontext_t context;
	void *stack; /* mapped once and used again; NULL: the test's own */
	const void *bottom;
	size_t size; /* of the stack, for the sanitizer */
	void *fake;  /* the sanitizer's */

	void *(*main)(void *arg);
	void *arg, *result;
	enum state state;
	const void *on; /* the lock, the condition or the thread waited for */
	uint64_t until_ns; /* of a timed wait; NEVER_NS: until it is woken */
	bool timed_out;
};

static struct {
	bool on;
	struct thread threads[THREADS_MAX]; /* the test is the first */
	unsigned count;
	struct thread *current, *last; /* who runs, and who ran before */
	uint64_t random;
	unsigned one_in; /* how often the turn passes at a lock; 0: never */
	uint64_t now_ns;
	void (*pass)(void *arg, uint64_t ns);
	void *arg;
} turns;

/* The functions whose places are taken. */
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*main)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **result);
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __real_pthread_cond_signal(pthread_cond_t *cond);
int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __real_nanosleep(const struct timespec *time, struct timespec *left);
int __real_usleep(useconds_t us);
int __real_clock_gettime(clockid_t clock, struct timespec *out);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*main)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_usleep(useconds_t us);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

/* ---- Passing the turn ---- */

/* After a switch, on the stack of whom it went to. */
static void
arrive(void)
{
#if WITH_ASAN
	__sanitizer_finish_switch_fiber(turns.current->fake,
					&turns.last->bottom, &turns.last->size);
#endif
}

static void
switch_to(struct thread *next)
{
	struct thread *self = turns.current;

	if (next == self)
		return;
	turns.last = self;
	turns.current = next;
#if WITH_ASAN
	__sanitizer_start_switch_fiber(self->state == DONE ? NULL : &self->fake,
				       next->bottom, next->size);
#endif
	(void)swapcontext(&self->context, &next->context);
	arrive();
}

static void
give_up(void)
{
	fprintf(stderr, "turns: every thread waits for another\n");
	for (unsigned i = 0; i < turns.count; i++)
		fprintf(stderr, "turns: thread %u %s\n", i,
			state_names[turns.threads[i].state]);
	abort();
}

/* No turn passes meanwhile: nobody can run. */
static void
jump(uint64_t until_ns)
{
	turns.on = false;
	if (turns.pass)
		turns.pass(turns.arg, until_ns - turns.now_ns);
	turns.on = true;
	turns.now_ns = until_ns;
}

/* Nobody can run: it is the end of the first timed wait. */
static void
pass_time(void)
{
	uint64_t until = NEVER_NS;

	for (unsigned i = 0; i < turns.count; i++) {
		if (turns.threads[i].state == WAITING &&
		    turns.threads[i].until_ns < until)
			until = turns.threads[i].until_ns;
	}
	if (until == NEVER_NS)
		give_up();
	if (until > turns.now_ns)
		jump(until);
	for (unsigned i = 0; i < turns.count; i++) {
		struct thread *thread = &turns.threads[i];

		if (thread->state == WAITING && thread->until_ns <= until) {
			thread->state = READY;
			thread->timed_out = true;
		}
	}
}

static struct thread *
choose(void)
{
	struct thread *ready[THREADS_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < turns.count; i++) {
		if (turns.threads[i].state == READY)
			ready[count++] = &turns.threads[i];
	}
	return count ? ready[suite_random(&turns.random) % count] : NULL;
}

static void
pass_turn(void)
{
	struct thread *next = choose();

	if (!next) {
		pass_time();
		next = choose();
	}
	switch_to(next);
}

static void
maybe_pass_turn(void)
{
	if (turns.one_in && suite_random(&turns.random) % turns.one_in == 0)
		pass_turn();
}

/* Waits for what is `on`, or for a time. */
static void
block(enum state state, const void *on, uint64_t until_ns)
{
	struct thread *self = turns.current;

	self->state = state;
	self->on = on;
	self->until_ns = until_ns;
	self->timed_out = false;
	pass_turn();
}

static void
wake_all(enum state state, const void *on)
{
	for (unsigned i = 0; i < turns.count; i++) {
		if (turns.threads[i].state == state &&
		    turns.threads[i].on == on)
			turns.threads[i].state = READY;
	}
}

/* ---- Threads ---- */

static void
run_thread(void)
{
	struct thread *self = turns.current;

	arrive();
	self->result = self->main(self->arg);
	self->state = DONE;
	wake_all(JOINING, self);
	pass_turn();
}

static void *
stack_new(void)
{
	void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	/* The lowest page is for nobody: who runs over it is told. */
	if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) < 0)
		abort();
	return stack;
}

/* Ready to run from the beginning. */
static void
prepare(struct thread *thread)
{
	if (!thread->stack)
		thread->stack = stack_new();
	thread->bottom = thread->stack;
	thread->size = STACK_BYTES;
	thread->fake = NULL;
#if WITH_ASAN
	/* Whoever had the stack before has left in the middle of a function. */
	__asan_unpoison_memory_region(thread->stack, thread->size);
#endif
	(void)getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = thread->stack;
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, run_thread, 0);
	thread->state = READY;
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		      void *(*main)(void *), void *arg)
{
	unsigned i = 1;

	if (!turns.on)
		return __real_pthread_create(thread, attr, main, arg);
	while (i < turns.count && turns.threads[i].state != JOINED)
		i++;
	if (i == THREADS_MAX)
		return EAGAIN;
	if (i == turns.count)
		turns.count++;
	turns.threads[i].main = main;
	turns.threads[i].arg = arg;
	prepare(&turns.threads[i]);
	*thread = (pthread_t)i;
	return 0;
}

int
__wrap_pthread_join(pthread_t thread, void **result)
{
	struct thread *other;

	if (!turns.on)
		return __real_pthread_join(thread, result);
	other = &turns.threads[thread];
	while (other->state != DONE)
		block(JOINING, other, NEVER_NS);
	other->state = JOINED;
	if (result)
		*result = other->result;
	return 0;
}

/* ---- Locks and conditions ---- */

int
__wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (!turns.on)
		return __real_pthread_mutex_lock(mutex);
	maybe_pass_turn();
	/* They are one thread of the system, and a lock of the plain kind does
	 * not look who has it. */
	while (__real_pthread_mutex_trylock(mutex) != 0)
		block(LOCKING, mutex, NEVER_NS);
	return 0;
}

int
__wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	return __real_pthread_mutex_trylock(mutex);
}

int
__wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (turns.on)
		wake_all(LOCKING, mutex);
	return __real_pthread_mutex_unlock(mutex);
}

static int
wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
	bool timed_out;

	(void)__wrap_pthread_mutex_unlock(mutex);
	block(WAITING, cond, until_ns);
	timed_out = turns.current->timed_out;
	(void)__wrap_pthread_mutex_lock(mutex);
	return timed_out ? ETIMEDOUT : 0;
}

int
__wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!turns.on)
		return __real_pthread_cond_wait(cond, mutex);
	return wait_until(cond, mutex, NEVER_NS);
}

static uint64_t
nanoseconds(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

int
__wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
			      const struct timespec *until)
{
	if (!turns.on)
		return __real_pthread_cond_timedwait(cond, mutex, until);
	return wait_until(cond, mutex, nanoseconds(until));
}

int
__wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	struct thread *waiting[THREADS_MAX];
	unsigned count = 0;

	if (!turns.on)
		return __real_pthread_cond_signal(cond);
	for (unsigned i = 0; i < turns.count; i++) {
		if (turns.threads[i].state == WAITING &&
		    turns.threads[i].on == cond)
			waiting[count++] = &turns.threads[i];
	}
	if (count)
		waiting[suite_random(&turns.random) % count]->state = READY;
	return 0;
}

int
__wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	if (!turns.on)
		return __real_pthread_cond_broadcast(cond);
	wake_all(WAITING, cond);
	return 0;
}

/* ---- Time ---- */

int
__wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
	if (!turns.on)
		return __real_nanosleep(time, left);
	block(WAITING, time, turns.now_ns + nanoseconds(time));
	return 0;
}

int
__wrap_usleep(useconds_t us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	return turns.on ? __wrap_nanosleep(&time, NULL) : __real_usleep(us);
}

int
__wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
	if (!turns.on || clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, out);
	out->tv_sec = (time_t)(turns.now_ns / 1000000000);
	out->tv_nsec = (long)(turns.now_ns % 1000000000);
	return 0;
}

/* ---- Beginning and end ---- */

void
turns_begin(uint64_t seed, void (*pass)(void *arg, uint64_t ns), void *arg)
{
	/* From a turn that hardly ever passes to one that always does. */
	static const unsigned often[] = { 0, 64, 16, 8, 4, 2, 1 };

	if (turns.on)
		abort();
	turns.random = seed;
	turns.one_in = often[suite_random(&turns.random) %
			     (sizeof(often) / sizeof(often[0]))];
	turns.now_ns = FIRST_NS;
	turns.pass = pass;
	turns.arg = arg;
	turns.count = 1;
	turns.current = &turns.threads[0];
	turns.current->state = READY;
	turns.on = true;
}

void
turns_end(void)
{
	for (unsigned i = 1; i < turns.count; i++) {
		if (turns.threads[i].state != JOINED)
			abort();
	}
	turns.on = false;
}
