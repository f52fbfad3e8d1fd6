/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/raw_moves.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/move_journal.h"
#include "daemon/broker/move_message.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/regions.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

/* ---- the end of a move ---- */

static void advance(struct broker *broker, struct move *move);

static int erase(struct broker *broker, struct move *move, struct failure *failure)
{
	if (!move->journaled || journal_erase(&move_journal, broker->journal_fd, move->slot) == 0)
		return 0;
	failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "the journal cannot be written: %s",
		strerror(errno));
	log_error("the move from gfn 0x%" PRIx64 " has ended, and %s", move->record.source, failure->text);
	return -1;
}

static void drop(struct broker *broker, struct move *move)
{
	struct domain *domain = move->domain;
	moves_remove(&broker->moves, move);
	domain_release(domain);
}

/* The last of it, once its asker is told. */
static void forget(struct broker *broker, struct move *move)
{
	struct failure unwritten;

	/* As long as the journal has it, the next broker takes back what is at its gfns by then. */
	move->over = erase(broker, move, &unwritten) < 0;
	/* With its domain gone, whose UUID nobody has again, it says nothing to anybody. */
	if (!move->over || move->failure.status == XENVRAM__V1__STATUS__NO_DOMAIN)
		drop(broker, move);
}

static void forget_what_is_over(struct broker *broker)
{
	struct move *move, *next;

	LIST_FOREACH_SAFE(move, &broker->moves.list, link, next) {
		if (move->over)
			forget(broker, move);
	}
}

static void note_finished(const struct move *move, const struct failure *failure)
{
	const struct move_record *record = &move->record;
	const struct audit_subject subject = {
		.requester = record->requester,
		.asked = &xenvram__v1__move_ram__descriptor,
		.force = record->force,
		.domid = record->domid,
	};
	audit_finished(&subject, failure, "a move of %" PRIu64 " pages from gfn 0x%" PRIx64 " to 0x%" PRIx64,
		record->nr_pages, record->source, record->destination);
}

static void finish(struct broker *broker, struct move *move)
{
	struct asker asker = move->asker;
	struct failure unwritten, text = move->failure, *failure = move->failed ? &text : NULL;
	Xenvram__V1__Reply reply = asker_outcome(failure);

	/* Who asked is told, and in the audit trail with what it asked. */
	if (asker.connection == 0)
		note_finished(move, failure);
	else
		audit_record(broker, &asker, &reply);
	if (failure) {
		/* It is back already. */
		move->asker = (struct asker){0};
		forget(broker, move);
	} else if (erase(broker, move, &unwritten) == 0) {
		drop(broker, move);
	} else {
		move_unended(move, &unwritten);
		advance(broker, move);
		return;
	}
	asker_reply(broker, &asker, &reply, NULL, 0);
}

static void end(struct broker *broker, struct move *move, const struct failure *failure)
{
	move->failed = true;
	move->failure = *failure;
	if (move->over)
		forget(broker, move);
	else
		finish(broker, move);
}

/* ---- steps ---- */

static void send_step(struct move *move)
{
	struct move_message message;

	move_message_fill(&message, move);
	move->at_work = true;
	domain_command_of(move->domain, COMMAND_MOVE, move->id, &message.command);
}

static int write_journal(struct broker *broker, struct move *move, struct failure *failure)
{
	if (move->journaled || !move_is_journaled(move))
		return 0;
	if (move_journal_write(broker->journal_fd, move->slot, &move->record) < 0)
		return failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno,
			"the journal cannot be written: %s", strerror(errno));
	move->journaled = true;
	return 0;
}

/* Gives the worker the next step, if it is there; or ends the move. */
static void advance(struct broker *broker, struct move *move)
{
	struct failure unwritten;

	if (move->over) {
		forget(broker, move);
		return;
	}
	if (move->stage != MOVE_END && (!move->domain->worker || move->at_work))
		return;
	if (move->stage != MOVE_END) {
		strcpy(move->record.uuid, move->domain->uuid);
		if (write_journal(broker, move, &unwritten) == 0) {
			send_step(move);
			return;
		}
		move_call_off(move, &unwritten);
	}
	finish(broker, move);
}

/* ---- requests ---- */

/* Pages are lost where they go: not for a device model, which acts for its guest. */
static int admit_force(
	const struct settings *settings, const struct connection *connection, struct failure *failure)
{
	char who[IDENTITY_TEXT_BYTES];
	const struct binding *binding = connection_binding(connection);
	if (binding->state == BINDING_NONE)
		return 0;
	identity_describe(settings, connection_uid(connection), binding, who, sizeof(who));
	return failure_set(failure, XENVRAM__V1__STATUS__PERMISSION_DENIED, EPERM,
		"force drops pages of the guest, and %s acts for the guest; an administrator's connection "
		"that is bound to no domain may",
		who);
}

/* From backing to vram, as a region's creation, or back, or from vram to vram. */
static int admit_gfns(
	const struct settings *settings, const struct move_record *record, struct failure *failure)
{
	const struct window_list *vram = &settings->vram, *backing = &settings->backing;
	struct failure ignored;

	if (policy_admit_gfns(
		    settings, vram, "vram", record->domid, record->source, record->nr_pages, &ignored) == 0 &&
		policy_admit_gfns(settings, backing, "backing", record->domid, record->destination,
			record->nr_pages, &ignored) == 0)
		return 0;
	if (policy_admit_gfns(settings, vram, "vram", record->domid, record->destination, record->nr_pages,
		    failure) < 0)
		return -1;
	if (policy_admit_gfns(
		    settings, vram, "vram", record->domid, record->source, record->nr_pages, &ignored) == 0)
		return 0;
	return policy_admit_gfns(
		settings, backing, "backing", record->domid, record->source, record->nr_pages, failure);
}

static void move_region(struct broker *broker, const struct asker *asker, const struct region *region,
	const struct move_record *record)
{
	Xenvram__V1__MoveRegion request = XENVRAM__V1__MOVE_REGION__INIT;
	request.cookie = region->record.cookie;
	request.vram_gfn = record->destination;
	regions_move(broker, asker, &request);
}

static struct move *add(
	struct broker *broker, const struct move_record *record, unsigned int slot, struct failure *failure)
{
	struct move *move = moves_add(&broker->moves, record, slot);
	if (move)
		move->domain = domain_get(broker, record->domid, record->uuid);
	if (move && move->domain)
		return move;
	if (!move && errno == ENOSPC)
		policy_refuse_slots(POLICY_SLOTS(MAX_RAW_MOVES), record->domid, failure);
	else
		failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "no move can be added: %s",
			strerror(errno));
	if (move)
		moves_remove(&broker->moves, move);
	return NULL;
}

void raw_moves_begin(struct broker *broker, struct connection *connection, const struct asker *asker,
	const Xenvram__V1__MoveRam *request)
{
	struct move_record record = {
		.domid = request->domid,
		.source = request->source_gfn,
		.destination = request->destination_gfn,
		.nr_pages = request->nr_pages,
		.force = request->force,
		.requester = asker->requester,
	};
	const struct domain *domain = domain_find(broker, record.domid);
	const struct region *region = moves_find_region(&broker->regions, &record);
	struct failure failure;

	forget_what_is_over(broker);
	/* Of a connection that is bound: it is for that domain, and no later one with its domid. */
	strcpy(record.uuid, connection_binding(connection)->uuid);
	if ((record.force && admit_force(&broker->settings, connection, &failure) < 0) ||
		(domain && domain_admit_command(domain, &failure) < 0)) {
		asker_fail(broker, asker, &failure);
		return;
	}
	if (region) {
		move_region(broker, asker, region, &record);
		return;
	}
	struct move *move = NULL;
	if (admit_gfns(&broker->settings, &record, &failure) == 0 &&
		moves_admit(&broker->moves, &broker->regions, &record, &failure) == 0)
		move = add(broker, &record, MAX_RAW_MOVES, &failure);
	if (!move) {
		asker_fail(broker, asker, &failure);
		return;
	}
	move->asker = *asker;
	domain_want_worker(move->domain);
	advance(broker, move);
}

int raw_moves_admit_region(
	struct broker *broker, const struct region_record *record, uint64_t vram_gfn, struct failure *failure)
{
	forget_what_is_over(broker);
	return moves_admit_region(&broker->moves, record, vram_gfn, failure);
}

/* ---- what happens to them ---- */

void raw_moves_inherit(struct broker *broker, const struct move_record *record, unsigned int slot)
{
	struct failure failure;
	struct move *move = add(broker, record, slot, &failure);
	if (!move) {
		log_error("domain %u: a move from gfn 0x%" PRIx64 " in the journal cannot be taken over: %s",
			record->domid, record->source, failure.text);
		/* It alone says where the pages may be. */
		moves_reserve(&broker->moves, slot);
		return;
	}
	move->journaled = true;
	move_begin_inherited(move);
}

void raw_moves_advance_domain(struct domain *domain)
{
	struct broker *broker = domain->broker;
	struct move *move, *next;
	LIST_FOREACH_SAFE(move, &broker->moves.list, link, next) {
		if (move->domain == domain)
			advance(broker, move);
	}
}

void raw_moves_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done)
{
	struct move *move = moves_find(&broker->moves, id);
	struct failure received, *failure = NULL;

	if (!move)
		return;
	if (done->failure) {
		failure_set(&received, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		failure = &received;
	}
	move_answered(move, done, failure);
	advance(broker, move);
}

void raw_moves_worker_lost(struct domain *domain)
{
	struct move *move;
	struct failure lost;

	failure_set(&lost, XENVRAM__V1__STATUS__RETRY, EAGAIN,
		"the worker of domain %u died during the move, which was undone; ask again", domain->domid);
	LIST_FOREACH(move, &domain->broker->moves.list, link) {
		if (move->domain == domain)
			move_resume(move, &lost);
	}
}

/* What has begun goes back when there is a worker, and nobody waits for that. */
static void leave_stuck(struct broker *broker, struct move *move, const struct failure *failure)
{
	struct failure stuck;

	failure_set(&stuck, XENVRAM__V1__STATUS__STUCK, EBUSY,
		"%.160s; pages may be at the destination, and go back as soon as the domain can be served",
		failure->text);
	asker_fail(broker, &move->asker, &stuck);
	move->asker = (struct asker){0};
}

void raw_moves_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure)
{
	struct move *move, *next;

	LIST_FOREACH_SAFE(move, &broker->moves.list, link, next) {
		if (move->record.domid != domid)
			continue;
		if (failure->status == XENVRAM__V1__STATUS__NO_DOMAIN || !move->journaled)
			end(broker, move, failure);
		else
			leave_stuck(broker, move, failure);
	}
}

void raw_moves_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure)
{
	struct move *move, *next;

	LIST_FOREACH_SAFE(move, &broker->moves.list, link, next) {
		if (move->record.domid == domid &&
			domain_is_lost(move->domain, move->record.uuid, uuid, other))
			end(broker, move, failure);
	}
}
