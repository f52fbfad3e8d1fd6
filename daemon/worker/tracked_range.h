/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hypervisor's one range of a domain: what it is, when it may change, and what its bits are worth. Each
 * change splits superpages, and costs every reader everything dirty once, so there is a pause between two.
 * No I/O, no clock.
 */
#ifndef XENVRAM_WORKER_TRACKED_RANGE_H
#define XENVRAM_WORKER_TRACKED_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/common/extent.h"

struct tracked_range {
	struct extent gfns; /* nr_pages 0: tracking is off */
	bool fresh;         /* its next answer means all dirty */
	bool left_on; /* a range that is not known may be tracked: it was not, or could not be, stopped */
	uint64_t may_change_ns; /* not to be set to another one before */
};

enum tracked_range_answer {
	TRACKED_RANGE_EXACT,     /* the bits are what the guest wrote since the answer before */
	TRACKED_RANGE_ALL_DIRTY, /* anything may have been written */
	TRACKED_RANGE_GONE,      /* the domain does not exist any more */
};

/* Takes `wanted` for the range, unless it is too early for that. */
void tracked_range_want(struct tracked_range *range, struct extent wanted, uint64_t now_ns);

/* What the hypervisor's answer to a call for this range means; error is 0 or its errno. */
enum tracked_range_answer tracked_range_answered(struct tracked_range *range, int error);

/* The gfns of which its next answer will be exact: none before the first answer, or after one that failed. */
struct extent tracked_range_known(const struct tracked_range *range);

/* Tracking is to be stopped. False: it is off. */
bool tracked_range_stop(struct tracked_range *range);

#endif
