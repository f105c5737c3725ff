/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_doctor.c - `keyfs doctor [--json] [STORE]`: prints what doctor.h finds. */
#include <config.h>

#include <stdio.h>
#include <string.h>

#include "src/cmd.h"
#include "src/doctor.h"
#include "src/json.h"

struct doctor {
	unsigned bad, told;
};

static void
print_text(void *arg, enum doctor_level level, const char *what,
	   const char *advice)
{
	static const char *const words[] = { "ok", "note", "BAD" };
	struct doctor *doctor = arg;

	doctor->bad += level == DOCTOR_BAD;
	printf("%-5s %s\n", words[level], what);
	if (advice)
		printf("      %s\n", advice);
}

static void
print_json(void *arg, enum doctor_level level, const char *what,
	   const char *advice)
{
	static const char *const words[] = { "ok", "note", "bad" };
	struct doctor *doctor = arg;

	doctor->bad += level == DOCTOR_BAD;
	printf("%s\n  {\"level\": \"%s\", \"what\": ",
	       doctor->told++ ? "," : "[", words[level]);
	json_string(stdout, what, strlen(what));
	if (advice) {
		fputs(", \"advice\": ", stdout);
		json_string(stdout, advice, strlen(advice));
	}
	putchar('}');
}

static int
doctor_run(int argc, char **argv)
{
	struct doctor doctor = { 0 };
	bool json;

	if (cmd_option_json(&cmd_doctor, argc, argv, &json) != CMD_OK)
		return CMD_USAGE;
	if (argc - optind > 1)
		return cmd_usage(&cmd_doctor, "one store at a time");
	doctor_look(argv[optind], json ? print_json : print_text, &doctor);
	if (json)
		puts("\n]");
	return doctor.bad ? CMD_FAILED : CMD_OK;
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.synopsis = "[--json] [STORE]",
	.summary = "Tell what in this system will slow or break a mount",
	.details = "A line for each thing: ok, note for what could be better, "
		   "BAD for what will\nfail; then what to do about it.  With "
		   "STORE that is looked at too.  The status is\n1 if "
		   "anything is BAD.",
	.run = doctor_run,
};
