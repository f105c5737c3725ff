/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - what a key-value engine must offer to be measured.
 *
 * Each engine is one file that translates these calls, and settings that mean the
 * same everywhere: a write-ahead log, the same memory for blocks and for recent
 * writes, the same filter, the fast compressor.  An engine prints why a call
 * failed.  Calls return 0 or a negative errno value.
 *
 * An engine is opened after fork(), never carried across it.  Any thread may call,
 * and says engine_ops.leave when it is done; a cursor belongs to one thread. */
#ifndef TESTS_BENCH_ENGINE_H
#define TESTS_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "store/store.h"

struct engine;
struct engine_cursor;

struct engine_options {
	size_t cache_bytes;    /* uncompressed blocks */
	size_t memtable_bytes; /* recent writes, at most twice this */
	int bloom_bits;        /* per key */
	bool sync;             /* a put is durable when it returns */
};

/* Is shown the value that a get found, borrowed for the call. */
typedef void (*engine_found_fn)(void *arg, struct keyfs_slice value);

struct engine_ops {
	const char *name;

	/* Makes an engine in a directory that exists and is empty. */
	int (*open)(const char *dir, const struct engine_options *options,
		    struct engine **out);
	int (*close)(struct engine *engine);

	int (*put)(struct engine *engine, struct keyfs_slice key,
		   struct keyfs_slice value);
	int (*remove)(struct engine *engine, struct keyfs_slice key);

	/* -ENOENT: no such key. */
	int (*get)(struct engine *engine, struct keyfs_slice key,
		   engine_found_fn found, void *arg);

	/* A cursor over the state when it is made, on no key at first.  Moves
	 * return whether it stands on a key; an error shows at its end. */
	int (*cursor_new)(struct engine *engine, struct engine_cursor **out);
	int (*cursor_end)(struct engine_cursor *cursor);
	bool (*cursor_first)(struct engine_cursor *cursor);
	bool (*cursor_seek)(struct engine_cursor *cursor,
			    struct keyfs_slice key);
	bool (*cursor_next)(struct engine_cursor *cursor);
	struct keyfs_slice (*cursor_key)(struct engine_cursor *cursor);
	struct keyfs_slice (*cursor_value)(struct engine_cursor *cursor);

	/* The calling thread has finished a piece of work: what an engine holds
	 * back for this thread becomes visible.  NULL: holds nothing back. */
	int (*leave)(struct engine *engine);

	/* Returns when no background work is left. */
	int (*wait)(struct engine *engine);

	/* Merges everything into the last level.  NULL: has no such thing. */
	int (*compact)(struct engine *engine);
};

/* The engines that were there when this was built, ended by NULL. */
extern const struct engine_ops *const engine_list[];

/* The engine of a name, or NULL. */
const struct engine_ops *engine_find(const char *name);

/* Prints a line for each engine that was not there, and the package with it. */
void engine_print_missing(void);

/* Prints why `engine` failed; returns -EIO, or the code for a code. */
int engine_error(const char *engine, const char *why);
int engine_error_code(const char *engine, const char *call, int code);

#endif
