/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal, while a live picture has it: other screen, no cursor, keys without echo and Enter. */
#ifndef XENVRAM_CTL_SCREEN_H
#define XENVRAM_CTL_SCREEN_H

#include <stdbool.h>
#include <termios.h>

struct screen {
	bool has_keys; /* standard input is a terminal too */
	struct termios saved;
	unsigned int cols;
	unsigned int rows;
};

/* Standard output must be a terminal. Always succeeds; what cannot be had is done without. */
void screen_open(struct screen *screen);

/* As it was. */
void screen_close(struct screen *screen);

/* Looks up cols and rows again. */
void screen_measure(struct screen *screen);

/* A frame: begin, lines of at most screen->cols characters, no more than screen->rows of them, end. */
void screen_begin_frame(void);
void screen_line(const struct screen *screen, const char *text);
void screen_end_frame(void);

/* True when the user asks to quit: q, or the end of input. Call when standard input is readable. */
bool screen_read_quit(struct screen *screen);

#endif
