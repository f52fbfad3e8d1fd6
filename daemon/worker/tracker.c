/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/tracker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/common/clock.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"
#include "daemon/worker/hull.h"
#include "daemon/worker/tracked_range.h"
#include "daemon/worker/tracked_region.h"
#include "proto/limits.h"

/* The track call writes one bit a page; the spare word keeps the buffer off a page boundary. */
#define BITMAP_WORDS (MAX_REGION_PAGES / 64)
#define MAX_EXTENTS  ((MAX_REGIONS_PER_DOMAIN + MAX_TRACKED_RANGES_PER_DOMAIN) * MAX_REGION_EXTENTS)

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
	struct tracked_range range;
	struct poll_pace pace;
	uint64_t refresh_ns; /* 0: never */
	uint64_t refreshed_ns;
	int last_error; /* so that a lasting error is logged once */
	unsigned long *bitmap;
	unsigned long *bitmap_storage;
};

/* All that somebody wants at one moment. */
struct demand {
	struct extent range; /* nr_pages 0: nothing */
	uint64_t period_ns;  /* 0: nobody follows */
	bool asked;
	uint64_t linger_till_ns; /* when it will be less; UINT64_MAX: not by itself */
};

static struct tracked_region *find_region(const struct tracker *tracker, uint64_t cookie)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (region->cookie == cookie)
			return region;
	}
	errno = ENOENT;
	return NULL;
}

/* Something has changed in what is wanted: the next turn of the loop sees to it. */
static void reconsider(struct tracker *tracker)
{
	event_active(tracker->timer, EV_TIMEOUT, 0);
}

static void stir(struct tracker *tracker)
{
	poll_pace_stir(&tracker->pace, clock_now_ns());
	reconsider(tracker);
}

static struct demand demand_now(struct tracker *tracker, uint64_t now)
{
	struct demand demand = {.asked = !STAILQ_EMPTY(&tracker->requests), .linger_till_ns = UINT64_MAX};
	struct extent gfns[MAX_EXTENTS];
	const struct tracked_region *region;
	size_t n = 0;

	LIST_FOREACH(region, &tracker->regions, link) {
		uint64_t period_ns = tracked_region_period_ns(region);
		if (period_ns > 0 && (demand.period_ns == 0 || period_ns < demand.period_ns))
			demand.period_ns = period_ns;
		if (region->linger_till_ns > now && region->linger_till_ns < demand.linger_till_ns)
			demand.linger_till_ns = region->linger_till_ns;
		if (n + MAX_REGION_EXTENTS <= MAX_EXTENTS)
			n += tracked_region_gfns(region, tracked_region_wanted(region, now), &gfns[n]);
	}
	demand.range = hull_choose(gfns, n, tracker->guest->max_tracked_pages, tracker->range.gfns);
	return demand;
}

/* ---- the hypervisor ---- */

/*
 * Zero pages stop tracking. The pointer must not be NULL (EFAULT, and tracking stays on), and must not be
 * page-aligned (the kernel of dom0 copies through it and is overrun).
 */
void tracker_suspend(struct tracker *tracker)
{
	if (!tracked_range_stop(&tracker->range))
		return;
	if (xendevicemodel_track_dirty_vram(
		    tracker->guest->devicemodel, tracker->guest->domid, 0, 0, tracker->bitmap) < 0 &&
		errno != ESRCH) {
		log_warning("tracking cannot be stopped: %s", strerror(errno));
		tracker->range.left_on = true;
	}
}

void tracker_rest(struct tracker *tracker)
{
	uint64_t till_ns = tracker->range.may_change_ns;
	struct timespec till = {.tv_sec = till_ns / 1000000000, .tv_nsec = till_ns % 1000000000};

	tracker_suspend(tracker);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &till, NULL) == EINTR)
		;
}

static void log_once(struct tracker *tracker, int error)
{
	if (error != tracker->last_error && error != 0)
		log_warning("reading the dirty bitmap of gfn 0x%" PRIx64 " + %" PRIu64
			    " pages fails, all of it is taken for dirty: %s",
			tracker->range.gfns.first, tracker->range.gfns.nr_pages, strerror(error));
	tracker->last_error = error;
}

static enum tracked_range_answer read_bitmap(struct tracker *tracker)
{
	struct extent gfns = tracker->range.gfns;
	int error = 0;

	/* The hypervisor writes whole bytes only; what it leaves must be clean. */
	memset(tracker->bitmap, 0, (gfns.nr_pages + 63) / 64 * sizeof(*tracker->bitmap));
	if (xendevicemodel_track_dirty_vram(tracker->guest->devicemodel, tracker->guest->domid, gfns.first,
		    gfns.nr_pages, tracker->bitmap) < 0)
		error = errno;
	if (error != ESRCH && error != ENODATA)
		log_once(tracker, error);
	return tracked_range_answered(&tracker->range, error);
}

/* ---- polling ---- */

static void end_requests(struct tracker *tracker, bool polled)
{
	struct poll_request *request;
	struct tracked_region *region;

	LIST_FOREACH(region, &tracker->regions, link)
		region->asked = (struct extent){0};
	while ((request = STAILQ_FIRST(&tracker->requests))) {
		STAILQ_REMOVE_HEAD(&tracker->requests, link);
		if (polled)
			tracker->ops->on_polled(tracker->owner, request->serial);
		free(request);
	}
}

static bool refresh_is_due(struct tracker *tracker, uint64_t now)
{
	if (tracker->refresh_ns == 0 || now < tracker->refreshed_ns + tracker->refresh_ns)
		return false;
	tracker->refreshed_ns = now;
	return true;
}

static void count_poll(struct tracker *tracker, uint64_t begun, uint64_t ended)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (tracked_region_wanted(region, begun).nr_pages > 0)
			log_writer_count_poll(&region->log, ended, ended - begun);
	}
}

/* Tracking may still be off, if it is too early to begin again: then all that is wanted is dirty. */
static int poll_now(struct tracker *tracker, struct extent wanted, uint64_t now)
{
	enum tracked_range_answer answer = TRACKED_RANGE_ALL_DIRTY;
	struct tracked_region *region;
	bool changed = false;

	tracked_range_want(&tracker->range, wanted, now);
	if (tracker->range.gfns.nr_pages > 0)
		answer = read_bitmap(tracker);
	if (answer == TRACKED_RANGE_GONE)
		return -1;
	bool refresh = refresh_is_due(tracker, now);
	bool exact = answer == TRACKED_RANGE_EXACT && !refresh;
	uint64_t answered = clock_now_ns();

	LIST_FOREACH(region, &tracker->regions, link) {
		if (tracked_region_wanted(region, now).nr_pages > 0)
			changed |= tracked_region_publish(
				region, tracker->range.gfns, exact ? tracker->bitmap : NULL, now);
	}
	/* What cannot be tracked costs nothing but to say so, which may be more than the hypercall. */
	uint64_t ended = clock_now_ns();
	if (tracker->range.gfns.nr_pages > 0)
		count_poll(tracker, now, ended);
	/* A refresh says nothing about what the guest does. */
	poll_pace_polled(&tracker->pace, now, answered, ended, changed && !refresh);
	return 0;
}

static uint64_t poll_due(struct tracker *tracker, const struct demand *demand)
{
	uint64_t due = poll_pace_due(&tracker->pace, demand->period_ns, demand->asked);
	/* Who waits for an answer gets one; a follower's is worth nothing before tracking is on again. */
	if (tracker->range.gfns.nr_pages == 0 && !demand->asked && due < tracker->range.may_change_ns)
		due = tracker->range.may_change_ns;
	return due;
}

static void schedule(struct tracker *tracker, uint64_t deadline)
{
	uint64_t now = clock_now_ns();
	if (deadline == UINT64_MAX) {
		event_del(tracker->timer);
		return;
	}
	uint64_t wait_us = deadline > now ? (deadline - now + 999) / 1000 : 0;
	struct timeval wait = {.tv_sec = wait_us / 1000000, .tv_usec = wait_us % 1000000};
	event_add(tracker->timer, &wait);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void describe(struct tracker *tracker, struct tracked_region *region, uint64_t now)
{
	tracked_region_describe(region, &tracker->pace, tracked_range_known(&tracker->range), now);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
	struct tracker *tracker = data;
	uint64_t now = clock_now_ns();
	struct demand demand = demand_now(tracker, now);
	bool nothing = demand.range.nr_pages == 0, due = !nothing && now >= poll_due(tracker, &demand);
	struct tracked_region *region;

	(void)fd;
	(void)what;
	if (nothing)
		tracker_suspend(tracker);
	if (due && poll_now(tracker, demand.range, now) < 0) {
		tracker->ops->on_domain_gone(tracker->owner);
		return;
	}
	/* Whoever has an answer reads there how much of it was tracked. */
	LIST_FOREACH(region, &tracker->regions, link)
		describe(tracker, region, now);
	/* Of those with nothing wanted the regions were removed. */
	if (nothing || due)
		end_requests(tracker, true);

	demand = demand_now(tracker, now);
	uint64_t deadline = demand.linger_till_ns;
	if (demand.range.nr_pages > 0)
		deadline = min(deadline, poll_due(tracker, &demand));
	LIST_FOREACH(region, &tracker->regions, link)
		deadline = min(deadline, tracked_region_wake(region, now));
	schedule(tracker, deadline);
}

/* ---- what the worker asks for ---- */

void tracker_begin(struct tracker *tracker)
{
	tracker->range.left_on = true;
	reconsider(tracker);
}

void tracker_limit(struct tracker *tracker, uint32_t share_ppm, uint64_t refresh_ns)
{
	tracker->pace.share_ppm = share_ppm;
	tracker->refresh_ns = refresh_ns;
	reconsider(tracker);
}

int tracker_add(struct tracker *tracker, uint64_t cookie, struct extent vram, int log_fd)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (region) {
		tracked_region_drop_readers(region, clock_now_ns());
		reconsider(tracker);
		return 0;
	}
	region = tracked_region_new(cookie, vram.first, vram.nr_pages, log_fd);
	if (!region)
		return -1;
	LIST_INSERT_HEAD(&tracker->regions, region, link);
	/* Whoever wrote the log before may have had bits that it never published. */
	tracked_region_refresh(region);
	describe(tracker, region, clock_now_ns());
	return 0;
}

int tracker_place(struct tracker *tracker, uint64_t cookie, uint64_t vram_first, bool scattered,
	const struct extent *live, size_t n_live)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region || tracked_region_place(region, vram_first, scattered, live, n_live) < 0)
		return -1;
	stir(tracker);
	return 0;
}

bool tracker_has(const struct tracker *tracker, uint64_t cookie)
{
	return find_region(tracker, cookie) != NULL;
}

static void end_region(struct tracked_region *region)
{
	LIST_REMOVE(region, link);
	tracked_region_end(region, clock_now_ns());
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
	reconsider(tracker);
}

int tracker_add_reader(struct tracker *tracker, uint64_t cookie, uint64_t subscription, struct extent pages,
	uint32_t period_us, int wake_fd)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region) {
		fd_close(wake_fd);
		errno = ENOENT;
		return -1;
	}
	if (tracked_region_add_reader(region, subscription, pages, period_us, wake_fd) < 0)
		return -1;
	stir(tracker);
	return 0;
}

void tracker_drop_reader(struct tracker *tracker, uint64_t subscription)
{
	struct tracked_region *region;
	LIST_FOREACH(region, &tracker->regions, link) {
		if (tracked_region_drop_reader(region, subscription, clock_now_ns()))
			reconsider(tracker);
	}
}

int tracker_poll(struct tracker *tracker, uint64_t cookie, struct extent pages, uint64_t serial)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return -1;
	struct poll_request *request = malloc(sizeof(*request));
	if (!request || tracked_region_ask(region, pages, clock_now_ns()) < 0) {
		free(request);
		return -1;
	}
	request->serial = serial;
	STAILQ_INSERT_TAIL(&tracker->requests, request, link);
	reconsider(tracker);
	return 0;
}

void tracker_forget_polls(struct tracker *tracker)
{
	end_requests(tracker, false);
	reconsider(tracker);
}

int tracker_mark(struct tracker *tracker, uint64_t cookie, const struct extent *pages, size_t n)
{
	struct tracked_region *region = find_region(tracker, cookie);
	if (!region)
		return -1;
	if (n == 0)
		tracked_region_refresh(region);
	else if (tracked_region_mark(region, pages, n) < 0)
		return -1;
	stir(tracker);
	return 0;
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
	poll_pace_init(&tracker->pace, DEFAULT_POLL_BUDGET_PERCENT * 10000);
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
	end_requests(tracker, false);
	if (tracker->timer)
		event_free(tracker->timer);
	free(tracker->bitmap_storage);
	free(tracker);
	return NULL;
}
