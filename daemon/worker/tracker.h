/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Polls the dirty bitmap of the worker's domain and publishes it to the region logs.
 *
 * The hypervisor has one tracked range a domain; reading it clears it, and its first answer, or the first
 * after a change of range, means nothing but "all dirty". So the tracker keeps one range, the hull of all
 * regions that somebody watches, and takes all of a region for dirty whenever bits may have been lost.
 */
#ifndef XENVRAM_WORKER_TRACKER_H
#define XENVRAM_WORKER_TRACKER_H

#include <event2/event.h>
#include <stdint.h>

#include "daemon/worker/guest.h"
#include "daemon/worker/hull.h"

struct tracker;

struct tracker_ops {
	/* The poll that tracker_poll asked for is published. */
	void (*on_polled)(void *owner, uint64_t serial);
	/* The hypervisor says that the domain is gone. */
	void (*on_domain_gone)(void *owner);
};

struct tracker *tracker_new(
	struct event_base *base, struct guest *guest, const struct tracker_ops *ops, void *owner);
/* Stops tracking in the hypervisor and frees. */
struct tracker *tracker_free(struct tracker *tracker);

/*
 * Adds a region with its writable log, which stays the caller's; everything in it is dirty. Adding a cookie
 * again changes nothing. 0, or -1 with errno.
 */
int tracker_add(struct tracker *tracker, uint64_t cookie, struct extent vram, int log_fd);
/* Marks its log as gone and forgets the region; nothing when there is none. */
void tracker_remove(struct tracker *tracker, uint64_t cookie);
void tracker_remove_all(struct tracker *tracker);

/* Polls the region at least every period_us from now on; 0: nobody watches. -1 with ENOENT, no such region.
 */
int tracker_watch(struct tracker *tracker, uint64_t cookie, uint32_t period_us);

/*
 * Polls now, or MIN_PERIOD_US after the last poll if that is later, and then calls on_polled(serial). -1 with
 * ENOENT or ENOMEM.
 */
int tracker_poll(struct tracker *tracker, uint64_t cookie, uint64_t serial);

/*
 * Publishes pages as dirty that the hypervisor does not know of: n extents, counted from the region's first
 * page, that the device model wrote; with n = 0 the whole region. -1 with ENOENT, or ERANGE beyond the
 * region.
 */
int tracker_mark(struct tracker *tracker, uint64_t cookie, const struct extent *pages, size_t n);

/* Takes over `fd`, the write end of a pipe that gets a byte when the region's generation advances. */
int tracker_add_wake(struct tracker *tracker, uint64_t cookie, uint64_t subscription, int fd);
void tracker_drop_wake(struct tracker *tracker, uint64_t subscription);

/* Stops tracking in the hypervisor while pages are moved; the next poll starts it again, all dirty. */
void tracker_suspend(struct tracker *tracker);

#endif
