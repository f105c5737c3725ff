/* SPDX-License-Identifier: Apache-2.0 */
/* db_pressure_test.c - what writers pay while the workers are behind, and where they
 * stop. */
#include <config.h>

#include "store/store.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"
#include "tests/db_kit.h"
#include "tests/suite.h"

#define MS UINT64_C(1000000)

/* ---- Delays: on a clock that moves only when somebody sleeps ---- */

static char value[1000];

static int
put(unsigned flags)
{
	return keyfs_put(store, NULL, keyfs_str("key"),
			 keyfs_bytes(value, sizeof(value)), flags);
}

/* A price at which one put costs about `ms`; it stays until a flush. */
static void
price(uint64_t ms)
{
	store->ns_per_byte = ms * MS * 1024 / sizeof(value);
}

static void
setup_delays(void)
{
	db_kit_setup();
	fault_env_set_clock(disk, 1000 * MS, 0);
}

START_TEST(without_pressure_nobody_waits)
{
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(put(0), 0);
	ck_assert_uint_eq(db_kit_stats().delays, 0);
}
END_TEST

START_TEST(the_next_write_pays_for_the_one_before)
{
	price(10);
	ck_assert_int_eq(put(0), 0);
	ck_assert_uint_eq(db_kit_stats().delays, 0);
	ck_assert_int_eq(put(0), 0);
	ck_assert_uint_eq(db_kit_stats().delays, 1);
	ck_assert_uint_ge(db_kit_stats().delay_ns, 10 * MS);
	ck_assert_uint_lt(db_kit_stats().delay_ns, 11 * MS);
}
END_TEST

START_TEST(small_debts_are_kept_until_they_are_worth_a_sleep)
{
	store->ns_per_byte = MS / 4 * 1024 / sizeof(value);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(put(0), 0);
	ck_assert_uint_eq(db_kit_stats().delays, 0);
	ck_assert_int_eq(put(0), 0);
	ck_assert_uint_eq(db_kit_stats().delays, 1);
}
END_TEST

/* What exceeds the longest sleep is not forgiven: the next ones pay it. */
START_TEST(a_long_debt_is_paid_in_parts)
{
	uint64_t paid;

	price(200);
	ck_assert_int_eq(put(0), 0);
	store->ns_per_byte = 0;
	for (unsigned i = 0; i < 10; i++) {
		paid = db_kit_stats().delay_ns;
		ck_assert_int_eq(put(0), 0);
		ck_assert_uint_le(db_kit_stats().delay_ns - paid, 50 * MS);
	}
	ck_assert_uint_ge(db_kit_stats().delay_ns, 200 * MS);
	ck_assert_uint_lt(db_kit_stats().delay_ns, 210 * MS);
}
END_TEST

START_TEST(a_write_that_may_not_wait_is_told_to)
{
	price(10);
	ck_assert_int_eq(put(KEYFS_NOWAIT), 0);
	ck_assert_int_eq(put(KEYFS_NOWAIT), -EAGAIN);
	fault_env_set_clock(disk, 1020 * MS, 0);
	ck_assert_int_eq(put(KEYFS_NOWAIT), 0);
}
END_TEST

/* ---- The stop ---- */

/* Holds whoever reads a table, which only a compaction does here. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	bool open;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };

static void
hold_compactions(void *arg, enum fault_call call, const char *name,
		 const char *to)
{
	(void)arg;
	(void)to;
	if (call != FAULT_READ || !strstr(name, ".sst"))
		return;
	pthread_mutex_lock(&gate.lock);
	while (!gate.open)
		pthread_cond_wait(&gate.opened, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static void
open_gate(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.opened);
	pthread_mutex_unlock(&gate.lock);
}

static void *
write_much(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 40; i++)
		db_kit_fill(60, "0123456789012345678901234567890123456789");
	return NULL;
}

START_TEST(writers_stop_where_level_0_is_full_and_go_on)
{
	struct keyfs_options options = db_kit_small();
	uint64_t stop = DB_LEVEL0_STOP;
	pthread_t writer;

	options.level0_tables = 1;
	options.table_bytes = 1 << 20;
	ck_assert_int_eq(keyfs_close(store), 0);
	fault_env_watch(disk, hold_compactions, NULL);
	ck_assert_int_eq(db_kit_open_with(&options), 0);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_much, NULL), 0);
	while (db_kit_stats().level_tables[0] < stop)
		(void)usleep(1000);
	(void)usleep(100000);
	/* What was sealed when the last table came is flushed still. */
	ck_assert_uint_le(db_kit_stats().level_tables[0], stop + DB_SEALED_MAX);
	open_gate();
	ck_assert_int_eq(pthread_join(writer, NULL), 0);
	ck_assert_uint_ge(db_kit_stats().stops, 1);
	ck_assert_int_eq(keyfs_wait_idle(store), 0);
	ck_assert_uint_lt(db_kit_stats().level_tables[0], stop);
}
END_TEST

static Suite *
db_pressure_suite(void)
{
	Suite *suite = suite_create("db_pressure");
	TCase *delays = tcase_create("delays"), *stop = tcase_create("stop");

	tcase_add_checked_fixture(delays, setup_delays, db_kit_teardown);
	tcase_add_test(delays, without_pressure_nobody_waits);
	tcase_add_test(delays, the_next_write_pays_for_the_one_before);
	tcase_add_test(delays,
		       small_debts_are_kept_until_they_are_worth_a_sleep);
	tcase_add_test(delays, a_long_debt_is_paid_in_parts);
	tcase_add_test(delays, a_write_that_may_not_wait_is_told_to);
	suite_add_tcase(suite, delays);

	tcase_set_timeout(stop, 60);
	tcase_add_checked_fixture(stop, db_kit_setup, db_kit_teardown);
	tcase_add_test(stop, writers_stop_where_level_0_is_full_and_go_on);
	suite_add_tcase(suite, stop);
	return suite;
}

int
main(void)
{
	return suite_main(db_pressure_suite());
}
