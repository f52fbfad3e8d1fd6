/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/tracked_region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/common/list.h"

struct tracked_region *tracked_region_new(uint64_t cookie, uint64_t vram_first, uint64_t nr_pages, int log_fd)
{
	struct tracked_region *region = calloc(1, sizeof(*region));
	if (!region)
		return NULL;
	region->cookie = cookie;
	region->vram_first = vram_first;
	region->live[0] = (struct extent){0, nr_pages};
	region->n_live = 1;
	LIST_INIT(&region->readers);
	if (log_writer_map(&region->log, log_fd, nr_pages) < 0)
		return tracked_region_free(region);
	return region;
}

static void end_reader(struct reader *reader)
{
	LIST_REMOVE(reader, link);
	reader_free(reader);
}

struct tracked_region *tracked_region_free(struct tracked_region *region)
{
	int saved_errno = errno;
	while (!LIST_EMPTY(&region->readers))
		end_reader(LIST_FIRST(&region->readers));
	log_writer_unmap(&region->log);
	free(region);
	errno = saved_errno;
	return NULL;
}

static int check(const struct tracked_region *region, const struct extent *pages, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (pages[i].first >= region->log.nr_pages ||
			pages[i].nr_pages > region->log.nr_pages - pages[i].first) {
			errno = ERANGE;
			return -1;
		}
	}
	return 0;
}

int tracked_region_place(struct tracked_region *region, uint64_t vram_first, bool scattered,
	const struct extent *live, size_t n_live)
{
	if (n_live > MAX_REGION_EXTENTS) {
		errno = ERANGE;
		return -1;
	}
	if (check(region, live, n_live) < 0)
		return -1;
	if (vram_first == region->vram_first && scattered == region->scattered && n_live == region->n_live &&
		memcmp(live, region->live, n_live * sizeof(*live)) == 0)
		return 0;
	region->vram_first = vram_first;
	region->scattered = scattered;
	memcpy(region->live, live, n_live * sizeof(*live));
	region->n_live = n_live;
	region->followed = (struct extent){0};
	tracked_region_refresh(region);
	return 0;
}

/* ---- who follows what ---- */

int tracked_region_add_reader(struct tracked_region *region, uint64_t subscription, struct extent pages,
	uint32_t period_us, int wake_fd)
{
	struct reader *reader = reader_new(subscription, pages, period_us, wake_fd);
	struct reader *other;

	if (!reader)
		return -1;
	if (check(region, &pages, 1) < 0) {
		reader_free(reader);
		return -1;
	}
	LIST_FOREACH(other, &region->readers, link) {
		if (other->subscription == subscription) {
			end_reader(other);
			break;
		}
	}
	LIST_INSERT_HEAD(&region->readers, reader, link);
	return 0;
}

static struct extent lingering(const struct tracked_region *region, uint64_t now_ns)
{
	return now_ns < region->linger_till_ns ? region->lingering : (struct extent){0};
}

static void linger(struct tracked_region *region, struct extent pages, uint64_t now_ns)
{
	region->lingering = extent_hull(lingering(region, now_ns), pages);
	region->linger_till_ns = now_ns + LINGER_US * 1000ull;
}

static void drop_reader(struct tracked_region *region, struct reader *reader, uint64_t now_ns)
{
	linger(region, reader->pages, now_ns);
	end_reader(reader);
}

bool tracked_region_drop_reader(struct tracked_region *region, uint64_t subscription, uint64_t now_ns)
{
	struct reader *reader;
	LIST_FOREACH(reader, &region->readers, link) {
		if (reader->subscription != subscription)
			continue;
		drop_reader(region, reader, now_ns);
		return true;
	}
	return false;
}

void tracked_region_drop_readers(struct tracked_region *region, uint64_t now_ns)
{
	while (!LIST_EMPTY(&region->readers))
		drop_reader(region, LIST_FIRST(&region->readers), now_ns);
}

int tracked_region_ask(struct tracked_region *region, struct extent pages, uint64_t now_ns)
{
	if (check(region, &pages, 1) < 0)
		return -1;
	region->asked = extent_hull(region->asked, pages);
	linger(region, pages, now_ns);
	return 0;
}

struct extent tracked_region_wanted(const struct tracked_region *region, uint64_t now_ns)
{
	struct extent wanted = extent_hull(region->asked, lingering(region, now_ns));
	const struct reader *reader;
	LIST_FOREACH(reader, &region->readers, link)
		wanted = extent_hull(wanted, reader->pages);
	return wanted;
}

size_t tracked_region_gfns(const struct tracked_region *region, struct extent pages, struct extent *ret_gfns)
{
	size_t n = 0;
	for (size_t i = 0; i < region->n_live; i++) {
		struct extent extent = extent_overlap(region->live[i], pages);
		extent.first += region->vram_first;
		if (extent.nr_pages > 0)
			ret_gfns[n++] = extent;
	}
	return n;
}

uint64_t tracked_region_period_ns(const struct tracked_region *region)
{
	uint64_t period_ns = 0;
	const struct reader *reader;
	LIST_FOREACH(reader, &region->readers, link) {
		if (period_ns == 0 || reader->period_ns < period_ns)
			period_ns = reader->period_ns;
	}
	return period_ns;
}

/* ---- publishing ---- */

/* The pages that the hull, of gfns, has. */
static struct extent in_hull(const struct tracked_region *region, struct extent pages, struct extent hull)
{
	struct extent gfns = {region->vram_first + pages.first, pages.nr_pages};
	struct extent seen = extent_overlap(gfns, hull);
	seen.first -= region->vram_first;
	return seen;
}

/* Marks what of `all` is not in `part`. */
static void mark_around(struct log_writer *log, struct extent all, struct extent part)
{
	uint64_t before = part.nr_pages > 0 ? part.first - all.first : all.nr_pages;
	uint64_t after = all.nr_pages - before - part.nr_pages;
	log_writer_mark_all(log, all.first, before);
	log_writer_mark_all(log, all.first + before + part.nr_pages, after);
}

static void publish_extent(
	struct tracked_region *region, struct extent pages, struct extent hull, const unsigned long *bitmap)
{
	struct extent seen = in_hull(region, pages, hull);
	struct extent known = bitmap ? extent_overlap(seen, region->followed) : (struct extent){0};

	mark_around(&region->log, pages, known);
	if (known.nr_pages > 0)
		log_writer_mark_bits(&region->log, known.first, known.nr_pages, bitmap,
			region->vram_first + known.first - hull.first);
}

/* Whoever looks at pages of this generation is not up to date any more. */
static bool commit(struct tracked_region *region)
{
	struct reader *reader;

	if (!log_writer_commit(&region->log))
		return false;
	LIST_FOREACH(reader, &region->readers, link) {
		if (!reader->stale)
			reader->stale =
				log_writer_has_new(&region->log, reader->pages.first, reader->pages.nr_pages);
	}
	return true;
}

bool tracked_region_publish(struct tracked_region *region, struct extent hull_of_gfns,
	const unsigned long *bitmap, uint64_t now_ns)
{
	struct extent wanted = tracked_region_wanted(region, now_ns);

	if (region->scattered)
		hull_of_gfns = (struct extent){0};
	log_writer_begin(&region->log);
	for (size_t i = 0; i < region->n_live; i++) {
		struct extent pages = extent_overlap(region->live[i], wanted);
		if (pages.nr_pages > 0)
			publish_extent(region, pages, hull_of_gfns, bitmap);
	}
	region->followed = in_hull(region, wanted, hull_of_gfns);
	return commit(region);
}

void tracked_region_refresh(struct tracked_region *region)
{
	log_writer_begin(&region->log);
	for (size_t i = 0; i < region->n_live; i++)
		log_writer_mark_all(&region->log, region->live[i].first, region->live[i].nr_pages);
	commit(region);
}

int tracked_region_mark(struct tracked_region *region, const struct extent *pages, size_t n)
{
	if (check(region, pages, n) < 0)
		return -1;
	log_writer_begin(&region->log);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < region->n_live; k++) {
			struct extent written = extent_overlap(region->live[k], pages[i]);
			log_writer_mark_written(&region->log, written.first, written.nr_pages);
		}
	}
	commit(region);
	return 0;
}

/* ---- what others see ---- */

static uint64_t count_untracked(const struct tracked_region *region, struct extent wanted, struct extent hull)
{
	struct extent gfns[MAX_REGION_EXTENTS];
	size_t n = tracked_region_gfns(region, wanted, gfns);
	uint64_t untracked = 0;
	for (size_t i = 0; i < n; i++)
		untracked += gfns[i].nr_pages - extent_overlap(gfns[i], hull).nr_pages;
	return untracked;
}

void tracked_region_describe(struct tracked_region *region, const struct poll_pace *pace,
	struct extent hull_of_gfns, uint64_t now_ns)
{
	struct log_pace shown = {.wanted_ns = tracked_region_period_ns(region)};
	struct extent wanted = tracked_region_wanted(region, now_ns);

	if (region->scattered)
		hull_of_gfns = (struct extent){0};
	if (wanted.nr_pages == 0)
		region->followed = (struct extent){0};
	shown.untracked_pages = count_untracked(region, wanted, hull_of_gfns);
	if (shown.wanted_ns == 0) {
		log_writer_set_state(&region->log, REGION_LOG_IDLE, &shown);
		return;
	}
	struct poll_period period = poll_pace_period(pace, shown.wanted_ns);
	shown.period_ns = period.ns;
	shown.stretch = period.stretch;
	log_writer_set_state(
		&region->log, shown.untracked_pages > 0 ? REGION_LOG_PARTIAL : REGION_LOG_TRACKED, &shown);
}

/* ---- waking ---- */

uint64_t tracked_region_wake(struct tracked_region *region, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;
	struct reader *reader;
	LIST_FOREACH(reader, &region->readers, link) {
		if (reader_is_due(reader, now_ns))
			reader_wake(reader, now_ns);
		else if (reader_due(reader) < next_ns)
			next_ns = reader_due(reader);
	}
	return next_ns;
}

void tracked_region_end(struct tracked_region *region, uint64_t now_ns)
{
	static const struct log_pace none;
	struct reader *reader;

	log_writer_set_state(&region->log, REGION_LOG_GONE, &none);
	LIST_FOREACH(reader, &region->readers, link)
		reader_wake(reader, now_ns);
}
