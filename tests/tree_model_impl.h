/* SPDX-License-Identifier: Apache-2.0 */
/* tree_model_impl.h - what tree_model.c and tree_model_random.c share. */
#ifndef TESTS_TREE_MODEL_IMPL_H
#define TESTS_TREE_MODEL_IMPL_H

#include <sys/stat.h>

#include "tests/tree_model.h"

#define NAMES 6u
#define NODES 48u
#define XATTR_MAX 40u
/* Which of tree_model_xattrs a write takes away. */
#define CAPABILITY 0u

/* Contents of a file, owned. */
struct bytes {
	uint8_t *data;
	size_t size;
};

struct node {
	bool used;
	uint64_t ino;
	uint32_t mode;
	unsigned nlink;
	struct bytes now, old; /* `old`: what is logged, if held */
	bool held;
	uint64_t held_since;         /* in model->holds */
	struct node *parent;         /* of a directory */
	struct node *entries[NAMES]; /* of a directory, by name */
	char target[16];
	struct {
		bool set;
		size_t len;
		char bytes[XATTR_MAX];
	} xattrs[TREE_MODEL_XATTRS];
};

struct tree_model {
	uint64_t seed, holds;
	struct node nodes[NODES]; /* the first is the root */
};

/* In the order of a listing. */
extern const char *const model_names[NAMES];

static inline bool
is_dir(const struct node *node)
{
	return S_ISDIR(node->mode);
}

static inline struct node **
entry_at(struct model_place at)
{
	return &at.dir->entries[at.name];
}

/* A held truncation has been logged. */
void model_node_logged(struct node *node);
int model_node_link(struct node *node, struct model_place at);
void model_node_write(struct node *node, size_t offset, const void *data,
		      size_t len);
void model_node_truncate(struct node *node, size_t size);
void model_node_empty(struct tree_model *m, struct node *node);
void model_node_chmod(struct node *node, uint32_t mode);
void model_node_setxattr(struct node *node, size_t name, size_t len, char fill);

#endif
