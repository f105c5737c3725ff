/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_format.h - numbers and small pieces that the writer and the reader
 * of a manifest share; the bytes are drawn in manifest.h. */
#ifndef STORE_MANIFEST_FORMAT_H
#define STORE_MANIFEST_FORMAT_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "store/checksum.h"
#include "store/manifest.h"

#define MANIFEST_MAGIC "KEYFSMAN"
#define MANIFEST_VERSION 1u
#define MANIFEST_FEATURE_DAMAGE 1u
#define MANIFEST_FEATURES MANIFEST_FEATURE_DAMAGE /* those known here */
#define MANIFEST_PREFIX "MANIFEST-"
#define MANIFEST_HEADER_BYTES 64u
#define MANIFEST_FRAME_BYTES 16u
#define MANIFEST_ALIGN 8u

/* A name, a blank, 16 digits, newline, zero. */
#define MANIFEST_CURRENT_MAX (ENV_NAME_MAX + 1 + 16 + 1 + 1)

/* Bytes of a record in the file. */
static inline size_t
manifest_record_bytes(size_t payload_bytes)
{
	return (MANIFEST_FRAME_BYTES + payload_bytes + MANIFEST_ALIGN - 1) /
	       MANIFEST_ALIGN * MANIFEST_ALIGN;
}

/* Writes the line of CURRENT and a zero; returns the line's length. */
static inline int
manifest_current_encode(uint64_t number, char *out)
{
	char name[ENV_NAME_MAX + 1];

	manifest_file_name(number, name);
	return snprintf(out, MANIFEST_CURRENT_MAX, "%s %016" PRIx64 "\n", name,
			checksum_hash(name, strlen(name)));
}

#endif
