/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where pages are, of a region or of a move outside of regions: asked of the domain's worker, by and by of each
 * that it takes, and answered.
 */
#ifndef XENVRAM_BROKER_MAPS_H
#define XENVRAM_BROKER_MAPS_H

#include "daemon/broker/broker.h"

/* Requests, answered when a worker has looked. */
void maps_of_region(struct region *region, const struct asker *asker, uint64_t first_page);
void maps_of_move(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MapRam *request);
bool maps_any(const struct broker *broker, uint32_t domid);
/* As domain_find_other(), of requests that wait. */
const char *maps_find_other(const struct domain *domain, const char *uuid);
void maps_free_all(struct broker *broker);

/* The domain's worker is there. */
void maps_advance_domain(struct domain *domain);
/* The worker has answered the command about the request with this id. */
void maps_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done);
/* Another one will look. */
void maps_worker_lost(struct domain *domain);
/* No worker can be had. */
void maps_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure);
/* The domain with this UUID is gone, or, `other`, a domain with another UUID has the domid now. */
void maps_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure);

#endif
