/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINES_A_SECOND 10u

/* Set once by log_init; the one place where a role keeps state outside its root object. */
static const char *role_name = "xenvramd";
static bool to_journal;

void log_init(const char *name)
{
	role_name = name;
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_write(int priority, const char *format, ...)
{
	char line[1024];
	int saved_errno = errno;
	int n = to_journal ? snprintf(line, sizeof(line), "<%d>%s: ", priority, role_name)
			   : snprintf(line, sizeof(line), "xenvramd[%s]: ", role_name);

	va_list args;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* A reader that stands still must not stop us; and there is nowhere to report that a report failed.
	 */
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&out, 1, 0) == 1 && out.revents & POLLOUT) {
		ssize_t written = write(STDERR_FILENO, line, n);
		(void)written;
	}
	errno = saved_errno;
}

void log_limited(struct log_rate *rate, const char *format, ...)
{
	char text[512];
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec != rate->second) {
		if (rate->n_lines > MAX_LINES_A_SECOND)
			log_warning("%u lines like the one before were left out",
				rate->n_lines - MAX_LINES_A_SECOND);
		*rate = (struct log_rate){.second = now.tv_sec};
	}
	if (rate->n_lines++ >= MAX_LINES_A_SECOND)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_warning("%s", text);
}
