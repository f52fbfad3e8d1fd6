/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "tests/simxen/host.h"

#define NO_OWNER 0u

off_t frame_offset(const struct host *host, uint32_t frame)
{
	return host->file->layout.frames_offset + (off_t)frame * HOST_PAGE_BYTES;
}

void frame_free(struct host *host, uint32_t frame)
{
	atomic_store(&host->frame_owners[frame], NO_OWNER);
}

void frame_free_all_of(struct host *host, uint16_t slot)
{
	for (uint32_t frame = 1; frame < host->file->settings.n_frames; frame++) {
		if (atomic_load_explicit(&host->frame_owners[frame], memory_order_relaxed) == slot + 1u)
			frame_free(host, frame);
	}
}

static int zero(const struct host *host, const uint32_t *frames, uint32_t n)
{
	for (uint32_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && frames[i + run] == frames[i] + run; run++)
			;
		if (fallocate(host->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    frame_offset(host, frames[i]), (off_t)run * HOST_PAGE_BYTES) < 0)
			return -errno;
	}
	return 0;
}

int frame_take(struct host *host, uint16_t slot, uint32_t n, uint32_t *ret_frames)
{
	uint32_t n_frames = host->file->settings.n_frames;
	uint32_t n_found = 0;

	uint8_t *mapped = calloc(n_frames, 1);
	if (!mapped)
		return -ENOMEM;
	foreign_maps_mark_frames(host, mapped);
	for (uint32_t i = 1; i < n_frames && n_found < n; i++) {
		uint32_t frame = 1 + (host->file->last_frame + i - 1) % (n_frames - 1);
		if (atomic_load(&host->frame_owners[frame]) == NO_OWNER && !mapped[frame])
			ret_frames[n_found++] = frame;
	}
	free(mapped);
	if (n_found < n)
		return -ENOMEM;
	if (n)
		host->file->last_frame = ret_frames[n - 1];

	for (uint32_t i = 0; i < n; i++)
		atomic_store(&host->frame_owners[ret_frames[i]], slot + 1u);
	int result = zero(host, ret_frames, n);
	if (result < 0)
		frame_free_all_of(host, slot);
	return result;
}
