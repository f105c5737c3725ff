/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_corpus_test.c - every input kept in tests/corpus goes through its fuzz target
 * (contrib/fuzz); what is wrong ends the process.
 *
 * `fuzz_corpus_test TARGET FILE...` runs one target on some files. */
#include <config.h>

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "tests/must.h"
#include "tests/suite.h"

#define TIMEOUT_S 300

static void
run_file(const struct fuzz_target *target, const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, cap = 0, n;

	ck_assert_msg(file != NULL, "%s", path);
	do {
		data = must_realloc(data, cap += 65536);
		n = fread(data + size, 1, cap - size, file);
		size += n;
	} while (n > 0);
	fclose(file);
	/* Of its own size, so that a read past its end is seen. */
	data = must_realloc(data, size);
	target->run(data, size);
	free(data);
}

static unsigned
run_directory(const struct fuzz_target *target)
{
	char dir[4096], path[8192];
	struct dirent *entry;
	unsigned count = 0;
	DIR *stream;

	snprintf(dir, sizeof(dir), "%s/tests/corpus/%s", CORPUS_TOP,
		 target->name);
	stream = opendir(dir);
	ck_assert_msg(stream != NULL, "%s", dir);
	while ((entry = readdir(stream)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		printf("%s\n", path); /* the last one is the one to look at */
		fflush(stdout);
		run_file(target, path);
		count++;
	}
	closedir(stream);
	return count;
}

START_TEST(no_kept_input_breaks_its_target)
{
	ck_assert_uint_gt(run_directory(&fuzz_targets[_i]), 0);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite;
	TCase *tcase;
	int i, t;

	for (t = 0; argc > 2 && t < FUZZ_TARGETS; t++)
		for (i = 2; i < argc && !strcmp(argv[1], fuzz_targets[t].name);
		     i++)
			run_file(&fuzz_targets[t], argv[i]);
	if (argc > 1)
		return EXIT_SUCCESS;
	suite = suite_create("fuzz_corpus");
	tcase = tcase_create("corpus");
	tcase_set_timeout(tcase, TIMEOUT_S);
	tcase_add_loop_test(tcase, no_kept_input_breaks_its_target, 0,
			    FUZZ_TARGETS);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
