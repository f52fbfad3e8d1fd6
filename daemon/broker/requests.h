/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of operations: each request by name, with its handler. */
#ifndef XENVRAM_BROKER_REQUESTS_H
#define XENVRAM_BROKER_REQUESTS_H

#include "daemon/broker/broker.h"

/* Unpacks, checks and carries out one packet of a client. Every request gets exactly one reply. */
void requests_handle(struct broker *broker, struct connection *connection, struct frame *frame);

#endif
