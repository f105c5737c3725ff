/* SPDX-License-Identifier: Apache-2.0 */
/* fault_disk.c - the disk in memory: files, and what is durable of them. */
#include <config.h>

#include "tests/fault_disk.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/must.h"

/* A mapped file may grow to this size without moving.  Only address space:
 * pages that are never touched take no memory. */
#define REGION_BYTES (64u << 20)

static uint64_t
page_up(uint64_t size)
{
	return (size + DISK_PAGE - 1) / DISK_PAGE * DISK_PAGE;
}

/* Grows a buffer to hold `need` bytes; the new ones are zeros. */
static void
reserve(uint8_t **buf, uint64_t *cap, uint64_t need)
{
	uint64_t want = *cap ? *cap : 256;

	if (need <= *cap)
		return;
	while (want < need)
		want *= 2;
	*buf = must_realloc(*buf, want);
	memset(*buf + *cap, 0, want - *cap);
	*cap = want;
}

/* ---- Inodes ---- */

struct disk_inode *
disk_inode_new(struct disk *disk)
{
	struct disk_inode *inode = must_alloc(sizeof(*inode));

	inode->refs = 1;
	disk->inodes = must_grow(disk->inodes, disk->inode_count,
				 &disk->inode_cap, sizeof(*disk->inodes));
	disk->inodes[disk->inode_count++] = inode;
	return inode;
}

static void
forget_changes(struct disk_inode *inode)
{
	for (size_t i = 0; i < inode->change_count; i++)
		free(inode->changes[i].data);
	inode->change_count = 0;
}

static void
inode_free(struct disk_inode *inode)
{
	forget_changes(inode);
	free(inode->changes);
	if (inode->region)
		munmap(inode->data, inode->cap);
	else
		free(inode->data);
	free(inode->clean);
	free(inode->durable);
	free(inode);
}

/* Its blocks are not wiped: a file that gets them next may show them. */
static void
forget_inode(struct disk *disk, struct disk_inode *inode)
{
	size_t i = 0;

	while (disk->inodes[i] != inode)
		i++;
	disk->inodes[i] = disk->inodes[--disk->inode_count];
	if (inode->durable_size == 0)
		return;
	free(disk->stale);
	disk->stale = inode->durable;
	disk->stale_len = inode->durable_size;
	inode->durable = NULL;
}

void
disk_inode_ref(struct disk_inode *inode)
{
	inode->refs++;
}

void
disk_inode_unref(struct disk *disk, struct disk_inode *inode)
{
	if (--inode->refs > 0)
		return;
	if (disk)
		forget_inode(disk, inode);
	inode_free(inode);
}

/* ---- The disk ---- */

struct disk *
disk_new(uint64_t capacity)
{
	struct disk *disk = must_alloc(sizeof(*disk));

	disk->capacity = capacity;
	return disk;
}

void
disk_free(struct disk *disk)
{
	for (size_t i = 0; i < disk->dir_count; i++)
		disk_dir_free(disk, disk->dirs[i]);
	free(disk->dirs);
	free(disk->inodes);
	free(disk->stale);
	free(disk);
}

/* An unlinked file takes room until its last handle is closed. */
uint64_t
disk_used(const struct disk *disk)
{
	uint64_t used = 0;

	for (size_t i = 0; i < disk->inode_count; i++) {
		const struct disk_inode *inode = disk->inodes[i];

		if (inode->links > 0 || inode->handles > 0)
			used += page_up(inode->size);
	}
	return used;
}

/* How large the file may become on this disk. */
static uint64_t
size_limit(const struct disk *disk, const struct disk_inode *inode)
{
	uint64_t used = disk_used(disk);
	uint64_t left = disk->capacity > used ? disk->capacity - used : 0;

	return page_up(inode->size) + left / DISK_PAGE * DISK_PAGE;
}

/* ---- Contents ---- */

/* Beyond its end a mapped file must not be touched: there the memory is taken
 * away, as the kernel would answer SIGBUS. */
static void
protect(struct disk_inode *inode)
{
	uint64_t end = page_up(inode->size);

	if (mprotect(inode->data, end, PROT_READ | PROT_WRITE) < 0 ||
	    mprotect(inode->data + end, inode->cap - end, PROT_NONE) < 0)
		abort();
}

static int
resize(struct disk_inode *inode, uint64_t size)
{
	uint64_t old = inode->size;

	if (inode->region && size > inode->cap)
		return -EFBIG;
	if (size < old)
		memset(inode->data + size, 0, old - size);
	if (!inode->region)
		reserve(&inode->data, &inode->cap, size);
	inode->size = size;
	if (inode->region)
		protect(inode);
	return 0;
}

static void
note_change(struct disk *disk, struct disk_inode *inode, uint64_t offset,
	    const void *data, size_t len)
{
	struct disk_change *change;

	inode->changes = must_grow(inode->changes, inode->change_count,
				   &inode->change_cap, sizeof(*inode->changes));
	change = &inode->changes[inode->change_count++];
	*change = (struct disk_change){ .offset = offset,
					.len = len,
					.data = must_copy(data, len),
					.size = inode->size,
					.order = ++disk->order };
}

size_t
disk_read(const struct disk_inode *inode, uint64_t offset, void *buf,
	  size_t len)
{
	if (offset >= inode->size)
		return 0;
	if (len > inode->size - offset)
		len = (size_t)(inode->size - offset);
	if (len)
		memcpy(buf, inode->data + offset, len);
	return len;
}

int
disk_write(struct disk *disk, struct disk_inode *inode, uint64_t offset,
	   const void *data, size_t len)
{
	uint64_t limit = size_limit(disk, inode);
	int full = 0, r;

	if (len == 0)
		return 0;
	if (offset + len > limit) {
		full = -ENOSPC;
		len = offset < limit ? (size_t)(limit - offset) : 0;
		if (len == 0)
			return full;
	}
	if (offset + len > inode->size) {
		r = resize(inode, offset + len);
		if (r < 0)
			return r;
	}
	memcpy(inode->data + offset, data, len);
	note_change(disk, inode, offset, data, len);
	return full;
}

int
disk_set_size(struct disk *disk, struct disk_inode *inode, uint64_t size)
{
	int r;

	if (size > inode->size && size > size_limit(disk, inode))
		return -ENOSPC;
	r = resize(inode, size);
	if (r == 0)
		note_change(disk, inode, 0, NULL, 0);
	return r;
}

int
disk_map(struct disk_inode *inode, size_t len, void **out)
{
	uint64_t cap = page_up(len > REGION_BYTES ? len : REGION_BYTES);
	uint8_t *data;

	if (inode->region && len > inode->cap)
		return -ENOMEM;
	if (!inode->region) {
		if (inode->size > cap)
			return -ENOMEM;
		data = mmap(NULL, cap, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (data == MAP_FAILED)
			return -ENOMEM;
		if (inode->size)
			memcpy(data, inode->data, inode->size);
		reserve(&inode->clean, &inode->clean_cap, inode->size);
		if (inode->size)
			memcpy(inode->clean, data, inode->size);
		free(inode->data);
		inode->data = data;
		inode->cap = cap;
		inode->region = true;
		protect(inode);
	}
	*out = inode->data;
	return 0;
}

/* ---- What is durable ---- */

/* Another thread may be storing into the page: whatever is read is one possible
 * outcome, so this is no race worth reporting. */
__attribute__((no_sanitize_thread, no_sanitize_address)) static void
copy_page(const uint8_t *page, uint8_t *out)
{
	const volatile uint64_t *from = (const volatile void *)page;
	uint64_t word;

	for (size_t i = 0; i < DISK_PAGE / sizeof(word); i++) {
		word = from[i];
		memcpy(out + i * sizeof(word), &word, sizeof(word));
	}
}

/* Copies the page at `offset` if it is not as it was last written back.  Its
 * part beyond the end of the file is not looked at. */
static bool
changed_page(const struct disk_inode *inode, uint64_t offset, uint8_t *out,
	     size_t *len)
{
	static const uint8_t zeros[DISK_PAGE];
	uint64_t left = inode->size - offset, known = 0;

	*len = left < DISK_PAGE ? (size_t)left : DISK_PAGE;
	copy_page(inode->data + offset, out);
	if (offset < inode->clean_cap)
		known = inode->clean_cap - offset;
	if (known > *len)
		known = *len;
	if (known && memcmp(out, inode->clean + offset, known) != 0)
		return true;
	return memcmp(out + known, zeros, *len - known) != 0;
}

static void
set_durable(struct disk_inode *inode, uint64_t offset, const uint8_t *data,
	    size_t len)
{
	reserve(&inode->durable, &inode->durable_cap, offset + len);
	if (len)
		memcpy(inode->durable + offset, data, len);
}

static void
set_durable_size(struct disk_inode *inode, uint64_t size)
{
	reserve(&inode->durable, &inode->durable_cap, size);
	if (size < inode->durable_size)
		memset(inode->durable + size, 0, inode->durable_size - size);
	inode->durable_size = size;
}

static void
sync_pages(struct disk_inode *inode)
{
	uint8_t page[DISK_PAGE];
	size_t len;

	reserve(&inode->clean, &inode->clean_cap, inode->size);
	for (uint64_t at = 0; at < inode->size; at += DISK_PAGE) {
		if (!changed_page(inode, at, page, &len))
			continue;
		set_durable(inode, at, page, len);
		memcpy(inode->clean + at, page, len);
	}
}

/* What is past the end reads as zeros when the file grows again. */
static void
cut_clean(struct disk_inode *inode)
{
	if (inode->clean_cap > inode->size)
		memset(inode->clean + inode->size, 0,
		       inode->clean_cap - inode->size);
}

void
disk_sync(struct disk_inode *inode)
{
	for (size_t i = 0; i < inode->change_count; i++) {
		const struct disk_change *change = &inode->changes[i];

		set_durable(inode, change->offset, change->data, change->len);
		set_durable_size(inode, change->size);
	}
	forget_changes(inode);
	/* After disk_drop_dirty() no change is left to tell the size. */
	set_durable_size(inode, inode->size);
	if (inode->region) {
		cut_clean(inode);
		sync_pages(inode);
	}
}

void
disk_drop_dirty(struct disk_inode *inode)
{
	uint8_t page[DISK_PAGE];
	size_t len;

	forget_changes(inode);
	if (!inode->region)
		return;
	reserve(&inode->clean, &inode->clean_cap, inode->size);
	for (uint64_t at = 0; at < inode->size; at += DISK_PAGE) {
		if (changed_page(inode, at, page, &len))
			memcpy(inode->clean + at, page, len);
	}
}

uint64_t
disk_unsynced_bytes(const struct disk_inode *inode)
{
	uint8_t page[DISK_PAGE];
	uint64_t bytes = 0;
	size_t len;

	for (size_t i = 0; i < inode->change_count; i++)
		bytes += inode->changes[i].len;
	for (uint64_t at = 0; inode->region && at < inode->size;
	     at += DISK_PAGE) {
		if (changed_page(inode, at, page, &len))
			bytes += len;
	}
	return bytes;
}

bool
disk_is_clean(const struct disk_inode *inode)
{
	return inode->change_count == 0 && disk_unsynced_bytes(inode) == 0;
}

void
disk_poke(struct disk_inode *inode, uint64_t offset, const void *data,
	  size_t len)
{
	memcpy(inode->data + offset, data, len);
	set_durable(inode, offset, data, len);
	if (inode->region && offset + len <= inode->clean_cap)
		memcpy(inode->clean + offset, data, len);
}

void
disk_power_off(struct disk *disk)
{
	uint8_t page[DISK_PAGE];
	size_t len;

	for (size_t i = 0; i < disk->inode_count; i++) {
		struct disk_inode *inode = disk->inodes[i];

		if (!inode->region)
			continue;
		for (uint64_t at = 0; at < inode->size; at += DISK_PAGE) {
			if (!changed_page(inode, at, page, &len))
				continue;
			note_change(disk, inode, at, page, len);
			inode->changes[inode->change_count - 1].mapped = true;
		}
	}
}

struct disk_inode *
disk_inode_add(struct disk *disk, const void *data, size_t len)
{
	struct disk_inode *inode = disk_inode_new(disk);

	reserve(&inode->data, &inode->cap, len);
	if (len)
		memcpy(inode->data, data, len);
	inode->size = len;
	set_durable(inode, 0, data, len);
	set_durable_size(inode, len);
	return inode;
}
