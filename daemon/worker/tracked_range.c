/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/worker/tracked_range.h"

#include <errno.h>

#include "proto/limits.h"

void tracked_range_want(struct tracked_range *range, struct extent wanted, uint64_t now_ns)
{
	bool same = wanted.first == range->gfns.first && wanted.nr_pages == range->gfns.nr_pages;
	if (same || now_ns < range->may_change_ns)
		return;
	*range = (struct tracked_range){
		.gfns = wanted,
		.fresh = true,
		.may_change_ns = now_ns + RANGE_CHANGE_US * 1000ull,
	};
}

enum tracked_range_answer tracked_range_answered(struct tracked_range *range, int error)
{
	bool exact = error == 0 && !range->fresh;

	if (error == ESRCH)
		return TRACKED_RANGE_GONE;
	/* ENODATA is how shadow paging says that it has just begun. After any other error bits may be lost.
	 */
	range->fresh = error != 0 && error != ENODATA;
	return exact ? TRACKED_RANGE_EXACT : TRACKED_RANGE_ALL_DIRTY;
}

struct extent tracked_range_known(const struct tracked_range *range)
{
	return range->fresh ? (struct extent){0} : range->gfns;
}

bool tracked_range_stop(struct tracked_range *range)
{
	bool was_on = range->gfns.nr_pages > 0 || range->left_on;
	range->gfns = (struct extent){0};
	range->left_on = false;
	return was_on;
}
