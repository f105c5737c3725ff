/* SPDX-License-Identifier: Apache-2.0 */
/* crash_scripts.c - see crash_scripts.h.  A new script is a function and a line in
 * the table; what it adds to the kinds of work, crash_test.c counts. */
#include <config.h>

#include "tests/crash_scripts.h"

/* What the store keeps free of a disk beyond its reserve, and a little. */
#define FULL_BYTES (UINT64_C(6) << 20)
#define ROOM_BYTES (UINT64_C(1) << 30)
#define LITTLE_BYTES (UINT64_C(1) << 20)

static void
new_store(struct crash_run *run)
{
	run_open(run);
	run_close(run);
	run_open(run);
	run_close(run);
}

static void
puts_and_syncs(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 12; i++) {
		run_put(run, i % 7, 40);
		if (i % 3 == 2)
			run_sync(run);
	}
	run_close(run);
}

/* No sync and no flush asked for: the memtables fill, one log follows the other. */
static void
log_switches(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 12; i++)
		run_puts(run, i * 5, 8, 150);
	run_sync(run);
	for (unsigned i = 0; i < 12; i++)
		run_puts(run, i * 3, 8, 150);
	run_close(run);
}

static void
sync_reaches_older_logs(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 10, 300);
		run_puts(run, i + 20, 10, 300);
		run_put(run, 100 + i, 10);
		run_sync(run);
	}
	run_put(run, 50, 10);
	run_close(run);
}

static void
flushes(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 6, 60);
		run_flush(run);
		run_put(run, 100 + i, 60);
	}
	run_sync(run);
	run_close(run);
}

static void
compactions(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i * 4, 12, 100);
		run_flush(run);
		run_puts(run, 100 - i * 4, 6, 100);
	}
	run_compact(run);
	run_puts(run, 0, 10, 50);
	run_deletes(run, 20, 30);
	run_compact(run);
	run_wait_idle(run);
	run_put(run, 1, 20);
	run_close(run);
}

static void
clean_reopens(struct crash_run *run)
{
	for (unsigned i = 0; i < 4; i++) {
		run_open(run);
		run_puts(run, i * 2, 3, 50);
		run_put(run, i, 30);
		run_close(run);
	}
}

static void
crashes_and_more_crashes(struct crash_run *run)
{
	static const enum fault_crash kinds[] = { FAULT_SUBSET, FAULT_DROP_ALL,
						  FAULT_KEEP_ALL,
						  FAULT_TEAR_LAST };

	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, i, 4, 60);
		run_sync(run);
		run_puts(run, i + 10, 4, 60);
		run_put(run, i + 20, 10);
		run_power_cut(run, kinds[i]);
		run_put(run, i + 30, 10);
		run_sync(run);
	}
	run_close(run);
}

static void
deletes(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 30, 60);
	run_flush(run);
	run_deletes(run, 0, 20);
	run_sync(run);
	run_flush(run);
	run_puts(run, 5, 5, 30);
	run_deletes(run, 0, 40);
	run_compact(run);
	run_put(run, 7, 20);
	run_close(run);
}

static void
conditions(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 6; i++) {
		run_put_if_absent(run, i % 4);
		run_put_if_unchanged(run, i);
		if (i == 2)
			run_flush(run);
		if (i % 2)
			run_deletes(run, i, 1);
	}
	run_sync(run);
	run_put_if_absent(run, 3);
	run_close(run);
}

static void
full_memtables(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 60; i++)
		run_puts(run, i * 7 % 50, 4, 180);
	run_wait_idle(run);
	run_puts(run, 0, 4, 50);
	run_close(run);
}

static void
full_disk(struct crash_run *run)
{
	unsigned tried;

	fault_env_set_capacity(run->disk, FULL_BYTES);
	run_open(run);
	run_put(run, 0, 100);
	run_sync(run);
	tried = run_fill(run, 1);
	run_deletes(run, 1, tried);
	run_sync(run);
	fault_env_set_capacity(run->disk, ROOM_BYTES);
	run_wait_idle(run);
	run_put(run, 0, 50);
	run_sync(run);
	run_close(run);
}

static void
large_values(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_put(run, i, 3000 + i * 9000);
		run_put(run, i + 10, 10);
		if (i == 2)
			run_sync(run);
	}
	run_flush(run);
	run_put(run, 2, 20000);
	run_close(run);
}

static void
every_commit_synced(struct crash_run *run)
{
	run->options.commit_interval_ms = KEYFS_COMMIT_ALWAYS;
	run_open(run);
	for (unsigned i = 0; i < 15; i++)
		run_puts(run, i, 2, 120);
	run_close(run);
}

static void
a_snapshot_through_compaction(struct crash_run *run)
{
	struct run_snapshot snapshot;

	run_open(run);
	run_puts(run, 0, 15, 80);
	run_snapshot_take(run, &snapshot);
	run_flush(run);
	run_puts(run, 0, 10, 80);
	run_deletes(run, 5, 5);
	run_compact(run);
	run_snapshot_drop(run, &snapshot);
	run_puts(run, 3, 5, 30);
	run_compact(run);
	run_close(run);
}

static void
many_snapshots(struct crash_run *run)
{
	struct run_snapshot snapshots[4];

	run_open(run);
	for (unsigned i = 0; i < 4; i++) {
		run_puts(run, 0, 6, 60);
		run_deletes(run, i, 2);
		run_snapshot_take(run, &snapshots[i]);
		if (i % 2)
			run_flush(run);
	}
	run_compact(run);
	run_snapshot_drop(run, &snapshots[2]);
	run_deletes(run, 0, 6);
	run_compact(run);
	run_snapshot_drop(run, &snapshots[0]);
	run_snapshot_drop(run, &snapshots[3]);
	run_compact(run);
	run_snapshot_drop(run, &snapshots[1]);
	run_close(run);
}

/* The switch is under way when the power goes: the new log has a header or a
 * record, of the old one nothing was synced. */
static void
switches_without_a_sync(struct crash_run *run)
{
	for (unsigned i = 0; i < 3; i++) {
		run_open(run);
		run_puts(run, i, 9, 400);
		run_puts(run, i + 10, 9, 400);
		run_put(run, 90 + i, 10);
		run_power_cut(run, FAULT_SUBSET);
	}
	run_put(run, 1, 10);
	run_close(run);
}

/* The sync goes over both logs, the older one first. */
static void
a_sync_over_a_switch(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i, 12, 400);
		run_put(run, 50 + i, 30);
		run_put_synced(run, 60 + i, 30);
	}
	run_close(run);
}

static void
recover_write_sync_and_again(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i * 3, 5, 70);
		run_power_cut(run, i % 2 ? FAULT_TEAR_LAST : FAULT_SUBSET);
		run_put(run, i, 20);
		run_sync(run);
		run_put(run, i + 1, 20);
		run_power_cut(run, i % 2 ? FAULT_DROP_ALL : FAULT_KEEP_ALL);
	}
	run_close(run);
}

/* Logs of one process after the other, until they are too many to keep. */
static void
one_process_after_the_other(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 7; i++) {
		run_puts(run, i * 2, 4, 90);
		if (i == 3)
			run_sync(run);
		run_power_cut(run, FAULT_PROCESS_DIED);
	}
	run_wait_idle(run);
	run_put(run, 1, 10);
	run_close(run);
}

static void
a_failed_sync_of_a_log(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 4, 60);
	run_sync(run);
	run_puts(run, 10, 4, 60);
	run_fail_sync(run, FAULT_SYNC, ".log");
	run_sync(run);
	run_put(run, 20, 10);
	run_next_process(run);
	run_put(run, 21, 10);
	run_sync(run);
	run_power_cut(run, FAULT_DROP_ALL);
	run_put(run, 22, 10);
	run_close(run);
}

static void
a_failed_sync_of_a_sealed_log(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 10, 400);
	run_puts(run, 20, 10, 400);
	run_fail_sync(run, FAULT_SYNC, ".log");
	run_put(run, 40, 10);
	run_sync(run);
	run_flush(run);
	run_next_process(run);
	run_flush(run);
	run_power_cut(run, FAULT_DROP_ALL);
	run_close(run);
}

static void
a_failed_sync_of_the_manifest(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 8, 60);
	run_fail_sync(run, FAULT_SYNC, "MANIFEST");
	run_flush(run);
	run_put(run, 1, 10);
	run_next_process(run);
	run_puts(run, 5, 8, 60);
	run_flush(run);
	run_power_cut(run, FAULT_DROP_ALL);
	run_put(run, 1, 10);
	run_close(run);
}

static void
a_failed_sync_of_a_table(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 8, 60);
	run_sync(run);
	run_fail_sync(run, FAULT_SYNC, ".sst");
	run_flush(run);
	run_next_process(run);
	run_flush(run);
	run_puts(run, 0, 8, 60);
	run_compact(run);
	run_power_cut(run, FAULT_DROP_ALL);
	run_close(run);
}

static void
a_failed_sync_of_the_names(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 8, 60);
	run_sync(run);
	run_fail_sync(run, FAULT_DIR_SYNC, NULL);
	run_flush(run);
	run_next_process(run);
	run_puts(run, 8, 8, 60);
	run_flush(run);
	run_sync(run);
	run_power_cut(run, FAULT_DROP_ALL);
	run_close(run);
}

/* Opening fails, more than once, and what it leaves is no obstacle. */
static void
failed_openings(struct crash_run *run)
{
	static const char *const files[] = { "MANIFEST", "CURRENT", ".log" };

	run_open(run);
	run_puts(run, 0, 8, 60);
	run_sync(run);
	run_puts(run, 2, 8, 60);
	for (unsigned i = 0; i < 3; i++) {
		run_next_process(run);
		run_puts(run, i, 3, 40);
		run_close(run);
		run_fail_sync(run, FAULT_SYNC, files[i]);
		run_open(run);
	}
	run_next_process(run);
	run_put(run, 3, 10);
	run_close(run);
}

static void
tables_move_down(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 8; i++) {
		run_puts(run, i * 100, 12, 150);
		run_flush(run);
	}
	run_wait_idle(run);
	run_compact(run);
	run_put(run, 1, 10);
	run_close(run);
}

/* Keys as long as they may be make the manifest grow until it is renewed. */
static void
a_manifest_is_renewed(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 14; i++) {
		run_put_long_key(run, i, 60000);
		run_flush(run);
		run_put_long_key(run, i + 20, 60000);
		run_flush(run);
		run_compact(run);
	}
	run_put(run, 1, 20);
	run_sync(run);
	run_close(run);
}

static void
leftovers_at_opening(struct crash_run *run)
{
	for (unsigned i = 0; i < 3; i++) {
		run_open(run);
		run_puts(run, i, 6, 60);
		run_flush(run);
		run_put(run, i, 10);
		run_close(run);
		run_plant_leftovers(run);
		run_open(run);
		run_expect_no_leftovers(run);
		run_close(run);
	}
}

/* Where no reserve can be had, deleting needs a little. */
static void
leave_no_room(struct crash_run *run)
{
	fault_env_set_capacity(run->disk,
			       fault_env_used(run->disk) +
				       (run->no_maps ? LITTLE_BYTES : 0));
}

/* Somebody else takes the room; a store on the full disk opens for deleting. */
static void
a_full_disk_at_opening(struct crash_run *run)
{
	run->options.reserve_bytes = LITTLE_BYTES;
	run_open(run);
	for (unsigned i = 0; i < 6; i++)
		run_puts(run, i * 10, 10, 200);
	run_close(run);
	leave_no_room(run);
	run_open(run);
	run_deletes(run, 0, 20);
	run_sync(run);
	run_deletes(run, 20, 20);
	fault_env_set_capacity(run->disk, ROOM_BYTES);
	run_puts(run, 5, 5, 60);
	run_wait_idle(run);
	run_close(run);
}

/* No room for a while, and for the workers neither. */
static void
a_disk_that_is_full_for_a_while(struct crash_run *run)
{
	run->options.reserve_bytes = LITTLE_BYTES;
	run_open(run);
	for (unsigned i = 0; i < 3; i++) {
		run_puts(run, i * 10, 10, 200);
		leave_no_room(run);
		run_rest(run, 300);
		run_deletes(run, i * 5, 6);
		run_rest(run, 300);
		fault_env_set_capacity(run->disk, ROOM_BYTES);
		run_rest(run, 1000);
		run_put(run, 90 + i, 60);
		run_sync(run);
	}
	run_wait_idle(run);
	run_close(run);
}

static void
the_interval_syncs(struct crash_run *run)
{
	run->options.commit_interval_ms = 50;
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i * 4, 5, 200);
		run_put(run, i, 10);
		run_rest(run, i % 2 ? 20 : 200);
	}
	run_close(run);
}

static void
synced_and_unsynced_commits(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 10; i++) {
		run_put(run, i, 50);
		run_put(run, i + 1, 50);
		if (i % 3)
			run_put_synced(run, i + 20, 50);
	}
	run_close(run);
}

static void
opened_for_reading(struct crash_run *run)
{
	for (unsigned i = 0; i < 3; i++) {
		run_open(run);
		run_puts(run, i * 5, 8, 100);
		if (i == 1)
			run_flush(run);
		run_put(run, i, 30);
		run_close(run);
		run_open_read_only(run);
	}
	run_open(run);
	run_put(run, 1, 10);
	run_close(run);
}

static void
one_key_many_times(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 40; i++) {
		run_puts(run, 7, 1, 300);
		if (i % 10 == 9)
			run_deletes(run, 7, 1);
		if (i % 13 == 12)
			run_sync(run);
	}
	run_compact(run);
	run_close(run);
}

static void
everything_is_deleted(struct crash_run *run)
{
	run_open(run);
	run_puts(run, 0, 20, 100);
	run_flush(run);
	run_compact(run);
	run_deletes(run, 0, 20);
	run_compact(run);
	run_close(run);
	run_open(run);
	run_puts(run, 0, 3, 20);
	run_close(run);
}

static void
two_compactions_at_once(struct crash_run *run)
{
	run->options.compaction_threads = 2;
	run_open(run);
	for (unsigned i = 0; i < 40; i++)
		run_puts(run, i * 37 % 90, 5, 150);
	run_sync(run);
	for (unsigned i = 0; i < 20; i++)
		run_puts(run, i * 53 % 90, 5, 150);
	run_wait_idle(run);
	run_close(run);
}

static void
syncs_beside_writes(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 6; i++) {
		run_puts_while_syncing(run, i * 5, 4);
		/* What one sync has promised of the other's is there. */
		run_power_cut(run, FAULT_DROP_ALL);
	}
	run_puts_while_syncing(run, 20, 10);
	run_close(run);
}

static void
conditions_over_openings(struct crash_run *run)
{
	for (unsigned i = 0; i < 4; i++) {
		run_open(run);
		run_put_if_absent(run, i);
		run_put_if_absent(run, i / 2);
		run_put_if_unchanged(run, i);
		if (i == 1)
			run_compact(run);
		run_deletes(run, i, 1);
		run_put_if_absent(run, i);
		run_close(run);
	}
}

/* Each batch is larger than a memtable. */
static void
batches_larger_than_a_memtable(struct crash_run *run)
{
	run_open(run);
	for (unsigned i = 0; i < 5; i++) {
		run_puts(run, i, 30, 300);
		if (i % 2)
			run_put_synced(run, 99, 10);
	}
	run_power_cut(run, FAULT_TEAR_LAST);
	run_puts(run, 9, 30, 300);
	run_close(run);
}

const struct crash_script crash_scripts[] = {
	{ "new_store", new_store, false },
	{ "puts_and_syncs", puts_and_syncs, false },
	{ "log_switches", log_switches, false },
	{ "sync_reaches_older_logs", sync_reaches_older_logs, false },
	{ "flushes", flushes, false },
	{ "compactions", compactions, false },
	{ "clean_reopens", clean_reopens, false },
	{ "crashes_and_more_crashes", crashes_and_more_crashes, false },
	{ "deletes", deletes, false },
	{ "conditions", conditions, false },
	{ "full_memtables", full_memtables, false },
	{ "full_disk", full_disk, false },
	{ "large_values", large_values, false },
	{ "every_commit_synced", every_commit_synced, false },
	{ "a_snapshot_through_compaction", a_snapshot_through_compaction,
	  false },
	{ "many_snapshots", many_snapshots, false },
	{ "switches_without_a_sync", switches_without_a_sync, false },
	{ "a_sync_over_a_switch", a_sync_over_a_switch, false },
	{ "recover_write_sync_and_again", recover_write_sync_and_again, false },
	{ "one_process_after_the_other", one_process_after_the_other, false },
	{ "a_failed_sync_of_a_log", a_failed_sync_of_a_log, false },
	{ "a_failed_sync_of_a_sealed_log", a_failed_sync_of_a_sealed_log,
	  false },
	{ "a_failed_sync_of_the_manifest", a_failed_sync_of_the_manifest,
	  false },
	{ "a_failed_sync_of_a_table", a_failed_sync_of_a_table, false },
	{ "a_failed_sync_of_the_names", a_failed_sync_of_the_names, false },
	{ "failed_openings", failed_openings, false },
	{ "tables_move_down", tables_move_down, false },
	{ "a_manifest_is_renewed", a_manifest_is_renewed, true },
	{ "leftovers_at_opening", leftovers_at_opening, false },
	{ "a_full_disk_at_opening", a_full_disk_at_opening, false },
	{ "a_disk_that_is_full_for_a_while", a_disk_that_is_full_for_a_while,
	  false },
	{ "the_interval_syncs", the_interval_syncs, false },
	{ "synced_and_unsynced_commits", synced_and_unsynced_commits, false },
	{ "opened_for_reading", opened_for_reading, false },
	{ "one_key_many_times", one_key_many_times, false },
	{ "everything_is_deleted", everything_is_deleted, false },
	{ "two_compactions_at_once", two_compactions_at_once, false },
	{ "syncs_beside_writes", syncs_beside_writes, false },
	{ "conditions_over_openings", conditions_over_openings, false },
	{ "batches_larger_than_a_memtable", batches_larger_than_a_memtable,
	  false },
};

const unsigned crash_script_count =
	sizeof(crash_scripts) / sizeof(crash_scripts[0]);
