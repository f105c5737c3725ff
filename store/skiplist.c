/* SPDX-License-Identifier: Apache-2.0 */
/* skiplist.c - sorted versions in an arena; see skiplist.h. */
#include <config.h>

#include "store/skiplist.h"

#include <errno.h>
#include <stdbool.h>

struct skiplink {
	_Atomic(struct skipnode *) next;
	_Atomic uint64_t code; /* of `next`, or of one behind it */
};

/* A node's links lie before it, the lowest level next to it, so that the level
 * that is searched most and the key share a cache line:
 *
 *	link[h-1] ... link[1] link[0] | seq+kind, lengths | key | value */
struct skipnode {
	uint64_t seq_kind; /* seq << 8 | kind */
	uint32_t key_len, value_len;
	uint8_t bytes[];
};

_Static_assert(sizeof(struct skiplink) == 16 && sizeof(struct skipnode) == 16,
	       "a node of height 1 takes 32 bytes beside key and value");

static inline struct skiplink *
link_of(const struct skipnode *node, unsigned level)
{
	return (struct skiplink *)node - 1 - level;
}

static inline struct keyfs_slice
node_key(const struct skipnode *node)
{
	return keyfs_bytes(node->bytes, node->key_len);
}

static inline bool
node_before(const struct skipnode *node, struct keyfs_slice key, uint64_t seq)
{
	return version_compare(node_key(node), node->seq_kind >> 8, key, seq) <
	       0;
}

static struct skipnode *
node_new(struct arena *arena, unsigned height, size_t bytes)
{
	struct skiplink *links =
		arena_take(arena, height * sizeof(struct skiplink) +
					  sizeof(struct skipnode) + bytes);

	return (struct skipnode *)(links + height);
}

size_t
skiplist_room(size_t count, size_t bytes)
{
	const size_t each = SKIPLIST_HEIGHT_MAX * sizeof(struct skiplink) +
			    sizeof(struct skipnode) + ARENA_ALIGN;

	if (count > SIZE_MAX / 2 / each || bytes > SIZE_MAX / 2)
		return SIZE_MAX;
	return count * each + bytes;
}

/* For each first byte: what the smallest and the largest key of `like` share,
 * all share. */
void
skiplist_learn(struct skiplist *list, const struct skiplist *like)
{
	const struct skipnode *node = skiplist_first(like);

	while (node) {
		uint8_t first = node->bytes[0], next = (uint8_t)(first + 1);
		const struct skipnode *last =
			first == UINT8_MAX
				? skiplist_last(like)
				: skiplist_seek_before(like,
						       keyfs_bytes(&next, 1),
						       SEQ_MAX);

		/* One key alone says nothing of the next. */
		if (!key_equal(node_key(node), node_key(last)))
			key_coder_set(&list->coder, node_key(node),
				      node_key(last));
		node = skipnode_next(last);
	}
}

int
skiplist_init(struct skiplist *list, struct arena *arena)
{
	unsigned level;

	if (arena_reserve(arena, skiplist_room(1, 0)))
		return -ENOMEM;
	list->arena = arena;
	list->head = node_new(arena, SKIPLIST_HEIGHT_MAX, 0);
	list->head->key_len = list->head->value_len = 0;
	list->head->seq_kind = 0;
	for (level = 0; level < SKIPLIST_HEIGHT_MAX; level++) {
		struct skiplink *link = link_of(list->head, level);

		atomic_init(&link->next, NULL);
		atomic_init(&link->code, KEY_CODE_MAX);
	}
	for (level = 0; level <= SKIPLIST_HEIGHT_MAX; level++)
		list->splice[level] =
			(struct skiplist_splice){ .prev = list->head,
						  .next_code = KEY_CODE_MAX };
	atomic_init(&list->height, 1);
	list->random = UINT64_C(0x9e3779b97f4a7c15);
	key_coder_init(&list->coder);
	return 0;
}

/* ---- The writer ---- */

/* 1 with probability 1/2, 2 with 1/4, ... (xorshift, Marsaglia, 2003). */
static unsigned
random_height(struct skiplist *list)
{
	unsigned height = 1;
	uint64_t r = list->random;

	r ^= r << 13;
	r ^= r >> 7;
	r ^= r << 17;
	list->random = r;
	for (r >>= 20; height < SKIPLIST_HEIGHT_MAX && (r & 1) == 0; r >>= 1)
		height++;
	return height;
}

/* Whether the place of the last insert on this level is the new key's too. */
static bool
splice_holds(const struct skiplist *list, unsigned level, uint64_t code,
	     const struct entry *entry)
{
	const struct skiplist_splice *s = &list->splice[level];

	if (s->prev != list->head &&
	    (code < s->prev_code ||
	     (code == s->prev_code &&
	      !node_before(s->prev, entry->key, entry->seq))))
		return false;
	return !s->next || code < s->next_code ||
	       (code == s->next_code &&
		!node_before(s->next, entry->key, entry->seq));
}

/* Finds the new key's place on a level, from `from` on, which is before it.
 * The writer reads its own stores: relaxed. */
static void
splice_find(struct skiplist_splice *out, const struct skiplist_splice *from,
	    unsigned level, uint64_t code, const struct entry *entry)
{
	struct skipnode *prev = from->prev, *next;
	uint64_t prev_code = from->prev_code, next_code;

	for (;;) {
		struct skiplink *link = link_of(prev, level);

		next = atomic_load_explicit(&link->next, memory_order_relaxed);
		next_code =
			atomic_load_explicit(&link->code, memory_order_relaxed);
		if (next) /* fetched while the codes are compared */
			__builtin_prefetch(link_of(next, level));
		if (!next || code < next_code ||
		    (code == next_code &&
		     !node_before(next, entry->key, entry->seq)))
			break;
		prev = next;
		prev_code = next_code;
	}
	out->prev = prev;
	out->prev_code = prev_code;
	out->next = next;
	out->next_code = next_code;
}

/* Moves the splice to the new key.  A level that holds it makes all above hold
 * it. */
static void
splice_move(struct skiplist *list, uint64_t code, const struct entry *entry)
{
	struct skiplist_splice *splice = list->splice;
	unsigned height =
		atomic_load_explicit(&list->height, memory_order_relaxed);
	unsigned level = 0;

	while (level < height && !splice_holds(list, level, code, entry))
		level++;
	for (; level > 0; level--)
		splice_find(&splice[level - 1], &splice[level], level - 1, code,
			    entry);
}

static struct skipnode *
node_fill(struct skiplist *list, unsigned height, const struct entry *entry)
{
	struct skipnode *node = node_new(list->arena, height,
					 entry->key.len + entry->value.len);

	node->seq_kind = entry->seq << 8 | (uint64_t)entry->kind;
	node->key_len = (uint32_t)entry->key.len;
	node->value_len = (uint32_t)entry->value.len;
	memcpy(node->bytes, entry->key.data, entry->key.len);
	if (entry->value.len)
		memcpy(node->bytes + entry->key.len, entry->value.data,
		       entry->value.len);
	return node;
}

void
skiplist_insert(struct skiplist *list, const struct entry *entry)
{
	uint64_t code = key_code(&list->coder, entry->key);
	unsigned height = random_height(list), level;
	struct skipnode *node = node_fill(list, height, entry);

	splice_move(list, code, entry);
	for (level = 0; level < height; level++) {
		struct skiplist_splice *s = &list->splice[level];
		struct skiplink *link = link_of(node, level);
		struct skiplink *prev = link_of(s->prev, level);

		atomic_init(&link->next, s->next);
		atomic_init(&link->code, s->next_code);
		/* Release: whoever finds the node finds it complete. */
		atomic_store_explicit(&prev->next, node, memory_order_release);
		/* Release: whoever finds the code finds the pointer. */
		atomic_store_explicit(&prev->code, code, memory_order_release);
		s->prev = node;
		s->prev_code = code;
	}
	/* Relaxed: a reader who sees it late starts lower, which is only
	 * slower. */
	if (height > atomic_load_explicit(&list->height, memory_order_relaxed))
		atomic_store_explicit(&list->height, height,
				      memory_order_relaxed);
}

/* ---- Readers ---- */

/* Goes down to level 0 and returns the last node there before the key, as far
 * as codes and the nodes behind equal codes tell. */
static const struct skipnode *
descend(const struct skiplist *list, struct keyfs_slice key, uint64_t seq)
{
	uint64_t code = key_code(&list->coder, key);
	const struct skipnode *prev = list->head;
	unsigned level =
		atomic_load_explicit(&list->height, memory_order_relaxed);

	while (level-- > 0) {
		for (;;) {
			struct skiplink *link = link_of(prev, level);
			/* Acquire: the code first, see skiplist.h. */
			uint64_t next_code =
				atomic_load_explicit(&link->code,
						     memory_order_acquire);
			const struct skipnode *next =
				atomic_load_explicit(&link->next,
						     memory_order_acquire);

			if (next)
				__builtin_prefetch(link_of(next, level));
			if (!next || code < next_code ||
			    (code == next_code && !node_before(next, key, seq)))
				break;
			prev = next;
		}
	}
	return prev;
}

const struct skipnode *
skipnode_next(const struct skipnode *node)
{
	/* Acquire: pairs with the release that linked it. */
	return atomic_load_explicit(&link_of(node, 0)->next,
				    memory_order_acquire);
}

void
skipnode_prefetch_next(const struct skipnode *node)
{
	const struct skipnode *next = skipnode_next(node);

	/* Its first link, and the key that comes behind the header. */
	if (next) {
		__builtin_prefetch(link_of(next, 0));
		__builtin_prefetch(next->bytes);
	}
}

const struct skipnode *
skiplist_seek(const struct skiplist *list, struct keyfs_slice key, uint64_t seq)
{
	const struct skipnode *node = skipnode_next(descend(list, key, seq));

	while (node && node_before(node, key, seq))
		node = skipnode_next(node);
	return node;
}

const struct skipnode *
skiplist_seek_before(const struct skiplist *list, struct keyfs_slice key,
		     uint64_t seq)
{
	const struct skipnode *node = descend(list, key, seq), *next;

	while ((next = skipnode_next(node)) && node_before(next, key, seq))
		node = next;
	return node == list->head ? NULL : node;
}

const struct skipnode *
skiplist_first(const struct skiplist *list)
{
	return skipnode_next(list->head);
}

const struct skipnode *
skiplist_last(const struct skiplist *list)
{
	const struct skipnode *node = list->head, *next;
	unsigned level =
		atomic_load_explicit(&list->height, memory_order_relaxed);

	while (level-- > 0)
		while ((next = atomic_load_explicit(&link_of(node, level)->next,
						    memory_order_acquire)))
			node = next;
	return node == list->head ? NULL : node;
}

void
skipnode_entry(const struct skipnode *node, struct entry *out)
{
	out->key = node_key(node);
	out->seq = node->seq_kind >> 8;
	out->kind = (enum entry_kind)(node->seq_kind & 0xff);
	out->value = keyfs_bytes(node->bytes + node->key_len, node->value_len);
}
