/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/libxenvram/receive.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "client/libxenvram/subscribe.h"

/* So that a daemon that never stops sending cannot keep a caller for ever. */
#define MAX_PACKETS 256u

static void receive_event(struct xenvram *conn, const Xenvram__V1__Event *event)
{
	switch (event->what_case) {
	case XENVRAM__V1__EVENT__WHAT_REGION_CHANGED:
		if (event->region_changed->cookie == 0)
			return;
		events_put(&conn->events, event->region_changed->cookie,
			(enum xenvram_region_state)event->region_changed->state,
			event->region_changed->reason);
		break;
	case XENVRAM__V1__EVENT__WHAT_RESTARTED:
		events_put(&conn->events, 0, XENVRAM_REGION_ACTIVE, "");
		conn->awaited_serial = 0;
		break;
	default: /* newer than this library */
		return;
	}
	if (conn->pending_fd >= 0)
		eventfd_write(conn->pending_fd, 1);
}

/* True when the reply is the one that is waited for. */
static bool receive_reply(struct xenvram *conn, const Xenvram__V1__Reply *reply)
{
	if (conn->awaited_serial != 0 && reply->serial == conn->awaited_serial)
		return true;
	/* Its call has given up; nobody else would ever end this subscription. */
	if (reply->result_case == XENVRAM__V1__REPLY__RESULT_SUBSCRIBE)
		subscribe_abandon(conn, reply->subscribe->subscription);
	return false;
}

/* Serial 0 answers no request: the service does not take this connection, and says why before it closes. */
static int receive_refusal(struct xenvram *conn, const Xenvram__V1__Reply *reply)
{
	return connection_break(conn, reply->os_error > 0 ? reply->os_error : ECONNRESET,
		"xenvramd refuses the connection: %s", reply->message);
}

/* 1: a packet was read; 0: there is none; -1: the connection has ended. */
static int receive_packet(struct xenvram *conn, int (*receive)(int socket, struct frame *frame))
{
	frame_close_fds(&conn->frame);
	switch (receive(conn->socket, &conn->frame)) {
	case 1:
		break;
	case 0:
		return connection_break(conn, ECONNRESET, "xenvramd closed the connection");
	default:
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		if (errno == EMSGSIZE || errno == EBADMSG)
			return connection_break(conn, EPROTO, "xenvramd sent an oversized packet");
		if (errno == EMFILE)
			return connection_break(
				conn, EMFILE, "no room for the file descriptors that xenvramd sent");
		return connection_break(conn, errno, "cannot receive from xenvramd: %s", strerror(errno));
	}

	Xenvram__V1__Packet *packet =
		(Xenvram__V1__Packet *)frame_unpack(&conn->frame, &xenvram__v1__packet__descriptor);
	if (!packet)
		return connection_break(conn, errno, "what xenvramd sent cannot be unpacked: %s",
			errno == ENOMEM ? "out of memory" : "it is no packet of this protocol");

	int result = 1;
	if (packet->content_case == XENVRAM__V1__PACKET__CONTENT_REPLY) {
		if (receive_reply(conn, packet->reply)) {
			conn->reply = packet;
			return 1;
		}
		if (packet->reply->serial == 0)
			result = receive_refusal(conn, packet->reply);
	}
	if (packet->content_case == XENVRAM__V1__PACKET__CONTENT_EVENT)
		receive_event(conn, packet->event);
	frame_free_message(&packet->base);
	frame_close_fds(&conn->frame);
	return result;
}

int receive_packets(struct xenvram *conn)
{
	for (unsigned int i = 0; i < MAX_PACKETS && !conn->reply; i++) {
		int received = receive_packet(conn, frame_recv);
		if (received <= 0)
			return received;
	}
	return 0;
}

int receive_one(struct xenvram *conn)
{
	return receive_packet(conn, frame_recv_wait);
}
