/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/polling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S    1000000000.0
#define MIN_DOMAINS 16u

void polling_init(struct polling *polling, uint64_t taken_ns)
{
	*polling = (struct polling){.taken_ns = taken_ns};
}

void polling_deinit(struct polling *polling)
{
	free(polling->domains);
}

int polling_add(struct polling *polling, const struct xenvram_domain *domain)
{
	if (polling->n_domains == polling->max_domains) {
		size_t max_domains = polling->max_domains ? polling->max_domains * 2 : MIN_DOMAINS;
		struct polled_domain *domains = reallocarray(polling->domains, max_domains, sizeof(*domains));
		if (!domains)
			return -1;
		polling->domains = domains;
		polling->max_domains = max_domains;
	}
	struct polled_domain *added = &polling->domains[polling->n_domains++];
	*added = (struct polled_domain){.info = *domain};
	added->info.uuid = NULL;
	snprintf(added->uuid, sizeof(added->uuid), "%s", domain->uuid);
	return 0;
}

static int by_domid(const void *a, const void *b)
{
	const struct polled_domain *left = a, *right = b;
	return (left->info.domid > right->info.domid) - (left->info.domid < right->info.domid);
}

static int by_cost(const void *a, const void *b)
{
	const struct polled_domain *left = a, *right = b;
	if (left->cpu_percent != right->cpu_percent)
		return left->cpu_percent < right->cpu_percent ? 1 : -1;
	return by_domid(a, b);
}

/* Counters of a domain are sums over its regions: they go back when one of those goes. */
static bool has_gone_on(const struct polled_domain *now, const struct polled_domain *before)
{
	return strcmp(now->uuid, before->uuid) == 0 && now->info.polls >= before->info.polls &&
	       now->info.poll_ns >= before->info.poll_ns &&
	       now->info.dirty_guest_pages >= before->info.dirty_guest_pages &&
	       now->info.dirty_device_model_pages >= before->info.dirty_device_model_pages &&
	       now->info.dirty_forced_pages >= before->info.dirty_forced_pages;
}

static void find_rates(struct polled_domain *now, const struct polled_domain *before, double elapsed_s)
{
	const struct xenvram_domain *info = &now->info, *base = &before->info;

	now->has_rates = true;
	now->polls_per_s = (info->polls - base->polls) / elapsed_s;
	now->cpu_percent = (info->poll_ns - base->poll_ns) / NS_PER_S / elapsed_s * 100;
	now->dirty_guest_pages_per_s = (info->dirty_guest_pages - base->dirty_guest_pages) / elapsed_s;
	now->dirty_device_model_pages_per_s =
		(info->dirty_device_model_pages - base->dirty_device_model_pages) / elapsed_s;
	now->dirty_forced_pages_per_s = (info->dirty_forced_pages - base->dirty_forced_pages) / elapsed_s;
}

static void sort(struct polling *polling, int (*compare)(const void *a, const void *b))
{
	if (polling->n_domains > 0)
		qsort(polling->domains, polling->n_domains, sizeof(*polling->domains), compare);
}

static const struct polled_domain *find(const struct polling *polling, const struct polled_domain *domain)
{
	if (polling->n_domains == 0)
		return NULL;
	return bsearch(domain, polling->domains, polling->n_domains, sizeof(*polling->domains), by_domid);
}

void polling_compare(struct polling *polling, struct polling *before)
{
	double elapsed_s = (polling->taken_ns - before->taken_ns) / NS_PER_S;

	sort(before, by_domid);
	for (size_t i = 0; i < polling->n_domains && polling->taken_ns > before->taken_ns; i++) {
		struct polled_domain *domain = &polling->domains[i];
		const struct polled_domain *base = find(before, domain);
		if (base && has_gone_on(domain, base))
			find_rates(domain, base, elapsed_s);
	}
	sort(polling, by_cost);
}
