/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clients' connections: accepted, greeted, throttled, answered. */
#ifndef XENVRAM_BROKER_CONNECTION_H
#define XENVRAM_BROKER_CONNECTION_H

#include <sys/socket.h>

#include "daemon/broker/broker.h"
#include "daemon/broker/identity.h"

/* A listening socket has a client. 0, or -1 with errno as accept4 has it. */
int connection_accept(struct broker *broker, int listening_fd);
/* One that an earlier broker accepted; takes fd over. */
void connection_inherit(
	struct broker *broker, uint64_t id, const Xenvram__Internal__ConnectionState *state, int fd);
/* Every connection is told that this broker is a new one. */
void connections_announce_restart(struct broker *broker);
/* Whether requests are taken may have changed for all of them. */
void connections_update_reading(struct broker *broker);
void connections_free_all(struct broker *broker);

struct connection *connection_find(struct broker *broker, uint64_t id);
/* The one after `connection`; NULL for the first, and when there is none. */
struct connection *connection_next(const struct broker *broker, const struct connection *connection);
uint64_t connection_id(const struct connection *connection);
int connection_fd(const struct connection *connection);
/* Who connected, as it was then. */
const struct ucred *connection_peer(const struct connection *connection);
uint32_t connection_uid(const struct connection *connection);

/* Whom it acts for. While that is pending nothing is read. */
const struct binding *connection_binding(const struct connection *connection);
void connection_bind(struct connection *connection, const struct binding *binding);

/* The domain is gone: what is bound to it asks in vain from now on. */
void connections_domain_gone(struct broker *broker, uint32_t domid, const char *uuid);

bool connection_is_greeted(const struct connection *connection);
void connection_set_greeted(struct connection *connection);
/* It ends, and the peer is told why in a reply to no request. */
void connection_refuse(struct connection *connection, const struct failure *failure);
/* The connection ends after what was sent; its subscriptions with it. */
void connection_close(struct connection *connection, const char *reason);

void connection_add_subscription(struct connection *connection, struct subscription *subscription);
void connection_remove_subscription(struct connection *connection, struct subscription *subscription);
struct subscription *connection_find_subscription(const struct connection *connection, uint64_t id);
/* Requests without a reply. */
unsigned int connection_n_in_flight(const struct connection *connection);
/* The most, as it was told in Hello. */
unsigned int connection_max_in_flight(const struct connection *connection);
unsigned int connection_n_subscriptions(const struct connection *connection);

void connection_event(struct connection *connection, const Xenvram__V1__Event *event);

/* What a reply says of the failure, whose text it refers to; or of success, if that is NULL. */
Xenvram__V1__Reply asker_outcome(const struct failure *failure);
/*
 * Answers the request, exactly once. The reply gets the asker's serial here; fds stay the caller's. Nothing
 * happens when the connection is gone.
 */
void asker_reply(struct broker *broker, const struct asker *asker, Xenvram__V1__Reply *reply, const int *fds,
	unsigned int n_fds);
void asker_fail(struct broker *broker, const struct asker *asker, const struct failure *failure);

#endif
