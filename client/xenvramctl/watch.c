/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/live.h"
#include "client/xenvramctl/names.h"
#include "client/xenvramctl/picture.h"
#include "client/xenvramctl/runs.h"
#include "client/xenvramctl/sample.h"

#define SCREEN_INTERVAL_MS  100u
#define MAX_RUNS_IN_LINE    16u
#define ROWS_BESIDE_PICTURE 5u

struct watch {
	struct live live;
	uint64_t cookie;

	struct xenvram_view *view;
	uint64_t cursor;
	uint64_t *bitmap;
	struct sample sample;
	struct picture picture;
};

/* ---- a frame, in three dresses ---- */

static void draw_screen(struct watch *watch)
{
	const struct sample *sample = &watch->sample;
	const struct xenvram_view_info *info = &sample->info;
	const struct live *live = &watch->live;
	const struct screen *screen = &live->screen;
	unsigned int cols = screen->cols < LIVE_LINE_BYTES ? screen->cols : LIVE_LINE_BYTES - 1;
	unsigned int rows = screen->rows > ROWS_BESIDE_PICTURE ? screen->rows - ROWS_BESIDE_PICTURE : 1;
	uint64_t pages_per_cell = picture_pages_per_cell(&watch->picture, cols, rows);
	bool is_stretched = info->stretch != XENVRAM_AS_WANTED;
	char line[LIVE_LINE_BYTES];

	live_begin_frame(live);
	snprintf(line, sizeof(line), "region 0x%" PRIx64 ": %" PRIu64 " pages, %s, polled every %.1f ms%s%s",
		watch->cookie, info->nr_pages, name_of_view_state(info->state),
		info->period_ns / (double)NS_PER_MS, is_stretched ? ", stretched: " : "",
		is_stretched ? name_of_stretch(info->stretch) : "");
	live_line(live, line);
	snprintf(line, sizeof(line),
		"generation %" PRIu64 "  polls %" PRIu64 " (%.1f/s)  dirty now %" PRIu64 " (%.0f pages/s)",
		info->generation, info->polls, sample->polls_per_s, sample->dirty_pages,
		sample->dirty_pages_per_s);
	live_line(live, line);
	for (uint64_t first = 0; first < info->nr_pages; first += pages_per_cell * cols) {
		picture_row(&watch->picture, first, pages_per_cell, cols, line);
		live_line(live, line);
	}
	snprintf(line, sizeof(line), PICTURE_LEGEND "  (%" PRIu64 " pages each)  q quits", pages_per_cell);
	live_line(live, line);
	live_end_frame(live);
}

static void print_line(const struct watch *watch)
{
	const struct sample *sample = &watch->sample;

	printf("generation %" PRIu64 "  polls %" PRIu64 " (%.1f/s)  %s  dirty %" PRIu64 " of %" PRIu64,
		sample->info.generation, sample->info.polls, sample->polls_per_s,
		name_of_view_state(sample->info.state), sample->dirty_pages, sample->info.nr_pages);
	if (sample->dirty_pages > 0)
		fputs("  ", stdout);
	runs_print(stdout, watch->bitmap, sample->info.nr_pages, MAX_RUNS_IN_LINE);
	putchar('\n');
	fflush(stdout);
}

static void print_json(const struct watch *watch)
{
	const struct sample *sample = &watch->sample;
	const struct xenvram_view_info *info = &sample->info;
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "cookie", ctl_cookie_to_json(watch->cookie));
	json_object_object_add(object, "elapsed_ms",
		json_object_new_uint64((live_now_ns() - watch->live.begin_ns) / NS_PER_MS));
	json_object_object_add(object, "state", json_object_new_string(name_of_view_state(info->state)));
	json_object_object_add(object, "generation", json_object_new_uint64(info->generation));
	json_object_object_add(
		object, "wanted_period_us", json_object_new_uint64(info->wanted_period_ns / 1000));
	json_object_object_add(object, "period_us", json_object_new_uint64(info->period_ns / 1000));
	json_object_object_add(object, "stretch", ctl_stretch_to_json(info->stretch));
	json_object_object_add(object, "polls", json_object_new_uint64(info->polls));
	json_object_object_add(object, "poll_ns", json_object_new_uint64(info->poll_ns));
	json_object_object_add(object, "polls_per_s", ctl_rate_to_json(true, sample->polls_per_s));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(info->nr_pages));
	json_object_object_add(object, "untracked_pages", json_object_new_uint64(info->untracked_pages));
	json_object_object_add(object, "dirty_pages", json_object_new_uint64(sample->dirty_pages));
	json_object_object_add(object, "runs", runs_to_json(watch->bitmap, info->nr_pages));
	ctl_print_json(object);
	fflush(stdout);
}

static bool show_frame(void *data)
{
	struct watch *watch = data;
	struct live *live = &watch->live;

	sample_take(&watch->sample, watch->view, live_now_ns(), &watch->cursor, watch->bitmap);
	if (live->on_screen) {
		picture_update(&watch->picture, watch->bitmap);
		draw_screen(watch);
	} else if (live->ctl->json) {
		print_json(watch);
	} else {
		print_line(watch);
	}
	if (watch->sample.info.state == XENVRAM_VIEW_GONE) {
		live->status = EXIT_FAILURE;
		live->quit = true;
	}
	return true;
}

/* ---- what happens meanwhile ---- */

static void on_region_changed(
	uint64_t cookie, enum xenvram_region_state state, const char *reason, void *data)
{
	struct watch *watch = data;
	char text[sizeof(watch->live.notice)];

	if (cookie != watch->cookie)
		return;
	snprintf(text, sizeof(text), "the region is %s%s%s", name_of_region_state(state),
		reason[0] ? ": " : "", reason);
	live_notice(&watch->live, text);
}

static void on_restarted(void *data)
{
	struct watch *watch = data;
	live_notice(&watch->live, "a part of the service was restarted; the view goes on");
}

/* ---- from the command line to the end ---- */

/* What is shown begins now: nothing of the past is dirty. */
static int prepare(struct watch *watch)
{
	sample_init(&watch->sample, watch->view, live_now_ns());
	watch->cursor = watch->sample.info.generation;
	watch->bitmap = calloc(XENVRAM_BITMAP_WORDS(watch->sample.info.nr_pages), sizeof(*watch->bitmap));
	if (!watch->bitmap || picture_init(&watch->picture, watch->sample.info.nr_pages) < 0) {
		ctl_say(watch->live.ctl, "cannot prepare the picture: %m");
		return -1;
	}
	return 0;
}

static int run(struct watch *watch)
{
	int status = live_run(&watch->live);
	/* The picture has gone with the screen. */
	if (watch->live.on_screen && watch->live.n_frames > 0)
		print_line(watch);
	return status;
}

int command_watch(struct ctl *ctl, int argc, char **argv)
{
	struct watch watch = {.live = {.ctl = ctl, .show = show_frame, .data = &watch}};
	const struct xenvram_handlers handlers = {on_region_changed, on_restarted};

	char **operands = live_parse(&watch.live, argc, argv, 1, SCREEN_INTERVAL_MS);
	watch.cookie = ctl_number(ctl, "COOKIE", operands[0], 1, UINT64_MAX);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	xenvram_set_handlers(ctl->conn, &handlers, &watch);
	/* Twice as often as it is shown, so that every frame has a poll of its own. */
	uint32_t interval_ms = watch.live.interval_ms;
	uint32_t period_us = interval_ms > 1 ? interval_ms * 1000 / 2 : 1000;
	if (xenvram_subscribe(ctl->conn, watch.cookie, period_us, 0, &watch.view) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	int status = prepare(&watch) == 0 ? run(&watch) : EXIT_FAILURE;

	xenvram_unsubscribe(ctl->conn, watch.view);
	picture_deinit(&watch.picture);
	free(watch.bitmap);
	return status;
}
