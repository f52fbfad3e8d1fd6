/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/screen.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OTHER_SCREEN "\033[?1049h"
#define USUAL_SCREEN "\033[?1049l"
#define HIDE_CURSOR  "\033[?25l"
#define SHOW_CURSOR  "\033[?25h"
#define HOME         "\033[H"
#define CLEAR_LINE   "\033[K"
#define CLEAR_BELOW  "\033[J"

void screen_measure(struct screen *screen)
{
	struct winsize size;

	screen->cols = 80;
	screen->rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		screen->cols = size.ws_col;
		screen->rows = size.ws_row;
	}
}

void screen_open(struct screen *screen)
{
	screen->has_keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &screen->saved) == 0;
	if (screen->has_keys) {
		struct termios keys = screen->saved;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		keys.c_cc[VMIN] = 1;
		keys.c_cc[VTIME] = 0;
		keys.c_cc[VSUSP] = _POSIX_VDISABLE; /* who is stopped cannot give the terminal back */
		tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	}
	screen_measure(screen);
	fputs(OTHER_SCREEN HIDE_CURSOR, stdout);
	fflush(stdout);
}

void screen_close(struct screen *screen)
{
	fputs(SHOW_CURSOR USUAL_SCREEN, stdout);
	fflush(stdout);
	if (screen->has_keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &screen->saved);
}

void screen_begin_frame(void)
{
	fputs(HOME, stdout);
}

void screen_line(const struct screen *screen, const char *text)
{
	printf("%.*s" CLEAR_LINE "\r\n", (int)screen->cols, text);
}

void screen_end_frame(void)
{
	fputs(CLEAR_BELOW, stdout);
	fflush(stdout);
}

bool screen_read_quit(struct screen *screen)
{
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	if (n <= 0) {
		screen->has_keys = false;
		return true;
	}
	return key == 'q' || key == 'Q';
}
