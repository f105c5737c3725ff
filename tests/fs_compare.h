/* SPDX-License-Identifier: Apache-2.0 */
/* fs_compare.h - two directories on two filesystems in which the same was done; for
 * fs_random.c.
 *
 * Each function ends the program with a message at the first difference. */
#ifndef TESTS_FS_COMPARE_H
#define TESTS_FS_COMPARE_H

#define SIDES 2 /* what is tested, and the reference */

/* What the next step does, for the message. */
void __attribute__((format(printf, 1, 2))) doing(const char *format, ...);
void __attribute__((noreturn, format(printf, 1, 2)))
differ(const char *format, ...);

/* Names, attributes, extended attributes and contents of all below. */
void compare_trees(const char *const roots[SIDES]);

/* Around one operation on one or two paths below the roots: which times it changes,
 * of them and of the directories above. */
void compare_times_begin(const char *const roots[SIDES], const char *path,
			 const char *other);
void compare_times_end(const char *const roots[SIDES]);

/* The same around one on an open file. */
void compare_fd_times_begin(const int fd[SIDES]);
void compare_fd_times_end(const int fd[SIDES]);

#endif
