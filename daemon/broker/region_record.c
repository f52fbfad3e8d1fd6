/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/region_record.h"

#include "proto/xenvram.pb-c.h"

static unsigned int claim_extents(
	const struct extents *live, const char *name, uint64_t gfn, struct claim *claims, unsigned int n)
{
	for (unsigned int i = 0; i < live->n; i++)
		claims[n++] = (struct claim){name, {gfn + live->run[i].first, live->run[i].nr_pages}};
	return n;
}

unsigned int region_record_claims(const struct region_record *record, struct claim claims[MAX_CLAIMS])
{
	if (record->tracked_only)
		return 0;
	unsigned int n = claim_extents(&record->live, "vram", record->vram_gfn, claims, 0);
	/* The pages come back to its backing one day. */
	if (!record->adopted)
		n = claim_extents(&record->live, "backing", record->backing_gfn, claims, n);
	if (record->between)
		n = claim_extents(&record->live, "old vram", record->old_vram_gfn, claims, n);
	return n;
}

bool region_record_is_pinned(const struct region_record *record)
{
	return record->state == XENVRAM__V1__REGION_STATE__ACTIVE &&
	       record->pinned == extents_bits(&record->live);
}

bool region_record_is_run_pinned(const struct region_record *record, struct extent run)
{
	const struct extent *extent = extents_find(&record->live, run);
	return record->pinned >> (extent - record->live.run) & 1;
}

void region_record_unsettle(struct region_record *record)
{
	record->frontier = 0;
	record->unsettled = record->nr_pages;
}
