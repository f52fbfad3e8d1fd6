/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/ranges.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/regions.h"
#include "daemon/common/list.h"

static struct region *find(
	const struct broker *broker, uint64_t connection, const struct region_record *range)
{
	struct region *region;
	LIST_FOREACH(region, &broker->regions.regions, link) {
		const struct region_record *record = &region->record;
		if (region->for_connection == connection && record->domid == range->domid &&
			record->vram_gfn == range->vram_gfn && record->nr_pages == range->nr_pages)
			return region;
	}
	return NULL;
}

static int admit(struct broker *broker, uint32_t domid, struct failure *failure)
{
	const struct domain *domain = domain_find(broker, domid);
	unsigned int used = region_table_count_ranges(&broker->regions, domid);
	char who[32];

	snprintf(who, sizeof(who), "domain %" PRIu32, domid);
	if (policy_admit_fixed(POLICY_FIXED(MAX_TRACKED_RANGES_PER_DOMAIN, "ranges tracked by connections",
				       "end some, by 0 pages or with their connection"),
		    who, used, 1, failure) < 0)
		return -1;
	return domain ? domain_admit_command(domain, failure) : 0;
}

static struct region *add(struct broker *broker, uint64_t connection, const struct region_record *record,
	struct failure *failure)
{
	struct region *region = region_table_add(&broker->regions, record, REGION_NO_SLOT);
	if (region)
		region->domain = domain_get(broker, record->domid, record->uuid);
	if (region && region->domain) {
		region->for_connection = connection;
		return region;
	}
	failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, ENOMEM, "out of memory");
	if (region)
		region_table_remove(&broker->regions, region);
	return NULL;
}

void ranges_track(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__TrackDirty *request)
{
	uint64_t id = connection_id(connection);
	struct region_record record = {
		.domid = request->domid,
		.vram_gfn = request->first_gfn,
		.nr_pages = request->nr_pages,
		.state = XENVRAM__V1__REGION_STATE__ACTIVE,
		.adopted = true,
		.tracked_only = true,
		.live = extents_whole(request->nr_pages),
		.frontier = request->nr_pages,
	};
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	struct failure failure;

	if (request->nr_pages == 0) {
		ranges_end(broker, id, &request->domid);
		asker_reply(broker, asker, &reply, NULL, 0);
		return;
	}
	struct region *region = find(broker, id, &record);
	if (!region && admit(broker, record.domid, &failure) == 0) {
		record.cookie = regions_new_cookie(&broker->regions);
		strcpy(record.uuid, connection_binding(connection)->uuid);
		region = add(broker, id, &record, &failure);
	}
	if (!region) {
		asker_fail(broker, asker, &failure);
		return;
	}
	regions_poll(region, asker, (struct extent){0, record.nr_pages}, request->since);
}

unsigned int ranges_count(const struct broker *broker, uint64_t connection)
{
	const struct region *region;
	unsigned int n = 0;
	LIST_FOREACH(region, &broker->regions.regions, link)
		n += region->for_connection == connection;
	return n;
}

void ranges_end(struct broker *broker, uint64_t connection, const uint32_t *domid)
{
	struct region *region, *next;
	LIST_FOREACH_SAFE(region, &broker->regions.regions, link, next) {
		if (region->for_connection == connection && (!domid || region->record.domid == *domid))
			regions_remove(broker, region, "it is not tracked any more");
	}
}
