/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranges of gfns that connections have tracked, outside of regions or across them: followed like regions, but
 * neither moved nor pinned, listed nor written down. Each is one connection's, and ends with it.
 */
#ifndef XENVRAM_BROKER_RANGES_H
#define XENVRAM_BROKER_RANGES_H

#include "daemon/broker/broker.h"

/* A request: answered after a poll, or at once when it ends what the connection tracks in the domain. */
void ranges_track(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__TrackDirty *request);

/* How many the connection has tracked, in all domains. */
unsigned int ranges_count(const struct broker *broker, uint64_t connection);

/* Ends all that the connection has tracked; in one domain, unless domid is NULL. */
void ranges_end(struct broker *broker, uint64_t connection, const uint32_t *domid);

#endif
