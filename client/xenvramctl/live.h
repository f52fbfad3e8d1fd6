/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What shows frame after frame, on a terminal in place, else one below the other, until told to end. */
#ifndef XENVRAM_CTL_LIVE_H
#define XENVRAM_CTL_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/xenvramctl/ctl.h"
#include "client/xenvramctl/screen.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* A line on the screen or below the others, with the terminating zero. */
#define LIVE_LINE_BYTES 1024u

#define LIVE_HELP                                                                                            \
	"  --frames N            end after N frames\n"                                                       \
	"  --seconds S           end after S seconds\n"

struct live {
	struct ctl *ctl;
	uint64_t max_frames; /* 0: no end */
	uint64_t max_seconds;
	uint32_t interval_ms;

	/* Shows a frame. False: there is none this time, and it does not count. */
	bool (*show)(void *data);
	void *data;

	uint64_t begin_ns;
	uint64_t n_frames;
	bool on_screen;
	struct screen screen;
	char notice[256]; /* the last event */

	int signal_fd;
	bool quit; /* somebody asked for it, or there is nothing more to show */
	int status;
};

uint64_t live_now_ns(void);

/* All of the command line: options, and so many operands, which it returns. */
char **live_parse(struct live *live, int argc, char **argv, int n_operands, uint32_t screen_interval_ms);

/* Frames from live_now_ns() on, the first after an interval. The connection stands. The exit status. */
int live_run(struct live *live);

/* For show(): a line of the frame. A frame on screen needs live_begin_frame() and live_end_frame(). */
void live_begin_frame(const struct live *live);
void live_line(const struct live *live, const char *text);
void live_end_frame(const struct live *live);

/* Something happened: shown with the next frame, or said. */
void live_notice(struct live *live, const char *text);

/* The same, and that was all. */
void live_fail(struct live *live, const char *text);

#endif
