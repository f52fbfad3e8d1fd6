/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/log.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Set once by log_init; the one place where a role keeps state outside its root object. */
static const char *role_name = "xenvramd";
static bool to_journal;
static int journal_socket = -1;

void log_init(const char *name)
{
	role_name = name;
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

/* A reader that stands still must not stop us; and there is nowhere to report that a report failed. */
static void write_line(const char *line, size_t n_bytes)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (poll(&out, 1, 0) == 1 && out.revents & POLLOUT) {
		ssize_t written = write(STDERR_FILENO, line, n_bytes);
		(void)written;
	}
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
	write_line(line, n);
	errno = saved_errno;
}

/* ---- records ---- */

#define MAX_RECORD_BYTES 4096

struct record {
	size_t n_bytes;
	char bytes[MAX_RECORD_BYTES];
};

/* What does not fit is left out. A value is one line: its end is the field's. */
__attribute__((format(printf, 2, 3))) static void add(struct record *record, const char *format, ...)
{
	size_t room = sizeof(record->bytes) - record->n_bytes;
	char *text = record->bytes + record->n_bytes;
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		return;
	for (int i = 0; i < n; i++) {
		if (!isprint((unsigned char)text[i]))
			text[i] = '?';
	}
	record->n_bytes += n;
}

static void end_line(struct record *record)
{
	if (record->n_bytes < sizeof(record->bytes))
		record->bytes[record->n_bytes++] = '\n';
}

static bool send_to_journal(
	int priority, const char *sentence, const struct log_field *fields, size_t n_fields)
{
	struct record record = {0};

	add(&record, "MESSAGE=%s", sentence);
	end_line(&record);
	add(&record, "PRIORITY=%d", priority);
	end_line(&record);
	add(&record, "SYSLOG_IDENTIFIER=xenvramd");
	end_line(&record);
	for (size_t i = 0; i < n_fields; i++) {
		char name[64];
		size_t n = 0;
		for (const char *c = fields[i].name; *c && n < sizeof(name) - 1; c++)
			name[n++] = toupper((unsigned char)*c);
		name[n] = '\0';
		add(&record, "XENVRAM_%s=%s", name, fields[i].value);
		end_line(&record);
	}
	return send(journal_socket, record.bytes, record.n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

void log_record(int priority, const char *sentence, const struct log_field *fields, size_t n_fields)
{
	struct record record = {0};
	int saved_errno = errno;

	if (journal_socket < 0 || !send_to_journal(priority, sentence, fields, n_fields)) {
		if (to_journal)
			add(&record, "<%d>%s: audit: %s", priority, role_name, sentence);
		else
			add(&record, "xenvramd[%s]: audit: %s", role_name, sentence);
		for (size_t i = 0; i < n_fields; i++) {
			if (strcmp(fields[i].name, "reason") != 0 && strcmp(fields[i].name, "rule") != 0)
				add(&record, "%s%s=%s", i ? " " : " [", fields[i].name, fields[i].value);
		}
		add(&record, "]");
		end_line(&record);
		write_line(record.bytes, record.n_bytes);
	}
	errno = saved_errno;
}

void log_open_journal(const char *socket_path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (!to_journal || strlen(socket_path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, socket_path);
	journal_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (journal_socket >= 0 && connect(journal_socket, (struct sockaddr *)&address, sizeof(address)) == 0)
		return;
	log_warning("no structured records: %s: %s", socket_path, strerror(errno));
	if (journal_socket >= 0)
		close(journal_socket);
	journal_socket = -1;
}
