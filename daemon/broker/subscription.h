/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One reader's interest in one region. Lives as long as its connection and its region. */
#ifndef XENVRAM_BROKER_SUBSCRIPTION_H
#define XENVRAM_BROKER_SUBSCRIPTION_H

#include "daemon/broker/broker.h"

struct subscription {
	LIST_ENTRY(subscription) of_region;     /* region::subscriptions */
	LIST_ENTRY(subscription) of_connection; /* connection::subscriptions */
	struct region *region;
	struct connection *connection;
	uint64_t id;
	struct extent pages; /* of the region */
	uint32_t period_us;
	int wake_fd; /* the write end of the pipe; -1: does not want to be woken */
};

void subscription_create(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__Subscribe *request);
/* One that an earlier broker made; takes wake_fd over. Dropped if its connection or region is gone. */
void subscription_inherit(
	struct broker *broker, uint64_t id, const Xenvram__Internal__SubscriptionState *state, int wake_fd);

/* Tells the worker whom to follow the region for. */
void subscription_send(struct subscription *subscription);

void subscription_end(struct broker *broker, struct subscription *subscription);
/* Ends all of a region's, and tells each connection once that it is gone, and why. */
void subscriptions_end(struct broker *broker, struct region *region, const char *reason);

#endif
