/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* regions and domains */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/names.h"

enum {
	OPTION_DOMID = OPTION_OWN,
};

/* A stuck region in a move, and one of which a part was destroyed, have more to tell. */
static void print_more(const struct xenvram_region *region)
{
	if (region->between)
		printf("  pages may also be at gfn 0x%" PRIx64 "\n", region->old_vram_gfn);
	if (region->live_pages == region->nr_pages)
		return;
	printf("  %" PRIu64 " pages are left:", region->live_pages);
	for (size_t i = 0; i < region->n_extents; i++)
		printf(" %" PRIu64 " to %" PRIu64, region->extents[i].first,
			region->extents[i].first + region->extents[i].nr_pages - 1);
	putchar('\n');
}

static int print_region(const struct xenvram_region *region, void *data)
{
	(void)data;
	printf("0x%-16" PRIx64 " %5" PRIu32 " 0x%-10" PRIx64 " 0x%-10" PRIx64 " %7" PRIu64
	       " %-5s %-6s %-10s %10" PRIu64 " %7" PRIu32 " %9" PRIu32 " %10" PRIu64 " %12" PRIu64 "\n",
		region->cookie, region->domid, region->vram_gfn, region->backing_gfn, region->nr_pages,
		name_of_cache_attr(region->cache_attr), region->pinned ? "yes" : "no",
		name_of_region_state(region->state), region->generation, region->subscriptions,
		region->period_us, region->polls, region->dirty_pages);
	print_more(region);
	return 0;
}

static struct json_object *extents_to_json(const struct xenvram_region *region)
{
	struct json_object *array = json_object_new_array();
	for (size_t i = 0; i < region->n_extents; i++) {
		struct json_object *run = json_object_new_object();
		json_object_object_add(run, "first", json_object_new_uint64(region->extents[i].first));
		json_object_object_add(run, "pages", json_object_new_uint64(region->extents[i].nr_pages));
		json_object_array_add(array, run);
	}
	return array;
}

static int add_region(const struct xenvram_region *region, void *data)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "cookie", ctl_cookie_to_json(region->cookie));
	json_object_object_add(object, "domid", json_object_new_uint64(region->domid));
	json_object_object_add(object, "domain_uuid", json_object_new_string(region->domain_uuid));
	json_object_object_add(object, "vram_gfn", json_object_new_uint64(region->vram_gfn));
	json_object_object_add(object, "backing_gfn", json_object_new_uint64(region->backing_gfn));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(region->nr_pages));
	json_object_object_add(object, "live_pages", json_object_new_uint64(region->live_pages));
	json_object_object_add(object, "extents", extents_to_json(region));
	if (region->between)
		json_object_object_add(object, "old_vram_gfn", json_object_new_uint64(region->old_vram_gfn));
	json_object_object_add(
		object, "cache_attr", json_object_new_string(name_of_cache_attr(region->cache_attr)));
	json_object_object_add(object, "pinned", json_object_new_boolean(region->pinned));
	json_object_object_add(object, "adopted", json_object_new_boolean(region->adopted));
	json_object_object_add(object, "state", json_object_new_string(name_of_region_state(region->state)));
	json_object_object_add(object, "generation", json_object_new_uint64(region->generation));
	json_object_object_add(object, "subscriptions", json_object_new_uint64(region->subscriptions));
	json_object_object_add(object, "period_us", json_object_new_uint64(region->period_us));
	json_object_object_add(object, "owner_uid", json_object_new_uint64(region->owner_uid));
	json_object_object_add(object, "polls", json_object_new_uint64(region->polls));
	json_object_object_add(object, "dirty_pages", json_object_new_uint64(region->dirty_pages));
	json_object_array_add(data, object);
	return 0;
}

int command_regions(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS, {"domid", required_argument, NULL, OPTION_DOMID}, {0}};
	const uint32_t *by_domid = NULL;
	uint32_t domid;

	while (ctl_next_option(ctl, argc, argv, options) == OPTION_DOMID) {
		domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
		by_domid = &domid;
	}
	ctl_operands(ctl, argc, argv, 0);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;

	if (!ctl->json) {
		printf("%-18s %5s %-12s %-12s %7s %-5s %-6s %-10s %10s %7s %9s %10s %12s\n", "COOKIE",
			"DOMID", "VRAM-GFN", "BACKING-GFN", "PAGES", "CACHE", "PINNED", "STATE", "GENERATION",
			"READERS", "PERIOD-US", "POLLS", "DIRTY");
		return xenvram_list_regions(ctl->conn, by_domid, print_region, NULL) < 0 ? ctl_fail(ctl)
											 : EXIT_SUCCESS;
	}
	struct json_object *array = json_object_new_array();
	if (xenvram_list_regions(ctl->conn, by_domid, add_region, array) < 0) {
		json_object_put(array);
		return ctl_fail(ctl);
	}
	ctl_print_json(array);
	return EXIT_SUCCESS;
}

static int print_domain(const struct xenvram_domain *domain, void *data)
{
	(void)data;
	printf("%5" PRIu32 " %-36s %7" PRIu32 " %7" PRIu32 " %s\n", domain->domid, domain->uuid,
		domain->regions, domain->subscriptions, domain->worker_running ? "running" : "none");
	return 0;
}

static int add_domain(const struct xenvram_domain *domain, void *data)
{
	json_object_array_add(data, ctl_domain_to_json(domain));
	return 0;
}

int command_domains(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS, {0}};

	ctl_next_option(ctl, argc, argv, options);
	ctl_operands(ctl, argc, argv, 0);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;

	if (!ctl->json) {
		printf("%5s %-36s %7s %7s %s\n", "DOMID", "UUID", "REGIONS", "READERS", "WORKER");
		return xenvram_list_domains(ctl->conn, print_domain, NULL) < 0 ? ctl_fail(ctl) : EXIT_SUCCESS;
	}
	struct json_object *array = json_object_new_array();
	if (xenvram_list_domains(ctl->conn, add_domain, array) < 0) {
		json_object_put(array);
		return ctl_fail(ctl);
	}
	ctl_print_json(array);
	return EXIT_SUCCESS;
}
