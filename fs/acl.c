/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "fs/acl.h"

#include <errno.h>
#include <string.h>

#define HEADER_BYTES 4u
#define ENTRY_BYTES 8u
/* USER_OBJ, GROUP_OBJ and OTHER. */
#define ENTRIES_MIN 3u

enum tag {
	USER_OBJ = 1,
	USER = 2,
	GROUP_OBJ = 4,
	GROUP = 8,
	MASK = 16,
	OTHER = 32,
};

static bool
is_name(struct keyfs_slice name, const char *want)
{
	return name.len == strlen(want) &&
	       memcmp(name.data, want, name.len) == 0;
}

bool
acl_is_access(struct keyfs_slice name)
{
	return is_name(name, ACL_ACCESS);
}

bool
acl_is_default(struct keyfs_slice name)
{
	return is_name(name, ACL_DEFAULT);
}

static const uint8_t version[HEADER_BYTES] = { 2 };

static unsigned
get_u16(const uint8_t *bytes)
{
	return bytes[0] | (unsigned)bytes[1] << 8;
}

static void
put_u16(uint8_t *bytes, unsigned value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
}

static size_t
count_of(size_t len)
{
	return (len - HEADER_BYTES) / ENTRY_BYTES;
}

static size_t
entry_at(size_t i)
{
	return HEADER_BYTES + i * ENTRY_BYTES;
}

/* ---- Checking ---- */

/* Which tags may stand behind this one; 0 is the beginning. */
static unsigned
may_follow(unsigned tag)
{
	switch (tag) {
	case 0:
		return USER_OBJ;
	case USER_OBJ:
	case USER:
		return USER | GROUP_OBJ;
	case GROUP_OBJ:
	case GROUP:
		return GROUP | MASK | OTHER;
	case MASK:
		return OTHER;
	default:
		return 0;
	}
}

int
acl_check(struct keyfs_slice list)
{
	const uint8_t *bytes = list.data;
	unsigned tag = 0, seen = 0;

	if (list.len < entry_at(ENTRIES_MIN) ||
	    (list.len - HEADER_BYTES) % ENTRY_BYTES ||
	    memcmp(bytes, version, sizeof(version)) != 0)
		return -EINVAL;
	for (size_t i = 0; i < count_of(list.len); i++) {
		unsigned next = get_u16(bytes + entry_at(i));

		/* One bit of those, not several. */
		if (!(next & may_follow(tag)) || (next & (next - 1)) ||
		    get_u16(bytes + entry_at(i) + 2) > 7)
			return -EINVAL;
		tag = next;
		seen |= tag;
	}
	if (tag != OTHER || ((seen & (USER | GROUP)) && !(seen & MASK)))
		return -EINVAL;
	return 0;
}

bool
acl_says_more(struct keyfs_slice list)
{
	return count_of(list.len) > ENTRIES_MIN;
}

/* ---- Classes ---- */

/* How far the bits of the class that an entry stands for are from the right of a mode;
 * -1: it stands for none.  `masked`: there is a MASK. */
static int
shift_of(unsigned tag, bool masked)
{
	if (tag == USER_OBJ)
		return 6;
	if (tag == (masked ? MASK : GROUP_OBJ))
		return 3;
	return tag == OTHER ? 0 : -1;
}

/* The MASK is the last but one. */
static bool
is_masked(const uint8_t *list, size_t len)
{
	return get_u16(list + entry_at(count_of(len) - 2)) == MASK;
}

uint32_t
acl_mode(struct keyfs_slice list)
{
	const uint8_t *bytes = list.data;
	bool masked = is_masked(bytes, list.len);
	uint32_t mode = 0;

	for (size_t i = 0; i < count_of(list.len); i++) {
		const uint8_t *entry = bytes + entry_at(i);
		int shift = shift_of(get_u16(entry), masked);

		if (shift >= 0)
			mode |= (uint32_t)get_u16(entry + 2) << shift;
	}
	return mode;
}

void
acl_chmod(uint8_t *list, size_t len, uint32_t mode)
{
	bool masked = is_masked(list, len);

	for (size_t i = 0; i < count_of(len); i++) {
		uint8_t *entry = list + entry_at(i);
		int shift = shift_of(get_u16(entry), masked);

		if (shift >= 0)
			put_u16(entry + 2, (mode >> shift) & 7);
	}
}

uint32_t
acl_inherit(uint8_t *list, size_t len, uint32_t mode)
{
	mode &= acl_mode(keyfs_bytes(list, len));
	acl_chmod(list, len, mode);
	return mode;
}
