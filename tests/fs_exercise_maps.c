/* SPDX-License-Identifier: Apache-2.0 */
/* fs_exercise_maps.c - the steps through mappings; see fs_exercise.h.
 *
 * A mapping is made for one step, or the window is used: it stays for many, so what
 * is written there lies in dirty pages while the file is written, cut and copied
 * by other ways. */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/fs_exercise.h"

#define PAGE UINT64_C(4096)
#define WINDOW_BYTES (UINT64_C(64) * PAGE)

static struct window
window_open(const struct exercised *f, uint64_t from, size_t len,
	    int protection, int flags)
{
	struct window w = { .from = from / PAGE * PAGE };

	w.len = (size_t)(from + len - w.from);
	w.at = mmap(NULL, w.len, protection, flags, f->fd, (off_t)w.from);
	if (w.at == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	return w;
}

void
window_close(struct window *w)
{
	if (w->at && munmap(w->at, w->len) != 0)
		wrong("munmap: %s", strerror(errno));
	w->at = NULL;
}

void
exercised_write_back(struct exercised *f)
{
	const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE |
			     SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	if (f->kept.at && sync_file_range(f->fd, 0, 0, all) != 0)
		wrong("sync_file_range: %s", strerror(errno));
}

/* Where byte `offset` of the file is mapped. */
static uint8_t *
window_at(const struct window *w, uint64_t offset)
{
	return w->at + (offset - w->from);
}

/* A range for a step: of the window if there is one and chance wills it; false: the
 * file has nothing there. */
static bool
pick_range(const struct exercised *f, uint64_t *from, size_t *len,
	   bool *in_window)
{
	const struct window *w = &f->kept;
	uint64_t end = f->want.size;

	*in_window = w->at && any(4) != 0;
	*from = *in_window ? w->from + any((uint32_t)w->len) : pick_offset(f);
	if (*in_window && end > w->from + w->len)
		end = w->from + w->len;
	if (*from >= end)
		return false;
	*len = pick_len(*from);
	if (*len > end - *from)
		*len = (size_t)(end - *from);
	return true;
}

void
step_map_write(struct exercised *f)
{
	struct window w;
	bool in_window, syncs = any(20) == 0;
	const uint8_t *data;
	uint64_t from;
	size_t len;

	if (!pick_range(f, &from, &len, &in_window))
		return;
	data = pick_data(len);
	note(f, "%s write %zu at %" PRIu64 "%s",
	     in_window ? "window" : "mapped", len, from,
	     syncs ? ", msync" : "");
	w = in_window ? f->kept
		      : window_open(f, from, len, PROT_READ | PROT_WRITE,
				    MAP_SHARED);
	memcpy(window_at(&w, from), data, len);
	if (syncs && msync(w.at, w.len, MS_SYNC) != 0)
		wrong("msync: %s", strerror(errno));
	if (!in_window)
		window_close(&w);
	sparse_write(&f->want, from, data, len);
}

/* Behind its end the last page of a file is zeros. */
void
step_map_read(struct exercised *f)
{
	struct window w;
	bool in_window;
	uint64_t from;
	size_t len;

	if (!pick_range(f, &from, &len, &in_window))
		return;
	note(f, "%s read %zu at %" PRIu64, in_window ? "window" : "mapped", len,
	     from);
	if (from + len == f->want.size)
		len += (size_t)(-f->want.size % PAGE);
	w = in_window ? f->kept
		      : window_open(f, from, len, PROT_READ, MAP_SHARED);
	expect_bytes(f, window_at(&w, from), from, len);
	if (!in_window)
		window_close(&w);
}

/* What is written to a private mapping is seen there and nowhere else. */
void
step_map_private(struct exercised *f)
{
	uint64_t from = pick_offset(f);
	const uint8_t *data;
	struct window w;
	size_t len;

	if (from >= f->want.size)
		return;
	len = pick_len(from);
	if (len > f->want.size - from)
		len = (size_t)(f->want.size - from);
	data = pick_data(len);
	note(f, "private write %zu at %" PRIu64, len, from);
	w = window_open(f, from, len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (any(2))
		expect_bytes(f, window_at(&w, from), from, len);
	memcpy(window_at(&w, from), data, len);
	if (memcmp(window_at(&w, from), data, len) != 0)
		wrong("a private page lost what was written to it");
	window_close(&w);
}

/* Another window, or none. */
void
step_map_keep(struct exercised *f)
{
	uint64_t from = pick_offset(f) / PAGE * PAGE;

	window_close(&f->kept);
	if (any(4) == 0) {
		note(f, "no window");
		return;
	}
	note(f, "window at %" PRIu64, from);
	f->kept = window_open(f, from, WINDOW_BYTES, PROT_READ | PROT_WRITE,
			      MAP_SHARED);
}
