/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists for whoever looks, a page at a time. */
#ifndef XENVRAM_BROKER_LISTING_H
#define XENVRAM_BROKER_LISTING_H

#include "daemon/broker/broker.h"

void listing_regions(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__ListRegions *request);
void listing_domains(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__ListDomains *request);
/* All at once: a domain has no more than fit. */
void listing_pins(struct broker *broker, const struct asker *asker, uint32_t domid);

#endif
