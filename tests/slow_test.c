/* SPDX-License-Identifier: Apache-2.0 */
/* slow_test.c - the threads that may wait: who gets one, and that nothing is
 * lost. */
#include <config.h>

#include "fs/slow.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/suite.h"

static struct slow *slow;
static sem_t gate; /* messages that begin with 'w' wait for it */
static sem_t seen; /* posted for each message that is processed */
static atomic_int wrong;

static void
process(void *arg, void *message, size_t len)
{
	const char *text = message;
	size_t i;

	if (arg != &gate)
		atomic_fetch_add(&wrong, 1);
	for (i = 1; i < len; i++)
		if (text[i] != (char)i)
			atomic_fetch_add(&wrong, 1);
	if (text[0] == 'w')
		sem_wait(&gate);
	sem_post(&seen);
}

static void
setup(void)
{
	struct slow_options options = { .process = process, .arg = &gate };

	sem_init(&gate, 0, 0);
	sem_init(&seen, 0, 0);
	ck_assert_int_eq(slow_start(&options, &slow), 0);
}

static void
teardown(void)
{
	slow_stop(slow);
	ck_assert_int_eq(atomic_load(&wrong), 0);
}

static int
give(char first, size_t len, bool changes)
{
	char *message = malloc(len);
	size_t i;
	int r;

	for (i = 1; i < len; i++)
		message[i] = (char)i;
	message[0] = first;
	r = slow_take(slow, message, len, changes);
	/* What it holds must be a copy. */
	memset(message, 'x', len);
	free(message);
	return r;
}

START_TEST(every_message_is_processed_once)
{
	int i, count;

	for (i = 0; i < 1000; i++)
		ck_assert_int_eq(give('r', 1 + (size_t)i % 300, i % 2), 0);
	for (i = 0; i < 1000; i++)
		sem_wait(&seen);
	usleep(10000);
	sem_getvalue(&seen, &count);
	ck_assert_int_eq(count, 0);
}
END_TEST

START_TEST(reads_do_not_wait_behind_writes_that_are_held_back)
{
	int i;

	for (i = 0; i < 100; i++)
		ck_assert_int_eq(give('w', 100, true), 0);
	for (i = 0; i < 10; i++)
		ck_assert_int_eq(give('r', 100, false), 0);
	for (i = 0; i < 10; i++)
		sem_wait(&seen);
	for (i = 0; i < 100; i++)
		sem_post(&gate);
	for (i = 0; i < 100; i++)
		sem_wait(&seen);
}
END_TEST

START_TEST(only_so_many_bytes_of_writes_are_taken)
{
	const size_t len = 1 << 20;
	int taken = 0, r;

	while ((r = give('w', len, true)) == 0)
		taken++;
	ck_assert_int_eq(r, -ENOBUFS);
	ck_assert_int_eq(taken, 64);
	ck_assert_int_eq(give('r', len, false), 0);
	sem_wait(&seen);
	sem_post(&gate);
	sem_wait(&seen);
	/* Counted down after it was processed. */
	while ((r = give('w', len, true)) == -ENOBUFS)
		usleep(1000);
	ck_assert_int_eq(r, 0);
	while (taken-- > 0)
		sem_post(&gate);
}
END_TEST

START_TEST(what_was_taken_is_finished_before_it_stops)
{
	int i, count;

	for (i = 0; i < 50; i++)
		ck_assert_int_eq(give('w', 10, i % 2), 0);
	for (i = 0; i < 50; i++)
		sem_post(&gate);
	slow_stop(slow);
	slow = NULL;
	sem_getvalue(&seen, &count);
	ck_assert_int_eq(count, 50);
}
END_TEST

START_TEST(stopping_without_work_is_immediate)
{
	slow_stop(slow);
	slow = NULL;
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("slow");
	TCase *tcase = tcase_create("threads");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, every_message_is_processed_once);
	tcase_add_test(tcase,
		       reads_do_not_wait_behind_writes_that_are_held_back);
	tcase_add_test(tcase, only_so_many_bytes_of_writes_are_taken);
	tcase_add_test(tcase, what_was_taken_is_finished_before_it_stops);
	tcase_add_test(tcase, stopping_without_work_is_immediate);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
