/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/names.h"
#include "client/xenvramctl/picture.h"
#include "client/xenvramctl/runs.h"
#include "client/xenvramctl/sample.h"
#include "client/xenvramctl/screen.h"

#define NS_PER_MS           1000000ull
#define NS_PER_S            1000000000ull
#define SCREEN_INTERVAL_MS  100u
#define LINES_INTERVAL_MS   1000u
#define MAX_INTERVAL_MS     10000u
#define MAX_RUNS_IN_LINE    16u
#define ROWS_BESIDE_PICTURE 5u
#define MAX_LINE            1024u

enum {
	OPTION_FRAMES = OPTION_OWN,
	OPTION_SECONDS,
	OPTION_INTERVAL,
};

struct watch {
	struct ctl *ctl;
	uint64_t cookie;
	uint64_t max_frames; /* 0: no end */
	uint64_t max_seconds;
	uint32_t interval_ms;

	struct xenvram_view *view;
	uint64_t cursor;
	uint64_t *bitmap;
	struct sample sample;
	uint64_t n_frames;
	uint64_t begin_ns;

	bool on_screen;
	struct screen screen;
	struct picture picture;
	char notice[256]; /* the last event */

	int signal_fd;
	bool quit; /* somebody asked for it */
	int status;
};

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- a frame, in three dresses ---- */

static void draw_screen(struct watch *watch)
{
	const struct sample *sample = &watch->sample;
	const struct xenvram_view_info *info = &sample->info;
	struct screen *screen = &watch->screen;
	unsigned int cols = screen->cols < MAX_LINE ? screen->cols : MAX_LINE - 1;
	unsigned int rows = screen->rows > ROWS_BESIDE_PICTURE ? screen->rows - ROWS_BESIDE_PICTURE : 1;
	uint64_t pages_per_cell = picture_pages_per_cell(&watch->picture, cols, rows);
	char line[MAX_LINE];

	screen_begin_frame();
	snprintf(line, sizeof(line), "region 0x%" PRIx64 ": %" PRIu64 " pages, %s, polled every %.1f ms",
		watch->cookie, info->nr_pages, name_of_view_state(info->state),
		info->period_ns / (double)NS_PER_MS);
	screen_line(screen, line);
	snprintf(line, sizeof(line),
		"generation %" PRIu64 "  polls %" PRIu64 " (%.1f/s)  dirty now %" PRIu64 " (%.0f pages/s)",
		info->generation, info->polls, sample->polls_per_s, sample->dirty_pages,
		sample->dirty_pages_per_s);
	screen_line(screen, line);
	for (uint64_t first = 0; first < info->nr_pages; first += pages_per_cell * cols) {
		picture_row(&watch->picture, first, pages_per_cell, cols, line);
		screen_line(screen, line);
	}
	snprintf(line, sizeof(line), PICTURE_LEGEND "  (%" PRIu64 " pages each)  q quits", pages_per_cell);
	screen_line(screen, line);
	screen_line(screen, watch->notice);
	screen_end_frame();
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

static struct json_object *rate_to_json(double rate)
{
	char text[32];
	snprintf(text, sizeof(text), "%.1f", rate);
	return json_object_new_double_s(rate, text);
}

static void print_json(const struct watch *watch)
{
	const struct sample *sample = &watch->sample;
	const struct xenvram_view_info *info = &sample->info;
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "cookie", ctl_cookie_to_json(watch->cookie));
	json_object_object_add(
		object, "elapsed_ms", json_object_new_uint64((now_ns() - watch->begin_ns) / NS_PER_MS));
	json_object_object_add(object, "state", json_object_new_string(name_of_view_state(info->state)));
	json_object_object_add(object, "generation", json_object_new_uint64(info->generation));
	json_object_object_add(object, "period_us", json_object_new_uint64(info->period_ns / 1000));
	json_object_object_add(object, "polls", json_object_new_uint64(info->polls));
	json_object_object_add(object, "poll_ns", json_object_new_uint64(info->poll_ns));
	json_object_object_add(object, "polls_per_s", rate_to_json(sample->polls_per_s));
	json_object_object_add(object, "nr_pages", json_object_new_uint64(info->nr_pages));
	json_object_object_add(object, "untracked_pages", json_object_new_uint64(info->untracked_pages));
	json_object_object_add(object, "dirty_pages", json_object_new_uint64(sample->dirty_pages));
	json_object_object_add(object, "runs", runs_to_json(watch->bitmap, info->nr_pages));
	ctl_print_json(object);
	fflush(stdout);
}

static void show_frame(struct watch *watch)
{
	sample_take(&watch->sample, watch->view, now_ns(), &watch->cursor, watch->bitmap);
	watch->n_frames++;
	if (watch->on_screen) {
		picture_update(&watch->picture, watch->bitmap);
		draw_screen(watch);
	} else if (watch->ctl->json) {
		print_json(watch);
	} else {
		print_line(watch);
	}
}

/* ---- what happens meanwhile ---- */

static void notice(struct watch *watch, const char *text)
{
	snprintf(watch->notice, sizeof(watch->notice), "%s", text);
	if (!watch->on_screen)
		ctl_say(watch->ctl, "%s", text);
}

static void on_region_changed(
	uint64_t cookie, enum xenvram_region_state state, const char *reason, void *data)
{
	struct watch *watch = data;
	char text[sizeof(watch->notice)];

	if (cookie != watch->cookie)
		return;
	snprintf(text, sizeof(text), "the region is %s%s%s", name_of_region_state(state),
		reason[0] ? ": " : "", reason);
	notice(watch, text);
}

static void on_restarted(void *data)
{
	notice(data, "a part of the service was restarted; the view goes on");
}

static void on_signal(struct watch *watch)
{
	struct signalfd_siginfo info;

	if (read(watch->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH)
		watch->quit = true;
	else if (watch->on_screen)
		screen_measure(&watch->screen);
}

static void on_service(struct watch *watch)
{
	if (xenvram_dispatch(watch->ctl->conn) < 0) {
		notice(watch, xenvram_error(watch->ctl->conn));
		watch->status = EXIT_FAILURE;
		watch->quit = true;
	}
}

static void wait_until(struct watch *watch, uint64_t until_ns)
{
	enum { SIGNAL, SERVICE, KEYS, N_FDS };
	struct pollfd fds[N_FDS] = {
		[SIGNAL] = {.fd = watch->signal_fd, .events = POLLIN},
		[SERVICE] = {.fd = xenvram_fd(watch->ctl->conn), .events = POLLIN},
		[KEYS] = {.fd = watch->screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN},
	};

	while (!watch->quit) {
		uint64_t now = now_ns();
		if (now >= until_ns)
			return;
		if (poll(fds, N_FDS, (until_ns - now + NS_PER_MS - 1) / NS_PER_MS) <= 0)
			continue;
		if (fds[SIGNAL].revents)
			on_signal(watch);
		if (fds[SERVICE].revents)
			on_service(watch);
		if (fds[KEYS].revents && screen_read_quit(&watch->screen))
			watch->quit = true;
	}
}

static void follow(struct watch *watch)
{
	uint64_t next_ns = watch->begin_ns;
	uint64_t end_ns = watch->max_seconds ? watch->begin_ns + watch->max_seconds * NS_PER_S : UINT64_MAX;

	while (next_ns < end_ns) {
		next_ns += watch->interval_ms * NS_PER_MS;
		wait_until(watch, next_ns < end_ns ? next_ns : end_ns);
		if (watch->quit)
			return;
		show_frame(watch);
		if (watch->n_frames == watch->max_frames)
			return;
		if (watch->sample.info.state == XENVRAM_VIEW_GONE) {
			watch->status = EXIT_FAILURE;
			return;
		}
	}
}

/* ---- from the command line to the end ---- */

static void parse(struct watch *watch, int argc, char **argv)
{
	static const struct option options[] = {COMMON_OPTIONS,
		{"frames", required_argument, NULL, OPTION_FRAMES},
		{"seconds", required_argument, NULL, OPTION_SECONDS},
		{"interval", required_argument, NULL, OPTION_INTERVAL}, {0}};
	struct ctl *ctl = watch->ctl;
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		if (option == OPTION_FRAMES)
			watch->max_frames = ctl_number(ctl, "--frames", optarg, 1, UINT32_MAX);
		else if (option == OPTION_SECONDS)
			watch->max_seconds = ctl_number(ctl, "--seconds", optarg, 1, UINT32_MAX);
		else
			watch->interval_ms = ctl_number(ctl, "--interval", optarg, 1, MAX_INTERVAL_MS);
	}
	watch->cookie = ctl_number(ctl, "COOKIE", ctl_operands(ctl, argc, argv, 1)[0], 1, UINT64_MAX);
	watch->on_screen = !ctl->json && isatty(STDOUT_FILENO);
	if (watch->interval_ms == 0)
		watch->interval_ms = watch->on_screen ? SCREEN_INTERVAL_MS : LINES_INTERVAL_MS;
}

static int catch_signals(struct watch *watch)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	watch->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	return watch->signal_fd < 0 ? -1 : 0;
}

/* What is shown begins now: nothing of the past is dirty. */
static int prepare(struct watch *watch)
{
	watch->begin_ns = now_ns();
	sample_init(&watch->sample, watch->view, watch->begin_ns);
	watch->cursor = watch->sample.info.generation;
	watch->bitmap = calloc(XENVRAM_BITMAP_WORDS(watch->sample.info.nr_pages), sizeof(*watch->bitmap));
	if (!watch->bitmap || picture_init(&watch->picture, watch->sample.info.nr_pages) < 0 ||
		catch_signals(watch) < 0) {
		ctl_say(watch->ctl, "cannot prepare the picture: %m");
		return -1;
	}
	return 0;
}

static void run(struct watch *watch)
{
	if (watch->on_screen)
		screen_open(&watch->screen);
	follow(watch);
	if (watch->on_screen) {
		screen_close(&watch->screen);
		if (watch->n_frames > 0)
			print_line(watch);
		if (watch->notice[0])
			ctl_say(watch->ctl, "%s", watch->notice);
	}
}

int command_watch(struct ctl *ctl, int argc, char **argv)
{
	struct watch watch = {.ctl = ctl, .signal_fd = -1};
	const struct xenvram_handlers handlers = {on_region_changed, on_restarted};

	parse(&watch, argc, argv);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	xenvram_set_handlers(ctl->conn, &handlers, &watch);
	/* Twice as often as it is shown, so that every frame has a poll of its own. */
	uint32_t period_us = watch.interval_ms > 1 ? watch.interval_ms * 1000 / 2 : 1000;
	if (xenvram_subscribe(ctl->conn, watch.cookie, period_us, 0, &watch.view) < 0)
		return ctl_fail(ctl);
	ctl_warn(ctl);
	if (prepare(&watch) == 0)
		run(&watch);
	else
		watch.status = EXIT_FAILURE;

	xenvram_unsubscribe(ctl->conn, watch.view);
	picture_deinit(&watch.picture);
	free(watch.bitmap);
	if (watch.signal_fd >= 0)
		close(watch.signal_fd);
	return watch.status;
}
