/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of task.h share. */
#ifndef XENVRAM_BROKER_TASK_STATE_H
#define XENVRAM_BROKER_TASK_STATE_H

#include "daemon/broker/task.h"

#define CREATING   XENVRAM__V1__REGION_STATE__CREATING
#define ACTIVE     XENVRAM__V1__REGION_STATE__ACTIVE
#define DESTROYING XENVRAM__V1__REGION_STATE__DESTROYING
#define STUCK      XENVRAM__V1__REGION_STATE__REGION_STUCK
#define GONE       XENVRAM__V1__REGION_STATE__GONE
#define MOVING     XENVRAM__V1__REGION_STATE__MOVING
#define SHRINKING  XENVRAM__V1__REGION_STATE__SHRINKING

/* Are pages on their way to where they are to be; or on their way back? */
static inline bool goes_ahead(const struct region_record *record)
{
	return record->state == CREATING || (record->state == MOVING && !record->going_back);
}

/* The pages that a destruction, or the undoing of something, puts back. */
static inline struct extent target_of(const struct region_record *record)
{
	return record->state == SHRINKING ? record->going : (struct extent){0, record->nr_pages};
}

/* Are pages moved from one place of vram to another? Those without a backing are gathered in one, too. */
static inline bool moves_within_vram(const struct region_record *record)
{
	return record->state == MOVING || (record->adopted && record->between);
}

/* Bit i: live.run[i] is to be pinned where it is going. A move that is undone leaves what there was. */
static inline uint32_t wanted_pins(const struct region_record *record)
{
	return record->going_back && !record->require_cache_attr ? record->pinned
								 : extents_bits(&record->live);
}

static inline uint64_t unsettled_end(const struct region_record *record)
{
	return record->frontier + record->unsettled;
}

#endif
