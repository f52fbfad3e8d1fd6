/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/common/log.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/common/clock.h"

/* For records to be taken: so long at once, of all time this part, and not again until one is taken. */
#define RECORD_WAIT_MS 100u
#define WAITING_PART   10u
#define NS_PER_MS      UINT64_C(1000000)

/* The one place where a role keeps state outside its root object. */
static const char *role_name = "xenvramd";
static bool to_journal;
static int journal_socket = -1;
static bool stalled;         /* a record was waited for in vain, and none was taken since */
static uint64_t redeemed_ns; /* when all waiting will have been its part of the time */
static unsigned int n_lost;  /* lines and records that nobody took, since that was last said */

void log_init(const char *name)
{
	role_name = name;
	to_journal = getenv("JOURNAL_STREAM") != NULL;
}

/* A reader that stands still must not stop us. */
static bool is_writable(int fd, int wait_ms)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};
	int n;
	do {
		n = poll(&out, 1, wait_ms);
	} while (n < 0 && errno == EINTR);
	return n == 1 && out.revents & POLLOUT;
}

/* Nor one that takes a few now and then. */
static void await_writable(int fd)
{
	uint64_t now_ns = clock_now_ns();
	uint64_t owed_ns = redeemed_ns > now_ns ? redeemed_ns - now_ns : 0;
	uint64_t used_ms = owed_ns / WAITING_PART / NS_PER_MS;

	if (stalled || used_ms >= RECORD_WAIT_MS || is_writable(fd, 0))
		return;
	is_writable(fd, RECORD_WAIT_MS - used_ms);
	redeemed_ns = now_ns + owed_ns + WAITING_PART * (clock_now_ns() - now_ns);
}

static bool put(const char *line, size_t n_bytes)
{
	return is_writable(STDERR_FILENO, 0) && write(STDERR_FILENO, line, n_bytes) == (ssize_t)n_bytes;
}

static int begin_line(char *line, size_t size, int priority)
{
	return to_journal ? snprintf(line, size, "<%d>%s: ", priority, role_name)
			  : snprintf(line, size, "xenvramd[%s]: ", role_name);
}

/* A gap is told of before what follows it. */
static bool put_lost(void)
{
	char line[128];

	if (n_lost == 0)
		return true;
	int n = begin_line(line, sizeof(line), LOG_WARNING);
	n += snprintf(line + n, sizeof(line) - n, "nobody took %u lines or records meanwhile\n", n_lost);
	if (!put(line, n))
		return false;
	n_lost = 0;
	return true;
}

static bool put_line(const char *line, size_t n_bytes)
{
	if (put_lost() && put(line, n_bytes))
		return true;
	n_lost += n_lost < UINT_MAX;
	return false;
}

void log_write(int priority, const char *format, ...)
{
	char line[1024];
	int saved_errno = errno, n = begin_line(line, sizeof(line), priority);

	va_list args;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if ((size_t)n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	put_line(line, n);
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
	/* Its queue counts, and not what there is room for here: so tells poll of a socket that is connected. */
	return is_writable(journal_socket, 0) &&
	       send(journal_socket, record.bytes, record.n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool print_record(int priority, const char *sentence, const struct log_field *fields, size_t n_fields)
{
	char begin[64];
	struct record record = {0};

	begin_line(begin, sizeof(begin), priority);
	add(&record, "%saudit: %s", begin, sentence);
	for (size_t i = 0; i < n_fields; i++) {
		if (strcmp(fields[i].name, "reason") != 0 && strcmp(fields[i].name, "rule") != 0)
			add(&record, "%s%s=%s", i ? " " : " [", fields[i].name, fields[i].value);
	}
	add(&record, "]");
	end_line(&record);
	return put_line(record.bytes, record.n_bytes);
}

void log_record(int priority, const char *sentence, const struct log_field *fields, size_t n_fields)
{
	int saved_errno = errno;

	await_writable(journal_socket < 0 ? STDERR_FILENO : journal_socket);
	if (journal_socket < 0) {
		stalled = !print_record(priority, sentence, fields, n_fields);
	} else if (send_to_journal(priority, sentence, fields, n_fields)) {
		stalled = false;
		put_lost();
	} else {
		stalled = true;
		print_record(priority, sentence, fields, n_fields);
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
