/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_rm.c - `keyfs rm [-r] STORE PATH...`: removes names. */
#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/cmd.h"
#include "src/files.h"
#include "src/log.h"
#include "src/path.h"

/* A directory is emptied by pages, so that its size does not matter. */
#define PAGE_NAMES 1024

struct page {
	char *names[PAGE_NAMES]; /* each owned */
	size_t count;
};

/* Ends the listing with 1 when the page is full. */
static int
page_add(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct page *page = arg;

	(void)attr; /* unlink tells a directory from the rest */
	if (page->count == PAGE_NAMES)
		return 1;
	page->names[page->count] = strndup(name.data, name.len);
	if (page->names[page->count] == NULL)
		return -ENOMEM;
	page->count++;
	return 0;
}

static void
page_clear(struct page *page)
{
	while (page->count > 0)
		free(page->names[--page->count]);
}

static int remove_all(struct files *files, const char *path);

static int
remove_page(struct files *files, const char *path, const struct page *page)
{
	char *child;
	size_t i;
	int r = 0;

	for (i = 0; i < page->count && r == 0; i++) {
		r = path_join(path, page->names[i], strlen(page->names[i]),
			      &child);
		if (r < 0)
			break;
		r = remove_all(files, child);
		free(child);
		/* Somebody else was faster. */
		if (r == -ENOENT)
			r = 0;
	}
	return r;
}

/* Removes what is in a directory, then the directory. */
static int
remove_directory(struct files *files, const char *path)
{
	struct page *page = calloc(1, sizeof(*page));
	int r, listed;

	if (page == NULL)
		return -ENOMEM;
	do {
		listed = files_list(files, path, false, page_add, page);
		r = listed < 0 ? listed : remove_page(files, path, page);
		page_clear(page);
	} while (r == 0 && listed == 1);
	free(page);
	return r < 0 ? r : files_rmdir(files, path);
}

static int
remove_all(struct files *files, const char *path)
{
	int r = files_unlink(files, path);

	return r == -EISDIR ? remove_directory(files, path) : r;
}

static int
remove_one(struct files *files, const char *name, bool recursive)
{
	char *path;
	int r, status;

	status = cmd_path(&cmd_rm, name, &path);
	if (status != CMD_OK)
		return status;
	if (path[0] == '\0') {
		free(path);
		log_error("rm: /: is the root of the store, and stays");
		return CMD_FAILED;
	}
	r = recursive ? remove_all(files, path) : files_unlink(files, path);
	free(path);
	return r < 0 ? cmd_fail(&cmd_rm, name, r) : CMD_OK;
}

static int
rm(const char *store, char **names, bool recursive)
{
	struct files *files;
	int r, status, first;

	first = cmd_open(&cmd_rm, store, false, &files);
	if (first != CMD_OK)
		return first;
	for (; *names != NULL; names++) {
		status = remove_one(files, *names, recursive);
		if (first == CMD_OK)
			first = status;
	}
	r = files_sync(files);
	if (r < 0) {
		status = cmd_fail_store(&cmd_rm, store, r);
		if (first == CMD_OK)
			first = status;
	}
	return cmd_close(&cmd_rm, store, files, first);
}

static int
rm_run(int argc, char **argv)
{
	bool recursive = false;
	int option;

	while ((option = cmd_option(&cmd_rm, argc, argv, "rR", NULL)) != -1) {
		if (option == '?')
			return CMD_USAGE;
		recursive = true;
	}
	if (argc - optind < 2)
		return cmd_usage(&cmd_rm, "needs a store and a path");
	return rm(argv[optind], argv + optind + 1, recursive);
}

const struct cmd cmd_rm = {
	.name = "rm",
	.synopsis = "[-r] STORE PATH...",
	.summary = "Remove files, or with -r directories with all in them",
	.details = "The removal is durable on success.  Each file is removed "
		   "by itself: what an\ninterrupted -r has not reached stays.",
	.run = rm_run,
};
