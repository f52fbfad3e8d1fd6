/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists come in pages; each page must go beyond the one before, or a buggy daemon could keep us for ever. */
#include <errno.h>

#include "client/libxenvram/call.h"

static int each_region(const Xenvram__V1__RegionInfo *info,
	int (*each)(const struct xenvram_region *region, void *data), void *data)
{
	struct xenvram_run extents[MAX_REGION_EXTENTS];
	size_t n_extents = 0;

	/* A later service may allow more: then none are better than some. */
	if (info->n_extents <= MAX_REGION_EXTENTS) {
		for (; n_extents < info->n_extents; n_extents++)
			extents[n_extents] = (struct xenvram_run){
				info->extents[n_extents]->first, info->extents[n_extents]->nr_pages};
	}
	struct xenvram_region region = {
		.cookie = info->cookie,
		.domid = info->domid,
		.domain_uuid = info->domain_uuid,
		.vram_gfn = info->vram_gfn,
		.backing_gfn = info->backing_gfn,
		.nr_pages = info->nr_pages,
		.live_pages = info->live_pages,
		.extents = extents,
		.n_extents = n_extents,
		.between = info->between,
		.old_vram_gfn = info->old_vram_gfn,
		.cache_attr = (enum xenvram_cache_attr)info->cache_attr,
		.pinned = info->pinned,
		.adopted = info->adopted,
		.state = (enum xenvram_region_state)info->state,
		.generation = info->generation,
		.subscriptions = info->subscriptions,
		.period_us = info->period_us,
		.owner_uid = info->owner_uid,
		.polls = info->polls,
		.dirty_pages = info->dirty_pages,
	};
	return each(&region, data);
}

int xenvram_list_regions(struct xenvram *conn, const uint32_t *by_domid,
	int (*each)(const struct xenvram_region *region, void *data), void *data)
{
	Xenvram__V1__ListRegions list_regions = XENVRAM__V1__LIST_REGIONS__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	bool more = true;

	list_regions.by_domid = by_domid != NULL;
	list_regions.domid = by_domid ? *by_domid : 0;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_REGIONS;
	request.list_regions = &list_regions;
	while (more) {
		_call_free_ Xenvram__V1__Packet *packet =
			call(conn, &request, XENVRAM__V1__REPLY__RESULT_LIST_REGIONS);
		if (!packet)
			return -1;
		const Xenvram__V1__ListRegionsReply *page = packet->reply->list_regions;
		for (size_t i = 0; i < page->n_regions; i++) {
			if (page->regions[i]->cookie <= list_regions.after_cookie)
				return connection_break(conn, EPROTO, "xenvramd listed regions out of order");
			list_regions.after_cookie = page->regions[i]->cookie;
			int result = each_region(page->regions[i], each, data);
			if (result != 0)
				return result;
		}
		more = page->more && page->n_regions > 0;
	}
	return 0;
}

static int each_domain(const Xenvram__V1__DomainInfo *info,
	int (*each)(const struct xenvram_domain *domain, void *data), void *data)
{
	struct xenvram_domain domain = {
		.domid = info->domid,
		.uuid = info->uuid,
		.regions = info->regions,
		.subscriptions = info->subscriptions,
		.worker_running = info->worker_running,
		.wanted_period_us = info->wanted_period_us,
		.period_us = info->period_us,
		.stretch = (enum xenvram_stretch)info->stretch,
		.polls = info->polls,
		.poll_ns = info->poll_ns,
		.dirty_guest_pages = info->dirty_guest,
		.dirty_device_model_pages = info->dirty_device_model,
		.dirty_forced_pages = info->dirty_forced,
	};
	return each(&domain, data);
}

int xenvram_list_domains(
	struct xenvram *conn, int (*each)(const struct xenvram_domain *domain, void *data), void *data)
{
	Xenvram__V1__ListDomains list_domains = XENVRAM__V1__LIST_DOMAINS__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	bool more = true;

	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_DOMAINS;
	request.list_domains = &list_domains;
	while (more) {
		_call_free_ Xenvram__V1__Packet *packet =
			call(conn, &request, XENVRAM__V1__REPLY__RESULT_LIST_DOMAINS);
		if (!packet)
			return -1;
		const Xenvram__V1__ListDomainsReply *page = packet->reply->list_domains;
		for (size_t i = 0; i < page->n_domains; i++) {
			if (list_domains.more && page->domains[i]->domid <= list_domains.after_domid)
				return connection_break(conn, EPROTO, "xenvramd listed domains out of order");
			list_domains.after_domid = page->domains[i]->domid;
			list_domains.more = true;
			int result = each_domain(page->domains[i], each, data);
			if (result != 0)
				return result;
		}
		more = page->more && page->n_domains > 0;
	}
	return 0;
}

/* It comes with every page of the list, also with one that is empty. */
int xenvram_get_poll_budget(struct xenvram *conn, struct xenvram_poll_budget *ret_budget)
{
	Xenvram__V1__ListDomains list_domains = XENVRAM__V1__LIST_DOMAINS__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	list_domains.more = true;
	list_domains.after_domid = MAX_DOMID;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_LIST_DOMAINS;
	request.list_domains = &list_domains;
	_call_free_ Xenvram__V1__Packet *packet =
		call(conn, &request, XENVRAM__V1__REPLY__RESULT_LIST_DOMAINS);
	if (!packet)
		return -1;
	const Xenvram__V1__PollBudget *budget = packet->reply->list_domains->budget;
	if (!budget)
		return connection_break(conn, EPROTO, "xenvramd listed domains without the poll budget");
	*ret_budget = (struct xenvram_poll_budget){
		.budget_ppm = budget->budget_ppm,
		.used_ppm = budget->used_ppm,
		.share_ppm = budget->share_ppm,
	};
	return 0;
}
