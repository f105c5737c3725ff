/* SPDX-License-Identifier: Apache-2.0 */
/* rot_image.h - the files of a store at one moment, kept beside the simulated disk.
 *
 * It is a copy: the disk may be damaged, or freed, and a disk of its own may be made
 * of it.  One thread.  What cannot be read or planted fails the test. */
#ifndef TESTS_ROT_IMAGE_H
#define TESTS_ROT_IMAGE_H

#include "tests/fault_env.h"

#define ROT_DIR "store"
#define ROT_FILES_MAX 64
/* What chance there is on these disks is the same in each run. */
#define ROT_SEED 0x726f74

struct rot_file {
	char name[128]; /* "store/000001.log" */
	uint8_t *data;  /* owned */
	uint64_t size;
	/* Bytes that the store still depends on: all before it. */
	uint64_t live;
};

/* The files of a directory at one moment. */
struct rot_image {
	struct rot_file files[ROT_FILES_MAX];
	size_t count;
};

/* The files on a disk under ROT_DIR. */
void rot_image_take(struct rot_image *image, struct fault_env *disk);
void rot_image_fini(struct rot_image *image);
/* NULL: not there. */
const struct rot_file *
rot_image_find(const struct rot_image *image, const char *name);

/* Puts a file on a disk, or back as it was. */
void rot_file_plant(struct fault_env *disk, const struct rot_file *file);
/* A disk of its own with those files; the caller frees it. */
struct fault_env *rot_disk_new(const struct rot_image *image);

#endif
