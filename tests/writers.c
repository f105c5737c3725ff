/* SPDX-License-Identifier: Apache-2.0 */
/* writers.c - steps of a writer, done and foretold; see writers.h. */
#include <config.h>

#include "tests/writers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/must.h"
#include "tests/suite.h"

#define PAGE 4096u
#define FILE_MODE 0644
#define DIR_MODE 0755

static const char *const dirs[PLACE_DIRS] = { "", "x/", "y/" };

const char *
place_name(unsigned place)
{
	static char names[2][8];
	static unsigned turn;
	char *name = names[turn++ % 2];

	snprintf(name, sizeof(names[0]), "%s%c", dirs[place / PLACE_NAMES],
		 (char)('a' + place % PLACE_NAMES));
	return name;
}

static const char *
place_path(const char *dir, unsigned place)
{
	static char paths[2][4096];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, place_name(place));
	return path;
}

void
places_init(struct places *places, uint64_t seed)
{
	unsigned i;

	*places = (struct places){ .random = seed };
	for (i = 0; i < PLACE_COUNT; i++)
		places->at[i].data = must_alloc(PLACE_BYTES_MAX);
}

void
places_fini(struct places *places)
{
	unsigned i;

	for (i = 0; i < PLACE_COUNT; i++)
		free(places->at[i].data);
}

bool
place_is_same(const struct place *a, const struct place *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->len == b->len &&
	       memcmp(a->data, b->data, a->len) == 0;
}

/* ---- The next step ---- */

static unsigned
any(struct places *places, unsigned below)
{
	return (unsigned)(suite_random(&places->random) % below);
}

/* A file may replace a file; a directory here goes to free places only. */
static bool
may_move(const struct places *places, unsigned from, unsigned to)
{
	enum place_kind there = places->at[to].kind;

	return from != to &&
	       (there == PLACE_EMPTY ||
		(there == PLACE_FILE && places->at[from].kind == PLACE_FILE));
}

static void
choose_move(struct places *places, struct step *out)
{
	unsigned i, to = any(places, PLACE_COUNT);

	for (i = 0; i < PLACE_COUNT; i++, to = (to + 1) % PLACE_COUNT) {
		if (!may_move(places, out->place, to))
			continue;
		out->kind = STEP_RENAME;
		out->to = to;
		return;
	}
	out->kind = places->at[out->place].kind == PLACE_DIR ? STEP_RMDIR
							     : STEP_UNLINK;
}

/* Mostly some hundred bytes, now and then more than a store keeps inline. */
static size_t
any_length(struct places *places)
{
	unsigned most = any(places, 4) == 0 ? PLACE_BYTES_MAX : 2048;

	return (1 + any(places, most / PLACE_PIECE)) * PLACE_PIECE;
}

static void
choose_write(struct places *places, struct step *out)
{
	size_t len = places->at[out->place].len;

	out->kind = STEP_WRITE;
	out->offset = any(places, (unsigned)(len / PAGE) + 1) * PAGE;
	out->len = any_length(places);
	if (out->offset + out->len > PLACE_BYTES_MAX)
		out->len = PLACE_BYTES_MAX - out->offset;
	/* Nothing more fits. */
	if (out->len == 0)
		out->kind = STEP_UNLINK;
}

static void
choose_append(struct places *places, struct step *out)
{
	size_t len = places->at[out->place].len;

	out->kind = any(places, 16) == 0 ? STEP_APPEND_DURABLE : STEP_APPEND;
	out->offset = len;
	out->len = PLACE_PIECE;
	if (len + PLACE_PIECE > PLACE_BYTES_MAX)
		out->kind = STEP_UNLINK;
}

static void
choose_for_file(struct places *places, struct step *out)
{
	size_t len = places->at[out->place].len;
	unsigned r = any(places, 20);

	if (len == 0 || r < 4) {
		choose_write(places, out);
	} else if (r < 10) {
		choose_append(places, out);
	} else if (r < 14) {
		choose_move(places, out);
	} else if (r < 17) {
		out->kind = STEP_UNLINK;
	} else if (r < 18) {
		out->kind = STEP_CHMOD;
		out->mode = any(places, 2) ? 0600 : FILE_MODE;
	} else {
		out->kind = STEP_SHORTEN;
		out->len = (1 + any(places, (unsigned)len / PLACE_PIECE)) *
			   PLACE_PIECE;
	}
}

void
step_next(struct places *places, struct step *out)
{
	const struct place *place;

	*out = (struct step){ .place = any(places, PLACE_COUNT),
			      .fill = suite_random(&places->random) };
	place = &places->at[out->place];
	if (any(places, 12) == 0) {
		out->kind =
			place->kind == PLACE_FILE ? STEP_FSYNC : STEP_FSYNC_DIR;
	} else if (place->kind == PLACE_FILE) {
		choose_for_file(places, out);
	} else if (place->kind == PLACE_DIR) {
		choose_move(places, out);
	} else {
		out->kind = any(places, 8) ? STEP_CREATE : STEP_MKDIR;
	}
}

bool
step_changes(const struct step *step)
{
	return step->kind != STEP_FSYNC && step->kind != STEP_FSYNC_DIR;
}

bool
step_syncs(const struct step *step)
{
	return !step_changes(step) || step->kind == STEP_APPEND_DURABLE;
}

const char *
step_text(const struct step *step)
{
	static const char *const names[] = {
		"create",  "write", "append", "append with O_DSYNC",
		"shorten", "chmod", "rename", "unlink",
		"mkdir",   "rmdir", "fsync",  "fsync of the directory of",
	};
	static char text[128];

	snprintf(text, sizeof(text), "%s %s%s%s, %zu bytes at %zu",
		 names[step->kind], place_name(step->place),
		 step->kind == STEP_RENAME ? " to " : "",
		 step->kind == STEP_RENAME ? place_name(step->to) : "",
		 step->len, step->offset);
	return text;
}

/* ---- What it makes ---- */

static void
fill(uint64_t seed, unsigned char *out, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += sizeof(seed)) {
		uint64_t bytes = suite_random(&seed);

		memcpy(out + i, &bytes, sizeof(bytes));
	}
}

static void
place_clear(struct place *place)
{
	place->kind = PLACE_EMPTY;
	place->mode = 0;
	place->len = 0;
}

static void
place_move(struct place *from, struct place *to)
{
	unsigned char *data = to->data;

	*to = *from;
	from->data = data;
	place_clear(from);
}

static void
place_put(struct place *place, const struct step *step)
{
	/* A file that is written behind its end has zeros before. */
	if (step->offset > place->len)
		memset(place->data + place->len, 0, step->offset - place->len);
	fill(step->fill, place->data + step->offset, step->len);
	if (step->offset + step->len > place->len)
		place->len = step->offset + step->len;
}

void
step_apply(struct places *places, const struct step *step)
{
	struct place *place = &places->at[step->place];

	switch (step->kind) {
	case STEP_CREATE:
		place->kind = PLACE_FILE;
		place->mode = FILE_MODE;
		break;
	case STEP_MKDIR:
		place->kind = PLACE_DIR;
		place->mode = DIR_MODE;
		break;
	case STEP_WRITE:
	case STEP_APPEND:
	case STEP_APPEND_DURABLE:
		place_put(place, step);
		break;
	case STEP_SHORTEN:
		place->len = step->len;
		break;
	case STEP_CHMOD:
		place->mode = step->mode;
		break;
	case STEP_RENAME:
		place_move(place, &places->at[step->to]);
		break;
	case STEP_UNLINK:
	case STEP_RMDIR:
		place_clear(place);
		break;
	case STEP_FSYNC:
	case STEP_FSYNC_DIR:
		break;
	}
}

/* ---- Doing it ---- */

static int
do_write(const char *path, const struct step *step, int flags)
{
	unsigned char data[PLACE_BYTES_MAX];
	int fd = open(path, O_WRONLY | flags), r = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	fill(step->fill, data, step->len);
	n = pwrite(fd, data, step->len, (off_t)step->offset);
	if (n != (ssize_t)step->len)
		r = n < 0 ? -errno : -EIO;
	close(fd);
	return r;
}

static int
do_shorten(const char *path, size_t len)
{
	int fd = open(path, O_WRONLY), r;

	if (fd < 0)
		return -errno;
	r = ftruncate(fd, (off_t)len) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int
do_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, FILE_MODE);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int
do_fsync(const char *path)
{
	int fd = open(path, O_RDONLY), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int
do_fsync_dir(const char *dir, unsigned place)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, dirs[place / PLACE_NAMES]);
	return do_fsync(path);
}

static int
result(int r)
{
	return r < 0 ? -errno : 0;
}

int
step_do(const char *dir, const struct step *step)
{
	const char *path = place_path(dir, step->place);

	switch (step->kind) {
	case STEP_CREATE:
		return do_create(path);
	case STEP_WRITE:
	case STEP_APPEND:
		return do_write(path, step, 0);
	case STEP_APPEND_DURABLE:
		return do_write(path, step, O_DSYNC);
	case STEP_SHORTEN:
		return do_shorten(path, step->len);
	case STEP_CHMOD:
		return result(chmod(path, step->mode));
	case STEP_RENAME:
		return result(rename(path, place_path(dir, step->to)));
	case STEP_UNLINK:
		return result(unlink(path));
	case STEP_MKDIR:
		return result(mkdir(path, DIR_MODE));
	case STEP_RMDIR:
		return result(rmdir(path));
	case STEP_FSYNC:
		return do_fsync(path);
	case STEP_FSYNC_DIR:
		return do_fsync_dir(dir, step->place);
	}
	return -EINVAL;
}

/* ---- Directories as a whole ---- */

int
places_make(const char *dir)
{
	char path[4096];
	unsigned i;

	for (i = 0; i < PLACE_DIRS; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		if (mkdir(path, DIR_MODE) < 0)
			return -errno;
	}
	return 0;
}

static bool
read_failed(const char *path, const char *why)
{
	printf("%s: %s\n", path, why);
	return false;
}

static bool
place_read_file(struct place *place, const char *path, off_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = 0;

	if (fd < 0)
		return read_failed(path, strerror(errno));
	if (size <= (off_t)PLACE_BYTES_MAX)
		n = pread(fd, place->data, PLACE_BYTES_MAX, 0);
	close(fd);
	if (n != size)
		return read_failed(path, n < 0 ? strerror(errno)
					       : "not as long as its size");
	place->len = (size_t)n;
	return true;
}

static bool
place_read(struct place *place, const char *path)
{
	struct stat st;

	place_clear(place);
	if (lstat(path, &st) < 0)
		return errno == ENOENT || read_failed(path, strerror(errno));
	place->mode = st.st_mode & 07777;
	if (S_ISDIR(st.st_mode)) {
		place->kind = PLACE_DIR;
		return true;
	}
	place->kind = PLACE_FILE;
	if (!S_ISREG(st.st_mode))
		return read_failed(path, "neither a file nor a directory");
	return place_read_file(place, path, st.st_size);
}

/* Counts what a listing shows. */
static bool
count_names(const char *path, size_t *out)
{
	DIR *stream = opendir(path);

	if (!stream)
		return read_failed(path, strerror(errno));
	*out = 0;
	errno = 0;
	while (readdir(stream))
		++*out;
	closedir(stream);
	return errno == 0 || read_failed(path, strerror(errno));
}

bool
places_read(struct places *places, const char *dir)
{
	char path[4096];
	size_t want, got;
	unsigned i, j;

	for (i = 0; i < PLACE_DIRS; i++) {
		/* "." and "..", and in the first the other two. */
		want = i == 0 ? 2 + PLACE_DIRS - 1 : 2;
		for (j = i * PLACE_NAMES; j < (i + 1) * PLACE_NAMES; j++) {
			if (!place_read(&places->at[j], place_path(dir, j)))
				return false;
			want += places->at[j].kind != PLACE_EMPTY;
		}
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		if (!count_names(path, &got))
			return false;
		if (got != want)
			return read_failed(path, "names that nobody made, or "
						 "that cannot be found");
	}
	return true;
}

static int
place_write(const struct place *place, const char *path)
{
	int fd, r = 0;

	if (place->kind == PLACE_EMPTY)
		return 0;
	if (place->kind == PLACE_DIR)
		return result(mkdir(path, place->mode));
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, place->mode);
	if (fd < 0)
		return -errno;
	if (write(fd, place->data, place->len) != (ssize_t)place->len)
		r = -EIO;
	close(fd);
	return r;
}

int
places_write(const struct places *places, const char *dir)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < PLACE_COUNT && r == 0; i++)
		r = place_write(&places->at[i], place_path(dir, i));
	return r;
}
