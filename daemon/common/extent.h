/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A run of pages: of guest frames, or of a region counted from its first. nr_pages 0: empty, wherever. */
#ifndef XENVRAM_COMMON_EXTENT_H
#define XENVRAM_COMMON_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

struct extent {
	uint64_t first;
	uint64_t nr_pages;
};

static inline uint64_t extent_end(struct extent extent)
{
	return extent.first + extent.nr_pages;
}

/* The smallest extent that has all pages of both. */
struct extent extent_hull(struct extent a, struct extent b);
/* What both have in common. */
struct extent extent_overlap(struct extent a, struct extent b);
bool extents_overlap(struct extent a, struct extent b);
/* Has `outer` every page of `inner`? */
bool extent_contains(struct extent outer, struct extent inner);

#endif
