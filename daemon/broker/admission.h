/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may connect, and the way from a connection to the domain that it acts for. */
#ifndef XENVRAM_BROKER_ADMISSION_H
#define XENVRAM_BROKER_ADMISSION_H

#include "daemon/broker/broker.h"

/* Room for the groups that a peer is in; of more, none but its primary one counts. */
#define MAX_PEER_GROUPS 1024u

/* Of struct sockaddr_un, and a zero. */
#define SOCKET_PATH_BYTES 109

/* Of the socket that the peer has connected to, for refusals. */
void admission_get_socket_path(const struct connection *connection, char *ret_path, size_t size);

/*
 * May this connection's peer be here, by the settings as they are now? 0, or -1 with the failure, which the
 * peer is to be refused with.
 */
int admission_check(struct broker *broker, const struct connection *connection, struct failure *failure);
/* The same for one that is new and counted already: it must also be one that is not too many. */
int admission_check_new(struct broker *broker, const struct connection *connection, struct failure *failure);

/* The connection is taken, or stays: a device model's is bound to its domain. */
void admission_begin(struct broker *broker, struct connection *connection);

/* The request Bind, which is answered later. */
void admission_bind(
	struct broker *broker, struct connection *connection, const struct asker *asker, uint32_t domid);

/* The supervisor has looked up a domain. */
void admission_identified(struct broker *broker, const Xenvram__Internal__Identify *message);

/* The settings are others: who may not be here any more, or not as what he came, is sent away. */
void admission_review(struct broker *broker);

#endif
