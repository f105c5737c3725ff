/* SPDX-License-Identifier: Apache-2.0 */
/* layout.c - what the tree stores: the first byte says which value, the rest is it.
 * What decodes encodes to the same bytes again. */
#include <config.h>

#include <string.h>

#include "contrib/fuzz/fuzz.h"
#include "fs/layout.h"

static void
expect_same(struct keyfs_slice value, const uint8_t *again, size_t len)
{
	fuzz_expect(len == value.len && !memcmp(again, value.data, len));
}

static void
run_attr(struct keyfs_slice value)
{
	struct layout_attr attr;
	uint8_t *again;

	if (layout_attr_decode(value, LAYOUT_INLINE, &attr))
		return;
	again = malloc(LAYOUT_ATTR_MAX + attr.contents.len);
	fuzz_expect(again != NULL);
	expect_same(value, again, layout_attr_encode(&attr, again));
	free(again);
}

static void
run_entry(struct keyfs_slice value)
{
	struct layout_entry entry;
	uint8_t again[LAYOUT_ENTRY_MAX];

	if (!layout_entry_decode(value, &entry))
		expect_same(value, again, layout_entry_encode(&entry, again));
}

static void
run_super(struct keyfs_slice value)
{
	struct layout_super super;
	uint8_t again[LAYOUT_SUPER_SIZE];

	if (!layout_super_decode(value, &super))
		expect_same(value, again, layout_super_encode(&super, again));
}

static void
run_numbers(struct keyfs_slice value)
{
	uint8_t again[LAYOUT_TOTALS_SIZE];
	struct layout_totals totals;
	enum layout_orphan orphan;
	uint64_t number;

	if (!layout_number_decode(value, &number))
		expect_same(value, again, layout_number_encode(number, again));
	if (!layout_totals_decode(value, &totals))
		expect_same(value, again, layout_totals_encode(&totals, again));
	if (!layout_orphan_decode(value, &orphan))
		expect_same(value, again, layout_orphan_encode(orphan, again));
}

static void
run_key(struct keyfs_slice key)
{
	struct layout_place place;
	struct layout_key again;
	struct keyfs_slice same = key;

	if (layout_key_parse(key, &place))
		return;
	if (place.kind == LAYOUT_ATTR)
		same = layout_key_attr(&again, place.ino);
	else if (place.kind == LAYOUT_ENTRY)
		same = layout_key_entry(&again, place.ino, place.name);
	else if (place.kind == LAYOUT_DATA)
		same = layout_key_chunk(&again, place.ino, place.chunk);
	expect_same(key, same.data, same.len);
}

void
fuzz_layout(const uint8_t *data, size_t size)
{
	static void (*const runs[])(struct keyfs_slice value) = {
		run_attr, run_entry, run_super, run_numbers, run_key,
	};

	if (size > 0)
		runs[data[0] % (sizeof(runs) / sizeof(runs[0]))](
			keyfs_bytes(data + 1, size - 1));
}
