/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What waits for the supervisor is bounded by letting clients wait: whatever one asks may have to be handed
 * to the supervisor for safe keeping, with a descriptor beside it.
 */
#ifndef XENVRAM_BROKER_BACKLOG_H
#define XENVRAM_BROKER_BACKLOG_H

#include "daemon/broker/broker.h"

/* 0, or -1 with ENOMEM. */
int backlog_init(struct broker *broker);
void backlog_deinit(struct broker *broker);

/* Is the supervisor behind? Then nobody is read from, and nobody accepted, until it is not. */
bool backlog_check(struct broker *broker);

/* Was it, the last time that it was checked? */
bool backlog_is_there(const struct broker *broker);

#endif
