/* SPDX-License-Identifier: Apache-2.0 */
/* cmd.c - what the commands share: options, messages, exit statuses, opening a
 * store; see cmd.h. */
#include <config.h>

#include "src/cmd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/files.h"
#include "src/log.h"
#include "src/path.h"

int
cmd_option(const struct cmd *cmd, int argc, char **argv,
	   const char *short_options, const struct option *long_options)
{
	int option;

	opterr = 0; /* getopt(3) would name argv[0], the command, only */
	option = getopt_long(argc, argv, short_options, long_options, NULL);
	if (option != '?')
		return option;
	if (optopt != 0 && strchr(short_options, optopt) != NULL)
		cmd_usage(cmd, "option -%c needs an argument", optopt);
	else if (optopt != 0)
		cmd_usage(cmd, "no option -%c", optopt);
	else
		cmd_usage(cmd, "no option %s", argv[optind - 1]);
	return '?';
}

int
cmd_option_json(const struct cmd *cmd, int argc, char **argv, bool *out)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int option;

	*out = false;
	while ((option = cmd_option(cmd, argc, argv, "", options)) != -1) {
		if (option == '?')
			return CMD_USAGE;
		*out = true;
	}
	return CMD_OK;
}

int
cmd_usage(const struct cmd *cmd, const char *format, ...)
{
	char reason[512];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_error("%s: %s\nUsage: keyfs %s %s", cmd->name, reason, cmd->name,
		  cmd->synopsis);
	return CMD_USAGE;
}

static int
status_of(int r)
{
	switch (-r) {
	case 0:
		return CMD_OK;
	case ENOENT:
	case ENOTDIR:
		return CMD_NOT_FOUND;
	case EUCLEAN:
		return CMD_DAMAGED;
	case EPROTONOSUPPORT:
		return CMD_NEWER;
	case ENOSPC:
		return CMD_FULL;
	default:
		return CMD_FAILED;
	}
}

int
cmd_fail(const struct cmd *cmd, const char *path, int r)
{
	const char *reason;

	switch (-r) {
	case EISDIR:
		reason = "is a directory";
		break;
	case ELOOP:
		reason = "is a symbolic link, and those are not followed; name "
			 "what it points to";
		break;
	case EXDEV:
		reason = "another filesystem is mounted there";
		break;
	case EINVAL:
		reason = "is not a regular file";
		break;
	case EUCLEAN:
		reason = "its data is damaged; `keyfs check` lists the damage";
		break;
	case ENOSPC:
		reason = "no space left; free some on the disk, or remove "
			 "files in the store";
		break;
	default:
		reason = strerror(-r);
	}
	log_error("%s: %s: %s", cmd->name, path[0] == '\0' ? "/" : path,
		  reason);
	return status_of(r);
}

/* The name of something in a store's directory that keyfs did not put there as it
 * is: not a file, nor the socket of a mount. */
static bool
find_intruder(const char *store, char *out, size_t size)
{
	DIR *stream = opendir(store);
	struct dirent *entry;
	struct stat st;
	bool found = false;

	while (stream != NULL && !found && (entry = readdir(stream)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0 ||
		    fstatat(dirfd(stream), entry->d_name, &st,
			    AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		found = !S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode);
		snprintf(out, size, "%s", entry->d_name);
	}
	if (stream != NULL)
		closedir(stream);
	return found;
}

/* Why a store was refused.  The door to the disk has decided; this looks again,
 * to say it. */
static void
explain_refusal(const char *store, int r, char *why, size_t size)
{
	size_t len = strlen(store);
	char *plain, name[256];
	struct stat st = { 0 };

	while (len > 1 && store[len - 1] == '/')
		len--;
	plain = strndup(store, len);
	if (plain == NULL || lstat(plain, &st) < 0)
		snprintf(why, size, "%s", strerror(-r));
	else if (S_ISLNK(st.st_mode))
		snprintf(why, size,
			 "it is a symbolic link; name the directory itself");
	else if (st.st_uid != geteuid())
		snprintf(why, size,
			 "it belongs to the user %u; only that user opens it",
			 (unsigned)st.st_uid);
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		snprintf(why, size,
			 "its group or others may write to it (mode %04o); if "
			 "you trust what is in it, `chmod 700 %s`",
			 (unsigned)st.st_mode & 07777, store);
	else if (find_intruder(plain, name, sizeof(name)))
		snprintf(why, size,
			 "%s in it is not a plain file, so keyfs did not make "
			 "it; move it away",
			 name);
	else
		snprintf(why, size, "%s", strerror(-r));
	free(plain);
}

int
cmd_fail_store(const struct cmd *cmd, const char *store, int r)
{
	int status = status_of(r);
	const char *reason;
	char why[4096];

	switch (-r) {
	case ENOENT:
		reason = "there is no store; `keyfs mount` makes one";
		break;
	case ENOTDIR:
		reason = "a store is a directory, and this is none";
		break;
	case EBUSY:
		reason = "another process has it open; try again when that is "
			 "done";
		status = CMD_BUSY;
		break;
	case EXDEV:
		reason = "it is mounted, but not where this process can see "
			 "it (another mount namespace, or detached); work "
			 "there, or unmount it";
		status = CMD_BUSY;
		break;
	case EPERM:
	case ELOOP:
	case EISDIR:
		explain_refusal(store, r, why, sizeof(why));
		reason = why;
		break;
	case ENOTEMPTY:
		reason = "the directory holds other things and no store; name "
			 "a new or an empty one";
		break;
	case EUCLEAN:
		reason = "the store is damaged, and nothing was changed; "
			 "`keyfs check` lists the damage, `keyfs repair` saves "
			 "the rest";
		break;
	case EPROTONOSUPPORT:
		reason = "made by a newer version of keyfs; use that";
		break;
	case ENOSPC:
		reason = "no space left on its disk";
		break;
	default:
		reason = strerror(-r);
	}
	log_error("%s: %s: %s", cmd->name, store, reason);
	return status;
}

int
cmd_path(const struct cmd *cmd, const char *given, char **out)
{
	int r = path_clean(given, out);

	if (r != -EINVAL)
		return r < 0 ? cmd_fail(cmd, given, r) : CMD_OK;
	log_error("%s: %s: \"..\" would lead out of the store; name the path "
		  "from its root",
		  cmd->name, given);
	return CMD_FAILED;
}

int
cmd_open(const struct cmd *cmd, const char *store, bool read_only,
	 struct files **out)
{
	int r = files_open(store, read_only, out);

	return r < 0 ? cmd_fail_store(cmd, store, r) : CMD_OK;
}

int
cmd_close(const struct cmd *cmd, const char *store, struct files *files,
	  int status)
{
	int r = files_close(files);

	if (r == 0)
		return status;
	r = cmd_fail_store(cmd, store, r);
	return status == CMD_OK ? r : status;
}
