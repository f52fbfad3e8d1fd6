/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pins that clients set by themselves: written to the journal, told to the worker. What was begun is
 * finished, whoever dies in between: setting and taking away can both be repeated.
 */
#ifndef XENVRAM_BROKER_RAW_PINS_H
#define XENVRAM_BROKER_RAW_PINS_H

#include "daemon/broker/broker.h"

/* ---- requests: each answers its asker, now or later ---- */

void raw_pins_set(struct broker *broker, const struct asker *asker, uint32_t owner_uid,
	const Xenvram__V1__PinCacheattr *request);
void raw_pins_delete(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__UnpinCacheattr *request);

/* ---- what happens to them ---- */

/* A pin as the journal has it. */
void raw_pins_inherit(struct broker *broker, const struct pin_record *record, unsigned int slot);
/* The domain's worker is there: what is not settled goes on. */
void raw_pins_advance_domain(struct domain *domain);
/* The worker has answered the command about the pin with this id. */
void raw_pins_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done);
void raw_pins_worker_lost(struct domain *domain);
/* No worker can be had. */
void raw_pins_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure);
/*
 * The domain with this UUID is gone, or, `other`, a domain with another UUID has the domid now.
 */
void raw_pins_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure);

#endif
