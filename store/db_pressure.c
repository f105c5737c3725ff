/* SPDX-License-Identifier: Apache-2.0 */
/* Back-pressure: what a write costs while the workers are behind.
 *
 * Debt (level-0 tables, sealed memtables, bytes to compact) sets a price for each byte
 * written, on one smooth curve:
 *
 *	ns a byte  1000 |                              *
 *	                |                           *
 *	                |                      *
 *	              0 +*****--*---*----*-----------------
 *	                0      begin                 end    debt
 *
 * All writers share one clock, `paid_until_ns`: each commit moves it on by its price,
 * and whoever comes while it is more than a millisecond ahead of the time sleeps.  So
 * ten writers together are held to the same rate as one.  Nobody sleeps longer than
 * DELAY_NS_MAX at once; what remains stays on the clock, for the next. */
#include <config.h>

#include <errno.h>

#include "store/db.h"

/* Below the first a sleep costs more than it delays; no write waits longer at once than
 * the second; and what many writers owe together is not remembered beyond the third, so
 * that nobody pays long after the workers have caught up. */
#define DELAY_NS_MIN UINT64_C(1000000)
#define DELAY_NS_MAX UINT64_C(50000000)
#define DEBT_NS_MAX UINT64_C(1000000000)
/* At the end of the curve a byte costs 1 us: 1 MB/s.  Fixed point, 1/1024 ns. */
#define RATE_ONE UINT64_C(1024)
#define RATE_MAX (1000 * RATE_ONE)

/* ---- The price ---- */

/* The curve: from nothing to RATE_MAX with the cube of the debt, in 1/1024. */
static uint64_t
rate_of(uint64_t debt)
{
	if (debt > 1024)
		debt = 1024;
	return RATE_MAX * debt / 1024 * debt / 1024 * debt / 1024;
}

static uint64_t
level0_debt(const struct version *version, const struct keyfs_options *options)
{
	uint64_t begin = 2 * (uint64_t)options->level0_tables;
	uint64_t end = DB_LEVEL0_STOP * (uint64_t)options->level0_tables;
	uint64_t tables = version->level0_depth;

	return tables > begin ? (tables - begin) * 1024 / (end - begin) : 0;
}

void
db_pressure_update_locked(struct keyfs_store *db)
{
	const struct version *version = db->view->version;
	uint64_t debt = level0_debt(version, &db->options), bytes;

	/* The last sealed memtable that fits: the next switch would stop. */
	if (db->sealed_count >= DB_SEALED_MAX && debt < 400)
		debt = 400;
	/* Bytes to compact weigh in late: a tenth of the curve for each level's
	 * worth above the first. */
	bytes = compact_debt_bytes(version, &db->options);
	bytes = bytes / (db->options.level_bytes / 128 + 1);
	if (bytes > 1024 && (bytes - 1024) / 8 > debt)
		debt = (bytes - 1024) / 8;
	atomic_store_explicit(&db->ns_per_byte, rate_of(debt),
			      memory_order_relaxed);
	cond_broadcast(&db->room);
}

bool
db_level0_is_full_locked(const struct keyfs_store *db)
{
	/* Only while somebody works on it: on a disk that is full or damaged the
	 * wait might never end. */
	return db->compacting > 0 &&
	       db->view->version->level0_depth >=
		       DB_LEVEL0_STOP * db->options.level0_tables;
}

/* ---- The clock ---- */

void
db_owe(struct keyfs_store *db, size_t bytes)
{
	uint64_t rate =
		atomic_load_explicit(&db->ns_per_byte, memory_order_relaxed);
	uint64_t cost = bytes * rate / RATE_ONE, now, was, next;

	if (rate == 0)
		return;
	now = env_now_ns(db->env);
	/* Relaxed: a number of its own; nothing is read on the strength of it. */
	was = atomic_load_explicit(&db->paid_until_ns, memory_order_relaxed);
	do {
		next = (was > now ? was : now) + cost;
		if (next > now + DEBT_NS_MAX)
			next = now + DEBT_NS_MAX;
	} while (!atomic_compare_exchange_weak_explicit(&db->paid_until_ns,
							&was, next,
							memory_order_relaxed,
							memory_order_relaxed));
}

/* How far the clock is ahead of the time. */
static uint64_t
owed_ns(struct keyfs_store *db)
{
	uint64_t until =
		atomic_load_explicit(&db->paid_until_ns, memory_order_relaxed);
	uint64_t now;

	if (until == 0)
		return 0;
	now = env_now_ns(db->env);
	if (until > now)
		return until - now;
	/* Paid: the next commit need not look at the time. */
	(void)atomic_compare_exchange_strong_explicit(&db->paid_until_ns,
						      &until, 0,
						      memory_order_relaxed,
						      memory_order_relaxed);
	return 0;
}

int
db_pay(struct keyfs_store *db, unsigned flags)
{
	uint64_t owed = owed_ns(db);

	if (owed < DELAY_NS_MIN)
		return 0;
	if (flags & KEYFS_NOWAIT)
		return -EAGAIN;
	if (owed > DELAY_NS_MAX)
		owed = DELAY_NS_MAX;
	/* Interrupted, it is shorter: the rest stays on the clock. */
	env_sleep_ns(db->env, owed);
	atomic_fetch_add_explicit(&db->counters.delays, 1,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(&db->counters.delay_ns, owed,
				  memory_order_relaxed);
	return 0;
}
