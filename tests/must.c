/* SPDX-License-Identifier: Apache-2.0 */
/* must.c - see must.h. */
#include <config.h>

#include "tests/must.h"

_Thread_local volatile bool must_allocates;
