/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves outside of regions (moves.h): asked for, written to the journal, given to the worker step by step. */
#ifndef XENVRAM_BROKER_RAW_MOVES_H
#define XENVRAM_BROKER_RAW_MOVES_H

#include "daemon/broker/broker.h"

/* A request, answered when all has moved, or is back. */
void raw_moves_begin(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MoveRam *request);

/*
 * May the region, with its vram there, be where no page is on its way, by the journal either? 0, or -1 with
 * CONFLICT.
 */
int raw_moves_admit_region(struct broker *broker, const struct region_record *record, uint64_t vram_gfn,
	struct failure *failure);

/* A move that the journal has: it goes back. */
void raw_moves_inherit(struct broker *broker, const struct move_record *record, unsigned int slot);
/* The domain's worker is there. */
void raw_moves_advance_domain(struct domain *domain);
/* The worker has answered the command about the move with this id. */
void raw_moves_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done);
void raw_moves_worker_lost(struct domain *domain);
/* No worker can be had. */
void raw_moves_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure);
/* The domain with this UUID is gone, or, `other`, a domain with another UUID has the domid now. */
void raw_moves_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure);

#endif
