/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One subscription as the worker sees it: which pages of a region, how often, and whom to wake. */
#ifndef XENVRAM_WORKER_READER_H
#define XENVRAM_WORKER_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/common/extent.h"

struct reader {
	LIST_ENTRY(reader) link; /* tracked_region::readers */
	uint64_t subscription;
	struct extent pages; /* of the region */
	uint64_t period_ns;
	int wake_fd;           /* the write end of its pipe; -1: it looks by itself */
	bool stale;            /* something changed since it was woken */
	uint64_t next_wake_ns; /* CLOCK_MONOTONIC: not before, so that it is once a period at most */
};

/* Takes wake_fd over, also on failure: NULL with ENOMEM. A new reader is stale. */
struct reader *reader_new(uint64_t subscription, struct extent pages, uint32_t period_us, int wake_fd);
struct reader *reader_free(struct reader *reader);

/* When it is to be woken; UINT64_MAX: not until something changes. */
uint64_t reader_due(const struct reader *reader);
/* Is it now? A poll that is nearly due for this reader serves it too. */
bool reader_is_due(const struct reader *reader, uint64_t now_ns);
void reader_wake(struct reader *reader, uint64_t now_ns);

#endif
