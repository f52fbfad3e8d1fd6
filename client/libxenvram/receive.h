/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon has sent, sorted: events to the queue, the awaited reply to its call, the rest dropped. */
#ifndef XENVRAM_CLIENT_RECEIVE_H
#define XENVRAM_CLIENT_RECEIVE_H

#include "client/libxenvram/connection.h"

/*
 * Reads without waiting, until there is nothing more, the awaited reply has come (conn->reply), or many
 * packets have been read. 0, or -1 when the connection has ended.
 */
int receive_packets(struct xenvram *conn);

/*
 * Waits for one packet, whose descriptors are dropped, for as long as a call may take in all. 1: one was read;
 * 0: none came, or a signal did; -1 when the connection has ended.
 */
int receive_one(struct xenvram *conn);

#endif
