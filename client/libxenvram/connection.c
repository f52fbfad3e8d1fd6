/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/connection.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "client/libxenvram/own.h"

#define DEFAULT_TIMEOUT_MS 30000u

__attribute__((format(printf, 3, 0))) static int fail(
	struct xenvram *conn, int os_error, const char *format, va_list args)
{
	vsnprintf(conn->error, sizeof(conn->error), format, args);
	errno = os_error;
	return -1;
}

int connection_fail(struct xenvram *conn, int os_error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fail(conn, os_error, format, args);
	va_end(args);
	return -1;
}

int connection_break(struct xenvram *conn, int os_error, const char *format, ...)
{
	va_list args;

	shutdown(conn->socket, SHUT_RDWR);
	frame_close_fds(&conn->frame);
	conn->broken = true;
	va_start(args, format);
	fail(conn, os_error, format, args);
	va_end(args);
	return -1;
}

void connection_begin(struct xenvram *conn)
{
	conn->error[0] = '\0';
	conn->warning[0] = '\0';
}

int connection_begin_connected(struct xenvram *conn)
{
	connection_begin(conn);
	if (conn->broken)
		return connection_fail(conn, ENOTCONN, "the connection to xenvramd has ended");
	if (conn->socket < 0)
		return connection_fail(conn, ENOTCONN, "not connected to xenvramd");
	return 0;
}

struct xenvram *xenvram_new(const char *client_name)
{
	if (!client_name)
		client_name = program_invocation_short_name;
	if (strlen(client_name) > MAX_CLIENT_NAME_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	struct xenvram *conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	strcpy(conn->client_name, client_name);
	conn->timeout_ms = DEFAULT_TIMEOUT_MS;
	conn->socket = -1;
	conn->epoll_fd = -1;
	conn->pending_fd = -1;
	return conn;
}

void xenvram_free(struct xenvram *conn)
{
	if (!conn)
		return;
	frame_close_fds(&conn->frame);
	own_close(&conn->socket);
	own_close(&conn->epoll_fd);
	own_close(&conn->pending_fd);
	free(conn);
}

int connection_apply_timeout(const struct xenvram *conn, int fd)
{
	struct timeval timeout = {
		.tv_sec = conn->timeout_ms / 1000,
		.tv_usec = conn->timeout_ms % 1000 * 1000,
	};
	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

int xenvram_set_timeout_ms(struct xenvram *conn, uint32_t timeout_ms)
{
	connection_begin(conn);
	if (timeout_ms == 0)
		return connection_fail(conn, EINVAL, "a timeout of 0 ms leaves no time for an answer");
	conn->timeout_ms = timeout_ms;
	if (conn->socket >= 0 && connection_apply_timeout(conn, conn->socket) < 0)
		return connection_fail(conn, errno, "cannot set a timeout: %s", strerror(errno));
	return 0;
}

const char *xenvram_error(const struct xenvram *conn)
{
	return conn->error;
}

const char *xenvram_warning(const struct xenvram *conn)
{
	return conn->warning;
}

/* Made for who wants them, as packets cost more on a socket that is polled. What waits is seen at once. */
static int open_poll_fds(struct xenvram *conn)
{
	struct epoll_event readable = {.events = EPOLLIN};

	conn->pending_fd = eventfd(events_wait(&conn->events), EFD_CLOEXEC | EFD_NONBLOCK);
	conn->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (conn->pending_fd >= 0 && conn->epoll_fd >= 0 &&
		epoll_ctl(conn->epoll_fd, EPOLL_CTL_ADD, conn->pending_fd, &readable) == 0 &&
		epoll_ctl(conn->epoll_fd, EPOLL_CTL_ADD, conn->socket, &readable) == 0)
		return 0;
	connection_fail(conn, errno, "cannot open what polls the connection: %s", strerror(errno));
	own_close(&conn->pending_fd);
	own_close(&conn->epoll_fd);
	return -1;
}

int xenvram_fd(struct xenvram *conn)
{
	connection_begin(conn);
	if (conn->socket < 0)
		return connection_fail(conn, ENOTCONN, "not connected to xenvramd");
	if (conn->epoll_fd < 0 && open_poll_fds(conn) < 0)
		return -1;
	return conn->epoll_fd;
}
