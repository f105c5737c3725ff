/* SPDX-License-Identifier: Apache-2.0 */
/* json_test.c - every string of bytes becomes valid JSON, and different strings
 * different JSON. */
#include <config.h>

#include "src/json.h"

#include <stdlib.h>
#include <string.h>

#include "tests/suite.h"

static const struct {
	const char *bytes, *json;
} strings[] = {
	{ "", "\"\"" },
	{ "plain", "\"plain\"" },
	{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
	{ "tab\tline\n\x7f", "\"tab\\u0009line\\u000a\x7f\"" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
	  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	/* Bytes that are not UTF-8: alone, cut short, overlong, a surrogate, beyond
	 * U+10FFFF. */
	{ "\xff", "\"\\udcff\"" },
	{ "\xc3", "\"\\udcc3\"" },
	{ "\xe2\x82", "\"\\udce2\\udc82\"" },
	{ "\xc0\x80", "\"\\udcc0\\udc80\"" },
	{ "\xe0\x80\x80", "\"\\udce0\\udc80\\udc80\"" },
	{ "\xed\xa0\x80", "\"\\udced\\udca0\\udc80\"" },
	{ "\xf0\x80\x80\x80", "\"\\udcf0\\udc80\\udc80\\udc80\"" },
	{ "\xf4\x90\x80\x80", "\"\\udcf4\\udc90\\udc80\\udc80\"" },
	{ "\xe2\x82x", "\"\\udce2\\udc82x\"" },
};

START_TEST(bytes_become_json)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	json_string(out, strings[_i].bytes, strlen(strings[_i].bytes));
	fclose(out);
	ck_assert_str_eq(text, strings[_i].json);
	free(text);
}
END_TEST

START_TEST(a_sequence_is_not_read_past_its_end)
{
	static const char euro[] = "\xe2\x82\xac";
	char *text, *exact = malloc(2);
	size_t size;
	FILE *out = open_memstream(&text, &size);

	memcpy(exact, euro, 2);
	json_string(out, exact, 2);
	fclose(out);
	ck_assert_str_eq(text, "\"\\udce2\\udc82\"");
	free(exact);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("json");
	TCase *tcase = tcase_create("json");

	tcase_add_loop_test(tcase, bytes_become_json, 0,
			    sizeof(strings) / sizeof(strings[0]));
	tcase_add_test(tcase, a_sequence_is_not_read_past_its_end);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
