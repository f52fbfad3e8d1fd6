/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May a task begin? */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "daemon/broker/policy.h"
#include "daemon/broker/task_state.h"

static const char *name_of_work(const struct region_record *record)
{
	switch (record->state) {
	case CREATING:
		return "being created";
	case MOVING:
		return "being moved";
	case SHRINKING:
		return "being destroyed in part";
	default:
		return "being destroyed";
	}
}

static int admit(const struct region_record *record, struct failure *failure)
{
	if (record->state == ACTIVE || record->state == STUCK)
		return 0;
	return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY, "region 0x%" PRIx64 " is %s",
		record->cookie, name_of_work(record));
}

static int admit_partial_of_stuck(
	const struct region_record *record, struct extent going, struct failure *failure)
{
	if (record->ending || record->between)
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is stuck while %s: %s all of it", record->cookie,
			record->ending ? "all of it was destroyed" : "it was moved",
			record->ending ? "destroy" : "move or destroy");
	if (going.first != record->going.first || going.nr_pages != record->going.nr_pages)
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is stuck while page %" PRIu64 " + %" PRIu64
			" pages were destroyed: destroy these again, or all of it",
			record->cookie, record->going.first, record->going.nr_pages);
	return 0;
}

/* What is left would be one run more than may be. */
static int refuse_runs(const struct region_record *record, struct failure *failure)
{
	char who[64];

	snprintf(who, sizeof(who), "domain %" PRIu32 ": region 0x%" PRIx64, record->domid, record->cookie);
	return policy_admit_fixed(POLICY_FIXED(MAX_REGION_EXTENTS, "runs of pages",
					  "destroy more of it at once, or from the end of a run"),
		who, record->live.n, 1, failure);
}

int task_admit_destruction(const struct region_record *record, struct extent going, struct failure *failure)
{
	struct extents left;

	if (admit(record, failure) < 0)
		return -1;
	if (going.nr_pages == 0)
		return 0;
	if (going.first >= record->nr_pages || going.nr_pages > record->nr_pages - going.first)
		return failure_set(failure, XENVRAM__V1__STATUS__INVALID, ERANGE,
			"page %" PRIu64 " + %" PRIu64 " pages goes beyond the %" PRIu64
			" pages of region 0x%" PRIx64,
			going.first, going.nr_pages, record->nr_pages, record->cookie);
	if (record->state == STUCK && admit_partial_of_stuck(record, going, failure) < 0)
		return -1;
	if (!extents_find(&record->live, going))
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, ENXIO,
			"page %" PRIu64 " + %" PRIu64 " pages of region 0x%" PRIx64
			" are not all there: some were destroyed before",
			going.first, going.nr_pages, record->cookie);
	if (extents_remove(&record->live, going, &left) < 0)
		return refuse_runs(record, failure);
	return 0;
}

bool task_splits(const struct region_record *record, struct extent going)
{
	struct extents left;

	return record->state == ACTIVE && going.nr_pages > 0 &&
	       extents_remove(&record->live, going, &left) == 0 && left.n > record->live.n;
}

int task_admit_move(const struct region_record *record, uint64_t new_vram_gfn, struct failure *failure)
{
	if (admit(record, failure) < 0)
		return -1;
	if (new_vram_gfn > MAX_GFN - record->nr_pages)
		return failure_set(failure, XENVRAM__V1__STATUS__INVALID, EINVAL,
			"vram_gfn 0x%" PRIx64 " + %" PRIu64 " pages does not lie below gfn 0x%llx",
			new_vram_gfn, record->nr_pages, MAX_GFN);
	if (record->state == ACTIVE)
		return 0;
	/* What of it has come to its backing by then is at neither of the two. */
	if (!record->between || record->ending)
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is stuck while it was destroyed: destroy it again",
			record->cookie);
	if (new_vram_gfn != record->vram_gfn && new_vram_gfn != record->old_vram_gfn)
		return failure_set(failure, XENVRAM__V1__STATUS__CONFLICT, EBUSY,
			"region 0x%" PRIx64 " is stuck between 0x%" PRIx64 " and 0x%" PRIx64
			": move it to one of these, or destroy it",
			record->cookie, record->vram_gfn, record->old_vram_gfn);
	return 0;
}
