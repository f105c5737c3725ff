/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - what of this system will slow or break a mount, and how to change it.
 *
 * Looks and changes nothing.  One thread. */
#ifndef SRC_DOCTOR_H
#define SRC_DOCTOR_H

enum doctor_level {
	DOCTOR_OK,
	DOCTOR_NOTE, /* works, with less than there could be */
	DOCTOR_BAD,  /* mounting will fail */
};

/* Takes one finding: what was seen, and for other levels than DOCTOR_OK what to do.
 * Both are valid during the call. */
typedef void (*doctor_tell_fn)(void *arg, enum doctor_level level,
			       const char *what, const char *advice);

/* Looks at the system, and with a `store` (NULL: none) at where that lies and how it
 * is. */
void doctor_look(const char *store, doctor_tell_fn tell, void *arg);

#endif
