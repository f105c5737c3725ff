/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ls.c - `keyfs ls [-l] [-R] [--json] STORE [PATH]`: lists a directory.
 *
 * One line for each entry, in the order of the bytes of the names; with -R each
 * directory is followed by what is in it, named by its path below PATH. */
#include <config.h>

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/cmd.h"
#include "src/files.h"
#include "src/json.h"
#include "src/path.h"

struct ls {
	struct files *files;
	const char *base; /* clean PATH that the printed names are below */
	bool details, recursive, json;
	bool terminal; /* standard output is one: no control characters */
	size_t printed;
};

struct entry {
	char *name; /* owned */
	struct tree_attr attr;
};

struct entries {
	struct entry *entry; /* owned */
	size_t count, room;
};

static void
entries_fini(struct entries *entries)
{
	while (entries->count > 0)
		free(entries->entry[--entries->count].name);
	free(entries->entry);
}

static int
entries_add(void *arg, struct keyfs_slice name, const struct tree_attr *attr)
{
	struct entries *entries = arg;
	char *copy;

	if (entries->count == entries->room) {
		size_t room = entries->room == 0 ? 64 : 2 * entries->room;
		struct entry *entry =
			reallocarray(entries->entry, room, sizeof(*entry));

		if (entry == NULL)
			return -ENOMEM;
		entries->entry = entry;
		entries->room = room;
	}
	copy = strndup(name.data, name.len);
	if (copy == NULL)
		return -ENOMEM;
	entries->entry[entries->count++] = (struct entry){ copy, *attr };
	return 0;
}

/* A name as bytes; on a terminal without what could steer it. */
static void
print_name(const struct ls *ls, const char *name)
{
	for (; *name != '\0'; name++) {
		unsigned char c = (unsigned char)*name;

		putchar(ls->terminal && (c < 0x20 || c == 0x7f) ? '?' : c);
	}
}

static void
print_mode(uint32_t mode)
{
	static const char types[] = "?pc?d?b?-?l?s???";
	char text[11] = "?rwxrwxrwx";
	int i;

	text[0] = types[(mode & S_IFMT) >> 12];
	for (i = 0; i < 9; i++)
		if (!(mode & (0400u >> i)))
			text[i + 1] = '-';
	if (mode & S_ISUID)
		text[3] = mode & S_IXUSR ? 's' : 'S';
	if (mode & S_ISGID)
		text[6] = mode & S_IXGRP ? 's' : 'S';
	if (mode & S_ISVTX)
		text[9] = mode & S_IXOTH ? 't' : 'T';
	fputs(text, stdout);
}

static void
print_owner(uint32_t uid, uint32_t gid)
{
	const struct passwd *user = getpwuid(uid);
	const struct group *group = getgrgid(gid);

	if (user != NULL)
		printf(" %-8s", user->pw_name);
	else
		printf(" %-8" PRIu32, uid);
	if (group != NULL)
		printf(" %-8s", group->gr_name);
	else
		printf(" %-8" PRIu32, gid);
}

static void
print_details(const struct tree_attr *attr)
{
	char when[32] = "?";
	struct tm tm;

	if (localtime_r(&attr->mtime.tv_sec, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	print_mode(attr->mode);
	printf(" %3" PRIu32, attr->nlink);
	print_owner(attr->uid, attr->gid);
	printf(" %10" PRIu64 " %s ", attr->size, when);
}

static const char *
type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	default:
		return "unknown";
	}
}

static void
print_json(const struct ls *ls, const char *name, const struct tree_attr *attr,
	   const char *target)
{
	char when[32] = "";
	struct tm tm;

	if (gmtime_r(&attr->mtime.tv_sec, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	fputs(ls->printed == 0 ? "[\n{\"name\": " : ",\n{\"name\": ", stdout);
	json_string(stdout, name, strlen(name));
	printf(", \"type\": \"%s\", \"mode\": \"%04o\", \"nlink\": %" PRIu32
	       ", \"uid\": %" PRIu32 ", \"gid\": %" PRIu32
	       ", \"size\": %" PRIu64 ", \"mtime\": \"%s.%09ldZ\"",
	       type_name(attr->mode), (unsigned)attr->mode & 07777, attr->nlink,
	       attr->uid, attr->gid, attr->size, when, attr->mtime.tv_nsec);
	if (target != NULL) {
		fputs(", \"target\": ", stdout);
		json_string(stdout, target, strlen(target));
	}
	putchar('}');
}

/* `path` is the clean path of the entry, printed without the base. */
static int
print_entry(struct ls *ls, const char *path, const struct tree_attr *attr)
{
	size_t skip = strlen(ls->base);
	const char *name = path + skip + (skip > 0 && path[skip] == '/');
	char *target = NULL;
	int r;

	if ((ls->json || ls->details) && S_ISLNK(attr->mode)) {
		r = files_readlink(ls->files, path, &target);
		if (r < 0)
			return r;
	}
	if (ls->json) {
		print_json(ls, name, attr, target);
	} else {
		if (ls->details)
			print_details(attr);
		print_name(ls, name);
		if (target != NULL) {
			fputs(" -> ", stdout);
			print_name(ls, target);
		}
		putchar('\n');
	}
	free(target);
	ls->printed++;
	return 0;
}

static int
list_directory(struct ls *ls, const char *path)
{
	struct entries entries = { 0 };
	char *child;
	size_t i;
	int r;

	r = files_list(ls->files, path,
		       ls->details || ls->recursive || ls->json, entries_add,
		       &entries);
	for (i = 0; i < entries.count && r == 0; i++) {
		const struct entry *e = &entries.entry[i];

		r = path_join(path, e->name, strlen(e->name), &child);
		if (r < 0)
			break;
		r = print_entry(ls, child, &e->attr);
		if (r == 0 && ls->recursive && S_ISDIR(e->attr.mode))
			r = list_directory(ls, child);
		free(child);
		if (r == -ENOENT)
			r = 0; /* removed since it was listed */
	}
	entries_fini(&entries);
	return r;
}

/* A directory's entries; anything else itself, by its last component. */
static int
list(struct ls *ls, const char *path)
{
	struct tree_attr attr;
	size_t parent_len;
	char *parent;
	int r;

	r = files_stat(ls->files, path, &attr);
	if (r < 0)
		return r;
	if (S_ISDIR(attr.mode)) {
		ls->base = path;
		return list_directory(ls, path);
	}
	path_base(path, &parent_len);
	parent = strndup(path, parent_len);
	if (parent == NULL)
		return -ENOMEM;
	ls->base = parent;
	r = print_entry(ls, path, &attr);
	free(parent);
	return r;
}

static int
ls_store(struct ls *ls, const char *store, const char *name)
{
	char *path;
	int r, status;

	status = cmd_path(&cmd_ls, name, &path);
	if (status != CMD_OK)
		return status;
	status = cmd_open(&cmd_ls, store, true, &ls->files);
	if (status == CMD_OK) {
		r = list(ls, path);
		if (r < 0)
			status = cmd_fail(&cmd_ls, name, r);
		else if (ls->json)
			puts(ls->printed == 0 ? "[]" : "\n]");
		status = cmd_close(&cmd_ls, store, ls->files, status);
	}
	free(path);
	return status;
}

static int
ls_run(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	struct ls ls = { .terminal = isatty(STDOUT_FILENO) };
	int option;

	while ((option = cmd_option(&cmd_ls, argc, argv, "lR", options)) !=
	       -1) {
		if (option == '?')
			return CMD_USAGE;
		ls.details |= option == 'l';
		ls.recursive |= option == 'R';
		ls.json |= option == 'j';
	}
	if (argc - optind < 1 || argc - optind > 2)
		return cmd_usage(&cmd_ls, "needs a store and at most one path");
	return ls_store(&ls, argv[optind],
			argc - optind == 2 ? argv[optind + 1] : "");
}

const struct cmd cmd_ls = {
	.name = "ls",
	.synopsis = "[-l] [-R] [--json] STORE [PATH]",
	.summary = "List a directory, the root without PATH",
	.details = "  -l      mode, links, owner, group, size, time of change\n"
		   "  -R      and everything below\n"
		   "  --json  all of that for programs",
	.run = ls_run,
};
