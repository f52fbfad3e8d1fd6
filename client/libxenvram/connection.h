/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the library know of a connection. */
#ifndef XENVRAM_CLIENT_CONNECTION_H
#define XENVRAM_CLIENT_CONNECTION_H

#include "client/libxenvram/events.h"
#include "client/libxenvram/xenvram.h"
#include "proto/frame.h"
#include "proto/xenvram.pb-c.h"

#define MAX_ERROR_BYTES 512u

struct xenvram {
	char client_name[MAX_CLIENT_NAME_BYTES + 1];
	uint32_t timeout_ms;
	int socket;  /* -1: not connected; after a failure it is kept, shut down, for those who poll it */
	bool broken; /* for good */

	/* What a user polls, once asked for: the socket, and an eventfd that is readable while events wait.
	 */
	int epoll_fd;
	int pending_fd;
	struct events events;
	struct xenvram_handlers handlers;
	void *handlers_data;

	uint64_t last_serial;
	uint64_t awaited_serial; /* of the one call under way; 0: none, or restarted */
	Xenvram__V1__Packet *reply;
	struct frame frame; /* the packet read last; keeps the descriptors of `reply` */

	char error[MAX_ERROR_BYTES];
	char warning[MAX_ERROR_BYTES];
};

/* Notes the reason of a failure and sets errno; returns -1. */
int connection_fail(struct xenvram *conn, int os_error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same when nothing sensible can follow: ends the connection as well. */
int connection_break(struct xenvram *conn, int os_error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reading from the socket waits no longer than a call may. 0, or -1 with errno. */
int connection_apply_timeout(const struct xenvram *conn, int fd);

/* Every public function that can fail on a connection begins with one of these. */
void connection_begin(struct xenvram *conn);
int connection_begin_connected(struct xenvram *conn);

#endif
