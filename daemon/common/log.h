/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines to stderr: with the journal's priority prefix when systemd reads it, else with the role's name.
 * A line that cannot be written at once is dropped, and a record after 100 ms, or at once if the one before was
 * not taken either; all records together are waited for no more than a tenth of the time. What was dropped is
 * counted, and the count is a line of its own, before what is taken next.
 */
#ifndef XENVRAM_COMMON_LOG_H
#define XENVRAM_COMMON_LOG_H

#include <stddef.h>
#include <syslog.h>

/* Once, before the first line. `name` is kept, e.g. "broker". */
void log_init(const char *name);

void log_write(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A part of a record, e.g. "cookie" and "0x1234". */
struct log_field {
	const char *name;
	const char *value;
};

/*
 * A line with its parts beside it: fields of the journal, XENVRAM_COOKIE, if systemd's is there and
 * log_open_journal was called; else all in a line to stderr, with the word "audit".
 */
void log_record(int priority, const char *sentence, const struct log_field *fields, size_t n_fields);
/* Before the file system is out of reach. What cannot be opened is done without. */
void log_open_journal(const char *socket_path);

#define LOG_JOURNAL_SOCKET "/run/systemd/journal/socket"

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)

#endif
