/* SPDX-License-Identifier: Apache-2.0 */
/* crash_order.c - see crash_order.h. */
#include <config.h>

#include "tests/crash_order.h"

#include <inttypes.h>
#include <string.h>

#include "store/coding.h"
#include "store/manifest_format.h"
#include "tests/must.h"

/* Behind its last record a manifest may have an unsynced mark. */
#define MARK_BYTES MANIFEST_FRAME_BYTES
#define LISTED_MAX 1024u

struct numbers {
	uint64_t items[LISTED_MAX];
	size_t count;
};

/* What a manifest says is needed. */
struct listed {
	struct numbers tables;
	struct {
		uint64_t number, end;
		bool ended;
	} logs[LISTED_MAX];
	size_t log_count;
	uint64_t floor;
};

static void
note(struct crash_order *order, const char *what, const char *name)
{
	if (order->violation[0] == '\0')
		snprintf(order->violation, sizeof(order->violation), "%s %s",
			 what, name);
}

/* ---- Reading a manifest ---- */

/* The next number of an item; an edit that the store wrote is whole. */
static uint64_t
take(const uint8_t **at, const uint8_t *end)
{
	uint64_t value = 0;
	const uint8_t *next = get_varint64(*at, end, &value);

	*at = next ? next : end;
	return value;
}

static void
take_table(struct numbers *tables, const uint8_t **at, const uint8_t *end)
{
	uint64_t number;

	(void)take(at, end); /* family */
	(void)take(at, end); /* level */
	number = take(at, end);
	for (unsigned i = 0; i < 6; i++)
		(void)take(at, end);
	for (unsigned i = 0; i < 2; i++)
		*at += take(at, end); /* keys */
	if (tables->count < LISTED_MAX)
		tables->items[tables->count++] = number;
}

/* A damage range: nothing that is needed. */
static void
take_damage(const uint8_t **at, const uint8_t *end)
{
	for (unsigned i = 0; i < 6; i++)
		(void)take(at, end);
	for (unsigned i = 0; i < 2; i++)
		*at += take(at, end); /* keys */
}

static void
take_deletion(struct numbers *tables, const uint8_t **at, const uint8_t *end)
{
	uint64_t number;

	(void)take(at, end);
	(void)take(at, end);
	number = take(at, end);
	for (size_t i = 0; i < tables->count; i++) {
		if (tables->items[i] != number)
			continue;
		tables->items[i] = tables->items[--tables->count];
		return;
	}
}

static void
take_log(struct listed *listed, const uint8_t **at, const uint8_t *end,
	 bool ended)
{
	uint64_t number = take(at, end);
	uint64_t offset = ended ? take(at, end) : 0;
	size_t i = 0;

	while (i < listed->log_count && listed->logs[i].number != number)
		i++;
	if (i == LISTED_MAX)
		return;
	if (i == listed->log_count)
		listed->log_count++;
	listed->logs[i].number = number;
	listed->logs[i].ended = ended;
	listed->logs[i].end = offset;
}

/* The items are drawn in version_edit.h.  A table that moves is deleted and added
 * in one edit, in any order: what is added is collected apart. */
static void
take_edit(struct listed *listed, const uint8_t *at, const uint8_t *end)
{
	struct numbers added;

	added.count = 0;
	while (at < end) {
		switch (take(&at, end)) {
		case 1:
			listed->floor = take(&at, end);
			break;
		case 4:
			take_log(listed, &at, end, false);
			break;
		case 5:
			take_log(listed, &at, end, true);
			break;
		case 6:
			take_deletion(&listed->tables, &at, end);
			break;
		case 7:
			take_table(&added, &at, end);
			break;
		case 8:
			take_damage(&at, end);
			break;
		default:
			(void)take(&at, end);
		}
	}
	for (size_t i = 0; i < added.count; i++) {
		if (listed->tables.count < LISTED_MAX)
			listed->tables.items[listed->tables.count++] =
				added.items[i];
	}
}

/* The payload of the record at `offset`; 0: there is none. */
static size_t
record_at(const uint8_t *bytes, uint64_t len, uint64_t number, uint64_t offset)
{
	size_t payload, record;

	if (len - offset < MANIFEST_FRAME_BYTES)
		return 0;
	payload = get_le32(bytes + offset + 8);
	record = manifest_record_bytes(payload);
	if (record > len - offset ||
	    get_le64(bytes + offset) !=
		    checksum(bytes + offset + 8, record - 8, number, offset))
		return 0;
	return payload;
}

/* NULL: there is no such file, or no record in it.  The caller frees it. */
static struct listed *
read_manifest(struct crash_order *order, const char *name, bool durable)
{
	uint64_t offset = MANIFEST_HEADER_BYTES, len, number;
	struct listed *listed;
	uint8_t *bytes;
	size_t payload;

	if (strncmp(name, MANIFEST_PREFIX, strlen(MANIFEST_PREFIX)) != 0 ||
	    fault_env_load(order->disk, name, durable, &bytes, &len) < 0)
		return NULL;
	number = strtoull(name + strlen(MANIFEST_PREFIX), NULL, 10);
	listed = must_alloc(sizeof(*listed));
	while (offset < len &&
	       (payload = record_at(bytes, len, number, offset)) > 0) {
		take_edit(listed, bytes + offset + MANIFEST_FRAME_BYTES,
			  bytes + offset + MANIFEST_FRAME_BYTES + payload);
		offset += manifest_record_bytes(payload);
	}
	free(bytes);
	if (offset > MANIFEST_HEADER_BYTES)
		return listed;
	free(listed);
	return NULL;
}

/* The manifest that a file like CURRENT names: the word before the blank. */
static bool
named_manifest(struct crash_order *order, const char *current, bool durable,
	       char out[ENV_NAME_MAX + 1])
{
	uint8_t *bytes;
	uint64_t len;

	if (fault_env_load(order->disk, current, durable, &bytes, &len) < 0)
		return false;
	if (len > ENV_NAME_MAX)
		len = ENV_NAME_MAX;
	memset(out, 0, ENV_NAME_MAX + 1);
	memcpy(out, bytes, len);
	out[strcspn(out, " \n")] = '\0';
	free(bytes);
	return out[0] != '\0';
}

/* ---- The rules ---- */

static void
judge_table(struct crash_order *order, uint64_t number)
{
	char name[ENV_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%06" PRIu64 ".sst", number);
	if (!fault_env_synced(order->disk, name))
		note(order, "R6: the manifest names unsynced", name);
}

/* Whether the first `end` bytes that are seen are durable too. */
static bool
is_durable_to(struct crash_order *order, const char *name, uint64_t end)
{
	uint64_t seen_len, len;
	uint8_t *seen, *bytes;
	bool same;

	if (fault_env_load(order->disk, name, false, &seen, &seen_len) < 0)
		return true; /* removed meanwhile, by another thread */
	if (fault_env_load(order->disk, name, true, &bytes, &len) < 0) {
		free(seen);
		return false;
	}
	same = len >= end && seen_len >= end && memcmp(seen, bytes, end) == 0;
	free(seen);
	free(bytes);
	return same;
}

static void
judge_log(struct crash_order *order, uint64_t number, bool ended, uint64_t end)
{
	char name[ENV_NAME_MAX + 1];

	snprintf(name, sizeof(name), "%06" PRIu64 ".log", number);
	if (!ended && !fault_env_name_synced(order->disk, name))
		note(order, "R3: the manifest names unsynced", name);
	if (ended && end > 0 && !is_durable_to(order, name, end))
		note(order, "R7: it ends behind what is durable:", name);
}

static void
judge_manifest(struct crash_order *order, const char *name)
{
	struct listed *listed = read_manifest(order, name, false);

	if (!listed)
		return;
	for (size_t i = 0; i < listed->tables.count; i++)
		judge_table(order, listed->tables.items[i]);
	for (size_t i = 0; i < listed->log_count; i++) {
		if (listed->logs[i].number >= listed->floor)
			judge_log(order, listed->logs[i].number,
				  listed->logs[i].ended, listed->logs[i].end);
	}
	order->looked++;
	free(listed);
}

static void
judge_current(struct crash_order *order, const char *tmp)
{
	char manifest[ENV_NAME_MAX + 1];

	order->looked++;
	if (fault_env_unsynced_bytes(order->disk, tmp) > 0)
		note(order, "R8: renamed unsynced", tmp);
	if (!named_manifest(order, tmp, false, manifest))
		note(order, "R8: names no manifest:", tmp);
	else if (!fault_env_name_synced(order->disk, manifest) ||
		 fault_env_unsynced_bytes(order->disk, manifest) > MARK_BYTES)
		note(order, "R8: CURRENT names unsynced", manifest);
}

static bool
is_needed(const struct listed *listed, const char *name)
{
	uint64_t number = strtoull(name, NULL, 10);

	for (size_t i = 0; strstr(name, ".sst") && i < listed->tables.count;
	     i++)
		if (listed->tables.items[i] == number)
			return true;
	for (size_t i = 0; strstr(name, ".log") && i < listed->log_count; i++)
		if (listed->logs[i].number == number &&
		    number >= listed->floor &&
		    !(listed->logs[i].ended && listed->logs[i].end == 0))
			return true;
	return false;
}

static void
judge_removal(struct crash_order *order, const char *name)
{
	char manifest[ENV_NAME_MAX + 1];
	struct listed *listed;

	if (strcmp(name, "CURRENT") == 0)
		note(order, "R9: removed", name);
	if (!named_manifest(order, "CURRENT", true, manifest))
		return;
	order->looked++;
	if (strcmp(name, manifest) == 0)
		note(order, "R8: CURRENT still names, and removed was", name);
	listed = read_manifest(order, manifest, true);
	if (listed && is_needed(listed, name))
		note(order, "R6: the durable manifest needs, and removed was",
		     name);
	free(listed);
}

void
crash_order_look(void *arg, enum fault_call call, const char *name,
		 const char *to)
{
	struct crash_order *order = arg;

	if (fault_env_crashed(order->disk))
		return;
	if (call == FAULT_SYNC &&
	    strncmp(name, MANIFEST_PREFIX, strlen(MANIFEST_PREFIX)) == 0)
		judge_manifest(order, name);
	if (call == FAULT_RENAME && strcmp(to, "CURRENT") == 0)
		judge_current(order, name);
	if (call == FAULT_UNLINK)
		judge_removal(order, name);
}
