/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/hull.h"

static uint64_t end_of(struct extent extent)
{
	return extent.first + extent.nr_pages;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

struct extent hull_add(struct extent hull, struct extent extent)
{
	if (hull.nr_pages == 0)
		return extent;
	uint64_t first = min(hull.first, extent.first);
	return (struct extent){first, max(end_of(hull), end_of(extent)) - first};
}

struct extent hull_cut(struct extent hull, uint64_t max_pages)
{
	hull.nr_pages = min(hull.nr_pages, max_pages);
	return hull;
}

struct extent hull_overlap(struct extent a, struct extent b)
{
	uint64_t first = max(a.first, b.first);
	uint64_t end = min(end_of(a), end_of(b));
	return (struct extent){first, end > first ? end - first : 0};
}
