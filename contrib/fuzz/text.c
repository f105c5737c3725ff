/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - what users type: mount options and paths. */
#include <config.h>

#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "src/mount_options.h"
#include "src/path.h"

static void
run_path(const char *text)
{
	char *clean, *again;

	if (path_clean(text, &clean))
		return;
	/* What is clean stays as it is. */
	fuzz_expect(path_clean(clean, &again) == 0);
	fuzz_expect(!strcmp(clean, again));
	fuzz_expect(clean[0] != '/' && !strstr(clean, "//"));
	free(again);
	free(clean);
}

static void
run_options(const char *text)
{
	struct mount_options options;
	char why[256] = "";

	mount_options_init(&options);
	if (mount_options_parse(&options, text, why, sizeof(why)))
		fuzz_expect(why[0] != '\0');
	fuzz_expect(strlen(why) < sizeof(why));
	fuzz_expect(strlen(options.kernel) < sizeof(options.kernel));
}

void
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	fuzz_expect(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	run_path(text);
	run_options(text);
	free(text);
}
