/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/listing.h"

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/governor.h"

/* A region in a list, and what it points to. */
struct listed_region {
	Xenvram__V1__RegionInfo info;
	Xenvram__V1__Run run[MAX_REGION_EXTENTS];
	Xenvram__V1__Run *run_pointers[MAX_REGION_EXTENTS];
};

static void describe_extents(const struct extents *live, struct listed_region *listed)
{
	listed->info.live_pages = extents_n_pages(live);
	listed->info.n_extents = live->n;
	listed->info.extents = listed->run_pointers;
	for (unsigned int i = 0; i < live->n; i++) {
		xenvram__v1__run__init(&listed->run[i]);
		listed->run[i].first = live->run[i].first;
		listed->run[i].nr_pages = live->run[i].nr_pages;
		listed->run_pointers[i] = &listed->run[i];
	}
}

static void describe_region(const struct region *region, struct listed_region *listed)
{
	const struct region_record *record = &region->record;
	Xenvram__V1__RegionInfo *info = &listed->info;

	xenvram__v1__region_info__init(info);
	describe_extents(&record->live, listed);
	info->between = record->between;
	info->old_vram_gfn = record->old_vram_gfn;
	info->cookie = record->cookie;
	info->domid = record->domid;
	info->domain_uuid = (char *)record->uuid;
	info->vram_gfn = record->vram_gfn;
	info->backing_gfn = record->backing_gfn;
	info->nr_pages = record->nr_pages;
	info->cache_attr = record->cache_attr;
	info->pinned = region_record_is_pinned(record);
	info->adopted = record->adopted;
	info->state = record->state;
	info->subscriptions = region->n_subscriptions;
	info->period_us = region->period_us;
	info->owner_uid = record->owner_uid;
	if (region->log.header) {
		const struct region_log_header *header = region->log.header;
		info->generation = region_log_generation(&region->log);
		info->polls = __atomic_load_n(&header->polls, __ATOMIC_RELAXED);
		info->dirty_pages = __atomic_load_n(&header->dirty_guest, __ATOMIC_RELAXED) +
				    __atomic_load_n(&header->dirty_device_model, __ATOMIC_RELAXED) +
				    __atomic_load_n(&header->dirty_forced, __ATOMIC_RELAXED);
	}
}

void listing_regions(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__ListRegions *request)
{
	struct listed_region listed[MAX_LISTED];
	Xenvram__V1__RegionInfo *pointers[MAX_LISTED];
	Xenvram__V1__ListRegionsReply list = XENVRAM__V1__LIST_REGIONS_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	const struct binding *binding = connection_binding(connection_find(broker, asker->connection));
	const struct region *region;

	list.regions = pointers;
	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (region->record.tracked_only || region->record.cookie <= request->after_cookie ||
			(request->by_domid && region->record.domid != request->domid) ||
			!binding_covers(binding, region->record.domid, region->record.uuid))
			continue;
		if (list.n_regions == MAX_LISTED) {
			list.more = true;
			break;
		}
		pointers[list.n_regions] = &listed[list.n_regions].info;
		describe_region(region, &listed[list.n_regions++]);
	}
	reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_REGIONS;
	reply.list_regions = &list;
	asker_reply(broker, asker, &reply, NULL, 0);
}

static void add_log(Xenvram__V1__DomainInfo *info, const struct region_log_header *header)
{
	uint32_t wanted_us = __atomic_load_n(&header->wanted_period_ns, __ATOMIC_RELAXED) / 1000;

	if (wanted_us > 0 && (info->wanted_period_us == 0 || wanted_us < info->wanted_period_us)) {
		info->wanted_period_us = wanted_us;
		info->period_us = __atomic_load_n(&header->period_ns, __ATOMIC_RELAXED) / 1000;
		info->stretch = __atomic_load_n(&header->stretch, __ATOMIC_RELAXED);
	}
	info->dirty_guest += __atomic_load_n(&header->dirty_guest, __ATOMIC_RELAXED);
	info->dirty_device_model += __atomic_load_n(&header->dirty_device_model, __ATOMIC_RELAXED);
	info->dirty_forced += __atomic_load_n(&header->dirty_forced, __ATOMIC_RELAXED);
}

static void describe_domain(const struct broker *broker, const struct binding *binding,
	const struct domain *domain, Xenvram__V1__DomainInfo *info)
{
	const struct region *region;

	xenvram__v1__domain_info__init(info);
	info->domid = domain->domid;
	info->uuid = (char *)domain->uuid;
	info->worker_running = domain->worker != NULL;
	governor_count(domain, &info->polls, &info->poll_ns);
	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (region->domain != domain || !binding_covers(binding, domain->domid, region->record.uuid))
			continue;
		info->regions += !region->record.tracked_only;
		info->subscriptions += region->n_subscriptions;
		if (region->log.header)
			add_log(info, region->log.header);
	}
}

/* The domain with the smallest domid that is at least `from`. */
static struct domain *next_domain(const struct broker *broker, uint32_t from)
{
	struct domain *domain, *found = NULL;
	LIST_FOREACH(domain, &broker->domains, link) {
		if (domain->domid >= from && (!found || domain->domid < found->domid))
			found = domain;
	}
	return found;
}

void listing_domains(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__ListDomains *request)
{
	Xenvram__V1__DomainInfo infos[MAX_LISTED], *pointers[MAX_LISTED];
	Xenvram__V1__ListDomainsReply list = XENVRAM__V1__LIST_DOMAINS_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__PollBudget budget = XENVRAM__V1__POLL_BUDGET__INIT;
	const struct binding *binding = connection_binding(connection_find(broker, asker->connection));
	struct domain *domain = next_domain(broker, request->more ? request->after_domid + 1 : 0);

	list.domains = pointers;
	list.budget = &budget;
	budget.budget_ppm = broker->governor.budget_ppm;
	/* What others use is not a single domain's business. */
	if (binding->state == BINDING_NONE)
		budget.used_ppm = broker->governor.used_ppm;
	budget.share_ppm = broker->governor.share_ppm;
	for (; domain; domain = next_domain(broker, domain->domid + 1)) {
		if (!binding_covers(binding, domain->domid, domain->uuid))
			continue;
		if (list.n_domains == MAX_LISTED) {
			list.more = true;
			break;
		}
		pointers[list.n_domains] = &infos[list.n_domains];
		describe_domain(broker, binding, domain, &infos[list.n_domains++]);
	}
	reply.result_case = XENVRAM__V1__REPLY__RESULT_LIST_DOMAINS;
	reply.list_domains = &list;
	asker_reply(broker, asker, &reply, NULL, 0);
}
