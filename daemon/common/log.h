/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines to stderr: with the journal's priority prefix when systemd reads it, else with the role's name.
 * A line that cannot be written at once is dropped; logging never fails and never waits.
 */
#ifndef XENVRAM_COMMON_LOG_H
#define XENVRAM_COMMON_LOG_H

#include <syslog.h>

/* Once, before the first line. `name` is kept, e.g. "broker". */
void log_init(const char *name);

void log_write(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct log_rate {
	long second;
	unsigned int n_lines;
};

/* A warning that somebody else can provoke as often as they like: at most some a second, and a count of the
 * rest. */
void log_limited(struct log_rate *rate, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)

#endif
