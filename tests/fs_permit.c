/* SPDX-License-Identifier: Apache-2.0 */
/* fs_permit.c - who may do what, in two directories, one of them on the mount and the
 * other on a filesystem that is trusted.
 *
 *	fs_permit DIRECTORY REFERENCE [MODES]
 *
 * A matrix: the owner, another user and root; whose group is the file's, or is so
 * among others, or is not; modes of all 4,096 (MODES of them, spread); operations on
 * files and directories that have the mode (fs_permit_ops.c).  Result and errno must
 * agree, and so must mode, owner, group, size, links and times after it, of the object
 * and of what was made in it.  Run as root.  The seed says with which mode it begins.
 *
 * A process for each user does what root, here, has prepared for one mode, on both
 * sides; then root looks and prepares the next. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/die.h"
#include "tests/fs_permit.h"
#include "tests/suite.h"

#define SIDES 2
#define OPS_MAX 64
#define TOLD_MAX 20u /* differences that are told one by one */

static const struct user {
	const char *name;
	uid_t uid;
	gid_t gid, other_gid; /* 0: no other */
} users[] = {
	{ "owner, of the group", PERMIT_OWNER, PERMIT_GROUP, 0 },
	{ "owner, also of the group", PERMIT_OWNER, PERMIT_NO_GROUP,
	  PERMIT_GROUP },
	{ "owner, not of the group", PERMIT_OWNER, PERMIT_NO_GROUP, 0 },
	{ "other user, of the group", PERMIT_OTHER, PERMIT_GROUP, 0 },
	{ "other user, also of the group", PERMIT_OTHER, PERMIT_NO_GROUP,
	  PERMIT_GROUP },
	{ "other user, not of the group", PERMIT_OTHER, PERMIT_NO_GROUP, 0 },
	{ "superuser, of the group", 0, PERMIT_GROUP, 0 },
	{ "superuser, also of the group", 0, PERMIT_NO_GROUP, PERMIT_GROUP },
	{ "superuser, not of the group", 0, PERMIT_NO_GROUP, 0 },
};

/* What root asks of the process of a user, and what that answers; in memory that both
 * have. */
struct turn {
	unsigned mode;
	int result[OPS_MAX][SIDES];
};

static int sides[SIDES]; /* directories */
static struct turn *turn;
static unsigned long differences;

static void
enter(int side)
{
	if (fchdir(sides[side]) != 0)
		die("fchdir: %s", strerror(errno));
}

static const char *
object_of(size_t op)
{
	static char name[24];

	snprintf(name, sizeof(name), "%zu", op);
	return name;
}

/* ---- The process of a user ---- */

static void
become(const struct user *user)
{
	if (setgroups(user->other_gid ? 1 : 0, &user->other_gid) != 0 ||
	    setresgid(user->gid, user->gid, user->gid) != 0 ||
	    setresuid(user->uid, user->uid, user->uid) != 0)
		die("%s: %s", user->name, strerror(errno));
}

static void
run_all(void)
{
	for (int side = 0; side < SIDES; side++) {
		enter(side);
		for (size_t op = 0; op < permit_op_count; op++)
			turn->result[op][side] =
				permit_ops[op].run(object_of(op), turn->mode);
	}
}

/* A turn for each byte that comes, until no more do. */
static void __attribute__((noreturn))
serve(const struct user *user, int from, int to)
{
	char byte;

	become(user);
	while (read(from, &byte, 1) == 1) {
		run_all();
		if (write(to, &byte, 1) != 1)
			break;
	}
	_exit(EXIT_SUCCESS);
}

struct server {
	pid_t pid;
	int to, from;
};

static void
server_start(struct server *s, const struct user *user)
{
	int there[2], back[2];

	if (pipe(there) != 0 || pipe(back) != 0)
		die("pipe: %s", strerror(errno));
	s->pid = fork();
	if (s->pid < 0)
		die("fork: %s", strerror(errno));
	if (s->pid == 0) {
		close(there[1]);
		close(back[0]);
		serve(user, there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	s->to = there[1];
	s->from = back[0];
}

static void
server_turn(const struct server *s)
{
	char byte = 0;

	if (write(s->to, &byte, 1) != 1 || read(s->from, &byte, 1) != 1)
		die("the process of a user has ended");
}

static void
server_stop(const struct server *s)
{
	close(s->to);
	close(s->from);
	waitpid(s->pid, NULL, 0);
}

/* ---- Root prepares ---- */

static void
make_object(size_t op)
{
	const char *name = object_of(op);
	bool made = permit_ops[op].on_directory
			    ? mkdir(name, 0755) == 0
			    : mknod(name, S_IFREG | 0644, 0) == 0;

	if (!made)
		die("%s: %s", name, strerror(errno));
}

static void
make_objects(void)
{
	if (mkdir(PERMIT_OUT, 0) != 0 || chmod(PERMIT_OUT, 0777) != 0)
		die("%s: %s", PERMIT_OUT, strerror(errno));
	for (size_t op = 0; op < permit_op_count; op++)
		make_object(op);
}

static void
fill(const char *name)
{
	int fd = open(name, O_WRONLY | O_TRUNC);

	if (fd < 0 || write(fd, PERMIT_TEXT, PERMIT_TEXT_LEN) < 0)
		die("%s: %s", name, strerror(errno));
	close(fd);
}

/* Whatever the turn before has left. */
static void
reset_object(size_t op)
{
	const char *name = object_of(op);
	struct stat st;
	char out[64];

	if (permit_ops[op].prepare)
		permit_ops[op].prepare(name);
	if (lstat(name, &st) != 0)
		die("%s: %s", name, strerror(errno));
	snprintf(out, sizeof(out), "%s/%s", PERMIT_OUT, name);
	if (S_ISREG(st.st_mode) && st.st_nlink > 1 && unlink(out) != 0)
		die("%s: %s", out, strerror(errno));
	if (S_ISREG(st.st_mode) && st.st_size != PERMIT_TEXT_LEN)
		fill(name);
	if ((st.st_uid != PERMIT_OWNER || st.st_gid != PERMIT_GROUP) &&
	    chown(name, PERMIT_OWNER, PERMIT_GROUP) != 0)
		die("%s: %s", name, strerror(errno));
	/* Last: all of that may take set-id bits. */
	if (chmod(name, turn->mode) != 0)
		die("%s: %s", name, strerror(errno));
}

static void
reset_all(void)
{
	for (int side = 0; side < SIDES; side++) {
		enter(side);
		for (size_t op = 0; op < permit_op_count; op++)
			reset_object(op);
	}
}

/* ---- Root compares ---- */

/* What is seen of an object; all zeros: it is not there. */
struct sight {
	unsigned mode, uid, gid;
	unsigned long nlink, size;
	unsigned long mtime, mtime_ns; /* 0: of now */
};

static void
look(int side, const char *path, struct sight *out)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (fstatat(sides[side], path, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return;
	out->mode = st.st_mode;
	out->uid = st.st_uid;
	out->gid = st.st_gid;
	out->nlink = st.st_nlink;
	if (S_ISREG(st.st_mode))
		out->size = (unsigned long)st.st_size;
	/* Times that were set are old; others are of now and not the same. */
	if (st.st_mtime < 1000000) {
		out->mtime = (unsigned long)st.st_mtime;
		out->mtime_ns = (unsigned long)st.st_mtim.tv_nsec;
	}
}

static void
tell_sight(const char *what, const struct sight *s)
{
	printf("  %s: mode %o, owner %u:%u, links %lu, size %lu, mtime "
	       "%lu.%lu\n",
	       what, s->mode, s->uid, s->gid, s->nlink, s->size, s->mtime,
	       s->mtime_ns);
}

static void
tell(const struct user *user, size_t op, const char *path,
     const struct sight seen[SIDES])
{
	const int *result = turn->result[op];

	if (++differences > TOLD_MAX)
		return;
	printf("%s, a %s of mode %04o, by the %s: result %d (%s), "
	       "reference %d (%s); after it %s has\n",
	       permit_ops[op].name,
	       permit_ops[op].on_directory ? "directory" : "file", turn->mode,
	       user->name, result[0], strerror(result[0]), result[1],
	       strerror(result[1]), path);
	tell_sight("here", &seen[0]);
	tell_sight("reference", &seen[1]);
}

/* False: it differs, and that has been told. */
static bool
compare_path(const struct user *user, size_t op, const char *path)
{
	const int *result = turn->result[op];
	struct sight seen[SIDES];

	for (int side = 0; side < SIDES; side++)
		look(side, path, &seen[side]);
	if (result[0] == result[1] &&
	    memcmp(&seen[0], &seen[1], sizeof(seen[0])) == 0)
		return true;
	tell(user, op, path, seen);
	return false;
}

static void
compare_all(const struct user *user)
{
	char made[64];

	for (size_t op = 0; op < permit_op_count; op++) {
		snprintf(made, sizeof(made), "%zu/%s", op, PERMIT_MADE);
		if (compare_path(user, op, object_of(op)) &&
		    permit_ops[op].makes)
			compare_path(user, op, made);
	}
}

static void
try_user(const struct user *user, unsigned first, unsigned count)
{
	struct server server;

	server_start(&server, user);
	for (unsigned i = 0; i < count; i++) {
		/* Odd, so that all modes come, and next to each other they have
		 * little in common. */
		turn->mode = (first + i * 1597) & 07777;
		reset_all();
		server_turn(&server);
		compare_all(user);
	}
	server_stop(&server);
}

static void
begin(char *const *directories)
{
	turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (turn == MAP_FAILED || permit_op_count > OPS_MAX)
		die("no memory");
	for (int side = 0; side < SIDES; side++) {
		sides[side] = open(directories[side], O_RDONLY | O_DIRECTORY);
		if (sides[side] < 0)
			die("%s: %s", directories[side], strerror(errno));
		enter(side);
		make_objects();
	}
}

int
main(int argc, char **argv)
{
	const size_t user_count = sizeof(users) / sizeof(users[0]);
	unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 010000, first;

	if (argc < 3) {
		fprintf(stderr, "usage: %s DIRECTORY REFERENCE [MODES]\n",
			argv[0]);
		return 2;
	}
	umask(0);
	first = (unsigned)suite_seed();
	begin(argv + 1);
	for (size_t i = 0; i < user_count; i++)
		try_user(&users[i], first, count);
	printf("%lu differences\n", differences);
	suite_cases((uint64_t)count * permit_op_count * user_count);
	return differences == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
