/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a region is, and what is being done to it: all of it goes into the journal. No I/O. */
#ifndef XENVRAM_BROKER_REGION_RECORD_H
#define XENVRAM_BROKER_REGION_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/broker/asker.h"
#include "daemon/broker/extents.h"
#include "proto/limits.h"

/*
 * While pages are on their way, from backing to vram, from the old vram to the new, or back, `frontier` and
 * `unsettled` say where each is: below the frontier, at the end of the way; from frontier + unsettled on,
 * at its beginning; between, only a probe can tell. They are written before each chunk is moved and after.
 */
struct region_record {
	uint64_t cookie;
	uint32_t domid;
	char uuid[UUID_BYTES];
	uint64_t vram_gfn; /* of page 0, whether that is there or not */
	uint64_t backing_gfn;
	uint64_t nr_pages;   /* as it was created; pages keep their numbers */
	uint32_t cache_attr; /* Xenvram__V1__CacheAttr */
	uint32_t state;      /* Xenvram__V1__RegionState */
	uint32_t owner_uid;
	struct requester requester; /* of what is being done to it, or was the last time */
	bool require_cache_attr;
	bool adopted;      /* its pages are at vram on their own account; it has no backing */
	bool tracked_only; /* no region at all, and in no journal: see ranges.h */

	struct extents live;
	uint32_t pinned;     /* bit i: live.run[i] has its pin, or is to have it again */
	bool ending;         /* all of it is being destroyed */
	struct extent going; /* what is being destroyed of it, if not all; in one extent */
	bool between;        /* in a move, or stuck in one: pages may also be at old_vram_gfn */
	bool going_back;     /* the move is being undone */
	uint64_t old_vram_gfn;
	uint64_t frontier;
	uint64_t unsettled;
};

/* A run of gfns that a record lays claim to. */
struct claim {
	const char *name; /* "vram", "backing", "old vram" */
	struct extent gfns;
};

#define MAX_CLAIMS (3u * MAX_REGION_EXTENTS)

/* Stores the claims, and returns how many they are. */
unsigned int region_record_claims(const struct region_record *record, struct claim claims[MAX_CLAIMS]);

/* Does each of its extents have its pin? That is known of active regions only. */
bool region_record_is_pinned(const struct region_record *record);
/* Does the extent that has these pages have its pin, or is to have it again? */
bool region_record_is_run_pinned(const struct region_record *record, struct extent run);

/* Nothing is known of where its pages are. */
void region_record_unsettle(struct region_record *record);

#endif
