/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
	/* Nowhere to report that a report failed. */
	ssize_t written = write(STDERR_FILENO, line, n);
	(void)written;
	errno = saved_errno;
}
