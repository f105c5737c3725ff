/* SPDX-License-Identifier: Apache-2.0 */
/* targets.c - the table of targets; see fuzz.h. */
#include <config.h>

#include "contrib/fuzz/fuzz.h"

const struct fuzz_target fuzz_targets[FUZZ_TARGETS] = {
	{ "codes", fuzz_codes }, { "layout", fuzz_layout },
	{ "log", fuzz_log },     { "manifest", fuzz_manifest },
	{ "ops", fuzz_ops },     { "store", fuzz_store },
	{ "table", fuzz_table }, { "text", fuzz_text },
	{ "tree", fuzz_tree },
};
