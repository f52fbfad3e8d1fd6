/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/simxen/track.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/simxen/domain.h"

static bool covers(const struct tracking *tracking, uint64_t gfn)
{
	return gfn >= tracking->first_gfn && gfn - tracking->first_gfn < tracking->nr_pages;
}

void track_mark(struct tracking *tracking, uint64_t gfn)
{
	if (covers(tracking, gfn)) {
		uint64_t page = gfn - tracking->first_gfn;
		tracking->dirty[page / 64] |= 1ull << page % 64;
	}
}

void track_unmark(struct tracking *tracking, uint64_t gfn)
{
	if (covers(tracking, gfn)) {
		uint64_t page = gfn - tracking->first_gfn;
		tracking->dirty[page / 64] &= ~(1ull << page % 64);
	}
}

static void start(struct tracking *tracking, uint64_t first_gfn, uint32_t nr_pages)
{
	/* Whoever finds this half done finds nothing tracked. */
	tracking->nr_pages = 0;
	atomic_signal_fence(memory_order_seq_cst);
	memset(tracking->dirty, 0, (nr_pages + 63) / 64 * sizeof(uint64_t));
	tracking->first_gfn = first_gfn;
	atomic_signal_fence(memory_order_seq_cst);
	tracking->nr_pages = nr_pages;
}

/* Shadow paging has nothing to write-protect in a hole, and plays safe. */
static void mark_holes(struct domain *domain)
{
	struct tracking *tracking = &domain->tracking;
	for (uint32_t i = 0; i < tracking->nr_pages; i++) {
		if (!p2m_get(&domain->p2m, tracking->first_gfn + i))
			track_mark(tracking, tracking->first_gfn + i);
	}
}

int track_read(struct domain *domain, bool shadow, uint64_t first_gfn, uint32_t nr_pages, uint8_t *ret_bitmap)
{
	struct tracking *tracking = &domain->tracking;
	uint32_t n_bytes = (nr_pages + 7) / 8;

	if (nr_pages > TRACK_MAX_PAGES)
		return -EINVAL;
	if (domain->state != DOMAIN_ALIVE)
		return -ESRCH;
	if (shadow && (first_gfn + nr_pages < first_gfn || first_gfn + nr_pages > domain->p2m.max_gfn + 1))
		return -EINVAL;
	if (nr_pages == 0) {
		tracking->stops += tracking->nr_pages > 0;
		tracking->nr_pages = 0;
		return 0;
	}
	if (tracking->first_gfn != first_gfn || tracking->nr_pages != nr_pages) {
		start(tracking, first_gfn, nr_pages);
		tracking->arms++;
		if (shadow)
			return -ENODATA;
		memset(ret_bitmap, 0xff, n_bytes);
		return 0;
	}
	if (shadow)
		mark_holes(domain);
	memcpy(ret_bitmap, tracking->dirty, n_bytes);
	memset(tracking->dirty, 0, (nr_pages + 63) / 64 * sizeof(uint64_t));
	return 0;
}
