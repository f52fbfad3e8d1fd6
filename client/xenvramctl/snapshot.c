/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/runs.h"

enum {
	OPTION_SINCE = OPTION_OWN,
	OPTION_SYNC,
	OPTION_FIRST,
	OPTION_PAGES,
};

static void print_json(
	uint64_t cookie, uint64_t since, const struct xenvram_snapshot *snapshot, const uint64_t *bitmap)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "cookie", ctl_cookie_to_json(cookie));
	json_object_object_add(object, "since", json_object_new_uint64(since));
	json_object_object_add(object, "generation", json_object_new_uint64(snapshot->generation));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(snapshot->nr_pages));
	json_object_object_add(object, "dirty_pages", json_object_new_uint64(snapshot->dirty_pages));
	json_object_object_add(object, "runs", runs_to_json(bitmap, snapshot->nr_pages));
	ctl_print_json(object);
}

static void print_text(uint64_t since, const struct xenvram_snapshot *snapshot, const uint64_t *bitmap)
{
	struct xenvram_run run = {0};

	printf("generation %" PRIu64 ": %" PRIu64 " of %" PRIu64 " pages dirty since generation %" PRIu64
	       "\n",
		snapshot->generation, snapshot->dirty_pages, snapshot->nr_pages, since);
	while (xenvram_bitmap_next_run(bitmap, snapshot->nr_pages, run.first + run.nr_pages, &run))
		printf("  page %" PRIu64 " to %" PRIu64 ": %" PRIu64 "\n", run.first,
			run.first + run.nr_pages - 1, run.nr_pages);
}

int command_snapshot(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS,
		{"since", required_argument, NULL, OPTION_SINCE}, {"sync", no_argument, NULL, OPTION_SYNC},
		{"first", required_argument, NULL, OPTION_FIRST},
		{"pages", required_argument, NULL, OPTION_PAGES}, {0}};
	static uint64_t bitmap[XENVRAM_BITMAP_WORDS(XENVRAM_MAX_REGION_PAGES)];
	struct xenvram_snapshot snapshot;
	uint64_t since = 0, first = 0, nr_pages = 0;
	uint32_t flags = 0;
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		if (option == OPTION_SINCE)
			since = ctl_number(ctl, "--since", optarg, 0, UINT64_MAX);
		else if (option == OPTION_FIRST)
			first = ctl_number(ctl, "--first", optarg, 0, XENVRAM_MAX_REGION_PAGES - 1);
		else if (option == OPTION_PAGES)
			nr_pages = ctl_number(ctl, "--pages", optarg, 1, XENVRAM_MAX_REGION_PAGES);
		else
			flags = XENVRAM_SNAPSHOT_SYNC;
	}
	uint64_t cookie = ctl_number(ctl, "COOKIE", ctl_operands(ctl, argc, argv, 1)[0], 1, UINT64_MAX);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	if (xenvram_snapshot_pages(ctl->conn, cookie, first, nr_pages, since, flags, bitmap,
		    XENVRAM_MAX_REGION_PAGES, &snapshot) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	if (ctl->json)
		print_json(cookie, since, &snapshot, bitmap);
	else
		print_text(since, &snapshot, bitmap);
	return EXIT_SUCCESS;
}
