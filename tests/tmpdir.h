/* SPDX-License-Identifier: Apache-2.0 */
/* tmpdir.h - a scratch directory for one test.
 *
 * Made below $TMPDIR, mode 0700.  A test that fails before it frees it leaves it
 * there to be looked at. */
#ifndef TESTS_TMPDIR_H
#define TESTS_TMPDIR_H

/* Makes a new directory; the caller frees the path with tmpdir_free().  Aborts if
 * it cannot. */
char *tmpdir_new(void);

/* Removes the directory with all that is in it, and frees the path.  NULL is
 * allowed. */
void tmpdir_free(char *path);

#endif
