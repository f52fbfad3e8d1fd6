/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps the cost of polling, over all domains, within the host's budget. What polls cost stands in the
 * region logs; once a second, as long as somebody follows or asks about a region, it is looked up there, and
 * when the share of each domain changes the workers are told. They keep to it by themselves.
 */
#ifndef XENVRAM_BROKER_GOVERNOR_H
#define XENVRAM_BROKER_GOVERNOR_H

#include "daemon/broker/broker.h"

/* Before the first worker comes. 0, or -1 with errno. */
int governor_init(struct broker *broker);
void governor_deinit(struct broker *broker);

/* Takes the broker's settings, which may be new ones. Workers are told. */
void governor_configure(struct broker *broker);

/* The hypervisor is asked about a region: costs are to be watched. */
void governor_wake(struct broker *broker);

/* The region has a log: what stands there already was used before anybody looked. */
void governor_meet_log(struct region *region);
/* The region goes: what it used since counts all the same. */
void governor_part_log(struct region *region);

/* All polls of the domain so far, and the time that they took. */
void governor_count(const struct domain *domain, uint64_t *ret_polls, uint64_t *ret_poll_ns);

/* Tells a worker that has just come. */
void governor_tell(const struct broker *broker, struct domain *domain);

#endif
