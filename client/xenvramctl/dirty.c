/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dirty */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/runs.h"

#define DEFAULT_INTERVAL_MS 1000u
#define MAX_INTERVAL_MS     4000u /* tracking ends a while after the last call */
/* After this time the hypervisor tracks the range, whatever it was busy with, or it cannot: that is said. */
#define SETTLING_MS 250u

enum {
	OPTION_DOMID = OPTION_OWN,
	OPTION_GFN,
	OPTION_PAGES,
	OPTION_INTERVAL,
	OPTIONS_END,
};

struct dirty {
	uint32_t domid;
	uint64_t first_gfn;
	uint64_t nr_pages;
	uint32_t interval_ms;
	uint64_t *bitmap;
	struct xenvram_snapshot snapshot;
};

static void parse(struct ctl *ctl, struct dirty *dirty, int argc, char **argv)
{
	static const struct option options[] = {
		COMMON_OPTIONS,
		{"domid", required_argument, NULL, OPTION_DOMID},
		{"gfn", required_argument, NULL, OPTION_GFN},
		{"pages", required_argument, NULL, OPTION_PAGES},
		{"interval", required_argument, NULL, OPTION_INTERVAL},
		{0},
	};
	bool given[OPTIONS_END] = {false};
	int option;

	dirty->interval_ms = DEFAULT_INTERVAL_MS;
	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		given[option] = true;
		if (option == OPTION_DOMID)
			dirty->domid = ctl_number(ctl, "--domid", optarg, 0, UINT32_MAX);
		else if (option == OPTION_GFN)
			dirty->first_gfn = ctl_number(ctl, "--gfn", optarg, 0, UINT64_MAX);
		else if (option == OPTION_PAGES)
			dirty->nr_pages = ctl_number(ctl, "--pages", optarg, 1, XENVRAM_MAX_REGION_PAGES);
		else
			dirty->interval_ms = ctl_number(ctl, "--interval", optarg, 1, MAX_INTERVAL_MS);
	}
	ctl_operands(ctl, argc, argv, 0);
	if (!given[OPTION_DOMID] || !given[OPTION_GFN] || !given[OPTION_PAGES])
		ctl_usage_error(ctl, "--domid, --gfn and --pages must be given");
}

static int look(struct ctl *ctl, struct dirty *dirty, uint32_t after_ms)
{
	const struct timespec pause = {.tv_sec = after_ms / 1000, .tv_nsec = after_ms % 1000 * 1000000l};
	nanosleep(&pause, NULL);
	return xenvram_track_dirty(ctl->conn, dirty->domid, dirty->first_gfn, dirty->nr_pages,
		dirty->snapshot.generation, dirty->bitmap, &dirty->snapshot);
}

static void print_text(const struct dirty *dirty)
{
	struct xenvram_run run = {0};

	printf("%" PRIu64 " of %" PRIu64 " pages dirty within %" PRIu32 " ms\n", dirty->snapshot.dirty_pages,
		dirty->nr_pages, dirty->interval_ms);
	while (xenvram_bitmap_next_run(dirty->bitmap, dirty->nr_pages, run.first + run.nr_pages, &run))
		printf("  gfn 0x%" PRIx64 " to 0x%" PRIx64 ": %" PRIu64 "\n", dirty->first_gfn + run.first,
			dirty->first_gfn + run.first + run.nr_pages - 1, run.nr_pages);
}

static void print_json(const struct dirty *dirty)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "domid", json_object_new_uint64(dirty->domid));
	json_object_object_add(object, "first_gfn", json_object_new_uint64(dirty->first_gfn));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(dirty->nr_pages));
	json_object_object_add(object, "interval_ms", json_object_new_uint64(dirty->interval_ms));
	json_object_object_add(object, "dirty_pages", json_object_new_uint64(dirty->snapshot.dirty_pages));
	json_object_object_add(object, "runs", runs_to_json(dirty->bitmap, dirty->nr_pages));
	ctl_print_json(object);
}

int command_dirty(struct ctl *ctl, int argc, char **argv)
{
	struct dirty dirty = {0};

	parse(ctl, &dirty, argc, argv);
	dirty.bitmap = calloc(XENVRAM_BITMAP_WORDS(dirty.nr_pages), sizeof(*dirty.bitmap));
	if (!dirty.bitmap) {
		ctl_say(ctl, "out of memory");
		return EXIT_FAILURE;
	}
	int status = EXIT_FAILURE;
	if (ctl_connect(ctl) == 0) {
		if (look(ctl, &dirty, 0) < 0 || look(ctl, &dirty, SETTLING_MS) < 0 ||
			look(ctl, &dirty, SETTLING_MS) < 0 || look(ctl, &dirty, dirty.interval_ms) < 0) {
			status = ctl_fail(ctl);
		} else {
			status = EXIT_SUCCESS;
			ctl_warn(ctl);
			if (ctl->json)
				print_json(&dirty);
			else
				print_text(&dirty);
		}
	}
	free(dirty.bitmap);
	return status;
}
