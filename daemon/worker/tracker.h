/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Polls the dirty bitmap of the worker's domain and publishes it to the region logs. What it decides is in
 * hull (which range), tracked_range (when to change it, what its bits are worth), poll_pace (when to ask) and
 * tracked_region (what readers are told); here is the timer, the hypercall, and who waits for it.
 */
#ifndef XENVRAM_WORKER_TRACKER_H
#define XENVRAM_WORKER_TRACKER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/common/extent.h"
#include "daemon/worker/guest.h"

struct tracker;

struct tracker_ops {
	/* The poll that tracker_poll asked for is published. */
	void (*on_polled)(void *owner, uint64_t serial);
	/* The hypervisor says that the domain is gone. */
	void (*on_domain_gone)(void *owner);
};

struct tracker *tracker_new(
	struct event_base *base, struct guest *guest, const struct tracker_ops *ops, void *owner);
/*
 * The guest is open and known to be the one that is meant. It may be tracked still: a worker that is killed does
 * not stop it.
 */
void tracker_begin(struct tracker *tracker);
/* Stops tracking in the hypervisor and frees. */
struct tracker *tracker_free(struct tracker *tracker);

/*
 * share_ppm (from 1) of one CPU's time is what polls of this domain may take. Every refresh_ns all that is
 * followed is taken for dirty, for whatever reads the hypervisor's bitmap behind our back; 0: never.
 */
void tracker_limit(struct tracker *tracker, uint32_t share_ppm, uint64_t refresh_ns);

/*
 * Adds a region with its writable log, which stays the caller's; its pages are at `vram` and everything in it
 * is dirty. Adding a cookie again ends its readers, as a new broker needs that tells of all of them anew. 0,
 * or -1 with errno.
 */
int tracker_add(struct tracker *tracker, uint64_t cookie, struct extent vram, int log_fd);
/*
 * The region's page 0 is at gfn vram_first from now on, and only the live extents (in pages of the region,
 * ascending) are there; all of them are taken for dirty, unless that was so already. If they are scattered, some
 * may be elsewhere, and they are dirty at every poll. -1 with ENOENT, or ERANGE.
 */
int tracker_place(struct tracker *tracker, uint64_t cookie, uint64_t vram_first, bool scattered,
	const struct extent *live, size_t n_live);
bool tracker_has(const struct tracker *tracker, uint64_t cookie);
/* Marks its log as gone and forgets the region; nothing when there is none. */
void tracker_remove(struct tracker *tracker, uint64_t cookie);
void tracker_remove_all(struct tracker *tracker);

/*
 * A subscription follows these pages of the region: polled at least every period_us (from 1), unless the pace
 * is stretched. wake_fd, taken over also on failure, is the write end of a pipe that gets a byte when some of
 * them have changed, no more often than that; or -1. -1 with ENOENT, ERANGE or ENOMEM.
 */
int tracker_add_reader(struct tracker *tracker, uint64_t cookie, uint64_t subscription, struct extent pages,
	uint32_t period_us, int wake_fd);
void tracker_drop_reader(struct tracker *tracker, uint64_t subscription);

/*
 * Polls these pages of the region now, or as soon after the last poll as the pace allows, and then calls
 * on_polled(serial). -1 with ENOENT, ERANGE or ENOMEM.
 */
int tracker_poll(struct tracker *tracker, uint64_t cookie, struct extent pages, uint64_t serial);
/* Who asked for polls is gone: on_polled is called for none of them. */
void tracker_forget_polls(struct tracker *tracker);

/*
 * Publishes pages as dirty that the hypervisor does not know of: n extents, counted from the region's first
 * page, that the device model wrote; with n = 0 the whole region. -1 with ENOENT, or ERANGE beyond the
 * region.
 */
int tracker_mark(struct tracker *tracker, uint64_t cookie, const struct extent *pages, size_t n);

/* Stops tracking in the hypervisor while pages are moved; the next poll starts it again, all dirty. */
void tracker_suspend(struct tracker *tracker);
/* Stops tracking and waits until whoever comes after us, and knows nothing of us, may start it again. */
void tracker_rest(struct tracker *tracker);

#endif
