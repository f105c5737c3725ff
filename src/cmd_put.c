/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_put.c - `keyfs put STORE PATH [VALUE]`: stores a value under a name.
 *
 * All or nothing at any size: the value is written to a new file with a hidden
 * name in the same directory, which is then renamed over PATH.  So a reader sees
 * the old value or the new one, whatever the size, and a failed or interrupted
 * put leaves what was there.  The value is durable when the command succeeds. */
#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/files.h"
#include "src/path.h"

/* What is read before anything else; a larger value comes in pieces of it. */
#define PIECE_BYTES ((size_t)1 << 20)

/* Where the value comes from: `value` if it is not NULL, else standard input. */
struct source {
	const char *value; /* borrowed */
	size_t value_len;
	char *piece; /* owned; PIECE_BYTES, of which `len` are filled */
	size_t len;
	bool ended;
};

static volatile sig_atomic_t interrupted;

static void
interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* The hidden file must not stay behind, so a signal ends the reading and not
 * the process.  No SA_RESTART: read(2) has to return. */
static void
catch_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* Fills the piece, less only at the end of the value. */
static int
source_next(struct source *source)
{
	ssize_t n;

	source->len = 0;
	while (source->value == NULL && !source->ended &&
	       source->len < PIECE_BYTES) {
		if (interrupted)
			return -EINTR;
		n = read(STDIN_FILENO, source->piece + source->len,
			 PIECE_BYTES - source->len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			source->len += (size_t)n;
		source->ended = n == 0;
	}
	if (source->value != NULL) {
		source->len = source->value_len < PIECE_BYTES
				      ? source->value_len
				      : PIECE_BYTES;
		memcpy(source->piece, source->value, source->len);
		source->value += source->len;
		source->value_len -= source->len;
		source->ended = source->value_len == 0;
	}
	return 0;
}

/* Makes the directories above `path` that are absent; *out_made is the length
 * of the shortest that it made, 0 for none. */
static int
make_parents(struct files *files, char *path, size_t *out_made)
{
	char *slash;
	int r = 0;

	for (slash = strchr(path, '/'); slash != NULL && r == 0;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = files_mkdir(files, path);
		*slash = '/';
		if (r == 0 && *out_made == 0)
			*out_made = (size_t)(slash - path);
		if (r == -EEXIST)
			r = 0;
	}
	return r;
}

/* Removes what make_parents() made; a directory that somebody has used since
 * stays. */
static void
unmake_parents(struct files *files, char *path, size_t made)
{
	char *slash = made == 0 ? NULL : strrchr(path, '/');
	int r = 0;

	while (slash != NULL && (size_t)(slash - path) >= made && r == 0) {
		*slash = '\0';
		r = files_rmdir(files, path);
		slash = strrchr(path, '/');
	}
}

static int
hidden_name(const char *path, char **out)
{
	char name[48], *parent;
	uint64_t random;
	size_t parent_len;
	int r;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	path_base(path, &parent_len);
	parent = strndup(path, parent_len);
	if (parent == NULL)
		return -ENOMEM;
	snprintf(name, sizeof(name), ".keyfs-put-%016" PRIx64, random);
	r = path_join(parent, name, strlen(name), out);
	free(parent);
	return r;
}

/* Writes the piece in `source` and all that follow. */
static int
write_pieces(struct files *files, struct files_handle *handle,
	     struct source *source)
{
	uint64_t offset = 0;
	int r = 0;

	while (r == 0 && source->len > 0) {
		r = files_write(files, handle, offset, source->piece,
				source->len);
		offset += source->len;
		if (r == 0)
			r = source_next(source);
	}
	return r;
}

static int
put_hidden(struct files *files, const char *path, const struct tree_attr *like,
	   struct source *source)
{
	struct files_handle handle;
	char *hidden;
	int r;

	r = hidden_name(path, &hidden);
	if (r < 0)
		return r;
	r = files_create(files, hidden, like, &handle);
	if (r == 0) {
		r = write_pieces(files, &handle, source);
		files_close_file(files, &handle);
		if (r == 0)
			r = files_rename(files, hidden, path);
		if (r < 0)
			(void)files_unlink(files, hidden);
	}
	free(hidden);
	return r;
}

static int
put_value(struct files *files, char *path, struct source *source)
{
	struct tree_attr old, *like = NULL;
	size_t made = 0;
	int r;

	r = files_stat(files, path, &old);
	if (r == 0) {
		like = &old;
		r = files_check_regular(old.mode);
	} else if (r == -ENOENT) {
		r = 0;
	}
	if (r == 0 && like == NULL)
		r = make_parents(files, path, &made);
	if (r == 0)
		r = put_hidden(files, path, like, source);
	if (r == 0)
		return files_sync(files);
	unmake_parents(files, path, made);
	return r;
}

static int
put(const char *store, const char *name, struct source *source)
{
	struct files *files;
	char *path;
	int r, status;

	status = cmd_path(&cmd_put, name, &path);
	if (status != CMD_OK)
		return status;
	source->piece = malloc(PIECE_BYTES);
	if (source->piece == NULL) {
		free(path);
		return cmd_fail(&cmd_put, name, -ENOMEM);
	}
	catch_signals();
	/* Before the store is opened, so that a slow writer of a small value does
	 * not keep it locked. */
	r = source_next(source);
	status = r < 0 ? cmd_fail(&cmd_put, "standard input", r)
		       : cmd_open(&cmd_put, store, false, &files);
	if (status == CMD_OK) {
		r = put_value(files, path, source);
		if (r < 0)
			status = cmd_fail(&cmd_put, name, r);
		status = cmd_close(&cmd_put, store, files, status);
	}
	free(source->piece);
	free(path);
	return status;
}

static int
put_run(int argc, char **argv)
{
	struct source source = { 0 };
	int first = 1;

	/* No options, so that a value may begin with a '-'. */
	if (argc > 1 && strcmp(argv[1], "--") == 0)
		first++;
	if (argc - first < 2 || argc - first > 3)
		return cmd_usage(&cmd_put,
				 "needs a store, a path and at most one value");
	if (argc - first == 3) {
		source.value = argv[first + 2];
		source.value_len = strlen(source.value);
	}
	return put(argv[first], argv[first + 1], &source);
}

const struct cmd cmd_put = {
	.name = "put",
	.synopsis = "STORE PATH [VALUE]",
	.summary = "Store a value, or standard input, as a file",
	.details =
		"Makes the directories above it.  All or nothing, and durable "
		"on success.\nThe file keeps its mode and, for root, its "
		"owner; its other hard links keep\nthe old contents.",
	.run = put_run,
};
