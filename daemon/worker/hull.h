/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypervisor tracks one range a domain. The hull is that range: from the first to the last page of
 * all that is watched.
 */
#ifndef XENVRAM_WORKER_HULL_H
#define XENVRAM_WORKER_HULL_H

#include <stddef.h>
#include <stdint.h>

struct extent {
	uint64_t first; /* gfn */
	uint64_t nr_pages;
};

/* The hull grown by one more extent; an empty hull (nr_pages 0) becomes that extent. */
struct extent hull_add(struct extent hull, struct extent extent);

/* Cut to at most max_pages, from its start: what lies beyond cannot be tracked. */
struct extent hull_cut(struct extent hull, uint64_t max_pages);

/* What both have in common; nr_pages 0 when nothing. */
struct extent hull_overlap(struct extent a, struct extent b);

#endif
