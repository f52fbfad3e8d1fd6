/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every request must pass before it is handled: it comes from whom the connection is for, is right in
 * itself, is about the domain that the connection is bound to, and is not one too many. What it names by a
 * cookie is looked at where regions are found (regions_require), and how far the table can still take it
 * where it is put in.
 */
#ifndef XENVRAM_BROKER_GATE_H
#define XENVRAM_BROKER_GATE_H

#include "daemon/broker/broker.h"

/* 0, or -1 with the failure. `pauses`: it may pause the guest. */
int gate_check(struct broker *broker, const struct connection *connection,
	const Xenvram__V1__Request *request, const struct frame *frame, bool pauses, struct failure *failure);

/* May a domain's device models pause its guest once more now? Administrators may. 0, or -1 with LIMIT. */
int gate_check_pause(struct broker *broker, const struct connection *connection, struct failure *failure);

/*
 * Is all that there is with this domid known to be of the very domain that the connection is bound to? Else it
 * could be refused for what is another one's, and told of it. 0, or -1 with RETRY, or LIMIT.
 */
int gate_check_known(
	struct broker *broker, const struct connection *connection, uint32_t domid, struct failure *failure);

#endif
