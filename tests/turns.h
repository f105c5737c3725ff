/* SPDX-License-Identifier: Apache-2.0 */
/* turns.h - threads that take turns as a seed says, so that a test with threads
 * repeats exactly.
 *
 * Between turns_begin() and turns_end() a thread that the code under test makes
 * is none of the system's: it has a stack of its own, and one of them all runs
 * at a time.  At every lock, and so at every call on the simulated disk, the turn
 * may pass to another; at a wait it must:
 *
 *	commit    append ............ append .... wait for the switch
 *	flush            write, write ......................... install
 *
 * Which one follows, and how often the turn passes, comes from the seed.  Time
 * stands still as long as somebody can run, and then jumps to the end of the
 * first timed wait.  If nobody can ever run again, that is reported and the
 * program aborts: a test of every wait in passing.
 *
 * The code under test knows nothing of it: the linker puts these functions in
 * the place of pthread_create() and its like (turns_ldflags in Makefile.am).
 * Workers whose rounds a test calls one by one would have been less to write, but
 * such a round is whole: no commit, no crash of another thread and no switch of
 * the log would ever come in the middle of a flush.
 *
 * Not covered: atomics without a lock, for which there is the thread sanitizer,
 * and threads of the system beside these.  Everything is called by the one thread
 * that begins. */
#ifndef TESTS_TURNS_H
#define TESTS_TURNS_H

#include <stdint.h>

/* From here on threads take turns.  `pass` (NULL: none) is called when time
 * jumps; it must not take a lock that another thread may hold meanwhile. */
void
turns_begin(uint64_t seed, void (*pass)(void *arg, uint64_t ns), void *arg);

/* Threads are the system's again.  Requires: every one made since was joined. */
void turns_end(void);

#endif
