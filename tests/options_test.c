/* SPDX-License-Identifier: Apache-2.0 */
/* options_test.c - defaults, limits, and programs built for other versions. */
#include <config.h>

#include "store/options.h"

#include <errno.h>
#include <stdio.h>

#include "tests/suite.h"

static char why[256];

static int
resolve(const struct keyfs_options *given, struct keyfs_options *out)
{
	why[0] = '\0';
	return options_resolve(given, out, why, sizeof(why));
}

START_TEST(version_is_three_numbers)
{
	int major, minor, patch;
	char rest;

	ck_assert_int_eq(sscanf(keyfs_version(), "%d.%d.%d%c", &major, &minor,
				&patch, &rest),
			 3);
}
END_TEST

START_TEST(no_options_give_the_documented_defaults)
{
	struct keyfs_options o;

	ck_assert_int_eq(resolve(NULL, &o), 0);
	ck_assert_uint_eq(o.size, sizeof(o));
	ck_assert(!o.create && !o.must_create && !o.read_only);
	ck_assert_uint_eq(o.lock_wait_ms, 0);
	ck_assert_ptr_null(o.label);
	ck_assert_uint_eq(o.commit_interval_ms, 5000);
	ck_assert_uint_eq(o.memory_bytes, 256u << 20);
	ck_assert_uint_eq(o.memtable_bytes, 64u << 20);
	ck_assert_uint_eq(o.compaction_threads, 2);
	ck_assert_uint_eq(o.block_bytes, 4096);
	ck_assert_uint_eq(o.bloom_bits, 10);
	ck_assert_uint_eq(o.table_bytes, 32u << 20);
	ck_assert_uint_eq(o.level0_tables, 4);
	ck_assert_uint_eq(o.level_ratio, 10);
	ck_assert_uint_eq(o.level_bytes, 64u << 20);
	ck_assert_int_eq(o.compression, KEYFS_COMPRESSION_LZ4);
	ck_assert_uint_eq(o.reserve_bytes, 16u << 20);
	ck_assert_uint_eq(o.scrub_bytes_per_second, 1u << 20);
	ck_assert_uint_eq(o.scrub_interval_s, 604800);
}
END_TEST

START_TEST(given_members_are_kept)
{
	struct keyfs_options given = { .size = sizeof(given),
				       .create = true,
				       .label = "me",
				       .commit_interval_ms =
					       KEYFS_COMMIT_ALWAYS,
				       .memory_bytes = 8u << 20,
				       .block_bytes = 128,
				       .compression = KEYFS_COMPRESSION_NONE };
	struct keyfs_options o;

	ck_assert_int_eq(resolve(&given, &o), 0);
	ck_assert(o.create);
	ck_assert_str_eq(o.label, "me");
	ck_assert_uint_eq(o.commit_interval_ms, KEYFS_COMMIT_ALWAYS);
	ck_assert_uint_eq(o.memory_bytes, 8u << 20);
	ck_assert_uint_eq(o.memtable_bytes, 2u << 20);
	ck_assert_uint_eq(o.block_bytes, 128);
	ck_assert_int_eq(o.compression, KEYFS_COMPRESSION_NONE);
}
END_TEST

START_TEST(must_create_implies_create)
{
	struct keyfs_options given = { .size = sizeof(given),
				       .must_create = true };
	struct keyfs_options o;

	ck_assert_int_eq(resolve(&given, &o), 0);
	ck_assert(o.create);
}
END_TEST

START_TEST(an_older_program_s_missing_members_take_defaults)
{
	/* Memory behind `size` must not be read: put limits-breaking bytes
	 * there. */
	struct keyfs_options given = { .size = offsetof(struct keyfs_options,
							memory_bytes),
				       .create = true,
				       .memory_bytes = 1,
				       .bloom_bits = 1000 };
	struct keyfs_options o;

	ck_assert_int_eq(resolve(&given, &o), 0);
	ck_assert(o.create);
	ck_assert_uint_eq(o.memory_bytes, OPTIONS_MEMORY);
	ck_assert_uint_eq(o.bloom_bits, OPTIONS_BLOOM_BITS);
	ck_assert_uint_eq(o.size, sizeof(o));
}
END_TEST

START_TEST(a_newer_program_s_extra_members_are_ignored)
{
	struct {
		struct keyfs_options known;
		uint64_t unknown;
	} given = { .known = { .size = sizeof(given), .bloom_bits = 7 },
		    .unknown = UINT64_MAX };
	struct keyfs_options o;

	ck_assert_int_eq(resolve(&given.known, &o), 0);
	ck_assert_uint_eq(o.size, sizeof(o));
	ck_assert_uint_eq(o.bloom_bits, 7);
}
END_TEST

START_TEST(a_forgotten_size_is_refused)
{
	struct keyfs_options given = { .create = true };
	struct keyfs_options o = { .size = 99 };

	ck_assert_int_eq(resolve(&given, &o), -EINVAL);
	ck_assert_str_eq(why,
			 "size is 0; set it to sizeof(struct keyfs_options)");
	ck_assert_uint_eq(o.size, 99);
}
END_TEST

#define GIVEN(...)                                                             \
	{                                                                      \
		.size = sizeof(struct keyfs_options), __VA_ARGS__              \
	}

static const struct {
	struct keyfs_options given;
	const char *why;
} refused[] = {
	{ GIVEN(.memory_bytes = 1000),
	  "memory_bytes is 1000; it must be from 1048576 to 1099511627776" },
	{ GIVEN(.memory_bytes = 1u << 20, .memtable_bytes = (1u << 19) + 1),
	  "memtable_bytes is 524289; it must be from 4096 to 524288" },
	{ GIVEN(.memtable_bytes = 4095), "memtable_bytes is 4095; it must be "
					 "from 4096 to 134217728" },
	{ GIVEN(.compaction_threads = 17),
	  "compaction_threads is 17; it must be from 1 to 16" },
	{ GIVEN(.block_bytes = 127),
	  "block_bytes is 127; it must be from 128 to 1048576" },
	{ GIVEN(.block_bytes = (1u << 20) + 1),
	  "block_bytes is 1048577; it must be from 128 to 1048576" },
	{ GIVEN(.bloom_bits = 33),
	  "bloom_bits is 33; it must be from 1 to 32" },
	{ GIVEN(.table_bytes = 1023),
	  "table_bytes is 1023; it must be from 1024 to 1073741824" },
	{ GIVEN(.level0_tables = 65),
	  "level0_tables is 65; it must be from 1 to 64" },
	{ GIVEN(.level_ratio = 1),
	  "level_ratio is 1; it must be from 2 to 64" },
	{ GIVEN(.level_bytes = 1023),
	  "level_bytes is 1023; it must be from 1024 to 8589934592" },
	{ GIVEN(.compression = 9), "compression is 9; it must be from 1 to 2" },
	{ GIVEN(.read_only = true, .create = true),
	  "read_only is set and so is create; a store cannot be made without "
	  "writing" },
	{ GIVEN(.read_only = true, .must_create = true),
	  "read_only is set and so is must_create; a store cannot be made "
	  "without writing" },
	{ GIVEN(.label = "two\nlines"),
	  "label holds a line break; it must be one line" },
};

START_TEST(an_option_out_of_its_limits_is_named)
{
	struct keyfs_options o = { .size = 99 };

	ck_assert_int_eq(resolve(&refused[_i].given, &o), -EINVAL);
	ck_assert_str_eq(why, refused[_i].why);
	ck_assert_uint_eq(o.size, 99);
}
END_TEST

START_TEST(a_label_may_be_4_kib_and_no_more)
{
	char label[OPTIONS_LABEL_MAX + 2];
	struct keyfs_options given = GIVEN(.label = label);
	struct keyfs_options o;

	memset(label, 'x', sizeof(label));
	label[OPTIONS_LABEL_MAX + 1] = '\0';
	ck_assert_int_eq(resolve(&given, &o), -EINVAL);
	ck_assert_str_eq(why,
			 "label's length is 4097; it must be from 0 to 4096");
	label[OPTIONS_LABEL_MAX] = '\0';
	ck_assert_int_eq(resolve(&given, &o), 0);
}
END_TEST

START_TEST(a_short_buffer_cuts_the_sentence)
{
	struct keyfs_options given = GIVEN(.bloom_bits = 33);
	struct keyfs_options o;
	char small[8] = "#######";

	ck_assert_int_eq(options_resolve(&given, &o, small, 5), -EINVAL);
	ck_assert_mem_eq(small, "bloo\0##", 7);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = tcase_create("resolve");

	tcase_add_test(tcase, version_is_three_numbers);
	tcase_add_test(tcase, no_options_give_the_documented_defaults);
	tcase_add_test(tcase, given_members_are_kept);
	tcase_add_test(tcase, must_create_implies_create);
	tcase_add_test(tcase, an_older_program_s_missing_members_take_defaults);
	tcase_add_test(tcase, a_newer_program_s_extra_members_are_ignored);
	tcase_add_test(tcase, a_forgotten_size_is_refused);
	tcase_add_loop_test(tcase, an_option_out_of_its_limits_is_named, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, a_label_may_be_4_kib_and_no_more);
	tcase_add_test(tcase, a_short_buffer_cuts_the_sentence);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
