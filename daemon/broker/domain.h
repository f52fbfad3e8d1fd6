/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domains in use, each with the channel to its worker and the commands under way. */
#ifndef XENVRAM_BROKER_DOMAIN_H
#define XENVRAM_BROKER_DOMAIN_H

#include "daemon/broker/broker.h"

/* The domain with this domid; a new one is made, and its worker asked for. NULL with ENOMEM. */
struct domain *domain_get(struct broker *broker, uint32_t domid, const char *uuid);
struct domain *domain_find(struct broker *broker, uint32_t domid);

/* Asks for its worker if there is none: an earlier attempt may have failed. */
void domain_want_worker(const struct domain *domain);

/*
 * Something in this domain that is not of the domain with this UUID: the UUID that it has, empty if it is not
 * known yet for what domain it will be. NULL: there is none.
 */
const char *domain_find_other(const struct domain *domain, const char *uuid);

/*
 * The domain with this UUID is gone, or, `other`, has the domid of those that had another one: is what was
 * meant for `meant` lost? What has no UUID yet was meant for the domain that there was, unless that is not known
 * to have been this one.
 */
bool domain_is_lost(const struct domain *domain, const char *meant, const char *uuid, bool other);

/*
 * The domain with this UUID is gone. Begin: what is lost is to be ended now; NULL if there is nothing with that
 * domid. End: if there is more, it is of another domain, which needs a worker.
 */
struct domain *domain_begin_leave(struct broker *broker, uint32_t domid, const char *uuid);
void domain_end_leave(struct domain *domain, const char *uuid);

/* Frees it if no region is left, nor anything else of it, and lets its worker end. */
void domain_release(struct domain *domain);
void domain_free_all(struct broker *broker);

/* Its worker is there; takes fd over. Regions are brought up to date with it. */
void domain_meet_worker(struct domain *domain, const char *uuid, int fd);

/* May a client add to what the worker has to do? 0, or -1 with RETRY. */
int domain_admit_command(const struct domain *domain, struct failure *failure);

/*
 * Sends a command about the region (NULL: about the domain) to the worker; the answer comes to regions_done,
 * with the asker, or to regions_command_lost. `command` gets its serial here. The worker must be there. asker
 * NULL: nobody asks.
 */
void domain_command(struct domain *domain, struct region *region, Xenvram__Internal__Command *command, int fd,
	const struct asker *asker);

/* What else a command can be about. */
enum command_target { COMMAND_REGION, COMMAND_PIN, COMMAND_MOVE, COMMAND_MAP };

/* The same about a pin, a move or a map, by its id; the answer comes to raw_pins_done, raw_moves_done or
 * maps_done. */
void domain_command_of(
	struct domain *domain, enum command_target target, uint64_t id, Xenvram__Internal__Command *command);

#endif
