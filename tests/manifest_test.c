/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_test.c - what was appended is what is loaded, after any crash,
 * failure or damage; or the damage is named. */
#include <config.h>

#include "store/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/checksum.h"
#include "tests/fault_env.h"
#include "tests/suite.h"
#include "tests/tables.h"

enum { EDITS = 6 };

static struct fault_env *disk;
static struct env_dir *dir;
static struct table_set set;
static unsigned lines; /* given to the log */

static void
count_line(void *arg, enum keyfs_log_level level, const char *line)
{
	(void)arg;
	(void)level;
	(void)line;
	lines++;
}

static const struct reporter reporter = { .log = count_line };

static void
open_dir(void)
{
	ck_assert_int_eq(env_dir_open(fault_env(disk), "store", ENV_DIR_CREATE,
				      &dir),
			 0);
	table_set_init(&set, dir, NULL, &reporter);
}

static void
setup(void)
{
	disk = fault_env_new(1);
	open_dir();
	lines = 0;
}

static void
teardown(void)
{
	env_dir_close(dir);
	fault_env_free(disk);
}

/* ---- A history: state i is what i edits make ---- */

static struct version *states[EDITS + 1];

static void
make_edit(unsigned i, struct version_edit *edit)
{
	char small[16], large[16];

	version_edit_init(edit);
	edit->next_number = 20 + 2 * i;
	edit->last_seq = 10 * (i + 1);
	snprintf(small, sizeof(small), "k%02u", 10 * i);
	snprintf(large, sizeof(large), "k%02u", 10 * i + 9);
	tables_add(edit, &set, i % 3, 10 + i, small, large, 10 * i + 1);
	if (i % 2)
		version_edit_delete_table(edit, (i - 1) % 3, 9 + i);
	else
		version_edit_add_log(edit, 2 + i);
}

static void
make_states(void)
{
	struct version_edit edit;
	unsigned i;

	ck_assert_int_eq(version_new(&set, &states[0]), 0);
	for (i = 0; i < EDITS; i++) {
		make_edit(i, &edit);
		states[i + 1] = tables_apply(version_ref(states[i]), &edit);
		version_edit_fini(&edit);
	}
}

static void
free_states(void)
{
	unsigned i;

	for (i = 0; i <= EDITS; i++)
		version_unref(states[i]);
}

static int
append(struct manifest *m, unsigned i)
{
	struct version_edit edit;
	int r;

	make_edit(i, &edit);
	r = manifest_append(m, &edit);
	version_edit_fini(&edit);
	return r;
}

/* Which state the disk holds; < 0: the error of loading. */
static int
load(void)
{
	struct version *got;
	uint64_t number;
	uint8_t *a, *b;
	size_t a_len, b_len;
	int r, state;

	r = manifest_load(dir, &reporter, &set, &number, &got);
	if (r)
		return r;
	tables_encode(got, &a, &a_len);
	version_unref(got);
	for (state = EDITS; state >= 0; state--) {
		tables_encode(states[state], &b, &b_len);
		r = a_len == b_len && !memcmp(a, b, a_len);
		free(b);
		if (r)
			break;
	}
	free(a);
	if (state < 0)
		ck_abort_msg("a state that never was");
	return state;
}

/* The history: created with state 0, renewed in the middle.  Returns how many
 * steps were acknowledged: 0 none, 1 created, 1 + i appended. */
static int
run_history(void)
{
	struct manifest *m;
	unsigned i;
	int done = 0, r;

	if (manifest_create(dir, &reporter, 1, states[0], NULL, &m))
		return 0;
	done = 1;
	for (i = 0; i < EDITS; i++) {
		if (i == EDITS / 2 && manifest_renew(m, 7, states[i]) &&
		    manifest_error(m))
			break;
		r = append(m, i);
		if (r)
			break;
		done++;
	}
	manifest_close(m);
	return done;
}

START_TEST(what_is_appended_is_loaded)
{
	make_states();
	ck_assert_int_eq(load(), -ENOENT);
	ck_assert_int_eq(run_history(), EDITS + 1);
	ck_assert_int_eq(load(), EDITS);
	ck_assert_uint_eq(lines, 0);
	free_states();
}
END_TEST

START_TEST(current_is_the_line_drawn)
{
	char line[64] = "";
	uint64_t len;

	make_states();
	ck_assert_int_eq(run_history(), EDITS + 1);
	ck_assert_int_eq(fault_env_size(disk, "CURRENT", &len), 0);
	ck_assert_int_eq(fault_env_peek(disk, "CURRENT", 0, line, len), 0);
	ck_assert_uint_eq(strlen(line), strlen("MANIFEST-000007") + 18);
	ck_assert(!strncmp(line, "MANIFEST-000007 ", 16));
	free_states();
}
END_TEST

/* What was acknowledged is there; at most the step under way is there too. */
static void
check_after(int done)
{
	int state = load();

	if (state == -ENOENT && done == 0)
		return;
	if (state < 0)
		ck_abort_msg("%d acknowledged, then error %d", done, state);
	if (state != done - 1 && state != done)
		ck_abort_msg("%d acknowledged, then state %d", done, state);
}

START_TEST(every_crash_leaves_the_acknowledged_state)
{
	uint64_t crash, kind;
	int done;

	for (crash = 0;; crash++) {
		fault_env_crash_at(disk, fault_env_calls(disk) + crash);
		make_states();
		done = run_history();
		if (!fault_env_crashed(disk))
			break;
		env_dir_close(dir);
		for (kind = 0; kind < FAULT_CRASH_KINDS * 3; kind++) {
			struct fault_env *all = disk;

			disk = fault_env_after(all, kind % FAULT_CRASH_KINDS,
					       kind + crash * 100);
			open_dir();
			check_after(done);
			teardown();
			disk = all;
		}
		free_states();
		fault_env_free(disk);
		setup();
	}
	ck_assert_int_eq(done, EDITS + 1);
	ck_assert_uint_gt(crash, 30);
	fault_env_reboot(disk, FAULT_KEEP_ALL, 1);
	free_states();
}
END_TEST

START_TEST(after_a_failure_nothing_more_is_appended)
{
	uint64_t n, failures = 1;
	int done;

	for (n = 0; failures; n++) {
		struct fault_rule rule = { .calls = FAULT_CHANGES,
					   .skip = n,
					   .error = -EIO,
					   .partial = true };

		make_states();
		fault_env_fail(disk, &rule);
		done = run_history();
		failures = fault_env_failures(disk);
		fault_env_heal(disk);
		check_after(done);
		free_states();
		teardown();
		setup();
	}
	ck_assert_int_eq(done, EDITS + 1);
	ck_assert_uint_gt(n, 20);
}
END_TEST

START_TEST(a_poisoned_manifest_keeps_its_error)
{
	/* A sync that found no room must not be taken for a full disk. */
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_SYNC),
				   .error = _i ? -ENOSPC : -EIO };
	struct manifest *m;

	make_states();
	ck_assert_int_eq(manifest_create(dir, &reporter, 1, states[0], NULL,
					 &m),
			 0);
	ck_assert_int_eq(manifest_error(m), 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(append(m, 0), -EIO);
	fault_env_heal(disk);
	ck_assert_int_eq(append(m, 0), -EIO);
	ck_assert_int_eq(manifest_error(m), -EIO);
	ck_assert_int_eq(manifest_renew(m, 2, states[0]), -EIO);
	manifest_close(m);
	free_states();
}
END_TEST

START_TEST(a_full_disk_is_no_failure)
{
	struct fault_rule rule = { .calls = FAULT_ON(FAULT_ALLOCATE),
				   .error = -ENOSPC,
				   .forever = true };
	struct manifest *m;
	struct version_edit big;
	unsigned i;

	make_states();
	ck_assert_int_eq(manifest_create(dir, &reporter, 1, states[0], NULL,
					 &m),
			 0);
	fault_env_fail(disk, &rule);
	ck_assert_int_eq(append(m, 0), 0); /* there is room already */
	version_edit_init(&big);
	for (i = 0; i < 5000; i++)
		tables_add(&big, &set, 6, 1000 + i, "a", "b", 1);
	ck_assert_int_eq(manifest_append(m, &big), -ENOSPC);
	version_edit_fini(&big);
	ck_assert_int_eq(manifest_error(m), 0);
	ck_assert_int_eq(manifest_renew(m, 9, states[1]), -ENOSPC);
	ck_assert_int_eq(manifest_error(m), 0);
	fault_env_heal(disk);
	for (i = 1; i < EDITS; i++)
		ck_assert_int_eq(append(m, i), 0);
	manifest_close(m);
	ck_assert_int_eq(load(), EDITS);
	free_states();
}
END_TEST

/* ---- Damage ---- */

/* Where the records end, by the manifest itself. */
static uint64_t
plant_history(void)
{
	struct manifest *m;
	uint64_t end;
	unsigned i;

	ck_assert_int_eq(manifest_create(dir, &reporter, 3, states[0], NULL,
					 &m),
			 0);
	for (i = 0; i < EDITS; i++)
		ck_assert_int_eq(append(m, i), 0);
	end = manifest_bytes(m);
	manifest_close(m);
	return end;
}

START_TEST(a_flipped_bit_is_never_believed)
{
	const char *file = _i ? "CURRENT" : "MANIFEST-000003";
	uint64_t bytes, bit;

	make_states();
	bytes = plant_history() + 16; /* the mark */
	if (_i)
		ck_assert_int_eq(fault_env_size(disk, file, &bytes), 0);
	for (bit = 0; bit < bytes * 8; bit += 1 + bit % 3) {
		int state;

		ck_assert_int_eq(fault_env_flip(disk, file, bit), 0);
		lines = 0;
		state = load();
		if (state != -EUCLEAN && state != EDITS)
			ck_abort_msg("bit %u: %d", (unsigned)bit, state);
		if (state == EDITS && bit / 8 < bytes - 16)
			ck_abort_msg("bit %u was not seen", (unsigned)bit);
		ck_assert_uint_eq(lines, 1);
		fault_env_flip(disk, file, bit);
	}
	ck_assert_int_eq(load(), EDITS);
	free_states();
}
END_TEST

START_TEST(a_cut_last_record_is_dropped_with_one_line)
{
	struct manifest *m;
	uint64_t before, end, len;
	uint8_t *bytes;

	make_states();
	ck_assert_int_eq(manifest_create(dir, &reporter, 3, states[0], NULL,
					 &m),
			 0);
	ck_assert_int_eq(append(m, 0), 0);
	before = manifest_bytes(m);
	ck_assert_int_eq(append(m, 1), 0);
	end = manifest_bytes(m);
	manifest_close(m);
	bytes = malloc(end);
	ck_assert_int_eq(fault_env_peek(disk, "MANIFEST-000003", 0, bytes, end),
			 0);
	for (len = before; len < end; len++) {
		ck_assert_int_eq(fault_env_plant(disk, "MANIFEST-000003", bytes,
						 len),
				 0);
		lines = 0;
		ck_assert_int_eq(load(), 1);
		ck_assert_uint_eq(lines, len > before);
	}
	for (; len > 0; len = len > before ? before : len - 1) {
		fault_env_plant(disk, "MANIFEST-000003", bytes, len - 1);
		if (len - 1 < before && load() == 1)
			ck_abort_msg("a shorter file was believed");
	}
	free(bytes);
	free_states();
}
END_TEST

START_TEST(a_missing_manifest_is_damage)
{
	make_states();
	plant_history();
	ck_assert_int_eq(fault_env_remove(disk, "MANIFEST-000003"), 0);
	ck_assert_int_eq(load(), -EUCLEAN);
	free_states();
}
END_TEST

START_TEST(a_newer_format_is_refused_by_name)
{
	uint8_t header[64];
	static const struct {
		unsigned at, value;
	} newer[] = { { 8, 2 }, { 12, 2 }, { 24, 9 }, { 31, 1 }, { 39, 1 } };

	make_states();
	plant_history();
	ck_assert_int_eq(fault_env_peek(disk, "MANIFEST-000003", 0, header, 64),
			 0);
	header[newer[_i].at] = (uint8_t)newer[_i].value;
	put_le64(header + 56, checksum(header, 56, 3, 0));
	ck_assert_int_eq(fault_env_poke(disk, "MANIFEST-000003", 0, header, 64),
			 0);
	ck_assert_int_eq(load(), -EPROTONOSUPPORT);
	ck_assert_uint_eq(lines, 1);
	free_states();
}
END_TEST

/* A store that lost nothing is read by older programs; else the bit tells them. */
START_TEST(damage_needs_a_file_that_says_so)
{
	struct damage *damage, like = { .number = 5,
					.bytes = 1,
					.min_seq = 1,
					.max_seq = 2,
					.first = keyfs_str("a"),
					.last = keyfs_str("b") };
	struct version_edit edit;
	struct version *version;
	struct manifest *m;
	uint8_t bits;

	make_states();
	version_edit_init(&edit);
	ck_assert_int_eq(damage_new(&like, &damage), 0);
	version_edit_add_damage(&edit, damage);
	edit.next_number = 6;
	edit.last_seq = 2;
	damage_unref(damage);
	ck_assert_int_eq(manifest_create(dir, &reporter, 1, states[0], NULL,
					 &m),
			 0);
	ck_assert(!manifest_takes(m, &edit));
	ck_assert_int_eq(fault_env_peek(disk, "MANIFEST-000001", 12, &bits, 1),
			 0);
	ck_assert_uint_eq(bits, 0);
	version = tables_apply(version_ref(states[0]), &edit);
	ck_assert_int_eq(manifest_renew(m, 2, version), 0);
	ck_assert(manifest_takes(m, &edit));
	ck_assert_int_eq(fault_env_peek(disk, "MANIFEST-000002", 12, &bits, 1),
			 0);
	ck_assert_uint_eq(bits, 1);
	version_unref(states[EDITS]);
	states[EDITS] = version;
	ck_assert_int_eq(load(), EDITS);
	manifest_close(m);
	version_edit_fini(&edit);
	free_states();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("manifest");
	TCase *tcase = tcase_create("manifest");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_appended_is_loaded);
	tcase_add_test(tcase, current_is_the_line_drawn);
	tcase_add_test(tcase, every_crash_leaves_the_acknowledged_state);
	tcase_add_test(tcase, after_a_failure_nothing_more_is_appended);
	tcase_add_loop_test(tcase, a_poisoned_manifest_keeps_its_error, 0, 2);
	tcase_add_test(tcase, a_full_disk_is_no_failure);
	tcase_add_loop_test(tcase, a_flipped_bit_is_never_believed, 0, 2);
	tcase_add_test(tcase, a_cut_last_record_is_dropped_with_one_line);
	tcase_add_test(tcase, a_missing_manifest_is_damage);
	tcase_add_loop_test(tcase, a_newer_format_is_refused_by_name, 0, 5);
	tcase_add_test(tcase, damage_needs_a_file_that_says_so);
	tcase_set_timeout(tcase, 30);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
