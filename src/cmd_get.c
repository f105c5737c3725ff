/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_get.c - `keyfs get STORE PATH`: writes a value to standard output. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/files.h"

/* Remembers whose error it was: the reader's of standard output is no fault of
 * the store. */
struct output {
	int error;
};

static int
write_out(void *arg, const void *data, size_t len)
{
	struct output *output = arg;
	const char *bytes = data;
	ssize_t n;

	while (len > 0) {
		n = write(STDOUT_FILENO, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			output->error = -errno;
			return output->error;
		}
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
get(const char *store, const char *path)
{
	struct output output = { 0 };
	struct files *files;
	int r, status;

	status = cmd_open(&cmd_get, store, true, &files);
	if (status != CMD_OK)
		return status;
	r = files_read(files, path, write_out, &output);
	if (output.error != 0)
		status = cmd_fail(&cmd_get, "standard output", output.error);
	else if (r < 0)
		status = cmd_fail(&cmd_get, path, r);
	return cmd_close(&cmd_get, store, files, status);
}

static int
get_run(int argc, char **argv)
{
	char *path;
	int status;

	if (cmd_option(&cmd_get, argc, argv, "", NULL) != -1)
		return CMD_USAGE;
	if (argc - optind != 2)
		return cmd_usage(&cmd_get, "needs a store and a path");
	status = cmd_path(&cmd_get, argv[optind + 1], &path);
	if (status != CMD_OK)
		return status;
	status = get(argv[optind], path);
	free(path);
	return status;
}

const struct cmd cmd_get = {
	.name = "get",
	.synopsis = "STORE PATH",
	.summary = "Write the contents of a file to standard output",
	.details = "Works whether or not the store is mounted.",
	.run = get_run,
};
