/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to a connection: socket, Hello. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "client/libxenvram/call.h"
#include "client/libxenvram/connection.h"
#include "client/libxenvram/own.h"

/* How often a Hello is said whose answer a restart has taken away. */
#define MAX_HELLOS 5u

/* So that reading waits, no longer than a call may, and the socket is nobody else's after an exec. */
static int prepare_socket(struct xenvram *conn, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ||
		connection_apply_timeout(conn, fd) < 0)
		return connection_fail(
			conn, errno, "descriptor %d cannot be used as a socket: %s", fd, strerror(errno));
	return 0;
}

static int connect_socket(struct xenvram *conn, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {
		.tv_sec = conn->timeout_ms / 1000,
		.tv_usec = conn->timeout_ms % 1000 * 1000,
	};

	if (strlen(path) >= sizeof(address.sun_path))
		return connection_fail(conn, ENAMETOOLONG,
			"the socket's path \"%s\" is longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);

	_own_fd_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return connection_fail(conn, errno, "cannot make a socket: %s", strerror(errno));
	/* Connecting waits while the daemon's backlog is full; only this bounds it. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return connection_fail(conn, errno, "cannot set a timeout: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int os_error = errno == EAGAIN ? ETIMEDOUT : errno;
		return connection_fail(
			conn, os_error, "cannot connect to xenvramd at %s: %s", path, strerror(os_error));
	}
	if (prepare_socket(conn, fd) < 0)
		return -1;
	conn->socket = own_steal(&fd);
	return 0;
}

static int say_hello(struct xenvram *conn)
{
	Xenvram__V1__Hello hello = XENVRAM__V1__HELLO__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	hello.version_min = PROTOCOL_VERSION_MIN;
	hello.version_max = PROTOCOL_VERSION_MAX;
	hello.client = conn->client_name;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_HELLO;
	request.hello = &hello;

	_call_free_ Xenvram__V1__Packet *packet = call(conn, &request, XENVRAM__V1__REPLY__RESULT_HELLO);
	if (!packet)
		return -1;
	uint32_t version = packet->reply->hello->version;
	if (version < PROTOCOL_VERSION_MIN || version > PROTOCOL_VERSION_MAX)
		return connection_break(
			conn, EPROTO, "xenvramd chose protocol version %u, which was not offered", version);
	return 0;
}

static void close_all(struct xenvram *conn)
{
	own_close(&conn->socket);
	own_close(&conn->epoll_fd);
	own_close(&conn->pending_fd);
	conn->events = (struct events){0};
	conn->broken = false;
}

static int begin(struct xenvram *conn)
{
	connection_begin(conn);
	if (conn->socket >= 0)
		return connection_fail(conn, EISCONN, "already connected to xenvramd");
	return 0;
}

int xenvram_connect(struct xenvram *conn, const char *socket_path)
{
	if (begin(conn) < 0 || connect_socket(conn, socket_path ? socket_path : XENVRAM_SOCKET_PATH) < 0)
		return -1;
	if (say_hello(conn) < 0) {
		close_all(conn);
		return -1;
	}
	return 0;
}

/* A restart meanwhile takes the answer away, and the connection cannot be made anew. */
static int say_hello_persistently(struct xenvram *conn)
{
	for (unsigned int i = 0; i < MAX_HELLOS; i++) {
		if (say_hello(conn) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
	}
	return -1;
}

/* An answer that the owner before did not wait for may yet come: by its serial it must not be ours. */
static int draw_serial(struct xenvram *conn)
{
	uint64_t serial;
	if (getrandom(&serial, sizeof(serial), 0) != sizeof(serial))
		return connection_fail(conn, errno, "cannot draw a serial: %s", strerror(errno));
	conn->last_serial = serial / 2; /* far from the end, after which it would be 0 */
	return 0;
}

int xenvram_connect_fd(struct xenvram *conn, int fd)
{
	if (begin(conn) < 0 || prepare_socket(conn, fd) < 0 || draw_serial(conn) < 0)
		return -1;
	conn->socket = fd;
	if (say_hello_persistently(conn) < 0) {
		conn->socket = -1; /* the caller's still */
		close_all(conn);
		return -1;
	}
	return 0;
}

int xenvram_bind(struct xenvram *conn, uint32_t domid)
{
	Xenvram__V1__Bind bind = XENVRAM__V1__BIND__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;

	bind.domid = domid;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_BIND;
	request.bind = &bind;
	return call_without_result(conn, &request);
}

int xenvram_release_fd(struct xenvram *conn)
{
	if (connection_begin_connected(conn) < 0)
		return -1;
	int fd = own_steal(&conn->socket);
	close_all(conn);
	return fd;
}
