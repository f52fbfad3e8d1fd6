/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "client/libxenvram/connection.h"
#include "client/libxenvram/receive.h"

void xenvram_set_handlers(struct xenvram *conn, const struct xenvram_handlers *handlers, void *data)
{
	conn->handlers = *handlers;
	conn->handlers_data = data;
}

static void deliver(struct xenvram *conn, const struct event *event)
{
	const struct xenvram_handlers *handlers = &conn->handlers;

	if (event->cookie == 0) {
		if (handlers->restarted)
			handlers->restarted(conn->handlers_data);
	} else if (handlers->region_changed) {
		handlers->region_changed(event->cookie, event->state, event->reason, conn->handlers_data);
	}
}

int xenvram_dispatch(struct xenvram *conn)
{
	struct event event;
	eventfd_t pending;
	char error[MAX_ERROR_BYTES];
	int n_handled = 0;

	int result = connection_begin_connected(conn);
	if (result == 0)
		result = receive_packets(conn);
	int ended_with = errno;

	if (conn->pending_fd >= 0)
		eventfd_read(conn->pending_fd, &pending);
	/* The reason is that of this call, whatever handlers have tried. */
	snprintf(error, sizeof(error), "%s", conn->error);
	while (events_take(&conn->events, &event)) {
		deliver(conn, &event);
		n_handled++;
	}
	snprintf(conn->error, sizeof(conn->error), "%s", error);
	/* Events first: who is told that the connection has ended will not come back for them. */
	if (result < 0) {
		errno = ended_with;
		return -1;
	}
	return n_handled;
}
