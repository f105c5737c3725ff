/* SPDX-License-Identifier: Apache-2.0 */
/* rot_image.c - see rot_image.h. */
#include <config.h>

#include "tests/rot_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/must.h"
#include "tests/suite.h"

struct taking {
	struct rot_image *image;
	struct fault_env *disk;
};

static int
take_file(void *arg, const char *name)
{
	struct taking *taking = arg;
	struct rot_file *file;

	if (strncmp(name, ROT_DIR "/", sizeof(ROT_DIR)))
		return 0;
	ck_assert_uint_lt(taking->image->count, ROT_FILES_MAX);
	file = &taking->image->files[taking->image->count++];
	snprintf(file->name, sizeof(file->name), "%s", name);
	ck_assert_int_eq(fault_env_size(taking->disk, name, &file->size), 0);
	file->data = must_alloc(file->size);
	ck_assert_int_eq(fault_env_peek(taking->disk, name, 0, file->data,
					file->size),
			 0);
	return 0;
}

void
rot_image_take(struct rot_image *image, struct fault_env *disk)
{
	struct taking taking = { image, disk };

	memset(image, 0, sizeof(*image));
	ck_assert_int_eq(fault_env_each(disk, take_file, &taking), 0);
}

void
rot_image_fini(struct rot_image *image)
{
	for (size_t i = 0; i < image->count; i++)
		free(image->files[i].data);
	image->count = 0;
}

const struct rot_file *
rot_image_find(const struct rot_image *image, const char *name)
{
	for (size_t i = 0; i < image->count; i++)
		if (!strcmp(image->files[i].name, name))
			return &image->files[i];
	return NULL;
}

void
rot_file_plant(struct fault_env *disk, const struct rot_file *file)
{
	ck_assert_int_eq(fault_env_plant(disk, file->name, file->data,
					 file->size),
			 0);
}

struct fault_env *
rot_disk_new(const struct rot_image *image)
{
	struct fault_env *disk = fault_env_new(ROT_SEED);
	struct env_dir *dir;

	ck_assert_int_eq(env_dir_open(fault_env(disk), ROT_DIR, ENV_DIR_CREATE,
				      &dir),
			 0);
	env_dir_close(dir);
	for (size_t i = 0; i < image->count; i++)
		rot_file_plant(disk, &image->files[i]);
	return disk;
}
