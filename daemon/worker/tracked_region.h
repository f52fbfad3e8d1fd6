/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One region as the tracker sees it: where its pages are, which of them somebody follows, its log, its
 * readers. It turns what a poll found into generations of the log.
 */
#ifndef XENVRAM_WORKER_TRACKED_REGION_H
#define XENVRAM_WORKER_TRACKED_REGION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/common/extent.h"
#include "daemon/worker/log_writer.h"
#include "daemon/worker/poll_pace.h"
#include "daemon/worker/reader.h"
#include "proto/limits.h"

/* All extents but in hull_of_gfns are pages of the region, counted from its first. */
struct tracked_region {
	LIST_ENTRY(tracked_region) link; /* tracker::regions */
	uint64_t cookie;
	uint64_t vram_first;                    /* gfn of page 0 */
	struct extent live[MAX_REGION_EXTENTS]; /* what is left of it, ascending */
	size_t n_live;
	bool scattered; /* some of them may be elsewhere: what the hypervisor says is not all */
	struct log_writer log;
	LIST_HEAD(, reader) readers;
	struct extent asked;     /* somebody waits for a poll of these; none: nr_pages 0 */
	struct extent lingering; /* tracked until then although nobody watches */
	uint64_t linger_till_ns; /* CLOCK_MONOTONIC */
	/* No bit of these was read and thrown away since they were published last. */
	struct extent followed;
};

/* NULL with errno: as log_writer_map, or ENOMEM. The log fd stays the caller's. */
struct tracked_region *tracked_region_new(
	uint64_t cookie, uint64_t vram_first, uint64_t nr_pages, int log_fd);
/* Readers hear of it only by their pipes' end. */
struct tracked_region *tracked_region_free(struct tracked_region *region);

/*
 * Its first page is at vram_first, and these pages are there. If they are scattered, some are perhaps
 * elsewhere, and all that is wanted is dirty at every poll. Nothing happens if it was so already. -1 with
 * ERANGE: they are not in the region.
 */
int tracked_region_place(struct tracked_region *region, uint64_t vram_first, bool scattered,
	const struct extent *live, size_t n_live);

/* Takes wake_fd over, also on failure: -1 with ERANGE, beyond the region, or ENOMEM. Replaces an earlier one
 * of this subscription. */
int tracked_region_add_reader(struct tracked_region *region, uint64_t subscription, struct extent pages,
	uint32_t period_us, int wake_fd);
/* What it followed lingers. False: there is none. */
bool tracked_region_drop_reader(struct tracked_region *region, uint64_t subscription, uint64_t now_ns);
void tracked_region_drop_readers(struct tracked_region *region, uint64_t now_ns);
/* Somebody waits for a poll of these pages, and may soon ask again. -1 with ERANGE. */
int tracked_region_ask(struct tracked_region *region, struct extent pages, uint64_t now_ns);

/* All that is to be tracked, as one extent; nr_pages 0: nothing. */
struct extent tracked_region_wanted(const struct tracked_region *region, uint64_t now_ns);
/* Stores the gfns of the live ones among these pages, at most MAX_REGION_EXTENTS, and returns how many. */
size_t tracked_region_gfns(const struct tracked_region *region, struct extent pages, struct extent *ret_gfns);
/* The shortest of all readers; 0: there are none. */
uint64_t tracked_region_period_ns(const struct tracked_region *region);

/*
 * Publishes what one poll of hull_of_gfns found: its bitmap, or NULL when all must be taken for dirty. What
 * is wanted and lies outside of the hull is dirty always. Returns whether anything is.
 */
bool tracked_region_publish(struct tracked_region *region, struct extent hull_of_gfns,
	const unsigned long *bitmap, uint64_t now_ns);

/* Writes down how often it is polled, or that nobody wants it: then its bits may be thrown away. */
void tracked_region_describe(struct tracked_region *region, const struct poll_pace *pace,
	struct extent hull_of_gfns, uint64_t now_ns);

/* Takes all of it for dirty, without asking the hypervisor. */
void tracked_region_refresh(struct tracked_region *region);
/* The device model wrote these pages; those that are not live are passed over. -1 with ERANGE, and nothing is
 * marked. */
int tracked_region_mark(struct tracked_region *region, const struct extent *pages, size_t n);

/* Wakes whom it is time for. Returns when the next one is to be woken; UINT64_MAX: nobody. */
uint64_t tracked_region_wake(struct tracked_region *region, uint64_t now_ns);
/* The region is gone; all are woken. */
void tracked_region_end(struct tracked_region *region, uint64_t now_ns);

#endif
