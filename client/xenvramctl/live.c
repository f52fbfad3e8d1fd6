/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/live.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define LINES_INTERVAL_MS 1000u
#define MAX_INTERVAL_MS   10000u

enum {
	OPTION_FRAMES = OPTION_OWN,
	OPTION_SECONDS,
	OPTION_INTERVAL,
};

uint64_t live_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

char **live_parse(struct live *live, int argc, char **argv, int n_operands, uint32_t screen_interval_ms)
{
	static const struct option options[] = {COMMON_OPTIONS,
		{"frames", required_argument, NULL, OPTION_FRAMES},
		{"seconds", required_argument, NULL, OPTION_SECONDS},
		{"interval", required_argument, NULL, OPTION_INTERVAL}, {0}};
	struct ctl *ctl = live->ctl;
	int option;

	while ((option = ctl_next_option(ctl, argc, argv, options)) != -1) {
		if (option == OPTION_FRAMES)
			live->max_frames = ctl_number(ctl, "--frames", optarg, 1, UINT32_MAX);
		else if (option == OPTION_SECONDS)
			live->max_seconds = ctl_number(ctl, "--seconds", optarg, 1, UINT32_MAX);
		else
			live->interval_ms = ctl_number(ctl, "--interval", optarg, 1, MAX_INTERVAL_MS);
	}
	char **operands = ctl_operands(ctl, argc, argv, n_operands);
	live->on_screen = !ctl->json && isatty(STDOUT_FILENO);
	if (live->interval_ms == 0)
		live->interval_ms = live->on_screen ? screen_interval_ms : LINES_INTERVAL_MS;
	return operands;
}

/* ---- what a frame is made of ---- */

void live_begin_frame(const struct live *live)
{
	if (live->on_screen)
		screen_begin_frame();
}

void live_line(const struct live *live, const char *text)
{
	if (live->on_screen)
		screen_line(&live->screen, text);
	else
		puts(text);
}

void live_end_frame(const struct live *live)
{
	if (live->on_screen) {
		screen_line(&live->screen, live->notice);
		screen_end_frame();
	} else {
		fflush(stdout);
	}
}

void live_notice(struct live *live, const char *text)
{
	snprintf(live->notice, sizeof(live->notice), "%s", text);
	if (!live->on_screen)
		ctl_say(live->ctl, "%s", text);
}

void live_fail(struct live *live, const char *text)
{
	live_notice(live, text);
	live->status = EXIT_FAILURE;
	live->quit = true;
}

/* ---- what happens meanwhile ---- */

static void on_signal(struct live *live)
{
	struct signalfd_siginfo info;

	if (read(live->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo != SIGWINCH)
		live->quit = true;
	else if (live->on_screen)
		screen_measure(&live->screen);
}

static void on_service(struct live *live)
{
	if (xenvram_dispatch(live->ctl->conn) < 0)
		live_fail(live, xenvram_error(live->ctl->conn));
}

static void wait_until(struct live *live, uint64_t until_ns)
{
	enum { SIGNAL, SERVICE, KEYS, N_FDS };
	struct pollfd fds[N_FDS] = {
		[SIGNAL] = {.fd = live->signal_fd, .events = POLLIN},
		[SERVICE] = {.fd = xenvram_fd(live->ctl->conn), .events = POLLIN},
		[KEYS] = {.fd = live->screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN},
	};

	while (!live->quit) {
		uint64_t now_ns = live_now_ns();
		if (now_ns >= until_ns)
			return;
		if (poll(fds, N_FDS, (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) <= 0)
			continue;
		if (fds[SIGNAL].revents)
			on_signal(live);
		if (fds[SERVICE].revents)
			on_service(live);
		if (fds[KEYS].revents && screen_read_quit(&live->screen))
			live->quit = true;
	}
}

static void show_frames(struct live *live)
{
	uint64_t next_ns = live->begin_ns;
	uint64_t end_ns = live->max_seconds ? live->begin_ns + live->max_seconds * NS_PER_S : UINT64_MAX;

	while (next_ns < end_ns && (live->max_frames == 0 || live->n_frames < live->max_frames)) {
		next_ns += live->interval_ms * NS_PER_MS;
		wait_until(live, next_ns < end_ns ? next_ns : end_ns);
		if (live->quit)
			return;
		if (live->show(live->data))
			live->n_frames++;
		if (live->quit)
			return;
	}
}

/* ---- from begin to end ---- */

static int catch_signals(struct live *live)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGWINCH);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	live->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	return live->signal_fd < 0 ? -1 : 0;
}

int live_run(struct live *live)
{
	if (catch_signals(live) < 0) {
		ctl_say(live->ctl, "cannot wait for signals: %m");
		return EXIT_FAILURE;
	}
	if (live->on_screen)
		screen_open(&live->screen);
	live->begin_ns = live_now_ns();
	show_frames(live);
	if (live->on_screen) {
		screen_close(&live->screen);
		if (live->notice[0])
			ctl_say(live->ctl, "%s", live->notice);
	}
	close(live->signal_fd);
	return live->status;
}
