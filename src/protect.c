/* SPDX-License-Identifier: Apache-2.0 */
/* protect.c - see protect.h; PR_SET_IO_FLUSHER(2const) and proc_pid_oom_score_adj(5). */
#include <config.h>

#include "src/protect.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

/* -1000 would be never: a daemon that leaks must be stoppable. */
#define OOM_SCORE_ADJ "-900"

/* Whoever started this has not said what to think of it. */
static bool
oom_score_is_default(void)
{
	char value[16] = "";
	FILE *file = fopen("/proc/self/oom_score_adj", "re");
	bool is_default;

	if (!file)
		return false;
	is_default =
		fgets(value, sizeof(value), file) && strcmp(value, "0\n") == 0;
	(void)fclose(file);
	return is_default;
}

static void
lower_oom_score(void)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "we");

	if (!file)
		return;
	(void)fputs(OOM_SCORE_ADJ, file);
	(void)fclose(file); /* refused where it may not */
}

void
protect_daemon(void)
{
#ifdef PR_SET_IO_FLUSHER
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
#endif
	if (oom_score_is_default())
		lower_oom_score();
}
