/* SPDX-License-Identifier: Apache-2.0 */
/* writers.h - what a writer does to a directory of its own, and what that makes
 * of it; shared by those who write and those who compare afterwards.
 *
 * Everything follows from the seed: a writer's next step depends on it and on the
 * steps before, so whoever knows the seed can tell, without a record of the
 * steps, what the directory holds after any number of them.
 *
 *	DIR/a ... DIR/h   DIR/x/a ... DIR/x/h   DIR/y/a ... DIR/y/h
 *
 * are the places: each is empty, a file, or an empty directory.  One step is one
 * system call that changes something, which is one request to a filesystem that
 * keeps P3: contents come in pieces of 64 bytes, so nothing that is appended
 * crosses a page, and whatever else is written begins at one.  No step truncates
 * a file to nothing, as that alone is not logged at once.
 *
 * Only open files and memory; one thread. */
#ifndef TESTS_WRITERS_H
#define TESTS_WRITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PLACE_DIRS 3u
#define PLACE_NAMES 8u
#define PLACE_COUNT (PLACE_DIRS * PLACE_NAMES)
#define PLACE_PIECE 64u
#define PLACE_BYTES_MAX (64u << 10)

enum place_kind { PLACE_EMPTY, PLACE_FILE, PLACE_DIR };

struct place {
	enum place_kind kind;
	mode_t mode;
	size_t len;
	unsigned char *data; /* owned: PLACE_BYTES_MAX */
};

/* A directory as a whole. */
struct places {
	struct place at[PLACE_COUNT];
	uint64_t random; /* decides the next step */
};

enum step_kind {
	STEP_CREATE,
	STEP_WRITE,  /* at a page, inside the file or making it */
	STEP_APPEND, /* one piece */
	STEP_APPEND_DURABLE,
	STEP_SHORTEN,
	STEP_CHMOD,
	STEP_RENAME, /* over another file, or to a free place */
	STEP_UNLINK,
	STEP_MKDIR,
	STEP_RMDIR,
	STEP_FSYNC,
	STEP_FSYNC_DIR,
};

struct step {
	enum step_kind kind;
	unsigned place, to; /* `to` of a rename */
	size_t offset, len;
	mode_t mode;
	uint64_t fill; /* what the bytes are made from */
};

/* Everything empty.  Aborts without memory. */
void places_init(struct places *places, uint64_t seed);
void places_fini(struct places *places);

/* Makes the directories of the places in the directory `dir`, with nothing in
 * them.  0 or -errno. */
int places_make(const char *dir);

/* What there is in `dir`.  Prints and returns false if there is something that no
 * step makes, or that cannot be read. */
bool places_read(struct places *places, const char *dir);

/* Makes `dir`, which has just been made by places_make(), what `places` says. */
int places_write(const struct places *places, const char *dir);

bool place_is_same(const struct place *a, const struct place *b);

/* "x/a" and the like; static storage. */
const char *place_name(unsigned place);

/* The next step; the same places give the same one. */
void step_next(struct places *places, struct step *out);
/* What it makes of the places. */
void step_apply(struct places *places, const struct step *step);
/* Does it.  0 or -errno. */
int step_do(const char *dir, const struct step *step);

bool step_changes(const struct step *step);
/* Whether all that was answered before it is durable when it succeeds. */
bool step_syncs(const struct step *step);
/* For reports; static storage. */
const char *step_text(const struct step *step);

#endif
