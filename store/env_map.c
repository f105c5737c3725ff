/* SPDX-License-Identifier: Apache-2.0 */
/* env_map.c - stores through a mapping that the disk may not be able to take.
 *
 * A page of a mapped file is given by the filesystem when it is first written to,
 * and again after each write-back.  Where the filesystem cannot (its disk is gone,
 * it has shut itself down) it has no call to return an error from: the thread gets
 * SIGBUS.  So the handler below jumps back out of the store that was under way,
 * which then returns the error.  Every other SIGBUS goes where it would have gone. */
#include <config.h>

#include "store/env.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

/* Where to go on if this thread's store fails; NULL: none is under way. */
static _Thread_local sigjmp_buf *volatile landing;

static struct sigaction before; /* constant once the handler is in place */

static void
pass_on(int signal, siginfo_t *info, void *context)
{
	if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(signal, info, context);
	else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
		before.sa_handler(signal);
	else
		/* Comes again at once, and ends the process as ever. */
		(void)sigaction(SIGBUS, &before, NULL);
}

static void
on_bus_error(int signal, siginfo_t *info, void *context)
{
	if (landing)
		siglongjmp(*landing, 1);
	pass_on(signal, info, context);
}

static void
catch_bus_errors(void)
{
	/* SA_NODEFER: the jump does not unblock the signal. */
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_NODEFER };

	action.sa_sigaction = on_bus_error;
	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGBUS, &action, &before);
}

/* Not inlined: a jump may leave the variables of the function that it returns to
 * in any state. */
static void __attribute__((noinline))
copy(char *to, const struct env_part *parts, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (parts[i].data)
			memcpy(to, parts[i].data, parts[i].len);
		else
			memset(to, 0, parts[i].len);
		to += parts[i].len;
	}
}

int
env_map_store(void *to, const struct env_part *parts, size_t count)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	sigjmp_buf here;

	(void)pthread_once(&once, catch_bus_errors);
	if (sigsetjmp(here, 0)) {
		landing = NULL;
		return -EIO;
	}
	/* The fences keep the stores between them, for the handler on this thread. */
	landing = &here;
	atomic_signal_fence(memory_order_seq_cst);
	copy(to, parts, count);
	atomic_signal_fence(memory_order_seq_cst);
	landing = NULL;
	return 0;
}
