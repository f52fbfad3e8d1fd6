/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/hull.h"

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The range without what none of the extents wants at its ends, for which the guest would pay. */
static struct extent trim(const struct extent *extents, size_t n, struct extent range)
{
	struct extent hull = {0};
	for (size_t i = 0; i < n; i++)
		hull = extent_hull(hull, extent_overlap(extents[i], range));
	return hull;
}

/* Pages in more than one extent count as often: more readers want them. */
static uint64_t covered(const struct extent *extents, size_t n, struct extent range)
{
	uint64_t pages = 0;
	for (size_t i = 0; i < n; i++)
		pages += extent_overlap(extents[i], range).nr_pages;
	return pages;
}

struct extent hull_choose(const struct extent *extents, size_t n, uint64_t max_pages, struct extent current)
{
	struct extent hull = {0};
	for (size_t i = 0; i < n; i++)
		hull = extent_hull(hull, extents[i]);
	if (hull.nr_pages <= max_pages)
		return hull;

	struct extent best = current;
	uint64_t most = current.nr_pages <= max_pages ? covered(extents, n, current) : 0;
	/* A best range can be shifted until it begins or ends with some extent, without covering less. */
	for (size_t i = 0; i < n; i++) {
		uint64_t first = extents[i].first, end = extent_end(extents[i]);
		uint64_t begin = max(hull.first, end - min(end, max_pages));
		const struct extent candidates[] = {
			{first, min(max_pages, extent_end(hull) - first)},
			{begin, end - begin},
		};
		for (size_t k = 0; k < 2; k++) {
			uint64_t pages = covered(extents, n, candidates[k]);
			if (pages > most) {
				most = pages;
				best = trim(extents, n, candidates[k]);
			}
		}
	}
	return best;
}
