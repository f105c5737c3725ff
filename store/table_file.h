/* SPDX-License-Identifier: Apache-2.0 */
/* table_file.h - an open table file: its parts by offset, read and checked.
 *
 * Nothing is kept in memory but where the parts lie.  Constant once opened; any
 * thread. */
#ifndef STORE_TABLE_FILE_H
#define STORE_TABLE_FILE_H

#include "store/env.h"
#include "store/error.h"
#include "store/table_format.h"

struct table_file {
	struct env_file *file; /* owned */
	const struct reporter *reporter;
	uint64_t number;
	struct table_footer footer;
	uint64_t footer_offset;
	char name[ENV_NAME_MAX + 1];
};

/* Opens file `number`, which has `bytes` bytes by the manifest, and checks
 * header and footer.  -EUCLEAN is raised already.  -EPROTONOSUPPORT: made by a
 * newer version; the log line says what is not known here. */
int table_file_open(struct env_dir *dir, uint64_t number, uint64_t bytes,
		    const struct reporter *reporter, struct table_file *out);
void table_file_close(struct table_file *file);

/* The calls below say with -EUCLEAN why (*why, static); whoever gives up the
 * block for that raises it, and the search of damage collects it. */

/* The checks of opening once more; *at is the offset of what is damaged. */
int
table_file_check(const struct table_file *file, const char **why, uint64_t *at);

/* Reads exactly `len` bytes at `offset`.  -EAGAIN: `nowait`, and they are not
 * in memory. */
int table_file_read(const struct table_file *file, uint64_t offset, size_t len,
		    bool nowait, void *to, const char **why);

/* Raises damage in this file; -EUCLEAN. */
int table_file_corrupt(const struct table_file *file, uint64_t offset,
		       const char *why);

#endif
