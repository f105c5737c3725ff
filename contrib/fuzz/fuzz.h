/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz.h - what the fuzz targets are; README.md beside it says how to run them.
 *
 * A target takes any bytes.  It must not crash, hang or leak, whatever they are, and
 * aborts where an answer contradicts itself.  It keeps nothing between two calls. */
#ifndef CONTRIB_FUZZ_FUZZ_H
#define CONTRIB_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define FUZZ_TARGETS 9

struct fuzz_target {
	const char *name;
	void (*run)(const uint8_t *data, size_t size);
};

extern const struct fuzz_target fuzz_targets[FUZZ_TARGETS];

void fuzz_codes(const uint8_t *data, size_t size);
void fuzz_layout(const uint8_t *data, size_t size);
void fuzz_log(const uint8_t *data, size_t size);
void fuzz_manifest(const uint8_t *data, size_t size);
void fuzz_ops(const uint8_t *data, size_t size);
void fuzz_store(const uint8_t *data, size_t size);
void fuzz_table(const uint8_t *data, size_t size);
void fuzz_text(const uint8_t *data, size_t size);
void fuzz_tree(const uint8_t *data, size_t size);

static inline void
fuzz_expect(int ok)
{
	if (!ok)
		abort();
}

/* Takes bytes from the front of an input; zeros behind its end. */
struct fuzz_input {
	const uint8_t *at, *end;
};

static inline uint64_t
fuzz_take(struct fuzz_input *in, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && in->at < in->end; i++)
		value |= (uint64_t)*in->at++ << (8 * i);
	return value;
}

/* Takes at most `want` bytes; *out_len is how many. */
static inline const uint8_t *
fuzz_take_bytes(struct fuzz_input *in, size_t want, size_t *out_len)
{
	const uint8_t *at = in->at;

	*out_len =
		(size_t)(in->end - at) < want ? (size_t)(in->end - at) : want;
	in->at += *out_len;
	return at;
}

#endif
