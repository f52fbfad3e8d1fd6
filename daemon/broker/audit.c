/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/broker/audit_fields.h"
#include "daemon/broker/broker.h"
#include "daemon/broker/connection.h"
#include "daemon/common/log.h"

/* Changes that were asked for and are not answered; beyond it the oldest gets its record unanswered. */
#define MAX_PENDING 4096u
/* What changes nothing, and has a record if it is refused; beyond it that is only counted. */
#define MAX_PENDING_READS 4096u

struct audit_note {
	TAILQ_ENTRY(audit_note) link; /* audit::pending */
	struct asker asker;
	struct audit_user user;
	bool changes;
	bool unchanging; /* though it is one of those that change something */
	bool answered;
	bool recorded; /* with this status, as the last one */
	Xenvram__V1__Status status;
	const ProtobufCMessage *operation; /* while it is being handled, as the next */
	const struct connection *connection;
	struct audit_fields fields; /* who and what, once somebody may want to know */
	char rule[128];
};

/* Who holds a connection that is bound may have any number of uids: it is known by whom it was made. */
static struct audit_user find_user(const struct connection *connection, uint32_t uid)
{
	const struct binding *binding = connection_binding(connection);

	if (binding->state != BINDING_BOUND)
		return (struct audit_user){uid, AUDIT_NO_DOMAIN};
	return (struct audit_user){connection_uid(connection), binding->domid};
}

/* ---- requests ---- */

static void add_requester(struct audit_fields *fields, const struct requester *requester)
{
	audit_fields_add(fields, "uid", "%" PRIu32, requester->uid);
	audit_fields_add(fields, "pid", "%" PRIu32, requester->pid);
}

static void add_who(
	struct audit_fields *fields, const struct connection *connection, const struct requester *requester)
{
	const struct binding *binding = connection_binding(connection);

	add_requester(fields, requester);
	audit_fields_add(fields, "connection", "%" PRIu64, connection_id(connection));
	if (requester->uid != connection_uid(connection))
		audit_fields_add(fields, "connected_uid", "%" PRIu32, connection_uid(connection));
	if (binding->state == BINDING_BOUND)
		audit_fields_add(fields, "bound_domid", "%" PRIu32, binding->domid);
}

static void describe(struct audit_note *note)
{
	add_who(&note->fields, note->connection, &note->asker.requester);
	if (note->operation)
		audit_fields_add_request(&note->fields, note->operation);
}

void audit_begin(struct broker *broker, const struct connection *connection, const struct asker *asker,
	const Xenvram__V1__Request *request, bool changes)
{
	struct audit_note *note = broker->audit.current;

	/* What only reads mostly needs no record: it shall cost nothing. */
	note->asker = *asker;
	note->user = find_user(connection, asker->requester.uid);
	note->changes = changes;
	note->unchanging = note->answered = note->recorded = false;
	note->operation = audit_operation(request);
	note->connection = connection;
	note->rule[0] = '\0';
	note->fields.n = note->fields.n_bytes = 0;
	if (changes)
		describe(note);
}

static void drop_pending(struct audit *audit, struct audit_note *note)
{
	if (note->changes) {
		TAILQ_REMOVE(&audit->pending, note, link);
		audit->n_pending--;
	} else {
		TAILQ_REMOVE(&audit->pending_reads, note, link);
		audit->n_pending_reads--;
	}
	free(note);
}

/* Whoever is asked does not answer, and others want to be noted. */
static void give_up_oldest(struct broker *broker)
{
	struct audit_note *note = TAILQ_FIRST(&broker->audit.pending);
	char sentence[MAX_AUDIT_SENTENCE_BYTES];

	audit_fields_add(&note->fields, "status", "unanswered");
	audit_fields_sentence(&note->fields, sentence, sizeof(sentence));
	audit_fields_write(&note->fields, LOG_WARNING, sentence);
	drop_pending(&broker->audit, note);
}

/* It is answered later. */
static void keep_pending(struct broker *broker, struct audit_note *note)
{
	struct audit *audit = &broker->audit;

	if (!note->changes && audit->n_pending_reads == MAX_PENDING_READS)
		return;
	struct audit_note *pending = malloc(sizeof(*pending));
	if (!pending) {
		log_error("out of memory: a request of uid %" PRIu32 " will not be in the audit trail",
			note->asker.requester.uid);
		return;
	}
	if (!note->changes)
		describe(note);
	*pending = *note;
	pending->operation = NULL;
	pending->connection = NULL;
	if (!note->changes) {
		TAILQ_INSERT_TAIL(&audit->pending_reads, pending, link);
		audit->n_pending_reads++;
		return;
	}
	TAILQ_INSERT_TAIL(&audit->pending, pending, link);
	if (++audit->n_pending > MAX_PENDING)
		give_up_oldest(broker);
}

void audit_end(struct broker *broker)
{
	struct audit_note *note = broker->audit.current;

	if (!note->answered)
		keep_pending(broker, note);
	note->operation = NULL;
	note->connection = NULL;
}

void audit_set_rule(struct broker *broker, const char *format, ...)
{
	struct audit_note *note = broker->audit.current;
	va_list args;
	va_start(args, format);
	vsnprintf(note->rule, sizeof(note->rule), format, args);
	va_end(args);
}

void audit_set_unchanging(struct broker *broker)
{
	broker->audit.current->unchanging = true;
}

static bool has_field(const ProtobufCMessage *operation, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(operation->descriptor, name);
}

void audit_set_region(struct broker *broker, uint32_t domid, uint64_t cookie)
{
	struct audit_note *note = broker->audit.current;

	if (!note->operation || !note->changes)
		return;
	if (!has_field(note->operation, "domid"))
		audit_fields_add(&note->fields, "domid", "%" PRIu32, domid);
	if (!has_field(note->operation, "cookie"))
		audit_fields_add(&note->fields, "cookie", "0x%" PRIx64, cookie);
}

/* Is it more than a refusal? */
static bool may_have_changed(const struct audit_note *note, const Xenvram__V1__Reply *reply)
{
	if (!note->changes || note->unchanging)
		return false;
	switch (reply->status) {
	case XENVRAM__V1__STATUS__OK:
	case XENVRAM__V1__STATUS__STUCK:
		return true;
	case XENVRAM__V1__STATUS__HYPERVISOR:
	case XENVRAM__V1__STATUS__INTERNAL:
	case XENVRAM__V1__STATUS__RETRY:
		return !note->connection; /* it was under way */
	default:
		return false;
	}
}

static enum audit_kind kind_of(const struct audit_note *note, Xenvram__V1__Status status)
{
	if (status == XENVRAM__V1__STATUS__PERMISSION_DENIED || *note->rule)
		return AUDIT_DENIALS;
	return note->changes && !note->unchanging ? AUDIT_CHANGES : AUDIT_OTHERS;
}

static void write_note(struct broker *broker, struct audit_note *note, const Xenvram__V1__Reply *reply)
{
	int priority = reply->status == XENVRAM__V1__STATUS__OK ? LOG_NOTICE : LOG_WARNING;
	char sentence[MAX_AUDIT_SENTENCE_BYTES];

	if (note->recorded && note->status == reply->status)
		return;
	if (!note->changes && reply->status == XENVRAM__V1__STATUS__OK)
		return;
	note->recorded = true;
	note->status = reply->status;
	/* What a user does must not be hidden by what comes to nothing. */
	if (!may_have_changed(note, reply) &&
		!audit_rates_admit(&broker->audit.rates, note->user, kind_of(note, reply->status)))
		return;
	/* What changes nothing and is answered at once has not been. */
	if (note->connection && !note->changes)
		describe(note);
	struct audit_fields fields = note->fields; /* another outcome may come */
	audit_fields_add_reply(&fields, reply);
	if (*note->rule)
		audit_fields_add(&fields, "rule", "%s", note->rule);
	audit_fields_sentence(&fields, sentence, sizeof(sentence));
	audit_fields_write(&fields, priority, sentence);
}

static bool is_asker(const struct audit_note *note, const struct asker *asker)
{
	return note->asker.request == asker->request;
}

/* NULL: its record was given up. */
static struct audit_note *find(struct audit *audit, const struct asker *asker)
{
	struct audit_note *note = audit->current;

	if (note->connection && !note->answered && is_asker(note, asker))
		return note;
	TAILQ_FOREACH(note, &audit->pending_reads, link) {
		if (is_asker(note, asker))
			return note;
	}
	TAILQ_FOREACH(note, &audit->pending, link) {
		if (is_asker(note, asker))
			return note;
	}
	return NULL;
}

/* There is nothing left to write a record from. */
static void count_refusal(struct broker *broker, const struct asker *asker)
{
	const struct connection *connection = connection_find(broker, asker->connection);

	if (connection)
		audit_rates_leave_out(
			&broker->audit.rates, find_user(connection, asker->requester.uid), AUDIT_OTHERS);
}

void audit_record(struct broker *broker, const struct asker *asker, const Xenvram__V1__Reply *reply)
{
	struct audit_note *note = asker->connection ? find(&broker->audit, asker) : NULL;
	if (note)
		write_note(broker, note, reply);
}

void audit_reply(struct broker *broker, const struct asker *asker, const Xenvram__V1__Reply *reply)
{
	struct audit *audit = &broker->audit;
	struct audit_note *note = asker->connection ? find(audit, asker) : NULL;

	if (!note) {
		if (reply->status != XENVRAM__V1__STATUS__OK)
			count_refusal(broker, asker);
		return;
	}
	write_note(broker, note, reply);
	if (note == audit->current)
		note->answered = true;
	else
		drop_pending(audit, note);
}

void audit_forget_connection(struct broker *broker, uint64_t connection)
{
	struct audit_note *note, *next;
	for (note = TAILQ_FIRST(&broker->audit.pending_reads); note; note = next) {
		next = TAILQ_NEXT(note, link);
		if (note->asker.connection == connection)
			drop_pending(&broker->audit, note);
	}
}

void audit_finished(
	const struct audit_subject *subject, const struct failure *failure, const char *format, ...)
{
	struct audit_fields fields = {0};
	Xenvram__V1__Reply reply = asker_outcome(failure);
	char what[192], sentence[MAX_AUDIT_SENTENCE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (subject->requester.known)
		add_requester(&fields, &subject->requester);
	audit_fields_add(&fields, "operation", "Finish");
	audit_fields_add(&fields, "asked", "%s", subject->asked->short_name);
	audit_fields_add(&fields, "domid", "%" PRIu32, subject->domid);
	if (subject->cookie)
		audit_fields_add(&fields, "cookie", "0x%" PRIx64, subject->cookie);
	if (subject->force)
		audit_fields_add(&fields, "force", "1");
	audit_fields_add(&fields, "what", "%s", what);
	audit_fields_add_reply(&fields, &reply);
	snprintf(sentence, sizeof(sentence),
		"domain %" PRIu32 ": %s, which nobody waits for, has ended: %s%s%s", subject->domid,
		subject->asked->short_name, what, failure ? ": " : "", failure ? failure->text : "");
	audit_fields_write(&fields, failure ? LOG_WARNING : LOG_NOTICE, sentence);
}

/* ---- connections ---- */

void audit_refused(struct broker *broker, const struct connection *connection, const struct failure *failure)
{
	const struct ucred *peer = connection_peer(connection);
	const struct audit_user user = find_user(connection, peer->uid);
	struct audit_rates *rates = &broker->audit.rates;
	struct audit_fields fields = {0};
	Xenvram__V1__Reply reply = asker_outcome(failure);
	char sentence[MAX_AUDIT_SENTENCE_BYTES];

	if (failure->status == XENVRAM__V1__STATUS__PERMISSION_DENIED
			? !audit_rates_admit_stranger(rates, user)
			: !audit_rates_admit(rates, user, AUDIT_OTHERS))
		return;
	add_who(&fields, connection, &(struct requester){peer->uid, peer->pid, true});
	audit_fields_add(&fields, "operation", "Connect");
	audit_fields_add_reply(&fields, &reply);
	audit_fields_sentence(&fields, sentence, sizeof(sentence));
	audit_fields_write(&fields, LOG_WARNING, sentence);
}

void audit_closed(struct broker *broker, const struct connection *connection, const char *reason)
{
	const struct ucred *peer = connection_peer(connection);
	struct audit_fields fields = {0};
	char sentence[MAX_AUDIT_SENTENCE_BYTES];

	if (!audit_rates_admit(&broker->audit.rates, find_user(connection, peer->uid), AUDIT_OTHERS))
		return;
	add_who(&fields, connection, &(struct requester){peer->uid, peer->pid, true});
	audit_fields_add(&fields, "operation", "Close");
	audit_fields_add(&fields, "reason", "%s", reason);
	snprintf(sentence, sizeof(sentence), "connection %" PRIu64 " (uid %u, pid %d) is closed: %s",
		connection_id(connection), peer->uid, peer->pid, reason);
	audit_fields_write(&fields, LOG_WARNING, sentence);
}

/* ---- its life ---- */

int audit_init(struct broker *broker)
{
	struct audit *audit = &broker->audit;
	TAILQ_INIT(&audit->pending);
	TAILQ_INIT(&audit->pending_reads);
	audit->current = calloc(1, sizeof(*audit->current));
	return audit->current ? audit_rates_init(&audit->rates, broker->base) : -1;
}

void audit_deinit(struct broker *broker)
{
	struct audit *audit = &broker->audit;
	/* Its lists were not made when it was not initialised. */
	while (audit->current && !TAILQ_EMPTY(&audit->pending))
		drop_pending(audit, TAILQ_FIRST(&audit->pending));
	while (audit->current && !TAILQ_EMPTY(&audit->pending_reads))
		drop_pending(audit, TAILQ_FIRST(&audit->pending_reads));
	free(audit->current);
	audit_rates_deinit(&audit->rates);
	*audit = (struct audit){0};
}
