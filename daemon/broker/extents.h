/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a region are there: runs of them, counted from the region's first page, ascending, with a
 * gap between any two. At first one; each partial destruction takes some pages out. No I/O.
 */
#ifndef XENVRAM_BROKER_EXTENTS_H
#define XENVRAM_BROKER_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/common/extent.h"
#include "proto/limits.h"

struct extents {
	struct extent run[MAX_REGION_EXTENTS];
	unsigned int n;
};

/* All pages of a region. */
struct extents extents_whole(uint64_t nr_pages);

/* Are they as described above, within nr_pages, and not none? */
bool extents_are_good(const struct extents *extents, uint64_t nr_pages);

uint64_t extents_n_pages(const struct extents *extents);

/* A bit for each extent: bit i for run[i]. */
uint32_t extents_bits(const struct extents *extents);

/* The extent that has all pages of the run; NULL when there is none. */
const struct extent *extents_find(const struct extents *extents, struct extent run);

/*
 * What stays of the extents without the run, which one of them has. -1 with ENOSPC: more than
 * MAX_REGION_EXTENTS.
 */
int extents_remove(const struct extents *extents, struct extent run, struct extents *ret_extents);

/*
 * The first, or the last, pages that are there and within [from, to), in a row and no more than max; nr_pages
 * 0 when there are none.
 */
struct extent extents_first(const struct extents *extents, uint64_t from, uint64_t to, uint64_t max);
struct extent extents_last(const struct extents *extents, uint64_t from, uint64_t to, uint64_t max);

#endif
