/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where pages are that were to be moved outside of regions: asked of the worker, and answered, page by page. */
#ifndef XENVRAM_BROKER_RAW_MAPS_H
#define XENVRAM_BROKER_RAW_MAPS_H

#include "daemon/broker/broker.h"

/* A request, answered when the worker has looked. */
void raw_maps_begin(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MapRam *request);
bool raw_maps_any(const struct broker *broker, uint32_t domid);
void raw_maps_free_all(struct broker *broker);

/* The domain's worker is there. */
void raw_maps_advance_domain(struct domain *domain);
/* The worker has answered the command about the request with this id. */
void raw_maps_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done);
/* Another one looks. */
void raw_maps_worker_lost(struct domain *domain);
/* No worker can be had. */
void raw_maps_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure);
/* The domain with this UUID is gone, or, `other`, a domain with another UUID has the domid now. */
void raw_maps_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure);

#endif
