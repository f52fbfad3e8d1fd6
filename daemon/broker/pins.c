/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/pins.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/policy.h"
#include "daemon/broker/slots.h"

#define CONFLICT XENVRAM__V1__STATUS__CONFLICT

void pins_init(struct pins *pins)
{
	*pins = (struct pins){.last_id = 0};
	LIST_INIT(&pins->list);
}

void pins_deinit(struct pins *pins)
{
	while (!LIST_EMPTY(&pins->list))
		pins_remove(pins, LIST_FIRST(&pins->list));
}

static bool is_same(struct extent a, struct extent b)
{
	return a.first == b.first && a.nr_pages == b.nr_pages;
}

/* The first of the domain's pins that has a gfn of these. */
static struct pin *find_overlap(const struct pins *pins, uint32_t domid, struct extent gfns)
{
	struct pin *pin;
	LIST_FOREACH(pin, &pins->list, link) {
		if (pin->record.domid == domid && extents_overlap(pin->record.gfns, gfns))
			return pin;
	}
	return NULL;
}

/*
 * The region that has vram here, or had before it moved. Whether it is pinned or not: its memory type is its
 * own business, and it may be pinned again.
 */
static const struct region *find_region(
	const struct region_table *regions, uint32_t domid, struct extent gfns, struct claim *ret_claim)
{
	const struct region *region;
	struct claim claims[MAX_CLAIMS];

	LIST_FOREACH(region, &regions->regions, link) {
		unsigned int n =
			region->record.domid == domid ? region_record_claims(&region->record, claims) : 0;
		for (unsigned int i = 0; i < n; i++) {
			/* No region pins its backing. */
			if (!extents_overlap(claims[i].gfns, gfns) || strcmp(claims[i].name, "backing") == 0)
				continue;
			*ret_claim = claims[i];
			return region;
		}
	}
	return NULL;
}

/*
 * One that is not active may have a pin for each of its extents, or get it; and of one that loses a part there may be
 * two pieces.
 */
static unsigned int count_of_regions(const struct region_table *regions, uint32_t domid)
{
	const struct region *region;
	unsigned int n = 0;
	LIST_FOREACH(region, &regions->regions, link) {
		const struct region_record *record = &region->record;
		if (record->domid == domid)
			n += record->state == XENVRAM__V1__REGION_STATE__ACTIVE
				     ? (unsigned int)__builtin_popcount(record->pinned)
				     : record->live.n + (record->going.nr_pages > 0);
	}
	return n;
}

static int refuse_unsettled(const struct pin *pin, struct failure *failure)
{
	return failure_set(failure, CONFLICT, EBUSY,
		"domain %u: the pin of gfn 0x%" PRIx64 " + %" PRIu64
		" pages is being set or taken away; ask again",
		pin->record.domid, pin->record.gfns.first, pin->record.gfns.nr_pages);
}

/* While somebody waits for it, or it is with the worker, nobody else changes it. */
static int check_settled(const struct pin *pin, struct failure *failure)
{
	return pin->at_work || pin->asker.connection != 0 ? refuse_unsettled(pin, failure) : 0;
}

/* What may be gone already, or not, has no type to come back to when another one is refused. */
static int check_replaceable(const struct pin *pin, struct failure *failure)
{
	if (check_settled(pin, failure) < 0)
		return -1;
	if (pin->record.state != PIN_DELETING)
		return 0;
	return failure_set(failure, CONFLICT, EBUSY,
		"domain %u: the pin of gfn 0x%" PRIx64 " + %" PRIu64
		" pages may have been taken away, or not: take it away again first",
		pin->record.domid, pin->record.gfns.first, pin->record.gfns.nr_pages);
}

/* ---- may it be? ---- */

static int check_room_in_domain(
	const struct pins *pins, const struct region_table *regions, uint32_t domid, struct failure *failure)
{
	char who[48];

	snprintf(who, sizeof(who), "domain %u", domid);
	return policy_admit_fixed(POLICY_FIXED(MAX_PINS_PER_DOMAIN, "pins, those of its regions among them,",
					  "it is the hypervisor's; unpin one first"),
		who, pins_count(pins, domid) + count_of_regions(regions, domid), 1, failure);
}

static int check_room(
	const struct pins *pins, const struct region_table *regions, uint32_t domid, struct failure *failure)
{
	unsigned int n_on_host = 0;
	const struct pin *pin;
	char who[48];

	if (check_room_in_domain(pins, regions, domid, failure) < 0)
		return -1;
	LIST_FOREACH(pin, &pins->list, link)
		n_on_host++;
	snprintf(who, sizeof(who), "domain %u: this host", domid);
	return policy_admit_fixed(
		POLICY_FIXED(MAX_RAW_PINS, "pins beside those of regions", "unpin one first"), who, n_on_host,
		1, failure);
}

int pins_admit(const struct pins *pins, const struct region_table *regions, const struct pin_record *record,
	struct pin **ret_same, struct failure *failure)
{
	struct pin *other = find_overlap(pins, record->domid, record->gfns);
	struct claim claim;
	const struct region *region = find_region(regions, record->domid, record->gfns, &claim);

	if (region)
		return failure_set(failure, CONFLICT, EBUSY,
			"domain %u: gfn 0x%" PRIx64 " + %" PRIu64 " pages overlaps the %s 0x%" PRIx64
			" + %" PRIu64 " pages of region 0x%" PRIx64 ", whose memory type is its own",
			record->domid, record->gfns.first, record->gfns.nr_pages, claim.name,
			claim.gfns.first, claim.gfns.nr_pages, region->record.cookie);
	if (other && !is_same(other->record.gfns, record->gfns))
		return failure_set(failure, CONFLICT, EBUSY,
			"domain %u: gfn 0x%" PRIx64 " + %" PRIu64 " pages overlaps the pin of gfn 0x%" PRIx64
			" + %" PRIu64 " pages, and has not the same bounds",
			record->domid, record->gfns.first, record->gfns.nr_pages, other->record.gfns.first,
			other->record.gfns.nr_pages);
	if (other ? check_replaceable(other, failure) < 0
		  : check_room(pins, regions, record->domid, failure) < 0)
		return -1;
	*ret_same = other;
	return 0;
}

struct pin *pins_require(const struct pins *pins, const struct region_table *regions, uint32_t domid,
	struct extent gfns, struct failure *failure)
{
	struct pin *pin = find_overlap(pins, domid, gfns);
	struct claim claim;
	const struct region *region = find_region(regions, domid, gfns, &claim);

	if (pin && is_same(pin->record.gfns, gfns))
		return check_settled(pin, failure) < 0 ? NULL : pin;
	if (pin)
		failure_set(failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
			"domain %u: no pin has the bounds gfn 0x%" PRIx64 " + %" PRIu64
			" pages; that of gfn 0x%" PRIx64 " + %" PRIu64 " pages overlaps them",
			domid, gfns.first, gfns.nr_pages, pin->record.gfns.first, pin->record.gfns.nr_pages);
	else if (region)
		failure_set(failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
			"domain %u: gfn 0x%" PRIx64 " + %" PRIu64
			" pages is in no pin but that of region 0x%" PRIx64 ", which ends with the region",
			domid, gfns.first, gfns.nr_pages, region->record.cookie);
	else
		failure_set(failure, XENVRAM__V1__STATUS__NOT_FOUND, ENOENT,
			"domain %u: nothing in gfn 0x%" PRIx64 " + %" PRIu64
			" pages was pinned through this service",
			domid, gfns.first, gfns.nr_pages);
	return NULL;
}

int pins_admit_region(const struct pins *pins, const struct region_record *record, uint64_t vram_gfn,
	struct failure *failure)
{
	for (unsigned int i = 0; i < record->live.n; i++) {
		struct extent vram = {vram_gfn + record->live.run[i].first, record->live.run[i].nr_pages};
		const struct pin *pin = find_overlap(pins, record->domid, vram);
		if (pin)
			return failure_set(failure, CONFLICT, EBUSY,
				"domain %u: vram 0x%" PRIx64 " + %" PRIu64
				" pages overlaps the pin of gfn 0x%" PRIx64 " + %" PRIu64
				" pages; unpin that first",
				record->domid, vram.first, vram.nr_pages, pin->record.gfns.first,
				pin->record.gfns.nr_pages);
	}
	return 0;
}

int pins_admit_one_more(const struct pins *pins, const struct region_table *regions,
	const struct region_record *record, struct failure *failure)
{
	return record->require_cache_attr ? check_room_in_domain(pins, regions, record->domid, failure) : 0;
}

/* ---- the table ---- */

void pins_reserve(struct pins *pins, unsigned int slot)
{
	pins->slots[slot] = true;
}

static bool is_before(const struct pin_record *a, const struct pin_record *b)
{
	return a->domid != b->domid ? a->domid < b->domid : a->gfns.first < b->gfns.first;
}

static void insert_sorted(struct pins *pins, struct pin *pin)
{
	struct pin *other, *before = NULL;
	LIST_FOREACH(other, &pins->list, link) {
		if (is_before(&pin->record, &other->record))
			break;
		before = other;
	}
	if (before)
		LIST_INSERT_AFTER(before, pin, link);
	else
		LIST_INSERT_HEAD(&pins->list, pin, link);
}

struct pin *pins_add(struct pins *pins, const struct pin_record *record, unsigned int slot)
{
	struct pin *pin = calloc(1, sizeof(*pin));
	if (!pin || slots_take(pins->slots, MAX_RAW_PINS, &slot) < 0) {
		free(pin);
		return NULL;
	}
	pin->record = *record;
	pin->slot = slot;
	pin->id = ++pins->last_id;
	insert_sorted(pins, pin);
	return pin;
}

struct pin *pins_find(const struct pins *pins, uint64_t id)
{
	struct pin *pin;
	LIST_FOREACH(pin, &pins->list, link) {
		if (pin->id == id)
			return pin;
	}
	return NULL;
}

void pins_remove(struct pins *pins, struct pin *pin)
{
	LIST_REMOVE(pin, link);
	pins->slots[pin->slot] = false;
	free(pin);
}

unsigned int pins_count(const struct pins *pins, uint32_t domid)
{
	const struct pin *pin;
	unsigned int n = 0;
	LIST_FOREACH(pin, &pins->list, link)
		n += pin->record.domid == domid;
	return n;
}
