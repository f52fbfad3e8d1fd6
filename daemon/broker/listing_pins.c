/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which pins a domain has, says this service: those that clients have set, and those of regions. */
#include <stdlib.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/listing.h"

/* Those that were set, and one for each extent of a region. */
#define MAX_LISTED_PINS (MAX_PINS_PER_DOMAIN + MAX_REGIONS_PER_DOMAIN * MAX_REGION_EXTENTS)

static int compare_pins(const void *a, const void *b)
{
	const Xenvram__V1__PinInfo *x = a, *y = b;
	return (x->first_gfn > y->first_gfn) - (x->first_gfn < y->first_gfn);
}

static size_t describe_region(const struct region_record *record, Xenvram__V1__PinInfo *infos, size_t n)
{
	for (unsigned int i = 0; i < record->live.n && n < MAX_LISTED_PINS; i++) {
		if (!(record->pinned >> i & 1))
			continue;
		xenvram__v1__pin_info__init(&infos[n]);
		infos[n].first_gfn = record->vram_gfn + record->live.run[i].first;
		infos[n].nr_pages = record->live.run[i].nr_pages;
		infos[n].cache_attr = record->cache_attr;
		infos[n].cookie = record->cookie;
		infos[n].owner_uid = record->owner_uid;
		infos[n++].settled = record->state == XENVRAM__V1__REGION_STATE__ACTIVE;
	}
	return n;
}

static size_t describe_regions(const struct broker *broker, const struct binding *binding, uint32_t domid,
	Xenvram__V1__PinInfo *infos, size_t n)
{
	const struct region *region;
	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (region->record.domid == domid && binding_covers(binding, domid, region->record.uuid))
			n = describe_region(&region->record, infos, n);
	}
	return n;
}

static size_t describe_pins(const struct broker *broker, const struct binding *binding, uint32_t domid,
	Xenvram__V1__PinInfo *infos, size_t n)
{
	const struct pin *pin;
	LIST_FOREACH(pin, &broker->pins.list, link) {
		const struct pin_record *record = &pin->record;
		if (record->domid != domid || !binding_covers(binding, domid, record->uuid) ||
			n == MAX_LISTED_PINS)
			continue;
		xenvram__v1__pin_info__init(&infos[n]);
		infos[n].first_gfn = record->gfns.first;
		infos[n].nr_pages = record->gfns.nr_pages;
		infos[n].cache_attr = record->cache_attr;
		infos[n].owner_uid = record->owner_uid;
		infos[n++].settled = record->state == PIN_SET;
	}
	return n;
}

void listing_pins(struct broker *broker, const struct asker *asker, uint32_t domid)
{
	Xenvram__V1__PinInfo infos[MAX_LISTED_PINS], *pointers[MAX_LISTED_PINS];
	Xenvram__V1__ListPinsReply list = XENVRAM__V1__LIST_PINS_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	const struct binding *binding = connection_binding(connection_find(broker, asker->connection));

	list.n_pins = describe_pins(broker, binding, domid, infos, 0);
	list.n_pins = describe_regions(broker, binding, domid, infos, list.n_pins);
	qsort(infos, list.n_pins, sizeof(infos[0]), compare_pins);
	for (size_t i = 0; i < list.n_pins; i++)
		pointers[i] = &infos[i];
	list.pins = pointers;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_PINS;
	reply.list_pins = &list;
	asker_reply(broker, asker, &reply, NULL, 0);
}
