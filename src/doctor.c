/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.c - see doctor.h.  Each check looks at one thing and tells one finding. */
#include <config.h>

#include "src/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/files.h"
#include "store/store.h"

/* What a store takes of the disk before anything is in it, and more: reserve, logs and
 * what admission keeps free. */
#define SPACE_BYTES_LEAST (UINT64_C(64) << 20)
/* Every table is an open file, of 32 MiB. */
#define FILES_LEAST 65536u
#define TABLE_MIB 32u
/* Of the whole system, for the budget of 256 MiB that a store has by default. */
#define MEMORY_MIB_LEAST 1024u

struct look {
	doctor_tell_fn tell;
	void *arg;
	const char *store; /* NULL: none */
};

static void
tell(const struct look *look, enum doctor_level level, const char *advice,
     const char *format, ...) __attribute__((format(printf, 4, 5)));

static void
tell(const struct look *look, enum doctor_level level, const char *advice,
     const char *format, ...)
{
	char what[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	look->tell(look->arg, level, what, advice);
}

/* ---- FUSE ---- */

static void
look_at_device(const struct look *look)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		tell(look, DOCTOR_OK, NULL, "/dev/fuse can be opened");
	} else if (errno == EACCES || errno == EPERM) {
		tell(look, DOCTOR_BAD,
		     "chmod 666 /dev/fuse; in a container, allow the device",
		     "/dev/fuse: %s", strerror(errno));
	} else {
		tell(look, DOCTOR_BAD,
		     "modprobe fuse; in a container, give it the device "
		     "(--device /dev/fuse)",
		     "/dev/fuse: %s", strerror(errno));
	}
}

/* Whether a bit of CapEff is set: CAP_SYS_ADMIN is 21. */
static bool
has_capability(unsigned bit)
{
	FILE *file = fopen("/proc/self/status", "re");
	uint64_t effective = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "CapEff: %" SCNx64, &effective) == 1)
			break;
	if (file)
		(void)fclose(file);
	return effective >> bit & 1;
}

/* The first of that name in PATH is set-user-id root. */
static bool
is_setuid_in_path(const char *name)
{
	const char *path = getenv("PATH");
	char *copy = strdup(path ? path : "/usr/bin:/bin"), *rest = copy, *dir;
	char file[4096];
	struct stat st;
	bool found = false;

	while (copy && !found && (dir = strsep(&rest, ":")) != NULL) {
		(void)snprintf(file, sizeof(file), "%s/%s", dir, name);
		found = stat(file, &st) == 0 && (st.st_mode & S_ISUID) &&
			st.st_uid == 0;
	}
	free(copy);
	return found;
}

static void
look_at_rights(const struct look *look)
{
	if (has_capability(21))
		tell(look, DOCTOR_OK, NULL, "this user may mount");
	else if (is_setuid_in_path("fusermount3"))
		tell(look, DOCTOR_OK, NULL,
		     "this user may mount, by fusermount3");
	else
		tell(look, DOCTOR_BAD,
		     "install fuse3, with fusermount3 set-user-id root",
		     "this user may not mount: no fusermount3 that can");
}

static bool
file_has_line(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, " \t\r\n")] = '\0';
		found = strcmp(line, word) == 0;
	}
	if (file)
		(void)fclose(file);
	return found;
}

static void
look_at_allow_other(const struct look *look)
{
	if (has_capability(21) ||
	    file_has_line("/etc/fuse.conf", "user_allow_other"))
		tell(look, DOCTOR_OK, NULL, "-o allow_other is allowed");
	else
		tell(look, DOCTOR_NOTE,
		     "put the line user_allow_other into /etc/fuse.conf",
		     "-o allow_other is not allowed to this user");
}

static void
look_at_kernel(const struct look *look)
{
	unsigned major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) < 0 ||
	    sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return;
	if (major > 5 || (major == 5 && minor >= 12))
		tell(look, DOCTOR_OK, NULL, "Linux %s", name.release);
	else
		tell(look, DOCTOR_NOTE, "use 5.12 or newer",
		     "Linux %s asks for attributes before every write",
		     name.release);
}

static void
look_at_library(const struct look *look)
{
	tell(look, DOCTOR_OK, NULL, "libfuse %s", fuse_pkgversion());
}

/* mount(8) looks for helpers there only. */
static void
look_at_helper(const struct look *look)
{
	if (access("/sbin/mount.keyfs", X_OK) == 0 ||
	    access("/usr/sbin/mount.keyfs", X_OK) == 0)
		tell(look, DOCTOR_OK, NULL,
		     "mount -t keyfs and fstab find keyfs");
	else
		tell(look, DOCTOR_NOTE,
		     "ln -s PATH-OF/keyfs /sbin/mount.keyfs; `make install` "
		     "puts it below the prefix",
		     "mount -t keyfs and fstab do not find keyfs");
}

/* ---- Limits ---- */

static void
look_at_files(const struct look *look)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= FILES_LEAST)
		tell(look, DOCTOR_OK, NULL, "enough files may be open");
	else
		tell(look, DOCTOR_NOTE,
		     "raise the hard limit: ulimit -Hn, limits.conf(5), or "
		     "LimitNOFILE= of a unit",
		     "%" PRIu64 " files may be open: a store can grow to some "
		     "%" PRIu64 " GiB",
		     (uint64_t)limit.rlim_max,
		     (uint64_t)limit.rlim_max * TABLE_MIB / 1024);
}

static void
look_at_memory(const struct look *look)
{
	long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
	uint64_t mib = pages < 0 || bytes < 0
			       ? UINT64_MAX
			       : ((uint64_t)pages * (uint64_t)bytes) >> 20;

	if (mib >= MEMORY_MIB_LEAST)
		tell(look, DOCTOR_OK, NULL, "enough memory");
	else
		tell(look, DOCTOR_NOTE, "mount with -o memory=64M, or less",
		     "%" PRIu64 " MiB of memory, and a store takes 256", mib);
}

/* ---- The store ---- */

/* Where a lock, a sync or a mapping is not what it is on a disk (statfs(2)). */
static const struct {
	uint64_t magic;
	const char *name, *why;
} places[] = {
	{ 0x6969, "NFS", "its syncs and locks are another machine's" },
	{ 0xfe534d42, "SMB", "its syncs and locks are another machine's" },
	{ 0xff534d42, "CIFS", "its syncs and locks are another machine's" },
	{ 0x01021997, "9p", "its syncs may reach nothing" },
	{ 0x65735546, "FUSE", "its syncs are as good as that filesystem" },
	{ 0x794c7630, "overlayfs", "it may be gone with its container" },
	{ 0x01021994, "tmpfs", "it is gone at the next boot" },
	{ 0x858458f6, "ramfs", "it is gone at the next boot" },
};

static void
look_at_place(const struct look *look, const struct statfs *fs)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if ((uint64_t)(uint32_t)fs->f_type == places[i].magic) {
			tell(look, DOCTOR_NOTE,
			     "put it on a disk: ext4, XFS, btrfs",
			     "%s lies on %s: %s", look->store, places[i].name,
			     places[i].why);
			return;
		}
	tell(look, DOCTOR_OK, NULL, "%s lies on a disk", look->store);
}

static void
look_at_space(const struct look *look, const struct statfs *fs)
{
	uint64_t bytes = (uint64_t)fs->f_bavail * (uint64_t)fs->f_bsize;

	if (bytes >= SPACE_BYTES_LEAST)
		tell(look, DOCTOR_OK, NULL, "%" PRIu64 " MiB are free there",
		     bytes >> 20);
	else
		tell(look, DOCTOR_BAD, "make room on that disk",
		     "%" PRIu64 " MiB are free there: writing will fail",
		     bytes >> 20);
}

/* What `keyfs stats --json` says of it, when it can be asked. */
static void
look_at_state(const struct look *look)
{
	struct files *files;
	char *text = NULL;
	int r = files_open(look->store, true, &files);

	if (r == 0) {
		r = files_stats(files, true, &text);
		(void)files_close(files);
	}
	if (r == -ENOENT)
		tell(look, DOCTOR_NOTE, "`keyfs mount` makes one",
		     "there is no store in it yet");
	else if (r < 0)
		tell(look, DOCTOR_BAD, "`keyfs check` says more",
		     "it does not open: %s", strerror(-r));
	else if (!strstr(text, "\"state\": \"ok\""))
		tell(look, DOCTOR_BAD, "`keyfs stats` says why",
		     "it refuses writes");
	else if (!strstr(text, "\"damage_ranges\": 0,"))
		tell(look, DOCTOR_BAD,
		     "`keyfs check` lists what is lost, `keyfs repair` saves "
		     "the rest",
		     "it is damaged");
	else
		tell(look, DOCTOR_OK, NULL, "it opens, and knows no damage");
	free(text);
}

static void
look_at_store(const struct look *look)
{
	struct statfs fs;

	if (statfs(look->store, &fs) < 0) {
		tell(look, DOCTOR_BAD, "`keyfs mount` makes a store", "%s: %s",
		     look->store, strerror(errno));
		return;
	}
	look_at_place(look, &fs);
	look_at_space(look, &fs);
	look_at_state(look);
}

void
doctor_look(const char *store, doctor_tell_fn tell_fn, void *arg)
{
	struct look look = { tell_fn, arg, store };

	look_at_device(&look);
	look_at_rights(&look);
	look_at_allow_other(&look);
	look_at_kernel(&look);
	look_at_library(&look);
	look_at_helper(&look);
	look_at_files(&look);
	look_at_memory(&look);
	if (store)
		look_at_store(&look);
}
