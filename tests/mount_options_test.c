/* SPDX-License-Identifier: Apache-2.0 */
/* mount_options_test.c - the words after -o are understood or named as wrong. */
#include <config.h>

#include "src/mount_options.h"

#include <errno.h>

#include "tests/suite.h"

static struct mount_options options;
static char why[256];

static int
parse(const char *list)
{
	mount_options_init(&options);
	why[0] = '\0';
	return mount_options_parse(&options, list, why, sizeof(why));
}

START_TEST(our_options_reach_store_and_session)
{
	ck_assert_int_eq(parse("ro,allow_other,commit_interval=0.25,memory=64M,"
			       "compression=none,lock_wait=2s,stop_timeout=1.5,"
			       "threads=3,timeout=60,nonempty,debug,"
			       "scrub=64K,scrub_interval=3600,noxattr"),
			 0);
	ck_assert(options.session.read_only && options.session.allow_other);
	ck_assert(options.nonempty && options.session.debug);
	ck_assert(options.session.no_xattr);
	ck_assert_uint_eq(options.store.commit_interval_ms, 250);
	ck_assert_uint_eq(options.store.memory_bytes, 64u << 20);
	ck_assert_int_eq(options.store.compression, KEYFS_COMPRESSION_NONE);
	ck_assert_uint_eq(options.store.lock_wait_ms, 2000);
	ck_assert_uint_eq(options.session.stop_timeout_ms, 1500);
	ck_assert_uint_eq(options.session.threads, 3);
	ck_assert_uint_eq(options.store.scrub_bytes_per_second, 64u << 10);
	ck_assert_uint_eq(options.store.scrub_interval_s, 3600);
	ck_assert(options.session.timeout_s >= 60 &&
		  options.session.timeout_s <= 60);
}
END_TEST

START_TEST(scrubbing_can_be_turned_off)
{
	ck_assert_int_eq(parse("scrub=off"), 0);
	ck_assert_uint_eq(options.store.scrub_bytes_per_second,
			  KEYFS_SCRUB_OFF);
}
END_TEST

START_TEST(access_control_lists_are_extended_attributes)
{
	ck_assert_int_eq(parse("acl"), 0);
	ck_assert(options.session.acls);
	ck_assert_int_eq(parse("acl,noacl,noxattr"), 0);
	ck_assert(!options.session.acls);
	ck_assert_int_eq(parse("acl,noxattr"), -EINVAL);
	ck_assert_str_eq(why, "acl and noxattr: access control lists are "
			      "extended attributes");
}
END_TEST

START_TEST(the_last_of_ro_and_rw_holds)
{
	ck_assert_int_eq(parse("ro,rw"), 0);
	ck_assert(!options.session.read_only);
}
END_TEST

START_TEST(an_interval_of_0_is_every_operation)
{
	ck_assert_int_eq(parse("commit_interval=0"), 0);
	ck_assert_uint_eq(options.store.commit_interval_ms,
			  KEYFS_COMMIT_ALWAYS);
}
END_TEST

START_TEST(a_short_interval_is_not_rounded_to_every_operation)
{
	ck_assert_int_eq(parse("commit_interval=0.0001"), 0);
	ck_assert_uint_eq(options.store.commit_interval_ms, 1);
}
END_TEST

START_TEST(kernel_words_are_handed_on_and_fstab_words_dropped)
{
	ck_assert_int_eq(parse("noatime,_netdev,nodev,,x-systemd.automount,"
			       "X-mount.mkdir,defaults,comment=a b,nosuid,"
			       "nodiratime"),
			 0);
	ck_assert_str_eq(options.kernel, "noatime,nodev,nosuid");
}
END_TEST

static const struct {
	const char *list, *why;
} refused[] = {
	{ "colour", "no option \"colour\"; mount.keyfs(8) lists them" },
	{ "ro,colour=red", "no option \"colour\"; mount.keyfs(8) lists them" },
	{ "memory", "option memory needs a size such as 256M" },
	{ "memory=", "option memory is \"\"; it needs a size such as 256M" },
	{ "memory=-1",
	  "option memory is \"-1\"; it needs a size such as 256M" },
	{ "memory=0", "option memory is \"0\"; it needs a size such as 256M" },
	{ "memory=1Q",
	  "option memory is \"1Q\"; it needs a size such as 256M" },
	{ "memory=99999999T",
	  "option memory is \"99999999T\"; it needs a size such as 256M" },
	{ "memory=99999999999999999999", "option memory is "
					 "\"99999999999999999999\"; it needs a "
					 "size such as 256M" },
	{ "ro=1", "option ro takes no value" },
	{ "threads=0",
	  "option threads is \"0\"; it needs a number from 1 to 64" },
	{ "threads=65",
	  "option threads is \"65\"; it needs a number from 1 to 64" },
	{ "timeout=nan", "option timeout is \"nan\"; it needs seconds, "
			 "more than 0" },
	{ "timeout=1e9", "option timeout is \"1e9\"; it needs seconds, "
			 "more than 0" },
	{ "timeout=0", "option timeout is \"0\"; it needs seconds, more "
		       "than 0" },
	{ "stop_timeout=0", "option stop_timeout is \"0\"; it needs seconds, "
			    "more than 0" },
	{ "lock_wait=1m", "option lock_wait is \"1m\"; it needs seconds" },
	{ "scrub=0", "option scrub is \"0\"; it needs bytes a second such as "
		     "1M, or off" },
	{ "scrub_interval=0", "option scrub_interval is \"0\"; it needs "
			      "seconds, 1 or more" },
	{ "compression=zip",
	  "option compression is \"zip\"; it needs lz4 or none" },
};

START_TEST(a_wrong_word_is_named)
{
	ck_assert_int_eq(parse(refused[_i].list), -EINVAL);
	ck_assert_str_eq(why, refused[_i].why);
}
END_TEST

START_TEST(too_many_kernel_words_are_refused)
{
	int i, r = 0;

	mount_options_init(&options);
	for (i = 0; i < MOUNT_KERNEL_OPTIONS_MAX && r == 0; i++)
		r = mount_options_parse(&options, "nodev", why, sizeof(why));
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_str_eq(why, "too many options for the kernel, at \"nodev\"");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mount_options");
	TCase *tcase = tcase_create("parse");

	tcase_add_test(tcase, our_options_reach_store_and_session);
	tcase_add_test(tcase, scrubbing_can_be_turned_off);
	tcase_add_test(tcase, access_control_lists_are_extended_attributes);
	tcase_add_test(tcase, the_last_of_ro_and_rw_holds);
	tcase_add_test(tcase, an_interval_of_0_is_every_operation);
	tcase_add_test(tcase,
		       a_short_interval_is_not_rounded_to_every_operation);
	tcase_add_test(tcase,
		       kernel_words_are_handed_on_and_fstab_words_dropped);
	tcase_add_loop_test(tcase, a_wrong_word_is_named, 0,
			    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tcase, too_many_kernel_words_are_refused);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
