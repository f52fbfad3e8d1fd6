/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/extent.h"

struct extent extent_hull(struct extent a, struct extent b)
{
	if (a.nr_pages == 0)
		return b;
	if (b.nr_pages == 0)
		return a;
	uint64_t first = a.first < b.first ? a.first : b.first;
	uint64_t end = extent_end(a) > extent_end(b) ? extent_end(a) : extent_end(b);
	return (struct extent){first, end - first};
}

struct extent extent_overlap(struct extent a, struct extent b)
{
	uint64_t first = a.first > b.first ? a.first : b.first;
	uint64_t end = extent_end(a) < extent_end(b) ? extent_end(a) : extent_end(b);
	return (struct extent){first, end > first ? end - first : 0};
}

bool extents_overlap(struct extent a, struct extent b)
{
	return extent_overlap(a, b).nr_pages > 0;
}

bool extent_contains(struct extent outer, struct extent inner)
{
	return inner.first >= outer.first && extent_end(inner) <= extent_end(outer);
}
