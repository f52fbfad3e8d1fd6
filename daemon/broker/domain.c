/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/domain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/broker/governor.h"
#include "daemon/broker/maps.h"
#include "daemon/broker/policy.h"
#include "daemon/broker/raw_moves.h"
#include "daemon/broker/raw_pins.h"
#include "daemon/broker/regions.h"
#include "daemon/broker/supervisor_link.h"
#include "daemon/common/fd.h"
#include "daemon/common/list.h"
#include "daemon/common/log.h"

struct command {
	TAILQ_ENTRY(command) link; /* domain::commands */
	uint64_t serial;
	enum command_target target;
	uint64_t id; /* of the target; a region's is its cookie */
	Xenvram__Internal__Command__WhatCase what;
	struct asker asker; /* answered when this is, if anybody */
};

struct domain *domain_find(struct broker *broker, uint32_t domid)
{
	struct domain *domain;
	LIST_FOREACH(domain, &broker->domains, link) {
		if (domain->domid == domid)
			return domain;
	}
	return NULL;
}

void domain_want_worker(const struct domain *domain)
{
	if (!domain->worker)
		supervisor_open_worker(domain->broker, domain->domid, domain->uuid);
}

struct domain *domain_get(struct broker *broker, uint32_t domid, const char *uuid)
{
	struct domain *domain = domain_find(broker, domid);
	if (domain)
		return domain;
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return NULL;
	domain->broker = broker;
	domain->domid = domid;
	strcpy(domain->uuid, uuid);
	TAILQ_INIT(&domain->commands);
	LIST_INSERT_HEAD(&broker->domains, domain, link);
	domain_want_worker(domain);
	return domain;
}

const char *domain_find_other(const struct domain *domain, const char *uuid)
{
	const struct broker *broker = domain->broker;
	const struct region *region;
	const struct pin *pin;
	const struct move *move;

	LIST_FOREACH(region, &broker->regions.regions, link) {
		if (region->domain == domain && strcmp(region->record.uuid, uuid) != 0)
			return region->record.uuid;
	}
	LIST_FOREACH(pin, &broker->pins.list, link) {
		if (pin->domain == domain && strcmp(pin->record.uuid, uuid) != 0)
			return pin->record.uuid;
	}
	LIST_FOREACH(move, &broker->moves.list, link) {
		if (move->domain == domain && strcmp(move->record.uuid, uuid) != 0)
			return move->record.uuid;
	}
	return maps_find_other(domain, uuid);
}

bool domain_is_lost(const struct domain *domain, const char *meant, const char *uuid, bool other)
{
	return *meant ? (strcmp(meant, uuid) == 0) != other : !other && domain->unnamed_goes;
}

static void drop_commands(struct domain *domain)
{
	while (!TAILQ_EMPTY(&domain->commands)) {
		struct command *command = TAILQ_FIRST(&domain->commands);
		TAILQ_REMOVE(&domain->commands, command, link);
		domain->n_commands--;
		regions_command_lost(domain->broker, &command->asker);
		free(command);
	}
}

static void domain_free(struct domain *domain)
{
	drop_commands(domain);
	channel_free(domain->worker);
	LIST_REMOVE(domain, link);
	free(domain);
}

static bool is_used(const struct domain *domain)
{
	const struct broker *broker = domain->broker;
	return region_table_count(&broker->regions, domain->domid) > 0 ||
	       region_table_count_ranges(&broker->regions, domain->domid) > 0 ||
	       pins_count(&broker->pins, domain->domid) > 0 ||
	       moves_count(&broker->moves, domain->domid) > 0 || maps_any(broker, domain->domid);
}

void domain_release(struct domain *domain)
{
	if (domain->held || is_used(domain))
		return;
	supervisor_close_worker(domain->broker, domain->domid);
	domain_free(domain);
}

void domain_free_all(struct broker *broker)
{
	while (!LIST_EMPTY(&broker->domains))
		domain_free(LIST_FIRST(&broker->domains));
}

/* ---- the worker ---- */

static void send_command(struct domain *domain, enum command_target target, uint64_t id,
	Xenvram__Internal__Command *command, int fd, const struct asker *asker)
{
	struct command *pending = malloc(sizeof(*pending));
	if (!pending) {
		/* With a new worker everything is sent anew. */
		log_error("out of memory for a command to the worker of domain %u", domain->domid);
		channel_close(domain->worker, ENOMEM);
		return;
	}
	command->serial = ++domain->last_serial;
	*pending = (struct command){
		.serial = command->serial,
		.target = target,
		.id = id,
		.what = command->what_case,
		.asker = asker ? *asker : (struct asker){0},
	};
	TAILQ_INSERT_TAIL(&domain->commands, pending, link);
	domain->n_commands++;
	channel_send(domain->worker, &command->base, &fd, fd >= 0 ? 1 : 0);
}

void domain_command(struct domain *domain, struct region *region, Xenvram__Internal__Command *command, int fd,
	const struct asker *asker)
{
	send_command(domain, COMMAND_REGION, region ? region->record.cookie : 0, command, fd, asker);
}

void domain_command_of(
	struct domain *domain, enum command_target target, uint64_t id, Xenvram__Internal__Command *command)
{
	send_command(domain, target, id, command, -1, NULL);
}

int domain_admit_command(const struct domain *domain, struct failure *failure)
{
	char who[48];

	/* Asked for most requests: no text unless it is wanted. */
	if (domain->n_commands < MAX_COMMANDS_PER_DOMAIN)
		return 0;
	snprintf(who, sizeof(who), "the worker of domain %u", domain->domid);
	policy_admit_fixed(POLICY_FIXED(MAX_COMMANDS_PER_DOMAIN, "commands to do", "ask again"), who,
		domain->n_commands, 1, failure);
	/* There will be room soon, without anything given up. */
	failure->status = XENVRAM__V1__STATUS__RETRY;
	failure->os_error = EAGAIN;
	return -1;
}

static void region_done(
	struct broker *broker, const struct command *command, const Xenvram__Internal__Done *done)
{
	struct region *region = region_table_find(&broker->regions, command->id);
	if (region)
		regions_done(broker, region, command->what, &command->asker, done);
	else
		regions_command_lost(broker, &command->asker);
}

static void done(struct domain *domain, const Xenvram__Internal__Done *done)
{
	struct command *command;
	TAILQ_FOREACH(command, &domain->commands, link) {
		if (command->serial == done->serial)
			break;
	}
	if (!command) {
		log_error("domain %u: its worker answers a command %" PRIu64 " that nobody gave",
			domain->domid, done->serial);
		return;
	}
	struct command answered = *command;
	TAILQ_REMOVE(&domain->commands, command, link);
	domain->n_commands--;
	free(command);
	switch (answered.target) {
	case COMMAND_PIN:
		raw_pins_done(domain->broker, answered.id, done);
		break;
	case COMMAND_MOVE:
		raw_moves_done(domain->broker, answered.id, done);
		break;
	case COMMAND_MAP:
		maps_done(domain->broker, answered.id, done);
		break;
	case COMMAND_REGION:
		region_done(domain->broker, &answered, done);
		break;
	}
}

static void on_turn(void *owner)
{
	struct domain *domain = owner;
	supervisor_active(domain->broker);
}

static void on_packet(void *owner, struct frame *frame)
{
	struct domain *domain = owner;
	Xenvram__Internal__Done *message =
		(Xenvram__Internal__Done *)frame_unpack(frame, &xenvram__internal__done__descriptor);
	if (!message) {
		log_error("an answer of the worker of domain %u cannot be read: %s", domain->domid,
			strerror(errno));
		channel_close(domain->worker, EPROTO);
		return;
	}
	done(domain, message);
	frame_free_message(&message->base);
}

/* The supervisor starts another one when this one has ended, or says that the domain is gone. */
static void on_close(void *owner, int error)
{
	struct domain *domain = owner;
	if (error) {
		log_error(
			"the channel to the worker of domain %u failed: %s", domain->domid, strerror(error));
		supervisor_restart_worker(domain->broker, domain->domid);
	}
	domain->worker = channel_free(domain->worker);
	drop_commands(domain);
	regions_worker_lost(domain);
	raw_pins_worker_lost(domain);
	raw_moves_worker_lost(domain);
	maps_worker_lost(domain);
}

/* Notes that it is; was that known? It is told for each time that a worker of it was asked for. */
static bool note_dead(struct broker *broker, const char *uuid)
{
	for (unsigned int i = 0; i < broker->n_dead && i < MAX_DEAD; i++) {
		if (strcmp(broker->dead[i], uuid) == 0)
			return true;
	}
	snprintf(broker->dead[broker->n_dead++ % MAX_DEAD], UUID_BYTES, "%s", uuid);
	return false;
}

struct domain *domain_begin_leave(struct broker *broker, uint32_t domid, const char *uuid)
{
	struct domain *domain = domain_find(broker, domid);
	bool was_known = note_dead(broker, uuid);

	if (!domain)
		return NULL;
	domain->held = true;
	/* Where any would do, it is the one for which a worker was begun. */
	domain->unnamed_goes =
		*domain->uuid ? domain->met > 0 && strcmp(domain->uuid, uuid) == 0 : !was_known;
	return domain;
}

void domain_end_leave(struct domain *domain, const char *uuid)
{
	bool was_it = !*domain->uuid || strcmp(domain->uuid, uuid) == 0;

	domain->held = false;
	if (was_it && is_used(domain)) {
		const char *other = domain_find_other(domain, "");
		if (domain->worker)
			on_close(domain, 0);
		strcpy(domain->uuid, other ? other : "");
		domain->met = 0;
		domain_want_worker(domain);
	}
	domain_release(domain);
}

void domain_meet_worker(struct domain *domain, const char *uuid, int fd)
{
	static const struct channel_ops ops = {on_packet, on_close};

	if (domain->worker)
		on_close(domain, 0);
	if (strlen(uuid) < sizeof(domain->uuid))
		strcpy(domain->uuid, uuid);
	domain->met = ++domain->broker->n_known;
	domain->worker = channel_new(domain->broker->base, fd, CHANNEL_ROLE, &ops, domain);
	if (!domain->worker) {
		log_error("the worker of domain %u cannot be talked to: %s", domain->domid, strerror(errno));
		supervisor_restart_worker(domain->broker, domain->domid);
		return;
	}
	channel_announce(domain->worker, on_turn);
	governor_tell(domain->broker, domain);
	domain->held = true;
	regions_advance_domain(domain);
	raw_pins_advance_domain(domain);
	raw_moves_advance_domain(domain);
	maps_advance_domain(domain);
	domain->held = false;
	domain_release(domain);
}
