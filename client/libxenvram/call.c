/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/call.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/libxenvram/own.h"
#include "client/libxenvram/receive.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* No errno is as large; what is beyond is no errno. */
#define MAX_ERRNO 4095

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Waits for one of the poll events; signals do not end it. */
static int wait_for(struct xenvram *conn, short events, uint64_t deadline_ns)
{
	struct pollfd fd = {.fd = conn->socket, .events = events};

	for (;;) {
		uint64_t now = now_ns();
		if (now >= deadline_ns)
			return connection_fail(
				conn, ETIMEDOUT, "xenvramd did not answer within %u ms", conn->timeout_ms);
		uint64_t left_ms = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
		int n = poll(&fd, 1, left_ms > INT_MAX ? INT_MAX : (int)left_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return connection_fail(conn, errno, "cannot wait for xenvramd: %s", strerror(errno));
	}
}

/*
 * While the socket is full, what comes in is read, or the daemon would end the connection. 0: sent at once;
 * 1: sent after a wait; -1.
 */
static int send_request(struct xenvram *conn, const Xenvram__V1__Request *request, uint64_t deadline_ns)
{
	int waited = 0;

	while (frame_send_message(conn->socket, &request->base, NULL, 0) < 0) {
		/* Why it was closed may lie unread. */
		if (errno == EPIPE || errno == ECONNRESET)
			return receive_packets(conn) < 0
				       ? -1
				       : connection_break(conn, ECONNRESET, "xenvramd closed the connection");
		if (errno != EAGAIN)
			return connection_fail(conn, errno, "cannot send to xenvramd: %s", strerror(errno));
		if (wait_for(conn, POLLIN | POLLOUT, deadline_ns) < 0 || receive_packets(conn) < 0)
			return -1;
		waited = 1;
	}
	return waited;
}

/* 0: it is there; 1: the daemon was restarted before it came; -1. */
static int await_reply(struct xenvram *conn, uint64_t deadline_ns)
{
	/* Sending may have taken in what ends the call, or what it waits for. */
	while (!conn->reply && conn->awaited_serial != 0) {
		if (wait_for(conn, POLLIN, deadline_ns) < 0 || receive_packets(conn) < 0)
			return -1;
	}
	return conn->reply ? 0 : 1;
}

/* Does it leave everything as it was, so that it can be asked again? */
static bool is_repeatable(const Xenvram__V1__Request *request)
{
	return request->operation_case == XENVRAM__V1__REQUEST__OPERATION_SNAPSHOT;
}

static bool brings_descriptors(const Xenvram__V1__Request *request)
{
	return request->operation_case == XENVRAM__V1__REQUEST__OPERATION_SUBSCRIBE;
}

static int ask(struct xenvram *conn, Xenvram__V1__Request *request, uint64_t deadline_ns, bool again)
{
	request->serial = ++conn->last_serial;
	conn->awaited_serial = request->serial;
	int result = send_request(conn, request, deadline_ns);
	/* The socket's own timeout is counted anew for each packet: only the first wait is left to it. */
	if (result == 0 && !again && !brings_descriptors(request))
		result = receive_one(conn);
	if (result >= 0)
		result = await_reply(conn, deadline_ns);
	conn->awaited_serial = 0;
	return result;
}

static int exchange(struct xenvram *conn, Xenvram__V1__Request *request)
{
	uint64_t deadline_ns = now_ns() + conn->timeout_ms * NS_PER_MS;

	/* What came before the request, a restart above all, has nothing to do with it. */
	if (!is_repeatable(request) && receive_packets(conn) < 0)
		return -1;
	int result = ask(conn, request, deadline_ns, false);
	while (result > 0 && is_repeatable(request))
		result = ask(conn, request, deadline_ns, true);
	if (result < 0)
		call_free(&conn->reply);
	if (result > 0)
		return connection_fail(conn, EAGAIN,
			"xenvramd was restarted before it answered; the request may or may not have been "
			"carried out: list the regions, then try again");
	return result;
}

static int check_reply(
	struct xenvram *conn, const Xenvram__V1__Reply *reply, Xenvram__V1__Reply__ResultCase expected)
{
	if (reply->status != XENVRAM__V1__STATUS__OK) {
		if (reply->os_error <= 0 || reply->os_error > MAX_ERRNO)
			return connection_break(conn, EPROTO, "xenvramd failed with errno %d: %s",
				reply->os_error, reply->message);
		return connection_fail(conn, reply->os_error, "%s",
			reply->message[0] ? reply->message : strerror(reply->os_error));
	}
	if (reply->result_case != expected)
		return connection_break(conn, EPROTO, "xenvramd answered another question than was asked");
	if (reply->message[0]) /* else it is empty already */
		snprintf(conn->warning, sizeof(conn->warning), "%s", reply->message);
	return 0;
}

Xenvram__V1__Packet *call(
	struct xenvram *conn, Xenvram__V1__Request *request, Xenvram__V1__Reply__ResultCase expected)
{
	_call_free_ Xenvram__V1__Packet *packet = NULL;

	if (connection_begin_connected(conn) < 0 || exchange(conn, request) < 0)
		return NULL;
	packet = conn->reply;
	conn->reply = NULL;
	/* Nothing else comes with descriptors. */
	if (packet->reply->status != XENVRAM__V1__STATUS__OK ||
		packet->reply->result_case != XENVRAM__V1__REPLY__RESULT_SUBSCRIBE)
		frame_close_fds(&conn->frame);
	if (check_reply(conn, packet->reply, expected) < 0)
		return NULL;

	Xenvram__V1__Packet *result = packet;
	packet = NULL;
	return result;
}

void call_free(Xenvram__V1__Packet **packet)
{
	int saved_errno = errno;
	if (*packet)
		frame_free_message(&(*packet)->base);
	*packet = NULL;
	errno = saved_errno;
}

int call_without_result(struct xenvram *conn, Xenvram__V1__Request *request)
{
	_call_free_ Xenvram__V1__Packet *packet = call(conn, request, XENVRAM__V1__REPLY__RESULT__NOT_SET);
	return packet ? 0 : -1;
}
