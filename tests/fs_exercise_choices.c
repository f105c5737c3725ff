/* SPDX-License-Identifier: Apache-2.0 */
/* fs_exercise_choices.c - what a step chooses from; see fs_exercise.h. */
#include <config.h>

#include <string.h>

#include "fs/layout.h"
#include "tests/fs_exercise.h"
#include "tests/suite.h"

#define PAGE UINT64_C(4096)

/* ---- What the files look like in a phase ---- */

static const struct shape {
	const char *name;
	unsigned chance; /* of 20: the last two take the most time */
	uint64_t size_max, len_max;
	bool far; /* in few places that lie far apart */
} shapes[] = {
	{ "inline", 6, 3 * LAYOUT_INLINE, 1500, false },
	{ "pages", 6, 10 * PAGE, 3 * PAGE, false },
	{ "chunks", 6, 16 * LAYOUT_CHUNK, 5 * LAYOUT_CHUNK, false },
	{ "long", 1, 200 * LAYOUT_CHUNK, EXERCISE_LEN_MAX, false },
	{ "far", 1, SPARSE_MAX, 16 * LAYOUT_CHUNK, true },
};

static uint64_t seed;
static uint64_t state; /* of the random numbers of this step */
static const struct shape *shape;
static uint64_t last_end; /* where the step before ended; 0 in a new phase */

uint32_t
any(uint32_t below)
{
	return (uint32_t)(suite_random(&state) % below);
}

static void
random_begin(uint64_t number)
{
	uint64_t mixed = seed;

	mixed = suite_random(&mixed) ^ number;
	state = suite_random(&mixed);
}

void
choices_seed(uint64_t from)
{
	seed = from;
}

void
choices_phase(uint64_t phase)
{
	unsigned chosen;

	random_begin(UINT64_MAX - phase);
	chosen = any(20);
	for (shape = shapes; chosen >= shape->chance; shape++)
		chosen -= shape->chance;
	last_end = 0;
}

void
choices_step(uint64_t step)
{
	random_begin(step);
}

const char *
shape_name(void)
{
	return shape->name;
}

uint64_t
size_limit(void)
{
	return shape->size_max;
}

/* A few bytes before or behind, or none. */
static uint64_t
near(uint64_t at)
{
	uint64_t there = at + any(7);

	return any(2) || there < 3 ? at : there - 3;
}

static uint64_t
pick_unclipped(const struct exercised *f)
{
	static const uint64_t places[] = { 0, UINT64_C(1) << 31,
					   UINT64_C(1) << 32,
					   SPARSE_MAX - 32 * LAYOUT_CHUNK };
	uint64_t base = shape->far ? places[any(4)] : 0;
	uint64_t room = shape->far ? 32 * LAYOUT_CHUNK : shape->size_max;

	switch (any(6)) {
	case 0:
		return near(f->want.size);
	case 1:
		return near(last_end);
	case 2:
		return near(base + any((uint32_t)(room / PAGE + 1)) * PAGE);
	case 3:
		return near(base + any((uint32_t)(room / LAYOUT_CHUNK + 1)) *
					   LAYOUT_CHUNK);
	default:
		return base + any((uint32_t)room);
	}
}

uint64_t
pick_offset(const struct exercised *f)
{
	uint64_t offset = pick_unclipped(f);

	return offset < shape->size_max ? offset : any((uint32_t)LAYOUT_INLINE);
}

static uint64_t
pick_len_unclipped(void)
{
	switch (any(6)) {
	case 0:
		return 1 + any(16);
	case 1:
		return near(PAGE << any(3));
	case 2:
		return near(LAYOUT_CHUNK * (1 + any(3)));
	case 3:
		return near(LAYOUT_INLINE);
	default:
		return 1 + any((uint32_t)(shape->len_max >> any(8)));
	}
}

size_t
pick_len(uint64_t offset)
{
	uint64_t len = pick_len_unclipped();

	if (len > shape->len_max)
		len = 1 + any((uint32_t)shape->len_max);
	if (len > shape->size_max - offset)
		len = shape->size_max - offset;
	last_end = offset + len;
	return (size_t)len;
}

const uint8_t *
pick_data(size_t len)
{
	static uint64_t data[EXERCISE_LEN_MAX / sizeof(uint64_t) + 1];
	uint64_t word = suite_random(&state);
	size_t i;

	/* Zeros, bytes that pack well, and such that do not. */
	switch (any(8)) {
	case 0:
		memset(data, 0, len);
		break;
	case 1:
		memset(data, (int)(word & 0xff), len);
		break;
	default:
		for (i = 0; i * sizeof(word) < len; i++)
			data[i] = word = word * UINT64_C(6364136223846793005) +
					 UINT64_C(1442695040888963407);
	}
	return (const uint8_t *)data;
}
