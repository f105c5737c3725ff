/* SPDX-License-Identifier: Apache-2.0 */
/* txn_test.c - what optimistic transactions promise, over an engine that can be told
 * to misbehave. */
#include <config.h>

#include "fs/txn.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/kv_mem.h"
#include "tests/suite.h"

static struct kv *kv;
static struct txn_space *space;

static void
setup(void)
{
	kv = kv_mem_new();
	ck_assert_int_eq(txn_space_new(kv, &space), 0);
}

static void
teardown(void)
{
	ck_assert_uint_eq(kv_mem_open_views(kv), 0);
	txn_space_free(space);
	ck_assert_int_eq(kv_close(kv), 0);
}

static int
run(int (*step)(struct txn *txn, void *arg), void *arg, unsigned flags)
{
	struct txn_body body = { .step = step, .arg = arg };

	return txn_run(space, &body, flags);
}

static int
put_step(struct txn *txn, void *arg)
{
	txn_put(txn, keyfs_str("k"), keyfs_str(arg));
	return 0;
}

static void
put(const char *value)
{
	ck_assert_int_eq(run(put_step, (void *)value, 0), 0);
}

static int
get_step(struct txn *txn, void *arg)
{
	struct keyfs_slice value;
	int rc = txn_get(txn, keyfs_str("k"), &value, NULL);

	if (!rc)
		memcpy(arg, value.data, value.len);
	return rc;
}

static const char *
get(void)
{
	static char buf[64];

	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(run(get_step, buf, TXN_READ_ONLY), 0);
	return buf;
}

static int
own_writes_step(struct txn *txn, void *arg)
{
	struct keyfs_slice value;

	(void)arg;
	ck_assert_int_eq(txn_get(txn, keyfs_str("k"), &value, NULL), -ENOENT);
	txn_put(txn, keyfs_str("k"), keyfs_str("one"));
	txn_put(txn, keyfs_str("k"), keyfs_str("two"));
	ck_assert_int_eq(txn_get(txn, keyfs_str("k"), &value, NULL), 0);
	ck_assert_mem_eq(value.data, "two", 3);
	txn_delete(txn, keyfs_str("k"));
	ck_assert_int_eq(txn_get(txn, keyfs_str("k"), &value, NULL), -ENOENT);
	txn_put(txn, keyfs_str("k"), keyfs_str("three"));
	return 0;
}

START_TEST(a_step_sees_what_it_wrote)
{
	ck_assert_int_eq(run(own_writes_step, NULL, 0), 0);
	ck_assert_str_eq(get(), "three");
}
END_TEST

/* A step that another writer interrupts, `times` times. */
struct raced {
	int times, runs;
	bool blind;
};

static int
raced_step(struct txn *txn, void *arg)
{
	struct raced *raced = arg;
	struct keyfs_slice value;
	struct kv_change other = { KV_PUT, keyfs_str("k"), keyfs_str("other") };
	struct kv_batch batch = { .changes = &other, .change_count = 1 };
	int rc = raced->blind ? txn_peek(txn, keyfs_str("k"), &value, NULL)
			      : txn_get(txn, keyfs_str("k"), &value, NULL);

	ck_assert(rc == 0 || rc == -ENOENT);
	if (raced->runs++ < raced->times)
		ck_assert_int_eq(kv_commit(kv, &batch, 0, NULL), 0);
	/* The view is fixed: what was written meanwhile is not seen. */
	ck_assert_int_eq(txn_peek(txn, keyfs_str("k"), &value, NULL), rc);
	txn_put(txn, keyfs_str("j"), keyfs_str("mine"));
	return 0;
}

START_TEST(a_step_runs_again_until_what_it_read_is_unchanged)
{
	struct raced raced = { .times = _i };

	ck_assert_int_eq(run(raced_step, &raced, 0), 0);
	ck_assert_int_eq(raced.runs, _i + 1);
}
END_TEST

START_TEST(what_was_only_peeked_at_may_change)
{
	struct raced raced = { .times = 1, .blind = true };

	ck_assert_int_eq(run(raced_step, &raced, 0), 0);
	ck_assert_int_eq(raced.runs, 1);
}
END_TEST

START_TEST(an_absent_key_that_appears_is_a_conflict)
{
	struct raced raced = { .times = 1 };

	ck_assert_int_eq(run(raced_step, &raced, 0), 0);
	ck_assert_int_eq(raced.runs, 2);
}
END_TEST

static int
fail_step(struct txn *txn, void *arg)
{
	txn_put(txn, keyfs_str("k"), keyfs_str("lost"));
	return *(int *)arg;
}

START_TEST(a_step_that_fails_changes_nothing)
{
	int error = -EIO;

	put("kept");
	ck_assert_int_eq(run(fail_step, &error, 0), -EIO);
	ck_assert_str_eq(get(), "kept");
}
END_TEST

static void
count_commit(void *arg, uint64_t version)
{
	ck_assert_uint_eq(version, kv_mem_version(kv));
	++*(int *)arg;
}

static int
ignore_step(struct txn *txn, void *arg)
{
	(void)arg;
	txn_put(txn, keyfs_str("k"), keyfs_str("v"));
	return 0;
}

START_TEST(committed_is_called_once_whatever_the_conflicts)
{
	int commits = 0;
	struct txn_body body = { ignore_step, count_commit, &commits };

	atomic_store(&kv_mem_faults(kv)->conflicts, 10);
	ck_assert_int_eq(txn_run(space, &body, 0), 0);
	ck_assert_int_eq(commits, 1);
}
END_TEST

START_TEST(a_full_disk_refuses_only_what_does_not_free_space)
{
	atomic_store(&kv_mem_faults(kv)->full, true);
	ck_assert_int_eq(run(put_step, (void *)"a", 0), -ENOSPC);
	ck_assert_int_eq(run(put_step, (void *)"b", TXN_USE_RESERVE), 0);
	ck_assert_str_eq(get(), "b");
}
END_TEST

static int
huge_step(struct txn *txn, void *arg)
{
	static char data[1 << 20];

	(void)arg;
	for (int i = 0; i < 65; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		txn_put(txn, keyfs_str(name), keyfs_bytes(data, sizeof(data)));
	}
	return 0;
}

START_TEST(more_than_the_engine_takes_is_refused_whole)
{
	ck_assert_int_eq(run(huge_step, NULL, 0), -E2BIG);
	ck_assert_uint_eq(kv_mem_count(kv), 0);
}
END_TEST

/* ---- Threads ---- */

#define THREADS 8
#define ROUNDS 400

static int
increment_step(struct txn *txn, void *arg)
{
	const uint64_t *latch = arg;
	struct keyfs_slice value;
	uint64_t *count = txn_alloc(txn, sizeof(*count));
	int rc = latch ? txn_latch(txn, latch, 1) : 0;

	if (rc)
		return rc;
	*count = 0;
	rc = txn_get(txn, keyfs_str("n"), &value, NULL);
	if (rc && rc != -ENOENT)
		return rc;
	if (!rc)
		memcpy(count, value.data, sizeof(*count));
	++*count;
	txn_put(txn, keyfs_str("n"), keyfs_bytes(count, sizeof(*count)));
	return 0;
}

static void *
increment_thread(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		if (run(increment_step, arg, 0))
			return (void *)1;
	return NULL;
}

static void
race(void *(*start)(void *arg), void *const args[THREADS])
{
	pthread_t threads[THREADS];
	void *result;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, start,
						args[i]),
				 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		ck_assert_ptr_null(result);
	}
}

static int
count_step(struct txn *txn, void *arg)
{
	struct keyfs_slice value;
	int rc = txn_get(txn, keyfs_str("n"), &value, NULL);

	if (!rc)
		memcpy(arg, value.data, sizeof(uint64_t));
	return rc;
}

START_TEST(racing_threads_lose_no_update)
{
	uint64_t ino = 7, total;
	void *args[THREADS];

	for (int i = 0; i < THREADS; i++)
		args[i] = _i ? &ino : NULL;
	race(increment_thread, args);
	ck_assert_int_eq(run(count_step, &total, TXN_READ_ONLY), 0);
	ck_assert_uint_eq(total, THREADS * ROUNDS);
}
END_TEST

static int
pair_step(struct txn *txn, void *arg)
{
	const uint64_t *pair = arg;
	int rc = txn_latch(txn, pair, 1);

	if (!rc) /* time for another thread to take the other one */
		nanosleep(&(struct timespec){ 0, 10000 }, NULL);
	return rc ? rc : txn_latch(txn, pair + 1, 1);
}

static void *
pair_thread(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		if (run(pair_step, arg, 0))
			return (void *)1;
	return NULL;
}

START_TEST(latches_asked_for_in_any_order_do_not_deadlock)
{
	uint64_t pairs[2][2] = { { 1, 2 }, { 2, 1 } };
	void *args[THREADS];

	for (int i = 0; i < THREADS; i++)
		args[i] = pairs[i % 2];
	race(pair_thread, args);
}
END_TEST

static int
try_step(struct txn *txn, void *arg)
{
	return txn_latch(txn, arg, 1);
}

static void *
try_thread(void *arg)
{
	return (void *)(intptr_t)run(try_step, arg, TXN_NOWAIT);
}

static int
hold_step(struct txn *txn, void *arg)
{
	pthread_t thread;
	void *result;

	ck_assert_int_eq(txn_latch(txn, arg, 1), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, try_thread, arg), 0);
	pthread_join(thread, &result);
	ck_assert_int_eq((int)(intptr_t)result, -EAGAIN);
	return 0;
}

START_TEST(without_waiting_a_busy_latch_is_eagain)
{
	uint64_t ino = 9;

	ck_assert_int_eq(run(hold_step, &ino, 0), 0);
	ck_assert_int_eq(run(try_step, &ino, TXN_NOWAIT), 0);
}
END_TEST

static Suite *
txn_suite(void)
{
	Suite *suite = suite_create("txn");
	TCase *tcase = tcase_create("txn");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_step_sees_what_it_wrote);
	tcase_add_loop_test(tcase,
			    a_step_runs_again_until_what_it_read_is_unchanged,
			    0, 6);
	tcase_add_test(tcase, what_was_only_peeked_at_may_change);
	tcase_add_test(tcase, an_absent_key_that_appears_is_a_conflict);
	tcase_add_test(tcase, a_step_that_fails_changes_nothing);
	tcase_add_test(tcase, committed_is_called_once_whatever_the_conflicts);
	tcase_add_test(tcase,
		       a_full_disk_refuses_only_what_does_not_free_space);
	tcase_add_test(tcase, more_than_the_engine_takes_is_refused_whole);
	tcase_add_loop_test(tcase, racing_threads_lose_no_update, 0, 2);
	tcase_add_test(tcase, latches_asked_for_in_any_order_do_not_deadlock);
	tcase_add_test(tcase, without_waiting_a_busy_latch_is_eagain);
	suite_add_tcase(suite, tcase);
	return suite;
}

int
main(void)
{
	return suite_main(txn_suite());
}
