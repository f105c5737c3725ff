/* SPDX-License-Identifier: Apache-2.0 */
/* ace_script.c - see ace_script.h. */
#include <config.h>

#include "tests/ace_script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/suite.h"

/* ---- The operations ---- */

#define SLOTS 4u

static const char *const slots[SLOTS] = { "A/foo", "A/bar", "B/foo", "B/bar" };

/* What a name stands for, as far as an operation needs to know.  ELSE: something that
 * no operation here is defined for. */
enum thing { UNKNOWN, ABSENT, FILE_, DIR_, ELSE };

enum ace_kind {
	ACE_CREATE,
	ACE_MKDIR,
	ACE_SYMLINK,
	ACE_MKNOD,
	ACE_WRITE,
	ACE_APPEND,
	ACE_OVERWRITE,
	ACE_WRITE_FAR,
	ACE_REPLACE,
	ACE_EMPTY,
	ACE_SHORTEN,
	ACE_LENGTHEN,
	ACE_PUNCH,
	ACE_UNLINK,
	ACE_RMDIR,
	ACE_CHMOD,
	ACE_UTIMENS,
	ACE_SETXATTR,
	ACE_LINK,
	ACE_RENAME,
	ACE_RENAME_OVER,
	ACE_NOREPLACE,
	ACE_EXCHANGE,
	ACE_RENAME_DIR,
	ACE_RENAME_DIR_OVER,
	ACE_EXCHANGE_DIR,
	ACE_MOVE_PARENT,
	ACE_KINDS
};

/* What the names must be before, and are after; one name if the second is UNKNOWN. */
static const struct {
	const char *name;
	enum thing from, to, from_after, to_after;
} kinds[ACE_KINDS] = {
	[ACE_CREATE] = { "create", ABSENT, UNKNOWN, FILE_, UNKNOWN },
	[ACE_MKDIR] = { "mkdir", ABSENT, UNKNOWN, DIR_, UNKNOWN },
	[ACE_SYMLINK] = { "symlink", ABSENT, UNKNOWN, ELSE, UNKNOWN },
	[ACE_MKNOD] = { "mknod", ABSENT, UNKNOWN, ELSE, UNKNOWN },
	[ACE_WRITE] = { "write", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_APPEND] = { "append", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_OVERWRITE] = { "overwrite", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_WRITE_FAR] = { "write far", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_REPLACE] = { "replace", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_EMPTY] = { "empty", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_SHORTEN] = { "shorten", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_LENGTHEN] = { "lengthen", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_PUNCH] = { "punch", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_UNLINK] = { "unlink", FILE_, UNKNOWN, ABSENT, UNKNOWN },
	[ACE_RMDIR] = { "rmdir", DIR_, UNKNOWN, ABSENT, UNKNOWN },
	[ACE_CHMOD] = { "chmod", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_UTIMENS] = { "utimens", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_SETXATTR] = { "setxattr", FILE_, UNKNOWN, FILE_, UNKNOWN },
	[ACE_LINK] = { "link", FILE_, ABSENT, FILE_, FILE_ },
	[ACE_RENAME] = { "rename", FILE_, ABSENT, ABSENT, FILE_ },
	[ACE_RENAME_OVER] = { "rename over", FILE_, FILE_, ABSENT, FILE_ },
	[ACE_NOREPLACE] = { "rename noreplace", FILE_, ABSENT, ABSENT, FILE_ },
	[ACE_EXCHANGE] = { "exchange", FILE_, FILE_, FILE_, FILE_ },
	[ACE_RENAME_DIR] = { "rename dir", DIR_, ABSENT, ABSENT, DIR_ },
	[ACE_RENAME_DIR_OVER] = { "rename dir over", DIR_, DIR_, ABSENT, DIR_ },
	[ACE_EXCHANGE_DIR] = { "exchange with dir", FILE_, DIR_, DIR_, FILE_ },
	[ACE_MOVE_PARENT] = { "move the other parent to", ABSENT, UNKNOWN, ELSE,
			      UNKNOWN },
};

#define OPS_MAX 400u

static struct ace_op ops[OPS_MAX];
static size_t op_count;

const struct ace_op *
ace_ops(size_t *out_count)
{
	op_count = 0;
	for (unsigned kind = 0; kind < ACE_KINDS; kind++)
		for (unsigned from = 0; from < SLOTS; from++)
			for (unsigned to = 0; to < SLOTS; to++) {
				bool two = kinds[kind].to != UNKNOWN;

				if (two ? from == to : to > 0)
					continue;
				ck_assert_uint_lt(op_count, OPS_MAX);
				ops[op_count++] =
					(struct ace_op){ kind, from, to };
			}
	*out_count = op_count;
	return ops;
}

/* What the names stand for, and which file: links to one have the same number. */
struct names {
	enum thing now[SLOTS];
	unsigned file[SLOTS], last_file;
};

static void
names_init(struct names *names)
{
	*names = (struct names){ .last_file = SLOTS };
	for (unsigned i = 0; i < SLOTS; i++)
		names->file[i] = i;
}

/* Which file each name stands for after an operation. */
static void
names_move(const struct ace_op *op, struct names *names)
{
	unsigned from = names->file[op->from], to = names->file[op->to];

	if (kinds[op->kind].to == UNKNOWN) {
		if (kinds[op->kind].from == ABSENT)
			names->file[op->from] = ++names->last_file;
		return;
	}
	names->file[op->to] = from;
	if (op->kind == ACE_EXCHANGE || op->kind == ACE_EXCHANGE_DIR)
		names->file[op->from] = to;
}

/* Whether an operation can follow, given what is known of the names.  What it is the
 * first to name is what it needs: so `base` says what must be made before. */
static bool
follows(const struct ace_op *op, enum thing *base, struct names *names)
{
	enum thing *now = names->now;
	enum thing wants[2] = { kinds[op->kind].from, kinds[op->kind].to };
	unsigned at[2] = { op->from, op->to };

	for (unsigned i = 0; i < 2 && wants[i] != UNKNOWN; i++) {
		if (now[at[i]] == UNKNOWN)
			now[at[i]] = base[at[i]] = wants[i];
		if (now[at[i]] != wants[i])
			return false;
	}
	/* A rename of a file over another name of it does nothing. */
	if (op->kind == ACE_RENAME_OVER &&
	    names->file[op->from] == names->file[op->to])
		return true;
	now[op->from] = kinds[op->kind].from_after;
	if (wants[1] != UNKNOWN)
		now[op->to] = kinds[op->kind].to_after;
	names_move(op, names);
	if (op->kind == ACE_MOVE_PARENT)
		for (unsigned i = 0; i < SLOTS; i++)
			if (i / 2 != op->from / 2)
				now[i] = ELSE;
	return true;
}

static bool
base_find(const struct ace_workload *w, enum thing base[SLOTS])
{
	struct names names;
	unsigned moves = 0;

	names_init(&names);
	for (size_t i = 0; i < w->length; i++) {
		if (!follows(&w->seq[i], base, &names))
			return false;
		moves += w->seq[i].kind == ACE_MOVE_PARENT;
	}
	/* The second time there is no parent where it was. */
	return moves < 2;
}

bool
ace_is_possible(const struct ace_workload *w)
{
	enum thing base[SLOTS] = { UNKNOWN };

	return base_find(w, base);
}

bool
ace_is_first_of_its_kind(const struct ace_workload *w)
{
	const struct ace_op *seq = w->seq;
	size_t length = w->length;

	for (unsigned swap = 1; swap < 8; swap++) {
		int order = 0;

		for (size_t i = 0; i < 2 * length && !order; i++) {
			unsigned is = i % 2 ? seq[i / 2].to : seq[i / 2].from;
			unsigned other = is ^ (swap & 1 ? 2 : 0);

			if (i % 2 && kinds[seq[i / 2].kind].to == UNKNOWN)
				continue;
			other ^= swap >> (1 + other / 2) & 1;
			order = (other > is) - (other < is);
		}
		if (order < 0)
			return false;
	}
	return true;
}

/* ---- Scripts ---- */

static void
state_add(struct ace_script *s)
{
	ck_assert_uint_lt(s->state_count, ACE_STATES_MAX);
	s->states[s->state_count++] = tree_model_dump(s->model, true);
}

static int
model_rename(struct tree_model *m, const struct ace_step *step)
{
	return tree_model_rename(tree_model_place(m, step->from),
				 tree_model_place(m, step->to), step->flags);
}

struct keyfs_slice
ace_step_data(const struct ace_step *step)
{
	static char bytes[1 << 17];

	ck_assert_uint_le(step->len, sizeof(bytes));
	memset(bytes, step->fill, step->len);
	return keyfs_bytes(bytes, step->len);
}

static int
model_do(struct ace_script *s, const struct ace_step *step)
{
	struct tree_model *m = s->model;
	struct model_place at = { NULL, 0 };

	if (step->from)
		at = tree_model_place(m, step->from);
	switch (step->call) {
	case CALL_MAKE:
		return tree_model_make(m, at, step->mode, step->to);
	case CALL_LINK:
		return tree_model_link(at, tree_model_place(m, step->to));
	case CALL_REMOVE:
		return tree_model_remove(at, S_ISDIR(step->mode));
	case CALL_RENAME:
		return model_rename(m, step);
	case CALL_WRITE:
		tree_model_write(at, step->offset, ace_step_data(step).data,
				 step->len);
		return 0;
	case CALL_TRUNCATE:
		tree_model_truncate(at, step->len);
		return 0;
	case CALL_PUNCH:
		tree_model_punch(at, step->offset, step->len);
		return 0;
	case CALL_EMPTY:
		tree_model_empty(m, at);
		return 0;
	case CALL_CHMOD:
		tree_model_chmod(at, step->mode);
		return 0;
	case CALL_UTIMENS:
		tree_model_touch(at);
		return 0;
	case CALL_SETXATTR:
		tree_model_setxattr(at, ACE_XATTR, step->len, step->fill);
		return 0;
	case CALL_SYNC:
		while (tree_model_log_oldest(m))
			state_add(s);
		return 0;
	}
	return -EINVAL;
}

static void
step_add(struct ace_script *s, struct ace_step step)
{
	ck_assert_uint_lt(s->count, ACE_STEPS_MAX);
	ck_assert_int_eq(model_do(s, &step), 0);
	state_add(s);
	step.state = s->state_count - 1;
	s->steps[s->count++] = step;
}

static void
add_make(struct ace_script *s, const char *path, uint32_t mode,
	 const char *target)
{
	step_add(s, (struct ace_step){ .call = CALL_MAKE,
				       .from = path,
				       .to = target,
				       .mode = mode });
}

static void
add_write(struct ace_script *s, const char *path, size_t offset, size_t len,
	  char fill)
{
	step_add(s, (struct ace_step){ .call = CALL_WRITE,
				       .from = path,
				       .offset = offset,
				       .len = len,
				       .fill = fill });
}

static void
add_truncate(struct ace_script *s, const char *path, size_t size)
{
	step_add(s, (struct ace_step){
			    .call = CALL_TRUNCATE, .from = path, .len = size });
}

static void
add_remove(struct ace_script *s, const char *path, uint32_t type)
{
	step_add(s, (struct ace_step){
			    .call = CALL_REMOVE, .from = path, .mode = type });
}

static void
add_pair(struct ace_script *s, enum ace_call call, const char *from,
	 const char *to, unsigned flags)
{
	step_add(s, (struct ace_step){ .call = call,
				       .from = from,
				       .to = to,
				       .flags = flags });
}

static void
add_call(struct ace_script *s, enum ace_call call, const char *path)
{
	step_add(s,
		 (struct ace_step){ .call = call, .from = path, .mode = 0600 });
}

/* Sizes are on both sides of the inline limit, or of chunks. */
static void
add_contents(struct ace_script *s, const struct ace_op *op, bool large,
	     char fill)
{
	const char *path = slots[op->from];
	size_t size = tree_model_size(tree_model_place(s->model, path));

	switch (op->kind) {
	case ACE_WRITE:
		add_write(s, path, 0, large ? 20000 : 700, fill);
		break;
	case ACE_APPEND:
		add_write(s, path, size, large ? 17000 : 900, fill);
		break;
	case ACE_OVERWRITE:
		add_write(s, path, size / 2, size / 4 + 1, fill);
		break;
	case ACE_WRITE_FAR:
		add_write(s, path, size + (large ? 70000 : 2000), 10, fill);
		break;
	case ACE_REPLACE:
		add_call(s, CALL_EMPTY, path);
		add_write(s, path, 0, large ? 30000 : 7, fill);
		break;
	case ACE_PUNCH:
		step_add(s, (struct ace_step){ .call = CALL_PUNCH,
					       .from = path,
					       .offset = size / 4,
					       .len = size / 2 + 1 });
		break;
	case ACE_SHORTEN:
		add_truncate(s, path, size / 3);
		break;
	default:
		add_truncate(s, path, size + (large ? 50000 : 1500));
	}
}

static void
add_two(struct ace_script *s, const struct ace_op *op)
{
	const char *from = slots[op->from], *to = slots[op->to];

	switch (op->kind) {
	case ACE_LINK:
		add_pair(s, CALL_LINK, from, to, 0);
		break;
	case ACE_NOREPLACE:
		add_pair(s, CALL_RENAME, from, to, RENAME_NOREPLACE);
		break;
	case ACE_EXCHANGE:
	case ACE_EXCHANGE_DIR:
		add_pair(s, CALL_RENAME, from, to, RENAME_EXCHANGE);
		break;
	default:
		add_pair(s, CALL_RENAME, from, to, 0);
	}
}

static void
add_op(struct ace_script *s, const struct ace_op *op, bool large, char fill)
{
	const char *path = slots[op->from];

	switch (op->kind) {
	case ACE_CREATE:
		add_make(s, path, S_IFREG | 0644, NULL);
		break;
	case ACE_MKDIR:
		add_make(s, path, S_IFDIR | 0755, NULL);
		break;
	case ACE_SYMLINK:
		add_make(s, path, S_IFLNK | 0777, "target");
		break;
	case ACE_MKNOD:
		add_make(s, path, S_IFIFO | 0600, NULL);
		break;
	case ACE_EMPTY:
		add_call(s, CALL_EMPTY, path);
		break;
	case ACE_UNLINK:
		add_remove(s, path, S_IFREG);
		break;
	case ACE_RMDIR:
		add_remove(s, path, S_IFDIR);
		break;
	case ACE_CHMOD:
		add_call(s, CALL_CHMOD, path);
		break;
	case ACE_UTIMENS:
		add_call(s, CALL_UTIMENS, path);
		break;
	case ACE_SETXATTR:
		step_add(s, (struct ace_step){ .call = CALL_SETXATTR,
					       .from = path,
					       .len = 20,
					       .fill = fill });
		break;
	case ACE_MOVE_PARENT:
		add_pair(s, CALL_RENAME, op->from / 2 ? "A" : "B", path, 0);
		break;
	default:
		if (kinds[op->kind].to != UNKNOWN)
			add_two(s, op);
		else
			add_contents(s, op, large, fill);
	}
}

/* The names that the operations need, and files under those that they do not name. */
static void
add_base(struct ace_script *s, const enum thing *base, bool large)
{
	add_make(s, "A", S_IFDIR | 0755, NULL);
	add_make(s, "B", S_IFDIR | 0755, NULL);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (base[i] == DIR_)
			add_make(s, slots[i], S_IFDIR | 0755, NULL);
		if (base[i] != FILE_ && base[i] != UNKNOWN)
			continue;
		add_make(s, slots[i], S_IFREG | 0644, NULL);
		add_write(s, slots[i], 0, large ? 40000 + i : 300 + i,
			  (char)('0' + i));
	}
	add_call(s, CALL_SYNC, NULL);
	/* All that came before is of no interest. */
	for (size_t i = 0; i + 1 < s->state_count; i++)
		free(s->states[i]);
	s->states[0] = s->states[s->state_count - 1];
	s->state_count = 1;
	s->base = s->count;
	s->steps[s->base - 1].state = 0;
}

static void
text_add(struct ace_script *s, const char *a, const char *b, const char *c)
{
	size_t used = strlen(s->text);

	snprintf(s->text + used, sizeof(s->text) - used, "%s%s%s ", a, b, c);
}

void
ace_script_init(struct ace_script *s, const struct ace_workload *w)
{
	enum thing base[SLOTS] = { UNKNOWN };

	ck_assert(base_find(w, base));
	*s = (struct ace_script){ .model = tree_model_new(1) };
	text_add(s, w->large ? "large files" : "small files", "", ":");
	add_base(s, base, w->large);
	for (size_t i = 0; i < w->length; i++) {
		const struct ace_op *op = &w->seq[i];
		bool two = kinds[op->kind].to != UNKNOWN;

		add_op(s, op, w->large, (char)('a' + i));
		text_add(s, kinds[op->kind].name, " ", slots[op->from]);
		text_add(s, two ? slots[op->to] : "", ";", "");
		if (!(w->syncs >> i & 1))
			continue;
		add_call(s, CALL_SYNC, NULL);
		text_add(s, "sync", ";", "");
	}
}

void
ace_script_fini(struct ace_script *s)
{
	for (size_t i = 0; i < s->state_count; i++)
		free(s->states[i]);
	tree_model_free(s->model);
}
