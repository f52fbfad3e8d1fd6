/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A blocking call: one request, and its reply. */
#ifndef XENVRAM_CLIENT_CALL_H
#define XENVRAM_CLIENT_CALL_H

#include "client/libxenvram/connection.h"

/*
 * Sends the request, whose serial is set here, and waits for its reply, which must be OK and have the
 * expected result (RESULT__NOT_SET: none). NULL when it fails, with everything said. The reply's descriptors
 * are in conn->frame until the next call. Free the packet with call_free.
 */
Xenvram__V1__Packet *call(
	struct xenvram *conn, Xenvram__V1__Request *request, Xenvram__V1__Reply__ResultCase expected);
void call_free(Xenvram__V1__Packet **packet);

/* For the common case that only success matters. 0 or -1. */
int call_without_result(struct xenvram *conn, Xenvram__V1__Request *request);

#define _call_free_ __attribute__((cleanup(call_free)))

#endif
