/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail: a record of every request that changes something, of every refusal, and of every
 * connection that is refused or cut off. Each says who, what, and with what result. One user's records of
 * each kind are limited, so that nobody can drown another's, or his own worst; what is left out is counted.
 */
#ifndef XENVRAM_BROKER_AUDIT_H
#define XENVRAM_BROKER_AUDIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/broker/asker.h"
#include "daemon/broker/audit_rates.h"
#include "proto/failure.h"
#include "proto/xenvram.pb-c.h"

struct broker;
struct connection;
struct audit_note;

struct audit {
	struct audit_note *current;       /* of the request that is being handled */
	TAILQ_HEAD(, audit_note) pending; /* changes */
	unsigned int n_pending;
	TAILQ_HEAD(, audit_note) pending_reads;
	unsigned int n_pending_reads;
	struct audit_rates rates;
};

/* 0, or -1 with ENOMEM. */
int audit_init(struct broker *broker);
void audit_deinit(struct broker *broker);

/* A request begins to be handled; it gets its record, if any, when its outcome is known, whenever that is. */
void audit_begin(struct broker *broker, const struct connection *connection, const struct asker *asker,
	const Xenvram__V1__Request *request, bool changes);
void audit_end(struct broker *broker);

/* Why it is refused, if its sender is not told: for the record of the request that is being handled. */
void audit_set_rule(struct broker *broker, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The request that is being handled is to change nothing, though others like it do: its record is one of those
 * that are limited.
 */
void audit_set_unchanging(struct broker *broker);

/* Which region it is, and whose, that the request that is being handled names by its cookie, or by its gfns. */
void audit_set_region(struct broker *broker, uint32_t domid, uint64_t cookie);

/* Of a connection that ends: what it asked and would not change anything may never be answered. */
void audit_forget_connection(struct broker *broker, uint64_t connection);

/*
 * What comes of a change is known, and is about to be settled: whoever dies from now on leaves a record too many
 * rather than one too few. If something else comes of it after all, that has its record, too.
 */
void audit_record(struct broker *broker, const struct asker *asker, const Xenvram__V1__Reply *reply);

/* A request is answered. What has its record already needs no other. */
void audit_reply(struct broker *broker, const struct asker *asker, const Xenvram__V1__Reply *reply);

/* What was asked for, as the journal has it. */
struct audit_subject {
	struct requester requester;
	const ProtobufCMessageDescriptor *asked; /* the request */
	bool force;
	uint32_t domid;
	uint64_t cookie; /* 0: it is about no region */
};

/*
 * What nobody waits for any more, since it was asked of a broker that has died, has ended, well unless there is
 * a failure.
 */
void audit_finished(const struct audit_subject *subject, const struct failure *failure, const char *format,
	...) __attribute__((format(printf, 3, 4)));

/* A connection is refused, or ends by what its peer did. */
void audit_refused(struct broker *broker, const struct connection *connection, const struct failure *failure);
void audit_closed(struct broker *broker, const struct connection *connection, const char *reason);

#endif
