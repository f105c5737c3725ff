/* SPDX-License-Identifier: Apache-2.0 */
/* path_test.c - paths inside a store mean one thing and never lead out; places in
 * the system are found even where they cannot be looked at. */
#include <config.h>

#include "src/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/suite.h"
#include "tests/tmpdir.h"

static const struct {
	const char *given, *clean;
} cleaned[] = {
	{ "", "" },
	{ "/", "" },
	{ "//", "" },
	{ ".", "" },
	{ "/./", "" },
	{ "a", "a" },
	{ "/a/b", "a/b" },
	{ "a//b/", "a/b" },
	{ "./a/./b/.", "a/b" },
	{ ".hidden/..x/x..", ".hidden/..x/x.." },
	{ "...", "..." },
};

START_TEST(a_path_is_cleaned)
{
	char *clean;

	ck_assert_int_eq(path_clean(cleaned[_i].given, &clean), 0);
	ck_assert_str_eq(clean, cleaned[_i].clean);
	free(clean);
}
END_TEST

static const char *const leading_out[] = { "..", "/..", "a/..", "a/../b",
					   "../etc/passwd" };

START_TEST(dot_dot_is_refused)
{
	char *clean;

	ck_assert_int_eq(path_clean(leading_out[_i], &clean), -EINVAL);
}
END_TEST

START_TEST(a_name_has_at_most_255_bytes)
{
	char path[2 + 256 + 1], *clean;

	memset(path, 'x', sizeof(path));
	path[1] = '/';
	path[2 + 256] = '\0';
	ck_assert_int_eq(path_clean(path, &clean), -ENAMETOOLONG);
	path[2 + 255] = '\0';
	ck_assert_int_eq(path_clean(path, &clean), 0);
	free(clean);
}
END_TEST

START_TEST(joining_and_splitting_are_inverse)
{
	char *joined;
	size_t len;

	ck_assert_int_eq(path_join("", "a", 1, &joined), 0);
	ck_assert_str_eq(joined, "a");
	ck_assert_str_eq(path_base(joined, &len), "a");
	ck_assert_uint_eq(len, 0);
	free(joined);
	ck_assert_int_eq(path_join("a/b", "cd", 1, &joined), 0);
	ck_assert_str_eq(joined, "a/b/c");
	ck_assert_str_eq(path_base(joined, &len), "c");
	ck_assert_uint_eq(len, 3);
	free(joined);
}
END_TEST

START_TEST(a_place_that_is_not_there_yet_is_found)
{
	char *dir = tmpdir_new(), *real = realpath(dir, NULL), *path;
	char want[4096];

	ck_assert_int_eq(chdir(dir), 0);
	snprintf(want, sizeof(want), "%s/new", real);
	ck_assert_int_eq(path_absolute("new", &path), 0);
	ck_assert_str_eq(path, want);
	free(path);
	ck_assert_int_eq(path_absolute("./new//", &path), 0);
	ck_assert_str_eq(path, want);
	free(path);
	ck_assert_int_eq(path_absolute(".", &path), 0);
	ck_assert_str_eq(path, real);
	free(path);
	ck_assert_int_eq(path_absolute("/nowhere", &path), 0);
	ck_assert_str_eq(path, "/nowhere");
	free(path);
	ck_assert_int_eq(path_absolute("new/below", &path), -ENOENT);
	ck_assert_int_eq(path_absolute("new/..", &path), -ENOENT);
	ck_assert_int_eq(path_absolute("", &path), -ENOENT);
	free(real);
	tmpdir_free(dir);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("path");
	TCase *tcase = tcase_create("path");

	tcase_add_loop_test(tcase, a_path_is_cleaned, 0,
			    sizeof(cleaned) / sizeof(cleaned[0]));
	tcase_add_loop_test(tcase, dot_dot_is_refused, 0,
			    sizeof(leading_out) / sizeof(leading_out[0]));
	tcase_add_test(tcase, a_name_has_at_most_255_bytes);
	tcase_add_test(tcase, joining_and_splitting_are_inverse);
	tcase_add_test(tcase, a_place_that_is_not_there_yet_is_found);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
