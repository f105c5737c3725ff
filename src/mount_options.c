/* SPDX-License-Identifier: Apache-2.0 */
/* mount_options.c - reads the words after -o; see mount_options.h. */
#include <config.h>

#include "src/mount_options.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a mount waits by default for the last user of its store: umount(2)
 * returns before the daemon has closed it. */
#define LOCK_WAIT_MS 10000u

/* The longest time that an option takes; in milliseconds it fits 32 bits. */
#define SECONDS_MAX 1000000.0

/* Takes the value of an option ("" if it has none); false: it is no good. */
typedef bool (*set_fn)(struct mount_options *options, const char *value);

struct option_word {
	const char *name;
	const char *values;  /* for the message; NULL: it has none */
	const char *value;   /* for the list, where it stands behind a '=' */
	const char *summary; /* for the list, with the default */
	set_fn set;
};

/* "64M" and the like, powers of 1024. */
static bool
parse_bytes(const char *value, size_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long n;
	const char *unit;
	unsigned shift = 0;
	char *end;

	if (value[0] < '0' || value[0] > '9')
		return false;
	errno = 0;
	n = strtoull(value, &end, 10);
	if (errno != 0)
		return false;
	unit = *end == '\0' ? NULL : strchr(units, *end);
	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (*end != '\0' || n > SIZE_MAX >> shift)
		return false;
	*out = (size_t)n << shift;
	return *out > 0;
}

static bool
parse_seconds(const char *value, double *out)
{
	double seconds;
	char *end;

	if ((value[0] < '0' || value[0] > '9') && value[0] != '.')
		return false;
	seconds = strtod(value, &end);
	if (*end == 's')
		end++;
	if (*end != '\0' || !(seconds <= SECONDS_MAX))
		return false;
	*out = seconds;
	return true;
}

static bool
parse_ms(const char *value, uint32_t *out)
{
	double seconds;

	if (!parse_seconds(value, &seconds))
		return false;
	*out = (uint32_t)(seconds * 1000);
	/* Up: a short time is not none. */
	if (*out < seconds * 1000)
		++*out;
	return true;
}

static bool
parse_count(const char *value, unsigned long most, uint32_t *out)
{
	unsigned long n;
	char *end;

	if (value[0] < '0' || value[0] > '9')
		return false;
	errno = 0;
	n = strtoul(value, &end, 10);
	if (errno != 0 || *end != '\0' || n < 1 || n > most)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool
set_acl(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.acls = true;
	return true;
}

static bool
set_noacl(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.acls = false;
	return true;
}

static bool
set_allow_other(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.allow_other = true;
	return true;
}

static bool
set_commit_interval(struct mount_options *options, const char *value)
{
	uint32_t ms;

	if (!parse_ms(value, &ms))
		return false;
	/* In the store 0 means the default. */
	options->store.commit_interval_ms = ms == 0 ? KEYFS_COMMIT_ALWAYS : ms;
	return true;
}

static bool
set_compression(struct mount_options *options, const char *value)
{
	if (strcmp(value, "lz4") == 0)
		options->store.compression = KEYFS_COMPRESSION_LZ4;
	else if (strcmp(value, "none") == 0)
		options->store.compression = KEYFS_COMPRESSION_NONE;
	else
		return false;
	return true;
}

static bool
set_debug(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.debug = true;
	return true;
}

static bool
set_lock_wait(struct mount_options *options, const char *value)
{
	return parse_ms(value, &options->store.lock_wait_ms);
}

static bool
set_memory(struct mount_options *options, const char *value)
{
	return parse_bytes(value, &options->store.memory_bytes);
}

static bool
set_nonempty(struct mount_options *options, const char *value)
{
	(void)value;
	options->nonempty = true;
	return true;
}

static bool
set_noxattr(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.no_xattr = true;
	return true;
}

static bool
set_remount(struct mount_options *options, const char *value)
{
	(void)value;
	options->remount = true;
	return true;
}

static bool
set_ro(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.read_only = true;
	options->access_said = true;
	return true;
}

static bool
set_rw(struct mount_options *options, const char *value)
{
	(void)value;
	options->session.read_only = false;
	options->access_said = true;
	return true;
}

static bool
set_scrub(struct mount_options *options, const char *value)
{
	if (strcmp(value, "off") == 0) {
		options->store.scrub_bytes_per_second = KEYFS_SCRUB_OFF;
		return true;
	}
	return parse_bytes(value, &options->store.scrub_bytes_per_second);
}

static bool
set_scrub_interval(struct mount_options *options, const char *value)
{
	double seconds;

	if (!parse_seconds(value, &seconds) || seconds < 1)
		return false;
	options->store.scrub_interval_s = (uint32_t)seconds;
	return true;
}

static bool
set_stop_timeout(struct mount_options *options, const char *value)
{
	/* For the session 0 is the default. */
	return parse_ms(value, &options->session.stop_timeout_ms) &&
	       options->session.stop_timeout_ms > 0;
}

static bool
set_threads(struct mount_options *options, const char *value)
{
	return parse_count(value, 64, &options->session.threads);
}

static bool
set_timeout(struct mount_options *options, const char *value)
{
	return parse_seconds(value, &options->session.timeout_s) &&
	       options->session.timeout_s > 0;
}

static const struct option_word own_words[] = {
	{ "acl", NULL, "", "POSIX access control lists", set_acl },
	{ "allow_other", NULL, "", "for other users too", set_allow_other },
	{ "commit_interval", "seconds, 0 for every operation", "S",
	  "make writes durable after S seconds (5); 0: each",
	  set_commit_interval },
	{ "compression", "lz4 or none", "lz4|none",
	  "how tables are written (lz4)", set_compression },
	{ "debug", NULL, "", "print every request, in the foreground",
	  set_debug },
	{ "lock_wait", "seconds", "S",
	  "wait S seconds for another to close the store (10)", set_lock_wait },
	{ "memory", "a size such as 256M", "SIZE",
	  "the budget of the store (256M)", set_memory },
	{ "noacl", NULL, "", "none of them, the default", set_noacl },
	{ "nonempty", NULL, "", "hide the files in MOUNTPOINT", set_nonempty },
	{ "noxattr", NULL, "", "no extended attributes", set_noxattr },
	{ "remount", NULL, "", "change the kernel's options of what is mounted",
	  set_remount },
	{ "ro", NULL, "", "change nothing", set_ro },
	{ "rw", NULL, "", "for writing too, the default", set_rw },
	{ "scrub", "bytes a second such as 1M, or off", "SIZE|off",
	  "bytes checked in a second, in the background (1M)", set_scrub },
	{ "scrub_interval", "seconds, 1 or more", "S",
	  "from one pass over the store to the next (a week)",
	  set_scrub_interval },
	{ "stop_timeout", "seconds, more than 0", "S",
	  "serve a busy mount S seconds after a signal (30)",
	  set_stop_timeout },
	{ "threads", "a number from 1 to 64", "N",
	  "answer requests (one a processor, at most 8)", set_threads },
	{ "timeout", "seconds, more than 0", "S",
	  "the kernel keeps names and attributes (days)", set_timeout },
};

static const char *const kernel_words[] = {
	"async", "atime",  "dev",    "dirsync", "exec", "noatime",
	"nodev", "noexec", "nosuid", "suid",    "sync",
};

/* diratime and nodiratime: libfuse 3.14 refuses them, and reading changes no time
 * with or without. */
static const char *const dropped_words[] = {
	"_netdev",  "auto",       "default_permissions",
	"defaults", "diratime",   "group",
	"noauto",   "nodiratime", "nofail",
	"nouser",   "owner",      "relatime",
	"user",     "users",
};

/* What libfuse tells the kernel: a remount brings it back from the table of mounts. */
static const char *const dropped_prefixes[] = {
	"X-",        "blksize=",  "comment=", "fsname=",  "group_id=",
	"max_read=", "rootmode=", "subtype=", "user_id=", "x-",
};

static bool
in_list(const char *const *list, size_t count, const char *word)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

#define IN_LIST(list, word)                                                    \
	in_list(list, sizeof(list) / sizeof((list)[0]), word)

static bool
is_dropped(const char *word)
{
	size_t i;

	for (i = 0; i < sizeof(dropped_prefixes) / sizeof(*dropped_prefixes);
	     i++)
		if (strncmp(word, dropped_prefixes[i],
			    strlen(dropped_prefixes[i])) == 0)
			return true;
	return word[0] == '\0' || IN_LIST(dropped_words, word);
}

/* Adds a word to what the kernel gets, once. */
static int
kernel_add(struct mount_options *options, const char *word, char *why,
	   size_t why_size)
{
	size_t len = strlen(options->kernel);
	int n = snprintf(options->kernel + len, sizeof(options->kernel) - len,
			 "%s%s", len == 0 ? "" : ",", word);

	if ((size_t)n < sizeof(options->kernel) - len)
		return 0;
	snprintf(why, why_size, "too many options for the kernel, at \"%s\"",
		 word);
	return -EINVAL;
}

static int
own_set(struct mount_options *options, const struct option_word *known,
	const char *value, char *why, size_t why_size)
{
	if (known->values == NULL && value != NULL) {
		snprintf(why, why_size, "option %s takes no value",
			 known->name);
		return -EINVAL;
	}
	if (known->values != NULL && value == NULL) {
		snprintf(why, why_size, "option %s needs %s", known->name,
			 known->values);
		return -EINVAL;
	}
	if (!known->set(options, value == NULL ? "" : value)) {
		snprintf(why, why_size, "option %s is \"%s\"; it needs %s",
			 known->name, value, known->values);
		return -EINVAL;
	}
	return 0;
}

/* One word, "name" or "name=value", cut at the '='. */
static int
parse_word(struct mount_options *options, char *word, char *why,
	   size_t why_size)
{
	char *value;
	size_t i;

	if (is_dropped(word))
		return 0;
	if (IN_LIST(kernel_words, word))
		return kernel_add(options, word, why, why_size);
	value = strchr(word, '=');
	if (value != NULL)
		*value++ = '\0';
	for (i = 0; i < sizeof(own_words) / sizeof(own_words[0]); i++)
		if (strcmp(own_words[i].name, word) == 0)
			return own_set(options, &own_words[i], value, why,
				       why_size);
	snprintf(why, why_size, "no option \"%s\"; mount.keyfs(8) lists them",
		 word);
	return -EINVAL;
}

void
mount_options_init(struct mount_options *options)
{
	*options = (struct mount_options){
		.store = { .size = sizeof(options->store),
			   .lock_wait_ms = LOCK_WAIT_MS },
	};
}

int
mount_options_parse(struct mount_options *options, const char *list, char *why,
		    size_t why_size)
{
	char *copy = strdup(list), *rest = copy, *word;
	int r = 0;

	if (copy == NULL) {
		snprintf(why, why_size, "no memory");
		return -ENOMEM;
	}
	while (r == 0 && (word = strsep(&rest, ",")) != NULL)
		r = parse_word(options, word, why, why_size);
	free(copy);
	if (r == 0 && options->session.acls && options->session.no_xattr) {
		snprintf(why, why_size,
			 "acl and noxattr: access control lists "
			 "are extended attributes");
		r = -EINVAL;
	}
	return r;
}

void
mount_options_print(void)
{
	char form[32];
	size_t i;

	for (i = 0; i < sizeof(own_words) / sizeof(own_words[0]); i++) {
		const struct option_word *own = &own_words[i];

		snprintf(form, sizeof(form), "%s%s%s", own->name,
			 own->values == NULL ? "" : "=", own->value);
		printf("  %-22s %s\n", form, own->summary);
	}
	fputs("\nOf the kernel:", stdout);
	for (i = 0; i < sizeof(kernel_words) / sizeof(kernel_words[0]); i++)
		printf(" %s", kernel_words[i]);
	putchar('\n');
}
