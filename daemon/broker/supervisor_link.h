/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the broker asks of the supervisor, and what it is told. */
#ifndef XENVRAM_BROKER_SUPERVISOR_LINK_H
#define XENVRAM_BROKER_SUPERVISOR_LINK_H

#include "daemon/broker/broker.h"

/* The channel that the broker was started with. 0, or -1 with errno. */
int supervisor_link_open(struct broker *broker);

/*
 * Before anything of a client's or worker's is touched: should that never end, the supervisor is to find out. Says
 * so once, until it asks.
 */
void supervisor_active(struct broker *broker);
/* Which domain has this domid? Answered to admission_identified. */
void supervisor_identify(struct broker *broker, uint64_t connection, uint32_t domid);
void supervisor_ready(struct broker *broker);
void supervisor_open_worker(struct broker *broker, uint32_t domid, const char *uuid);
void supervisor_restart_worker(struct broker *broker, uint32_t domid);
void supervisor_close_worker(struct broker *broker, uint32_t domid);
void supervisor_create_log(
	struct broker *broker, const struct region_record *record, uint64_t first_generation);
void supervisor_drop_log(struct broker *broker, uint64_t cookie);
/* Keeps the state and a duplicate of fd (-1: none) for the next broker. */
void supervisor_keep(struct broker *broker, Xenvram__Internal__KeptKind kind, uint64_t id,
	const ProtobufCMessage *state, int fd);
void supervisor_drop(struct broker *broker, Xenvram__Internal__KeptKind kind, uint64_t id);

#endif
