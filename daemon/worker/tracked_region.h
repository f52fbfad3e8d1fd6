/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One region as the tracker sees it: where it is, its log, who is to be woken. */
#ifndef XENVRAM_WORKER_TRACKED_REGION_H
#define XENVRAM_WORKER_TRACKED_REGION_H

#include <stdint.h>
#include <sys/queue.h>

#include "daemon/worker/hull.h"
#include "daemon/worker/log_writer.h"

struct wake {
	LIST_ENTRY(wake) link; /* tracked_region::wakes */
	uint64_t subscription;
	int fd;
};

struct tracked_region {
	LIST_ENTRY(tracked_region) link; /* tracker::regions */
	uint64_t cookie;
	struct extent vram;
	struct log_writer log;
	uint32_t period_us;     /* 0: nobody watches */
	uint64_t armed_till_ns; /* tracked until then even if nobody watches; CLOCK_MONOTONIC */
	bool asked;             /* somebody waits for a poll of it */
	bool followed;          /* no bit was read and thrown away since the last time it was published */
	LIST_HEAD(, wake) wakes;
};

/* NULL with errno: as log_writer_map, or ENOMEM. The log fd stays the caller's. */
struct tracked_region *tracked_region_new(uint64_t cookie, struct extent vram, int log_fd);
struct tracked_region *tracked_region_free(struct tracked_region *region);

/* Takes over fd, also on failure: -1 with ENOMEM. The same subscription again replaces its fd. */
int tracked_region_add_wake(struct tracked_region *region, uint64_t subscription, int fd);
void tracked_region_drop_wake(struct tracked_region *region, uint64_t subscription);
void tracked_region_wake(struct tracked_region *region);

/*
 * Publishes what one poll of `hull` found: its bitmap, or NULL when all must be taken for dirty. What
 * lies outside of the hull is dirty always.
 */
void tracked_region_publish(struct tracked_region *region, struct extent hull, const unsigned long *bitmap,
	uint64_t now_ns, uint64_t poll_ns);

/* Takes the whole region for dirty, without asking the hypervisor. */
void tracked_region_refresh(struct tracked_region *region);
/* The device model wrote these pages, counted from the region's first. -1 with ERANGE, and nothing is marked.
 */
int tracked_region_mark(struct tracked_region *region, const struct extent *pages, size_t n);

/* Nobody watches: from now on its bits may be read and thrown away, so that all is dirty next time. */
void tracked_region_set_idle(struct tracked_region *region);

#endif
