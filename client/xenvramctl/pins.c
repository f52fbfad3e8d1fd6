/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pin, unpin, and pins */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/names.h"
#include "client/xenvramctl/parse.h"

enum {
	OPTION_DOMID = OPTION_OWN,
	OPTION_GFN,
	OPTION_PAGES,
	OPTION_CACHE_ATTR,
	OPTIONS_END,
};

#define DOMID_OPTION                                                                                         \
	{                                                                                                    \
		"domid", required_argument, NULL, OPTION_DOMID                                               \
	}
#define RANGE_OPTIONS                                                                                        \
	COMMON_OPTIONS, DOMID_OPTION, {"gfn", required_argument, NULL, OPTION_GFN},                          \
	{                                                                                                    \
		"pages", required_argument, NULL, OPTION_PAGES                                               \
	}

struct range {
	uint32_t domid;
	uint64_t first_gfn;
	uint64_t nr_pages;
	enum xenvram_cache_attr cache_attr;
};

/* What only the service can judge is left to it. */
static void parse_range(
	struct ctl *ctl, int argc, char **argv, const struct option *options, struct range *range)
{
	bool given[OPTIONS_END] = {false};
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		given[option] = true;
		switch (option) {
		case OPTION_DOMID:
			range->domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
			break;
		case OPTION_GFN:
			range->first_gfn = ctl_number(ctl, "--gfn", optarg, 0, UINT64_MAX);
			break;
		case OPTION_PAGES:
			range->nr_pages = ctl_number(ctl, "--pages", optarg, 0, UINT64_MAX);
			break;
		case OPTION_CACHE_ATTR:
			if (!parse_cache_attr(optarg, &range->cache_attr))
				ctl_usage_error(ctl, "--cache-attr \"%s\" is none of wb, wc, uc, uc-, wt, wp",
					optarg);
			break;
		}
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given[OPTION_DOMID] || !given[OPTION_GFN] || !given[OPTION_PAGES])
		ctl_usage_error(ctl, "--domid, --gfn, and --pages must be given");
}

int command_pin(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		RANGE_OPTIONS, {"cache-attr", required_argument, NULL, OPTION_CACHE_ATTR}, {0}};
	struct range range = {.cache_attr = XENVRAM_CACHE_WB};

	parse_range(ctl, argc, argv, options, &range);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_pin_cacheattr(ctl->conn, range.domid, range.first_gfn, range.nr_pages, range.cache_attr) <
		0)
		return ctl_fail(ctl);
	return EXIT_SUCCESS;
}

int command_unpin(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {RANGE_OPTIONS, {0}};
	struct range range = {0};

	parse_range(ctl, argc, argv, options, &range);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_unpin_cacheattr(ctl->conn, range.domid, range.first_gfn, range.nr_pages) < 0)
		return ctl_fail(ctl);
	return EXIT_SUCCESS;
}

static int print_pin(const struct xenvram_pin *pin, void *data)
{
	(void)data;
	printf("0x%-10" PRIx64 " %9" PRIu64 " %-5s ", pin->first_gfn, pin->nr_pages,
		name_of_cache_attr(pin->cache_attr));
	if (pin->cookie)
		printf("0x%-16" PRIx64, pin->cookie);
	else
		printf("%-18s", "-");
	printf(" %6" PRIu32 "%s\n", pin->owner_uid, pin->settled ? "" : " (not settled)");
	return 0;
}

static int add_pin(const struct xenvram_pin *pin, void *data)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "first_gfn", json_object_new_uint64(pin->first_gfn));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(pin->nr_pages));
	json_object_object_add(
		object, "cache_attr", json_object_new_string(name_of_cache_attr(pin->cache_attr)));
	json_object_object_add(object, "region", pin->cookie ? ctl_cookie_to_json(pin->cookie) : NULL);
	json_object_object_add(object, "owner_uid", json_object_new_uint64(pin->owner_uid));
	json_object_object_add(object, "settled", json_object_new_boolean(pin->settled));
	json_object_array_add(data, object);
	return 0;
}

int command_pins(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS, DOMID_OPTION, {0}};
	bool given = false;
	uint32_t domid = 0;

	while (ctl_next_option(ctl, argc, argv, options) == OPTION_DOMID) {
		domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
		given = true;
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given)
		ctl_usage_error(ctl, "--domid must be given");
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;

	if (!ctl->json) {
		printf("%-12s %9s %-5s %-18s %6s\n", "GFN", "PAGES", "CACHE", "REGION", "UID");
		return xenvram_list_pins(ctl->conn, domid, print_pin, NULL) < 0 ? ctl_fail(ctl)
										: EXIT_SUCCESS;
	}
	struct json_object *array = json_object_new_array();
	if (xenvram_list_pins(ctl->conn, domid, add_pin, array) < 0) {
		json_object_put(array);
		return ctl_fail(ctl);
	}
	ctl_print_json(array);
	return EXIT_SUCCESS;
}
