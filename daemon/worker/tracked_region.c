/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/tracked_region.h"

#include <errno.h>
#include <string.h>

#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

struct tracked_region *tracked_region_new(uint64_t cookie, struct extent vram, int log_fd)
{
	struct tracked_region *region = calloc(1, sizeof(*region));
	if (!region)
		return NULL;
	region->cookie = cookie;
	region->vram = vram;
	LIST_INIT(&region->wakes);
	if (log_writer_map(&region->log, log_fd, vram.nr_pages) < 0)
		return tracked_region_free(region);
	return region;
}

static void wake_free(struct wake *wake)
{
	LIST_REMOVE(wake, link);
	fd_close(wake->fd);
	free(wake);
}

struct tracked_region *tracked_region_free(struct tracked_region *region)
{
	int saved_errno = errno;
	while (!LIST_EMPTY(&region->wakes))
		wake_free(LIST_FIRST(&region->wakes));
	log_writer_unmap(&region->log);
	free(region);
	errno = saved_errno;
	return NULL;
}

void tracked_region_drop_wake(struct tracked_region *region, uint64_t subscription)
{
	struct wake *wake, *next;
	LIST_FOREACH_SAFE(wake, &region->wakes, link, next) {
		if (wake->subscription == subscription)
			wake_free(wake);
	}
}

/* A full pipe (EAGAIN) is a wake-up that the reader has not taken yet; EPIPE, a reader that went away. */
static void wake_reader(struct wake *wake)
{
	if (write(wake->fd, "", 1) == 1 || errno == EAGAIN)
		return;
	if (errno != EPIPE)
		log_warning("subscription %llu cannot be woken: %s", (unsigned long long)wake->subscription,
			strerror(errno));
	wake_free(wake);
}

int tracked_region_add_wake(struct tracked_region *region, uint64_t subscription, int fd)
{
	struct wake *wake = malloc(sizeof(*wake));
	if (!wake) {
		fd_close(fd);
		return -1;
	}
	tracked_region_drop_wake(region, subscription);
	*wake = (struct wake){.subscription = subscription, .fd = fd};
	LIST_INSERT_HEAD(&region->wakes, wake, link);
	/* The reader may have looked before a poll that did not know of its pipe. */
	wake_reader(wake);
	return 0;
}

void tracked_region_wake(struct tracked_region *region)
{
	struct wake *wake, *next;
	LIST_FOREACH_SAFE(wake, &region->wakes, link, next)
		wake_reader(wake);
}

void tracked_region_publish(struct tracked_region *region, struct extent hull, const unsigned long *bitmap,
	uint64_t now_ns, uint64_t poll_ns)
{
	struct log_writer *log = &region->log;
	struct extent seen = hull_overlap(region->vram, hull);
	uint64_t before = seen.nr_pages ? seen.first - region->vram.first : region->vram.nr_pages;
	uint64_t after = region->vram.nr_pages - before - seen.nr_pages;

	log_writer_begin(log);
	log_writer_mark_all(log, 0, before);
	if (bitmap && region->followed)
		log_writer_mark_bits(log, before, seen.nr_pages, bitmap, seen.first - hull.first);
	else
		log_writer_mark_all(log, before, seen.nr_pages);
	log_writer_mark_all(log, before + seen.nr_pages, after);
	region->followed = true;
	if (region->period_us > 0)
		log_writer_set_state(log, before + after > 0 ? REGION_LOG_PARTIAL : REGION_LOG_TRACKED,
			region->period_us * 1000ull, before + after);
	log_writer_count_poll(log, now_ns, poll_ns);
	if (log_writer_commit(log))
		tracked_region_wake(region);
}

void tracked_region_refresh(struct tracked_region *region)
{
	log_writer_begin(&region->log);
	log_writer_mark_all(&region->log, 0, region->vram.nr_pages);
	log_writer_commit(&region->log);
	tracked_region_wake(region);
}

int tracked_region_mark(struct tracked_region *region, const struct extent *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (pages[i].first >= region->vram.nr_pages ||
			pages[i].nr_pages > region->vram.nr_pages - pages[i].first) {
			errno = ERANGE;
			return -1;
		}
	}
	log_writer_begin(&region->log);
	for (size_t i = 0; i < n; i++)
		log_writer_mark_written(&region->log, pages[i].first, pages[i].nr_pages);
	log_writer_commit(&region->log);
	tracked_region_wake(region);
	return 0;
}

void tracked_region_set_idle(struct tracked_region *region)
{
	region->followed = false;
	log_writer_set_state(&region->log, REGION_LOG_IDLE, 0, 0);
}
