/* SPDX-License-Identifier: Apache-2.0 */
/* codes.c - what lies inside the store's files: the first byte says whether the rest
 * is a batch, an edit of the manifest or a block of a table. */
#include <config.h>

#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "store/batch.h"
#include "store/block.h"
#include "store/version_edit.h"

static void
run_batch(const uint8_t *data, size_t size)
{
	struct batch_reader reader;
	struct entry entry;
	size_t bytes = 0;

	if (size < 1)
		return;
	batch_reader_init(&reader, keyfs_bytes(data + 1, size - 1), data[0]);
	while (batch_reader_next(&reader, &entry) == 0)
		bytes += entry.key.len + entry.value.len;
	fuzz_expect(bytes <= size);
}

/* What decodes is encoded, and then decodes to the same encoding. */
static void
run_edit(const uint8_t *data, size_t size)
{
	struct table_set set;
	struct version_edit edit, again;
	uint8_t *first = NULL, *second = NULL;
	size_t first_len, second_len;
	const char *why;

	table_set_init(&set, NULL, NULL, NULL);
	version_edit_init(&edit);
	version_edit_init(&again);
	if (version_edit_decode(keyfs_bytes(data, size), &set, &edit, &why) ==
	    0) {
		fuzz_expect(version_edit_encode(&edit, &first, &first_len) ==
			    0);
		fuzz_expect(
			version_edit_decode(
				keyfs_bytes(first ? (const void *)first : "",
					    first_len),
				&set, &again, &why) == 0);
		fuzz_expect(version_edit_encode(&again, &second, &second_len) ==
			    0);
		fuzz_expect(
			first_len == second_len &&
			(first_len == 0 || !memcmp(first, second, first_len)));
	}
	free(first);
	free(second);
	version_edit_fini(&edit);
	version_edit_fini(&again);
}

static void
run_block(const uint8_t *data, size_t size)
{
	struct block_iter it = { .iter = { .valid = false } };
	size_t forward = 0, backward = 0;
	struct block block;
	struct entry entry;
	int status;

	if (block_open(data, size, &block) < 0)
		return;
	(void)block_check(&block);
	block_iter_set(&it, &block);
	for (block_iter_first(&it); it.iter.valid; block_iter_next(&it)) {
		forward++;
		fuzz_expect(it.iter.entry.key.len <= KEYFS_KEY_MAX);
		if (forward < 16)
			(void)block_get(&block, it.iter.entry.key,
					it.iter.entry.seq, &entry);
	}
	status = it.iter.status;
	block_iter_set(&it, &block);
	for (block_iter_last(&it); it.iter.valid && backward <= size;
	     block_iter_prev(&it))
		backward++;
	if (block_check(&block) == 0 && status == 0 && it.iter.status == 0)
		fuzz_expect(forward == backward);
	block_iter_seek(&it, keyfs_bytes(data, size < 8 ? size : 8), 1);
	block_iter_fini(&it);
}

void
fuzz_codes(const uint8_t *data, size_t size)
{
	static void (*const runs[])(const uint8_t *data, size_t size) = {
		run_batch,
		run_edit,
		run_block,
	};

	if (size > 0)
		runs[data[0] % 3](data + 1, size - 1);
}
