/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much anybody may use, by the settings or by what is fixed in this build. A refusal says who asks, what
 * for, how much is used, the most, by which rule, and where that is set, or that it is fixed. No I/O.
 */
#ifndef XENVRAM_BROKER_POLICY_H
#define XENVRAM_BROKER_POLICY_H

#include "daemon/broker/bucket.h"
#include "daemon/common/settings.h"
#include "proto/failure.h"

/* The setting of a field of struct settings, for the functions below. */
#define POLICY(field) settings_number_at(offsetof(struct settings, field))

/*
 * May `who` ("domain 5") use `wanted` more, besides the `used` ones? 0, or -1 with LIMIT.
 */
int policy_admit(const struct settings *settings, const struct setting *limit, const char *who, uint64_t used,
	uint64_t wanted, struct failure *failure);

/* A cap of proto/limits.h that nobody can set. */
struct fixed_limit {
	const char *name;
	uint64_t max;
	const char *noun;   /* what it counts */
	const char *advice; /* to who runs into it */
};

#define POLICY_FIXED(cap, noun, advice) (&(const struct fixed_limit){#cap, (cap), (noun), (advice)})

/* The same, for what is fixed. */
int policy_admit_fixed(const struct fixed_limit *limit, const char *who, uint64_t used, uint64_t wanted,
	struct failure *failure);

/*
 * There is room by the limits, and yet no slot of the journal is free: what another build has written takes
 * some. Returns -1.
 */
#define POLICY_SLOTS(cap)                                                                                    \
	(&(const struct fixed_limit){                                                                        \
		#cap, (cap), "slots of the journal in use", "some hold what this build cannot read"})
int policy_refuse_slots(const struct fixed_limit *slots, uint32_t domid, struct failure *failure);

/*
 * May `who` do it once more now? The limit is per second, and twice as many may come at once. 0, or -1 with
 * LIMIT.
 */
int policy_admit_rate(const struct settings *settings, const struct setting *limit, const char *who,
	struct bucket *bucket, uint64_t now_ns, struct failure *failure);

/* May the uid have one more connection, besides the `used` ones of this host? Some are reserved for root. */
int policy_admit_connection(
	const struct settings *settings, uint32_t uid, uint64_t used, struct failure *failure);

struct region_usage {
	uint64_t regions;        /* of the host */
	uint64_t domain_regions; /* of the domain */
	uint64_t domain_pages;
};

/* May the domain have a region of so many pages more? */
int policy_admit_region(const struct settings *settings, uint32_t domid, const struct region_usage *usage,
	uint64_t nr_pages, struct failure *failure);

/* May pages of the domain lie there? `name` is that of the windows: "vram" or "backing". */
int policy_admit_gfns(const struct settings *settings, const struct window_list *windows, const char *name,
	uint32_t domid, uint64_t first_gfn, uint64_t nr_pages, struct failure *failure);

#endif
