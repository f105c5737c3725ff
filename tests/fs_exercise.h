/* SPDX-License-Identifier: Apache-2.0 */
/* fs_exercise.h - what the parts of fs_exercise share: the files, the choices of a
 * step, and how a difference is told. */
#ifndef TESTS_FS_EXERCISE_H
#define TESTS_FS_EXERCISE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/sparse.h"

#define EXERCISE_FILES 2
#define EXERCISE_LEN_MAX (UINT64_C(5) << 18) /* what one call moves at most */

/* Part of a file that stays mapped over many steps. */
struct window {
	uint8_t *at; /* NULL: nothing is mapped */
	uint64_t from;
	size_t len;
};

struct exercised {
	int number;
	char path[4096];
	int fd;        /* to read and write */
	int append_fd; /* O_APPEND */
	int direct_fd; /* O_DIRECT; -1: the filesystem has none */
	struct window kept;
	struct sparse want;
};

extern struct exercised exercised[EXERCISE_FILES];

/* Opens the file, with O_CREAT and `flags`; exercised_close() leaves the window. */
void exercised_open(struct exercised *f, int flags);
void exercised_close(struct exercised *f);
/* What offsets and lengths of direct calls must be multiples of: 1, or what an ext4
 * asks for. */
size_t direct_unit(void);

/* ---- Choices: each depends on the seed, the number of the step and the sizes of
 * the files, and on nothing else, so that a failure repeats ---- */

/* First the seed; then at the beginning of each phase, and of each step. */
void choices_seed(uint64_t seed);
void choices_phase(uint64_t phase);
void choices_step(uint64_t step);

uint32_t any(uint32_t below);
/* Often at the edge of a page, a chunk or the file, or next to the last one. */
uint64_t pick_offset(const struct exercised *f);
/* Such that offset + length does not pass what files may have in this step; never 0. */
size_t pick_len(uint64_t offset);
/* `len` bytes to write, the same in each run.  Borrowed until the next call. */
const uint8_t *pick_data(size_t len);
/* Of this phase: the size that files may have, and what they are called for it. */
uint64_t size_limit(void);
const char *shape_name(void);

/* ---- Telling ---- */

/* What the step does, for the list of the last ones. */
void __attribute__((format(printf, 2, 3)))
note(const struct exercised *f, const char *format, ...);

/* Tells what is wrong, the seed and the last steps, and ends the program. */
void __attribute__((noreturn, format(printf, 1, 2)))
wrong(const char *format, ...);

/* Ends the program if `got`, read at `from`, is not what the file must hold.  Behind
 * its end that is zeros. */
void expect_bytes(const struct exercised *f, const uint8_t *got, uint64_t from,
		  size_t len);

/* ---- Steps: fs_exercise_ops.c, fs_exercise_maps.c ---- */

typedef void step_fn(struct exercised *f);

step_fn step_pwrite, step_append, step_pread, step_truncate, step_cut_and_grow,
	step_fallocate, step_copy, step_sync, step_reopen, step_seek, step_stat,
	step_drop_cache, step_direct_write, step_direct_read;
step_fn step_map_write, step_map_read, step_map_private, step_map_keep;

/* Closes the window, if there is one. */
void window_close(struct window *w);
/* The dirty pages of the window go to the filesystem; nothing waits for a disk. */
void exercised_write_back(struct exercised *f);

#endif
