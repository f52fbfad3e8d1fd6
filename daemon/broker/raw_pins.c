/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/raw_pins.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/connection.h"
#include "daemon/broker/domain.h"
#include "daemon/broker/pin_journal.h"
#include "daemon/broker/policy.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

static int write_journal(struct broker *broker, struct pin *pin, struct failure *failure)
{
	if (pin_journal_write(broker->journal_fd, pin->slot, &pin->record) == 0) {
		pin->journaled = true;
		return 0;
	}
	failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "the journal cannot be written: %s",
		strerror(errno));
	log_error("domain %u: the pin of gfn 0x%" PRIx64 ": %s", pin->record.domid, pin->record.gfns.first,
		failure->text);
	return -1;
}

/* Tells whoever waits for it. */
static void fail_asker(struct broker *broker, struct pin *pin, const struct failure *failure)
{
	asker_fail(broker, &pin->asker, failure);
	pin->asker = (struct asker){0};
}

static int erase(struct broker *broker, struct pin *pin, struct failure *failure)
{
	if (!pin->journaled || journal_erase(&pin_journal, broker->journal_fd, pin->slot) == 0)
		return 0;
	failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "the journal cannot be written: %s",
		strerror(errno));
	log_error("domain %u: there is no pin of gfn 0x%" PRIx64 " any more, and %s", pin->record.domid,
		pin->record.gfns.first, failure->text);
	return -1;
}

static void drop(struct broker *broker, struct pin *pin)
{
	struct domain *domain = pin->domain;
	pins_remove(&broker->pins, pin);
	domain_release(domain);
}

/* Its domain is gone, whose UUID nobody has again: what may be left of it in the journal is no pin. */
static void forget(struct broker *broker, struct pin *pin)
{
	struct failure unwritten;
	erase(broker, pin, &unwritten);
	drop(broker, pin);
}

/* There is none. 0, or -1: the next broker, by the journal, would think that there may be. */
static int clear(struct broker *broker, struct pin *pin, struct failure *failure)
{
	if (erase(broker, pin, failure) < 0) {
		pin->record.state = PIN_DELETING;
		pin->unanswered = true;
		return -1;
	}
	drop(broker, pin);
	return 0;
}

static void set_back(struct pin *pin)
{
	pin->record.cache_attr = pin->record.old_cache_attr;
	pin->record.state = PIN_SET;
}

/* It stays, and is what it was before; or it goes, if it was nothing. 0, or -1 as clear(). */
static int revert(struct broker *broker, struct pin *pin, struct failure *failure)
{
	if (pin->record.old_cache_attr == NO_CACHE_ATTR)
		return clear(broker, pin, failure);
	uint32_t refused = pin->record.cache_attr;
	set_back(pin);
	if (write_journal(broker, pin, failure) == 0)
		return 0;
	/* The next broker sets the new type, or so it will seem. */
	pin->record.cache_attr = refused;
	pin->record.state = PIN_SETTING;
	pin->unanswered = true;
	return -1;
}

/* No worker was asked, and the journal has it as it was. */
static void call_off(struct broker *broker, struct pin *pin)
{
	if (pin->record.state == PIN_DELETING)
		pin->record.state = PIN_SET;
	else if (pin->record.old_cache_attr == NO_CACHE_ATTR)
		drop(broker, pin);
	else
		set_back(pin);
}

/* With any status but OK and STUCK nothing has changed. */
static void set_stuck(const struct pin *pin, struct failure *failure)
{
	struct failure cause = *failure;
	/* pins_admit(): what is being taken away cannot be set. */
	const char *remedy =
		pin->record.state == PIN_DELETING ? "take it away again" : "set it again, or take it away";
	failure_set(failure, XENVRAM__V1__STATUS__STUCK, EBUSY,
		"%.160s; what gfn 0x%" PRIx64 " + %" PRIu64
		" pages is pinned as, if it is, is not certain: %s",
		cause.text, pin->record.gfns.first, pin->record.gfns.nr_pages, remedy);
}

static void send_command(struct pin *pin)
{
	Xenvram__Internal__Pin packed = XENVRAM__INTERNAL__PIN__INIT;
	Xenvram__Internal__Command command = XENVRAM__INTERNAL__COMMAND__INIT;

	packed.id = pin->id;
	packed.first_gfn = pin->record.gfns.first;
	packed.nr_pages = pin->record.gfns.nr_pages;
	packed.cache_attr = pin->record.cache_attr;
	command.what_case = pin->record.state == PIN_SETTING ? XENVRAM__INTERNAL__COMMAND__WHAT_PIN
							     : XENVRAM__INTERNAL__COMMAND__WHAT_UNPIN;
	command.pin = &packed; /* one arm of the union, whichever it is */
	pin->at_work = true;
	domain_command_of(pin->domain, COMMAND_PIN, pin->id, &command);
}

/* Sends the worker what is to be done, if it is there; what is to be done is in the journal first. */
static void advance(struct broker *broker, struct pin *pin)
{
	struct domain *domain = pin->domain;
	struct failure unwritten;

	if (!domain->worker || pin->at_work || pin->record.state == PIN_SET)
		return;
	strcpy(pin->record.uuid, domain->uuid);
	if (write_journal(broker, pin, &unwritten) == 0) {
		send_command(pin);
		return;
	}
	if (pin->unanswered) {
		set_stuck(pin, &unwritten);
		fail_asker(broker, pin, &unwritten);
		return;
	}
	fail_asker(broker, pin, &unwritten);
	call_off(broker, pin);
}

/* ---- requests ---- */

static struct pin *add(struct broker *broker, const struct pin_record *record, struct failure *failure)
{
	struct pin *pin = pins_add(&broker->pins, record, MAX_RAW_PINS);
	if (pin)
		pin->domain = domain_get(broker, record->domid, record->uuid);
	if (pin && pin->domain)
		return pin;
	if (!pin && errno == ENOSPC)
		policy_refuse_slots(POLICY_SLOTS(MAX_RAW_PINS), record->domid, failure);
	else
		failure_set(failure, XENVRAM__V1__STATUS__INTERNAL, errno, "no pin can be added: %s",
			strerror(errno));
	if (pin)
		pins_remove(&broker->pins, pin);
	return NULL;
}

static void begin(struct broker *broker, struct pin *pin, const struct asker *asker)
{
	pin->asker = *asker;
	pin->record.requester = asker->requester;
	domain_want_worker(pin->domain);
	advance(broker, pin);
}

/* May another command be given to the domain's worker, if there is one? */
static int admit_command(struct broker *broker, uint32_t domid, struct failure *failure)
{
	const struct domain *domain = domain_find(broker, domid);
	return domain ? domain_admit_command(domain, failure) : 0;
}

void raw_pins_set(struct broker *broker, const struct asker *asker, uint32_t owner_uid,
	const Xenvram__V1__PinCacheattr *request)
{
	struct pin_record record = {
		.domid = request->domid,
		.gfns = {request->first_gfn, request->nr_pages},
		.cache_attr = request->cache_attr,
		.old_cache_attr = NO_CACHE_ATTR,
		.state = PIN_SETTING,
		.owner_uid = owner_uid,
	};
	struct failure failure;
	struct pin *pin;
	char who[32];

	/* Of a connection that is bound: it is for that domain, and no later one with its domid. */
	strcpy(record.uuid, connection_binding(connection_find(broker, asker->connection))->uuid);
	snprintf(who, sizeof(who), "domain %" PRIu32, record.domid);
	if (admit_command(broker, record.domid, &failure) < 0 ||
		policy_admit_gfns(&broker->settings, &broker->settings.vram, "vram", record.domid,
			request->first_gfn, request->nr_pages, &failure) < 0 ||
		pins_admit(&broker->pins, &broker->regions, &record, &pin, &failure) < 0 ||
		(!pin && policy_admit(&broker->settings, POLICY(pins_per_domain), who,
				 pins_count(&broker->pins, record.domid), 1, &failure) < 0)) {
		asker_fail(broker, asker, &failure);
		return;
	}
	if (pin) {
		/* What another attempt has left unsettled has no type that is known. */
		if (pin->record.state == PIN_SET)
			pin->record.old_cache_attr = pin->record.cache_attr;
		pin->record.cache_attr = record.cache_attr;
		pin->record.state = PIN_SETTING;
	} else {
		pin = add(broker, &record, &failure);
	}
	if (pin)
		begin(broker, pin, asker);
	else
		asker_fail(broker, asker, &failure);
}

void raw_pins_delete(
	struct broker *broker, const struct asker *asker, const Xenvram__V1__UnpinCacheattr *request)
{
	struct extent gfns = {request->first_gfn, request->nr_pages};
	struct failure failure;

	struct pin *pin = pins_require(&broker->pins, &broker->regions, request->domid, gfns, &failure);
	if (!pin || domain_admit_command(pin->domain, &failure) < 0) {
		asker_fail(broker, asker, &failure);
		return;
	}
	pin->record.state = PIN_DELETING;
	begin(broker, pin, asker);
}

/* ---- what happens to them ---- */

void raw_pins_inherit(struct broker *broker, const struct pin_record *record, unsigned int slot)
{
	struct pin *pin = pins_add(&broker->pins, record, slot);
	if (pin)
		pin->domain = domain_get(broker, record->domid, record->uuid);
	if (pin && pin->domain) {
		pin->journaled = true;
		pin->unanswered = record->state != PIN_SET;
		return;
	}
	log_error("domain %u: the pin of gfn 0x%" PRIx64 " in the journal cannot be taken over: %s",
		record->domid, record->gfns.first, strerror(errno));
	if (pin)
		pins_remove(&broker->pins, pin);
	/* The hypervisor cannot be asked: it alone says what is pinned. */
	pins_reserve(&broker->pins, slot);
}

void raw_pins_advance_domain(struct domain *domain)
{
	struct pin *pin, *next;
	LIST_FOREACH_SAFE(pin, &domain->broker->pins.list, link, next) {
		if (pin->domain == domain)
			advance(domain->broker, pin);
	}
}

/* What was to be done is done. 0, or -1 as clear(). */
static int settle(struct broker *broker, struct pin *pin, struct failure *failure)
{
	struct failure unwritten;

	if (pin->record.state == PIN_DELETING)
		return clear(broker, pin, failure);
	pin->record.state = PIN_SET;
	pin->unanswered = false;
	/* Unwritten: the next broker sets it again. */
	write_journal(broker, pin, &unwritten);
	return 0;
}

/* It cannot be done: all is as it was. 0, or -1 with the failure that counts: it may be otherwise. */
static int give_up(struct broker *broker, struct pin *pin, struct failure *failure)
{
	if (failure->status == XENVRAM__V1__STATUS__NO_DOMAIN) {
		forget(broker, pin);
		return 0;
	}
	if (pin->unanswered)
		return 0;
	if (pin->record.state == PIN_SETTING)
		return revert(broker, pin, failure);
	pin->record.state = PIN_SET;
	if (write_journal(broker, pin, failure) == 0)
		return 0;
	pin->record.state = PIN_DELETING;
	pin->unanswered = true;
	return -1;
}

/* Who asked is told, and in the audit trail with what it asked. */
static void note_finished(const struct pin *pin, const struct failure *failure)
{
	const struct pin_record *record = &pin->record;
	bool is_set = record->state == PIN_SETTING;
	const struct audit_subject subject = {
		.requester = record->requester,
		.asked = is_set ? &xenvram__v1__pin_cacheattr__descriptor
				: &xenvram__v1__unpin_cacheattr__descriptor,
		.domid = record->domid,
	};
	audit_finished(&subject, failure, "%s the pin of gfn 0x%" PRIx64 " + %" PRIu64 " pages",
		is_set ? "setting" : "taking away", record->gfns.first, record->gfns.nr_pages);
}

static void note(struct broker *broker, const struct pin *pin, const struct asker *asker,
	const struct failure *failure)
{
	Xenvram__V1__Reply reply = asker_outcome(failure);

	if (asker->connection == 0)
		note_finished(pin, failure);
	else
		audit_record(broker, asker, &reply);
}

void raw_pins_done(struct broker *broker, uint64_t id, const Xenvram__Internal__Done *done)
{
	struct pin *pin = pins_find(&broker->pins, id);
	struct failure received, *failure = NULL;

	if (!pin)
		return;
	struct asker asker = pin->asker;
	pin->asker = (struct asker){0};
	pin->at_work = false;
	if (done->failure) {
		failure_set(&received, done->failure->status, done->failure->os_error, "%s",
			done->failure->message);
		failure = &received;
	}
	if (failure && failure->status != XENVRAM__V1__STATUS__NO_DOMAIN && pin->unanswered)
		set_stuck(pin, failure);
	note(broker, pin, &asker, failure);
	if ((failure ? give_up(broker, pin, failure) : settle(broker, pin, &received)) < 0) {
		failure = &received;
		set_stuck(pin, failure);
		note(broker, pin, &asker, failure);
	}
	Xenvram__V1__Reply reply = asker_outcome(failure);
	asker_reply(broker, &asker, &reply, NULL, 0);
}

void raw_pins_worker_lost(struct domain *domain)
{
	struct pin *pin;
	LIST_FOREACH(pin, &domain->broker->pins.list, link) {
		if (pin->domain != domain)
			continue;
		pin->unanswered |= pin->at_work;
		pin->at_work = false;
	}
}

static void end(struct broker *broker, struct pin *pin, const struct failure *failure)
{
	/* Of one that is set and kept nobody has asked for anything. */
	if (pin->asker.connection == 0 && pin->record.state != PIN_SET)
		note_finished(pin, failure);
	fail_asker(broker, pin, failure);
	forget(broker, pin);
}

void raw_pins_open_failed(struct broker *broker, uint32_t domid, const struct failure *failure)
{
	struct failure stuck;
	struct pin *pin, *next;

	LIST_FOREACH_SAFE(pin, &broker->pins.list, link, next) {
		if (pin->record.domid != domid)
			continue;
		if (failure->status == XENVRAM__V1__STATUS__NO_DOMAIN || !pin->journaled) {
			end(broker, pin, failure);
			continue;
		}
		if (pin->record.state == PIN_SET)
			continue;
		stuck = *failure;
		if (pin->unanswered)
			set_stuck(pin, &stuck);
		if (pin->asker.connection == 0)
			log_error("%s", stuck.text);
		fail_asker(broker, pin, &stuck);
		if (!pin->unanswered)
			call_off(broker, pin);
	}
}

void raw_pins_domain_gone(
	struct broker *broker, uint32_t domid, const char *uuid, bool other, const struct failure *failure)
{
	struct pin *pin, *next;

	LIST_FOREACH_SAFE(pin, &broker->pins.list, link, next) {
		if (pin->record.domid == domid && domain_is_lost(pin->domain, pin->record.uuid, uuid, other))
			end(broker, pin, failure);
	}
}
