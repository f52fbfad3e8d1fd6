/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* create, destroy, move */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/parse.h"

enum {
	OPTION_DOMID = OPTION_OWN,
	OPTION_VRAM_GFN,
	OPTION_BACKING_GFN,
	OPTION_PAGES,
	OPTION_CACHE_ATTR,
	OPTION_REQUIRE_CACHE_ATTR,
	OPTION_ADOPT,
	OPTION_DRY_RUN,
	OPTION_FIRST,
};

static const struct option create_options[] = {
	COMMON_OPTIONS,
	{"domid", required_argument, NULL, OPTION_DOMID},
	{"vram-gfn", required_argument, NULL, OPTION_VRAM_GFN},
	{"backing-gfn", required_argument, NULL, OPTION_BACKING_GFN},
	{"pages", required_argument, NULL, OPTION_PAGES},
	{"cache-attr", required_argument, NULL, OPTION_CACHE_ATTR},
	{"require-cache-attr", no_argument, NULL, OPTION_REQUIRE_CACHE_ATTR},
	{"adopt", no_argument, NULL, OPTION_ADOPT},
	{"dry-run", no_argument, NULL, OPTION_DRY_RUN},
	{0},
};

/* Ranges that only the service can judge (limits, overlap) are left to it. */
static void parse_create(struct ctl *ctl, int argc, char **argv, struct xenvram_create *create)
{
	bool given[OPTION_DRY_RUN + 1] = {false};
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, create_options)) != -1) {
		given[option] = true;
		switch (option) {
		case OPTION_DOMID:
			create->domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
			break;
		case OPTION_VRAM_GFN:
			create->vram_gfn = ctl_number(ctl, "--vram-gfn", optarg, 0, UINT64_MAX);
			break;
		case OPTION_BACKING_GFN:
			create->backing_gfn = ctl_number(ctl, "--backing-gfn", optarg, 0, UINT64_MAX);
			break;
		case OPTION_PAGES:
			create->nr_pages = ctl_number(ctl, "--pages", optarg, 0, UINT64_MAX);
			break;
		case OPTION_CACHE_ATTR:
			if (!parse_cache_attr(optarg, &create->cache_attr))
				ctl_usage_error(ctl, "--cache-attr \"%s\" is none of wb, wc, uc, uc-, wt, wp",
					optarg);
			break;
		case OPTION_REQUIRE_CACHE_ATTR:
			create->require_cache_attr = true;
			break;
		case OPTION_ADOPT:
			create->adopt = true;
			break;
		case OPTION_DRY_RUN:
			create->dry_run = true;
			break;
		}
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given[OPTION_DOMID] || !given[OPTION_VRAM_GFN] || !given[OPTION_PAGES])
		ctl_usage_error(ctl, "--domid, --vram-gfn, and --pages must be given");
	if (given[OPTION_BACKING_GFN] == given[OPTION_ADOPT])
		ctl_usage_error(ctl, "either --backing-gfn or --adopt must be given");
}

int command_create(struct ctl *ctl, int argc, char **argv)
{
	struct xenvram_create create = {.cache_attr = XENVRAM_CACHE_WB};
	uint64_t cookie;

	parse_create(ctl, argc, argv, &create);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_create_region(ctl->conn, &create, &cookie) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	if (create.dry_run)
		return EXIT_SUCCESS;
	if (ctl->json) {
		struct json_object *object = json_object_new_object();
		json_object_object_add(object, "cookie", ctl_cookie_to_json(cookie));
		ctl_print_json(object);
	} else {
		printf("0x%" PRIx64 "\n", cookie);
	}
	return EXIT_SUCCESS;
}

static int print_cookie(const struct ctl *ctl, uint64_t cookie)
{
	if (ctl->json) {
		struct json_object *object = json_object_new_object();
		json_object_object_add(object, "cookie", ctl_cookie_to_json(cookie));
		ctl_print_json(object);
	}
	return EXIT_SUCCESS;
}

int command_destroy(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS,
		{"first", required_argument, NULL, OPTION_FIRST},
		{"pages", required_argument, NULL, OPTION_PAGES}, {0}};
	uint64_t first = 0, nr_pages = 0;
	bool given_first = false;
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		if (option == OPTION_FIRST) {
			first = ctl_number(ctl, "--first", optarg, 0, UINT64_MAX);
			given_first = true;
		} else {
			nr_pages = ctl_number(ctl, "--pages", optarg, 1, UINT64_MAX);
		}
	}
	uint64_t cookie = ctl_number(ctl, "COOKIE", ctl_operands(ctl, argc, argv, 1)[0], 1, UINT64_MAX);
	/* Whoever forgets one of them does not mean all of the region. */
	if (given_first != (nr_pages > 0))
		ctl_usage_error(ctl, "--first and --pages go together");
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if ((nr_pages > 0 ? xenvram_destroy_range(ctl->conn, cookie, first, nr_pages)
			  : xenvram_destroy_region(ctl->conn, cookie)) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	return print_cookie(ctl, cookie);
}

int command_move(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS, {"vram-gfn", required_argument, NULL, OPTION_VRAM_GFN}, {0}};
	uint64_t vram_gfn = 0;
	bool given = false;

	while (ctl_next_option(ctl, argc, argv, options) == OPTION_VRAM_GFN) {
		vram_gfn = ctl_number(ctl, "--vram-gfn", optarg, 0, UINT64_MAX);
		given = true;
	}
	uint64_t cookie = ctl_number(ctl, "COOKIE", ctl_operands(ctl, argc, argv, 1)[0], 1, UINT64_MAX);
	if (!given)
		ctl_usage_error(ctl, "--vram-gfn must be given");
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_move_region(ctl->conn, cookie, vram_gfn) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	return print_cookie(ctl, cookie);
}
