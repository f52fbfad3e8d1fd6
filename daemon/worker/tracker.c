/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/tracker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"
#include "daemon/worker/tracked_region.h"
#include "proto/limits.h"

/* The track call writes one bit a page; the spare word keeps the buffer off a page boundary. */
#define BITMAP_WORDS (MAX_REGION_PAGES / 64)

struct poll_request {
	STAILQ_ENTRY(poll_request) link; /* tracker::requests */
	uint64_t serial;
};

struct tracker {
	struct guest *guest;
	const struct tracker_ops *ops;
	void *owner;
	struct event *timer;
	LIST_HEAD(, tracked_region) regions;
	STAILQ_HEAD(, poll_request) requests; /* answered by the next poll */
	struct extent tracked;                /* the hypervisor's range; nr_pages 0: tracking is off */
	bool fresh;                           /* its next answer means all dirty */
	uint64_t last_poll_ns;
	uint64_t not_before_ns; /* of the next: the guest is paused during a poll, and must get its share */
	int last_error;         /* so that a lasting error is logged once */
	unsigned long *bitmap;
	unsigned long *bitmap_storage;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static struct tracked_region *find_region(struct tracker *tracker, uint64_t cookie)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (region->cookie == cookie)
			return region;
	}
	errno = ENOENT;
	return NULL;
}

static bool is_armed(const struct tracked_region *region, uint64_t now)
{
	return region->period_us > 0 || region->asked || now < region->armed_till_ns;
}

/* ---- the hypervisor's range ---- */

/*
 * Zero pages stop tracking. The pointer must not be NULL (EFAULT, and tracking stays on), and must not be
 * page-aligned (the kernel of dom0 copies through it and is overrun).
 */
static int stop_tracking(struct tracker *tracker)
{
	if (tracker->tracked.nr_pages == 0)
		return 0;
	tracker->tracked.nr_pages = 0;
	return xendevicemodel_track_dirty_vram(
		tracker->guest->devicemodel, tracker->guest->domid, 0, 0, tracker->bitmap);
}

void tracker_suspend(struct tracker *tracker)
{
	if (stop_tracking(tracker) < 0 && errno != ESRCH)
		log_warning("tracking cannot be stopped: %s", strerror(errno));
}

static struct extent wanted_range(struct tracker *tracker, uint64_t now)
{
	struct extent hull = {0};
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (is_armed(region, now))
			hull = hull_add(hull, region->vram);
	}
	return hull_cut(hull, tracker->guest->max_tracked_pages);
}

static void log_once(struct tracker *tracker, int error)
{
	if (error != tracker->last_error && error != 0)
		log_warning("reading the dirty bitmap of gfn 0x%" PRIx64 " + %" PRIu64
			    " pages fails, all of it is taken for dirty: %s",
			tracker->tracked.first, tracker->tracked.nr_pages, strerror(error));
	tracker->last_error = error;
}

/* Reads the bitmap of the tracked range. Its bits mean something only if *ret_exact. -1: the domain is gone.
 */
static int read_bitmap(struct tracker *tracker, bool *ret_exact)
{
	uint64_t nr_pages = tracker->tracked.nr_pages;
	bool fresh = tracker->fresh;

	/* The hypervisor writes whole bytes only; what it leaves must be clean. */
	memset(tracker->bitmap, 0, (nr_pages + 63) / 64 * sizeof(*tracker->bitmap));
	tracker->fresh = false;
	*ret_exact = false;
	if (xendevicemodel_track_dirty_vram(tracker->guest->devicemodel, tracker->guest->domid,
		    tracker->tracked.first, nr_pages, tracker->bitmap) == 0) {
		log_once(tracker, 0);
		*ret_exact = !fresh;
		return 0;
	}
	if (errno == ESRCH)
		return -1;
	/* ENODATA is how shadow paging says that it has just begun. After any other error bits may be lost.
	 */
	if (errno != ENODATA) {
		log_once(tracker, errno);
		tracker->fresh = true;
	}
	return 0;
}

/* ---- polling ---- */

static void answer_requests(struct tracker *tracker)
{
	struct poll_request *request;
	struct tracked_region *region;

	LIST_FOREACH(region, &tracker->regions, link)
		region->asked = false;
	while ((request = STAILQ_FIRST(&tracker->requests))) {
		STAILQ_REMOVE_HEAD(&tracker->requests, link);
		tracker->ops->on_polled(tracker->owner, request->serial);
		free(request);
	}
}

static int poll_now(struct tracker *tracker, struct extent range, uint64_t now)
{
	bool exact;

	if (range.first != tracker->tracked.first || range.nr_pages != tracker->tracked.nr_pages) {
		tracker->tracked = range;
		tracker->fresh = true;
	}
	if (read_bitmap(tracker, &exact) < 0)
		return -1;
	uint64_t done = now_ns();
	tracker->last_poll_ns = now;
	tracker->not_before_ns = done + (done - now);

	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (is_armed(region, now))
			tracked_region_publish(
				region, tracker->tracked, exact ? tracker->bitmap : NULL, done, done - now);
	}
	return 0;
}

/* The next moment at which something is to be done; 0: never. */
static uint64_t next_deadline(struct tracker *tracker, uint64_t now)
{
	uint64_t deadline = 0;
	struct tracked_region *region;

	if (!STAILQ_EMPTY(&tracker->requests))
		deadline = tracker->last_poll_ns + MIN_PERIOD_US * 1000ull;
	LIST_FOREACH(region, &tracker->regions, link) {
		uint64_t at = 0;
		if (region->period_us > 0)
			at = tracker->last_poll_ns + region->period_us * 1000ull;
		else if (now < region->armed_till_ns)
			at = region->armed_till_ns;
		if (at && (deadline == 0 || at < deadline))
			deadline = at;
	}
	return deadline && deadline < tracker->not_before_ns ? tracker->not_before_ns : deadline;
}

static void schedule(struct tracker *tracker)
{
	uint64_t now = now_ns();
	uint64_t deadline = next_deadline(tracker, now);

	if (deadline == 0) {
		event_del(tracker->timer);
		return;
	}
	uint64_t wait_us = deadline > now ? (deadline - now + 999) / 1000 : 0;
	struct timeval wait = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
	event_add(tracker->timer, &wait);
}

static bool poll_is_due(struct tracker *tracker, uint64_t now)
{
	struct tracked_region *region;

	if (now < tracker->not_before_ns)
		return false;
	if (!STAILQ_EMPTY(&tracker->requests) && now >= tracker->last_poll_ns + MIN_PERIOD_US * 1000ull)
		return true;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (region->period_us > 0 && now >= tracker->last_poll_ns + region->period_us * 1000ull)
			return true;
	}
	return false;
}

static void mark_idle_regions(struct tracker *tracker, uint64_t now)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (!is_armed(region, now))
			tracked_region_set_idle(region);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct tracker *tracker = data;
	uint64_t now = now_ns();
	struct extent range = wanted_range(tracker, now);

	(void)fd;
	(void)what;
	if (range.nr_pages == 0) {
		tracker_suspend(tracker);
		answer_requests(tracker); /* their regions were removed */
	} else if (poll_is_due(tracker, now)) {
		if (poll_now(tracker, range, now) < 0) {
			tracker->ops->on_domain_gone(tracker->owner);
			return;
		}
		answer_requests(tracker);
	}
	mark_idle_regions(tracker, now);
	schedule(tracker);
}

/* ---- what the worker asks for ---- */

int tracker_add(struct tracker *tracker, uint64_t cookie, struct extent vram, int log_fd)
{
	if (find_region(tracker, cookie))
		return 0;
	struct tracked_region *region = tracked_region_new(cookie, vram, log_fd);
	if (!region)
		return -1;
	LIST_INSERT_HEAD(&tracker->regions, region, link);
	/* Whoever wrote the log before may have had bits that it never published. */
	tracked_region_refresh(region);
	tracked_region_set_idle(region);
	return 0;
}

static void end_region(struct tracked_region *region)
{
	LIST_REMOVE(region, link);
	log_writer_set_state(&region->log, REGION_LOG_GONE, 0, 0);
	tracked_region_wake(region);
	tracked_region_free(region);
}

void tracker_remove_all(struct tracker *tracker)
{
	while (!LIST_EMPTY(&tracker->regions))
		end_region(LIST_FIRST(&tracker->regions));
}

void tracker_remove(struct tracker *tracker, uint64_t cookie)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return;
	end_region(region);
	/* Taking the range away is part of the next turn of the loop, as is every change of it. */
	event_active(tracker->timer, EV_TIMEOUT, 0);
}

static void linger(struct tracked_region *region)
{
	region->armed_till_ns = now_ns() + LINGER_US * 1000ull;
}

int tracker_watch(struct tracker *tracker, uint64_t cookie, uint32_t period_us)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return -1;
	if (region->period_us > 0 && period_us == 0)
		linger(region);
	region->period_us = period_us;
	event_active(tracker->timer, EV_TIMEOUT, 0);
	return 0;
}

int tracker_poll(struct tracker *tracker, uint64_t cookie, uint64_t serial)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return -1;
	struct poll_request *request = malloc(sizeof(*request));
	if (!request)
		return -1;
	request->serial = serial;
	STAILQ_INSERT_TAIL(&tracker->requests, request, link);
	linger(region);
	region->asked = true;
	schedule(tracker);
	return 0;
}

int tracker_mark(struct tracker *tracker, uint64_t cookie, const struct extent *pages, size_t n)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return -1;
	if (n > 0)
		return tracked_region_mark(region, pages, n);
	tracked_region_refresh(region);
	return 0;
}

int tracker_add_wake(struct tracker *tracker, uint64_t cookie, uint64_t subscription, int fd)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region) {
		fd_close(fd);
		errno = ENOENT;
		return -1;
	}
	return tracked_region_add_wake(region, subscription, fd);
}

void tracker_drop_wake(struct tracker *tracker, uint64_t subscription)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link)
		tracked_region_drop_wake(region, subscription);
}

struct tracker *tracker_new(
	struct event_base *base, struct guest *guest, const struct tracker_ops *ops, void *owner)
{
	struct tracker *tracker = calloc(1, sizeof(*tracker));
	if (!tracker)
		return NULL;
	*tracker = (struct tracker){.guest = guest, .ops = ops, .owner = owner};
	LIST_INIT(&tracker->regions);
	STAILQ_INIT(&tracker->requests);
	tracker->bitmap_storage = aligned_alloc(64, (BITMAP_WORDS + 8) * sizeof(*tracker->bitmap_storage));
	tracker->timer = evtimer_new(base, on_timer, tracker);
	if (!tracker->bitmap_storage || !tracker->timer)
		return tracker_free(tracker);
	tracker->bitmap = tracker->bitmap_storage + 1;
	return tracker;
}

struct tracker *tracker_free(struct tracker *tracker)
{
	if (!tracker)
		return NULL;
	tracker_suspend(tracker);
	while (!LIST_EMPTY(&tracker->regions)) {
		struct tracked_region *region = LIST_FIRST(&tracker->regions);
		LIST_REMOVE(region, link);
		tracked_region_free(region);
	}
	while (!STAILQ_EMPTY(&tracker->requests)) {
		struct poll_request *request = STAILQ_FIRST(&tracker->requests);
		STAILQ_REMOVE_HEAD(&tracker->requests, link);
		free(request);
	}
	if (tracker->timer)
		event_free(tracker->timer);
	free(tracker->bitmap_storage);
	free(tracker);
	return NULL;
}
