/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moving pages of a domain from gfn to gfn. The caller holds the domain's lock. */
#ifndef XENVRAM_SIMXEN_RELOCATE_H
#define XENVRAM_SIMXEN_RELOCATE_H

#include <stdint.h>

#include "tests/simxen/fault.h"

struct host;
struct domain;

/* The move of one page, written down before it starts, so that whoever finds it half done can finish it. */
struct move {
	uint64_t src_gfn;
	uint64_t dst_gfn;
	uint32_t frame;
	uint32_t old_frame; /* at the destination, to be freed */
	uint32_t under_way; /* written last */
};

/*
 * What relocate_memory does in the hypervisor: page by page, up to the first error, saying nothing of how
 * far it came. 0, or a negative errno.
 */
int relocate(struct host *host, struct domain *domain, const struct call *call, uint32_t n_pages,
	uint64_t src_gfn, uint64_t dst_gfn);

/* Finishes the move that a killed process left. */
void relocate_recover(struct host *host, struct domain *domain);

#endif
