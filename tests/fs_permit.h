/* SPDX-License-Identifier: Apache-2.0 */
/* fs_permit.h - the operations of fs_permit: what root prepares for one, what the user
 * does, and where its effect is seen.
 *
 * All paths are relative to the directory of one side; the object of an operation has
 * the number of its row as its name, and a directory "out" lies beside it. */
#ifndef TESTS_FS_PERMIT_H
#define TESTS_FS_PERMIT_H

#include <stdbool.h>
#include <stddef.h>

#define PERMIT_OWNER 21001u /* of all objects, and who else there is */
#define PERMIT_OTHER 21002u
#define PERMIT_GROUP 22001u /* of all objects, and one that none has */
#define PERMIT_NO_GROUP 22002u

#define PERMIT_TEXT "#!/bin/sh\n" /* what files hold */
#define PERMIT_TEXT_LEN 10
#define PERMIT_OUT "out"
#define PERMIT_MADE "made" /* what is made in a directory */

struct permit_op {
	const char *name;
	bool on_directory; /* the object is one */
	/* Before each try, by root: what is to be there beside owner, mode, contents
	 * and links, which are the same for all.  NULL: nothing. */
	void (*prepare)(const char *object);
	/* By the user: an errno, 0 if all went well; of access, the rights. */
	int (*run)(const char *object, unsigned mode);
	bool makes; /* PERMIT_MADE, in the object */
};

extern const struct permit_op permit_ops[];
extern const size_t permit_op_count;

#endif
