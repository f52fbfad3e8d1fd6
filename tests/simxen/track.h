/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one range of a domain whose dirty pages are tracked. The caller holds the domain's lock. */
#ifndef XENVRAM_SIMXEN_TRACK_H
#define XENVRAM_SIMXEN_TRACK_H

#include <stdbool.h>
#include <stdint.h>

struct domain;

#define TRACK_MAX_PAGES 262144u

struct tracking {
	uint64_t first_gfn;
	uint32_t nr_pages; /* 0: nothing is tracked */
	uint64_t arms;     /* how often another range began to be tracked */
	uint64_t stops;    /* how often tracking ended */
	uint64_t dirty[TRACK_MAX_PAGES / 64];
};

/*
 * What track_dirty_vram does in the hypervisor: hands out the dirty bits of the range, in whole bytes, and
 * clears them; a new range replaces the old one. 0, or a negative errno.
 */
int track_read(
	struct domain *domain, bool shadow, uint64_t first_gfn, uint32_t nr_pages, uint8_t *ret_bitmap);

/* The guest wrote to the page, or one arrived there. */
void track_mark(struct tracking *tracking, uint64_t gfn);

/* The page has left: holes are never dirty. */
void track_unmark(struct tracking *tracking, uint64_t gfn);

#endif
